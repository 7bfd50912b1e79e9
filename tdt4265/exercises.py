"""What the notebooks' exercises ask a reader to write: a function that is right, and the calls that tell.

They stand here, and not in the notebooks, so that nobody reads the answer in the cell that asks. A notebook checks its
reader's function with `tdt4265.notebook.check_function(reader's, *exercises.NAME)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Exercise(NamedTuple):
    """Attributes:
    solution: the function.
    cases: the arguments of each call.
    hint: what a reader is told whose function is not right.
    """

    solution: Callable
    cases: list[tuple]
    hint: str


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
