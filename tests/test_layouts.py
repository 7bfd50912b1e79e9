"""COCO 2017's layout, as it is downloaded, in miniature: it loads, trains and is evaluated like any other folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle

from tdt4265 import train
from tdt4265.data import DataError, load
from tdt4265.data.layouts import layout

# Three of COCO's 80 categories, whose ids go to 90 and leave some out.
CATEGORIES = [
    {"supercategory": "person", "id": 1, "name": "person"},
    {"supercategory": "outdoor", "id": 13, "name": "stop sign"},
    {"supercategory": "indoor", "id": 90, "name": "toothbrush"},
]
SIZES = [(120, 90), (90, 130), (150, 100), (64, 64)]


def polygon(x: float, y: float, w: float, h: float) -> list[list[float]]:
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def write_coco(folder: Path, points: bool = False) -> None:
    """Four images a split: one grayscale, one without boxes, one with a crowd, one box of no height."""
    rng = np.random.default_rng(0)
    for split in ("train2017", "val2017"):
        (folder / split).mkdir(parents=True)
        images = []
        for number, (width, height) in enumerate(SIZES):
            image_id = 400 - 9 * number
            name = f"{image_id:012d}.jpg"
            image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
            (image.convert("L") if number == 1 else image).save(folder / split / name)
            address = {"license": 3, "coco_url": f"http://images.cocodataset.org/{split}/{name}"}
            images.append({**address, "file_name": name, "height": height, "width": width, "id": image_id})
        crowd = np.zeros((SIZES[0][1], SIZES[0][0]), np.uint8, order="F")
        crowd[10:40, 5:60] = 1
        runs = np.flatnonzero(np.diff(np.concatenate([[0], crowd.ravel(order="F"), [0]])))
        counts = [int(runs[0]), *np.diff(runs).tolist(), int(crowd.size - runs[-1])]
        boxes = [
            (400, 1, [10.2, 20.1, 30.5, 44.0]),
            (391, 90, [5.0, 6.0, 50.0, 20.0]),
            (391, 13, [0.0, 0.0, 20.0, 20.5]),
        ]
        annotations = [
            {"id": 900 + n, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0,
             "area": 0.9 * box[2] * box[3], "segmentation": polygon(*box)}
            for n, (image, category, box) in enumerate(boxes)
        ]  # fmt: skip
        several = {"id": 900100000400, "image_id": 400, "category_id": 1, "bbox": [5, 10, 55, 30], "iscrowd": 1}
        annotations.append({**several, "area": 1650, "segmentation": {"size": list(crowd.shape), "counts": counts}})
        flat = {"id": 950, "image_id": 382, "category_id": 1, "bbox": [3.0, 9.0, 12.4, 0.0], "iscrowd": 0}
        annotations.append({**flat, "area": 0.0, "segmentation": [[3.0, 9.0, 9.0, 9.0, 15.4, 9.0]]})
        (folder / "annotations").mkdir(exist_ok=True)
        content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": CATEGORIES}
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
        if points:
            names = ["nose", "left_eye", "right_eye"]
            person = {**CATEGORIES[0], "keypoints": names, "skeleton": [[1, 2], [1, 3]]}
            own = [
                {**entry, "keypoints": [12, 25, 2, 14, 24, 1, 0, 0, 0], "num_keypoints": 2}
                for entry in annotations
                if entry["category_id"] == 1 and not entry["iscrowd"]
            ]
            content = {**content, "annotations": own, "categories": [person]}
            (folder / "annotations" / f"person_keypoints_{split}.json").write_text(json.dumps(content))


def test_it_loads_with_its_own_ids_and_counts_what_it_leaves_out(tmp_path, capsys):
    write_coco(tmp_path)
    train_frames, val = load(tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/annotations/instances_{split}2017.json: boxes without width or height, left out: 1"
        for split in ("train", "val")
    ]
    assert (len(train_frames), len(val), train_frames.num_classes) == (4, 4, 91)
    assert train_frames.categories == {1: "person", 13: "stop sign", 90: "toothbrush"}
    names = [train_frames.file_name(index) for index in range(4)]
    assert names == sorted(f"train2017/{400 - 9 * n:012d}.jpg" for n in range(4))
    gray, target = train_frames[names.index("train2017/000000000391.jpg")]
    assert gray.shape == (3, 130, 90) and torch.equal(gray[0], gray[2]) and target["labels"].tolist() == [90, 13]
    _, target = train_frames[names.index("train2017/000000000400.jpg")]
    assert target["iscrowd"].tolist() == [0, 1]
    assert len(train_frames[names.index("train2017/000000000382.jpg")][1]["boxes"]) == 0


def test_each_photograph_is_a_clip_of_its_own(tmp_path):
    write_coco(tmp_path)
    _, val = load(tmp_path)
    assert val.labels.images["clip"].nunique() == 4 and set(val.labels.images["frame"]) == {0}


def test_masks_and_keypoints(tmp_path):
    write_coco(tmp_path, points=True)
    masks = load(tmp_path, tasks=("bbox", "segm"))[0][3][1]["masks"]
    assert masks.shape == (2, 90, 120) and masks[1].sum() == 1650 and masks[0, 30, 20] == 1
    of_people, _ = load(tmp_path, tasks=("bbox", "keypoints"))
    assert of_people.labels.path.name == "person_keypoints_train2017.json"
    assert of_people.flip_pairs == ((1, 2),) and of_people[3][1]["keypoints"].shape == (1, 3, 3)


def test_without_a_part_of_it_one_line_says_so(tmp_path, capsys):
    write_coco(tmp_path)
    with pytest.raises(DataError, match=r"person_keypoints_train2017.json: no such file: put COCO's annotations"):
        load(tmp_path, tasks=("bbox", "keypoints"))
    (tmp_path / "val2017" / "000000000373.jpg").unlink()
    with pytest.raises(DataError, match=r"image val2017/000000000373.jpg of image id 373 is missing: put it into"):
        load(tmp_path)
    (tmp_path / "annotations" / "instances_val2017.json").unlink()
    capsys.readouterr()
    train_frames, val = load(tmp_path)
    assert val is train_frames and "evaluated on train" in capsys.readouterr().out


def test_the_courses_own_files_come_first(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "train_annotations.json").write_text("{}")
    assert layout(tmp_path, "train").labels.name == "train_annotations.json"
    assert layout(tmp_path, "val").labels.name == "instances_val2017.json"
    assert layout(tmp_path / "nowhere", "val").labels.name == "val_annotations.json"


def test_masks_of_its_crowds_are_those_of_pycocotools(tmp_path):
    write_coco(tmp_path)
    train_frames, _ = load(tmp_path, tasks=("bbox", "segm"))
    entry = next(one for one in train_frames.coco["annotations"] if one["iscrowd"])
    expected = rle.decode(rle.frPyObjects(entry["segmentation"], *entry["segmentation"]["size"]))
    assert np.array_equal(train_frames[3][1]["masks"][1].numpy(), expected)


def test_it_trains_and_is_evaluated(tmp_path):
    write_coco(tmp_path / "coco")
    settings = train.resolve("ssd", epochs=1, dataset=str(tmp_path / "coco"), size="small", batch_size=2,
                             output_dir=tmp_path / "run", devices="cpu")  # fmt: skip
    run = train.run(settings)
    assert run.model.num_classes == 91
    assert run.record.final["map"] is not None and set(run.record.final["per_class"]) == {
        "person",
        "stop sign",
        "toothbrush",
    }
    assert run.record.named("resampled")[-1]["clips"] == 4


def test_roboflows_export_loads_as_it_is(tmp_path):
    """A folder a split, its labels among the images, classes from 0."""
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        Image.new("RGB", (80, 60)).save(tmp_path / split / "photo_jpg.rf.1a2b.jpg")
        image = {"id": 0, "file_name": "photo_jpg.rf.1a2b.jpg", "width": 80, "height": 60}
        entry = {"id": 0, "image_id": 0, "category_id": 1, "bbox": [5, 6, 20, 30], "area": 600, "iscrowd": 0}
        categories = [{"id": 0, "name": "things", "supercategory": "none"}, {"id": 1, "name": "dog"}]
        content = {"images": [image], "annotations": [entry], "categories": categories}
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(content))
    train_frames, val = load(tmp_path)
    assert train_frames.file_name(0) == "train/photo_jpg.rf.1a2b.jpg" and val.file_name(0).startswith("valid/")
    assert train_frames.categories == {1: "things", 2: "dog"}
    assert train_frames[0][1]["labels"].tolist() == [2] and train_frames[0][1]["boxes"].tolist() == [[5, 6, 25, 36]]


def test_yolos_layout_gets_the_line_that_converts_it(tmp_path):
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "photo.txt").write_text("0 0.5 0.5 0.2 0.3\n")
    (tmp_path / "data.yaml").write_text("names: [dog]\n")
    with pytest.raises(DataError, match=rf"^{tmp_path}: is in YOLO's format: convert .*as_coco") as error:
        load(tmp_path)
    assert "\n" not in str(error.value)
