"""Augmentation: pipelines of torchvision.transforms.v2 over a frame and its target.

Every transform draws anew for every frame, takes and returns (image, target) as `CocoDetection` gives them, and keeps
boxes, labels, area, iscrowd and masks consistent. Targets without boxes pass through.
"""

import torch
from torch import Tensor
from torchvision.transforms import v2


class RandomCrop(v2.Transform):
    """SSD's crop that keeps an IoU with some object, resized back to the frame's size.

    Liu et al., "SSD: Single Shot MultiBox Detector" (2016), section 2.2, as `v2.RandomIoUCrop` draws it: a box stays
    when its centre does. SSD lets a crop's sides differ by a factor of two. A panorama is 8 times wider than high, so
    no crop with 0.3 to 1 of each of its sides would pass: here the factor is relative to the frame's own shape.
    """

    def forward(self, image: Tensor, target: dict) -> tuple[Tensor, dict]:
        if not len(target["boxes"]):
            return image, target  # no object to keep in view
        height, width = image.shape[-2:]
        shape = width / height
        crop = v2.RandomIoUCrop(min_aspect_ratio=shape / 2, max_aspect_ratio=shape * 2)
        # The share of its box that an object covers survives cutting and stretching better than its area does.
        share = target["area"] / box_area(target["boxes"])
        image, target = crop(image, {**target, "area": share})
        image, target = v2.Resize((height, width), antialias=True)(image, target)
        image, target = v2.SanitizeBoundingBoxes(labels_getter=what_goes_with_a_box)(image, target)
        return image, {**target, "area": target["area"] * box_area(target["boxes"])}


def box_area(boxes: Tensor) -> Tensor:
    """float32 [N], square pixels, of XYXY boxes [N, 4]."""
    x1, y1, x2, y2 = boxes.as_subclass(torch.Tensor).unbind(1)
    return (x2 - x1) * (y2 - y1)


def what_goes_with_a_box(inputs: tuple[Tensor, dict]) -> tuple[Tensor, ...]:
    _, target = inputs
    return target["labels"], target["area"], target["iscrowd"]  # masks, being tv_tensors, go with their boxes unasked


# Contrast and brightness: in half of the frames, by the factors of v2.RandomPhotometricDistort, torchvision's SSD.
TRANSFORMS = {
    "crop": RandomCrop,
    "flip": lambda: v2.RandomHorizontalFlip(0.5),
    "contrast": lambda: v2.RandomApply([v2.ColorJitter(contrast=(0.5, 1.5))], p=0.5),
    "brightness": lambda: v2.RandomApply([v2.ColorJitter(brightness=(0.875, 1.125))], p=0.5),
}


def pipeline(names: tuple[str, ...]) -> v2.Transform | None:
    """The named transforms, in this order; None for no names.

    names: among "crop", "flip", "contrast", "brightness". Raises ValueError for any other.
    """
    unknown = [name for name in names if name not in TRANSFORMS]
    if unknown:
        raise ValueError(f"unknown transform {unknown[0]!r}: choose among {', '.join(TRANSFORMS)}")
    return v2.Compose([TRANSFORMS[name]() for name in names]) if names else None
