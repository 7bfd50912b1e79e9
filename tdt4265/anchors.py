"""Anchors: the boxes, fixed in advance, from which a detector's offsets are counted."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SSDAnchors:
    """The default boxes of SSD (Liu et al. 2016, https://arxiv.org/abs/1512.02325, section 2.2), in pixels.

    A cell of level k carries an anchor of size s_k, one of size sqrt(s_k s_(k+1)), and for each aspect ratio r
    two of area s_k^2: one r times as wide as it is high, one r times as high as it is wide. All are centred on the
    cell: on ((column + 0.5) stride, (row + 0.5) stride). They may reach over the picture's edge.

    The anchors of a picture are ordered by level, then row, then column, then in the order above: a head's outputs
    come in the same order.

    Attributes:
        strides: pixels from cell to cell, one a level, finest first.
        min_sizes: (height, width) in pixels, one a level and one more for the last level's second anchor.
        aspect_ratios: a level's ratios, one tuple a level.
    """

    strides: tuple[int, ...]
    min_sizes: tuple[tuple[float, float], ...]
    aspect_ratios: tuple[tuple[float, ...], ...]

    def __post_init__(self):
        levels = len(self.strides)
        if len(self.aspect_ratios) != levels or len(self.min_sizes) != levels + 1:
            raise ValueError(
                f"{levels} strides need as many aspect_ratios and one more of min_sizes, "
                f"got {len(self.aspect_ratios)} and {len(self.min_sizes)}"
            )

    def per_cell(self) -> list[int]:
        """The number of anchors of a cell, one a level."""
        return [2 + 2 * len(ratios) for ratios in self.aspect_ratios]

    def grid_shapes(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
        """The (rows, columns) of cells on each level, for a picture of (height, width) pixels."""
        height, width = image_size
        return [(math.ceil(height / stride), math.ceil(width / stride)) for stride in self.strides]

    def count(self, image_size: tuple[int, int]) -> int:
        """The number of anchors, N, of a picture of (height, width) pixels."""
        shapes = self.grid_shapes(image_size)
        return sum(rows * columns * n for (rows, columns), n in zip(shapes, self.per_cell(), strict=True))

    def cell_sizes(self, level: int) -> list[tuple[float, float]]:
        """(height, width) in pixels of each anchor of a cell of this level."""
        height, width = self.min_sizes[level]
        next_height, next_width = self.min_sizes[level + 1]
        sizes = [(height, width), (math.sqrt(height * next_height), math.sqrt(width * next_width))]
        for ratio in self.aspect_ratios[level]:
            root = math.sqrt(ratio)
            sizes += [(height / root, width * root), (height * root, width / root)]
        return sizes

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


@functools.lru_cache(maxsize=16)
def _grid_anchors(anchors: SSDAnchors, shapes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    levels = []
    for level, ((rows, columns), stride) in enumerate(zip(shapes, anchors.strides, strict=True)):
        sizes = torch.tensor(anchors.cell_sizes(level), dtype=torch.float32)
        half = sizes.flip(1) / 2  # (width, height) / 2
        y = (torch.arange(rows, dtype=torch.float32) + 0.5) * stride
        x = (torch.arange(columns, dtype=torch.float32) + 0.5) * stride
        y, x = torch.meshgrid(y, x, indexing="ij")
        centres = torch.stack([x, y], dim=-1)[:, :, None, :]  # [rows, columns, 1, 2]
        levels.append(torch.cat([centres - half, centres + half], dim=-1).reshape(-1, 4))
    return torch.cat(levels).to(device)
