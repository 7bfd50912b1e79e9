"""The story of the course as data: each recipe is the one before with one part replaced, or two, as in the reports.

A part is a frozen dataclass: it can be compared, printed, and written into a record (`Recipe.as_dict`). `build_model`
makes the network of the course's reports, to the last parameter; `small` gives the same design, narrow and shallow
enough to train on two CPU cores.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from torch import nn

from . import models
from .anchors import Anchors, SSDSizes, automatic, in_proportion
from .data.transforms import STRENGTHS
from .losses import MultiboxLoss, SigmoidFocalLoss, SoftmaxFocalLoss, class_weights
from .matching import ATSS, IgnoreBand
from .models import NORMS, Gaussian, Kaiming, Xavier
from .models.pyramids import CONVOLUTIONS, LAYERS
from .training import TrainingConfig

# The groups of levels that share a head's weights (`models.Head`).
EACH_LEVEL = ((0,), (1,), (2,), (3,), (4,), (5,))
ALL_LEVELS = ((0, 1, 2, 3, 4, 5),)


@dataclass(frozen=True)
class Basic:
    """The baseline's thirteen convolutions (`models.BasicBackbone`)."""

    width: int = 32
    norm: str | None = None  # a key of `models.NORMS`

    def build(self, pretrained: bool) -> models.BasicBackbone:
        return models.BasicBackbone(self.width, NORMS[self.norm])

    def small(self) -> Basic:
        return Basic(width=16, norm="group")


@dataclass(frozen=True)
class Narrow:
    """A trunk of few channels everywhere (`models.NarrowBackbone`), as small as it gets."""

    channels: int = 3

    def build(self, pretrained: bool) -> models.NarrowBackbone:
        return models.NarrowBackbone(self.channels)


@dataclass(frozen=True)
class ResNet:
    """A ResNet with further levels 5 and 6 (`models.ResNet`)."""

    depth: int = 34
    widths: tuple[int, ...] = (64, 128, 256, 512)
    extra_channels: tuple[int, ...] = (1024, 2048)
    norm: str = "batch"
    imagenet: bool = True  # start from ImageNet's weights
    extra_norm: str | None = None  # in the further levels
    small_norm: str | None = None  # of the small network; None: GroupNorm

    def build(self, pretrained: bool) -> models.ResNet:
        norms = NORMS[self.norm], NORMS[self.extra_norm]
        backbone = models.ResNet(self.depth, self.widths, self.extra_channels, *norms)
        if pretrained and self.imagenet:
            backbone.load_imagenet()
        return backbone

    def small(self) -> ResNet:
        norm = self.small_norm or "group"
        return ResNet(depth=10, widths=(32, 48, 64, 96), extra_channels=(96, 96), norm=norm, imagenet=False)


@dataclass(frozen=True)
class CutResNet:
    """The report's trunk below its BiFPN, of which one stage is never run (`models.CutResNet`)."""

    depth: int = 34
    widths: tuple[int, ...] = (64, 128)
    channels: int = 128
    norm: str = "batch"
    imagenet: bool = True

    def build(self, pretrained: bool) -> models.CutResNet:
        backbone = models.CutResNet(self.depth, self.widths, self.channels, norm_layer=NORMS[self.norm])
        if pretrained and self.imagenet:
            backbone.load_imagenet()
        return backbone

    def small(self) -> CutResNet:
        return CutResNet(depth=10, widths=(32, 48), channels=64, norm="group", imagenet=False)


@dataclass(frozen=True)
class Timm:
    """A trunk of timm with further levels 4 and 5 (`models.Timm`); what came from ImageNet is partly kept as it is."""

    name: str = "tf_efficientnet_lite0"
    extra_channels: tuple[int, ...] = (256, 256)
    extra_norm: str | None = None
    imagenet: bool = True
    frozen_blocks: int = 5  # the finest, and with them all BatchNorms, where ImageNet's weights were loaded; 0: none

    def build(self, pretrained: bool) -> models.Timm:
        backbone = models.Timm(self.name, self.extra_channels, NORMS[self.extra_norm])
        if pretrained and self.imagenet and backbone.load_imagenet() and self.frozen_blocks:
            backbone.freeze(self.frozen_blocks)
        return backbone

    def small(self) -> Timm:
        return replace(self, extra_channels=(96, 96), extra_norm="group")


@dataclass(frozen=True)
class FPN:
    """A feature pyramid on all levels of the backbone (`models.FPN`)."""

    out_channels: int = 256

    def build(self, in_channels: list[int]) -> models.FPN:
        return models.FPN(in_channels, self.out_channels)

    def small(self) -> FPN:
        return FPN(out_channels=64)


@dataclass(frozen=True)
class ResizedFPN:
    """A feature pyramid whose maps are interpolated to other strides (`models.ResizedFPN`)."""

    strides: tuple[float, ...]
    out_channels: int = 256

    def build(self, in_channels: list[int]) -> models.ResizedFPN:
        return models.ResizedFPN(in_channels, self.out_channels, self.strides)

    def small(self) -> ResizedFPN:
        return replace(self, out_channels=64)


@dataclass(frozen=True)
class BiFPN:
    """Repeated layers of fusion (`models.BiFPN`).

    layer, convolution: keys of LAYERS and of CONVOLUTIONS in `models.pyramids`. fusion: see `models.pyramids.Fusion`.
    """

    out_channels: int = 256
    layers: int = 3
    layer: str = "bifpn"
    fusion: str = "fast"
    convolution: str = "separable"
    norm: str = "batch"

    def build(self, in_channels: list[int]) -> models.BiFPN:
        return models.BiFPN(
            in_channels,
            self.out_channels,
            layer=LAYERS[self.layer],
            layers=self.layers,
            fusion=self.fusion,
            block=CONVOLUTIONS[self.convolution],
            norm_layer=NORMS[self.norm],
        )

    def small(self) -> BiFPN:
        return replace(self, out_channels=64, norm="group")


@dataclass(frozen=True)
class Head:
    """Towers of convolutions to classes and to offsets, shared by the levels of a group (`models.Head`)."""

    groups: tuple[tuple[int, ...], ...] = EACH_LEVEL
    depth: int = 0
    channels: int = 256
    norm: str | None = None

    def build(self, in_channels: list[int], anchors: Anchors, num_logits: int) -> models.Head:
        return models.Head(
            in_channels,
            anchors.num_anchors_per_location(),
            num_logits,
            self.groups,
            depth=self.depth,
            channels=self.channels,
            norm_layer=NORMS[self.norm],
        )

    def small(self) -> Head:
        return replace(self, depth=min(self.depth, 2), channels=64, norm="group") if self.depth else self


@dataclass(frozen=True)
class Regions:
    """A second stage: regions pooled from the features, and two fully connected layers on them."""

    representation: int = 1024  # outputs of each layer
    proposals: int = 2000  # kept for training
    drawn: int = 512  # of them, to train the second stage on

    def small(self) -> Regions:
        return Regions(representation=128, proposals=500, drawn=128)


@dataclass(frozen=True)
class Masks:
    """A branch that gives each found object a mask (`models.add_masks`)."""

    layers: int = 4
    channels: int = 256
    rounded: bool = False
    competing: bool = False

    def add_to(self, model: nn.Module, num_classes: int) -> None:
        settings = {field.name: getattr(self, field.name) for field in fields(self)}
        models.add_masks(model, num_classes, **settings)

    def small(self) -> Masks:
        return replace(self, layers=2, channels=64)


@dataclass(frozen=True)
class Keypoints:
    """A branch that gives each found object keypoints (`models.add_keypoints`)."""

    number: int = 17
    layers: int = 8
    channels: int = 512

    def add_to(self, model: nn.Module, num_classes: int) -> None:
        models.add_keypoints(model, self.number, layers=self.layers, channels=self.channels)

    def small(self) -> Keypoints:
        return replace(self, layers=3, channels=64)


@dataclass(frozen=True)
class Init:
    """How the head starts (`models.initialize`).

    Attributes:
        weights: the distribution of its weights.
        prior: the probability that it begins with at each anchor, as the loss understands it (its `prior_bias`): for a
            softmax that of all objects together, for sigmoids that of each class. None: biases of zero.
    """

    weights: Xavier | Kaiming | Gaussian
    prior: float | None


@dataclass(frozen=True)
class Recipe:
    """A detector and how it is trained, as its parts: what `OneStage` and `TwoStage` have in common.

    Attributes:
        name: what a shell calls it, a key of ALL_RECIPES.
        title: a line for people.
        transforms: augmentations of the training frames, names of `tdt4265.data.transforms`.
        backbone: from images to feature maps.
        pyramid: from feature maps to feature maps; None: there is none.
        training: optimiser, rate, batch size.
    """

    name: str
    title: str
    transforms: tuple[str, ...]
    backbone: Basic | Narrow | ResNet | CutResNet | Timm
    pyramid: FPN | ResizedFPN | BiFPN | None
    training: TrainingConfig

    @property
    def tasks(self) -> tuple[str, ...]:
        """What its frames must be labelled with, and what it finds (`contract.TASKS`)."""
        return ("bbox",)

    def build_model(self, num_classes: int = 9, pretrained: bool = True) -> nn.Module:
        """The detector, for `num_classes` classes with background.

        Args:
            num_classes: 9 for the course's dataset.
            pretrained: start a backbone from ImageNet's weights where the recipe says so and they can be had
                (else a printed line says that they could not). False: do not try.
        """
        raise NotImplementedError

    def small(self) -> Recipe:
        """The same design with the same anchors, loss and initialisation, for two CPU cores.

        Every part is narrow and shallow, and GroupNorm stands after its convolutions, because batches are of a few
        frames, an eighth of the report's; AdamW and one cycle learn in tens of steps what its SGD needs hundreds for.
        """
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        smaller = {name: part.small() for name, part in parts.items() if hasattr(part, "small")}
        training = replace(SMALL_TRAINING, batch_size=self.training.batch_size // 8)
        return replace(self, title=f"{self.title} (small)", training=training, **smaller)

    def as_dict(self) -> dict[str, Any]:
        """All parts with all their settings, in what JSON can hold: the same for equal recipes."""
        parts = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return parts | {"transforms": [{"part": name, **_plain(STRENGTHS[name])} for name in self.transforms]}


@dataclass(frozen=True)
class OneStage(Recipe):
    """A detector that answers at every anchor (`models.Detector`).

    Attributes:
        head, anchors, loss: the detector's further parts.
        init: how the head starts.
        matching: which anchor answers for which box; None: IoU 0.5, as in SSD.
        ring: the first and the last column are neighbours (`models.RingDetector`).
    """

    head: Head
    anchors: Anchors
    loss: MultiboxLoss | SoftmaxFocalLoss | SigmoidFocalLoss
    init: Init
    matching: IgnoreBand | ATSS | None = None
    ring: bool = False

    def build_model(self, num_classes: int = 9, pretrained: bool = True) -> models.Detector:
        backbone = self.backbone.build(pretrained)
        pyramid = None if self.pyramid is None else self.pyramid.build(backbone.out_channels)
        channels = (pyramid or backbone).out_channels
        head = self.head.build(channels, self.anchors, self.loss.num_logits(num_classes))
        bias = None if self.init.prior is None else self.loss.prior_bias(self.init.prior, num_classes)
        models.initialize(head, self.init.weights, bias)
        kind = models.RingDetector if self.ring else models.Detector
        return kind(backbone, pyramid, head, self.anchors, self.loss, num_classes, matching=self.matching)


@dataclass(frozen=True)
class TwoStage(Recipe):
    """A detector that proposes regions and then looks at each of them again (`models.faster_rcnn`).

    Attributes:
        anchors: what the proposals start from.
        regions: the second stage.
        masks, keypoints: further branches of it; None: there is none.
    """

    anchors: Anchors
    regions: Regions
    masks: Masks | None = None
    keypoints: Keypoints | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        return ("bbox", *(("segm",) if self.masks else ()), *(("keypoints",) if self.keypoints else ()))

    def build_model(self, num_classes: int = 9, pretrained: bool = True) -> nn.Module:
        backbone = self.backbone.build(pretrained)
        if self.pyramid is None:
            raise ValueError(f"{self.name}: a two-stage detector needs a pyramid, all levels of one number of channels")
        pyramid = self.pyramid.build(backbone.out_channels)
        model = models.faster_rcnn(
            backbone,
            pyramid,
            self.anchors,
            num_classes,
            representation=self.regions.representation,
            proposals=self.regions.proposals,
            regions=self.regions.drawn,
        )
        for branch in filter(None, (self.masks, self.keypoints)):
            branch.add_to(model, num_classes)
        return model


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        settings = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {"part": type(value).__name__, **settings}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
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
SSD_SIZES = SSDSizes(
    min_sizes=((16, 16), (32, 32), (48, 48), (64, 64), (86, 86), (128, 128), (128, 400)),
    aspect_ratios=((2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
)
SSD_ANCHORS = Anchors(strides=(4, 8, 16, 32, 64, 128), sizes=SSD_SIZES)

ssd = OneStage(
    name="ssd",
    title="SSD baseline",
    transforms=(),
    backbone=Basic(),
    pyramid=None,
    head=Head(),
    anchors=SSD_ANCHORS,
    loss=MultiboxLoss(),
    init=Init(Xavier(), prior=None),
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

fpn = replace(augmentation, name="fpn", title="SSD on ResNet-34 with FPN", backbone=ResNet(), pyramid=FPN())

focal_loss = replace(fpn, name="focal_loss", title="FPN with focal loss", loss=SoftmaxFocalLoss())

# A head shared by all levels needs as many anchors a cell on each.
retinanet = replace(
    focal_loss,
    name="retinanet",
    title="RetinaNet",
    head=Head(groups=ALL_LEVELS, depth=4),
    anchors=replace(SSD_ANCHORS, sizes=replace(SSD_SIZES, aspect_ratios=((2, 3),) * 6)),
)

initialization = replace(
    retinanet,
    name="initialization",
    title="RetinaNet with Kaiming weights and a background prior",
    init=Init(Kaiming(), prior=0.01),
)

# RetinaNet as its paper has it, which notebook 06 recommends: from here on it is what parts are replaced in.
paper = replace(
    initialization,
    name="initialization-paper",
    title="RetinaNet with its paper's loss and prior",
    loss=SigmoidFocalLoss(),
    init=Init(Gaussian(), prior=0.01),
)

# (height, width) of the finest level, which `coverage.optimise` found on the boxes of "sim-clips" for an IoU of 0.6;
# the coarser levels keep SSD's. Of the boxes of "sim" 92 % reach IoU 0.5 with them, 70 % with SSD's six.
FINEST = ((16.5, 5.3), (23.2, 19.9), (10.8, 8.3), (26.3, 8.2), (15.2, 12.7), (41.3, 11.1))

anchor_tuning = replace(
    paper,
    name="anchor_tuning",
    title="RetinaNet with anchors that cover small boxes",
    anchors=replace(SSD_ANCHORS, sizes=(FINEST, *[tuple(level) for level in paper.anchors.sizes][1:])),
)

# In strides, (height, width): six shapes for all levels, of `coverage.optimise_shapes`. 93 % of the same boxes.
SHAPES = ((1.0, 7.5), (2.45, 0.7), (2.5, 1.95), (3.2, 3.2), (4.0, 1.35), (6.3, 2.05))

# Each level for itself, by `coverage.optimise`: 96 % of the same boxes.
FREE_ANCHORS = replace(
    SSD_ANCHORS,
    sizes=(
        ((9.6, 7.2), (17.9, 6.4), (12.1, 10.5), (12.5, 4.5), (17.5, 15.3), (28.9, 8.6)),
        ((46.0, 13.0), (25.3, 23.8), (37.9, 28.7), (26.4, 6.8), (8.0, 149.3), (15.1, 4.5)),
        ((47.8, 10.5), (47.7, 40.3), (48.2, 65.9), (24.3, 5.4), (16.0, 177.7), (13.5, 4.1)),
        ((95.9, 63.4), (77.4, 117.0), (32.0, 88.2), (57.1, 11.2), (31.9, 166.9), (31.7, 51.6)),
        ((48.8, 11.6), (104.9, 104.9), (62.2, 110.1), (121.6, 60.8), (64.0, 189.7), (149.0, 49.6)),
        ((128.0, 128.0), (128.0, 226.3), (90.5, 181.0), (181.0, 90.5), (73.9, 221.7), (221.7, 73.9)),
    ),
)

# The report's own attempts (its task 2.4).
SPECIALISED_SIZES = SSDSizes(
    min_sizes=((14, 10), (26, 24), (40, 40), (60, 60), (84, 88), (120, 136), (134, 420)),
    aspect_ratios=((3, 4), (2, 4), (2, 3), (2, 3), (2, 3), (2, 3)),
)
VARYING_RATIOS = (
    (0.5, 0.75, 1.3, 1.5, 2, 3, 4, 5, 6),
    (0.75, 1.3, 1.5, 1.8, 2, 2.5, 3, 4, 5),
    (2, 3),
    (1.5, 2),
    (1.5, 2),
    (1.2, 1.5),
)

# Boxes of each class in the train split of "sim", car to rider.
SIM_BOXES = (21448, 454, 1056, 129, 2266, 1245, 16480, 3668)

bifpn = replace(anchor_tuning, name="bifpn", title="RetinaNet with a BiFPN", pyramid=BiFPN())

# The report's anchors: `coverage.peak_anchors` of the real train boxes, with width / height taken for height / width.
# Their feature maps, 39 x 313 to 1 x 7, are what the report had; an FPN's are interpolated to them.
AUTO_ANCHORS = automatic(
    sizes=(3.27, 6.83, 14.2, 41.1, 78.8, 146.1),
    aspect_ratios=(
        (1.197, 0.897, 0.715, 0.284, 0.229),
        (1.209, 0.763, 0.503, 0.342, 0.248),
        (1.322, 0.797, 0.512, 0.303, 0.205),
        (3.987, 1.325, 0.817, 0.507, 0.271),
        (3.187, 2.357, 1.635, 1.115, 0.738),
        (2.958, 2.195, 1.682, 1.305, 0.973),
    ),
)

auto_anchors = replace(
    initialization,
    name="auto_anchors",
    title="RetinaNet with the report's automatic anchors",
    backbone=ResNet(extra_norm="batch"),
    pyramid=ResizedFPN(AUTO_ANCHORS.strides),
    anchors=AUTO_ANCHORS,
)

# 36 sizes of "sim-clips" from `coverage.kmeans_iou`, and what `coverage.evolve` makes of them, six a level from small
# to large (`coverage.by_size`).
KMEANS_ANCHORS = replace(
    SSD_ANCHORS,
    sizes=(
        ((9.6, 4.4), (12.7, 3.6), (7.8, 6.5), (13.8, 4.9), (9.6, 7.1), (16.8, 4.2)),
        ((10.1, 9.1), (12.0, 7.8), (17.9, 5.3), (13.1, 9.5), (20.1, 6.6), (24.0, 5.6)),
        ((12.5, 12.1), (15.9, 10.7), (25.2, 7.8), (30.2, 6.5), (17.3, 13.6), (20.4, 11.9)),
        ((28.8, 9.7), (35.0, 8.1), (15.9, 18.3), (23.1, 16.1), (45.3, 9.1), (38.1, 11.0)),
        ((25.3, 19.4), (49.2, 11.4), (23.2, 28.0), (39.9, 16.7), (48.3, 14.1), (32.3, 21.9)),
        ((41.4, 23.1), (9.2, 123.3), (43.5, 30.5), (39.0, 40.8), (41.1, 57.4), (34.0, 103.6)),
    ),
)
EVOLVED_ANCHORS = replace(
    SSD_ANCHORS,
    sizes=(
        ((9.7, 4.4), (12.7, 3.6), (7.8, 6.5), (13.7, 4.9), (9.6, 7.1), (16.7, 4.2)),
        ((10.1, 9.2), (11.9, 7.9), (17.9, 5.3), (13.1, 9.5), (24.0, 5.6), (20.1, 6.7)),
        ((12.6, 12.1), (15.7, 10.6), (25.2, 7.7), (30.0, 6.6), (17.4, 13.7), (20.3, 11.9)),
        ((28.7, 9.7), (35.0, 8.2), (16.0, 18.4), (23.1, 16.1), (45.3, 9.1), (38.0, 10.9)),
        ((25.4, 19.4), (49.2, 11.3), (23.2, 28.1), (39.5, 16.8), (48.7, 14.1), (32.6, 21.9)),
        ((41.1, 23.1), (9.3, 123.7), (43.3, 30.2), (38.8, 41.3), (41.5, 57.4), (34.0, 103.1)),
    ),
)

ring = replace(anchor_tuning, name="ring", title="RetinaNet on a ring", ring=True)

lite = replace(anchor_tuning, name="lite", title="RetinaNet on EfficientNet-Lite0", backbone=Timm())

# The story, in its order.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        ssd,
        augmentation,
        fpn,
        focal_loss,
        retinanet,
        initialization,
        anchor_tuning,
        bifpn,
        auto_anchors,
        ring,
    )
}


def _augmented(base: Recipe, name: str, transforms: tuple[str, ...]) -> Recipe:
    return replace(
        base,
        name=f"{base.name}-{name}",
        title=f"{base.title}, augmentation: {', '.join(transforms) or 'none'}",
        transforms=transforms,
    )


# One of SSD's two aspect ratios: proposals need no class, and get their exact box in the second stage.
faster_rcnn = TwoStage(
    name="faster_rcnn",
    title="Faster R-CNN on ResNet-34 with FPN",
    transforms=fpn.transforms,
    backbone=fpn.backbone,
    pyramid=fpn.pyramid,
    training=fpn.training,
    anchors=replace(SSD_ANCHORS, sizes=replace(SSD_SIZES, aspect_ratios=((3,),) * 6)),
    regions=Regions(),
)

EVERY_TRANSFORM = ("roll", *augmentation.transforms)

# Side roads of the story: augmentations one by one, none and all of them, on the first detector and on a strong one;
# the focal loss as its paper has it; other starts for the head; and a two-stage detector.
VARIANTS = {
    recipe.name: recipe
    for recipe in (
        *(_augmented(ssd, name, (name,)) for name in EVERY_TRANSFORM),
        _augmented(ssd, "all", EVERY_TRANSFORM),
        _augmented(retinanet, "none", ()),
        *(_augmented(retinanet, name, (name,)) for name in EVERY_TRANSFORM),
        _augmented(retinanet, "all", EVERY_TRANSFORM),
        # The report got a pyramid and ImageNet's weights in one step: which of the two gains?
        *(
            replace(
                fpn,
                name=f"fpn-{name}",
                title=f"SSD on EfficientNet-Lite0, {title}",
                backbone=Timm(imagenet=imagenet),
                pyramid=pyramid,
            )
            for name, title, imagenet, pyramid in (
                ("lite", "ImageNet's weights, FPN", True, FPN()),
                ("lite_random", "random weights, FPN", False, FPN()),
                ("lite_flat", "ImageNet's weights, no pyramid", True, None),
                ("lite_flat_random", "random weights, no pyramid", False, None),
            )
        ),
        replace(focal_loss, name="focal_loss-sigmoid", title="FPN with sigmoid focal loss", loss=SigmoidFocalLoss()),
        replace(
            initialization,
            name="initialization-gaussian",
            title="RetinaNet with small Gaussian weights and a background prior",
            init=Init(Gaussian(), prior=0.01),
        ),
        paper,
        # How the report specialised its anchors: smaller and upright ones; then more ratios on the fine levels, which
        # need a head of their own for it.
        replace(
            initialization,
            name="initialization-specialised",
            title="RetinaNet with the report's smaller anchors",
            anchors=replace(SSD_ANCHORS, sizes=SPECIALISED_SIZES),
        ),
        replace(
            initialization,
            name="initialization-varying",
            title="RetinaNet with the report's varying number of ratios",
            anchors=replace(SSD_ANCHORS, sizes=replace(SSD_SIZES, aspect_ratios=VARYING_RATIOS)),
            head=replace(initialization.head, groups=((0, 1), (2, 3, 4, 5))),
        ),
        # Weights of the classes: car and person less or more, as in the report; by the number of a class's boxes.
        *(
            replace(
                initialization,
                name=f"initialization-alpha_{name}",
                title=f"RetinaNet with class weights, {title}",
                loss=SoftmaxFocalLoss(alpha_object=alpha),
            )
            for name, title, alpha in (
                ("800", "car 800, person 900", (800.0, *(1000.0,) * 5, 900.0, 1000.0)),
                ("1100", "car 1100, person 1050", (1100.0, *(1000.0,) * 5, 1050.0, 1000.0)),
                ("inverse", "inverse frequency", class_weights(SIM_BOXES, beta=1)),
                ("effective", "effective number", class_weights(SIM_BOXES, beta=0.999)),
            )
        ),
        replace(
            anchor_tuning,
            name="anchor_tuning-proportion",
            title="RetinaNet with anchors in proportion to the stride",
            anchors=in_proportion(SSD_ANCHORS.strides, SHAPES),
        ),
        replace(
            anchor_tuning,
            name="anchor_tuning-free",
            title="RetinaNet with anchors tuned level by level",
            anchors=FREE_ANCHORS,
        ),
        replace(
            anchor_tuning,
            name="anchor_tuning-atss",
            title="RetinaNet with tuned anchors and adaptive matching",
            matching=ATSS(),
        ),
        replace(
            anchor_tuning,
            name="anchor_tuning-band",
            title="RetinaNet with tuned anchors and an ignore band",
            matching=IgnoreBand(),
        ),
        # The trunk's normalisation at two sizes of the batch: the small network's are 2 and 8 frames.
        *(
            replace(
                anchor_tuning,
                name=f"anchor_tuning-{norm}_norm_{batch_size // 8}",
                title=f"RetinaNet with tuned anchors, {title} in the trunk, {times} the batch",
                backbone=ResNet(norm=norm, small_norm=norm, imagenet=False),
                training=replace(anchor_tuning.training, batch_size=batch_size),
            )
            for batch_size, times in ((16, "half"), (64, "twice"))
            for norm, title in (
                ("group", "GroupNorm"),
                ("batch", "BatchNorm"),
                ("layer", "LayerNorm"),
                ("instance", "InstanceNorm"),
            )
        ),
        # What of the BiFPN matters: its weights, its edges, its convolutions (EfficientDet, tables 5 to 7).
        *(
            replace(bifpn, name=f"bifpn-{name}", title=f"RetinaNet with {title}", pyramid=pyramid)
            for name, title, pyramid in (
                ("sum", "a BiFPN without weights", BiFPN(fusion="sum")),
                ("softmax", "a BiFPN, softmax fusion", BiFPN(fusion="softmax")),
                ("untrained", "a BiFPN, weights that do not train", BiFPN(fusion="untrained")),
                ("dense", "a BiFPN of dense convolutions", BiFPN(convolution="dense")),
                ("panet", "a repeated PANet", BiFPN(layer="panet", fusion="sum")),
                ("top_down", "a repeated FPN", BiFPN(layer="top_down", fusion="sum")),
            )
        ),
        replace(
            initialization,
            name="bifpn-report",
            title="RetinaNet with the report's BiFPN, on its cut trunk",
            backbone=CutResNet(),
            pyramid=BiFPN(128, fusion="untrained", convolution="one_by_one"),
            head=replace(initialization.head, channels=128),
        ),
        *(
            replace(
                anchor_tuning,
                name=f"auto_anchors-{name}",
                title=f"RetinaNet with anchors from {title}",
                anchors=anchors,
            )
            for name, title, anchors in (
                ("kmeans", "k-means on IoU", KMEANS_ANCHORS),
                ("evolved", "a genetic search", EVOLVED_ANCHORS),
            )
        ),
        faster_rcnn,
        # The report's comparison: the same detector on larger trunks.
        *(
            replace(
                faster_rcnn,
                name=f"faster_rcnn-{name}",
                title=f"Faster R-CNN on {title} with FPN",
                backbone=Timm(trunk, frozen_blocks=0),
            )
            for name, title, trunk in (
                ("resnet50", "ResNet-50", "resnet50"),
                ("resnext101", "ResNeXt-101 32x8d", "resnext101_32x8d"),
            )
        ),
        # The trunk with which a project from scratch stayed at AP 0.
        replace(
            faster_rcnn,
            name="faster_rcnn-narrow",
            title="Faster R-CNN on a trunk of three channels with FPN",
            backbone=Narrow(),
        ),
        # Masks, and the two choices that Mask R-CNN's table 2 takes back.
        *(
            replace(faster_rcnn, name=f"mask_rcnn{name}", title=f"Mask R-CNN on ResNet-34 with FPN{title}", masks=masks)
            for name, title, masks in (
                ("", "", Masks()),
                ("-pool", ", RoIPool", Masks(rounded=True)),
                ("-softmax", ", classes that compete", Masks(competing=True)),
            )
        ),
        replace(faster_rcnn, name="keypoint_rcnn", title="Keypoint R-CNN on ResNet-34 with FPN", keypoints=Keypoints()),
        # A trunk that comes with ImageNet's weights.
        lite,
    )
}

ALL_RECIPES = RECIPES | VARIANTS
