"""COCO results files, and the command that scores anybody's.

python -m tdt4265.results LABELS.json RESULTS.json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from tdt4265.evaluation import AREAS, STATS, coco_metrics
from tdt4265.paths import write_whole


class ResultsError(ValueError):
    """A file of labels or results that can't be scored: one line that names the file, the entry and the mend."""


def save_results(path: str | Path, results: Sequence[dict]) -> None:
    """Write detections as a COCO results file; a reader never sees half of it."""
    write_whole(path, json.dumps(list(results)))


def load_results(path: str | Path, coco_dict: dict | None = None) -> list[dict]:
    """Read a COCO results file.

    Args:
        coco_dict: if given, every entry must be of one of its images and categories.

    Raises:
        ResultsError: not such a file, or an entry that isn't a detection; one line names file and entry.
    """
    results = _read_json(path)
    if not isinstance(results, list):
        raise ResultsError(f"{path}: a results file is a list of detections, this is a {type(results).__name__}")
    images = None if coco_dict is None else {image["id"] for image in coco_dict["images"]}
    categories = None if coco_dict is None else {category["id"] for category in coco_dict["categories"]}
    for i, entry in enumerate(results):
        wrong = _wrong_with(entry, images, categories)
        if wrong:
            raise ResultsError(f"{path}: entry {i} {wrong}")
    return results


def _wrong_with(entry: object, images: set | None, categories: set | None) -> str | None:
    if not isinstance(entry, dict):
        return "is not an object with image_id, category_id, bbox and score"
    for key in ("image_id", "category_id", "bbox", "score"):
        if key not in entry:
            return f"has no {key!r}"
    box = entry["bbox"]
    if not _is_box(box):
        return f"has the bbox {box!r}: it must be four finite numbers [x, y, width, height]"
    if box[2] < 0 or box[3] < 0:
        return f"has the bbox {box!r} of a negative size: a bbox is [x, y, width, height], not two corners"
    if not _is_number(entry["score"]):
        return f"has the score {entry['score']!r}: it must be a finite number"
    for key, known in (("image_id", images), ("category_id", categories)):
        if type(entry[key]) is not int:
            return f"has the {key} {entry[key]!r}: it must be a whole number"
        if known is not None and entry[key] not in known:
            return f"has the {key} {entry[key]}, which the labels don't have: use the labels it was made for"
    return None


def _is_box(value: object) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(_is_number(side) for side in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read_json(path: str | Path) -> object:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{path}: can't be read ({error.strerror or error})") from error
    except ValueError as error:
        raise ResultsError(f"{path}: is not valid JSON ({error})") from error


def _read_labels(path: str | Path) -> dict:
    labels = _read_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(labels, dict) or not isinstance(labels.get(key), list):
            raise ResultsError(f"{path}: has no list {key!r}: labels in COCO's format are needed")
    needed = {"images": ("id",), "annotations": ("image_id", "category_id", "bbox"), "categories": ("id", "name")}
    for part, keys in needed.items():
        for i, entry in enumerate(labels[part]):
            missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
            if missing:
                raise ResultsError(f"{path}: {part}[{i}] has no {missing[0]!r}")
    for i, entry in enumerate(labels["annotations"]):
        box = entry["bbox"]
        if not _is_box(box):
            raise ResultsError(f"{path}: annotations[{i}] has the bbox {box!r}: it must be four finite numbers")
    return labels


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of a results file; 0, or 2 after one line that says what is wrong with a file."""
    parser = argparse.ArgumentParser(prog="python -m tdt4265.results", description="Score a COCO results file.")
    parser.add_argument("labels", metavar="LABELS.json", help="labels in COCO's format")
    parser.add_argument("results", metavar="RESULTS.json", help="a list of {image_id, category_id, bbox, score}")
    parser.add_argument("--areas", choices=[*AREAS, "both"], default="both", help="whose small, medium and large")
    options = parser.parse_args(arguments)
    try:
        labels = _read_labels(options.labels)
        results = load_results(options.results, labels)
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 2
    conventions = list(AREAS) if options.areas == "both" else [options.areas]
    metrics = [coco_metrics(labels, results, areas=areas) for areas in conventions]
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
