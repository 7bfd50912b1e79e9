"""Anchors: the boxes, fixed in advance, from which a detector's offsets are counted."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SSDSizes:
    """The sizes of SSD's default boxes (Liu et al. 2016, https://arxiv.org/abs/1512.02325, section 2.2), in pixels.

    A cell of level k carries an anchor of size s_k, one of size sqrt(s_k s_(k+1)), and for each aspect ratio r two of
    area s_k^2: one r times as wide as it is high, one r times as high as it is wide. `sizes[k]` gives them in this
    order, as (height, width).

    Attributes:
        min_sizes: s_k as (height, width), one a level and one more for the last level's second anchor.
        aspect_ratios: a level's ratios, one tuple a level.
    """

    min_sizes: tuple[tuple[float, float], ...]
    aspect_ratios: tuple[tuple[float, ...], ...]

    def __post_init__(self):
        if len(self.min_sizes) != len(self.aspect_ratios) + 1:
            raise ValueError(
                f"aspect_ratios of {len(self.aspect_ratios)} levels need one more of min_sizes, "
                f"got {len(self.min_sizes)}"
            )

    def __len__(self) -> int:
        return len(self.aspect_ratios)

    def __getitem__(self, level: int) -> list[tuple[float, float]]:
        ratios = self.aspect_ratios[level]  # an IndexError ends a loop over the levels
        (height, width), (next_height, next_width) = self.min_sizes[level], self.min_sizes[level + 1]
        sizes = [(height, width), (math.sqrt(height * next_height), math.sqrt(width * next_width))]
        for root in map(math.sqrt, ratios):
            sizes += [(height / root, width * root), (height * root, width / root)]
        return sizes


@dataclass(frozen=True)
class Anchors:
    """A grid of cells a level, and boxes of some sizes around the centre of each cell.

    The centre of a cell is ((column + 0.5) stride, (row + 0.5) stride); boxes may reach over the image's edge. The
    anchors of an image are ordered by level, then row, then column, then as `sizes` has them: a head's outputs come in
    the same order.

    Attributes:
        strides: pixels from cell to cell, one a level, finest first; whole ones, as a backbone has them, unless its
            feature maps are brought to another grid (`models.ResizedFPN`).
        sizes: for each level the (height, width) of each anchor of a cell, in pixels: `SSDSizes`, or tuples.

    Raises:
        ValueError: strides and sizes are not of as many levels.
    """

    strides: tuple[float, ...]
    sizes: SSDSizes | tuple[tuple[tuple[float, float], ...], ...]

    def __post_init__(self):
        if len(self.sizes) != len(self.strides):
            raise ValueError(f"strides of {len(self.strides)} levels, but sizes of {len(self.sizes)}")

    def num_anchors_per_location(self) -> list[int]:
        """The number of anchors of a cell, one entry a level."""
        return [len(sizes) for sizes in self.sizes]

    def grid_shapes(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
        """The (rows, columns) of cells on each level, for an image of (height, width) pixels.

        Of a whole stride they are rounded up, as convolutions have them; of another, which no convolution has, to the
        nearest.
        """
        return [tuple(_cells(side, stride) for side in image_size) for stride in self.strides]

    def image_size(self, anchors: Tensor) -> tuple[int, int]:
        """The (height, width) in pixels that anchors [N, 4] of this grid cover: those of the coarsest level's cells."""
        x1, y1, x2, y2 = anchors[-1].tolist()
        return tuple(round((low + high + self.strides[-1]) / 2) for low, high in ((y1, y2), (x1, x2)))

    def count(self, image_size: tuple[int, int]) -> int:
        """The number of anchors, N, of an image of (height, width) pixels."""
        cells = [rows * columns for rows, columns in self.grid_shapes(image_size)]
        return sum(c * n for c, n in zip(cells, self.num_anchors_per_location(), strict=True))

    def __call__(self, grid_shapes: Sequence[tuple[int, int]], device: torch.device | str = "cpu") -> Tensor:
        """The anchors of feature maps of these (rows, columns): float32 [N, 4], xyxy in pixels.

        The tensor is made once for the same maps and device and then shared: do not write into it.

        Raises:
            ValueError: as many feature maps as strides are needed.
        """
        shapes = tuple((int(rows), int(columns)) for rows, columns in grid_shapes)
        if len(shapes) != len(self.strides):
            raise ValueError(f"anchors of {len(self.strides)} levels, but {len(shapes)} feature maps")
        return _grid_anchors(self, shapes, torch.device(device))


def _cells(side: int, stride: float) -> int:
    return math.ceil(side / stride) if stride == int(stride) else max(round(side / stride), 1)


def in_proportion(strides: Sequence[int], shapes: Sequence[tuple[float, float]]) -> Anchors:
    """Anchors of the same shapes on every level, in cells: a head that all levels share sees the same picture on each.

    shapes: (height, width) in strides.
    """
    levels = (tuple((height * stride, width * stride) for height, width in shapes) for stride in strides)
    return Anchors(tuple(strides), tuple(levels))


def automatic(sizes: Sequence[float], aspect_ratios: Sequence[Sequence[float]]) -> Anchors:
    """A level for each size, its cells that size apart, as the report of 2022 had them.

    A cell has the size's square, one of twice its side, and for each of the level's ratios, height / width, a box of
    the square's area. The strides are no longer those of any backbone, nor each twice the one before.
    """
    kinds = []
    for size, ratios in zip(sizes, aspect_ratios, strict=True):
        boxes = ((size * math.sqrt(ratio), size / math.sqrt(ratio)) for ratio in ratios)
        kinds.append(((size, size), (2 * size, 2 * size), *boxes))
    return Anchors(tuple(sizes), tuple(kinds))


@functools.lru_cache(maxsize=16)
def _grid_anchors(anchors: Anchors, shapes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    levels = []
    for level, ((rows, columns), stride) in enumerate(zip(shapes, anchors.strides, strict=True)):
        sizes = torch.tensor(anchors.sizes[level], dtype=torch.float32)
        half = sizes.flip(1) / 2  # (width, height) / 2
        y = (torch.arange(rows, dtype=torch.float32) + 0.5) * stride
        x = (torch.arange(columns, dtype=torch.float32) + 0.5) * stride
        y, x = torch.meshgrid(y, x, indexing="ij")
        centres = torch.stack([x, y], dim=-1)[:, :, None, :]  # [rows, columns, 1, 2]
        levels.append(torch.cat([centres - half, centres + half], dim=-1).reshape(-1, 4))
    return torch.cat(levels).to(device)
