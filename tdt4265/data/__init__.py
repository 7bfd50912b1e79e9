"""Frames in: `load` is the one door."""

import os
from collections.abc import Sequence
from pathlib import Path

from tdt4265 import paths
from tdt4265.data import transforms
from tdt4265.data.coco import (
    SUFFIXES,
    CocoDetection,
    DataError,
    Labels,
    natural_key,
    read_checked,
    read_labels,
    read_pixels,
    refusing_os_errors,
)
from tdt4265.data.layouts import layout
from tdt4265.data.recordings import RECORDINGS, read_recording
from tdt4265.errors import shown

__all__ = ["RECORDINGS", "SUFFIXES", "CocoDetection", "DataError", "Labels", "load", "natural_key", "read_labels"]
__all__ += ["read_checked", "read_pixels", "read_recording", "source_folder", "tdt4265_folder", "transforms"]


NAMES = ("sample", "sim", "sim-clips", "tdt4265")


def load(source: str | Path = "sim", *, tasks: Sequence[str] = ("bbox",)) -> tuple[CocoDetection, CocoDetection]:
    """The train and val datasets of a source, checked wholly before the first frame is served.

    source: "sample": the simulated frames that come with the course. "sim": the simulated dataset, many streets with a
    few frames of each; "sim-clips": a few streets with many frames, as the real dataset has them. Both are generated
    into the cache folder on first use, and anew when the simulator has changed. "tdt4265": the real dataset
    (`tdt4265_folder` says where). Anything else: a folder in COCO format that holds train_annotations.json and its
    images, or COCO as it is downloaded (`layouts`). Without labels of val it is the train dataset itself, and a line
    says so.
    tasks: what the targets hold: "bbox" (boxes, always), "segm" (masks), "keypoints"; the labels must have them.

    Raises DataError, one line, for whatever is missing or wrong.
    """
    folder = source_folder(str(source))
    name = str(source) if source in NAMES else folder.name
    train = CocoDetection(folder, "train", name=name, tasks=tasks)
    with refusing_os_errors(folder):
        of_val = layout(folder, "val", tasks).labels
        if of_val.exists() and not of_val.is_file():
            raise DataError(f"{of_val}: is no file: put the labels of val there, or remove it to evaluate on train")
    if not of_val.is_file():
        print(f"no {of_val.name} in {of_val.parent}: evaluated on train")
        return train, train
    val = CocoDetection(folder, "val", name=name, tasks=tasks)
    if val.categories != train.categories:
        raise DataError(f"{val.labels.path}: categories are not those of {train.labels.path.name}: make them the same")
    return train, val


def tdt4265_folder() -> Path:
    """Where the real dataset is looked for and downloaded to: TDT4265_DATA, or tdt4265_2022 in the cache folder."""
    return paths.expanded(os.environ.get("TDT4265_DATA") or paths.cache() / "tdt4265_2022")


def source_folder(source: str) -> Path:
    """The folder of a source as `load` takes it; "sim" and "sim-clips" are made where they are missing."""
    if source == "sample":
        return paths.assets() / "sample"
    if source in ("sim", "sim-clips"):
        return simulated(source)
    if source == "tdt4265":
        folder = tdt4265_folder()
        with refusing_os_errors(folder):
            if not (folder / "train_annotations.json").is_file():
                raise DataError(
                    f"{folder}: the real dataset is not there: fetch it with `python -m tdt4265.data.download`, "
                    "or set TDT4265_DATA to the folder that holds its train_annotations.json"
                )
        return folder
    folder = paths.expanded(source)
    with refusing_os_errors(folder):
        if not folder.is_dir():
            names = ", ".join(f'"{name}"' for name in NAMES)
            raise DataError(f"{shown(folder)}: no such folder: give {names} or a folder in COCO format")
    return folder


def simulated(name: str) -> Path:
    """The folder of a simulated dataset, "sim" or "sim-clips", generated where it is missing, unfinished or stale."""
    from tdt4265.lidar import CLIPS, STREETS, generate  # heavy (ray casting), and needed once

    try:
        return generate(paths.cache() / name, **(STREETS if name == "sim" else CLIPS), cached=True)
    except (ValueError, RuntimeError, OSError) as error:
        raise DataError(str(error)) from None
