"""Boxes follow the pixels through every transform, and all that goes with a box stays with it."""

import pytest
import torch
from torchvision import tv_tensors

from tdt4265.data.transforms import RandomCrop, pipeline

HEIGHT, WIDTH = 128, 1024
ALL = ("crop", "flip", "contrast", "brightness")
# x1, y1, x2, y2 on whole pixels; each object is painted in a channel of its own.
BOXES = torch.tensor([[100, 40, 180, 90], [400, 20, 460, 60], [800, 60, 1000, 120]])


def sample(masks: bool = False) -> tuple[tv_tensors.Image, dict]:
    """A black picture with three rectangles, and the target that says so; half of each box counts as its area."""
    image = torch.zeros(3, HEIGHT, WIDTH)
    drawn = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    for i, (x1, y1, x2, y2) in enumerate(BOXES.tolist()):
        image[i, y1:y2, x1:x2] = 0.5
        drawn[i, y1:y2, x1:x2] = 1
    boxes = BOXES.float()
    target = {
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(HEIGHT, WIDTH)),
        "labels": torch.tensor([1, 2, 3]),
        "image_id": 7,
        "area": (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 2,
        "iscrowd": torch.tensor([0, 1, 0]),
    }
    if masks:
        target["masks"] = tv_tensors.Mask(drawn)
    return tv_tensors.Image(image), target


def empty() -> tuple[tv_tensors.Image, dict]:
    image, target = sample(masks=True)
    none = {key: value[:0] for key, value in target.items() if key not in ("image_id", "boxes", "masks")}
    boxes = tv_tensors.wrap(target["boxes"][:0], like=target["boxes"])
    return image, {**none, "image_id": 7, "boxes": boxes, "masks": tv_tensors.Mask(target["masks"][:0])}


def found(channel: torch.Tensor) -> torch.Tensor:
    """The box of what is painted in a channel [H, W]: float [4], XYXY."""
    y, x = torch.where(channel > 0.25)
    return torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()


@pytest.mark.parametrize("names", [("flip",), ("crop",), ("crop", "flip")])
def test_boxes_follow_the_pixels(names):
    transform = pipeline(names)
    moved = lost = 0
    for seed in range(40):
        torch.manual_seed(seed)
        image, target = transform(*sample(masks=True))
        assert image.shape == (3, HEIGHT, WIDTH)
        lost += len(target["labels"]) < 3
        moved += not torch.equal(image, sample()[0])
        for box, label, mask in zip(target["boxes"], target["labels"], target["masks"], strict=True):
            # Half of the level is where the rim was; a mask's rim is off by half of an enlarged pixel, at most 1.7.
            box = box.as_subclass(torch.Tensor)
            torch.testing.assert_close(box, found(image[label - 1]), rtol=0, atol=1.01)
            torch.testing.assert_close(box, found(mask), rtol=0, atol=2.5)
    assert moved >= 10, "the transform hardly ever did anything"
    assert (lost > 0) == ("crop" in names)


def test_flip_mirrors_exactly():
    image, target = sample()
    torch.manual_seed(0)
    while torch.equal(flipped := (result := pipeline(("flip",))(image, target))[0], image):
        pass
    torch.testing.assert_close(flipped, image.flip(-1))
    x1, y1, x2, y2 = BOXES.float().unbind(1)
    mirrored = torch.stack([WIDTH - x2, y1, WIDTH - x1, y2], 1)
    torch.testing.assert_close(result[1]["boxes"].as_subclass(torch.Tensor), mirrored)


def test_all_that_goes_with_a_box_stays_with_it():
    transform = pipeline(ALL)
    for seed in range(30):
        torch.manual_seed(seed)
        _, target = transform(*sample(masks=True))
        assert target["image_id"] == 7
        assert target["iscrowd"].tolist() == [int(label == 2) for label in target["labels"]]
        assert type(target["boxes"]) is tv_tensors.BoundingBoxes and type(target["masks"]) is tv_tensors.Mask
        assert target["boxes"].canvas_size == (HEIGHT, WIDTH) and target["masks"].shape[1:] == (HEIGHT, WIDTH)
        dtypes = {key: value.dtype for key, value in target.items() if key != "image_id"}
        assert dtypes == {
            "boxes": torch.float32, "labels": torch.int64, "area": torch.float32, "iscrowd": torch.int64,
            "masks": torch.uint8,
        }  # fmt: skip
        x1, y1, x2, y2 = target["boxes"].as_subclass(torch.Tensor).unbind(1)
        torch.testing.assert_close(target["area"], (x2 - x1) * (y2 - y1) / 2)  # half of the box, as before
        inside = (x1 >= 0) & (y1 >= 0) & (x2 <= WIDTH) & (y2 <= HEIGHT) & (x2 - x1 >= 1) & (y2 - y1 >= 1)
        assert inside.all()


def test_crop_leaves_its_input_alone():
    image, target = sample(masks=True)
    torch.manual_seed(1)
    for _ in range(5):
        RandomCrop()(image, target)
    wanted_image, wanted = sample(masks=True)
    torch.testing.assert_close(image, wanted_image)
    torch.testing.assert_close(target, wanted)


def test_crop_keeps_an_object_and_the_shape_within_a_factor_of_two():
    for seed in range(40):
        torch.manual_seed(seed)
        _, target = RandomCrop()(*sample())
        assert len(target["labels"]) >= 1
        before = BOXES[target["labels"][0] - 1].float()
        x1, y1, x2, y2 = target["boxes"].as_subclass(torch.Tensor)[0]
        if min(x1, y1) > 0 and x2 < WIDTH and y2 < HEIGHT:  # wholly inside the crop: shows how much that was stretched
            stretch = (x2 - x1) / (before[2] - before[0]) / ((y2 - y1) / (before[3] - before[1]))
            assert 0.49 < stretch < 2.05


@pytest.mark.parametrize("seed", range(5))
def test_empty_targets(seed):
    torch.manual_seed(seed)
    image, target = pipeline(ALL)(*empty())
    assert image.shape == (3, HEIGHT, WIDTH)
    assert (target["boxes"].shape, target["boxes"].dtype) == ((0, 4), torch.float32)
    assert target["masks"].shape == (0, HEIGHT, WIDTH)
    assert all(len(target[key]) == 0 for key in ("labels", "area", "iscrowd"))


@pytest.mark.parametrize("name", ["contrast", "brightness"])
def test_photometric_transforms_change_pixels_frame_by_frame_and_nothing_else(name):
    torch.manual_seed(0)
    transform = pipeline((name,))
    image, target = sample()
    results = [transform(image, target) for _ in range(40)]
    assert all(torch.equal(changed[1]["boxes"], target["boxes"]) for changed in results)
    assert all(changed[0].dtype == torch.float32 for changed in results)
    assert all(0 <= changed[0].min() and changed[0].max() <= 1 for changed in results)
    levels = {round(changed[0][0, 50, 150].item(), 4) for changed in results}
    assert 10 < len(levels) < 35  # another factor each time, and none in half of the frames
    assert 0.5 in levels


def test_no_names_is_no_transform_and_unknown_names_are_refused():
    assert pipeline(()) is None
    with pytest.raises(ValueError, match="unknown transform 'rotate': choose among crop, flip, contrast, brightness, roll"):
        pipeline(("flip", "rotate"))
