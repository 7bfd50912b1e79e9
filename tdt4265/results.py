"""COCO results files, and the command that scores anybody's.

    python -m tdt4265.results LABELS.json RESULTS.json [--task segm]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tdt4265.contract import TASKS
from tdt4265.data import DataError, read_checked
from tdt4265.data.coco import is_finite, is_integer, is_number, read_json, runs_fault
from tdt4265.errors import OneLineError, quoted
from tdt4265.evaluation import AREAS, STATS, coco_metrics
from tdt4265.paths import write_whole


class ResultsError(OneLineError):
    """A file of labels or results that can't be scored: one line that names the file, the entry and the mend."""


def save_results(path: str | Path, results: Sequence[dict]) -> None:
    """Write detections as a COCO results file; a reader never sees half of it."""
    write_whole(path, json.dumps(list(results)))


# What an entry of a results file must hold for each task.
FIELDS = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}


def load_results(path: str | Path, coco_dict: dict | None = None, task: str = "bbox") -> list[dict]:
    """Read a COCO results file.

    Args:
        coco_dict: if given, every entry must be of one of its images and categories, and a mask of its image's size.
        task: what every entry must have, "bbox", "segm" (a run-length code) or "keypoints".

    Raises:
        ResultsError: not such a file, or an entry that isn't a detection; one line names file and entry.
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}: it is one of {', '.join(map(repr, TASKS))}")
    results = _read_json(path)
    if not isinstance(results, list):
        raise ResultsError(f"{path}: a results file is a list of detections, this is a {type(results).__name__}")
    images = None if coco_dict is None else {image["id"]: image for image in coco_dict["images"]}
    categories = None if coco_dict is None else {category["id"]: category for category in coco_dict["categories"]}
    for i, entry in enumerate(results):
        wrong = _wrong_with(entry, images, categories, task)
        if wrong:
            raise ResultsError(f"{path}: entry {i} {wrong}")
    return results


def _wrong_with(entry: object, images: dict | None, categories: dict | None, task: str) -> str | None:
    field = FIELDS[task]
    if not isinstance(entry, dict):
        return f"is not an object with image_id, category_id, {field} and score"
    for key in ("image_id", "category_id", field, "score"):
        if key not in entry:
            return f"has no {key!r}"
    if not _is_number(entry["score"]):
        return f"has the score {quoted(entry['score'])}: it must be a finite number"
    for key, known in (("image_id", images), ("category_id", categories)):
        if not is_integer(entry[key]):
            return f"has the {key} {quoted(entry[key])}: it must be a whole number"
        if known is not None and entry[key] not in known:
            return f"has the {key} {entry[key]}, which the labels don't have: use the labels it was made for"
    if task == "segm":
        return _wrong_with_mask(entry["segmentation"], images and images[entry["image_id"]])
    if task == "keypoints":
        return _wrong_with_points(entry["keypoints"], categories and categories[entry["category_id"]])
    return _wrong_with_box(entry["bbox"])


def _wrong_with_box(box: object) -> str | None:
    if not _is_box(box):
        return f"has the bbox {quoted(box)}: it must be four finite numbers [x, y, width, height]"
    if box[2] < 0 or box[3] < 0:
        return f"has the bbox {quoted(box)} of a negative size: a bbox is [x, y, width, height], not two corners"
    return None


def _wrong_with_mask(code: object, image: dict | None) -> str | None:
    if not isinstance(code, dict) or not isinstance(code.get("counts"), str) or not _is_size(code.get("size")):
        return 'has a segmentation that is no run-length code {"size": [height, width], "counts": "..."}'
    if image is not None and code["size"] != [image["height"], image["width"]]:
        return f"has a mask of size {quoted(code['size'])}: its image has {[image['height'], image['width']]}"
    height, width = code["size"]
    return "has a mask whose counts do not fill its size" if runs_fault(code["counts"], height * width) else None


def _is_size(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(is_integer(side) and side > 0 for side in value)


def _wrong_with_points(points: object, category: dict | None) -> str | None:
    if not isinstance(points, list) or not points or len(points) % 3 or not all(map(_is_number, points)):
        return "has keypoints that are not three finite numbers for each point: x, y and a third that is not used"
    wanted = 3 * len(category.get("keypoints", ())) if category is not None else len(points)
    return None if len(points) == wanted else f"has {len(points)} numbers of keypoints: its category needs {wanted}"


def _is_box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(_is_number(side) for side in value)


def _is_number(value: object) -> bool:
    return is_number(value) and is_finite(value)


def _read_json(path: str | Path) -> object:
    try:
        return read_json(Path(path))
    except DataError as error:
        raise ResultsError(str(error)) from None


def _read_labels(path: str | Path, task: str) -> dict:
    """Labels in COCO's format that hold what the task needs; ResultsError, one line, for those that `load` refuses."""
    try:
        return read_checked(path, (task,))
    except DataError as error:
        raise ResultsError(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of a results file; 0, or 2 after one line that says what is wrong with a file."""
    parser = argparse.ArgumentParser(prog="python -m tdt4265.results", description="Score a COCO results file.")
    parser.add_argument("labels", metavar="LABELS.json", help="labels in COCO's format")
    parser.add_argument(
        "results",
        metavar="RESULTS.json",
        help="a list of {image_id, category_id, score, bbox (or segmentation, keypoints)}",
    )
    parser.add_argument("--task", choices=[*TASKS], default="bbox", help="score boxes (default), masks or keypoints")
    parser.add_argument("--areas", choices=[*AREAS, "both"], default="both", help="whose small, medium and large")
    options = parser.parse_args(arguments)
    try:
        labels = _read_labels(options.labels, options.task)
        results = load_results(options.results, labels, options.task)
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 2
    conventions = list(AREAS) if options.areas == "both" else [options.areas]
    metrics = [coco_metrics(labels, results, areas=areas, task=options.task) for areas in conventions]
    print(f"{len(results)} detections in {len(labels['images'])} frames, {len(labels['annotations'])} labels")
    for m in metrics:
        print(f"\nareas of {m.areas}: small to {AREAS[m.areas][0]}², large from {AREAS[m.areas][1]}²")
        for key, value in zip(STATS, m.twelve(), strict=True):
            print(f"  {key:<10} {_text(value if value >= 0 else None)}")
    print("\nAP of each class")
    for name, ap in metrics[0].per_class.items():
        print(f"  {name:<10} {_text(ap)}")
    return 0


def _text(value: float | None) -> str:
    return "absent" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    sys.exit(main())
