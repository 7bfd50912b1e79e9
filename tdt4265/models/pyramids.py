"""Pyramids: feature maps -> as many feature maps of one number of channels, each of which knows the coarser ones.

A pyramid has `out_channels`, one entry a feature map it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .norms import NormLayer


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


class ResizedFPN(FPN):
    """An FPN whose feature maps are interpolated to cells of other strides: the report's, for its automatic anchors.

    As many cells as fit are spread evenly over the image, while anchors stand at multiples of the stride: where the
    stride is no divisor of the side, the two drift apart towards the far edge, as in the report.

    Args:
        strides: pixels from cell to cell that are wanted, one a level. finest: those of the finest feature map.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, strides: Sequence[float], finest: int = 4):
        super().__init__(in_channels, out_channels)
        self.strides = list(strides)
        self.finest = finest

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps -> as many [B, out_channels[i], H / strides[i], W / strides[i]], to the nearest cell."""
        height, width = (side * self.finest for side in features[0].shape[-2:])
        sizes = [[max(round(side / stride), 1) for side in (height, width)] for stride in self.strides]
        results = zip(super().forward(features), sizes, strict=True)
        return [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x, size in results]


class Fusion(nn.Module):
    """A weighted sum of feature maps of one shape (EfficientDet, Tan et al. 2020, section 3.3).

    Args:
        inputs: how many feature maps.
        kind: "fast", weights ReLU(w) / (sum of them + 1e-4); "softmax", the softmax of w; "sum", no weights at all;
            "untrained", as "fast", but w is a plain tensor of normal random numbers, which neither trains nor is saved
            (what the report of 2022 had). A node whose w are all negative is silent; one that is silent in training and
            not after a reload meets a BatchNorm that has never seen a signal.

    Attributes:
        weight: float [inputs], w, which trains and is saved; 1 at the start. None for "sum".
    """

    def __init__(self, inputs: int, kind: str = "fast"):
        super().__init__()
        if kind not in ("fast", "softmax", "sum", "untrained"):
            raise ValueError(f'fusion is {kind!r}: it is "fast", "softmax", "sum" or "untrained"')
        self.kind = kind
        if kind == "untrained":
            self.weight = torch.randn(inputs)
        else:
            self.weight = None if kind == "sum" else nn.Parameter(torch.ones(inputs))

    def shares(self) -> Tensor | None:
        """float [inputs]: what each feature map counts. None for a plain sum."""
        if self.kind == "sum":
            return None
        if self.kind == "softmax":
            return self.weight.softmax(dim=0)
        positive = self.weight.relu()
        return positive / (positive.sum() + 1e-4)

    def forward(self, *features: Tensor) -> Tensor:
        shares = self.shares()
        return sum(features) if shares is None else sum(s * x for s, x in zip(shares, features, strict=True))


def separable_conv(channels: int, norm_layer: NormLayer) -> nn.Sequential:
    """A ReLU, a 3x3 convolution of each channel by itself, a 1x1 convolution across them, and a norm."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        norm_layer(channels),
    )


def dense_conv(channels: int, norm_layer: NormLayer) -> nn.Sequential:
    """The same with one 3x3 convolution, from all channels to all."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm_layer(channels))


def twice_one_by_one(channels: int, norm_layer: NormLayer) -> nn.Sequential:
    """What the report of 2022 has for a separable convolution: two 1x1 convolutions across all channels, norm, ReLU."""
    convolutions = [nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)]
    return nn.Sequential(*convolutions, norm_layer(channels), nn.ReLU())


def _finer(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


def _coarser(x: Tensor, like: Tensor) -> Tensor:
    return F.adaptive_max_pool2d(x, like.shape[-2:])


class TopDown(nn.Module):
    """From the coarsest level to the finest: each level is fused with the coarser result (FPN's path)."""

    def __init__(self, levels: int, block: Callable[[], nn.Module], fusion: str):
        super().__init__()
        self.fuse = nn.ModuleList(Fusion(2, fusion) for _ in range(levels - 1))
        self.blocks = nn.ModuleList(block() for _ in range(levels))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        results = [self.blocks[-1](features[-1])]
        for x, fuse, block in zip(features[-2::-1], reversed(self.fuse), reversed(self.blocks[:-1]), strict=True):
            results.insert(0, block(fuse(x, _finer(results[0], x))))
        return results


class BothWays(nn.Module):
    """Down, then up again, each level fused with its neighbour's result (PANet, Liu et al. 2018, section 3.1)."""

    def __init__(self, levels: int, block: Callable[[], nn.Module], fusion: str):
        super().__init__()
        self.down = TopDown(levels, block, fusion)
        self.fuse = nn.ModuleList(Fusion(2, fusion) for _ in range(levels - 1))
        self.blocks = nn.ModuleList(block() for _ in range(levels))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        down = self.down(features)
        results = [self.blocks[0](down[0])]
        for x, fuse, block in zip(down[1:], self.fuse, self.blocks[1:], strict=True):
            results.append(block(fuse(x, _coarser(results[-1], x))))
        return results


class BiFPNLayer(nn.Module):
    """PANet's two ways without the nodes of a single input, and with an edge from each level's input to its result.

    EfficientDet, section 3.2 and figure 2d: on the way down there is no node for the coarsest level, and the finest
    has one node in all.
    """

    def __init__(self, levels: int, block: Callable[[], nn.Module], fusion: str):
        super().__init__()
        inner = levels - 2
        self.fuse_down = nn.ModuleList(Fusion(2, fusion) for _ in range(inner))
        self.down = nn.ModuleList(block() for _ in range(inner))
        self.fuse_up = nn.ModuleList(Fusion(3 if 0 < level < levels - 1 else 2, fusion) for level in range(levels))
        self.up = nn.ModuleList(block() for _ in range(levels))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        down = list(features)
        for level in range(len(features) - 2, 0, -1):
            x = features[level]
            down[level] = self.down[level - 1](self.fuse_down[level - 1](x, _finer(down[level + 1], x)))
        finest = features[0]
        results = [self.up[0](self.fuse_up[0](finest, _finer(down[1], finest)))]
        for level in range(1, len(features)):
            x = features[level]
            inputs = (x, down[level]) if level < len(features) - 1 else (x,)
            results.append(self.up[level](self.fuse_up[level](*inputs, _coarser(results[-1], x))))
        return results


# By the names that a recipe gives them.
LAYERS = {"bifpn": BiFPNLayer, "panet": BothWays, "top_down": TopDown}
CONVOLUTIONS = {"separable": separable_conv, "dense": dense_conv, "one_by_one": twice_one_by_one}


class BiFPN(nn.Module):
    """A pyramid of repeated layers (EfficientDet, Tan et al. 2020, https://arxiv.org/abs/1911.09070, section 3).

    A feature map of other than `out_channels` is brought to it by a 1x1 convolution and a norm; then the layers follow
    one another.

    Args:
        in_channels: of each feature map.
        layer: `BiFPNLayer`, `BothWays` (PANet) or `TopDown` (a repeated FPN).
        layers: how many of them.
        fusion: see `Fusion`.
        block: called with channels and norm_layer, the convolution of each node.
        norm_layer: called with a number of channels.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 128,
        *,
        layer: Callable[..., nn.Module] = BiFPNLayer,
        layers: int = 3,
        fusion: str = "fast",
        block: Callable[..., nn.Module] = separable_conv,
        norm_layer: NormLayer = nn.BatchNorm2d,
    ):
        super().__init__()
        self.out_channels = [out_channels] * len(in_channels)
        self.lateral = nn.ModuleList(
            nn.Identity()
            if channels == out_channels
            else nn.Sequential(nn.Conv2d(channels, out_channels, 1, bias=False), norm_layer(out_channels))
            for channels in in_channels
        )
        self.layers = nn.Sequential(
            *(layer(len(in_channels), lambda: block(out_channels, norm_layer), fusion) for _ in range(layers))
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps [B, in_channels[i], H_i, W_i], finest first -> as many [B, out_channels[i], H_i, W_i]."""
        return self.layers([lateral(x) for lateral, x in zip(self.lateral, features, strict=True)])
