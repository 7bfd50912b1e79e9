"""tdt4265.intervals against pycocotools on datasets in which clips are repeated."""

import json

import numpy as np
import pytest

from tdt4265 import evaluation, intervals


def scene(clips=6, frames=4, seed=0, quality=0.7):
    """Labels of two classes in clips of some frames, with crowds, and detections that hit a share of them."""
    rng = np.random.default_rng(seed)
    coco = {
        "images": [{"id": 10 * c + f} for c in range(clips) for f in range(frames)],
        "categories": [{"id": 1, "name": "car"}, {"id": 3, "name": "bus"}, {"id": 4, "name": "tram"}],
        "annotations": [],
    }
    results = []
    for image in coco["images"]:
        for track in range(rng.integers(0, 6)):
            x, y, w, h = (*rng.uniform(0, 200, 2), *rng.uniform(10, 40, 2))
            category = int(rng.choice([1, 3], p=[0.8, 0.2]))
            entry = {"image_id": image["id"], "category_id": category, "bbox": [x, y, w, h], "track_id": track}
            crowd = int(rng.random() < 0.1)
            coco["annotations"].append({**entry, "id": len(coco["annotations"]) + 1, "iscrowd": crowd})
            if rng.random() < quality:
                box = [x + rng.normal(0, 2), y + rng.normal(0, 2), w * rng.uniform(0.8, 1.2), h]
                results.append({**entry, "bbox": box, "score": round(rng.random(), 2)})  # some scores are equal
        for _ in range(rng.integers(0, 4)):
            box = [*rng.uniform(0, 200, 2), *rng.uniform(10, 40, 2)]
            results.append({"image_id": image["id"], "category_id": 1, "bbox": box, "score": round(rng.random(), 2)})
    return coco, results, [f"clip{image['id'] // 10}" for image in coco["images"]]


def repeated(coco, results, clips, times):
    """The dataset with clip i in it times[i] times, image by image one copy after the other."""
    numbers = {clip: number for number, clip in enumerate(dict.fromkeys(clips))}
    many, found = {**coco, "images": [], "annotations": []}, []
    for image, clip in zip(coco["images"], clips, strict=True):
        for k in range(times[numbers[clip]]):
            own = 1000 * image["id"] + k
            many["images"].append({"id": own})
            copies = [{**a, "image_id": own} for a in coco["annotations"] if a["image_id"] == image["id"]]
            many["annotations"] += [{**a, "id": len(many["annotations"]) + n} for n, a in enumerate(copies, start=1)]
            found += [{**r, "image_id": own} for r in results if r["image_id"] == image["id"]]
    return many, found


@pytest.mark.parametrize("seed", range(3))
def test_ap_of_a_resample_is_pycocotools_on_the_repeated_clips(seed):
    coco, results, clips = scene(seed=seed)
    found = intervals.matches(coco, results, clips)
    assert list(found) == ["car", "bus"]  # no tram is labelled
    weights = intervals.draw_clips(6, resamples=5, seed=seed)
    weights[0] = 1
    assert (weights.sum(axis=1) == 6).all()
    for times in weights:
        expected = evaluation.coco_metrics(*repeated(coco, results, clips, times)).per_class
        for name, one in found.items():
            (ap,) = one.ap(times[None])
            assert ap == pytest.approx(expected[name], abs=1e-12), (name, times)


def test_a_resample_without_the_class_has_no_ap():
    coco, results, clips = scene()
    coco["annotations"] = [a for a in coco["annotations"] if a["image_id"] < 10]  # of the first clip alone
    found = intervals.matches(coco, results, clips)["car"]
    assert np.isnan(found.ap(np.array([[0, 2, 2, 1, 1, 0]]))[0])
    nothing = intervals.matches(coco, [], clips)["car"]
    assert nothing.ap(np.ones((2, 6))).tolist() == [0, 0]


def test_objects_are_tracks_of_a_clip():
    coco, *_ = scene(clips=2, frames=1)
    box = {"category_id": 1, "bbox": [0, 0, 9, 9]}
    coco["images"] = [{"id": 0}, {"id": 1}, {"id": 10}]
    coco["annotations"] = [
        {**box, "image_id": 0, "track_id": 5}, {**box, "image_id": 1, "track_id": 5},  # one car, seen twice
        {**box, "image_id": 10, "track_id": 5},  # another, in another clip
        {**box, "image_id": 10}, {**box, "image_id": 1},  # without a track
        {**box, "image_id": 0, "track_id": 6, "category_id": 3},
    ]  # fmt: skip
    assert intervals.distinct_objects(coco, ["a", "a", "b"]) == {"car": 4, "bus": 1, "tram": 0}


def test_a_record_can_be_written_where_one_clip_alone_holds_a_class():
    coco, results, clips = scene(clips=3, frames=10)
    for number, entry in enumerate(coco["annotations"]):
        entry |= {"track_id": number, "category_id": 3 if entry["image_id"] < 10 else 1}
    kept = intervals.resampled(coco, results, clips)
    assert None in kept["ap"]["bus"] and not all(value is None for value in kept["ap"]["bus"])
    json.dumps(kept, allow_nan=False)


def test_what_a_record_keeps(monkeypatch):
    coco, results, clips = scene(clips=40)
    kept = intervals.resampled(coco, results, clips)
    metrics = evaluation.coco_metrics(coco, results)
    assert kept["per_class"] == pytest.approx({k: v for k, v in metrics.per_class.items() if v is not None}, abs=1e-12)
    assert kept["clips"] == 40 and kept["classes"] == ["car", "bus"]
    assert kept["map"] == pytest.approx(metrics.map, abs=1e-12)
    assert all(len(values) == intervals.RESAMPLES for values in kept["ap"].values())
    monkeypatch.setattr(intervals, "ENOUGH_OBJECTS", kept["objects"]["bus"] + 1)
    fewer = intervals.resampled(coco, results, clips)
    assert fewer["classes"] == list(fewer["ap"]) == ["car"] and fewer["map"] == kept["per_class"]["car"]
    assert fewer["per_class"] == kept["per_class"]  # named, though not in the mean


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """Clips of one quality, drawn anew a hundred times: the interval of each draw should hold their common mean."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        clips = rng.normal(0.5, 0.1, 40)
        low, high = intervals.interval((intervals.draw_clips(40) @ clips) / 40)
        held += low <= 0.5 <= high
    assert 88 <= held <= 99
