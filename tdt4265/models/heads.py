"""Heads: feature maps -> what the detector says at each anchor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .norms import NormLayer


class Head(nn.Module):
    """Two towers of 3x3 convolutions, one to class logits and one to box offsets, for each group of levels.

    Levels of one group share their towers. Without any convolution before the last one and a group for each level this
    is SSD's head (Liu et al. 2016, https://arxiv.org/abs/1512.02325, section 2.1); with four and a single group it is
    RetinaNet's (Lin et al. 2017, https://arxiv.org/abs/1708.02002, section 4).

    Args:
        in_channels: channels of each feature map.
        num_anchors_per_location: anchors of a cell, one entry a level.
        num_logits: L, the logits of an anchor (`loss.num_logits` gives it).
        groups: the levels of each group; every level is in one of them.
        depth: convolutions with ReLU before the last one.
        channels: of those convolutions.
        norm_layer: called with a number of channels, stands before each ReLU; none in the papers and the reports.

    Attributes:
        classification, regression: a tower a group, `nn.Sequential`; the last layer gives A x L, or A x 4 channels.
        num_logits: L.

    Raises:
        ValueError: a level is in no group or in several, or levels of one group differ in channels or in anchors.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_anchors_per_location: Sequence[int],
        num_logits: int,
        groups: Sequence[Sequence[int]],
        *,
        depth: int = 0,
        channels: int = 256,
        norm_layer: NormLayer | None = None,
    ):
        super().__init__()
        levels = len(in_channels)
        if sorted(level for group in groups for level in group) != list(range(levels)):
            raise ValueError(f"each of the levels 0 to {levels - 1} belongs to one group, got {list(groups)}")
        shapes = [{(in_channels[level], num_anchors_per_location[level]) for level in group} for group in groups]
        for group, shape in zip(groups, shapes, strict=True):
            if len(shape) != 1:
                raise ValueError(
                    "levels that share their weights have the same channels and the same number of anchors a cell; "
                    f"levels {list(group)} have (channels, anchors) of {sorted(shape)}"
                )
        self.num_logits = num_logits
        self._group = {level: index for index, group in enumerate(groups) for level in group}

        def towers(outputs: int) -> nn.ModuleList:
            return nn.ModuleList(_tower(c, channels, depth, a * outputs, norm_layer) for ((c, a),) in shapes)

        self.classification = towers(num_logits)
        self.regression = towers(4)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Feature maps, finest first -> class_logits [B, N, L], box_offsets [B, N, 4].

        In the order of the anchors: level, row, column, anchor of the cell.
        """
        logits = [_by_anchor(self.classification[self._group[k]](x), self.num_logits) for k, x in enumerate(features)]
        offsets = [_by_anchor(self.regression[self._group[k]](x), 4) for k, x in enumerate(features)]
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1)


def _tower(in_channels: int, channels: int, depth: int, outputs: int, norm_layer: NormLayer | None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        norm = [norm_layer(channels)] if norm_layer else []
        layers += [nn.Conv2d(in_channels, channels, 3, padding=1), *norm, nn.ReLU(inplace=True)]
        in_channels = channels
    return nn.Sequential(*layers, nn.Conv2d(in_channels, outputs, 3, padding=1))


def _by_anchor(x: Tensor, size: int) -> Tensor:
    """[B, A * size, H, W] -> [B, H * W * A, size]."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1, size)
