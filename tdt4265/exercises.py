"""What the notebooks' exercises ask a reader to write: a function that is right, and the calls that tell.

They stand here, and not in the notebooks, so that nobody reads the answer in the cell that asks. A notebook checks its
reader's function with `tdt4265.notebook.check_function(reader's, *exercises.NAME)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from tdt4265.boxes import iou


class Exercise(NamedTuple):
    """Attributes:
    solution: the function.
    cases: the arguments of each call.
    hint: what a reader is told whose function is not right.
    """

    solution: Callable
    cases: list[tuple]
    hint: str


# 00: intersection over union ------------------------------------------------------------------------------------------


def _overlap(one: Tensor, other: Tensor) -> Tensor:
    return box_iou(one[None], other[None])[0, 0]


overlap = Exercise(
    _overlap,
    [
        (torch.tensor([0.0, 0, 4, 4]), torch.tensor([2.0, 2, 6, 6])),
        (torch.tensor([1.0, 1, 9, 9]), torch.tensor([3.0, 4, 5, 6])),
        (torch.tensor([0.0, 0, 4, 4]), torch.tensor([4.0, 0, 8, 4])),
        (torch.tensor([0.0, 0, 2, 2]), torch.tensor([5.0, 7, 9, 9])),
    ],
    "Boxes may lie apart: what they share has no negative sides.",
)


# 03: which pixels a cell of a feature map sees ------------------------------------------------------------------------


def _seen_pixels(layers: list[tuple[int, int, int]], cell: int) -> tuple[int, int]:
    first = last = cell
    for kernel, stride, padding in reversed(layers):
        first = first * stride - padding
        last = last * stride - padding + kernel - 1
    return first, last


seen_pixels = Exercise(
    _seen_pixels,
    [
        ([(3, 1, 1)], 5),
        ([(2, 2, 0)], 5),
        ([(3, 1, 1), (2, 2, 0), (3, 1, 1), (2, 2, 0)], 7),
        ([(7, 2, 3), (3, 2, 1)] + 6 * [(3, 1, 1)], 133),
        ([(7, 2, 3), (3, 2, 1)], 0),
    ],
    "Go down from the last layer: a cell sees the cells from stride * cell - padding on, as many as the kernel has.",
)


# 06: the spread of weights before a leaky ReLU ------------------------------------------------------------------------


def _leaky_sigma(n: int, a: float) -> float:
    return nn.init.calculate_gain("leaky_relu", a) / math.sqrt(n)


leaky_sigma = Exercise(
    _leaky_sigma,
    [(2304, 0.0), (576, 0.1), (64, 0.5), (9, 1.0)],
    "The negative half of z is multiplied by a, so its mean square by a².",
)


# 07: parameters that no gradient reaches ------------------------------------------------------------------------------


class _Towers(nn.Module):
    """Three convolutions, of which the first is never run."""

    def __init__(self):
        super().__init__()
        self.tower, self.middle, self.answer = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.middle(x))


def _without_gradient(network: nn.Module, x: Tensor) -> int:
    network(x).sum().backward()
    return sum(p.numel() for p in network.parameters() if p.grad is None)


without_gradient = Exercise(
    _without_gradient,
    [
        (_Towers(), torch.ones(1, 8, 4, 4)),
        (nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)), torch.ones(5, 3)),
    ],
    "Go backward from the sum, then look at each parameter's grad.",
)


# 08: fast normalised fusion -------------------------------------------------------------------------------------------


def _fuse(maps: list[Tensor], w: Tensor) -> Tensor:
    shares = w.clamp(min=0) / (w.clamp(min=0).sum() + 1e-4)
    size = maps[0].shape[-2:]
    fitted = [F.interpolate(x, size) if x.shape[-1] < size[-1] else F.adaptive_max_pool2d(x, size) for x in maps]
    return sum(s * x for s, x in zip(shares, fitted, strict=True))


def _maps(generator: torch.Generator, *sizes: tuple[int, int]) -> tuple[list[Tensor], Tensor]:
    maps = [torch.randn(2, 3, *size, generator=generator) for size in sizes]
    return maps, torch.randn(len(sizes), generator=generator)


_generator = torch.Generator().manual_seed(5)
fuse = Exercise(
    _fuse,
    [
        _maps(_generator, (4, 8)),
        _maps(_generator, (4, 8), (2, 4)),
        _maps(_generator, (2, 4), (4, 8)),
        _maps(_generator, (4, 8), (4, 8), (8, 16)),
        _maps(_generator, (5, 7), (3, 4), (9, 13)),
    ],
    "Resize every map to the first one's size, then weigh with the shares of section 2.",
)


# 09: how well a set of anchors fits a box, as YOLOv5 has it -----------------------------------------------------------


def _ratio_fit(size: tuple[float, float], anchors: list[tuple[float, float]]) -> float:
    return max(min(size[0] / h, h / size[0], size[1] / w, w / size[1]) for h, w in anchors)


ratio_fit = Exercise(
    _ratio_fit,
    [
        ((16, 16), [(16, 16)]),
        ((20, 6), [(16, 16), (28, 9)]),
        ((20, 60), [(60, 20), (10, 30), (24, 24)]),
        ((8, 8), [(9, 4)]),
    ],
    "The smallest of four ratios for each anchor, and of these the largest.",
)


# 10: soft suppression -------------------------------------------------------------------------------------------------


def _soft_nms(scores: Tensor, overlap: Tensor) -> Tensor:
    scores, waiting = scores.clone(), list(range(len(scores)))
    while waiting:
        best = max(waiting, key=lambda i: scores[i])
        waiting.remove(best)
        for i in waiting:
            if overlap[best, i] > 0.5:
                scores[i] *= 1 - overlap[best, i]
    return scores


def _overlapping(generator: torch.Generator, number: int) -> tuple[Tensor, Tensor]:
    corner = 20 * torch.rand(number, 2, generator=generator)
    boxes = torch.cat([corner, corner + 20 + 10 * torch.rand(number, 2, generator=generator)], dim=1)
    return torch.rand(number, generator=generator), iou(boxes, boxes)


soft_nms = Exercise(
    _soft_nms,
    [
        (torch.tensor([0.9, 0.8, 0.7]), torch.tensor([[1.0, 0.6, 0.1], [0.6, 1.0, 0.55], [0.1, 0.55, 1.0]])),
        (torch.tensor([0.5, 0.9]), torch.tensor([[1.0, 0.5], [0.5, 1.0]])),
        (torch.tensor([0.3, 0.8, 0.9]), torch.tensor([[1.0, 0.7, 0.0], [0.7, 1.0, 0.9], [0.0, 0.9, 1.0]])),
        _overlapping(_generator, 12),
        (torch.zeros(0), torch.zeros(0, 0)),
    ],
    "A score that was lowered may lose its turn: look for the best one anew each time.",
)


# 11: a turn after which no box lies across the seam -------------------------------------------------------------------


def _quiet_turn(whole: Tensor, width: int) -> int:
    x1, side = whole[:, 0], whole[:, 2] - whole[:, 0]
    return next(k for k in range(width) if ((x1 + k) % width + side <= width).all())


quiet_turn = Exercise(
    _quiet_turn,
    [
        (torch.tensor([[1004.0, 40, 1044, 60]]), 1024),
        (torch.tensor([[100.0, 0, 140, 9], [900, 0, 1024, 9]]), 1024),
        (torch.tensor([[1000.0, 0, 1030, 9], [20, 0, 60, 9]]), 1024),
        (torch.tensor([[4.0, 0, 9, 2], [8, 0, 13, 2], [14, 0, 18, 2]]), 16),
    ],
    "After a turn by k a box begins at (x1 + k) modulo the width and is as wide as before.",
)


# 13: masks compared by their run lengths ------------------------------------------------------------------------------


def _run_iou(one: Tensor, other: Tensor) -> Tensor:
    ends = torch.cat([one.cumsum(0), other.cumsum(0)]).unique()
    length = ends.diff(prepend=ends.new_zeros(1))
    a, b = (torch.searchsorted(counts.cumsum(0), ends) % 2 == 1 for counts in (one, other))
    return length[a & b].sum() / length[a | b].sum()


run_iou = Exercise(
    _run_iou,
    [
        (torch.tensor([3, 2, 1, 1, 4, 1]), torch.tensor([3, 3, 6])),
        (torch.tensor([0, 5, 7]), torch.tensor([2, 6, 4])),
        (torch.tensor([0, 12]), torch.tensor([12])),
        (torch.tensor([4, 4, 4]), torch.tensor([0, 4, 4, 4])),
        (torch.tensor([100, 3, 125, 3, 125, 3, 665]), torch.tensor([101, 4, 124, 4, 124, 4, 663])),
    ],
    "Add the counts up: between two neighbouring ends of runs, of either mask, nothing changes.",
)


# 12: the loss of a classifier that starts at a prior ------------------------------------------------------------------


def _untrained_loss(num_classes: int, objects: float, prior: float) -> float:
    return -(1 - objects) * math.log(1 - prior) - objects * math.log(prior / (num_classes - 1))


untrained_loss = Exercise(
    _untrained_loss,
    [(9, 0.25, 8 / 9), (9, 0.25, 0.01), (81, 0.0, 0.01), (91, 1.0, 0.5), (2, 0.1, 0.1)],
    "A background region costs -ln(1 - prior); an object -ln of what its own class has of the prior.",
)


# 14: mean and variance of values that several processes hold ----------------------------------------------------------


def _pool_statistics(counts: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    shares = counts / counts.sum()
    mean = (shares * means).sum()
    return torch.stack([mean, (shares * (variances + (means - mean) ** 2)).sum()])


pool_statistics = Exercise(
    _pool_statistics,
    [
        (torch.tensor([2, 2]), torch.tensor([2.0, 6]), torch.tensor([1.0, 1])),
        (torch.tensor([4, 1]), torch.tensor([0.0, 10]), torch.tensor([3.0, 0])),
        (torch.tensor([5, 3, 9]), torch.tensor([1.0, -2, 4]), torch.tensor([0.5, 2, 8])),
    ],
    "Each process counts by its share of the values; add the variance of the means.",
)
