"""How a head starts: the distribution of its weights, and what it says before it has learned anything."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .heads import Head


@dataclass(frozen=True)
class Xavier:
    """Uniform weights of variance 2 / (fan in + fan out) (Glorot and Bengio 2010, eq. 16)."""

    def __call__(self, weight: Tensor) -> None:
        nn.init.xavier_uniform_(weight)


@dataclass(frozen=True)
class Kaiming:
    """Normal weights of variance 2 / fan in (He et al. 2015, https://arxiv.org/abs/1502.01852, eq. 10)."""

    def __call__(self, weight: Tensor) -> None:
        nn.init.kaiming_normal_(weight, nonlinearity="relu")


@dataclass(frozen=True)
class Gaussian:
    """Normal weights of one standard deviation (Lin et al. 2017, https://arxiv.org/abs/1708.02002, section 4.1)."""

    std: float = 0.01

    def __call__(self, weight: Tensor) -> None:
        nn.init.normal_(weight, std=self.std)


def initialize(head: Head, weights: Xavier | Kaiming | Gaussian, class_bias: Tensor | None = None) -> None:
    """Draws the weights of all of a head's convolutions, and sets their biases to zero.

    class_bias: float32 [L], the bias of each logit in the last layers of the class towers instead, as a loss's
        `prior_bias` gives it.
    """
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            weights(module.weight)
            nn.init.zeros_(module.bias)
    if class_bias is not None:
        for tower in head.classification:
            with torch.no_grad():
                tower[-1].bias.view(-1, head.num_logits).copy_(class_bias)
