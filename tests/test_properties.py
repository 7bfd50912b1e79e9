"""The doors stay shut: whatever a file holds, it is refused in one line of at most 300 characters, or what comes out
is valid.

    pytest tests/test_properties.py                             2,000 examples of each, the same every time
    pytest tests/test_properties.py --hypothesis-profile long   50,000, others every time
"""

import copy
import io
import itertools
import json
import math
from pathlib import Path
from typing import NamedTuple

import lightning
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as rle
from test_training import CONFIG, Frames, Tiny

from tdt4265 import devices, evaluation, records, results, training, weights
from tdt4265.contract import TASKS
from tdt4265.data import CocoDetection, DataError, read_pixels
from tdt4265.models.detector import IMAGE_MEAN, IMAGE_STD
from tdt4265.paths import write_whole
from tdt4265.recipes import ALL_RECIPES
from tdt4265.training import TrainingError

SIDE = 16


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (((columns - x) ** 2 + (rows - y) ** 2) <= radius**2).astype(np.uint8)


def counts_of(mask: np.ndarray) -> list[int]:
    """Uncompressed run-length code."""
    flat = mask.flatten(order="F")
    ends = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    return [0] * int(flat[0]) + [b - a for a, b in itertools.pairwise(ends)]


def text_of(mask: np.ndarray) -> str:
    return rle.encode(np.asfortranarray(mask))["counts"].decode()


SEGMENTATIONS = [
    [[1, 1, 9, 1, 9, 9, 1, 9]],
    {"size": [SIDE, SIDE], "counts": counts_of(disc(8, 8, 4))},
    {"size": [SIDE, SIDE], "counts": text_of(disc(4, 9, 3))},
]
LABELS = {
    "info": {},
    "images": [
        {"id": 1, "width": SIDE, "height": SIDE, "file_name": "images/a_1.png"},
        {"id": 2, "width": SIDE, "height": SIDE, "file_name": "images/a_2.jpg"},
    ],
    "categories": [
        {"id": 1, "name": "car"},
        {"id": 3, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"], "skeleton": [[1, 2]]},
    ],
    "annotations": [
        {"id": i, "image_id": 1 + i % 2, "category_id": 3, "bbox": [2.5, 1, 9, 10.0], "area": 90, "iscrowd": 0}
        | {"segmentation": segmentation, "keypoints": [3, 3, 2, 4.5, 4, 1, 0, 0, 0], "num_keypoints": 2}
        for i, segmentation in enumerate(SEGMENTATIONS)
    ],
}
RESULTS = [
    {"image_id": 1 + i % 2, "category_id": 3, "bbox": [2.0, 1.5, 9, 10], "score": 0.5 + i / 10}
    | {"segmentation": {"size": [SIDE, SIDE], "counts": text_of(disc(8, 8 - i, 4))}, "keypoints": [3.5, 3, 1] * 3}
    for i in range(3)
]

ODD = [0, -1, 1, 3, 0.5, -0.0, 1e-45, 1e-300, 1e39, 1e308, math.nan, math.inf, -math.inf, 2**31, 2**53 + 1, 2**63]
ODD += [-(2**63), 10**12, 10**400, "", "a", "1", "car", "\n", "\x1b[31m", "\x00", "\ud800", "\u2028", "..", "/", "~"]
ODD += [".", "images", "a" * 300, "images/a_1.png", "./images/a_1.png", "images/a_2.jpg", [], {}, [[]]]
ODD += [[0] * 4, [1] * 9, [0, 0, 1, 1], None, True, False]
SCALARS = st.sampled_from(ODD) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw, *documents):
    """One of the documents, in which a few values are others, are gone, or are there twice."""
    root = [copy.deepcopy(draw(st.sampled_from(documents)))]
    for _ in range(draw(st.integers(1, 3))):
        place, key = root, 0
        while isinstance(place[key], (list, dict)) and place[key] and draw(st.integers(0, 9)):
            place = place[key]
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        what = draw(st.sampled_from(["other", "other", "other", "gone", "twice"]))
        if what == "other" or place is root:
            place[key] = copy.deepcopy(draw(SCALARS | ANY))
        elif what == "gone":
            del place[key]
        elif isinstance(place, list):
            place.append(copy.deepcopy(place[key]))
    return root[0]


@st.composite
def damaged(draw, *wholes: bytes):
    """The bytes of a file with a few of them others, a part gone, or something in between."""
    content = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        what = draw(st.sampled_from(["bit", "bytes", "cut", "insert"]))
        if what == "bit" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "bytes":
            new = draw(st.binary(min_size=1, max_size=8))
            content[at : at + len(new)] = new
        elif what == "cut":
            del content[at : at + draw(st.integers(1, len(content) + 1))]
        else:
            content[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(content)


@pytest.fixture(scope="module", autouse=True)
def base(tmp_path_factory) -> None:
    """The folder of all files here counts as none: how long its name is, is no message's fault."""
    check_line.base = str(tmp_path_factory.getbasetemp())


def check_line(error: Exception) -> None:
    text = str(error).replace(check_line.base, "")
    assert text and text.isprintable() and len(text) <= 240, text


# Labels, masks, pictures ----------------------------------------------------------------------------------------------


def picture(kind: str, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


PICTURES = [picture(kind, mode) for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF") for mode in ("RGB", "L")]
PICTURES += [picture(kind) for kind in ("GIF", "PPM", "DDS", "SGI", "TGA", "ICO")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder whose labels are written anew for each example."""
    folder = tmp_path_factory.mktemp("frames")
    (folder / "images").mkdir()
    (folder / "images" / "a_1.png").write_bytes(picture("PNG"))
    (folder / "images" / "a_2.jpg").write_bytes(picture("JPEG"))
    return folder


def check_frames(folder: Path, tasks: tuple[str, ...]) -> None:
    """The folder is refused in one line, or what it serves is valid."""
    try:
        dataset = CocoDetection(folder, "train", tasks=tasks)
        served = [dataset[i] for i in range(len(dataset))]
    except DataError as error:
        check_line(error)
        return
    for (image, target), entry in zip(served, dataset.coco["images"], strict=True):
        height, width = entry["height"], entry["width"]
        assert image.shape == (3, height, width) and image.dtype == torch.float32
        assert 0 <= image.min() and image.max() <= 1
        boxes = target["boxes"].as_subclass(torch.Tensor)
        assert boxes.dtype == torch.float32 and torch.isfinite(boxes).all()
        assert (boxes[:, :2] < boxes[:, 2:]).all() and (boxes >= 0).all()
        assert (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
        assert all(1 <= label < dataset.num_classes for label in target["labels"].tolist())
        assert torch.isfinite(target["area"]).all() and (target["area"] >= 0).all()
        assert set(target["iscrowd"].tolist()) <= {0, 1}
        count = len(boxes)
        if "segm" in tasks:
            assert target["masks"].shape == (count, height, width) and (target["masks"] <= 1).all()
        if "keypoints" in tasks:
            assert target["keypoints"].shape == (count, len(dataset.keypoint_names), 3)
            assert torch.isfinite(target["keypoints"]).all()


def write_json(path: Path, content: object) -> None:
    write_whole(path, json.dumps(content).encode("utf-8", "surrogatepass"))


WIDE = {**LABELS["images"][0], "width": "\x1f" + "\U0002ebe1" * 9, "height": 10**400}


@given(mutated(LABELS) | ANY, st.sampled_from([("bbox",), ("bbox", "segm"), ("bbox", "keypoints")]))
@example({**LABELS, "images": [WIDE]}, ("bbox",))  # two quotations in a line of 303 characters
def test_labels(folder, content, tasks):
    write_json(folder / "train_annotations.json", content)
    check_frames(folder, tasks)


@given(damaged(json.dumps(LABELS).encode()) | st.binary(max_size=40))
def test_the_text_of_labels(folder, content):
    write_whole(folder / "train_annotations.json", content)
    check_frames(folder, ("bbox",))


RUNS = st.lists(st.sampled_from([0, 1, SIDE, SIDE**2, SIDE**2 - 1, -1]) | st.integers(), max_size=6)
CODES = RUNS | st.sampled_from([text_of(disc(8, 8, r)) for r in (0, 3, 20)]) | st.text(st.characters(max_codepoint=120))
POINTS = st.lists(st.sampled_from([0, 1, -1, SIDE, SIDE + 1, SIDE + 2, 1e8, math.nan]) | st.floats(-2, 18), max_size=9)
MASKS = st.lists(POINTS, max_size=3) | st.fixed_dictionaries(
    {"size": st.sampled_from([[SIDE, SIDE], [SIDE, 1], [0, 0], [2**31, 2]]) | ANY, "counts": CODES | ANY}
)


@given(MASKS | mutated(*SEGMENTATIONS))
def test_masks(folder, segmentation):
    content = copy.deepcopy(LABELS)
    content["annotations"][0]["segmentation"] = segmentation
    write_json(folder / "train_annotations.json", content)
    check_frames(folder, ("bbox", "segm"))


@given(damaged(*PICTURES) | st.binary(max_size=60) | st.sampled_from(PICTURES), st.booleans())
@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged metadata, and goes on
def test_pictures(tmp_path_factory, content, upright):
    folder = tmp_path_factory.getbasetemp() / "pictures"
    path = folder / "images" / "a_1.png"
    write_whole(path, content)
    write_json(folder / "train_annotations.json", {**LABELS, "images": LABELS["images"][:1], "annotations": []})
    check_frames(folder, ("bbox",))
    try:
        pixels = read_pixels(path, upright)
    except DataError as error:
        check_line(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


# Results --------------------------------------------------------------------------------------------------------------


@given(mutated(RESULTS) | ANY, st.sampled_from(sorted(TASKS)))
@example([RESULTS[0] | {"keypoints": [-(2**63) - 1] * 9}], "keypoints")  # numpy has no such numbers
def test_results(folder, content, task):
    write_json(folder / "results.json", content)
    try:
        found = results.load_results(folder / "results.json", LABELS, task)
    except results.ResultsError as error:
        check_line(error)
        return
    figures = evaluation.coco_metrics(LABELS, found, task=task).twelve()
    assert all(figure == -1 or 0 <= figure <= 1 for figure in figures)


@given(mutated(LABELS), st.sampled_from(sorted(TASKS)))
@example({**LABELS, "categories": [{"id": 1, "name": "car"}, {"id": 3, "name": "a", "keypoints": None}]}, "bbox")
def test_labels_to_score_with(folder, content, task):
    """Labels that the scoring command takes are scored."""
    write_json(folder / "labels.json", content)
    try:
        labels = results._read_labels(folder / "labels.json", task)
    except results.ResultsError as error:
        check_line(error)
        return
    figures = evaluation.coco_metrics(labels, [], task=task).twelve()
    assert all(figure in (-1, 0) for figure in figures)


# Checkpoints and records ----------------------------------------------------------------------------------------------


class Left(NamedTuple):
    """What a run left: its folder, the bytes of its checkpoint and of its record, and the checkpoint's state."""

    folder: Path
    checkpoint: bytes
    record: bytes
    state: dict
    fabric: lightning.Fabric | None = None


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Left:
    """A run of the stand-in detector, ended."""
    folder, fabric = tmp_path_factory.mktemp("run"), devices.launch("cpu", "32-true")
    train_again(folder, fabric, resume=False)
    record = folder / training.RECORD
    (folder / training.CHECKPOINT).rename(folder / "whole.pt")
    state = training.read_checkpoint(folder / "whole.pt")
    return Left(folder, (folder / "whole.pt").read_bytes(), record.read_bytes(), state, fabric)


def train_again(folder: Path, fabric: lightning.Fabric, resume: bool) -> None:
    header = {"dataset": {"name": "sim"}}
    where = {"output_dir": folder, "devices": fabric, "resume": resume}
    training.fit(Tiny(), Frames(), None, CONFIG, epochs=1, header=header, **where)


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@given(st.data())
def test_damaged_checkpoints(run, examples):
    path = run.folder / "damaged.pt"
    write_whole(path, examples.draw(damaged(run.checkpoint)))
    try:
        found = training.read_checkpoint(path)
    except TrainingError as error:
        check_line(error)
    else:
        assert same(found, run.state)


@given(st.data())
def test_checkpoints_of_other_parts(run, examples):
    """Whole files, in which a run finds something else than it left."""
    folder = run.folder / "other"
    state = examples.draw(mutated(run.state))
    write_whole(folder / training.CHECKPOINT, lambda path: torch.save(state, path))
    (folder / training.RECORD).unlink(missing_ok=True)
    try:
        train_again(folder, run.fabric, resume=True)
    except TrainingError as error:
        check_line(error)


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> Left:
    """A checkpoint of a recipe, as `weights.load` takes it."""
    path = tmp_path_factory.mktemp("detector") / "whole.pt"
    recipe = ALL_RECIPES["ssd"].small()
    header = {"recipe": "ssd", "size": "small", "parts": recipe.as_dict(), "classes": {"1": "car", "2": "person"}}
    header |= {"normalisation": {"mean": list(IMAGE_MEAN), "std": list(IMAGE_STD)}}
    model = recipe.build_model(num_classes=3, pretrained=False).state_dict()
    torch.save({"model": model, "header": json.loads(json.dumps(header)), "epochs": [{"epoch": 1}]}, path)
    assert weights.load(path).categories == {1: "car", 2: "person"}
    return Left(path.parent, path.read_bytes(), b"", training.read_checkpoint(path))


@given(st.data())
def test_detectors_of_other_parts(detector, examples):
    path = detector.folder / "other.pt"
    state = detector.state | {"header": examples.draw(mutated(detector.state["header"]))}
    write_whole(path, lambda place: torch.save(state, place))
    try:
        model = weights.load(path)
    except weights.WeightsError as error:
        check_line(error)
    else:
        assert all(isinstance(name, str) and label > 0 for label, name in model.categories.items())


@given(st.data())
def test_records(run, examples):
    path = run.folder / "damaged.jsonl"
    write_whole(path, examples.draw(damaged(run.record)))
    try:
        record = records.read(path)
    except records.RecordError as error:
        check_line(error)
        return
    assert isinstance(record.header, dict) and all(isinstance(line, dict) for line in record.epochs)
    assert [line["epoch"] for line in record.epochs] == list(range(1, len(record.epochs) + 1))
