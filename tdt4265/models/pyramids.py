"""Pyramids: feature maps -> as many feature maps of one number of channels, each of which knows the coarser ones.

A pyramid has `out_channels`, one entry a feature map it returns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class FPN(nn.Module):
    """A feature pyramid network (Lin et al. 2017, https://arxiv.org/abs/1612.03144, section 3).

    Each feature map is brought to `out_channels` by a 1x1 convolution, the coarser result is added to it, enlarged by
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

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps [B, in_channels[i], H_i, W_i], finest first -> as many [B, out_channels[i], H_i, W_i]."""
        merged = [inner(x) for inner, x in zip(self.inner_blocks, features, strict=True)]
        for i in range(len(merged) - 2, -1, -1):
            merged[i] = merged[i] + F.interpolate(merged[i + 1], size=merged[i].shape[-2:], mode="nearest")
        return [layer(x) for layer, x in zip(self.layer_blocks, merged, strict=True)]
