"""A trained detector on files, folders and splits: what it draws, writes and prints, and what it refuses."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import tdt4265
from tdt4265 import data, detect, evaluation, paths, results, weights
from tdt4265.detect import main


class Bright(nn.Module):
    """Finds the bright pixels of an image, as one "car", with a weak "bus" beside it."""

    def __init__(self):
        super().__init__()
        self.categories = {1: "car", 2: "bus"}
        self.anything = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        found = []
        for image in images:
            rows, columns = (image.mean(dim=0) > 0.5).nonzero().T
            box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
            scores = torch.tensor([0.9, 0.2])
            found.append({"boxes": box.repeat(2, 1), "labels": torch.tensor([1, 2]), "scores": scores})
        return found


BOX = [20, 10, 50, 40]


def photograph(path, size=(96, 64), box=BOX, **options):
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 250
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def bright(monkeypatch):
    model = Bright()
    monkeypatch.setattr(weights, "load", lambda what: model)
    return model


def test_images_may_be_files_arrays_pil_or_tensors(bright, tmp_path):
    path = photograph(tmp_path / "a.png")
    pixels = np.array(Image.open(path))
    tensor = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    for found in detect.detect(bright, [path, str(path), Image.open(path), pixels, tensor]):
        assert found["boxes"].tolist() == [BOX] and found["labels"].tolist() == [1]
    (both,) = detect.detect(bright, [path], score_thresh=0.1)
    assert both["labels"].tolist() == [1, 2]
    with pytest.raises(data.DataError, match=r"none.png: cannot be decoded"):
        detect.detect(bright, [tmp_path / "none.png"])


def test_a_photograph_is_turned_upright(bright, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    path = photograph(tmp_path / "a.jpg", exif=exif)
    (found,) = detect.detect(bright, [path])
    assert found["boxes"].tolist() == [[64 - 40, 20, 64 - 10, 50]]


def test_folders_files_and_splits(bright, tmp_path, capsys):
    photograph(tmp_path / "in" / "b" / "2.jpg")
    photograph(tmp_path / "in" / "10.png", size=(64, 96))
    photograph(tmp_path / "in" / "9.png")
    gray = tmp_path / "in" / "gray.png"
    Image.open(tmp_path / "in" / "9.png").convert("L").save(gray)
    deep = tmp_path / "in" / "sixteen.png"
    Image.fromarray(np.array(Image.open(gray)).astype(np.uint16) * 256).save(deep)
    out = tmp_path / "out"
    arguments = [str(tmp_path / "in"), str(tmp_path / "in" / "9.png"), "--out", str(out), "--json"]
    assert main(["any", *arguments]) == 0
    written = {str(path.relative_to(out)) for path in out.rglob("*.png")}
    assert written == {"b/2.png", "9.png", "10.png", "gray.png", "sixteen.png", "9-2.png"}
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"6 objects in 6 images, score at least 0.3: {out}, results.json"
    assert printed.out.splitlines()[1].split() == ["car", "6", "6", "0.90"]
    listed = json.loads((out / "images.json").read_text())
    names = [image["file_name"] for image in listed["images"]]
    assert names[:2] == [str(tmp_path / "in" / name) for name in ("9.png", "10.png")]
    assert [image["id"] for image in listed["images"]] == [1, 2, 3, 4, 5, 6]
    assert {(i["width"], i["height"]) for i in listed["images"]} == {(96, 64), (64, 96)}
    lines = results.load_results(out / "results.json", listed)  # its ids are those of images.json
    assert lines[0] == {"image_id": 1, "category_id": 1, "bbox": [20.0, 10.0, 30.0, 30.0], "score": pytest.approx(0.9)}


def test_damaged_files_are_named_and_the_others_go_on(bright, tmp_path, capsys):
    good = photograph(tmp_path / "in" / "good.png")
    whole = photograph(tmp_path / "in" / "whole.jpg").read_bytes()
    (tmp_path / "in" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "text.png").write_text("no image")
    (tmp_path / "in" / "empty.png").write_bytes(b"")
    assert main(["any", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "/in/" in line]
    assert len(errors) == 3 and all(line.count("\n") == 0 and len(line) < 300 for line in errors)
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"good.png", "whole.png"}
    good.unlink(), (tmp_path / "in" / "whole.jpg").unlink()
    assert main(["any", str(tmp_path / "in"), "--out", str(tmp_path / "out2")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "none of the images can be read"


def test_a_clip_has_its_images_in_their_order(bright, tmp_path, capsys):
    for n in (2, 10, 1):
        photograph(tmp_path / "in" / f"clip_{n}.png", box=[10 * n - 5, 10, 10 * n, 40], size=(128, 64))
    assert main(["any", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--gif"]) == 0
    clip = Image.open(tmp_path / "out" / "clip.gif")
    assert clip.n_frames == 3 and clip.info["duration"] == 100
    middles = []
    for frame in range(3):
        clip.seek(frame)
        inside = np.array(clip.convert("L"))[20:-20, 20:-20] > 240  # without the margin
        middles.append((20 + np.flatnonzero(inside.sum(axis=0) > 50).mean()) / clip.width)
    assert middles == pytest.approx([7.5 / 128, 17.5 / 128, 97.5 / 128], abs=0.03)
    photograph(tmp_path / "in" / "other.png", size=(64, 128))
    assert main(["any", str(tmp_path / "in"), "--out", str(tmp_path / "out2"), "--gif"]) == 0
    assert "no clip: the images are of 2 sizes" in capsys.readouterr().err
    assert not (tmp_path / "out2" / "clip.gif").exists()


def test_a_split_keeps_its_ids_and_scores_as_in_training(tmp_path, monkeypatch):
    """The recorded detector through the command is the one that evaluation sees."""
    out = tmp_path / "out"
    command = ["focal_loss", "sample:val", "--out", str(out), "--json", "--score-thresh", "0.05", "--device", "cpu"]
    assert main(command) == 0
    _, val = data.load("sample")
    lines = results.load_results(out / "results.json", val.coco)
    wanted = evaluation.evaluate(tdt4265.load("focal_loss"), val)
    assert evaluation.coco_metrics(val.coco, lines).map == pytest.approx(wanted.map, abs=1e-6)
    assert len(list(out.rglob("*.png"))) == len(val)


def test_classes_keep_the_ids_of_the_splits_labels(bright, tmp_path):
    """The names say which class is which: the labels may number them otherwise, and from 0."""
    photograph(tmp_path / "mine" / "a.png")
    image = {"id": 77, "file_name": "a.png", "width": 96, "height": 64}
    entry = {"id": 1, "image_id": 77, "category_id": 5, "bbox": [20, 10, 30, 30]}
    categories = [{"id": 0, "name": "bus"}, {"id": 5, "name": "car"}]
    labels = {"images": [image], "annotations": [entry], "categories": categories}
    (tmp_path / "mine" / "train_annotations.json").write_text(json.dumps(labels))
    out = tmp_path / "out"
    assert main(["any", f"{tmp_path}/mine:train", "--out", str(out), "--json"]) == 0
    (line,) = results.load_results(out / "results.json", labels)
    assert (line["image_id"], line["category_id"]) == (77, 5)
    assert results.main([str(tmp_path / "mine" / "train_annotations.json"), str(out / "results.json")]) == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nothing", "sample:val"], "nothing: is no file, no folder and no recipe with weights"),
        (["ssd-flip", "sample:val"], "none are kept of such runs"),
        (["ssd", "nowhere.png"], 'nowhere.png: no such file or folder (a split of labelled data is "sample:val"'),
        (["ssd", "nowhere:val"], "nowhere: no such folder"),
        (["ssd", "empty"], "empty: holds no image (.png, "),
        (["ssd", "sample:val", "--score-thresh", "2"], "--score-thresh is 2: it is a number from 0 to 1"),
        (["ssd", "sample:val", "--device", "abacus"], "device is 'abacus'"),
        (["ssd", "sample:val", "--out", "file"], "file: cannot be written to"),
    ],
)
def test_bad_input_is_one_line(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1 and not (tmp_path / "detections").exists()


def test_a_folder_in_use_is_left_alone(bright, tmp_path, capsys):
    photograph(tmp_path / "a.png")
    with paths.claim(tmp_path / "out"):
        assert main(["any", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]) == 2
    assert "another process writes there" in capsys.readouterr().err
