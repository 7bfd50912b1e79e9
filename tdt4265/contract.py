"""What models, data and training agree on: torchvision's contract of a detector, checked, and its batches.

A model in training mode gets `(images, targets)` and returns a dict of losses; in evaluation mode it gets `images` and
returns a dict of detections each. Images are float tensors [3, H, W] in 0..1, in a list, because they may differ in
size; a target is a dict with "image_id" and, for each of its G boxes, what `BOX_KEYS` names.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision import tv_tensors

# What a detector may be asked for, by pycocotools' names, and the entry of targets and detections that holds it.
TASKS = {"bbox": "boxes", "segm": "masks", "keypoints": "keypoints"}

# Categories are numbered up to here: a detector has outputs for each number, whether a category has it or not.
MOST_CATEGORIES = 10_000

# The entries of a target that have a row for each box: xyxy in pixels float32 [G, 4], int64 [G] from 1, square pixels
# float32 [G], 0 or 1 int64 [G], and, where they were asked for, uint8 [G, H, W], and float32 [G, P, 3]: column, row
# (whole numbers are the middles of pixels, as in COCO) and visibility, 0 for a point that is not labelled.
BOX_KEYS = ("boxes", "labels", "area", "iscrowd", "masks", "keypoints")


def select(target: dict, chosen: Tensor) -> dict:
    """The target with the chosen of its boxes (bool [G], or their indices), of the same types, the rest as it was."""
    return target | {key: _rows(target[key], chosen) for key in BOX_KEYS if key in target}


def _rows(values: Tensor, chosen: Tensor) -> Tensor:
    rows = values.as_subclass(Tensor)[chosen]
    return tv_tensors.wrap(rows, like=values) if isinstance(values, tv_tensors.TVTensor) else rows


def without_crowds(target: dict) -> dict:
    """What a detector is trained on: a crowd's box holds many objects, and no detection of one fits it.

    In evaluation it stays: COCO's metrics leave detections inside a crowd uncounted. A target without "iscrowd" has
    none.
    """
    return select(target, target["iscrowd"] == 0) if "iscrowd" in target else target


def collate(batch: list[tuple[Tensor, dict]]) -> tuple[list[Tensor], list[dict]]:
    """A batch as the models take it: a list of images, a list of targets, all plain tensors.

    Lists, because images may differ in size and targets in their number of boxes. tv_tensors have done their work once
    the transforms ran; models get what torchvision's own models get.
    """
    return [_plain(image) for image, _ in batch], [{k: _plain(v) for k, v in target.items()} for _, target in batch]


def _plain(value: object) -> object:
    return value.as_subclass(Tensor) if isinstance(value, Tensor) else value


def check_images(images: Sequence[Tensor]) -> None:
    """Raises ValueError unless images are float tensors [3, H, W]."""
    if len(images) == 0:
        raise ValueError("the list of images is empty")
    for i, image in enumerate(images):
        if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
            raise ValueError(
                f"image {i}: expected a float tensor [3, H, W] in 0..1, got {image.dtype} {list(image.shape)}"
            )


def check_targets(images: Sequence[Tensor], targets: Sequence[dict] | None, num_classes: int) -> None:
    """Raises ValueError unless each image has boxes [G, 4] of positive sides and labels [G] in 1..num_classes-1."""
    if targets is None or len(targets) != len(images):
        given = "none" if targets is None else len(targets)
        raise ValueError(f"training needs one target for each of the {len(images)} images, got {given}")
    for i, target in enumerate(targets):
        boxes, labels = target["boxes"], target["labels"]
        if boxes.ndim != 2 or boxes.shape[1] != 4 or labels.shape != boxes.shape[:1]:
            raise ValueError(
                f"target {i}: expected boxes [G, 4] and labels [G], got {list(boxes.shape)} and {list(labels.shape)}"
            )
        if labels.dtype != torch.int64:
            raise ValueError(f"target {i}: labels must be int64, got {labels.dtype}")
    # One look at all of them: on a GPU each look waits for the device.
    boxes = torch.cat([target["boxes"].as_subclass(Tensor) for target in targets])
    labels = torch.cat([target["labels"] for target in targets])
    empty = ~((boxes[:, 2:] > boxes[:, :2]).all(dim=1) & boxes.isfinite().all(dim=1))
    unknown = (labels < 1) | (labels >= num_classes)
    if (empty | unknown).any():
        bad = int((empty | unknown).nonzero()[0])
        owner = [i for i, target in enumerate(targets) for _ in target["labels"]][bad]
        if empty[bad]:
            raise ValueError(f"target {owner}: box {boxes[bad].tolist()} has no width or height, or is not finite")
        raise ValueError(f"target {owner}: label {int(labels[bad])} is not one of 1..{num_classes - 1}")
