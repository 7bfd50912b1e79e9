"""Heads: feature maps -> what the detector says at each anchor; and how their weights start.

A head returns class_logits [B, N, L] and box_offsets [B, N, 4], in the order of the anchors (level, row, column, anchor
of the cell). `classification` and `regression` are its two halves; `class_outputs` are the convolutions, of
A x L channels, that give the logits. L is K with a logit for background (a softmax), K - 1 without (sigmoids).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .backbones import NormLayer


def _by_anchor(x: Tensor, size: int) -> Tensor:
    """[B, A * size, H, W] -> [B, H * W * A, size]."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1, size)


class PerLevelHead(nn.Module):
    """SSD's head: for each level one 3x3 convolution to classes and one to offsets.

    Args:
        in_channels: channels of each feature map.
        anchors_per_cell: anchors of a cell, one entry a level.
        num_logits: L, the logits of an anchor (`loss.num_logits` gives it).
    """

    def __init__(self, in_channels: Sequence[int], anchors_per_cell: Sequence[int], num_logits: int):
        super().__init__()
        levels = list(zip(in_channels, anchors_per_cell, strict=True))
        self.num_logits = num_logits
        self.classification = nn.ModuleList(nn.Conv2d(c, a * num_logits, 3, padding=1) for c, a in levels)
        self.regression = nn.ModuleList(nn.Conv2d(c, a * 4, 3, padding=1) for c, a in levels)

    @property
    def class_outputs(self) -> list[nn.Conv2d]:
        return list(self.classification)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        logits = [_by_anchor(conv(x), self.num_logits) for conv, x in zip(self.classification, maps, strict=True)]
        offsets = [_by_anchor(conv(x), 4) for conv, x in zip(self.regression, maps, strict=True)]
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1)


class SharedDeepHead(nn.Module):
    """RetinaNet's head (Lin et al. 2017, https://arxiv.org/abs/1708.02002, section 4): two towers of 3x3 convolutions.

    The same weights look at every level, so levels have the same channels and the same anchors a cell.

    Args:
        in_channels: channels of each feature map, all equal.
        anchors_per_cell: anchors of a cell, one entry a level, all equal.
        num_logits: L, the logits of an anchor (`loss.num_logits` gives it).
        channels: of the towers.
        depth: convolutions with ReLU before the last one; 4 in the paper and the reports.
        norm_layer: called with a number of channels, stands before each ReLU; none in the paper and the reports.

    Raises:
        ValueError: levels differ in channels or in anchors a cell.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        anchors_per_cell: Sequence[int],
        num_logits: int,
        channels: int = 256,
        depth: int = 4,
        norm_layer: NormLayer | None = None,
    ):
        super().__init__()
        if len(set(in_channels)) != 1 or len(set(anchors_per_cell)) != 1:
            raise ValueError(
                "a head shared by all levels needs the same channels and anchors a cell on each, "
                f"got channels {list(in_channels)} and anchors {list(anchors_per_cell)}"
            )
        self.num_logits = num_logits

        def tower(outputs: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            width = in_channels[0]
            for _ in range(depth):
                layers.append(nn.Conv2d(width, channels, 3, padding=1))
                if norm_layer:
                    layers.append(norm_layer(channels))
                layers.append(nn.ReLU(inplace=True))
                width = channels
            return nn.Sequential(*layers, nn.Conv2d(width, anchors_per_cell[0] * outputs, 3, padding=1))

        self.classification = tower(num_logits)
        self.regression = tower(4)

    @property
    def class_outputs(self) -> list[nn.Conv2d]:
        return [self.classification[-1]]

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        logits = [_by_anchor(self.classification(x), self.num_logits) for x in maps]
        offsets = [_by_anchor(self.regression(x), 4) for x in maps]
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1)


def _convolutions(head: nn.Module) -> list[nn.Conv2d]:
    return [module for module in head.modules() if isinstance(module, nn.Conv2d)]


@dataclass(frozen=True)
class Xavier:
    """Xavier-uniform weights (Glorot and Bengio 2010, eq. 16), zero biases."""

    def __call__(self, head: nn.Module) -> None:
        for conv in _convolutions(head):
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(conv.bias)


@dataclass(frozen=True)
class Kaiming:
    """Kaiming-normal weights (He et al. 2015, eq. 10), and a head that begins by saying background.

    With zero logits otherwise, the background's bias b = log(p (K - 1) / (1 - p)) makes the softmax give it the
    probability p. It plays the part of RetinaNet's prior (section 4.1), which is over sigmoids.

    Attributes:
        background: p.
    """

    background: float = 0.99
    for_softmax: ClassVar[bool] = True

    def bias(self, num_logits: int) -> float:
        """b, for K = num_logits."""
        return background_bias(self.background, num_logits)

    def __call__(self, head: nn.Module) -> None:
        for conv in _convolutions(head):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        _say_background(head, self.background)


@dataclass(frozen=True)
class Gaussian:
    """Gaussian weights (Lin et al. 2017, https://arxiv.org/abs/1708.02002, section 4.1), and background first.

    With weights this small a head's logits start near its biases. For a softmax, as `Kaiming`, whose bias it has.

    Attributes:
        std: of all the head's weights.
        background: the probability that each anchor is background, at the start.
    """

    std: float = 0.01
    background: float = 0.99
    for_softmax: ClassVar[bool] = True

    def __call__(self, head: nn.Module) -> None:
        _gaussian(head, self.std)
        _say_background(head, self.background)


@dataclass(frozen=True)
class SigmoidPrior:
    """RetinaNet's own start (Lin et al. 2017, section 4.1): Gaussian weights, and each class's score at `prior`.

    Attributes:
        std: of all the head's weights.
        prior: pi, the probability that an anchor holds a class, for each class, at the start.
    """

    std: float = 0.01
    prior: float = 0.01
    for_softmax: ClassVar[bool] = False

    def bias(self) -> float:
        """b = -log((1 - pi) / pi), for which the sigmoid is pi."""
        return -math.log((1 - self.prior) / self.prior)

    def __call__(self, head: nn.Module) -> None:
        _gaussian(head, self.std)
        for conv in head.class_outputs:
            nn.init.constant_(conv.bias, self.bias())


def _gaussian(head: nn.Module, std: float) -> None:
    for conv in _convolutions(head):
        nn.init.normal_(conv.weight, std=std)
        nn.init.zeros_(conv.bias)


def background_bias(probability: float, num_logits: int) -> float:
    """The background's logit for which a softmax over K = num_logits gives it `probability`, all others being zero."""
    return math.log(probability * (num_logits - 1) / (1 - probability))


def _say_background(head: nn.Module, probability: float) -> None:
    for conv in head.class_outputs:
        with torch.no_grad():
            conv.bias.view(-1, head.num_logits)[:, 0] = background_bias(probability, head.num_logits)
