"""How far a figure can be trusted: AP resampled over clips, so that detectors can be compared on the same resamples.

Frames of one clip show the same road users, so they are no independent evidence, but clips are. Resampling takes as
many clips as there are, with replacement, again and again, and scores each such set: the spread of the scores is about
the one that other streets would have given (the bootstrap: Efron and Tibshirani 1993, chapters 6 and 13). Two
detectors scored on the same resamples share their luck with the clips, so their difference is known better than either.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tdt4265.evaluation import match_detections

RESAMPLES = 300
ENOUGH_OBJECTS = 20  # a class with fewer is left out of the mean: its AP rests on a handful
RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's


@dataclass(frozen=True)
class ClassMatches:
    """The detections of one class, best first, and what they hit at each of T IoU thresholds; C clips.

    hit: bool [T, D], a labelled box. counted: bool [T, D], false inside a crowd, where nothing is right or wrong.
    clip: int [D]. labelled: int [C], boxes to be found.
    """

    hit: np.ndarray
    counted: np.ndarray
    clip: np.ndarray
    labelled: np.ndarray

    def ap(self, weights: np.ndarray) -> np.ndarray:
        """COCO's AP with each clip counted so many times: weights [R, C] -> float64 [R], NaN where nothing is labelled.

        The same as scoring a dataset in which the clips are repeated, but for each threshold only the hits are looked
        at: between two of them recall stays as it is and precision falls, so COCO's interpolation sees no other point.
        """
        weights = np.asarray(weights, np.float64)
        labelled = weights @ self.labelled
        of_detection = weights[:, self.clip]
        every = np.cumsum(of_detection, axis=1)
        total = np.zeros(len(weights))
        for hit, counted in zip(self.hit, self.counted, strict=True):
            at = np.flatnonzero(hit)
            hits = np.cumsum(of_detection[:, at], axis=1)
            seen = (every if counted.all() else np.cumsum(of_detection * counted, axis=1))[:, at]
            precision = hits / np.maximum(seen, 1)
            best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # at that recall or beyond
            with np.errstate(invalid="ignore", divide="ignore"):
                recall = hits / labelled[:, None]
            for r in range(len(weights)):
                reached = np.searchsorted(recall[r], RECALLS, side="left")
                total[r] += best[r, reached[reached < len(at)]].sum()
        return np.where(labelled > 0, total / (len(self.hit) * len(RECALLS)), np.nan)


def matches(coco: dict, results: Sequence[dict], clips: Sequence[str], task: str = "bbox") -> dict[str, ClassMatches]:
    """What each class's detections hit, by the class's name; classes without a label are left out.

    Args:
        coco: labels in COCO's format. results: as `evaluation.predict` gives them.
        clips: the clip of each entry of coco["images"]. task: "bbox", "segm" or "keypoints".
    """
    numbers = {clip: number for number, clip in enumerate(dict.fromkeys(clips))}
    clip_of = {image["id"]: numbers[clip] for image, clip in zip(coco["images"], clips, strict=True)}
    found = {}
    for name, images in match_detections(coco, results, task).items():
        labelled = np.zeros(len(numbers), np.int64)
        for image in images:
            labelled[clip_of[image["image_id"]]] += np.count_nonzero(np.logical_not(image["gtIgnore"]))
        if not labelled.any():
            continue
        order = np.argsort(-np.concatenate([image["dtScores"] for image in images]), kind="mergesort")
        hit = np.concatenate([image["dtMatches"] for image in images], axis=1)[:, order] > 0
        counted = ~np.concatenate([image["dtIgnore"] for image in images], axis=1)[:, order].astype(bool)
        clip = np.concatenate([np.full(len(image["dtScores"]), clip_of[image["image_id"]]) for image in images])
        found[name] = ClassMatches(hit & counted, counted, clip[order].astype(np.int64), labelled)
    return found


def draw_clips(clips: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each clip is in each resample: int [resamples, clips], each row adding up to `clips`."""
    return np.random.default_rng(seed).multinomial(clips, np.full(clips, 1 / clips), size=resamples)


def distinct_objects(coco: dict, clips: Sequence[str]) -> dict[str, int]:
    """How many objects of each class the labels hold: boxes of one clip with the same "track_id" are one object, a box
    without it is one by itself."""
    clip_of = {image["id"]: clip for image, clip in zip(coco["images"], clips, strict=True)}
    names = {category["id"]: category["name"] for category in coco["categories"]}
    objects = defaultdict(set)
    for number, entry in enumerate(coco["annotations"]):
        track = entry.get("track_id")
        own = ("box", number) if track is None else (clip_of[entry["image_id"]], track)
        objects[names[entry["category_id"]]].add(own)
    return {name: len(objects[name]) for name in names.values()}


def resampled(coco: dict, results: Sequence[dict], clips: Sequence[str], task: str = "bbox") -> dict:
    """What a record keeps, so that any two runs on the same val can be compared later: AP on each resample.

    Returns:
        clips: how many. objects: of each class, how many. classes: those in the mean. per_class: AP on all clips, of
        each labelled class. map: the mean of `classes` on all clips, None without any. ap: for each of `classes`, its
        AP on every resample, None where that holds no label of it.
    """
    found = matches(coco, results, clips, task)
    number = len(set(clips))
    weights = draw_clips(number)
    objects = distinct_objects(coco, clips)
    chosen = [name for name in found if objects[name] >= ENOUGH_OBJECTS]
    whole = {name: float(one.ap(np.ones((1, number)))[0]) for name, one in found.items()}
    # A class that few clips hold is in some resamples not labelled at all: None there, for JSON has no NaN.
    ap = {name: [None if np.isnan(v) else round(v, 5) for v in found[name].ap(weights).tolist()] for name in chosen}
    figures = {"clips": number, "objects": objects, "classes": chosen, "per_class": whole}
    return figures | {"map": float(np.mean([whole[name] for name in chosen])) if chosen else None, "ap": ap}


def interval(values: np.ndarray, share: float = 0.95) -> tuple[float, float]:
    """Between which two values the middle `share` of the resamples lies; those that are NaN are left out."""
    low, high = np.nanquantile(values, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
