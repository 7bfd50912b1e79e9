"""What turning the panorama does to a detector that takes it for a strip, and to one that knows it for a ring.

    python benchmarks/ring.py [--seeds 0 1 2] [--turns 0 64 128 300 512] [--every 1] [--out assets/records]
    python benchmarks/ring.py --speed  # measures the time alone anew, and puts it into ring.csv

Three detectors by the recorded weights of their small runs: `anchor_tuning`; `ring`; and "anchor_tuning, closed", the
weights of the first in a `RingDetector`, so that padding, suppression and what comes out go around the ring, but the
training did not. All look at the val frames of "sim" turned by each number of columns, labels and all
(`tdt4265.ring.roll`). Where `ring` has no weights of these seeds, it is left out.

ring.csv, a row a detector, seed and turn: frames; map, the mean over the classes of the records' mean, car and person,
AP; seam_boxes and seam_car, labels at the seam and the AP of cars there; same, the share of the unturned frames'
detections that are found again: of the same class, by IoU 0.99 on the ring, with a score within 0.001; again, the share
of those that score at least 0.5 for which a detection of the class that scores so overlaps by IoU 0.5; milliseconds of
processor time for a frame, one thread, the same at all turns.

ring_differences.csv, a row a comparison, by the rule of `records.Difference`: mAP of two detectors on frames turned
alike; of each, turned against unturned; and mAP at the seam, all turns taken together. one and other are means over the
seeds, low and high the 95 % interval of other - one over clips.

AP at the seam: a label is there if an edge of it lies within a pixel of column 0 or of the last. All others are taken
for crowds, so that a detection in one is neither right nor wrong. Of the detections only those count that are at the
seam themselves, or overlap a label there, of their class, by IoU 0.5: any other one can neither hit such a label nor be
a false alarm beside it. Frames of different turns have other objects at the seam, but the same clips, which are what is
resampled.
"""

import argparse
import itertools
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rolled import Rolled
from torch import Tensor, nn
from torchvision.ops import box_iou

from tdt4265 import data, evaluation, intervals, paths, weights
from tdt4265.evaluation import evaluating
from tdt4265.models import RingDetector
from tdt4265.records import compare
from tdt4265.ring import ring_iou, split_at_seam

BEFORE, CLOSED, AFTER = "anchor_tuning", "anchor_tuning, closed", "ring"


class Whole(nn.Module):
    """A detector of the ring whose detections are whole, also across the seam."""

    def __init__(self, detector: RingDetector):
        super().__init__()
        self.detector = detector

    def forward(self, images):
        return self.detector.whole(images)


def detector(name: str, seed: int) -> nn.Module:
    model = weights.trained(AFTER if name == AFTER else BEFORE, seed=seed)
    if name == CLOSED:
        parts = model.backbone, model.pyramid, model.head, model.anchors, model.loss, model.num_classes
        model = RingDetector(*parts).eval()
    return model


def xyxy(entries: list[dict]) -> Tensor:
    boxes = torch.tensor([entry["bbox"] for entry in entries], dtype=torch.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def split(results: list[dict], width: int) -> list[dict]:
    """COCO results with each whole box across the seam as two."""
    parts = split_at_seam({"boxes": xyxy(results), "index": torch.arange(len(results))}, width)
    boxes = torch.cat([parts["boxes"][:, :2], parts["boxes"][:, 2:] - parts["boxes"][:, :2]], dim=1).tolist()
    return [{**results[i], "bbox": box} for i, box in zip(parts["index"].tolist(), boxes, strict=True)]


def by_image(entries: list[dict]) -> dict[int, list[dict]]:
    groups = defaultdict(list)
    for entry in entries:
        groups[entry["image_id"]].append(entry)
    return groups


def touches_the_seam(entry: dict, width: int) -> bool:
    left, _, side, _ = entry["bbox"]
    return left <= 1 or left + side >= width - 1


def at_the_seam(labels: list[dict], results: list[dict], width: int) -> tuple[list[dict], list[dict]]:
    """Labels with those away from the seam as crowds, and the detections that count: see above."""
    seam = by_image([label for label in labels if touches_the_seam(label, width)])
    counted = []
    for image, found in by_image(results).items():
        there = seam[image]
        overlap = box_iou(xyxy(found), xyxy(there)) >= 0.5
        classes = [torch.tensor([entry["category_id"] for entry in group]) for group in (found, there)]
        near = (overlap & (classes[0][:, None] == classes[1])).any(dim=1).tolist()
        counted += [one for one, is_near in zip(found, near, strict=True) if is_near or touches_the_seam(one, width)]
    crowds = [{**label, "iscrowd": int(label["iscrowd"] or not touches_the_seam(label, width))} for label in labels]
    return crowds, counted


def found_again(before: list[dict], after: list[dict], turn: int, width: int) -> tuple[float, float]:
    """`same` and `again` of the docstring above; both lists hold whole boxes."""
    same, again, now = [], [], by_image(after)
    for image, found in by_image(before).items():
        others = now[image]
        moved = xyxy(found)
        moved[:, 0::2] += turn - width * ((moved[:, :1] + turn) >= width)
        overlap = ring_iou(moved, xyxy(others), width)
        labels, scores = (
            [torch.tensor([entry[key] for entry in group]) for group in (found, others)]
            for key in ("category_id", "score")
        )
        overlap = overlap * (labels[0][:, None] == labels[1])
        close = (scores[0][:, None] - scores[1]).abs() <= 0.001
        same += ((overlap >= 0.99) & close).any(dim=1).tolist()
        again += ((overlap >= 0.5) & (scores[1] >= 0.5)).any(dim=1)[scores[0] >= 0.5].tolist()
    return float(np.mean(same)), float(np.mean(again)) if again else np.nan


def ap(coco: dict, results: list[dict], clips: list[str]) -> dict[str, np.ndarray]:
    """AP of each class: float64 [1 + R], on all clips, then on each resample; NaN where nothing is labelled."""
    number = len(set(clips))
    resamples = np.concatenate([np.ones((1, number)), intervals.draw_clips(number)])
    return {name: found.ap(resamples) for name, found in intervals.matches(coco, results, clips).items()}


def mean_ap(of_class: dict[str, np.ndarray], classes: list[str]) -> np.ndarray:
    return np.nanmean([of_class[name] for name in classes if name in of_class], axis=0)


def compared(one: np.ndarray, other: np.ndarray) -> dict:
    """Two detectors' mAP, [seeds, 1 + R] each, first on all clips, as a row of ring_differences.csv."""
    ours, theirs = one[:, 0], other[:, 0]
    found = compare(ours, theirs, one[:, 1:], other[:, 1:])
    print(found)
    means = {"one": np.mean(ours), "other": np.mean(theirs)}
    return {**means, "low": found.low, "high": found.high, "seeds_agree": found.seeds_agree}


def milliseconds(models: dict[str, nn.Module], frames: list[Tensor], rounds: int = 15) -> dict[str, float]:
    """Processor time of a frame by itself, in one thread, the models in turn: the fastest round of each."""
    best, threads = dict.fromkeys(models, np.inf), torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(rounds):
        for name, model in models.items():
            with evaluating(model), torch.no_grad():
                model(frames[:1])
                started = time.process_time()
                for frame in frames:
                    model([frame])
                best[name] = min(best[name], 1000 * (time.process_time() - started) / len(frames))
    torch.set_num_threads(threads)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--turns", type=int, nargs="+", default=[0, 64, 128, 300, 512])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--out", type=Path, default=paths.assets() / "records")
    options = parser.parse_args()
    if options.turns[0] != 0:
        parser.error("--turns begin with 0: the others are compared with it")

    _, val = data.load("sim")
    clips = val.labels.images["clip"].tolist()
    objects = intervals.distinct_objects(val.coco, clips)
    classes = [name for name, number in objects.items() if number >= intervals.ENOUGH_OBJECTS]
    clips, width = clips[:: options.every], val.coco["images"][0]["width"]
    models = {(name, seed): detector(name, seed) for name in (BEFORE, CLOSED) for seed in options.seeds}
    try:
        models |= {(AFTER, seed): detector(AFTER, seed) for seed in options.seeds}
    except weights.WeightsError as error:
        print(f"{AFTER} is left out: {error}")
    names = list(dict.fromkeys(name for name, _ in models))
    frames = [val[index][0].as_subclass(Tensor) for index in range(0, len(val), max(len(val) // 8, 1))]
    speed = milliseconds({name: models[name, options.seeds[0]] for name in names}, frames)
    print({name: round(value, 1) for name, value in speed.items()}, flush=True)
    if options.speed:
        table = pd.read_csv(options.out / "ring.csv")
        table["milliseconds"] = table.recipe.map(speed)
        table.to_csv(options.out / "ring.csv", index=False, float_format="%.6f")
        return

    rows, maps, straight = [], {}, {}
    seam = {key: ([], []) for key in models}  # labels and results of all turns, each frame of each turn an image
    images = []
    for place, turn in enumerate(options.turns):
        turned = Rolled(val, turn, options.every)

        def own(entry: dict, key: str, place: int = place) -> dict:
            return {**entry, key: entry[key] * len(options.turns) + place}

        images += [own(image, "id") for image in turned.coco["images"]]
        for (name, seed), model in models.items():
            whole = evaluation.predict(Whole(model) if name != BEFORE else model, turned)
            straight.setdefault((name, seed), whole)
            results = split(whole, width)
            of_class = ap(turned.coco, results, clips)
            maps[name, seed, turn] = mean_ap(of_class, classes)
            labels, counted = at_the_seam(turned.coco["annotations"], results, width)
            of_seam = evaluation.coco_metrics({**turned.coco, "annotations": labels}, counted)
            for group, new in zip(seam[name, seed], (labels, counted), strict=True):
                group += [own(entry, "image_id") for entry in new]
            same, again = found_again(straight[name, seed], whole, turn, width)
            rows.append(
                {
                    "recipe": name, "seed": seed, "turn": turn, "frames": len(turned), "map": maps[name, seed, turn][0],
                    "car": of_class["car"][0], "person": of_class["person"][0],
                    "seam_boxes": sum(not label["iscrowd"] for label in labels),
                    "seam_car": of_seam.per_class["car"], "same": same, "again": again, "milliseconds": speed[name],
                }
            )  # fmt: skip
            print({key: round(v, 4) if isinstance(v, float) else v for key, v in rows[-1].items()}, flush=True)
    rows.sort(key=lambda row: (row["recipe"], row["seed"]))
    pd.DataFrame(rows).to_csv(options.out / "ring.csv", index=False, float_format="%.6f")

    at_seam = {}
    for key, (labels, results) in seam.items():
        coco = {**val.coco, "images": images, "annotations": labels}
        at_seam[key] = mean_ap(ap(coco, results, clips * len(options.turns)), classes)

    def of(values: dict, *key) -> np.ndarray:
        name, *turn = key
        return np.stack([values[(name, seed, *turn)] for seed in options.seeds])

    table = []
    for one, other in itertools.combinations(names, 2):
        for turn in options.turns:
            row = {"measure": "mAP", "compared": f"{other} against {one}", "turn": turn}
            table.append({**row, **compared(of(maps, one, turn), of(maps, other, turn))})
        row = {"measure": "mAP at the seam", "compared": f"{other} against {one}", "turn": "all"}
        table.append({**row, **compared(of(at_seam, one), of(at_seam, other))})
    for name in names:
        for turn in options.turns[1:]:
            row = {"measure": "mAP", "compared": f"{name} turned against unturned", "turn": turn}
            table.append({**row, **compared(of(maps, name, 0), of(maps, name, turn))})
    pd.DataFrame(table).to_csv(options.out / "ring_differences.csv", index=False, float_format="%.6f")


if __name__ == "__main__":
    main()
