"""Pyramids: feature maps -> as many feature maps of one number of channels, each of which knows the coarser ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class FPN(nn.Module):
    """A feature pyramid network (Lin et al. 2017, https://arxiv.org/abs/1612.03144, section 3).

    Each map is brought to `out_channels` by a 1x1 convolution, the coarser result is added to it, enlarged by
    nearest neighbour, and a 3x3 convolution gives the output. `torchvision.ops.FeaturePyramidNetwork` computes the
    same and loads this module's weights.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int = 256):
        super().__init__()
        self.inner_blocks = nn.ModuleList(nn.Conv2d(c, out_channels, 1) for c in in_channels)
        self.layer_blocks = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels)
        self.out_channels = [out_channels] * len(in_channels)
        for conv in (*self.inner_blocks, *self.layer_blocks):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            nn.init.zeros_(conv.bias)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps [B, in_channels[i], H_i, W_i], finest first -> maps [B, out_channels, H_i, W_i]."""
        merged = [inner(x) for inner, x in zip(self.inner_blocks, maps, strict=True)]
        for i in range(len(merged) - 2, -1, -1):
            merged[i] = merged[i] + F.interpolate(merged[i + 1], size=merged[i].shape[-2:], mode="nearest")
        return [layer(x) for layer, x in zip(self.layer_blocks, merged, strict=True)]


class WithPyramid(nn.Module):
    """A trunk and a pyramid on its feature maps: together a backbone."""

    def __init__(self, trunk: nn.Module, pyramid: nn.Module):
        super().__init__()
        self.trunk = trunk
        self.pyramid = pyramid
        self.out_channels = pyramid.out_channels
        self.strides = trunk.strides

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> the pyramid's maps, finest first."""
        return self.pyramid(self.trunk(pictures))
