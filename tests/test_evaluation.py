"""tdt4265.evaluation against pycocotools itself, torchmetrics, and cases small enough to know by hand."""

import contextlib
import io
import json
import math

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from tdt4265 import evaluation


def labels(boxes, *, categories=("car", "person"), images=2):
    """COCO labels of (image_id, category_id, [x, y, w, h]) triples."""
    return {
        "images": [{"id": i, "width": 100, "height": 100, "file_name": f"{i}.png"} for i in range(images)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(categories, start=1)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for n, (i, c, box) in enumerate(boxes)
        ],
    }


def result(image_id, category_id, bbox, score):
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), "score": score}


@pytest.fixture(scope="module")
def scene():
    """A hundred boxes of every size in ten frames, a third of them crowded or missed, and noisy detections of them."""
    rng = np.random.default_rng(0)
    coco, results = labels([], categories=("car", "person", "bus"), images=10), []
    for n in range(1, 101):  # ids from 1: pycocotools itself takes a match with id 0 for none
        image_id, category_id = int(rng.integers(10)), int(rng.integers(1, 3))
        x, y, w, h = (float(v) for v in (*rng.uniform(0, 900, 2), *np.exp(rng.uniform(2, 5, 2))))
        entry = {"id": n, "image_id": image_id, "category_id": category_id, "bbox": [x, y, w, h], "area": 0.8 * w * h}
        coco["annotations"].append({**entry, "iscrowd": int(n % 20 == 0)})
        if rng.random() < 0.8:
            noise = rng.normal(0, 0.06, 4) * (w, h, w, h)
            box = [float(v) for v in np.maximum(np.add((x, y, w, h), noise), 1)]
            results.append(result(image_id, category_id, box, float(rng.random())))
        if rng.random() < 0.3:
            results.append(result(image_id, int(rng.integers(1, 4)), [x + 9, y, w, h], float(rng.random())))
    return coco, results


def pycocotools_twelve(coco, results):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = coco
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes([dict(r) for r in results]), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats


def test_the_twelve_figures_are_pycocotools_own(scene):
    coco, results = scene
    expected = pycocotools_twelve(coco, results)
    assert evaluation.coco_metrics(coco, results, areas="coco").twelve() == pytest.approx(list(expected), abs=1e-12)
    assert 0.1 < expected[0] < 0.9  # the case is not a trivial one


def test_the_figures_are_torchmetrics(scene):
    from torchmetrics.detection import MeanAveragePrecision

    coco, results = scene
    metric = MeanAveragePrecision(box_format="xywh", class_metrics=True)
    for image in coco["images"]:
        truth = [a for a in coco["annotations"] if a["image_id"] == image["id"]]
        found = [r for r in results if r["image_id"] == image["id"]]
        metric.update(
            [
                {
                    "boxes": torch.tensor([r["bbox"] for r in found], dtype=torch.float64).reshape(-1, 4),
                    "labels": torch.tensor([r["category_id"] for r in found], dtype=torch.long),
                    "scores": torch.tensor([r["score"] for r in found], dtype=torch.float64),
                }
            ],
            [
                {
                    "boxes": torch.tensor([a["bbox"] for a in truth], dtype=torch.float64).reshape(-1, 4),
                    "labels": torch.tensor([a["category_id"] for a in truth], dtype=torch.long),
                    "iscrowd": torch.tensor([a["iscrowd"] for a in truth], dtype=torch.long),
                    "area": torch.tensor([a["area"] for a in truth], dtype=torch.float64),
                }
            ],
        )
    with contextlib.redirect_stdout(io.StringIO()):
        expected = metric.compute()
    ours = evaluation.coco_metrics(coco, results, areas="coco")
    assert (ours.map, ours.ap50, ours.small) == pytest.approx(
        [expected[key].item() for key in ("map", "map_50", "map_small")], abs=1e-4
    )
    assert ours.per_class["car"] == pytest.approx(expected["map_per_class"][0].item(), abs=1e-4)


def test_metrics_known_by_hand():
    coco = labels([(0, 1, [10, 10, 20, 20]), (1, 1, [10, 10, 20, 20])])
    exact = [result(i, 1, (10, 10, 20, 20), 0.9) for i in (0, 1)]
    perfect = evaluation.coco_metrics(coco, exact)
    assert (perfect.map, perfect.ap50, perfect.ar1) == pytest.approx((1, 1, 1))
    # One of two objects: precision 1 up to recall 0.5, which is 51 of the 101 recall thresholds.
    half = evaluation.coco_metrics(coco, exact[:1])
    assert half.map == pytest.approx(51 / 101)
    assert half.ar100 == pytest.approx(0.5)
    # A false detection that scores above the right one halves the precision.
    late = [result(0, 1, (60, 60, 20, 20), 0.95), exact[0]]
    assert evaluation.coco_metrics(coco, late).map == pytest.approx(0.5 * 51 / 101)
    # Half as high a box has IoU 0.5, and passes one of the ten thresholds.
    flat = [result(i, 1, (10, 10, 20, 10), 0.9) for i in (0, 1)]
    metrics = evaluation.coco_metrics(coco, flat)
    assert (metrics.ap50, metrics.ap75) == pytest.approx((1, 0))
    assert metrics.map == pytest.approx(0.1)


def test_area_conventions_part_the_same_box_differently():
    coco = labels([(0, 1, [10, 10, 24, 24])])
    found = [result(0, 1, (10, 10, 24, 24), 0.9)]
    course, standard = (evaluation.coco_metrics(coco, found, areas=areas) for areas in ("course", "coco"))
    assert (course.small, course.medium, course.large) == (None, pytest.approx(1), None)
    assert (standard.small, standard.medium, standard.large) == (pytest.approx(1), None, None)
    assert course.twelve()[3] == -1
    with pytest.raises(ValueError, match="areas is 'pascal': it is one of 'course', 'coco'"):
        evaluation.coco_metrics(coco, found, areas="pascal")


def test_absent_classes_are_absent_and_left_out_of_the_mean():
    coco = labels([(0, 1, [10, 10, 20, 20])])
    metrics = evaluation.coco_metrics(coco, [result(0, 1, (10, 10, 20, 20), 0.9), result(0, 2, (50, 50, 9, 9), 0.99)])
    assert metrics.per_class == {"car": pytest.approx(1), "person": None}
    assert metrics.map == pytest.approx(1)
    table = metrics.table().set_index("figure")["value"]
    assert (table["AP of person"], table["AP of car"], table["mAP"]) == ("absent", "1.0000", "1.0000")
    assert json.loads(json.dumps(metrics.as_dict()))["per_class"]["person"] is None


def test_no_detections_score_zero_and_no_labels_score_nothing():
    coco = labels([(0, 1, [10, 10, 20, 20])])
    metrics = evaluation.coco_metrics(coco, [])
    assert (metrics.map, metrics.ar100, metrics.per_class) == (0, 0, {"car": 0, "person": None})
    assert evaluation.precision_recall(coco, [])["car"][1].max() == 0
    assert evaluation.coco_metrics(labels([]), []).map is None


def test_a_label_with_id_0_counts():
    coco = labels([(0, 1, [10, 10, 20, 20])])
    assert coco["annotations"][0]["id"] == 0
    assert evaluation.coco_metrics(coco, [result(0, 1, (10, 10, 20, 20), 0.9)]).map == pytest.approx(1)


def test_scoring_prints_nothing_and_changes_nothing(scene, capsys):
    coco, results = scene
    before = json.dumps([coco, results])
    evaluation.coco_metrics(coco, results)
    assert json.dumps([coco, results]) == before
    assert capsys.readouterr().out == ""


def test_the_curve_s_mean_is_the_class_s_ap(scene):
    coco, results = scene
    curves = evaluation.precision_recall(coco, results, iou=0.5)
    assert list(curves) == ["car", "person"]  # no bus is labelled
    recall, precision = curves["car"]
    assert recall[[0, -1]].tolist() == [0, 1]
    assert (np.diff(precision) <= 0).all()
    ap50 = np.mean([p.mean() for _, p in curves.values()])
    assert ap50 == pytest.approx(evaluation.coco_metrics(coco, results).ap50)


class Oracle(nn.Module):
    """Answers each frame with a box of its own mean value, under torchvision's contract."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.batches = []

    def forward(self, images, targets=None):
        assert not self.training
        self.batches.append(len(images))
        side = [image.mean() * 100 for image in images]
        return [
            {"boxes": torch.stack([0 * s + 5, 0 * s + 6, s + 5, s + 6])[None], "labels": torch.tensor([2]),
             "scores": torch.tensor([0.5])} for s in side
        ]  # fmt: skip


class Frames(torch.utils.data.Dataset):
    """Frame i is filled with (i + 1) / 10 and holds the box that the oracle answers."""

    def __init__(self, count=5):
        self.count = count
        self.coco = labels([(i, 2, [5, 6, 10 * (i + 1), 10 * (i + 1)]) for i in range(count)], images=count)

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return torch.full((3, 8, 16), (i + 1) / 10), {"image_id": i}


def test_predict_gives_coco_results_and_restores_the_mode():
    model = Oracle().train()
    results = evaluation.predict(model, Frames(), batch_size=2)
    assert model.batches == [2, 2, 1]
    assert model.training
    assert [r["image_id"] for r in results] == [0, 1, 2, 3, 4]
    box = pytest.approx([5, 6, 20, 20], abs=1e-4)
    assert results[1] == {"image_id": 1, "category_id": 2, "bbox": box, "score": 0.5}
    json.dumps(results)
    assert evaluation.evaluate(model, Frames(), batch_size=3).per_class["person"] == pytest.approx(1)


@pytest.mark.parametrize("call", [evaluation.predict, evaluation.evaluate])
def test_an_exception_leaves_the_model_as_it_was(call):
    class Frozen(Oracle):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(1)

        def forward(self, images, targets=None):
            raise RuntimeError("out of memory")

    model = Frozen().train()
    model.norm.eval()
    with pytest.raises(RuntimeError, match="out of memory"):
        call(model, Frames())
    assert model.training and not model.norm.training


def test_the_model_comes_back_from_another_device():
    class Moves(Oracle):
        def to(self, device):
            self.moves = [*getattr(self, "moves", []), str(device)]
            return super().to(device)

    model = Moves()
    evaluation.predict(model, Frames(), device="cpu:0")
    evaluation.measure_speed(model, (3, 8, 16), device="cpu:0", seconds=0)
    assert model.moves == ["cpu:0", "cpu"] * 2


def test_results_file_there_and_back(tmp_path, scene):
    coco, results = scene
    path = tmp_path / "new" / "results.json"
    evaluation.save_results(path, results)
    assert evaluation.load_results(path, coco) == results
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


GOOD = result(0, 1, (1, 2, 3, 4), 0.5)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[{", "is not valid JSON"),
        ('{"boxes": []}', "a results file is a list of detections, this is a dict"),
        (json.dumps([GOOD, 7]), "entry 1 is not an object"),
        (json.dumps([GOOD, {k: v for k, v in GOOD.items() if k != "score"}]), "entry 1 has no 'score'"),
        (json.dumps([{**GOOD, "bbox": [1, 2, 3]}]), "entry 0 has the bbox [1, 2, 3]: it must be four finite numbers"),
        (json.dumps([{**GOOD, "bbox": [1, 2, math.nan, 4]}]), "entry 0 has the bbox [1, 2, nan, 4]"),
        (json.dumps([{**GOOD, "bbox": [9, 9, -3, 4]}]), "of a negative size: a bbox is [x, y, width, height]"),
        (json.dumps([{**GOOD, "score": "high"}]), "entry 0 has the score 'high': it must be a finite number"),
        (json.dumps([GOOD, {**GOOD, "image_id": 99}]), "entry 1 has the image_id 99, which the labels don't have"),
        (json.dumps([{**GOOD, "image_id": "0"}]), "entry 0 has the image_id '0': it must be a whole number"),
        (json.dumps([{**GOOD, "category_id": 8}]), "entry 0 has the category_id 8, which the labels don't have"),
    ],
)
def test_a_bad_results_file_gets_one_line(tmp_path, content, line):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(evaluation.ResultsError) as error:
        evaluation.load_results(path, labels([(0, 1, [1, 2, 3, 4])]))
    assert str(path) in str(error.value)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_command_line_prints_both_conventions(tmp_path, scene, capsys):
    coco, results = scene
    # What files of labels are like: no "info", "licences" for "licenses".
    (tmp_path / "labels.json").write_text(json.dumps({**coco, "licences": []}))
    evaluation.save_results(tmp_path / "results.json", results)
    assert evaluation.main([str(tmp_path / "labels.json"), str(tmp_path / "results.json")]) == 0
    printed = capsys.readouterr().out
    expected = pycocotools_twelve(coco, results)
    standard = printed[printed.index("areas of coco") :].splitlines()[1:13]
    assert [float(line.split()[1]) for line in standard] == pytest.approx(list(expected), abs=5e-5)
    assert "areas of course" in printed
    assert printed.rstrip().splitlines()[-1].split() == ["bus", "absent"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "can't be read (No such file or directory)"),
        ("[]", "has no list 'images'"),
        (json.dumps({"images": [{"id": 0}], "annotations": [{"image_id": 0}], "categories": []}),
         "annotations[0] has no 'category_id'"),
        (json.dumps(labels([(0, 1, [1, 2, 3, 4]), (0, 1, [1, 2, math.inf, 4])])),
         "annotations[1] has the bbox [1, 2, inf, 4]: it must be four finite numbers"),
        (json.dumps({**labels([(0, 1, [1, 2, 3, 4])]), "annotations": [{"image_id": 0, "category_id": 1, "bbox": 3}]}),
         "annotations[0] has the bbox 3"),
    ],
)  # fmt: skip
def test_bad_labels_end_the_command_with_one_line(tmp_path, capsys, content, line):
    path = tmp_path / "labels.json"
    if content is not None:
        path.write_text(content)
    evaluation.save_results(tmp_path / "results.json", [])
    assert evaluation.main([str(path), str(tmp_path / "results.json")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert str(path) in printed.err
    assert line in printed.err


def test_speed_counts_frames_not_batches(monkeypatch):
    """By a clock that each call moves on by 2 ms and by 8 ms a frame, the three calls to warm up by much more."""

    class Slow(Oracle):
        def forward(self, images, targets=None):
            nonlocal clock
            warm = self.batches.count(len(images)) >= 3
            clock += 0.002 + 0.008 * len(images) if warm else 10
            return super().forward(images)

    clock = 0.0
    monkeypatch.setattr(evaluation, "now", lambda device: clock)
    model = Slow().train()
    table = evaluation.measure_speed(model, (3, 8, 16), batch_sizes=(1, 4), seconds=0.335)
    assert model.batches == [1] * (3 + 34) + [4] * (3 + 10)  # 34 x 10 ms, 10 x 34 ms
    assert table["batch size"].tolist() == [1, 4]
    assert table["frames a second"].tolist() == pytest.approx([100, 4 / 0.034])
    assert table["milliseconds a frame"].tolist() == pytest.approx([10, 8.5])
    assert table["device"].iloc[0]
    assert model.training
