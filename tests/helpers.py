"""Labels, detections and a detector that several test modules share."""

import contextlib
import copy
import io

import numpy as np
import torch
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn


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


def make_scene():
    """A hundred boxes of every size in ten frames, a third of them crowded or missed, and noisy detections of them."""
    rng = np.random.default_rng(0)
    coco, results = labels([], categories=("car", "person", "bus"), images=10), []
    for image in coco["images"]:
        image.update(width=1100, height=1100)
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


def make_task_scene():
    """The scene's labels and detections with masks, ellipses in their boxes, and with 17 keypoints of each person."""
    coco, results = make_scene()
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:1100, :1100]
    next(one for one in coco["categories"] if one["name"] == "person")["keypoints"] = [f"point {k}" for k in range(17)]
    for entry in (*coco["annotations"], *results):
        x, y, w, h = entry["bbox"]
        drawn = ((columns - x - w / 2) / (w / 2)) ** 2 + ((rows - y - h / 2) / (h / 2)) ** 2 <= 1
        code = mask.encode(np.asfortranarray(drawn.astype(np.uint8)))
        entry["segmentation"] = {"size": [1100, 1100], "counts": code["counts"].decode()}
        seen = rng.choice([0, 1, 2], size=17, p=[0.3, 0.2, 0.5])
        along = (np.arange(17) + 0.5) / 17  # down the diagonal of the box
        noise = rng.normal(0, 0.03 * np.sqrt(w * h), (2, 17)) if "score" in entry else np.zeros((2, 17))
        points = np.stack([x + w * along + noise[0], y + h * along + noise[1], seen], axis=1)
        if entry["category_id"] == 2:
            entry["keypoints"] = (points * (seen > 0)[:, None] if "score" not in entry else points).ravel().tolist()
    # One person of whom no point is labelled, and one that does not say so.
    first, second, *_ = (one for one in coco["annotations"] if one["category_id"] == 2)
    first["keypoints"] = [0] * 51
    del second["keypoints"]
    return coco, results


def pycocotools_stats(coco, results, task):
    """pycocotools' own figures, from labels that say all it needs."""
    coco = copy.deepcopy(coco)
    for entry in coco["annotations"]:
        entry.setdefault("keypoints", [0] * 51)
        entry["num_keypoints"] = sum(v > 0 for v in entry["keypoints"][2::3])
    if task == "segm":  # else loadRes takes these results for boxes
        results = [{key: value for key, value in r.items() if key != "bbox"} for r in results]
    if task == "keypoints":
        persons = [r for r in results if r["category_id"] == 2]
        results = [{key: r[key] for key in ("image_id", "category_id", "score", "keypoints")} for r in persons]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = coco
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), task)
        run.params.catIds = [2] if task == "keypoints" else run.params.catIds
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats


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
