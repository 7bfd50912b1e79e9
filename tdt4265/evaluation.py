"""How good a detector is: COCO's metrics of boxes, masks and keypoints through pycocotools, precision-recall curves.

It knows a detector by torchvision's contract alone, and a dataset by `dataset[i] -> (image, target)` and by
`dataset.coco`, its labels in COCO's format.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.ops import box_iou

from tdt4265.contract import TASKS, collate

# Sides, in pixels, of the squares that part small from medium and medium from large. Road users are small in a
# panorama, so the course draws the lines at half and a third of COCO's: under one name they are different figures.
AREAS = {"course": (16, 32), "coco": (32, 96)}

# pycocotools' `COCOeval.stats`, in its order
STATS = ("map", "ap50", "ap75", "small", "medium", "large")
STATS += ("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large")
# and of keypoints, of which COCO scores no small objects, and 20 detections a frame at most; None: not kept
KEYPOINT_STATS = ("map", "ap50", "ap75", "medium", "large", "ar100", None, None, "ar_medium", "ar_large")

# How far an annotator's keypoints are off, relative to the object's size: pycocotools knows COCO's 17 of a person; any
# others have this.
KEYPOINT_SIGMA = 0.05


@dataclass(frozen=True)
class Metrics:
    """COCO's twelve figures and the AP of each class, all in 0..1; None where nothing is labelled.

    AP is averaged over the IoU thresholds 0.50, 0.55, ..., 0.95 and over the classes that the labels contain. IoU is
    that of boxes, of masks, or, for keypoints, COCO's similarity of keypoints. Of keypoints the best 20 detections of a
    frame count, also in `ar100`, and small, ar_small, ar1 and ar10 are None.
    """

    map: float | None
    ap50: float | None
    ap75: float | None
    small: float | None
    medium: float | None
    large: float | None
    ar1: float | None  # recall when a frame may keep its best 1, 10 or 100 detections of a class
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    per_class: dict[str, float | None]
    areas: str
    task: str = "bbox"

    def twelve(self) -> list[float]:
        """The figures in the order of pycocotools' `COCOeval.stats`, undefined ones as its -1."""
        return [-1.0 if getattr(self, key) is None else getattr(self, key) for key in STATS]

    def as_dict(self) -> dict:
        """The figures as JSON can hold them: the twelve by name, `per_class`, `areas` and `task`."""
        return {key: getattr(self, key) for key in (*STATS, "per_class", "areas", "task")}

    def table(self) -> pd.DataFrame:
        """Two columns of text, the figure's name and its value to four digits ("absent" where it is undefined)."""
        small, large = AREAS[self.areas]
        sizes = (f"area to {small}²", f"area {small}² to {large}²", f"area from {large}²")
        names = ["mAP", "AP50", "AP75", *(f"AP, {s}" for s in sizes)]
        names += ["AR1", "AR10", "AR100", *(f"AR, {s}" for s in sizes)]
        names += [f"AP of {name}" for name in self.per_class]
        values = [getattr(self, key) for key in STATS] + list(self.per_class.values())
        return pd.DataFrame({"figure": names, "value": ["absent" if v is None else f"{v:.4f}" for v in values]})


@contextlib.contextmanager
def evaluating(model: nn.Module, device: torch.device | str | None = None) -> Iterator[torch.device]:
    """The model in evaluation mode, on `device` (None: where its parameters are), which it gives.

    Afterwards, also after an exception, each part's mode and the device are what they were.
    """
    modes, home = {part: part.training for part in model.modules()}, next(model.parameters()).device
    device = home if device is None else torch.device(device)
    try:
        model.to(device).eval()
        yield device
    finally:
        model.to(home)
        for part, was_training in modes.items():
            part.training = was_training


@torch.no_grad()  # not inference_mode: anchors cached under it could not be used in training afterwards
def predict(
    model: nn.Module,
    dataset: Dataset,
    *,
    batch_size: int = 8,
    device: torch.device | str | None = None,
    workers: int = 0,
) -> list[dict]:
    """Detections in every frame of `dataset`, as COCO results.

    Args:
        model: in evaluation mode `model(images)` gives a list of `{"boxes": [N, 4], "labels": [N], "scores": [N]}`.
        dataset: gives `(image float32 [3, H, W], target)` with `target["image_id"]`.
        device: where to run; None is where the model's parameters are.

    Returns:
        One dict a detection: `image_id`, `category_id` (the label), `bbox` [x, y, width, height] in pixels and `score`;
        of a model that gives "masks" (float [N, 1, H, W], an object where at least 0.5) `segmentation`, a run-length
        code; of one that gives "keypoints" [N, P, 3] `keypoints`, a list of 3 P numbers.
        Where several processes train together each predicts every n-th frame, and all of them return all detections.
    """
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank, processes = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)
    # A plain share has no frame twice; a DistributedSampler would repeat some to make the shares equally long.
    share = Subset(dataset, range(rank, len(dataset), processes))
    results = []
    with evaluating(model, device) as device:
        for images, targets in DataLoader(share, batch_size, collate_fn=collate, num_workers=workers):
            for output, target in zip(model([image.to(device) for image in images]), targets, strict=True):
                results += coco_results(int(target["image_id"]), output)
    if processes > 1:
        shares = [None] * processes
        torch.distributed.all_gather_object(shares, results)
        results = sorted((r for s in shares for r in s), key=lambda r: r["image_id"])
    return results


def coco_results(image_id: int, output: dict[str, Tensor]) -> list[dict]:
    """What a detector found in one image, as `predict` gives it."""
    boxes = output["boxes"].float().cpu()
    boxes = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1).tolist()
    labels, scores = output["labels"].tolist(), output["scores"].float().tolist()
    found = [
        {"image_id": image_id, "category_id": label, "bbox": box, "score": score}
        for label, box, score in zip(labels, boxes, scores, strict=True)
    ]
    if "masks" in output:
        for result, mask in zip(found, (output["masks"][:, 0] >= 0.5).byte().cpu().numpy(), strict=True):
            code = rle.encode(np.asfortranarray(mask))
            result["segmentation"] = {"size": code["size"], "counts": code["counts"].decode("ascii")}
    if "keypoints" in output:
        for result, points in zip(found, output["keypoints"].float().cpu().flatten(1).tolist(), strict=True):
            result["keypoints"] = points
    return found


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    *,
    batch_size: int = 8,
    device: torch.device | str | None = None,
    areas: str = "course",
    task: str = "bbox",
    workers: int = 0,
) -> Metrics:
    """Predict every frame of `dataset` and score the detections against `dataset.coco`."""
    results = predict(model, dataset, batch_size=batch_size, device=device, workers=workers)
    return coco_metrics(dataset.coco, results, areas=areas, task=task)


def coco_metrics(coco_dict: dict, results: Sequence[dict], areas: str = "course", task: str = "bbox") -> Metrics:
    """Score detections against labels with pycocotools.

    Args:
        coco_dict: labels in COCO's format ("images", "annotations", "categories"; nothing else is needed).
        results: as `predict` gives them. None at all scores 0.
        areas: which areas count as small, medium and large: "course" (16², 32²) or "coco" (32², 96²).
        task: what is scored, "bbox", "segm" or "keypoints" (`contract.TASKS`). Labels and results must have it.
    """
    if areas not in AREAS:
        raise ValueError(f"areas is {areas!r}: it is one of {', '.join(map(repr, AREAS))}")
    small, large = AREAS[areas]
    run = _coco_eval(coco_dict, results, task)
    ranges = {"all": [0, 1e10], "small": [0, small**2], "medium": [small**2, large**2], "large": [large**2, 1e10]}
    run.params.areaRng = [ranges[label] for label in run.params.areaRngLbl]
    _evaluate(run)
    with contextlib.redirect_stdout(io.StringIO()):
        run.summarize()
    # precision is [IoU threshold, recall threshold, class, areas, most detections a frame]; -1: nothing labelled
    precision = run.eval["precision"][:, :, :, 0, -1]
    per_class = {name: _mean(precision[:, :, k]) for k, name in enumerate(_class_names(coco_dict, run))}
    names = KEYPOINT_STATS if task == "keypoints" else STATS
    figures = dict.fromkeys(STATS) | {n: float(s) for n, s in zip(names, run.stats, strict=True) if n and s >= 0}
    return Metrics(**figures, per_class=per_class, areas=areas, task=task)


def precision_recall(
    coco_dict: dict, results: Sequence[dict], iou: float = 0.5, task: str = "bbox"
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each labelled class's curve at one IoU threshold: name -> (recall [101], precision [101]).

    Precision is COCO's interpolated one, the best at that recall or beyond, so its mean is the class's AP at `iou`.
    """
    run = _coco_eval(coco_dict, results, task)
    run.params.iouThrs = np.array([iou])
    run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
    _evaluate(run)
    precision = run.eval["precision"][0, :, :, 0, -1]
    names = _class_names(coco_dict, run)
    return {n: (run.params.recThrs, precision[:, k]) for k, n in enumerate(names) if precision[0, k] > -1}


def match_detections(coco_dict: dict, results: Sequence[dict], task: str = "bbox") -> dict[str, list[dict]]:
    """Which detections hit which labels, image by image: each class's name -> pycocotools' `evalImgs`.

    An entry an image that holds labels or detections of the class; of its best 100 detections (20, of keypoints)
    "dtScores" [D], "dtMatches" [T, D] (the label that was hit at each of the ten IoU thresholds, 0 for none) and
    "dtIgnore" [T, D], and "gtIgnore" [G] of its labels.
    """
    run = _coco_eval(coco_dict, results, task)
    run.params.areaRng, run.params.areaRngLbl, run.params.maxDets = [[0, 1e10]], ["all"], run.params.maxDets[-1:]
    with contextlib.redirect_stdout(io.StringIO()):
        run.evaluate()
    images = len(run.params.imgIds)  # evalImgs has them class after class
    names = _class_names(coco_dict, run)
    by_class = [run.evalImgs[k * images : (k + 1) * images] for k in range(len(names))]
    return {name: [one for one in own if one is not None] for name, own in zip(names, by_class, strict=True)}


def hits(target: Mapping, prediction: Mapping, iou: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """What became of detections and labels of one image.

    As COCO counts: the best detection first, each takes the label of its class that it overlaps most, if by at least
    `iou`, and nobody else has that label then. A detection that hits none and lies, by `iou` of its own area, in a
    crowd of its class is neither right nor wrong.

    Args:
        target: {"boxes" [G, 4], "labels" [G]}, and "iscrowd" [G] where there are crowds.
        prediction: {"boxes" [M, 4], "labels" [M], "scores" [M]}.

    Returns:
        bool [M], hits; bool [M], neither right nor wrong; bool [G], labels that none hit, crowds apart.
    """
    truth, found = (one["boxes"].as_subclass(Tensor).cpu() for one in (target, prediction))
    crowd = target["iscrowd"].cpu() == 1 if "iscrowd" in target else torch.zeros(len(truth), dtype=torch.bool)
    same = prediction["labels"].cpu()[:, None] == target["labels"].cpu()
    overlap = box_iou(found, truth) * same
    hit, taken = torch.zeros(len(found), dtype=torch.bool), crowd.clone()
    for detection in prediction["scores"].cpu().argsort(descending=True, stable=True).tolist():
        free = overlap[detection].masked_fill(taken, 0)
        if free.numel() and free.max() >= iou:
            hit[detection], taken[free.argmax()] = True, True
    shared = (torch.minimum(found[:, None, 2:], truth[:, 2:]) - torch.maximum(found[:, None, :2], truth[:, :2])).clamp(
        0
    )
    within = shared.prod(-1) / (found[:, 2:] - found[:, :2]).prod(-1, keepdim=True)
    ignored = ~hit & ((within >= iou) & same & crowd).any(dim=1)
    return hit, ignored, ~taken


def _coco_eval(coco_dict: dict, results: Sequence[dict], task: str) -> COCOeval:
    if task not in TASKS:
        raise ValueError(f"task is {task!r}: it is one of {', '.join(map(repr, TASKS))}")
    # Built by hand: COCO.loadRes fails without any result. Ids are given anew from 1, because COCOeval marks a
    # match by the label's id and so takes a match with id 0 for none.
    points = {}
    if task == "keypoints":
        points = {category["id"]: len(category.get("keypoints", ())) for category in coco_dict["categories"]}
    labels = []
    for i, annotation in enumerate(coco_dict["annotations"], start=1):
        _, _, width, height = annotation["bbox"]
        label = {"iscrowd": 0, "area": width * height, **annotation, "id": i}
        if task == "keypoints":
            label.setdefault("keypoints", [0] * 3 * points[annotation["category_id"]])
            label["num_keypoints"] = sum(visibility > 0 for visibility in label["keypoints"][2::3])
        labels.append(label)
    if task == "keypoints":  # a model gives keypoints of whatever it finds
        results = [result for result in results if points.get(result["category_id"])]
    detections = [{**r, "id": i, "area": _area(r, task), "iscrowd": 0} for i, r in enumerate(results, start=1)]
    run = COCOeval(_coco(coco_dict, labels), _coco(coco_dict, detections), task)
    if task == "keypoints":
        run.params.catIds = [category for category in run.params.catIds if points[category]]
        numbers = {points[category] for category in run.params.catIds}
        if len(numbers) != 1:
            raise ValueError(f"categories with one number of keypoints are needed, got {sorted(numbers) or 'none'}")
        (number,) = numbers
        if number != len(run.params.kpt_oks_sigmas):
            run.params.kpt_oks_sigmas = np.full(number, KEYPOINT_SIGMA)
    return run


def _area(result: dict, task: str) -> float:
    """Square pixels of a detection, as COCO.loadRes has them: of its box, its mask, or the box around its keypoints."""
    if task == "segm":
        return float(rle.area(result["segmentation"]))
    if task == "keypoints":
        return float(np.ptp(result["keypoints"][0::3]) * np.ptp(result["keypoints"][1::3]))
    return result["bbox"][2] * result["bbox"][3]


def _coco(coco_dict: dict, annotations: list[dict]) -> COCO:
    coco = COCO()
    coco.dataset = {**{key: coco_dict[key] for key in ("images", "categories")}, "annotations": annotations}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _evaluate(run: COCOeval) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        run.evaluate()
        run.accumulate()


def _class_names(coco_dict: dict, run: COCOeval) -> list[str]:
    names = {category["id"]: category["name"] for category in coco_dict["categories"]}
    return [names[i] for i in run.params.catIds]


def _mean(precision: np.ndarray) -> float | None:
    defined = precision[precision > -1]
    return float(defined.mean()) if defined.size else None
