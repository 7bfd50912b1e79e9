"""The story of the course as data: each recipe is the one before with one part replaced.

A part is a frozen dataclass: it can be compared, printed, and written into a record (`Recipe.as_dict`). `build_model`
makes the network of the course's reports, to the last parameter; `small` gives the same design, narrow and shallow
enough to train on two CPU cores.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from torch import nn

from .anchors import SSDAnchors
from .losses import MultiboxLoss, SigmoidFocalLoss, SoftmaxFocalLoss
from .models import (
    FPN,
    BasicBackbone,
    Detector,
    Gaussian,
    Kaiming,
    PerLevelHead,
    ResNet,
    SharedDeepHead,
    SigmoidPrior,
    WithPyramid,
    Xavier,
    group_norm,
)
from .training import TrainingConfig


@dataclass(frozen=True)
class Basic:
    """The baseline's thirteen convolutions (`models.BasicBackbone`)."""

    width: int = 32
    group_norm: bool = False

    def build(self, pretrained: bool) -> nn.Module:
        return BasicBackbone(self.width, group_norm if self.group_norm else None)

    def small(self) -> Basic:
        return Basic(width=16, group_norm=True)


@dataclass(frozen=True)
class ResNetFPN:
    """A ResNet with further levels 5 and 6, and a feature pyramid on all six (`models.ResNet`, `models.FPN`)."""

    depth: int = 34
    widths: tuple[int, ...] = (64, 128, 256, 512)
    extra_channels: tuple[int, ...] = (1024, 2048)
    group_norm: bool = False  # instead of BatchNorm in the ResNet
    imagenet: bool = True  # start from ImageNet's weights
    channels: int = 256  # of the pyramid's maps

    def build(self, pretrained: bool) -> nn.Module:
        norm = group_norm if self.group_norm else nn.BatchNorm2d
        trunk = ResNet(self.depth, self.widths, self.extra_channels, norm)
        if pretrained and self.imagenet:
            trunk.load_imagenet()
        return WithPyramid(trunk, FPN(trunk.out_channels, self.channels))

    def small(self) -> ResNetFPN:
        return ResNetFPN(
            depth=10,
            widths=(32, 48, 64, 96),
            extra_channels=(96, 96),
            group_norm=True,
            imagenet=False,
            channels=64,
        )


@dataclass(frozen=True)
class PerLevel:
    """One 3x3 convolution a level, to classes and to offsets (`models.PerLevelHead`)."""

    def build(self, in_channels: list[int], anchors_per_cell: list[int], num_logits: int) -> nn.Module:
        return PerLevelHead(in_channels, anchors_per_cell, num_logits)

    def small(self) -> PerLevel:
        return self


@dataclass(frozen=True)
class SharedDeep:
    """Two towers of 3x3 convolutions, shared by all levels (`models.SharedDeepHead`)."""

    channels: int = 256
    depth: int = 4
    group_norm: bool = False

    def build(self, in_channels: list[int], anchors_per_cell: list[int], num_logits: int) -> nn.Module:
        norm = group_norm if self.group_norm else None
        return SharedDeepHead(in_channels, anchors_per_cell, num_logits, self.channels, self.depth, norm)

    def small(self) -> SharedDeep:
        return SharedDeep(channels=64, depth=2, group_norm=True)


@dataclass(frozen=True)
class Recipe:
    """A detector and how it is trained, as its parts.

    Attributes:
        name: what a shell calls it, a key of ALL_RECIPES.
        title: a line for people.
        transforms: augmentations of the training frames, names of `tdt4265.data.transforms`.
        backbone, head, anchors, loss: the detector's parts.
        init: how the head's weights start.
        training: optimiser, rate, batch size.
    """

    name: str
    title: str
    transforms: tuple[str, ...]
    backbone: Basic | ResNetFPN
    head: PerLevel | SharedDeep
    anchors: SSDAnchors
    loss: MultiboxLoss | SoftmaxFocalLoss | SigmoidFocalLoss
    init: Xavier | Kaiming | Gaussian | SigmoidPrior
    training: TrainingConfig

    def build_model(self, num_classes: int = 9, pretrained: bool = True) -> Detector:
        """The detector, for `num_classes` classes with background.

        Args:
            num_classes: 9 for the course's dataset.
            pretrained: start a backbone from ImageNet's weights where the recipe says so and they can be had
                (else a printed line says that they could not). False: do not try.

        Raises:
            ValueError: the initialisation's prior is for a softmax and the loss is over sigmoids, or the reverse.
        """
        num_logits = self.loss.num_logits(num_classes)
        wants_softmax = getattr(self.init, "for_softmax", num_logits == num_classes)  # Xavier has no prior
        if wants_softmax != (num_logits == num_classes):
            names = type(self.init).__name__, type(self.loss).__name__
            raise ValueError("the prior of {} does not fit {}: SigmoidPrior goes with SigmoidFocalLoss".format(*names))
        backbone = self.backbone.build(pretrained)
        head = self.head.build(backbone.out_channels, self.anchors.per_cell(), num_logits)
        self.init(head)
        return Detector(backbone, head, self.anchors, self.loss, num_classes)

    def small(self) -> Recipe:
        """The same design with the same anchors, loss and initialisation, for two CPU cores.

        Backbone and head are narrow and shallow, and GroupNorm stands after their convolutions, because batches are of
        a few frames; AdamW and one cycle learn in tens of steps what the reports' SGD needs hundreds for.
        """
        return replace(
            self,
            title=f"{self.title} (small)",
            backbone=self.backbone.small(),
            head=self.head.small(),
            training=SMALL_TRAINING,
        )

    def as_dict(self) -> dict[str, Any]:
        """All parts with all their settings, in what JSON can hold: the same for equal recipes."""
        return _plain(self)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        settings = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return settings if isinstance(value, Recipe) else {"part": type(value).__name__, **settings}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


SMALL_TRAINING = TrainingConfig(
    optimizer="adamw",
    lr=2e-3,
    weight_decay=1e-4,
    batch_size=4,
    warmup_iterations=40,
    schedule="one_cycle",
    clip_norm=10.0,
)

# Sizes as (height, width): from 16 pixels, the width of a car 60 m away, to the whole height and a bus close by.
SSD_ANCHORS = SSDAnchors(
    strides=(4, 8, 16, 32, 64, 128),
    min_sizes=((16, 16), (32, 32), (48, 48), (64, 64), (86, 86), (128, 128), (128, 400)),
    aspect_ratios=((2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
)

ssd = Recipe(
    name="ssd",
    title="SSD baseline",
    transforms=(),
    backbone=Basic(),
    head=PerLevel(),
    anchors=SSD_ANCHORS,
    loss=MultiboxLoss(),
    init=Xavier(),
    training=TrainingConfig(
        optimizer="sgd",
        lr=2.6e-3,
        weight_decay=5e-4,
        momentum=0.9,
        batch_size=32,
        warmup_iterations=500,
        schedule="constant",
        clip_norm=None,
    ),
)

augmentation = replace(
    ssd,
    name="augmentation",
    title="SSD with augmentation",
    transforms=("crop", "flip", "contrast", "brightness"),
)

fpn = replace(augmentation, name="fpn", title="SSD on ResNet-34 with FPN", backbone=ResNetFPN())

focal_loss = replace(fpn, name="focal_loss", title="FPN with focal loss", loss=SoftmaxFocalLoss())

# A head shared by all levels needs as many anchors a cell on each.
retinanet = replace(
    focal_loss,
    name="retinanet",
    title="RetinaNet",
    head=SharedDeep(),
    anchors=replace(SSD_ANCHORS, aspect_ratios=((2, 3),) * 6),
)

initialization = replace(
    retinanet,
    name="initialization",
    title="RetinaNet with Kaiming weights and a background prior",
    init=Kaiming(background=0.99),
)

# The story, in its order.
RECIPES = {recipe.name: recipe for recipe in (ssd, augmentation, fpn, focal_loss, retinanet, initialization)}


def _augmented(base: Recipe, name: str, transforms: tuple[str, ...]) -> Recipe:
    return replace(
        base,
        name=f"{base.name}-{name}",
        title=f"{base.title}, augmentation: {', '.join(transforms) or 'none'}",
        transforms=transforms,
    )


EVERY_TRANSFORM = ("roll", *augmentation.transforms)

# Side roads of the story: augmentations one by one, none and all of them, on the first detector and on a strong one;
# the focal loss as its paper has it; and other starts for the head.
VARIANTS = {
    recipe.name: recipe
    for recipe in (
        *(_augmented(ssd, name, (name,)) for name in EVERY_TRANSFORM),
        _augmented(ssd, "all", EVERY_TRANSFORM),
        _augmented(retinanet, "none", ()),
        *(_augmented(retinanet, name, (name,)) for name in EVERY_TRANSFORM),
        _augmented(retinanet, "all", EVERY_TRANSFORM),
        replace(focal_loss, name="focal_loss-sigmoid", title="FPN with sigmoid focal loss", loss=SigmoidFocalLoss()),
        replace(
            initialization,
            name="initialization-gaussian",
            title="RetinaNet with small Gaussian weights and a background prior",
            init=Gaussian(),
        ),
        replace(
            initialization,
            name="initialization-paper",
            title="RetinaNet with its paper's loss and prior",
            loss=SigmoidFocalLoss(),
            init=SigmoidPrior(),
        ),
    )
}

ALL_RECIPES = RECIPES | VARIANTS
