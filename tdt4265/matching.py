"""Which anchors answer for which boxes: rules other than SSD's single threshold (`boxes.match`).

A rule is called as `rule(anchors, boxes, valid, cells, per_cell)` with

    anchors    float32 [N, 4], xyxy in pixels, level after level, cell after cell
    boxes      float32 [B, G, 4], xyxy in pixels, padded (see `boxes.pad_boxes`)
    valid      bool [B, G], false for padding
    cells      the number of cells, one entry a level
    per_cell   the anchors of a cell, one entry a level

and returns int64 [B, N]: the index 0..G-1 of the box, -1 for background, -2 for anchors that the loss leaves out. Every
box keeps the anchor that overlaps it most, as in SSD: none goes untrained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tdt4265.boxes import IGNORED, iou, match_quality, own_anchors


@dataclass(frozen=True)
class IgnoreBand:
    """SSD's rule with a band between object and background that says nothing (Faster R-CNN, section 3.1.2).

    Attributes:
        background: an anchor whose best IoU is below this is background (RetinaNet, section 4: 0.4).
        threshold: from this IoU on it is an object.
    """

    background: float = 0.4
    threshold: float = 0.5

    def __call__(
        self, anchors: Tensor, boxes: Tensor, valid: Tensor, cells: Sequence[int], per_cell: Sequence[int]
    ) -> Tensor:
        quality = iou(boxes, anchors).masked_fill_(~valid[:, :, None], 0)
        if quality.shape[1] == 0:
            return match_quality(quality, valid)
        between = quality.amax(dim=1) >= self.background
        matched = match_quality(quality, valid, self.threshold)
        return torch.where((matched == -1) & between, IGNORED, matched)


@dataclass(frozen=True)
class ATSS:
    """Adaptive training sample selection (Zhang et al. 2020, https://arxiv.org/abs/1912.02424, algorithm 1).

    A box's candidates are the anchors of the cells nearest to its centre, on every level. Those whose IoU is at least
    the candidates' mean plus one standard deviation, and whose centre is in the box, answer for it; an anchor of
    several boxes answers for the one it overlaps most.

    Attributes:
        nearest: cells a level.
    """

    nearest: int = 9

    def __call__(
        self, anchors: Tensor, boxes: Tensor, valid: Tensor, cells: Sequence[int], per_cell: Sequence[int]
    ) -> Tensor:
        quality = iou(boxes, anchors).masked_fill_(~valid[:, :, None], -1)
        if quality.shape[1] == 0:
            return match_quality(quality, valid)
        candidates = self._candidates(anchors, boxes, cells, per_cell)  # [B, G, C]
        overlap = quality.gather(2, candidates)
        threshold = overlap.mean(dim=2, keepdim=True) + overlap.std(dim=2, keepdim=True)
        centre = ((anchors[:, :2] + anchors[:, 2:]) / 2)[candidates]  # [B, G, C, 2]
        inside = ((centre > boxes[:, :, None, :2]) & (centre < boxes[:, :, None, 2:])).all(dim=3)
        chosen = torch.where((overlap >= threshold) & inside & valid[:, :, None], overlap, -1)
        best_iou, best_box = torch.full_like(quality, -1).scatter_(2, candidates, chosen).max(dim=1)
        return own_anchors(torch.where(best_iou > 0, best_box, -1), quality, valid)

    def _candidates(self, anchors: Tensor, boxes: Tensor, cells: Sequence[int], per_cell: Sequence[int]) -> Tensor:
        """int64 [B, G, C]: the indices of the anchors of the nearest cells, of all levels."""
        middle = (boxes[..., :2] + boxes[..., 2:]) / 2
        found, first = [], 0
        for number, of_cell in zip(cells, per_cell, strict=True):
            last = first + number * of_cell
            corner = anchors[first:last:of_cell]
            centres = (corner[:, :2] + corner[:, 2:]) / 2  # one a cell
            distance = (middle[:, :, None] - centres).square().sum(dim=3)
            cell = distance.topk(min(self.nearest, number), dim=2, largest=False).indices
            inner = torch.arange(of_cell, device=anchors.device)
            found.append((first + cell[..., None] * of_cell + inner).flatten(2))
            first = last
        return torch.cat(found, dim=2)
