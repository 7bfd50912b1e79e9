"""Boxes: offsets from anchors and back, and which anchor answers for which box.

Boxes are xyxy in pixels everywhere. Centre and size stand only inside `encode` and `decode`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

CENTRE_VARIANCE = 0.1  # offsets are divided by these, which brings the network's targets near unit variance
SIZE_VARIANCE = 0.2
IGNORED = -2  # of an anchor that answers for nothing and is not to say background either
MAX_LOG_SCALE = math.log(1000 / 16)  # a decoded side is at most 62.5 times its anchor's: exp must not overflow


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Offsets that lead from anchors to boxes (R-CNN, Girshick et al. 2014, appendix C, with SSD's variances).

    Args:
        boxes: [..., 4], xyxy in pixels, of positive width and height.
        anchors: [..., 4], xyxy in pixels; broadcast against boxes.

    Returns:
        [..., 4]: (dx, dy) in anchor sides / 0.1, (log width ratio, log height ratio) / 0.2.
    """
    box_centre, box_size = _centre_size(boxes)
    anchor_centre, anchor_size = _centre_size(anchors)
    shift = (box_centre - anchor_centre) / anchor_size / CENTRE_VARIANCE
    scale = torch.log(box_size / anchor_size) / SIZE_VARIANCE
    return torch.cat([shift, scale], dim=-1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """The inverse of `encode`: [..., 4] offsets and [..., 4] anchors to [..., 4] boxes, xyxy in pixels.

    Computed in float32 whatever the offsets' type: in half precision a perfect offset comes out up to a pixel off.
    """
    offsets = offsets.float()
    anchor_centre, anchor_size = _centre_size(anchors.float())
    centre = anchor_centre + offsets[..., :2] * CENTRE_VARIANCE * anchor_size
    half = anchor_size * torch.exp((offsets[..., 2:] * SIZE_VARIANCE).clamp(max=MAX_LOG_SCALE)) / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def iou(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Intersection over union: [..., G, 4] and [N, 4], xyxy, to [..., G, N].

    `torchvision.ops.box_iou` gives the same; coordinate by coordinate it is three times as fast on a CPU.
    """
    x1, y1, x2, y2 = boxes[..., None].unbind(-2)  # [..., G, 1]
    ax1, ay1, ax2, ay2 = anchors.t().contiguous()  # [N]
    width = torch.minimum(x2, ax2).sub_(torch.maximum(x1, ax1)).clamp_(min=0)
    height = torch.minimum(y2, ay2).sub_(torch.maximum(y1, ay1)).clamp_(min=0)
    intersection = width.mul_(height)
    union = ((x2 - x1) * (y2 - y1) + (ax2 - ax1) * (ay2 - ay1)).sub_(intersection)
    return intersection.div_(union)


def pad_boxes(boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Boxes of several images as one tensor.

    Args:
        boxes: B tensors [G_i, 4].

    Returns:
        float32 [B, G, 4] with G the largest G_i, zeros behind an image's own boxes; and bool [B, G], true for own.
    """
    padded = pad_sequence([b.as_subclass(Tensor).float().reshape(-1, 4) for b in boxes], batch_first=True)
    counts = torch.tensor([len(b) for b in boxes], device=padded.device)
    valid = torch.arange(padded.shape[1], device=padded.device) < counts[:, None]
    return padded, valid


def match(anchors: Tensor, boxes: Tensor, valid: Tensor, threshold: float = 0.5) -> Tensor:
    """Gives each anchor the box it answers for (SSD, section 2.2).

    An anchor takes the box it overlaps most if their IoU is at least `threshold`. Besides, every box gets one anchor
    of its own, whatever the IoU: its best one (`own_anchors`).

    Args:
        anchors: [N, 4], xyxy in pixels.
        boxes: [B, G, 4], xyxy in pixels, padded (see `pad_boxes`).
        valid: bool [B, G], false for padding.

    Returns:
        int64 [B, N]: the index 0..G-1 of the box, -1 for background.
    """
    return match_quality(iou(boxes, anchors), valid, threshold)


def match_quality(quality: Tensor, valid: Tensor, threshold: float = 0.5) -> Tensor:
    """`match` by any measure of how well an anchor fits a box, from 0 to 1: float [B, G, N], which is written into."""
    images, per_image, anchors = quality.shape
    if per_image == 0:
        return torch.full((images, anchors), -1, dtype=torch.int64, device=quality.device)
    quality.masked_fill_(~valid[:, :, None], -1)
    best_iou, best_box = quality.max(dim=1)
    return own_anchors(torch.where(best_iou >= threshold, best_box, -1), quality, valid)


def own_anchors(matched: Tensor, quality: Tensor, valid: Tensor) -> Tensor:
    """Gives every box its best anchor, whoever has it in `matched`, int64 [B, N], which is written into and returned.

    Where several boxes have the same best anchor, the one of highest quality (then the first) has it and the others
    take their next best, until each box has its own: no box goes without because another came later in the list. A box
    that fits no anchor at all, quality 0, gets none.

    Args:
        quality: float [B, G, N], written into. valid: bool [B, G], false for padding.
    """
    # Each round gives their best free anchor to all waiting boxes but those that a rival outbids; the rounds are as
    # many as boxes compete for one anchor, usually one or two.
    order = torch.arange(quality.shape[1], device=quality.device)
    earlier = order[None, :] < order[:, None]  # [i, j]: j comes before i
    waiting = valid
    while waiting.any():
        own_iou, own_anchor = quality.max(dim=2)  # [B, G]
        waiting = waiting & (own_iou > 0)
        mine, theirs = own_iou[:, :, None], own_iou[:, None, :]
        outbids = (theirs > mine) | ((theirs == mine) & earlier)
        rival = (own_anchor[:, :, None] == own_anchor[:, None, :]) & waiting[:, None, :]
        served = waiting & ~(rival & outbids).any(dim=2)
        image, box = served.nonzero(as_tuple=True)
        anchor = own_anchor[image, box]
        matched[image, anchor] = box
        quality[image, :, anchor] = -1  # taken
        waiting = waiting & ~served
    return matched


def anchor_targets(
    matched: Tensor, boxes: Tensor, labels: Tensor, anchors: Tensor, ring: int | None = None
) -> tuple[Tensor, Tensor]:
    """What the network should say at each anchor.

    Args:
        matched: int64 [B, N], from `match` or another matching: -1 for background, -2 for what is ignored.
        boxes: [B, G, 4], xyxy in pixels.
        labels: int64 [B, G], from 1.
        anchors: [N, 4], xyxy in pixels.
        ring: the width of an image that closes on itself, in pixels: a box is where it is nearest to its anchor.

    Returns:
        int64 [B, N] labels, 0 for background, -1 for ignored; float32 [B, N, 4] offsets, zeros for both.
    """
    target_labels = torch.where(matched == IGNORED, -1, 0)
    target_offsets = anchors.new_zeros(*matched.shape, 4)
    image, anchor = (matched >= 0).nonzero(as_tuple=True)
    box = matched[image, anchor]
    target_labels[image, anchor] = labels[image, box]
    own = boxes[image, box]
    if ring is not None:
        turns = ((anchors[anchor, 0::2].mean(1) - own[:, 0::2].mean(1)) / ring).round()
        own = own + ring * turns[:, None] * own.new_tensor([1, 0, 1, 0])
    target_offsets[image, anchor] = encode(own, anchors[anchor])
    return target_labels, target_offsets
