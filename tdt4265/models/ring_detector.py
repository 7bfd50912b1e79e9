"""A detector that knows that its image is a ring: column 0 is the neighbour of the last one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from .. import boxes as box_ops
from ..ring import join_at_seam, ring_nms, split_at_seam
from .detector import Detector


def _wrap(x: Tensor, columns: int) -> Tensor:
    """[B, C, H, W] with so many columns of the other side before the first and behind the last one."""
    return torch.cat([x[..., -columns:], x, x[..., :columns]], dim=-1) if columns else x


class RingConv2d(nn.Conv2d):
    """A convolution that finds the other side's columns where another finds zeros; rows keep their zeros."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.padding
        x = _wrap(x, columns)
        return F.conv2d(x, self.weight, self.bias, self.stride, (rows, 0), self.dilation, self.groups)


class RingMaxPool2d(nn.MaxPool2d):
    """Max pooling in the same way."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(_wrap(x, self.padding), self.kernel_size, self.stride, (self.padding, 0), self.dilation)


def close_ring(module: nn.Module) -> None:
    """Makes all convolutions and poolings of a module go around the ring, in place; the weights stay."""
    for part in module.modules():
        if type(part) is nn.Conv2d:
            part.__class__ = RingConv2d
        elif type(part) is nn.MaxPool2d:
            part.__class__ = RingMaxPool2d


class RingDetector(Detector):
    """A `Detector` of panoramas: padding, matching and suppression go around the ring.

    Turned by a multiple of the coarsest stride, the same image gives the same detections, turned, to rounding. An
    object across the seam is trained and found as one; `forward` gives it as two boxes, one at either edge, as labels
    in COCO's format have it, and `whole` as one, which reaches beyond the right edge.

    Takes what `Detector` takes. Raises ValueError for images whose width is no multiple of the coarsest stride: padding
    would come between the two ends.
    """

    def __init__(self, *parts, **options):
        super().__init__(*parts, **options)
        if self.matching is not None:
            raise ValueError(f"{self.matching}: on a ring matching has one threshold, matching=None")
        for part in (self.backbone, self.pyramid, self.head):
            if part is not None:
                close_ring(part)

    def batch(self, images: Sequence[Tensor]) -> Tensor:
        widths, cell = {image.shape[-1] for image in images}, max(self.anchors.strides)
        if len(widths) != 1 or min(widths) % cell:
            raise ValueError(f"images of width {sorted(widths)}: a ring is one multiple of {cell} columns wide")
        return super().batch(images)

    def assign(self, targets: Sequence[dict], anchors: Tensor) -> tuple[Tensor, Tensor]:
        """As `Detector.assign`: each object is whole, and its offsets are those to the nearest of its places.

        targets: with "iscrowd" too where there are crowds, for only boxes of one kind are joined.
        """
        _, width = self.anchors.image_size(anchors)
        whole = [_joined(target, width) for target in targets]
        boxes, valid = box_ops.pad_boxes([target["boxes"] for target in whole])
        labels = pad_sequence([target["labels"] for target in whole], batch_first=True)
        turn = boxes.new_tensor([width, 0, width, 0])
        quality = torch.stack([box_ops.iou(boxes + shift * turn, anchors) for shift in (0, -1, 1)]).amax(dim=0)
        return box_ops.anchor_targets(box_ops.match_quality(quality, valid), boxes, labels, anchors, ring=width)

    def whole(self, images: Sequence[Tensor]) -> list[dict]:
        """Detections as `forward` gives them in evaluation mode, but each object as one box, also across the seam."""
        _, class_logits, box_offsets, anchors = self.outputs(images)
        sizes = [image.shape[-2:] for image in images]
        return super().detections(class_logits, box_offsets, anchors, sizes)

    def detections(self, class_logits: Tensor, box_offsets: Tensor, anchors: Tensor, sizes: Sequence) -> list[dict]:
        found = super().detections(class_logits, box_offsets, anchors, sizes)
        return [split_at_seam(one, width) for one, (_, width) in zip(found, sizes, strict=True)]

    def _boxes(self, offsets: Tensor, anchors: Tensor, size: tuple[int, int]) -> Tensor:
        height, width = size
        x1, y1, x2, y2 = box_ops.decode(offsets, anchors).unbind(1)
        side = (x2 - x1).clamp(max=width)
        x1 = ((x1 + x2 - side) / 2) % width  # a box longer than the ring keeps its middle
        x1 = torch.where(x1 < width, x1, 0)  # what is next to nothing below zero is rounded up to the width
        return torch.stack([x1, y1.clamp(0, height), x1 + side, y2.clamp(0, height)], dim=1)

    def _suppress(self, boxes: Tensor, scores: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
        return ring_nms(boxes, scores, labels, self.nms_thresh, size[1])


def _joined(target: dict, width: int) -> dict:
    """Boxes and labels of a target, each object whole."""
    labels = target["labels"]
    complete = {"area": labels, "iscrowd": torch.zeros_like(labels), **target}
    return join_at_seam({key: complete[key] for key in ("boxes", "labels", "area", "iscrowd")}, width)
