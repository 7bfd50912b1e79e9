"""How near a simulated train split comes to the real one, figure by figure.

What a folder's images and boxes tell is measured alike in real and in simulated folders; distances come from the
heights of boxes. What only a simulator knows (which box belongs to which road user, and whether that moves) is compared
with what was counted by hand in real clips.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from .sensor import COLUMNS, FIELD_OF_VIEW, ROWS

# Wanted: the real dataset. Channels: 26 frames of four of its clips. Boxes: all labels of its train split (1,604
# frames, 18,287 boxes), where a comment does not say otherwise.
CHANNELS = ("intensity", "ambient", "range")
MEAN = (0.484, 0.472, 0.211)  # of full scale
STD = (0.302, 0.291, 0.286)
ZERO_RANGE = 0.20  # share of pixels
SHARE = {  # of the boxes
    "car": 0.523, "truck": 0.007, "bus": 0.024, "bicycle": 0.057, "scooter": 0.034, "person": 0.268, "rider": 0.087
}  # fmt: skip
SIZE = {  # median width and height of a box, pixels
    "car": (19.7, 21.8), "truck": (22.3, 39.1), "bus": (14.1, 19.0), "bicycle": (13.5, 20.2), "scooter": (8.7, 30.4),
    "person": (6.0, 21.5), "rider": (6.7, 24.7),
}  # fmt: skip
AREAS = (("small", 0, 16**2, 0.49), ("medium", 16**2, 32**2, 0.33), ("large", 32**2, np.inf, 0.18))
# Metres that a box of the class is high, drawn loosely as they are, and the median distance in metres that follows from
# the heights of boxes that no edge cuts.
METRES = {
    "car": (1.55, 32), "truck": (3.6, 40), "bus": (3.5, 66), "bicycle": (1.17, 19), "scooter": (1.3, 16),
    "person": (1.88, 32), "rider": (1.87, 27),
}  # fmt: skip
# Percentiles 5, 50, 95 of width / height of the same boxes. Buses: between the medians of train (0.70, from the front)
# and val (1.43, from the side).
SHAPE = {
    "car": (0.63, 0.95, 1.50), "truck": (0.44, 0.48, 1.31), "bus": (0.53, 1.0, 1.8), "bicycle": (0.33, 0.67, 0.99),
    "scooter": (0.18, 0.31, 0.49), "person": (0.19, 0.27, 0.40), "rider": (0.18, 0.29, 0.56),
}  # fmt: skip
# Median lower edge (row) and width / height of boxes that no edge of the image cuts, by box height in rows: real train,
# real val; None where a split has fewer than 30 such boxes. The lower edge tells how far away an object stands, so
# these figures tell how high a box is drawn at a given distance.
HEIGHTS = ((12, 18), (18, 25), (25, 35), (35, 48), (48, 70))
LOWER_EDGE = {
    "car": ((85.2, 86.3), (92.9, 93.8), (104.1, 105.8), (117.0, 119.3), (121.1, None)),
    "person": ((86.6, 79.8), (90.2, 91.8), (99.1, 103.4), (113.1, 115.2), (120.2, 123.0)),
    "rider": ((82.3, 83.0), (87.5, None), (101.4, None), (112.9, None), (119.8, None)),
    "bus": ((67.3, None), (72.6, None), (82.6, None), (None, None), (None, None)),
}  # fmt: skip
WIDTH_TO_HEIGHT = {
    "car": ((1.19, 1.07), (0.87, 0.80), (0.77, 0.92), (0.81, 1.05), (0.76, None)),
    "person": ((0.33, 0.25), (0.28, 0.24), (0.25, 0.24), (0.21, 0.22), (0.21, 0.21)),
    "rider": ((0.38, 0.64), (0.30, None), (0.25, None), (0.22, None), (0.28, None)),
    "bus": ((0.63, None), (0.71, None), (0.83, None), (None, None), (None, None)),
}  # fmt: skip
# Visible things a frame, at least 20 pixels of each, that are never labelled but resemble road users. The real labels
# do not count them, so these are only lower bounds: a town without them would be too tidy.
CLUTTER = {
    "bench": 0.5, "bicycle rack": 0.5, "bin": 0.5, "bollard": 0.5, "cabinet": 0.5, "cafe": 0.1, "fence": 0.5,
    "hedge": 0.5, "planter": 0.5, "railing": 0.2, "shop window": 1.0, "sign board": 0.05, "trailer": 0.2,
}  # fmt: skip
# Median IoU of a box with the best one of its class so many seconds later.
OVERLAP_LATER = {0.1: 0.79, 1.0: 0.11, 2.0: 0.0}


@dataclass(frozen=True)
class Row:
    """One figure: measured, wanted (in words, with its tolerance), and whether it is near enough.

    ok: None for a figure that is only shown beside the real one. count: the number of boxes behind a figure of few.
    """

    name: str
    measured: float
    wanted: str
    ok: bool | None
    count: int | None = None


def within(name: str, measured: float, wanted: float, tolerance: float) -> Row:
    return Row(name, measured, f"{wanted:g} +- {tolerance:g}", bool(abs(measured - wanted) <= tolerance))


def factor(name: str, measured: float, wanted: float, times: float) -> Row:
    ok = bool(wanted / times <= measured <= wanted * times)
    return Row(name, measured, f"{wanted:g}, factor {times:g}", ok)


def between(name: str, measured: float, low: float, high: float) -> Row:
    return Row(name, measured, f"{low:g} to {high:g}", bool(low <= measured <= high))


@dataclass(frozen=True)
class Boxes:
    """A split's boxes as arrays, one entry a box. frame: index of its image; shape: image size may not differ."""

    label: np.ndarray
    corners: np.ndarray  # float64 [N, 4], x1, y1, x2, y2
    frame: np.ndarray
    frames: int

    @classmethod
    def of(cls, content: dict) -> Boxes:
        names = {category["id"]: category["name"] for category in content["categories"]}
        place = {image["id"]: i for i, image in enumerate(content["images"])}
        entries = content["annotations"]
        corners = np.array([entry["bbox"] for entry in entries], float).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        label = np.array([names[entry["category_id"]] for entry in entries], dtype=str)
        return cls(label, corners, np.array([place[e["image_id"]] for e in entries], int), len(content["images"]))

    @property
    def width(self) -> np.ndarray:
        return self.corners[:, 2] - self.corners[:, 0]

    @property
    def height(self) -> np.ndarray:
        return self.corners[:, 3] - self.corners[:, 1]

    @property
    def at_bottom(self) -> np.ndarray:
        return self.corners[:, 3] >= ROWS - 0.5

    @property
    def at_seam(self) -> np.ndarray:
        return (self.corners[:, 0] <= 0.5) | (self.corners[:, 2] >= COLUMNS - 0.5)

    @property
    def whole(self) -> np.ndarray:
        """Boxes that no edge of the image cuts."""
        x1, y1, x2, y2 = self.corners.T
        return (x1 > 1) & (y1 > 1) & (x2 < COLUMNS - 1) & (y2 < ROWS - 1)


def measure(folder: str | Path) -> list[Row]:
    """All figures of the train split of a folder. Raises ValueError, in one line, when the split isn't there yet."""
    folder = Path(folder)
    path = folder / "train_annotations.json"
    if not path.exists():
        raise ValueError(f"{path}: isn't there; finish the simulation first (python -m tdt4265.lidar {folder})")
    content = json.loads(path.read_text())
    boxes = Boxes.of(content)
    rows = image_rows(folder, content["images"], boxes) + share_rows(boxes) + size_rows(boxes) + place_rows(boxes)
    rows += geometry_rows(boxes) + crowd_rows(boxes) + clutter_rows(content["images"])
    rows += motion_rows(content["images"], boxes)
    return rows + truth_rows(content["annotations"], boxes)


# What the images tell -----------------------------------------------------------------------------------------------


def image_rows(folder: Path, images: list[dict], boxes: Boxes) -> list[Row]:
    counts = np.zeros((3, 256))
    figures: dict[str, list[float]] = {}
    for index, image in enumerate(images):
        pixels = np.asarray(Image.open(folder / image["file_name"]))
        for channel in range(3):
            counts[channel] += np.bincount(pixels[..., channel].ravel(), minlength=256)
        one = boxes.frame == index
        found = _texture(pixels.astype(float)) | _of_classes(pixels, boxes.label[one], boxes.corners[one])
        for name, value in found.items():
            figures.setdefault(name, []).extend(np.atleast_1d(value))
    share = counts / counts.sum(1, keepdims=True)
    level = np.arange(256) / 255
    means = share @ level
    stds = np.sqrt(share @ level**2 - means**2)
    rows = [within(f"{c} mean", m, w, 0.06) for c, m, w in zip(CHANNELS, means, MEAN, strict=True)]
    rows += [within(f"{c} std", s, w, 0.06) for c, s, w in zip(CHANNELS, stds, STD, strict=True)]
    rows.append(within("zero range share", share[2, 0], ZERO_RANGE, 0.08))
    median_range = np.searchsorted(share[2].cumsum(), 0.5)
    mean = {name: float(np.mean(values)) for name, values in figures.items() if values}
    median = {name: float(np.median(values)) for name, values in figures.items() if values}
    nothing = float("nan")
    return [
        *rows,
        within("range median", median_range, 19, 14),
        between("edges with a pixel between", mean["edges"], 0.38, 0.57),
        within("ambient correlation", mean["correlation"], 0.905, 0.03),
        factor("ambient steps over 60, upper half", mean["steps"], 0.063, 1.5),
        factor("isolated zero ranges", mean["isolated"], 0.0144, 1.5),
        within("zero range where dark, lower half", mean["dark zeros"], 0.43, 0.15),
        factor("rows' gains, std", mean["gains"], 0.040, 1.25),
        factor("person ambient", median.get("person ambient", nothing), 117, 1.15),
        factor("person to asphalt, ambient", median.get("person to asphalt", nothing), 1.8, 1.15),
        factor("car ambient, upper to lower third", median.get("car upper to lower", nothing), 1.8, 1.15),
        between("car intensity, 10th percentile", median.get("car dark", nothing), 0, 6),
    ]


def _texture(pixels: np.ndarray) -> dict[str, float]:
    """Figures of one frame, float [H, W, 3]."""
    intensity, ambient, ranges = np.moveaxis(pixels, 2, 0)
    rows = ranges.shape[0]
    zero = ranges == 0
    ring = np.pad(np.pad(zero, ((1, 1), (0, 0)), mode="edge"), ((0, 0), (1, 1)), mode="wrap")
    neighbours = ring[:-2, 1:-1] | ring[2:, 1:-1] | ring[1:-1, :-2] | ring[1:-1, 2:]
    dark = intensity[rows // 2 :] < 10
    steps = np.abs(np.diff(ambient[: rows // 2], axis=1)) > 60
    return {
        "edges": 0.5 * (_soft_edges(intensity) + _soft_edges(ambient)),
        "correlation": float(np.corrcoef(ambient[:, :-1].ravel(), ambient[:, 1:].ravel())[0, 1]),
        "steps": float(steps.mean()),
        "isolated": float((zero & ~neighbours).mean()),
        "dark zeros": float(zero[rows // 2 :][dark].mean()) if dark.any() else 0.0,
        "gains": _gains_spread(intensity),
    }


def _soft_edges(channel: np.ndarray, step: float = 80) -> float:
    """Share of the steps along rows (over two columns) whose middle pixel lies well between their ends."""
    left, middle, right = channel[:, :-2], channel[:, 1:-1], channel[:, 2:]
    strong = np.abs(right - left) > step
    along = (middle - left)[strong] / (right - left)[strong]
    return float(((along > 0.2) & (along < 0.8)).mean()) if strong.any() else 0.0


def _gains_spread(channel: np.ndarray) -> float:
    """Standard deviation over rows of a row's brightness relative to its neighbours', where those two agree."""
    gains = []
    for above, row, below in zip(channel[:-2], channel[1:-1], channel[2:], strict=True):
        around = 0.5 * (above + below)
        even = (around > 40) & (around < 200) & (np.abs(above - below) < 20)
        if even.sum() > 30:
            gains.append(np.median(row[even] / around[even]))
    return float(np.std(gains)) if gains else 0.0


def _of_classes(pixels: np.ndarray, label: np.ndarray, corners: np.ndarray) -> dict[str, list[float]]:
    """Figures of persons and cars at least 15 pixels high, of one frame uint8 [H, W, 3]."""
    found = {"person ambient": [], "person to asphalt": [], "car upper to lower": [], "car dark": []}
    asphalt = np.percentile(pixels[-8:, :, 1], 25)  # the lowest rows show the road, and brighter pavements and grass
    for name, (x1, y1, x2, y2) in zip(label, corners, strict=True):
        if y2 - y1 < 15 or name not in ("person", "car"):
            continue
        if name == "person":
            margin = (0.25 * (x2 - x1), 0.25 * (y2 - y1))
            inner = _crop(pixels, x1 + margin[0], y1 + margin[1], x2 - margin[0], y2 - margin[1])
            found["person ambient"].append(np.median(inner[..., 1]))
            found["person to asphalt"].append((np.median(inner[..., 1]) + 1) / (asphalt + 1))
        else:
            crop = _crop(pixels, x1, y1, x2, y2)
            third = max(len(crop) // 3, 1)
            upper, lower = crop[:third, :, 1].mean(), crop[-third:, :, 1].mean()
            found["car upper to lower"].append((upper + 1) / (lower + 1))
            found["car dark"].append(np.percentile(crop[..., 0], 10))
    return found


def _crop(pixels: np.ndarray, x1: float, y1: float, x2: float, y2: float) -> np.ndarray:
    left, top = round(x1), round(y1)
    return pixels[top : max(round(y2), top + 1), left : max(round(x2), left + 1)]


# What the boxes tell --------------------------------------------------------------------------------------------------


def share_rows(boxes: Boxes) -> list[Row]:
    total = max(len(boxes.label), 1)
    area = boxes.width * boxes.height
    rows = [between("boxes a frame", total / boxes.frames, 9, 18.4)]  # val: 18.4
    shares = {c: (boxes.label == c).sum() / total for c in SHARE}
    rows += [factor(f"{c} share", shares[c], wanted, 1.5) for c, wanted in SHARE.items() if c != "person"]
    rows.append(between("person share", shares["person"], SHARE["person"] / 1.5, 0.667))  # val: 0.667
    rows += [between("motorcycle share", (boxes.label == "motorcycle").sum() / total, 0, 0.02)]
    for name, least, most, wanted in AREAS:
        rows.append(within(f"{name} share", ((area >= least) & (area < most)).sum() / total, wanted, 0.10))
    return rows


def size_rows(boxes: Boxes) -> list[Row]:
    rows = []
    pixel = FIELD_OF_VIEW / ROWS
    shape = boxes.width / boxes.height
    for c, wanted in SIZE.items():
        width, height = (_percentile(side[boxes.label == c], 50) for side in (boxes.width, boxes.height))
        rows.append(factor(f"{c} width", width, wanted[0], 1.4))
        if c != "person":
            rows.append(factor(f"{c} height", height, wanted[1], 1.4))
    for c, (metres, wanted) in METRES.items():
        whole = (boxes.label == c) & boxes.whole
        distance = metres / np.tan(pixel * boxes.height[whole])
        if c != "person":
            rows.append(factor(f"{c} distance, m", _percentile(distance, 50), wanted, 1.25))
        rows.append(factor(f"{c} width / height", _percentile(shape[whole], 50), SHAPE[c][1], 1.25))
    for c in ("car", "bicycle", "scooter", "person"):
        whole = (boxes.label == c) & boxes.whole
        for percent, wanted in zip((5, 95), SHAPE[c][::2], strict=True):
            rows.append(factor(f"{c} width / height, p{percent}", _percentile(shape[whole], percent), wanted, 1.25))
    person = boxes.label == "person"
    bus = boxes.width[boxes.label == "bus"]
    return [
        *rows,
        # From a little below train's figures (21.5 and 32) to val's.
        between("person height", _percentile(boxes.height[person], 50), 15.4, 42.0),
        between("person distance, m", _distance(boxes, person), 17.5, 40),
        factor("person width at height 20", _width_at(boxes, 20), 5.5, 1.25),
        factor("person width at height 40", _width_at(boxes, 40), 9.0, 1.25),
        factor("person height, p1", _percentile(boxes.height[person], 1), 8.3, 1.25),
        factor("car height, p5", _percentile(boxes.height[boxes.label == "car"], 5), 8.3, 1.25),
        between("bus width, p95", _percentile(bus, 95), 100, 300),  # 214 in train, 191 in val
    ]


def _distance(boxes: Boxes, person: np.ndarray) -> float:
    """Median distance of persons in metres, from the heights of boxes that no edge cuts."""
    height = boxes.height[person & boxes.whole]
    return _percentile(METRES["person"][0] / np.tan(FIELD_OF_VIEW / ROWS * height), 50)


def _percentile(values: np.ndarray, percent: float) -> float:
    return float(np.percentile(values, percent)) if len(values) else float("nan")


def _width_at(boxes: Boxes, height: float) -> float:
    """Width of a person's box of the given height, by a straight line through those that no edge cuts."""
    person = (boxes.label == "person") & boxes.whole
    if person.sum() < 2:
        return float("nan")
    return float(np.polyval(np.polyfit(boxes.height[person], boxes.width[person], 1), height))


def place_rows(boxes: Boxes) -> list[Row]:
    car, person = boxes.label == "car", (boxes.label == "person") & boxes.whole
    middle = boxes.corners[:, ::2].mean(1)
    sixteenths = np.histogram(middle, 16, (0, COLUMNS))[0] / max(len(middle), 1)
    # On a level street a person's foot lies below the horizon by what the sensor is high, 1.17 times a box's metres.
    horizon = boxes.corners[person, 3] - 1.17 * boxes.height[person]
    return [
        between("horizon, row", _percentile(horizon, 50), 64, 68),  # 66.9 in train, 65.1 in val
        within("boxes at the bottom", boxes.at_bottom.mean(), 0.17, 0.03),
        # Within 0.03 of what lies between val (0.010, cars 0.040) and train (0.064, cars 0.119), where it follows the
        # clips' fixed headings.
        between("boxes at the seam", boxes.at_seam.mean(), 0.0, 0.094),
        between("cars at the seam", boxes.at_seam[car].mean() if car.any() else np.nan, 0.010, 0.149),
        between("fullest 16th of the columns", sixteenths.max(), 0.0625, 0.09),  # even: 0.0625
        within("cars that overlap by IoU 0.3", _overlapping(boxes, car), 0.061, 0.03),
    ]


def _overlapping(boxes: Boxes, which: np.ndarray, least: float = 0.3) -> float:
    """Share of the boxes that overlap another one of the frame by more than `least`."""
    hits = 0
    for frame in np.unique(boxes.frame[which]):
        corners = boxes.corners[which & (boxes.frame == frame)]
        overlap = iou(corners, corners)
        np.fill_diagonal(overlap, 0)
        hits += (overlap.max(1) > least).sum()
    return hits / max(which.sum(), 1)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU float64 [A, B] of boxes [A, 4] and [B, 4] as x1, y1, x2, y2."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    both = np.clip(sides, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    return both / (areas[0][:, None] + areas[1][None] - both)


def geometry_rows(boxes: Boxes) -> list[Row]:
    """Lower edge and width / height of boxes that no edge of the image cuts, by their height."""
    rows = []
    whole = (boxes.corners[:, 0] > 1) & (boxes.corners[:, 2] < COLUMNS - 1) & (boxes.corners[:, 3] < ROWS - 2)
    for what, values, real in (
        ("lower edge", boxes.corners[:, 3], LOWER_EDGE),
        ("width / height", boxes.width / boxes.height, WIDTH_TO_HEIGHT),
    ):
        for c, wanted in real.items():
            for (low, high), medians in zip(HEIGHTS, wanted, strict=True):
                which = whole & (boxes.label == c) & (boxes.height >= low) & (boxes.height < high)
                measured = _percentile(values[which], 50)
                shown = ", ".join("-" if median is None else f"{median:g}" for median in medians)
                row = Row(f"{c} of {low} to {high} rows, {what}", measured, f"real {shown}", None, int(which.sum()))
                rows.append(_held(row, c, what, low, medians))
    return rows


def _held(row: Row, label: str, what: str, low: int, medians: tuple) -> Row:
    """The row with a verdict if it is about small cars, which are far away; else as it is."""
    if label == "car" and what == "lower edge" and low < 35:
        least, most = min(medians) - 1.2, max(medians) + 1.2
        return replace(row, wanted=f"{row.wanted}; +- 1.2", ok=bool(least <= row.measured <= most))
    if label == "car" and what == "width / height" and low < 18:
        return replace(row, wanted=f"{row.wanted}; at least 0.9", ok=bool(row.measured >= 0.9))
    return row


def crowd_rows(boxes: Boxes) -> list[Row]:
    """How many persons a frame shows, how close together they are, and how tall near ones."""
    person = boxes.label == "person"
    counts = np.bincount(boxes.frame[person], minlength=boxes.frames)
    height = boxes.height[person]
    tall = {least: float((height > least).mean()) if person.any() else 0.0 for least in (40, 60)}
    return [
        between("persons a frame, median", float(np.median(counts)), 3, 8),  # train 3, val 8
        between("persons a frame, 95th percentile", float(np.percentile(counts, 95)), 8, 43),  # train 8, val 43
        between("persons a frame, most", float(counts.max()), 45, np.inf),  # train 9, val 54
        between("persons with 3 or more neighbours", _crowded(boxes, person), 0.25, 0.57),  # train 0.02, val 0.56
        between("persons over 40 pixels", tall[40], 0.30, 0.56),  # train 0.21, val 0.55
        between("persons over 60 pixels", tall[60], 0.02, 0.12),  # train 0.02, val 0.12
    ]


def _crowded(boxes: Boxes, which: np.ndarray, least: int = 3) -> float:
    """Share of the boxes with at least `least` neighbours: boxes whose centre lies within one height of the box to the
    left or right, and whose height differs by less than a factor of 1.75."""
    close = 0
    for frame in np.unique(boxes.frame[which]):
        one = which & (boxes.frame == frame)
        height, middle = boxes.height[one], boxes.corners[one][:, ::2].mean(1)
        near = np.abs(middle[:, None] - middle) <= height[:, None]
        like = np.abs(np.log(height[:, None] / height)) < np.log(1.75)
        close += ((near & like).sum(1) > least).sum()  # each is near itself
    return close / max(which.sum(), 1)


def clutter_rows(images: list[dict]) -> list[Row]:
    """Visible clutter a frame, by kind; [] for labels that do not count it."""
    if not images or "clutter" not in images[0]:
        return []
    total = Counter()
    for image in images:
        total.update(image["clutter"])
    frames = len(images)
    return [between(f"{kind}, visible a frame", total[kind] / frames, least, np.inf) for kind, least in CLUTTER.items()]


def motion_rows(images: list[dict], boxes: Boxes) -> list[Row]:
    """How much boxes move from a frame to the next of its clip, where the frames are as far apart as was measured."""
    place = {_clip_and_number(image["file_name"]): i for i, image in enumerate(images)}
    numbers = sorted({number for _, number in place})
    apart = min(np.diff(numbers), default=0)
    wanted = OVERLAP_LATER.get(apart / 10)
    if wanted is None:
        return []
    kept = []
    for (clip, number), now in place.items():
        later = place.get((clip, number + apart))
        if later is None:
            continue
        for name in np.unique(boxes.label[boxes.frame == now]):
            a, b = (boxes.corners[(boxes.frame == f) & (boxes.label == name)] for f in (now, later))
            kept += list(iou(a, b).max(1, initial=0))
    return [within(f"IoU {apart / 10:g} s later", _percentile(np.array(kept), 50), wanted, 0.12)]


def _clip_and_number(file_name: str) -> tuple[str, int]:
    clip, number = re.fullmatch(r"(.*)_(\d+)\.\w+", file_name).groups()
    return clip, int(number)


# What only a simulator knows ------------------------------------------------------------------------------------------


def truth_rows(annotations: list[dict], boxes: Boxes) -> list[Row]:
    """Whether road users move, and how loosely boxes lie around what is seen; [] where the labels don't say."""
    if not annotations or "track_id" not in annotations[0]:
        return []
    moves = {}
    for entry, name in zip(annotations, boxes.label, strict=True):
        moves.setdefault(name, {})[entry["track_id"]] = entry["moves"]
    rows = []
    for name, plural, wanted in (("car", "cars", 0.18), ("bus", "buses", 0.14)):
        tracks = list(moves.get(name, {}).values())
        rows.append(within(f"{plural} that stand", 1 - np.mean(tracks) if tracks else np.nan, wanted, 0.10))
    slack = [_slack(entry) for entry, name, whole in zip(annotations, boxes.label, boxes.whole, strict=True)
             if name == "car" and whole]  # fmt: skip
    slack = [s for s in slack if s is not None]
    return [*rows, factor("cars' slack, pixels a side", np.mean(slack) if slack else np.nan, 1.13, 1.25)]


def _slack(entry: dict) -> float | None:
    """Mean distance of a box's left, right and upper edge from what is seen; None where much is hidden."""
    mask = coco_mask.decode(entry["segmentation"])
    x, y, width, height = entry["bbox"]
    left, top, wide, high = coco_mask.toBbox(entry["segmentation"])
    if mask.sum() < 0.5 * width * height or height - high > 5:
        return None
    return float(np.mean([left - x, x + width - left - wide, top - y]))


def table(rows: list[Row]) -> str:
    verdict = {True: "ok", False: "off", None: "shown"}
    lines = [f"{'':40} {'measured':>9} {'n':>6}  {'wanted':28}"]
    for row in rows:
        count = "" if row.count is None else row.count
        lines.append(f"{row.name:40} {row.measured:9.3f} {count:>6}  {row.wanted:28} {verdict[row.ok]}")
    return "\n".join(lines)
