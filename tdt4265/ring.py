"""Boxes, masks and keypoints on a panorama, a ring cut open at its seam: column 0 is the neighbour of the last one.

A whole box that lies across the seam reaches beyond the right edge: 0 <= x1 < width, x2 may be larger than the width.
"""

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import box_iou

from tdt4265.contract import select


def roll(image: Tensor, target: dict, columns: int) -> tuple[Tensor, dict]:
    """A panorama and its target, turned `columns` to the right (to the left for less than 0).

    The seam moves. An object that lies across it now is two boxes; the two boxes of one that lay across it before are
    one again (`join_at_seam`). Both parts of a box have its whole height; a part narrower than a pixel is dropped.
    Labels, area, iscrowd and masks go with their boxes, keypoints with the part that they lie in.
    """
    width = image.shape[-1]
    image = tv_tensors.wrap(image.as_subclass(Tensor).roll(columns, dims=-1), like=image)
    like, target = target["boxes"], join_at_seam(target, width)
    start, y1, x2, y2 = target["boxes"].unbind(1)
    x1, size = start, x2 - start
    x1 = torch.where(size < width, (x1 + columns) % width, x1)  # a box around the whole ring stays as it is
    boxes, owner, beyond = _parts(torch.stack([x1, y1, x1 + size, y2], dim=1), width)

    turned = {**target, "boxes": tv_tensors.wrap(boxes, like=like)}
    for key in ("labels", "iscrowd"):
        turned[key] = target[key][owner]
    turned["area"] = target["area"][owner] * (boxes[:, 2] - boxes[:, 0]) / size[owner]
    if "masks" in target:
        masks = target["masks"].as_subclass(Tensor).roll(columns, dims=-1)[owner]
        column = torch.arange(width)
        inside = (column >= boxes[:, :1].floor()) & (column < boxes[:, 2:3].ceil())
        inside |= (owner.bincount(minlength=len(size)) == 1)[owner, None]  # what is whole keeps its mask
        turned["masks"] = tv_tensors.wrap(masks * inside[:, None, :], like=target["masks"])
    if "keypoints" in target:
        keypoints = target["keypoints"][owner].clone()
        keypoints[..., 0] += ((x1 - start)[owner] - width * beyond)[:, None]  # beyond the seam columns begin anew
        around = (size >= width)[owner]  # a box around the whole ring stays, and its points turn with the image
        keypoints[around, :, 0] = (keypoints[around, :, 0] + columns + 0.5) % width - 0.5
        turned["keypoints"] = hide_outside(keypoints, width, image.shape[-2])
    return image, turned


def _parts(boxes: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Whole boxes [M, 4] cut at the seam: [P, 4], first all that end at it, then what lies beyond.

    Besides, int64 [P], whose part each is, and bool [P], whether it lies beyond. A part narrower than a pixel is
    dropped, unless the other one is narrower still.
    """
    x1, y1, x2, y2 = boxes.unbind(1)
    before, beyond = x2.clamp(max=width) - x1, x2 - width
    first = torch.stack([x1, y1, x2.clamp(max=width), y2], dim=1)
    second = torch.stack([torch.zeros_like(x1), y1, beyond, y2], dim=1)
    kept = torch.cat([(before >= 1) | (before >= beyond), (beyond >= 1) | (beyond > before)])
    number = torch.arange(2 * len(boxes), device=boxes.device)[kept]
    return torch.cat([first, second])[kept], number % max(len(boxes), 1), number >= len(boxes)


def hide_outside(keypoints: Tensor, width: int, height: int) -> Tensor:
    """Keypoints [N, P, 3] with all three numbers 0 where the point lies on no pixel of an image of this size."""
    x, y, visibility = keypoints.unbind(-1)
    seen = (visibility > 0) & (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    return keypoints * seen[..., None]


def join_at_seam(target: dict, width: int) -> dict:
    """The target with every object that the seam cuts in two as one box, which reaches beyond the right edge.

    Two boxes are taken for one object if they touch opposite edges (to a pixel), have the same label and iscrowd, and
    the rows they share are at least half of the rows they cover; the best such pairs first. "boxes" come back as a
    plain tensor.
    """
    boxes = target["boxes"].as_subclass(Tensor).clone()
    x1, y1, x2, y2 = boxes.unbind(1)
    joined = {**target, "boxes": boxes, "area": target["area"].clone()}
    joined |= {key: target[key].clone() for key in ("masks", "keypoints") if key in target}
    kept = torch.ones(len(boxes), dtype=torch.bool)
    for right, left in _parts_of_one(target, width):
        top, bottom = torch.minimum(y1[right], y1[left]), torch.maximum(y2[right], y2[left])
        boxes[right] = torch.stack([x1[right], top, width + x2[left], bottom])
        joined["area"][right] += joined["area"][left]
        if "masks" in target:
            joined["masks"][right] |= joined["masks"][left]
        if "keypoints" in target:
            ours, theirs = joined["keypoints"][right], joined["keypoints"][left].clone()
            theirs[:, 0] += width
            joined["keypoints"][right] = torch.where(ours[:, 2:] > 0, ours, theirs)
        kept[left] = False
    return select(joined, kept)


def _parts_of_one(target: dict, width: int) -> list[tuple[int, int]]:
    """The pairs of boxes, one at the right edge and one at the left, that are one object; the best first."""
    boxes = target["boxes"].as_subclass(Tensor)
    x1, x2 = boxes[:, 0], boxes[:, 2]
    rights = ((x2 >= width - 1) & (x1 > 1)).nonzero()[:, 0]
    lefts = ((x1 <= 1) & (x2 < width - 1)).nonzero()[:, 0]
    (y1, y2), (top, bottom) = boxes[rights, 1::2, None].unbind(1), boxes[lefts, 1::2].unbind(1)
    shared = torch.minimum(y2, bottom) - torch.maximum(y1, top)
    covered = torch.maximum(y2, bottom) - torch.minimum(y1, top)
    same = x2[lefts] < x1[rights, None]  # together they are shorter than the ring
    for key in ("labels", "iscrowd"):
        same &= target[key][rights, None] == target[key][lefts]
    match = shared / covered  # [right part, left part]
    fits = (same & (match >= 0.5)).nonzero()
    fits = fits[match[fits[:, 0], fits[:, 1]].argsort(descending=True, stable=True)]
    pairs, taken = [], set()
    for right, left in zip(rights[fits[:, 0]].tolist(), lefts[fits[:, 1]].tolist(), strict=True):
        if not taken & {right, left}:
            taken |= {right, left}
            pairs.append((right, left))
    return pairs


def split_at_seam(found: dict, width: int) -> dict:
    """Detections with every box that lies across the seam as two, one at either edge, as COCO's format has them.

    found: {"boxes" float [M, 4], whole boxes} and further tensors with a row a box, which both parts get. They come in
    the order of the boxes.
    """
    parts, owner, _ = _parts(found["boxes"], width)
    order = owner.argsort(stable=True)
    return {key: parts[order] if key == "boxes" else value[owner[order]] for key, value in found.items()}


def ring_iou(boxes: Tensor, others: Tensor, width: int) -> Tensor:
    """IoU of boxes on the ring: float [M, 4] and [N, 4] to [M, N], each pair as near to each other as they can be.

    A box that is the whole ring wide overlaps another at both ends; the larger of the two counts.
    """
    turn = boxes.new_tensor([width, 0, width, 0])
    return torch.stack([box_iou(boxes, others + shift * turn) for shift in (0, -1, 1)]).amax(dim=0)


def ring_nms(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float, width: int) -> Tensor:
    """Non-maximum suppression class by class on the ring: the indices that stay, best first, int64.

    `torchvision.ops.batched_nms` gives the same where nothing lies across the seam.
    """
    stays = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for label in labels.unique():
        ours = (labels == label).nonzero()[:, 0]
        ours = ours[scores[ours].argsort(descending=True, stable=True)]
        beats = (ring_iou(boxes[ours], boxes[ours], width) > threshold).cpu().numpy()  # tensors are slow row by row
        beaten = np.zeros(len(ours), dtype=bool)
        for row in range(len(ours)):
            if not beaten[row]:
                beaten[row + 1 :] |= beats[row, row + 1 :]
        stays[ours] = torch.from_numpy(~beaten).to(stays.device)
    kept = stays.nonzero()[:, 0]
    return kept[scores[kept].argsort(descending=True, stable=True)]
