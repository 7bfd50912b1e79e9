"""Normalisation between a convolution and its ReLU, by name: what a recipe's `norm` may be."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

NormLayer = Callable[[int], nn.Module]


class GroupNorm(nn.GroupNorm):
    """torch's, computed in float32 under autocast too, its result of the type that came in.

    A GPU's autocast takes float32 here by itself. A CPU's does not, and torch's gradient for bfloat16 with the channels
    last is several times slower than that for float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


def group_norm(channels: int) -> GroupNorm:
    """GroupNorm in groups of 8 channels: unlike BatchNorm it does not depend on how many images a batch has."""
    return GroupNorm(channels // 8, channels)


def layer_norm(channels: int) -> GroupNorm:
    """LayerNorm of a feature map (Ba et al. 2016, https://arxiv.org/abs/1607.06450): one group of all channels."""
    return GroupNorm(1, channels)


def instance_norm(channels: int) -> GroupNorm:
    """InstanceNorm (Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022): every channel is a group."""
    return GroupNorm(channels, channels)


NORMS: dict[str | None, NormLayer | None] = {
    None: None,
    "batch": nn.BatchNorm2d,
    "layer": layer_norm,
    "group": group_norm,
    "instance": instance_norm,
}
