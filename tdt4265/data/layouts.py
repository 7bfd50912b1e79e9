"""Where a folder keeps the labels and images of a split: as the course has it, or as COCO or Roboflow give it out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Attributes:
    labels: the annotation file, whether it is there or not.
    images: what the file's image names are relative to, as a path in the folder; "": the folder itself.
    is_coco: the files are COCO's own. Then each image is a scene of its own, and boxes without a side, of which COCO
        has some, are left out.
    """

    labels: Path
    images: str = ""
    is_coco: bool = False


def layout(folder: Path, split: str, tasks: Sequence[str] = ("bbox",)) -> Layout:
    """The files of `split`, "train" or "val", in a folder.

    The course's layout is `train_annotations.json` (for the task "keypoints" `train_keypoints.json`, where there is
    one) and whatever images it names. COCO's, of any year, is
    `annotations/instances_train2017.json` (`person_keypoints_train2017.json` for the task "keypoints") and the images
    in `train2017/`. Roboflow's COCO format is `train/_annotations.coco.json` beside its images, and `valid/` for val.
    Where a folder has none of them, the course's.
    """
    with_points = folder / f"{split}_keypoints.json"
    if "keypoints" in tasks and with_points.is_file():
        return Layout(with_points)
    ours = Layout(folder / f"{split}_annotations.json")
    if ours.labels.is_file():
        return ours
    kind = "person_keypoints" if "keypoints" in tasks else "instances"
    found = sorted((folder / "annotations").glob(f"instances_{split}*.json"))
    years = [re.fullmatch(rf"instances_({split}\d*)\.json", path.name) for path in found]
    named = [match[1] for match in years if match]
    if not named:
        own = {"train": "train", "val": "valid"}[split]
        roboflow = Layout(folder / own / "_annotations.coco.json", own, is_coco=True)
        return roboflow if roboflow.labels.is_file() else ours
    return Layout(folder / "annotations" / f"{kind}_{named[-1]}.json", named[-1], is_coco=True)


def is_cocos(labels: Path) -> bool:
    """Whether a file of labels lies where COCO or Roboflow put theirs, whatever else is there."""
    return labels.parent.name == "annotations" or labels.name == "_annotations.coco.json"


FROM_YOLO = (
    "convert each split with `pip install supervision`: DetectionDataset.from_yolo(IMAGES, LABELS, 'data.yaml')"
    ".as_coco('OUT', 'OUT/train_annotations.json'), and give OUT"
)


def is_yolo(folder: Path) -> bool:
    """Whether a folder looks like YOLO's: a data.yaml, and text files of labels."""
    return any(folder.glob("*.yaml")) and any(True for _ in folder.glob("**/labels/**/*.txt"))
