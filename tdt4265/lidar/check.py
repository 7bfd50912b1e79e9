"""How near a simulated train split comes to the real one, figure by figure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

# Wanted: the real dataset. Channels: 26 frames of four of its clips. The rest: all labels of its train split (1,604
# frames, 18,287 boxes).
CHANNELS = ("intensity", "ambient", "range")
MEAN = (0.484, 0.472, 0.211)  # of full scale
STD = (0.302, 0.291, 0.286)
ZERO_RANGE = 0.20  # share of pixels
SHARE = {  # of the boxes
    "car": 0.523, "truck": 0.007, "bus": 0.024, "bicycle": 0.057, "scooter": 0.034, "person": 0.268, "rider": 0.087
}
SIZE = {  # median width and height of a box, pixels
    "car": (19.7, 21.8), "truck": (22.3, 39.1), "bus": (14.1, 19.0), "bicycle": (13.5, 20.2), "scooter": (8.7, 30.4),
    "person": (6.0, 21.5), "rider": (6.7, 24.7),
}
AREAS = (("small", 0, 16**2, 0.49), ("medium", 16**2, 32**2, 0.33), ("large", 32**2, np.inf, 0.18))


@dataclass(frozen=True)
class Row:
    """One figure: measured, wanted (in words, with its tolerance), and whether it is near enough."""

    name: str
    measured: float
    wanted: str
    ok: bool


def within(name: str, measured: float, wanted: float, tolerance: float) -> Row:
    return Row(name, measured, f"{wanted:g} +- {tolerance:g}", bool(abs(measured - wanted) <= tolerance))


def factor(name: str, measured: float, wanted: float, times: float) -> Row:
    ok = bool(wanted / times <= measured <= wanted * times)
    return Row(name, measured, f"{wanted:g}, factor {times:g}", ok)


def between(name: str, measured: float, low: float, high: float) -> Row:
    return Row(name, measured, f"{low:g} to {high:g}", bool(low <= measured <= high))


def measure(folder: str | Path) -> list[Row]:
    """All figures of the train split of a folder. Raises ValueError, in one line, when the split isn't there yet."""
    folder = Path(folder)
    path = folder / "train_annotations.json"
    if not path.exists():
        raise ValueError(f"{path}: isn't there; finish the simulation first (python -m tdt4265.lidar {folder})")
    content = json.loads(path.read_text())
    return _pictures(folder, content["images"]) + _boxes(content)


def _pictures(folder: Path, images: list[dict]) -> list[Row]:
    counts = np.zeros((3, 256))
    for image in images:
        pixels = np.asarray(Image.open(folder / image["file_name"]))
        for channel in range(3):
            counts[channel] += np.bincount(pixels[..., channel].ravel(), minlength=256)
    share = counts / counts.sum(1, keepdims=True)
    level = np.arange(256) / 255
    means = share @ level
    stds = np.sqrt(share @ level**2 - means**2)
    rows = [within(f"{c} mean", m, w, 0.06) for c, m, w in zip(CHANNELS, means, MEAN, strict=True)]
    rows += [within(f"{c} std", s, w, 0.06) for c, s, w in zip(CHANNELS, stds, STD, strict=True)]
    return [*rows, within("zero range share", share[2, 0], ZERO_RANGE, 0.08)]


def _boxes(content: dict) -> list[Row]:
    names = {category["id"]: category["name"] for category in content["categories"]}
    label = np.array([names[a["category_id"]] for a in content["annotations"]], dtype=str)
    sides = np.array([a["bbox"][2:] for a in content["annotations"]], float).reshape(-1, 2)
    area = np.array([a["area"] for a in content["annotations"]], float)
    total = max(len(label), 1)
    rows = [between("boxes a frame", len(label) / len(content["images"]), 9, 15)]
    rows += [factor(f"{c} share", (label == c).sum() / total, wanted, 1.5) for c, wanted in SHARE.items()]
    rows += [between("motorcycle share", (label == "motorcycle").sum() / total, 0, 0.02)]
    for name, least, most, wanted in AREAS:
        rows.append(within(f"{name} share", ((area >= least) & (area < most)).sum() / total, wanted, 0.10))
    for c, wanted in SIZE.items():
        width, height = np.median(sides[label == c], axis=0) if (label == c).any() else (np.nan, np.nan)
        rows += [factor(f"{c} width", width, wanted[0], 1.4), factor(f"{c} height", height, wanted[1], 1.4)]
    return rows


def table(rows: list[Row]) -> str:
    lines = [f"{'':20} {'measured':>9}  {'wanted':20}"]
    lines += [f"{r.name:20} {r.measured:9.3f}  {r.wanted:20} {'ok' if r.ok else 'off'}" for r in rows]
    return "\n".join(lines)
