"""The detector: backbone + pyramid + head + anchors + loss, under torchvision's contract."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import batched_nms, clip_boxes_to_image

from .. import boxes as box_ops
from ..contract import check_images, check_targets

# Of the dataset's three channels (intensity, ambient, range), in 0..1.
IMAGE_MEAN = (0.4765, 0.4774, 0.2259)
IMAGE_STD = (0.2951, 0.2864, 0.2878)


class Outputs(NamedTuple):
    """What a detector's network says of B images, before anything is made of it; N anchors, of all levels.

    features: feature maps [B, C_i, H_i, W_i], finest first, as the head sees them. class_logits: float32 [B, N, L],
    and box_offsets: float32 [B, N, 4], see `tdt4265.losses`. anchors: float32 [N, 4], xyxy in pixels.
    """

    features: list[Tensor]
    class_logits: Tensor
    box_offsets: Tensor
    anchors: Tensor


class Detector(nn.Module):
    """A one-stage detector of replaceable parts.

    In training mode `detector(images, targets)` returns {"classification", "bbox_regression"}, two scalars to add up.
    In evaluation mode `detector(images)` returns, for each image, {"boxes": float32 [M, 4] xyxy in pixels inside the
    image, "labels": int64 [M] from 1, "scores": float32 [M]}, sorted by score, M <= detections_per_img.

    Images are float tensors [3, H, W] in 0..1, of any sizes. Targets are dicts with "boxes" [G, 4] (xyxy, pixels, of
    positive width and height; G may be 0) and "labels" int64 [G] in 1..num_classes-1; other keys are left alone.

    Args:
        backbone: images [B, 3, H, W] -> list of feature maps, finest first; has their `strides`.
        pyramid: feature maps -> as many feature maps, of other `strides` if it has them; None: the head sees the
            backbone's own.
        head: feature maps -> class_logits [B, N, L], box_offsets [B, N, 4].
        anchors: (list of (rows, columns), device) -> [N, 4] xyxy in pixels; has `strides`.
        loss: see `tdt4265.losses`; its `scores` say what the logits mean.
        num_classes: K, background counted.
        matching: which anchor answers for which box, see `tdt4265.matching`; None: SSD's rule, IoU 0.5 (`boxes.match`).
        image_mean, image_std: of each channel, for normalising; the default are the dataset's.
        score_thresh: detections score more than this. Each class by itself: one anchor may give two detections.
        nms_thresh: of two detections of one class that overlap by more than this IoU the better one stays.
        detections_per_img: the best of an image that stay.
        topk_candidates: the best of an image that go into NMS, whose cost grows with their square.

    Raises:
        ValueError: the anchors' strides are not the backbone's. When called: an image or a target breaks this contract;
            the message names its index.
    """

    def __init__(
        self,
        backbone: nn.Module,
        pyramid: nn.Module | None,
        head: nn.Module,
        anchors,
        loss,
        num_classes: int,
        *,
        matching=None,
        image_mean: Sequence[float] = IMAGE_MEAN,
        image_std: Sequence[float] = IMAGE_STD,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections_per_img: int = 200,
        topk_candidates: int = 1000,
    ):
        super().__init__()
        strides = getattr(pyramid, "strides", backbone.strides)
        if list(strides) != list(anchors.strides):
            raise ValueError(
                f"anchors of strides {list(anchors.strides)} on feature maps of strides {list(strides)}: "
                "they would lie elsewhere than what the features see"
            )
        if matching is not None and list(strides) != list(backbone.strides):
            raise ValueError(f"{matching}: cells are counted from the backbone's strides; a resized pyramid has others")
        self.backbone = backbone
        self.pyramid = pyramid
        self.head = head
        self.anchors = anchors
        self.loss = loss
        self.num_classes = num_classes
        self.matching = matching
        self.score_thresh = score_thresh
        self.nms_thresh = nms_thresh
        self.detections_per_img = detections_per_img
        self.topk_candidates = topk_candidates
        self.register_buffer("image_mean", torch.tensor(image_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("image_std", torch.tensor(image_std).view(3, 1, 1), persistent=False)

    def forward(self, images: Sequence[Tensor], targets: Sequence[dict] | None = None):
        check_images(images)
        if self.training:
            check_targets(images, targets, self.num_classes)
        _, class_logits, box_offsets, anchors = self.outputs(images)
        # Offsets of a wide box need more digits than half precision has.
        with torch.autocast(anchors.device.type, enabled=False):
            if self.training:
                return self.loss(class_logits, box_offsets, *self.assign(targets, anchors))
            sizes = [image.shape[-2:] for image in images]
            return self.detections(class_logits, box_offsets, anchors, sizes)

    def outputs(self, images: Sequence[Tensor]) -> Outputs:
        """Runs the network: normalised images -> features -> logits and offsets at the anchors."""
        features = self.features(images)
        class_logits, box_offsets = self.head(features)
        anchors = self.anchors([x.shape[-2:] for x in features], class_logits.device)
        return Outputs(features, class_logits.float(), box_offsets.float(), anchors)

    def features(self, images: Sequence[Tensor]) -> list[Tensor]:
        """The feature maps that the head sees, finest first."""
        features = self.backbone(self.batch(images))
        return features if self.pyramid is None else self.pyramid(features)

    def assign(self, targets: Sequence[dict], anchors: Tensor) -> tuple[Tensor, Tensor]:
        """What should be said at each anchor: which box it answers for, all B images at once.

        Returns:
            int64 [B, N] labels, 0 for background, -1 for what the loss leaves out; float32 [B, N, 4] offsets, zeros for
            both.
        """
        boxes, valid = box_ops.pad_boxes([target["boxes"] for target in targets])
        labels = pad_sequence([target["labels"] for target in targets], batch_first=True)
        return box_ops.anchor_targets(self._match(anchors, boxes, valid), boxes, labels, anchors)

    def _match(self, anchors: Tensor, boxes: Tensor, valid: Tensor) -> Tensor:
        if self.matching is None:
            return box_ops.match(anchors, boxes, valid)
        cells = [rows * columns for rows, columns in self.anchors.grid_shapes(self.anchors.image_size(anchors))]
        return self.matching(anchors, boxes, valid, cells, self.anchors.num_anchors_per_location())

    def batch(self, images: Sequence[Tensor]) -> Tensor:
        """Normalises images and sets them, top left, into one float tensor [B, 3, H, W].

        Its sides are the largest ones, rounded up to whole cells of the coarsest level: anchors cover every image.
        """
        cell = max(self.backbone.strides)
        height, width = (math.ceil(max(image.shape[i] for image in images) / cell) * cell for i in (1, 2))
        batch = self.image_mean.new_zeros(len(images), 3, height, width).contiguous(memory_format=torch.channels_last)
        for place, image in zip(batch, images, strict=True):
            place[:, : image.shape[1], : image.shape[2]] = (image - self.image_mean) / self.image_std
        return batch

    def detections(self, class_logits: Tensor, box_offsets: Tensor, anchors: Tensor, sizes: Sequence) -> list[dict]:
        """What is said at the anchors, as detections in images of these (height, width)."""
        scores = self.loss.scores(class_logits)  # [B, N, K - 1]
        return [self._detect(*one, anchors) for one in zip(scores, box_offsets, sizes, strict=True)]

    def _detect(self, scores: Tensor, box_offsets: Tensor, size: tuple[int, int], anchors: Tensor) -> dict[str, Tensor]:
        anchor, label = (scores > self.score_thresh).nonzero(as_tuple=True)
        score, best = scores[anchor, label].topk(min(self.topk_candidates, len(anchor)))
        anchor, label = anchor[best], label[best] + 1
        boxes = self._boxes(box_offsets[anchor], anchors[anchor], size)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)  # what lies wholly outside was clipped to nothing
        boxes, label, score = boxes[inside], label[inside], score[inside]
        keep = self._suppress(boxes, score, label, size)[: self.detections_per_img]
        return {"boxes": boxes[keep], "labels": label[keep], "scores": score[keep]}

    def _boxes(self, offsets: Tensor, anchors: Tensor, size: tuple[int, int]) -> Tensor:
        return clip_boxes_to_image(box_ops.decode(offsets, anchors), size)

    def _suppress(self, boxes: Tensor, scores: Tensor, labels: Tensor, size: tuple[int, int]) -> Tensor:
        return batched_nms(boxes, scores, labels, self.nms_thresh)
