"""A folder in COCO format -> datasets, and the one line for each thing that can be wrong with it."""

import contextlib
import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch.utils.data import DataLoader
from torchvision import tv_tensors

from tdt4265 import lidar
from tdt4265.contract import collate
from tdt4265.data import CocoDetection, DataError, coco, load, read_labels
from tdt4265.data.coco import clip_and_frame, natural_key

HEIGHT, WIDTH = 16, 64
NAN, INF = float("nan"), float("inf")
NAMES = ["a_Video00002_10.png", "a_Video00010_0.png", "a_Video00002_9.png"]  # not in time order, as in the real labels


def write_image(path: Path, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def contents(split: str = "train") -> dict:
    """Labels of three frames: two boxes, one box, none."""
    return {
        "images": [
            {"id": 5 + i, "width": WIDTH, "height": HEIGHT, "file_name": f"images/{split}/{name}"}
            for i, name in enumerate(NAMES)
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 1, "bbox": [3.5, 2, 10, 4.25], "area": 31.0, "iscrowd": 0},
            {"id": 2, "image_id": 5, "category_id": 7, "bbox": [60, 8, 4, 8], "area": 32, "iscrowd": 0},
            {"id": 3, "image_id": 6, "category_id": 1, "bbox": [0, 0, 64, 16]},
        ],
        "categories": [{"id": 7, "name": "person"}, {"id": 1, "name": "car"}],
    }


def write_folder(folder: Path, split: str = "train", content: object = None) -> Path:
    content = contents(split) if content is None else content
    for seed, name in enumerate(NAMES):
        write_image(folder / "images" / split / name, seed)
    (folder / f"{split}_annotations.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_folder(tmp_path / "frames")


def line(folder: Path, **options) -> str:
    with pytest.raises(DataError) as error:
        load(folder, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# What is served -------------------------------------------------------------------------------------------------------


def test_frames_come_in_time_order_with_their_boxes(folder):
    train, _ = load(folder)
    assert [train.file_name(i) for i in range(3)] == [f"images/train/{NAMES[i]}" for i in (2, 0, 1)]
    assert train.image_ids == [7, 5, 6]
    image, target = train[1]
    assert type(image) is tv_tensors.Image and image.dtype == torch.float32
    pixels = np.array(Image.open(folder / train.file_name(1)))
    torch.testing.assert_close(image.as_subclass(torch.Tensor), torch.from_numpy(pixels).permute(2, 0, 1) / 255)
    assert type(target["boxes"]) is tv_tensors.BoundingBoxes
    assert target["boxes"].format is tv_tensors.BoundingBoxFormat.XYXY
    assert target["boxes"].canvas_size == (HEIGHT, WIDTH)
    assert target["boxes"].tolist() == [[3.5, 2, 13.5, 6.25], [60, 8, 64, 16]]
    assert target["labels"].tolist() == [1, 7]
    assert target["image_id"] == 5
    assert target["area"].tolist() == [31, 32]  # as the labels say, not the box's
    assert target["iscrowd"].tolist() == [0, 0]
    assert "masks" not in target
    assert train[2][1]["area"].tolist() == [WIDTH * HEIGHT]  # the labels say nothing: the box's


def test_a_frame_without_boxes_is_kept(folder):
    _, target = load(folder)[0][0]
    assert (target["boxes"].shape, target["boxes"].dtype) == ((0, 4), torch.float32)
    assert {key: target[key].dtype for key in ("labels", "area", "iscrowd")} == {
        "labels": torch.int64, "area": torch.float32, "iscrowd": torch.int64,
    }  # fmt: skip
    assert all(target[key].shape == (0,) for key in ("labels", "area", "iscrowd"))


def test_categories_from_0_are_counted_from_1(folder):
    """As Roboflow and others write them: here 0 is the background, so each label is one more than its id."""
    before = load(folder)[0]
    lowest = min(before.categories)
    path = folder / "train_annotations.json"
    content = json.loads(path.read_text())
    for one in content["categories"]:
        one["id"] -= lowest
    for one in content["annotations"]:
        one["category_id"] -= lowest
    path.write_text(json.dumps(content))
    train, _ = load(folder)
    assert min(train.categories) == 1 and train.labels.id_shift == 1 and before.labels.id_shift == 0
    assert list(train.categories.values()) == list(before.categories.values())
    names = [[one.categories[int(label)] for label in one[0][1]["labels"]] for one in (before, train)]
    assert names[0] == names[1]


def test_categories_count_the_background(folder):
    train, _ = load(folder)
    assert train.categories == {1: "car", 7: "person"}
    assert list(train.categories) == [1, 7]
    assert train.num_classes == 8


def test_without_val_train_is_evaluated_and_a_line_says_so(folder, capsys):
    train, val = load(folder)
    assert val is train
    assert capsys.readouterr().out == f"no val_annotations.json in {folder}: evaluated on train\n"


def test_with_val_nothing_is_said(folder, capsys):
    write_folder(folder, "val")
    train, val = load(folder)
    assert (train.split, val.split) == ("train", "val")
    assert val.file_name(0) == f"images/val/{NAMES[2]}"
    assert capsys.readouterr().out == ""


def test_relative_and_home_folders(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    for source in ("frames", Path("frames"), "./frames/", "~/frames"):
        assert load(source)[0].folder == folder
    train, _ = load("frames")
    os.chdir(folder)
    assert len(train[0]) == 2  # the dataset doesn't follow the working folder


def test_with_transforms_is_a_copy(folder):
    train, _ = load(folder)
    dark = train.with_transforms(lambda image, target: (image * 0, target))
    assert dark[0][0].max() == 0 and train[0][0].max() > 0
    assert dark.with_transforms(None)[0][0].max() > 0
    assert dark.fingerprint == train.fingerprint


def test_frames_are_decoded_once(folder, monkeypatch):
    decoded = CocoDetection(folder, "train", held_bytes=0)
    held = CocoDetection(folder, "train")
    dark = held.with_transforms(lambda image, target: (image.mul_(0), target))
    first = [held[i][0] for i in range(3)]
    for i in range(3):
        assert torch.equal(decoded[i][0], first[i])
        dark[i]  # may write into what it gets
    monkeypatch.setattr(coco, "read_pixels", None)
    for i in range(3):
        assert torch.equal(held[i][0], first[i])
    with pytest.raises(TypeError):
        decoded[0]


def test_held_frames_take_no_more_memory_than_they_may(folder, monkeypatch):
    size = HEIGHT * WIDTH * 3
    frames = CocoDetection(folder, "train", held_bytes=2 * size + size // 2)
    first = [frames[i][0] for i in range(3)]
    assert frames._held._pixels.nbytes == 2 * size
    reads = []
    monkeypatch.setattr(
        coco, "read_pixels", lambda path, read=coco.read_pixels: (reads.append(path.name), read(path))[1]
    )
    assert all(torch.equal(frames[i][0], first[i]) for i in range(3))
    assert reads == [NAMES[1]]  # the last in time order


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs workers made by fork")
def test_what_a_worker_decodes_is_held_for_all(folder, monkeypatch):
    frames = CocoDetection(folder, "train")
    options = {"batch_size": None, "num_workers": 2, "multiprocessing_context": "fork"}
    read = [image for image, _ in DataLoader(frames, **options)]
    monkeypatch.setattr(coco, "read_pixels", None)
    assert all(torch.equal(frames[i][0], read[i]) for i in range(3))
    copied = pickle.loads(pickle.dumps(frames))  # what a worker gets that is not forked
    monkeypatch.undo()
    assert torch.equal(copied[0][0], read[0])
    assert copied._held.get(0) is None


def test_keypoints_leave_the_fingerprint_as_it_is():
    for plain, pointed in zip(load("sample"), load("sample", tasks=("bbox", "keypoints")), strict=True):
        assert plain.labels.path != pointed.labels.path and plain.fingerprint == pointed.fingerprint


def test_fingerprint_changes_with_labels_names_and_images(folder):
    def fingerprint() -> str:
        return load(folder)[0].fingerprint

    first = fingerprint()
    assert first == fingerprint() and int(first, 16) >= 0
    content = contents()
    content["annotations"][0]["bbox"][0] += 0.5
    (folder / "train_annotations.json").write_text(json.dumps(content))
    assert (moved := fingerprint()) != first
    with (folder / "images/train" / NAMES[0]).open("ab") as file:
        file.write(b"\0")
    assert fingerprint() not in (first, moved)


def test_collate_gives_plain_tensors_and_workers_can_load(folder):
    train, _ = load(folder)
    pickle.loads(pickle.dumps(train))
    images, targets = next(iter(DataLoader(train, batch_size=3, collate_fn=collate, num_workers=1)))
    assert [type(image) for image in images] == [torch.Tensor] * 3
    assert all(type(target["boxes"]) is torch.Tensor for target in targets)
    assert [target["image_id"] for target in targets] == [7, 5, 6]
    assert [len(target["boxes"]) for target in targets] == [0, 2, 1]


def test_coco_dict_is_scored_by_pycocotools(folder):
    content = contents()
    for entry in content["annotations"]:
        entry["id"] -= 1  # from 0, which COCOeval alone would read as "no match"
    (folder / "train_annotations.json").write_text(json.dumps(content))
    train, _ = load(folder)
    results = [
        {"image_id": a["image_id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": 0.9}
        for a in train.coco["annotations"]
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = train.coco
        truth.createIndex()
        scored = COCOeval(truth, truth.loadRes(results), "bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    assert scored.stats[0] == pytest.approx(1)


def test_boxes_a_little_outside_are_clipped_in_targets_and_in_the_coco_dict(folder):
    content = contents()
    content["annotations"][0]["bbox"] = [-0.5, 2, 10, 14.75]
    (folder / "train_annotations.json").write_text(json.dumps(content))
    train, _ = load(folder)
    assert train[1][1]["boxes"][0].tolist() == [0, 2, 9.5, 16]
    assert train.coco["annotations"][0]["bbox"] == [0, 2, 9.5, 14]


@pytest.mark.parametrize("encode", ["polygon", "counts", "compressed"])
def test_masks(folder, encode):
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[2:6, 4:14] = 1
    compressed = rle.encode(np.asfortranarray(drawn))
    runs = np.flatnonzero(np.diff(np.concatenate(([0], drawn.flatten(order="F"), [0])))).tolist()
    segmentation = {
        "polygon": [[4, 2, 14, 2, 14, 6, 4, 6]],
        "counts": {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *runs, HEIGHT * WIDTH]).tolist()},
        "compressed": {"size": [HEIGHT, WIDTH], "counts": compressed["counts"].decode()},
    }[encode]
    content = contents()
    for entry in content["annotations"]:
        entry["segmentation"] = segmentation
    (folder / "train_annotations.json").write_text(json.dumps(content))
    train, _ = load(folder, tasks=("bbox", "segm"))
    masks = train[1][1]["masks"]
    assert type(masks) is tv_tensors.Mask and masks.dtype == torch.uint8
    np.testing.assert_array_equal(masks.numpy(), np.stack([drawn, drawn]))
    assert train[0][1]["masks"].shape == (0, HEIGHT, WIDTH)


def with_keypoints(folder: Path, **changes) -> Path:
    content = contents()
    content["categories"][0]["keypoints"] = ["nose", "left_hand", "right_hand", "left_ear"]
    content["annotations"][1]["keypoints"] = [61, 9, 2, 62.5, 10, 1, 5, 6, 0, 63, 11, 2]
    content["annotations"][1] |= changes
    (folder / "train_annotations.json").write_text(json.dumps(content))
    return folder


def test_keypoints(folder):
    train, _ = load(with_keypoints(folder), tasks=("bbox", "keypoints"))
    keypoints = train[1][1]["keypoints"]
    assert keypoints.shape == (2, 4, 3) and keypoints.dtype == torch.float32
    assert not keypoints[0].any()  # a car has none
    assert keypoints[1].tolist() == [[61, 9, 2], [62.5, 10, 1], [0, 0, 0], [63, 11, 2]]
    assert train[0][1]["keypoints"].shape == (0, 4, 3)
    assert train.keypoint_names == ["nose", "left_hand", "right_hand", "left_ear"]
    assert train.flip_pairs == ((1, 2),)  # no right ear is named
    without = load(folder)[0]
    assert "keypoints" not in without[1][1] and without.flip_pairs == ()


@pytest.mark.parametrize(
    "keypoints",
    [[1, 2, 2], "none", [61, 9, 3] * 4, [61, INF, 2] * 4, [61, None, 2] * 4, [61, 10**400, 2] * 4],
)
def test_keypoints_that_are_unusable(folder, keypoints):
    said = line(with_keypoints(folder, keypoints=keypoints), tasks=["keypoints"])
    assert "annotation id 2: keypoints " in said and "give 12 finite numbers: x, y and visibility" in said


def test_tasks_that_the_labels_or_the_course_do_not_have(folder):
    assert 'no category has "keypoints": name them, or load without' in line(folder, tasks=["keypoints"])
    assert line(folder, tasks=["boxes"]) == "task 'boxes': choose among bbox, segm, keypoints"
    content = contents()
    content["categories"][0]["keypoints"] = ["nose", 3]
    (folder / "train_annotations.json").write_text(json.dumps(content))
    assert "category 'person': keypoints ['nose', 3]: list the names" in line(folder, tasks=["keypoints"])
    content["categories"][0]["keypoints"], content["categories"][1]["keypoints"] = ["nose"], ["wheel"]
    (folder / "train_annotations.json").write_text(json.dumps(content))
    assert "has other keypoints than another category" in line(folder, tasks=["keypoints"])


# Labels alone ---------------------------------------------------------------------------------------------------------


def test_labels_need_no_images(tmp_path):
    path = tmp_path / "train_annotations.json"
    path.write_text(json.dumps(contents()))
    for labels in (read_labels(path), read_labels(str(tmp_path))):
        assert labels.categories == {1: "car", 7: "person"}
        frames = labels.images
        assert frames["clip"].tolist() == ["a_Video00002", "a_Video00002", "a_Video00010"]
        assert frames["frame"].tolist() == [9, 10, 0]
        boxes = labels.boxes()
        assert list(boxes) == ["image_id", "clip", "frame", "category", "x", "y", "width", "height", "area"]
        assert boxes.iloc[0].tolist() == [5, "a_Video00002", 10, "car", 3.5, 2, 10, 4.25, 31]
        assert boxes["category"].tolist() == ["car", "person", "car"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("images/train/trip007_glos_Video00000_85.png", ("trip007_glos_Video00000", 85)),
        ("images/train/000123.png", ("train", 123)),
        ("images/left12.png", ("left", 12)),
        ("street.png", ("street", 0)),
    ],
)
def test_clip_and_frame(name, wanted):
    assert clip_and_frame(name) == wanted


def test_other_names_sort_naturally():
    names = ["b.png", "a10.png", "a9.png", "10.png", "9.png"]
    assert sorted(names, key=natural_key) == ["9.png", "10.png", "a9.png", "a10.png", "b.png"]


# Sources --------------------------------------------------------------------------------------------------------------


@pytest.fixture()
def simulator(tmp_path, monkeypatch):
    """In place of the simulator: notes what is asked of it, and writes three frames a split."""
    calls = []

    def make(out, settings, *_):
        calls.append((out.name, {key: settings[key] for key in lidar.STREETS}))
        write_folder(out, "train")
        write_folder(out, "val")
        (out / ".simulation.json").write_text(json.dumps(settings))

    monkeypatch.setenv("TDT4265_CACHE", str(tmp_path))
    monkeypatch.setattr(lidar.folder, "_make", make)
    return calls


def test_sim_is_generated_on_first_use(tmp_path, simulator):
    for _ in range(2):
        train, val = load()
        assert (train.name, len(train), val.split) == ("sim", 3, "val")
    assert simulator == [("sim", lidar.STREETS)]
    (tmp_path / "sim" / "val_annotations.json").unlink()  # as an interrupted generation leaves it
    load("sim")
    train, _ = load("sim-clips")
    assert train.name == "sim-clips"
    assert simulator[1:] == [("sim", lidar.STREETS), ("sim-clips", lidar.CLIPS)]


def test_what_another_simulator_made_is_made_anew(tmp_path, simulator, capsys):
    load("sim")
    marker = tmp_path / "sim" / ".simulation.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"version": lidar.folder.VERSION - 1}))
    (tmp_path / "sim" / "images" / "train" / "old.png").write_bytes(b"a frame that the new one has not")
    capsys.readouterr()
    load("sim")
    said = capsys.readouterr().out
    assert said == f"{tmp_path}/sim: made by another version of the simulator, so it is made anew\n"
    assert len(simulator) == 2 and not (tmp_path / "sim" / "images" / "train" / "old.png").exists()
    load("sim")
    assert len(simulator) == 2


def test_a_simulation_that_fails_gets_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TDT4265_CACHE", str(tmp_path))
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "thesis.txt").write_text("not to be mixed with frames")
    assert line("sim") == f"{tmp_path}/sim: holds other files than a simulation's; name a new or an empty folder"


def test_the_real_dataset_is_found_by_its_variable(folder, monkeypatch):
    monkeypatch.setenv("TDT4265_DATA", str(folder))
    train, _ = load("tdt4265")
    assert (train.name, train.folder) == ("tdt4265", folder)


def test_the_real_dataset_missing_gets_a_line_that_tells_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TDT4265_DATA", str(tmp_path / "nothing"))
    said = line("tdt4265")
    assert said.startswith(f"{tmp_path / 'nothing'}: the real dataset is not there")
    assert "python -m tdt4265.data.download" in said and "TDT4265_DATA" in said


def test_real_frames(real_folder):
    labels = read_labels(real_folder)
    train, _ = load(real_folder)
    frames = labels.images["frame"].tolist()
    assert frames == sorted(frames) and train.num_classes == 9
    assert sum(len(train[i][1]["boxes"]) for i in range(len(train))) == len(labels.boxes())
    assert all(train[i][0].shape == (3, 128, 1024) for i in range(len(train)))
    if len(train) == 14:  # the excerpt
        assert len(labels.boxes()) == 135
        counts = labels.boxes()["category"].value_counts().to_dict()
        assert counts == {"person": 54, "car": 39, "scooter": 28, "bicycle": 14}


def test_all_real_labels_pass_unclipped(real_folder):
    files = sorted(real_folder.glob("*_annotations*.json"))
    for file in files:
        raw = json.loads(file.read_text())
        labels = read_labels(file)
        assert [a["bbox"] for a in labels.coco["annotations"]] == [a["bbox"] for a in raw["annotations"]]
        counts = {"train_annotations_all.json": (1604, 18287, 16), "val_annotations_all.json": (301, 5544, 3)}
        if file.name in counts:
            assert (len(labels.images), len(labels.boxes()), labels.images["clip"].nunique()) == counts[file.name]


# What is refused ------------------------------------------------------------------------------------------------------


def test_missing_folder(tmp_path):
    assert line(tmp_path / "no") == (
        f'{tmp_path}/no: no such folder: give "sample", "sim", "sim-clips", "tdt4265" or a folder in COCO format'
    )
    with pytest.raises(DataError, match=r"no such folder: give a folder that holds labels\.json and its images"):
        read_labels(tmp_path / "no" / "labels.json")


def test_missing_annotation_file(tmp_path):
    assert line(tmp_path) == (
        f"{tmp_path}/train_annotations.json: no such file: put the labels, in COCO format, there under this name"
    )


def test_missing_images(folder):
    (folder / "images/train" / NAMES[0]).unlink()
    said = line(folder)
    assert said == (
        f"{folder}/train_annotations.json: image images/train/{NAMES[0]} of image id 5 is missing: "
        f"put it into {folder}, or remove its image and annotations from the labels"
    )
    (folder / "images/train" / NAMES[2]).unlink()
    assert f"{NAMES[2]} of image id 7 is missing (and 1 more like it)" in line(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"images": [],\n "annotations": [}', "invalid JSON at line 2, column 18 (Expecting value)"),
        (b'{"images": [', "invalid JSON at line 1, column 13"),
        (b"", "invalid JSON at line 1, column 1"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "not a text file"),
        (b"[1, 2]", "not labels in COCO format: it needs the keys images, annotations, categories"),
        (b"[" * 100_000, "lists or objects are nested too deeply: mend the file"),
        (b'{"a":' * 100_000, "lists or objects are nested too deeply: mend the file"),
        (b'{"images": ' + b"9" * 5000 + b"}", "holds a number of more than 4300 digits: mend the file"),
        (b'{"images": [], "categories": []}', 'no list "annotations"'),
        (b'{"images": {}, "annotations": [], "categories": []}', 'no list "images"'),
    ],
)
def test_files_that_are_no_labels(folder, text, said):
    (folder / "train_annotations.json").write_bytes(text)
    assert f"{folder}/train_annotations.json: {said}" in line(folder)


def change(content: dict, key: str, index: int, **values) -> None:
    content[key][index].update(values)


def remove(content: dict, key: str, index: int, field: str) -> None:
    del content[key][index][field]


BAD_LABELS = {
    "no images": (lambda c: c.update(images=[], annotations=[]), "no images: add at least one"),
    "no categories": (lambda c: c.update(categories=[], annotations=[]), "no categories: add at least one"),
    "no file name": (
        lambda c: remove(c, "images", 1, "file_name"),
        'entry 1 of "images" has no "file_name": each of them needs id, file_name, width, height',
    ),
    "no box": (lambda c: remove(c, "annotations", 2, "bbox"), 'entry 2 of "annotations" has no "bbox"'),
    "entry that is no dict": (lambda c: c["annotations"].append(3), 'entry 3 of "annotations" has no "id" (and 3 more'),
    "id that is text": (lambda c: change(c, "images", 0, id="5"), "id '5' in \"images\" is not an integer"),
    "duplicate image": (lambda c: change(c, "images", 1, id=5), "image id 5 is there twice: ids must be unique"),
    "duplicate file": (
        lambda c: change(c, "images", 1, file_name=c["images"][0]["file_name"]),
        f"image images/train/{NAMES[0]} is there twice: list every image once",
    ),
    "duplicate file, written otherwise": (
        lambda c: change(c, "images", 1, file_name=f"./images//train/../train/{NAMES[0]}"),
        f"image images/train/{NAMES[0]} is there twice: list every image once",
    ),
    "file above the folder": (
        lambda c: change(c, "images", 1, file_name="images/../../other/1.png"),
        "image ../other/1.png is outside the folder: put it, or a link to it, into the folder",
    ),
    "file anywhere": (lambda c: change(c, "images", 1, file_name="/etc/1.png"), "image /etc/1.png is outside the"),
    "normalised boxes": (
        lambda c: [change(c, "annotations", i, bbox=[0.25, 0.5, 0.1, 0.5 - i / 10]) for i in range(3)],
        "boxes are parts of the image, in 0..1: multiply x and width by the image's width",
    ),
    "name that is no text": (lambda c: change(c, "images", 0, file_name=3), "image id 5: file_name 3 is not a name"),
    "size that is none": (
        lambda c: change(c, "images", 0, width=0),
        "image id 5: width and height [0, 16] are no size in pixels",
    ),
    "duplicate annotation": (lambda c: change(c, "annotations", 1, id=1), "annotation id 1 is there twice"),
    "unknown image": (
        lambda c: change(c, "annotations", 1, image_id=99),
        'annotation id 2: unknown image_id 99: add it to "images" or remove the annotation',
    ),
    "unknown category": (
        lambda c: change(c, "annotations", 1, category_id=3),
        'annotation id 2: unknown category_id 3: add it to "categories" or remove the annotation',
    ),
    "category that is a list": (lambda c: change(c, "annotations", 1, category_id=[]), "unknown category_id []"),
    "duplicate category": (lambda c: change(c, "categories", 0, id=1), "category id 1 is there twice"),
    "duplicate name": (lambda c: change(c, "categories", 0, name="car"), "category name car is there twice"),
    "category -1": (
        lambda c: c["categories"].append({"id": -1, "name": "bus"}),
        "category id -1 is below 0: number categories from 1",
    ),
    "category 10^12": (
        lambda c: c["categories"].append({"id": 10**12, "name": "bus"}),
        "category id 1000000000000 is too high: number categories from 1, to 10000 at most",
    ),
    "category 10^400": (lambda c: c["categories"].append({"id": 10**400, "name": "bus"}), "is not an integer"),
    "annotation 2^63": (lambda c: change(c, "annotations", 0, id=2**63), "is not an integer: number the entries"),
    "box of 10^400": (lambda c: change(c, "annotations", 0, bbox=[1, 10**400, 3, 4]), "is not finite"),
    "box of 1e39": (lambda c: change(c, "annotations", 0, bbox=[1, 1e39, 3, 4]), "is not finite"),
    "area of 10^400": (lambda c: change(c, "annotations", 0, area=10**400), "is not a number of pixels"),
    "size of 10^400": (lambda c: change(c, "images", 0, width=10**400), "are no size in pixels"),
    "size of 10^9": (lambda c: change(c, "images", 0, width=10**9), "are no size in pixels: give width and height"),
    "nameless category": (lambda c: change(c, "categories", 0, name=None), "category id 7: name None is not text"),
    "three numbers": (
        lambda c: change(c, "annotations", 0, bbox=[1, 2, 3]),
        "annotation id 1: bbox [1, 2, 3] is malformed: give four numbers, x, y, width, height",
    ),
    "numbers as text": (lambda c: change(c, "annotations", 0, bbox=["1", 2, 3, 4]), "is malformed"),
    "box that is none": (lambda c: change(c, "annotations", 0, bbox=None), "bbox None is malformed"),
    "nan": (lambda c: change(c, "annotations", 0, bbox=[1, NAN, 3, 4]), "bbox [1, nan, 3, 4] is not finite"),
    "infinity": (lambda c: change(c, "annotations", 0, bbox=[1, 2, INF, 4]), "bbox [1, 2, inf, 4] is not finite"),
    "no width": (
        lambda c: change(c, "annotations", 2, bbox=[1, 2, 0, 4]),
        "annotation id 3: bbox [1, 2, 0, 4] is empty: give it a positive width and height or remove it",
    ),
    "no width in float32": (
        lambda c: change(c, "annotations", 1, bbox=[60, 8, 1e-6, 8]),
        "annotation id 2: bbox [60, 8, 1e-06, 8] is too small to have a width and a height",
    ),
    "no height in float32": (lambda c: change(c, "annotations", 1, bbox=[60, 8, 1, 1e-300]), "is too small to have"),
    "none once it is mirrored": (lambda c: change(c, "annotations", 1, bbox=[0, 0, 1e-6, 8]), "is too small to have"),
    "none once it is clipped": (lambda c: change(c, "annotations", 1, bbox=[-0.5, 0, 0.500001, 8]), "is too small"),
    "negative height": (lambda c: change(c, "annotations", 2, bbox=[1, 2, 3, -4]), "bbox [1, 2, 3, -4] is empty"),
    "beyond the right edge": (
        lambda c: change(c, "annotations", 1, bbox=[60, 8, 5.5, 8]),
        "annotation id 2: bbox [60, 8, 5.5, 8] is outside the image of 64 x 16: clip it to the image or remove it",
    ),
    "above": (lambda c: change(c, "annotations", 1, bbox=[60, -1.5, 4, 8]), "is outside the image of 64 x 16"),
    "nothing of it inside": (lambda c: change(c, "annotations", 1, bbox=[64, 8, 1, 8]), "is outside the image"),
    "many": (
        lambda c: [change(c, "annotations", i, bbox=[1, 2, 0, 4]) for i in range(3)],
        "annotation id 1: bbox [1, 2, 0, 4] is empty (and 2 more like it)",
    ),
    "area": (lambda c: change(c, "annotations", 0, area=NAN), "annotation id 1: area nan is not a number of pixels"),
    "iscrowd": (lambda c: change(c, "annotations", 0, iscrowd=2), "annotation id 1: iscrowd 2 is neither 0 nor 1"),
}


@pytest.mark.parametrize(("damage", "said"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_bad_labels(folder, damage, said):
    content = contents()
    damage(content)
    (folder / "train_annotations.json").write_text(json.dumps(content))
    assert line(folder).startswith(f"{folder}/train_annotations.json: ")
    assert said in line(folder)


ODD = ["x\ny", "\x1b[31m" * 9, "\r" * 300_000, "a" * 300_000, [[["b\n" * 90] * 9] * 9] * 9, {"c\n" * 99: 5}]
ODD += [10**4000, "\0", "\ud800", "\u2028", "a/" * 9999]
FIELDS = [("images", key) for key in ("id", "file_name", "width", "height")]
FIELDS += [("annotations", key) for key in ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation")]
FIELDS += [("annotations", "keypoints"), *(("categories", key) for key in ("id", "name", "keypoints"))]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
@pytest.mark.parametrize(("part", "field"), FIELDS)
def test_whatever_the_labels_hold_is_quoted_in_one_short_line(folder, part, field, odd):
    content = contents()
    content["categories"][1]["keypoints"] = ["left", "right"]
    for entry in content["annotations"]:
        entry["segmentation"] = [[4, 2, 14, 2, 14, 6, 4, 6]]
    for entry in content[part][:2]:  # of two, so that names are there twice
        entry[field] = odd
    path = folder / "train_annotations.json"
    path.write_text(json.dumps(content))
    said = line(folder, tasks=("segm", "keypoints")).replace(str(path), "").replace(str(folder), "")
    assert said.isprintable() and len(said) <= 300


def test_long_names_of_images_and_categories_are_cut(folder):
    content = contents()
    content["images"][0]["file_name"] = "a" * 200 + "/" + "b" * 200
    (folder / "train_annotations.json").write_text(json.dumps(content))
    assert len(line(folder).replace(str(folder), "")) <= 300


def test_the_smallest_boxes_keep_their_sides(folder):
    content = contents()
    for entry, x in zip(content["annotations"], (0, 31.9999, 63.9999), strict=True):
        entry["bbox"] = [x, 0, 4e-5, 4e-5]
    (folder / "train_annotations.json").write_text(json.dumps(content))
    train, _ = load(folder)
    boxes = torch.cat([train[i][1]["boxes"].as_subclass(torch.Tensor) for i in range(3)])
    for turned in (boxes, WIDTH - boxes[:, [2, 3, 0, 1]], boxes * 0.3):
        assert len(boxes) == 3 and (turned[:, 2:] > turned[:, :2]).all()


def test_a_folder_in_the_place_of_labels(folder):
    (folder / "val_annotations.json").mkdir()
    assert line(folder).startswith(f"{folder}/val_annotations.json: is no file: put the labels of val there")
    (folder / "train_annotations.json").unlink()
    (folder / "train_annotations.json").mkdir()
    assert ": no such file: " in line(folder)


def test_a_box_of_one_pixel_is_not_normalised(folder):
    content = contents()
    content["annotations"] = [{"id": 1, "image_id": 5, "category_id": 1, "bbox": [0, 0, 1, 1]}]
    (folder / "train_annotations.json").write_text(json.dumps(content))
    assert len(load(folder)[0]) == 3


def test_bad_val_labels_and_other_categories_in_val(folder):
    content = contents("val")
    content["categories"][0]["name"] = "cyclist"
    write_folder(folder, "val", content)
    assert line(folder) == (
        f"{folder}/val_annotations.json: categories are not those of train_annotations.json: make them the same"
    )
    content["annotations"][0]["bbox"] = [0, 0, 0, 0]
    write_folder(folder, "val", content)
    assert line(folder).startswith(f"{folder}/val_annotations.json: annotation id 1: bbox [0, 0, 0, 0] is empty")


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        None,
        [[1, 2, 3]],
        {"size": [3, 3], "counts": "abc"},
        {"size": [16, 64]},
        [[1, 1, 1e8, 1, 5, 5]],  # this one ended the interpreter
        [[1, 1, 5, -1e8, 5, 5]],
        [[1, 1, 5, 1, 5, 17.5]],
        [[4, 2, 14, 2, 14, 6], [1, 1, 5, 1, NAN, 5]],
        [[NAN] * 6],
        [[1, 1, INF, 1, 5, 5]],
        [[1, 1, 10**400, 1, 5, 5]],
        [[1, 1, True, 1, 5, 5]],
        [[1, 1, "5", 1, 5, 5]],
    ],
)
def test_masks_that_are_missing_or_unusable(folder, segmentation):
    content = contents()
    for entry in content["annotations"]:
        entry["segmentation"] = segmentation
    (folder / "train_annotations.json").write_text(json.dumps(content))
    assert len(load(folder)[0]) == 3  # without masks nobody minds
    assert "annotation id 1 has no usable mask (and 2 more like it): give it a" in line(folder, tasks=("bbox", "segm"))


@pytest.mark.parametrize(
    "counts",
    [
        "zzz", "", "0o", "P", "é", "o" * 100_000, "o" * 100_000 + "0", [5, 5], [100000], [-5, HEIGHT * WIDTH + 5],
        [10**30], [None], [HEIGHT * WIDTH + 0.0], [True, HEIGHT * WIDTH - 1], [[HEIGHT * WIDTH]], [],
    ],
)  # fmt: skip
def test_a_mask_whose_code_is_broken_is_named_when_it_is_served(folder, counts):
    content = contents()
    for entry in content["annotations"]:
        entry["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": counts}
    (folder / "train_annotations.json").write_text(json.dumps(content))
    train, _ = load(folder, tasks=("bbox", "segm"))
    with pytest.raises(DataError, match=r"train_annotations.json: annotation id 1: segmentation cannot be decoded"):
        # What the runs do not reach is whatever the memory held: dirty it, so that the fault shows.
        for _ in range(50):
            np.full((HEIGHT, WIDTH), 255, np.uint8)
            train[1]


def test_the_text_of_a_run_length_code_is_read_as_pycocotools_does():
    rng = np.random.default_rng(0)
    for share in (0, 0.01, 0.3, 0.9, 1):
        drawn = np.asfortranarray((rng.random((37, 211)) < share).astype(np.uint8))
        counts = rle.encode(drawn)["counts"].decode()
        runs = coco.whole_runs(counts, drawn.size)
        again = rle.frPyObjects({"size": list(drawn.shape), "counts": runs}, *drawn.shape)
        assert again["counts"].decode() == counts
        np.testing.assert_array_equal(coco.decode_mask({"counts": counts}, *drawn.shape), drawn)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def as_jpeg(path: Path) -> None:
    with Image.open(path) as image:
        image.save(path, "jpeg")


def in_mode(mode: str):
    def save(path: Path) -> None:
        with Image.open(path) as image:
            image.convert(mode).save(path)

    return save


BAD_IMAGES = {
    "truncated": (truncate, "the image is truncated: replace it"),
    "truncated JPEG": (lambda path: (as_jpeg(path), truncate(path)), "the image is truncated: replace it"),
    "header only": (lambda path: path.write_bytes(path.read_bytes()[:60]), "the image is truncated: replace it"),
    "text": (lambda path: path.write_text("no image"), "is no image (PNG, JPEG, WEBP, BMP, TIFF): replace it"),
    "nothing": (lambda path: path.write_bytes(b""), "is no image (PNG, JPEG, WEBP, BMP, TIFF): replace it"),
    "of a palette": (in_mode("P"), "the image's mode is P: save it with 3 channels of 8 bits (RGB)"),
    "with alpha": (in_mode("RGBA"), "the image's mode is RGBA: save it with 3 channels of 8 bits (RGB)"),
    "other size": (
        lambda path: Image.new("RGB", (32, HEIGHT)).save(path),
        "the image is 32 x 16, its label says 64 x 16: mend one of the two",
    ),
}


@pytest.mark.parametrize(("damage", "said"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images(folder, damage, said):
    first, second = (folder / "images/train" / NAMES[i] for i in (2, 0))
    damage(first)
    assert line(folder) == f"{first}: {said}"
    damage(second)
    assert line(folder) == f"{first}: {said} (unusable images: 2)"


def test_jpeg_images_are_fine(folder):
    as_jpeg(folder / "images/train" / NAMES[0])
    assert load(folder)[0][1][0].shape == (3, HEIGHT, WIDTH)


def test_an_image_broken_inside_is_named_when_it_is_served(folder):
    path = folder / "images/train" / NAMES[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    path.write_bytes(content)
    train, _ = load(folder)
    with pytest.raises(DataError, match=rf"{NAMES[0]}: cannot be decoded .*: replace the image"):
        train[1]
