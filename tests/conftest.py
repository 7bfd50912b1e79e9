"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_folder() -> Path:
    """The real dataset's folder (TDT4265_DATA, or shared/data beside the checkout); the test is skipped without it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "tdt4265_2022"
    folder = Path(os.environ.get("TDT4265_DATA", default))
    if not (folder / "train_annotations.json").is_file():
        pytest.skip("the real dataset is not on this machine")
    return folder
