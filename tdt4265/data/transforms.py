"""Augmentation: pipelines of torchvision.transforms.v2 over a frame and its target.

Every transform draws anew for every frame, takes and returns (image, target) as `CocoDetection` gives them, and keeps
boxes, labels, area, iscrowd, masks and keypoints consistent. Targets without boxes pass through.
"""

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from tdt4265.contract import BOX_KEYS
from tdt4265.ring import hide_outside, roll

# How strong each transform is: what a record says of a run's augmentation. The crop's are SSD's (section 2.2); contrast
# and brightness change in half of the frames, by the factors of v2.RandomPhotometricDistort, torchvision's SSD.
STRENGTHS = {
    "crop": {"min_scale": 0.3, "max_scale": 1.0, "stretch": 2.0, "min_ious": (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)},
    "flip": {"p": 0.5},
    "contrast": {"p": 0.5, "factor": (0.5, 1.5)},
    "brightness": {"p": 0.5, "factor": (0.875, 1.125)},
    "roll": {},  # by any number of columns
}


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
        shape, strength = width / height, STRENGTHS["crop"]
        crop = QuickIoUCrop(
            min_scale=strength["min_scale"],
            max_scale=strength["max_scale"],
            min_aspect_ratio=shape / strength["stretch"],
            max_aspect_ratio=shape * strength["stretch"],
            sampler_options=list(strength["min_ious"]),
        )
        # The share of its box that an object covers survives cutting and stretching better than its area does.
        share = target["area"] / box_area(target["boxes"])
        target = {**target, "area": share}
        if "keypoints" in target:  # torchvision moves points of two numbers
            points = target["keypoints"][..., :2]
            target["points"] = tv_tensors.KeyPoints(points, canvas_size=(height, width))
        image, target = crop(image, target)
        image, target = v2.Resize((height, width), antialias=True)(image, target)
        image, target = v2.SanitizeBoundingBoxes(labels_getter=what_goes_with_a_box)(image, target)
        if "points" in target:
            moved = torch.cat([target.pop("points").as_subclass(Tensor), target["keypoints"][..., 2:]], dim=-1)
            target["keypoints"] = hide_outside(moved, width, height)
        return image, {**target, "area": target["area"] * box_area(target["boxes"])}


class QuickIoUCrop(v2.RandomIoUCrop):
    """torchvision's: it draws the same crops from the same seed, in less time.

    A frame takes tens of tries, each of a dozen operations on a few numbers, which cost less in NumPy than as tensors.
    """

    def make_params(self, flat_inputs: list) -> dict:
        boxes = next(x for x in flat_inputs if isinstance(x, tv_tensors.BoundingBoxes))
        frame = np.array(boxes.canvas_size[::-1], np.float32)  # width, height
        low, high = boxes.as_subclass(Tensor).numpy().reshape(-1, 2, 2).transpose(1, 0, 2)
        centre, area = (low + high) / 2, (high - low).prod(1)
        while True:
            least_iou = self.options[int(torch.randint(len(self.options), (1,)))]
            if least_iou >= 1:
                return {}  # as it is
            for _ in range(self.trials):
                share = self.min_scale + (self.max_scale - self.min_scale) * torch.rand(2).numpy()
                size = np.floor(frame * share)
                if not self.min_aspect_ratio <= size[0] / size[1] <= self.max_aspect_ratio:
                    continue
                start = np.floor((frame - size) * torch.rand(2).numpy())
                inside = ((start < centre) & (centre < start + size)).all(1)
                if not inside.any():
                    continue
                both = (np.minimum(high, start + size) - np.maximum(low, start)).clip(0).prod(1)
                iou = both / (area + size.prod() - both)
                if iou[inside].max() >= least_iou:
                    (left, top), (width, height) = start.astype(int).tolist(), size.astype(int).tolist()
                    crop = {"top": top, "left": left, "height": height, "width": width}
                    return {**crop, "is_within_crop_area": torch.from_numpy(inside)}


class RandomFlip(v2.RandomHorizontalFlip):
    """torchvision's, which also mirrors keypoints: a left hand becomes a right one.

    flip_pairs: the (left, right) indices of keypoints that change places.
    """

    def __init__(self, p: float = 0.5, flip_pairs: tuple[tuple[int, int], ...] = ()):
        super().__init__(p)
        self.flip_pairs = flip_pairs

    def forward(self, image: Tensor, target: dict) -> tuple[Tensor, dict]:
        flipped, target = super().forward(image, target)
        if flipped is not image and "keypoints" in target:
            keypoints = target["keypoints"].clone()
            for left, right in self.flip_pairs:
                keypoints[:, [left, right]] = keypoints[:, [right, left]]
            keypoints[..., 0] = torch.where(keypoints[..., 2] > 0, image.shape[-1] - 1 - keypoints[..., 0], 0)
            target = {**target, "keypoints": keypoints}
        return flipped, target


class RandomRoll(v2.Transform):
    """Turns the panorama by a random number of columns: what leaves it at one side comes back at the other.

    Column 0 is the neighbour of the last one, so this is what the sensor would have seen had its zero pointed
    elsewhere: no pixel is lost or made up. `roll` says what becomes of the boxes.
    """

    def forward(self, image: Tensor, target: dict) -> tuple[Tensor, dict]:
        return roll(image, target, int(torch.randint(image.shape[-1], ())))


def box_area(boxes: Tensor) -> Tensor:
    """float32 [N], square pixels, of XYXY boxes [N, 4]."""
    x1, y1, x2, y2 = boxes.as_subclass(torch.Tensor).unbind(1)
    return (x2 - x1) * (y2 - y1)


def what_goes_with_a_box(inputs: tuple[Tensor, dict]) -> tuple[Tensor, ...]:
    _, target = inputs
    # Boxes and masks, being tv_tensors, go together unasked.
    keys = [key for key in (*BOX_KEYS, "points") if key in target and key not in ("boxes", "masks")]
    return tuple(target[key] for key in keys)


def _jitter(channel: str) -> v2.Transform:
    strength = STRENGTHS[channel]
    return v2.RandomApply([v2.ColorJitter(**{channel: strength["factor"]})], p=strength["p"])


# Each made from the flip_pairs of a dataset, which only the flip needs.
TRANSFORMS = {
    "crop": lambda _: RandomCrop(),
    "flip": lambda flip_pairs: RandomFlip(**STRENGTHS["flip"], flip_pairs=flip_pairs),
    "contrast": lambda _: _jitter("contrast"),
    "brightness": lambda _: _jitter("brightness"),
    "roll": lambda _: RandomRoll(),
}


def pipeline(names: tuple[str, ...], flip_pairs: tuple[tuple[int, int], ...] = ()) -> v2.Transform | None:
    """The named transforms, in this order; None for no names.

    names: among "crop", "flip", "contrast", "brightness", "roll". flip_pairs: see `RandomFlip`; a dataset has its own.
    Raises ValueError for any other name.
    """
    unknown = [name for name in names if name not in TRANSFORMS]
    if unknown:
        raise ValueError(f"unknown transform {unknown[0]!r}: choose among {', '.join(TRANSFORMS)}")
    return v2.Compose([TRANSFORMS[name](flip_pairs) for name in names]) if names else None
