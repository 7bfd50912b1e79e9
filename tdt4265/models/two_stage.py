"""Two-stage detectors: torchvision's, on the course's backbones, pyramids and anchors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign, roi_pool
from torchvision.ops.poolers import initLevelMapper

from .detector import IMAGE_MEAN, IMAGE_STD

# Cells that a region is pooled to, a side (Lin et al. 2017, https://arxiv.org/abs/1612.03144, section 4.2).
ROI_SIZE = 7
# The same for masks and keypoints (He et al. 2017, https://arxiv.org/abs/1703.06870, figure 4).
FINE_ROI_SIZE = 14


class Features(nn.Module):
    """A backbone and a pyramid as torchvision's detectors take them: [B, 3, H, W] -> {"0": [B, C, H_0, W_0], ...}.

    Args:
        backbone: images -> feature maps. pyramid: feature maps -> as many of one number of channels C.
    """

    def __init__(self, backbone: nn.Module, pyramid: nn.Module):
        super().__init__()
        self.backbone, self.pyramid = backbone, pyramid
        self.out_channels = pyramid.out_channels[0]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {str(level): x for level, x in enumerate(self.pyramid(self.backbone(images)))}


class GridAnchors(AnchorGenerator):
    """The course's anchors as torchvision's region proposal network takes them, the same for each image of a batch."""

    def __init__(self, anchors):
        super().__init__()
        self.anchors = anchors

    def num_anchors_per_location(self) -> list[int]:
        return self.anchors.num_anchors_per_location()

    def forward(self, image_list: ImageList, feature_maps: Sequence[Tensor]) -> list[Tensor]:
        anchors = self.anchors([x.shape[-2:] for x in feature_maps], image_list.tensors.device)
        return [anchors] * len(image_list.image_sizes)


class PreciseRPNHead(RPNHead):
    """torchvision's, its outputs in float32 under autocast too.

    Proposals are computed in the offsets' type, and bfloat16 knows every fourth number from 512 to 1024 only: boxes
    there would lose their place, and narrow ones their width.
    """

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        logits, offsets = super().forward(x)
        return [one.float() for one in logits], [one.float() for one in offsets]


class NormalizeAndBatch(GeneralizedRCNNTransform):
    """torchvision's first and last step without its resizing: images keep their size, boxes their coordinates.

    Masks are put into the image by `paste_masks`, where torchvision rounds their boxes to whole pixels.
    """

    def __init__(self, size_divisible: int):
        super().__init__(0, 0, list(IMAGE_MEAN), list(IMAGE_STD), size_divisible=size_divisible)

    def resize(self, image: Tensor, target: dict | None = None) -> tuple[Tensor, dict | None]:
        return image, target

    def postprocess(self, result: list[dict], image_shapes: list, original_image_sizes: list) -> list[dict]:
        if self.training:
            return result
        return [
            found | {"masks": paste_masks(found["masks"][:, 0], found["boxes"], size)[:, None]}
            if "masks" in found
            else found
            for found, size in zip(result, original_image_sizes, strict=True)
        ]


def paste_masks(grids: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """What a mask branch says of each box, enlarged or shrunk to the box's place in the image, bilinear.

    The targets that torchvision trains the branch on lie half a pixel too far left and above, because its RoIAlign
    takes a mask's pixels to be at their upper left corners. So each pixel's middle is looked up half a pixel further
    left and above.

    Args:
        grids: float [N, n, n]. boxes: float [N, 4], xyxy in pixels. size: height and width of the image.

    Returns:
        Float [N, H, W], 0 outside the boxes.
    """
    x1, y1, x2, y2 = boxes.unbind(1)
    cells = grids.shape[-1]
    return _spread(y1, y2, cells, size[0]) @ grids @ _spread(x1, x2, cells, size[1]).mT


def _spread(start: Tensor, end: Tensor, cells: int, length: int) -> Tensor:
    """[N, length, cells]: how much of each cell between start and end [N] each pixel gets."""
    pixels = torch.arange(length, device=start.device)  # their middles at + 0.5, and the targets' half pixel at - 0.5
    at = (pixels - start[:, None]) / (end - start).clamp(min=1e-3)[:, None] * cells - 0.5
    return (1 - (at[..., None] - torch.arange(cells, device=start.device)).abs()).clamp(min=0)


def faster_rcnn(
    backbone: nn.Module,
    pyramid: nn.Module,
    anchors,
    num_classes: int,
    *,
    representation: int = 1024,
    proposals: int = 2000,
    regions: int = 512,
    roi_levels: int = 4,
) -> FasterRCNN:
    """Faster R-CNN (Ren et al. 2015, https://arxiv.org/abs/1506.01497) on a pyramid, under torchvision's contract.

    In training mode it returns four losses: those of the proposals, "loss_objectness" and "loss_rpn_box_reg", and those
    of the regions, "loss_classifier" and "loss_box_reg". Thresholds are those of `Detector`.

    Args:
        backbone, pyramid: see `Features`.
        anchors: what the proposals start from, `anchors.Anchors`, of as many anchors a cell on each level.
        num_classes: background counted.
        representation: outputs of the two fully connected layers that see a pooled region.
        proposals: kept for training, of each level before suppression and of an image after it; evaluation keeps 1000.
        regions: drawn from an image's proposals to train the second stage on, at most a quarter of them objects.
        roi_levels: regions are pooled from this many of the finest levels.

    Raises:
        ValueError: the anchors' strides are not the backbone's, or levels differ in their number of anchors.
    """
    if list(backbone.strides) != list(anchors.strides):
        raise ValueError(f"anchors of strides {list(anchors.strides)} on features of strides {list(backbone.strides)}")
    if len(set(anchors.num_anchors_per_location())) != 1:
        numbers = anchors.num_anchors_per_location()
        raise ValueError(f"one head proposes on all levels, but a cell has {numbers} anchors, level by level")
    features = Features(backbone, pyramid)
    model = FasterRCNN(
        features,
        rpn_anchor_generator=GridAnchors(anchors),
        rpn_head=PreciseRPNHead(features.out_channels, anchors.num_anchors_per_location()[0]),
        box_roi_pool=_roi_align(backbone.strides[:roi_levels], ROI_SIZE),
        box_head=TwoMLPHead(features.out_channels * ROI_SIZE**2, representation),
        box_predictor=FastRCNNPredictor(representation, num_classes),
        box_detections_per_img=200,
        rpn_pre_nms_top_n_train=proposals,
        rpn_post_nms_top_n_train=proposals,
        box_batch_size_per_image=regions,
    )
    model.transform = NormalizeAndBatch(size_divisible=max(anchors.strides))
    return model


def add_masks(
    model: FasterRCNN,
    num_classes: int,
    *,
    layers: int = 4,
    channels: int = 256,
    rounded: bool = False,
    competing: bool = False,
) -> FasterRCNN:
    """Mask R-CNN (He et al. 2017, section 3): a branch that gives each found object a mask, one for each class.

    Training needs "masks" in the targets and gives "loss_mask" besides; detections have "masks", float [N, 1, H, W],
    an object where they are at least 0.5.

    Args:
        model: of `faster_rcnn`, changed in place. layers, channels: of the branch's 3x3 convolutions.
        rounded: pool regions by RoIPool, which rounds them to whole cells, in place of RoIAlign (table 2c).
        competing: the classes of a cell share one softmax; else each has its own sigmoid (table 2b).
    """
    heads, features = model.roi_heads, model.backbone.out_channels
    align = _like(heads.box_roi_pool)
    heads.mask_roi_pool = MultiScaleRoIPool(align) if rounded else align
    heads.mask_head = MaskRCNNHeads(features, [channels] * layers, dilation=1)
    predictor = CompetingPredictor if competing else MaskRCNNPredictor
    heads.mask_predictor = predictor(channels, channels, num_classes)
    return model


def add_keypoints(model: FasterRCNN, number: int = 17, *, layers: int = 8, channels: int = 512) -> FasterRCNN:
    """Keypoints as Mask R-CNN has them (section 5): each is a mask of which one cell is right.

    Training needs "keypoints" in the targets and gives "loss_keypoint" besides, of the objects that have any;
    detections have "keypoints", float [N, number, 3], x, y and 1, whatever their class, and "keypoints_scores".

    Args:
        model: of `faster_rcnn`, changed in place. number: of keypoints. layers, channels: of the 3x3 convolutions.
    """
    heads, features = model.roi_heads, model.backbone.out_channels
    heads.keypoint_roi_pool = _like(heads.box_roi_pool)
    heads.keypoint_head = KeypointRCNNHeads(features, (channels,) * layers)
    heads.keypoint_predictor = ContiguousPredictor(channels, number)
    return model


class MultiScaleRoIPool(nn.Module):
    """RoIPool (Girshick 2015, https://arxiv.org/abs/1504.08083, section 2.1) where another pools by RoIAlign.

    Args:
        align: whose levels, sizes and choice of a level are taken over.
    """

    def __init__(self, align: MultiScaleRoIAlign):
        super().__init__()
        self.align = align
        self.output_size = align.output_size

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: Sequence) -> Tensor:
        """Feature maps by name and regions [R_i, 4] of each image -> [sum of R_i, C, *output_size]."""
        # In float32: torchvision has no RoIPool for bfloat16, and casts to float32 by itself for RoIAlign only.
        maps = [features[name].float() for name in self.align.featmap_names]
        level = self.align.map_levels(boxes)
        image = torch.cat([torch.full((len(one), 1), float(n)) for n, one in enumerate(boxes)]).to(maps[0])
        regions = torch.cat([image, torch.cat(boxes).to(image)], dim=1)
        pooled = maps[0].new_zeros(len(regions), maps[0].shape[1], *self.output_size)
        for number, (x, scale) in enumerate(zip(maps, self.align.scales, strict=True)):
            own = (level == number).nonzero()[:, 0]
            pooled = pooled.index_copy(0, own, roi_pool(x.contiguous(), regions[own], self.output_size, scale))
        return pooled


class CompetingPredictor(MaskRCNNPredictor):
    """The classes' masks as a softmax over all of them gives them, as logits, of which torchvision takes the sigmoid.

    sigmoid(z_c - log sum of exp z_k over the other k) = softmax(z)_c. The loss of a cell without the object is then
    -log(1 - softmax(z)_c), where FCN's would be that of background.
    """

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x).float()
        own = torch.eye(logits.shape[1], dtype=torch.bool, device=x.device)[None, :, :, None, None]
        others = logits[:, None].masked_fill(own, -torch.inf).logsumexp(dim=2)
        return logits - others


class ContiguousPredictor(KeypointRCNNPredictor):
    """torchvision's, whose loss cannot look at heat maps with the channels last in memory, as `training` has them."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).contiguous()


def _roi_align(strides: Sequence[int], size: int) -> MultiScaleRoIAlign:
    """RoIAlign from the levels of these strides, the finest ones.

    torchvision's would guess the strides from its first images, and wrongly where padding makes a feature map larger.
    """
    pool = MultiScaleRoIAlign([str(level) for level in range(len(strides))], size, sampling_ratio=2)
    pool.scales = [1 / stride for stride in strides]
    pool.map_levels = initLevelMapper(*(round(math.log2(strides[level])) for level in (0, -1)))
    return pool


def _like(pool: MultiScaleRoIAlign) -> MultiScaleRoIAlign:
    return _roi_align([round(1 / scale) for scale in pool.scales], FINE_ROI_SIZE)
