"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)

# Of tests/test_properties.py: the same examples every time, or (`--hypothesis-profile long`) many others.
COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("gate", max_examples=2_000, derandomize=True, database=None, **COMMON)
settings.register_profile("long", max_examples=50_000, **COMMON)
settings.load_profile("gate")


@pytest.fixture(scope="session")
def real_folder() -> Path:
    """The real dataset's folder (TDT4265_DATA, or shared/data beside the checkout); the test is skipped without it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "tdt4265_2022"
    folder = Path(os.environ.get("TDT4265_DATA", default))
    if not (folder / "train_annotations.json").is_file():
        pytest.skip("the real dataset is not on this machine")
    return folder
