"""tdt4265.evaluation against pycocotools itself, torchmetrics, and cases small enough to know by hand."""

import contextlib
import io
import json
import math

import numpy as np
import pytest
import torch
from helpers import Frames, Oracle, labels, make_scene, make_task_scene, pycocotools_stats, result
from pycocotools import mask
from torch import nn

from tdt4265 import evaluation, speed


@pytest.fixture(scope="module")
def scene():
    return make_scene()


def test_the_twelve_figures_are_pycocotools_own(scene):
    coco, results = scene
    expected = pycocotools_stats(coco, results, "bbox")
    assert evaluation.coco_metrics(coco, results, areas="coco").twelve() == pytest.approx(list(expected), abs=1e-12)
    assert 0.1 < expected[0] < 0.9  # the case is not a trivial one


@pytest.fixture(scope="module")
def task_scene():
    return make_task_scene()


@pytest.mark.parametrize("task", ["bbox", "segm"])
def test_the_twelve_figures_of_masks_are_pycocotools_own(task_scene, task):
    coco, results = task_scene
    expected = pycocotools_stats(coco, results, task)
    found = evaluation.coco_metrics(coco, results, areas="coco", task=task)
    assert found.twelve() == pytest.approx(list(expected), abs=1e-12) and found.task == task
    assert 0.1 < expected[0] < 0.9


def test_the_figures_of_keypoints_are_pycocotools_own(task_scene):
    coco, results = task_scene
    persons = [r for r in results if r["category_id"] == 2]
    wanted = pycocotools_stats(coco, results, "keypoints").tolist()
    found = evaluation.coco_metrics(coco, persons, areas="coco", task="keypoints")
    assert 0.1 < wanted[0] < 0.9
    assert [found.map, found.ap50, found.ap75, found.medium, found.large] == pytest.approx(wanted[:5], abs=1e-12)
    assert [found.ar100, found.ar_medium, found.ar_large] == pytest.approx([wanted[5], *wanted[8:]], abs=1e-12)
    assert [found.small, found.ar1, found.ar10, found.ar_small] == [None] * 4
    assert list(found.per_class) == ["person"]  # no other class has keypoints
    matched = evaluation.match_detections(coco, persons, task="keypoints")
    assert list(matched) == ["person"] and all(len(one["dtScores"]) <= 20 for one in matched["person"])


def test_keypoints_by_hand():
    """One point, d pixels off an object of area s²: its similarity is exp(-d² / (2 s² (2 sigma)²))."""
    coco = labels([(0, 1, [0, 0, 100, 100])])
    coco["categories"][0]["keypoints"] = ["middle"]
    coco["annotations"][0]["keypoints"] = [50, 50, 2]
    for similarity, passed in ((0.94, 9), (0.72, 5), (0.4, 0)):  # of the thresholds 0.5, 0.55, ..., 0.95
        off = math.sqrt(-math.log(similarity) * 2 * 100**2 * (2 * evaluation.KEYPOINT_SIGMA) ** 2)
        found = [{"image_id": 0, "category_id": 1, "score": 0.9, "keypoints": [50 + off, 50, 1]}]
        assert evaluation.coco_metrics(coco, found, task="keypoints").map == pytest.approx(passed / 10)


def test_hits_are_those_that_coco_counts():
    """Frame by frame, class by class, against pycocotools' own matching at IoU 0.5."""
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        corner = 60 * torch.rand(8, 2, generator=rng)
        truth = torch.cat([corner, corner + 5 + 25 * torch.rand(8, 2, generator=rng)], dim=1)
        found = truth[torch.randint(8, (12,), generator=rng)] + 4 * torch.randn(12, 4, generator=rng)
        found[:, 2:] = torch.maximum(found[:, 2:], found[:, :2] + 1)
        target = {"boxes": truth, "labels": torch.randint(1, 3, (8,), generator=rng), "iscrowd": torch.zeros(8)}
        scores, classes = torch.rand(12, generator=rng), torch.randint(1, 3, (12,), generator=rng)
        target["iscrowd"][:2] = 1
        hit, ignored, missed = evaluation.hits(target, {"boxes": found, "labels": classes, "scores": scores})

        def xywh(box):
            return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]

        coco = labels([(0, int(c), xywh(b)) for b, c in zip(truth, target["labels"], strict=True)], images=1)
        for entry, crowd in zip(coco["annotations"], target["iscrowd"].tolist(), strict=True):
            entry["iscrowd"] = int(crowd)
        results = [result(0, int(c), xywh(b), float(s)) for b, c, s in zip(found, classes, scores, strict=True)]
        for name, images in evaluation.match_detections(coco, results).items():
            own = classes == ["car", "person"].index(name) + 1
            order = scores[own].argsort(descending=True)
            matched = [m > 0 for one in images for m in one["dtMatches"][0]]
            set_aside = [bool(i) for one in images for i in one["dtIgnore"][0]]
            assert ignored[own][order].tolist() == set_aside
            assert hit[own][order].tolist() == [m and not i for m, i in zip(matched, set_aside, strict=True)]
        assert hit.sum() + missed.sum() == 6
    nothing = {"boxes": truth[:0], "labels": classes[:0]}
    assert not evaluation.hits(nothing, {"boxes": found, "labels": classes, "scores": scores})[0].any()
    crowd = target | {"iscrowd": torch.ones(8)}
    hit, ignored, missed = evaluation.hits(crowd, {"boxes": found, "labels": classes, "scores": scores})
    assert not hit.any() and not missed.any() and ignored.any()


def test_keypoints_of_categories_that_differ_are_refused():
    coco = labels([(0, 1, [0, 0, 100, 100])])
    with pytest.raises(ValueError, match="categories with one number of keypoints are needed, got none"):
        evaluation.coco_metrics(coco, [], task="keypoints")
    coco["categories"][0]["keypoints"], coco["categories"][1]["keypoints"] = ["a"], ["a", "b"]
    with pytest.raises(ValueError, match=r"are needed, got \[1, 2\]"):
        evaluation.coco_metrics(coco, [], task="keypoints")


def test_an_unknown_task_is_refused(scene):
    with pytest.raises(ValueError, match="task is 'boxes': it is one of 'bbox', 'segm', 'keypoints'"):
        evaluation.coco_metrics(*scene, task="boxes")


def test_predict_gives_masks_and_keypoints():
    class WithMasks(Oracle):
        def forward(self, images, targets=None):
            found = super().forward(images)
            for image, one in zip(images, found, strict=True):
                one["masks"] = torch.zeros(1, 1, *image.shape[1:])
                one["masks"][..., 2:5, 3:9] = 0.5
                one["masks"][..., 2:5, 9:] = 0.49
                one["keypoints"] = torch.tensor([[[1.0, 2, 1], [3, 4, 1]]])
            return found

    results = evaluation.predict(WithMasks(), Frames(2))
    json.dumps(results)
    assert results[1]["keypoints"] == [1, 2, 1, 3, 4, 1]
    drawn = mask.decode(results[1]["segmentation"])
    assert drawn.shape == (8, 16) and drawn.sum() == 18 and drawn[2:5, 3:9].all()


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
    speed.measure_speed(model, (3, 8, 16), device="cpu:0", seconds=0)
    assert model.moves == ["cpu:0", "cpu"] * 2
