"""Recordings of an Ouster sensor, `.pcap` or `.osf`, as frames like the course's. They need the package ouster-sdk."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from tdt4265.data.coco import DataError

RECORDINGS = (".pcap", ".osf")
INSTALL = 'pip install "tdt4265[ouster]"'


def read_recording(path: Path) -> Iterator[np.ndarray]:
    """uint8 [H, W, 3] of each frame, in time order: laser signal, near infrared and range, of the first return.

    Columns are put where they were measured (the sensor sends each beam's at another time), and each channel is exposed
    as in the course's frames: linear between two percentiles of the frame; a range of 0, nothing measured, is black.

    A `.pcap` needs the sensor's metadata beside it, a `.json` of the same name. Raises DataError, one line, where the
    package is missing or the file can't be read.
    """
    from tdt4265.lidar.sensor import NOISE, expose  # heavy (ray casting), and for these files alone

    sdk, core = _sdk(path)
    try:
        for item in sdk.open_source(str(path)):
            # A list of one frame for each sensor; versions before 1.0 may give the frame itself.
            for frame in [item] if hasattr(item, "sensor_info") else [one for one in item if one is not None]:
                signal, ambient, distance = (
                    core.destagger(frame.sensor_info, np.asarray(frame.field(name))).astype(np.float64)
                    for name in ("SIGNAL", "NEAR_IR", "RANGE")
                )
                channels = (
                    expose(signal, NOISE["low"], NOISE["high"]),
                    expose(ambient, NOISE["low"], NOISE["high"]),
                    expose(distance, NOISE["near"], NOISE["far"], measured=distance > 0),
                )
                yield np.stack(channels, axis=-1)
    except Exception as error:  # whatever the sensor's library makes of a damaged file
        reason = " ".join(str(error).split())[:150]
        mend = "is its metadata, a .json of the same name, beside it?" if path.suffix == ".pcap" else "record it again"
        raise DataError(f"{path}: cannot be read as a recording ({reason}): {mend}") from None


def _sdk(path: Path) -> tuple[ModuleType, ModuleType]:
    try:
        return importlib.import_module("ouster.sdk"), importlib.import_module("ouster.sdk.core")
    except ImportError:
        raise DataError(f"{path}: recordings are read by the package ouster-sdk: {INSTALL}") from None
