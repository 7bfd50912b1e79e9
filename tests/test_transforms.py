"""Boxes follow the pixels through every transform, and all that goes with a box stays with it."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from tdt4265.data.transforms import QuickIoUCrop, RandomCrop, pipeline
from tdt4265.ring import join_at_seam, roll

HEIGHT, WIDTH = 128, 1024
ALL = ("roll", "crop", "flip", "contrast", "brightness")
# x1, y1, x2, y2 on whole pixels; each object is painted in a channel of its own.
BOXES = torch.tensor([[100, 40, 180, 90], [400, 20, 460, 60], [800, 60, 1000, 120]])


def sample(masks: bool = False) -> tuple[tv_tensors.Image, dict]:
    """A black image with three rectangles, and the target that says so; half of each box counts as its area."""
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


def boxes_of(target: dict) -> list[list[float]]:
    return sorted(target["boxes"].tolist())


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


def test_crops_are_torchvision_s():
    """The same crops and the same number of random draws, from the same seed."""
    found = 0
    image, target = sample()
    for seed in range(60):
        drawn, states = [], []
        for crop in (v2.RandomIoUCrop, QuickIoUCrop):
            torch.manual_seed(seed)
            drawn.append(crop(min_aspect_ratio=4, max_aspect_ratio=16).make_params([image, target["boxes"]]))
            states.append(torch.get_rng_state())
        assert torch.equal(*states)
        inside = [params.pop("is_within_crop_area", torch.tensor([])) for params in drawn]
        assert drawn[0] == drawn[1]
        assert torch.equal(*inside)
        found += bool(drawn[0])
    assert found >= 20


def test_flip_mirrors_exactly():
    image, target = sample()
    torch.manual_seed(0)
    while torch.equal(flipped := (result := pipeline(("flip",))(image, target))[0], image):
        pass
    torch.testing.assert_close(flipped, image.flip(-1))
    x1, y1, x2, y2 = BOXES.float().unbind(1)
    mirrored = torch.stack([WIDTH - x2, y1, WIDTH - x1, y2], 1)
    torch.testing.assert_close(result[1]["boxes"].as_subclass(torch.Tensor), mirrored)


@pytest.mark.parametrize("columns", [1, 24, 300, 999, 1024, -1, -300, 5000])
def test_boxes_follow_the_pixels_around_the_ring(columns):
    before = sample(masks=True)
    image, target = roll(*before, columns)
    assert torch.equal(image, torch.roll(before[0], columns, dims=-1))
    for label in (1, 2, 3):
        painted = image[label - 1] > 0.25
        parts = target["labels"] == label
        covered = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
        for (x1, y1, x2, y2), mask in zip(target["boxes"][parts].int().tolist(), target["masks"][parts], strict=True):
            box = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
            box[y1:y2, x1:x2] = True
            assert torch.equal(mask.bool(), box & painted)
            assert not (covered & box).any()
            covered |= box
        assert torch.equal(covered, painted)
        # Half of a box counts as its area, of its parts too.
        assert target["area"][parts].sum() == painted.sum() / 2
    assert len(target["labels"]) == 3 + sum(painted_at_both_edges(channel) for channel in image)
    # Back again it is the very same image, and what was cut is whole.
    image, target = roll(image, target, -columns)
    assert torch.equal(image, before[0])
    assert boxes_of(target) == boxes_of(before[1])
    for box, mask in zip(target["boxes"].tolist(), target["masks"], strict=True):
        assert torch.equal(mask, before[1]["masks"][before[1]["boxes"].tolist().index(box)])


def with_keypoints() -> tuple[tv_tensors.Image, dict]:
    """Each object's points: its left edge, its right edge, both at half its height, and one that is not labelled."""
    image, target = sample(masks=True)
    x1, y1, x2, y2 = BOXES.float().unbind(1)
    middle, two = (y1 + y2) / 2, torch.full_like(x1, 2)
    points = [torch.stack([x1, middle, two], 1), torch.stack([x2 - 1, middle, two], 1), torch.zeros(3, 3)]
    return image, {**target, "keypoints": torch.stack(points, dim=1)}


def test_keypoints_are_mirrored_and_change_sides():
    torch.manual_seed(0)
    flip = pipeline(("flip",), flip_pairs=((0, 1),))
    image, before = with_keypoints()
    after = next(target for flipped, target in (flip(image, before) for _ in range(20)) if flipped is not image)
    x = before["keypoints"][..., 0]
    torch.testing.assert_close(after["keypoints"][:, 0, 0], WIDTH - 1 - x[:, 1])  # the right edge is the left one now
    torch.testing.assert_close(after["keypoints"][:, 1, 0], WIDTH - 1 - x[:, 0])
    flipped = v2.functional.horizontal_flip(image)
    for channel, points in zip(flipped, after["keypoints"][:, :2].long().tolist(), strict=True):
        for column, row, _ in points:
            assert channel[row, column] == 0.5 and (channel[row, [column - 1, column + 1]] == 0).any()  # on an edge
    assert torch.equal(after["keypoints"][..., 1:], before["keypoints"][..., 1:]) and not after["keypoints"][:, 2].any()


def test_keypoints_follow_the_crop():
    hidden = seen = 0
    for seed in range(60):
        torch.manual_seed(seed)
        _, target = RandomCrop()(*with_keypoints())
        assert "points" not in target and len(target["keypoints"]) == len(target["boxes"])
        for (x1, y1, x2, y2), points in zip(target["boxes"].tolist(), target["keypoints"].tolist(), strict=True):
            left, right, none = points
            assert none == [0, 0, 0]
            for point, edge in ((left, x1), (right, x2)):
                seen, hidden = seen + (point[2] > 0), hidden + (point[2] == 0)
                if point[2]:
                    assert abs(point[0] - edge) < 3.5 and y1 <= point[1] <= y2  # a pixel may be stretched to 3.3
                else:
                    assert point == [0, 0, 0]
    assert seen > 50 and hidden > 5  # both were met


@pytest.mark.parametrize("columns", [1, 24, 100, 300, -150, 5000])
def test_keypoints_go_around_the_ring_and_come_back(columns):
    before = with_keypoints()
    image, target = roll(*before, columns)
    for label in (1, 2, 3):
        parts = target["keypoints"][target["labels"] == label]
        wanted = (before[1]["keypoints"][label - 1, :2, 0] + columns) % WIDTH
        for point in (0, 1):
            (x,) = parts[parts[:, point, 2] > 0][:, point, 0].tolist()  # in one of the parts, and only there
            assert x == wanted[point]
        for box, own in zip(target["boxes"][target["labels"] == label], parts, strict=True):
            visible = own[own[:, 2] > 0]
            assert ((visible[:, 0] >= box[0]) & (visible[:, 0] <= box[2])).all()
    _, back = roll(image, target, -columns)
    order = back["boxes"].as_subclass(torch.Tensor)[:, 0].argsort()
    assert torch.equal(back["keypoints"][order], before[1]["keypoints"])


def test_keypoints_of_what_is_all_around_turn_too():
    image, target = with_keypoints()
    boxes = tv_tensors.wrap(torch.tensor([[0.0, 0, WIDTH, HEIGHT]]), like=target["boxes"])
    one = {key: value[:1] for key, value in target.items() if key in ("labels", "area", "iscrowd", "keypoints")}
    _, turned = roll(image, {**one, "boxes": boxes}, 950)
    x = with_keypoints()[1]["keypoints"][0, :2, 0]
    assert turned["keypoints"][0, :2, 0].tolist() == ((x + 950) % WIDTH).tolist()


def painted_at_both_edges(channel: torch.Tensor) -> bool:
    return bool((channel[:, 0] > 0).any() and (channel[:, -1] > 0).any())


def at_the_seam(boxes: list[list[float]], labels: list[int]) -> dict:
    like = tv_tensors.BoundingBoxes(torch.tensor(boxes), format="XYXY", canvas_size=(HEIGHT, WIDTH))
    area = torch.tensor([(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes])
    crowd = torch.zeros(len(boxes), dtype=torch.int64)
    return {"boxes": like, "labels": torch.tensor(labels), "area": area, "iscrowd": crowd, "image_id": 1}


@pytest.mark.parametrize(
    ("boxes", "labels", "joined"),
    [
        # Two halves, drawn a pixel apart: one, which reaches beyond the edge.
        ([[0, 50, 20, 90], [1000, 51, 1024, 90]], [1, 1], [[1000, 50, 1044, 90]]),
        ([[0, 50, 20, 90], [1000, 51, 1024, 90]], [1, 2], None),  # a car and a truck
        ([[0, 50, 20, 60], [1000, 56, 1024, 90]], [1, 1], None),  # share 4 of 40 rows
        ([[2, 50, 20, 90], [1000, 50, 1024, 90]], [1, 1], None),  # not at the edge
        ([[0, 50, 1024, 90], [1000, 50, 1024, 90]], [1, 1], None),  # one is the whole ring
        ([[0, 50, 600, 90], [500, 50, 1024, 90]], [1, 1], None),  # together longer than the ring
        ([[0, 50, 500, 90], [500, 50, 1024, 90]], [1, 1], None),  # or as long
        # Three at the left edge, two at the right: each has the partner it shares most rows with.
        (
            [[0, 10, 9, 30], [0, 50, 9, 90], [0, 100, 9, 120], [1010, 52, 1024, 90], [1020, 10, 1024, 28]],
            [1, 1, 1, 1, 1],
            [[0, 100, 9, 120], [1010, 50, 1033, 90], [1020, 10, 1033, 30]],
        ),
    ],
)
def test_halves_at_the_seam_are_one_object(boxes, labels, joined):
    boxes = [[float(value) for value in box] for box in boxes]
    target = at_the_seam(boxes, labels)
    result = join_at_seam(target, WIDTH)
    assert boxes_of(result) == (sorted(boxes) if joined is None else joined)
    assert result["area"].sum() == target["area"].sum()
    assert len(result["labels"]) == len(result["area"]) == len(result["iscrowd"]) == len(result["boxes"])
    assert boxes_of(target) == sorted(boxes), "the input was changed"


def test_roll_drops_slivers_but_no_object():
    target = at_the_seam([[10.0, 10.0, 30.5, 20.0], [40.0, 10.0, 40.75, 20.0]], [1, 2])
    image = tv_tensors.Image(torch.zeros(3, HEIGHT, WIDTH))
    assert boxes_of(roll(image, target, 994)[1]) == [[10.0, 10.0, 10.75, 20.0], [1004.0, 10.0, 1024.0, 20.0]]
    thin = at_the_seam([[10.0, 10.0, 11.2, 20.0]], [1])  # cut in the middle both parts are slivers
    thin["boxes"] = tv_tensors.wrap(thin["boxes"] + torch.tensor([0.4, 0, 0.4, 0]), like=target["boxes"])
    assert len(roll(image, thin, 1013)[1]["boxes"]) == 1


def test_a_crowd_and_an_object_are_not_one():
    target = at_the_seam([[0.0, 50, 20, 90], [1000, 50, 1024, 90]], [1, 1])
    target["iscrowd"] = torch.tensor([0, 1])
    assert len(join_at_seam(target, WIDTH)["boxes"]) == 2


def best_pairs_first(boxes, labels):
    """The pairs at the seam as the docstring has it: again and again the best of all that are left."""
    x1, y1, x2, y2 = boxes.T.tolist()
    pairs, taken = [], set()
    while True:
        found = [
            ((min(y2[r], y2[l]) - max(y1[r], y1[l])) / (max(y2[r], y2[l]) - min(y1[r], y1[l])), -r, -l)
            for r in range(len(boxes))
            for l in range(len(boxes))  # noqa: E741
            if x2[r] >= WIDTH - 1 and x1[r] > 1 and x1[l] <= 1 and x2[l] < WIDTH - 1 and x2[l] < x1[r]
            if labels[r] == labels[l] and not taken & {r, l}
        ]
        if not found or max(found)[0] < 0.5:
            return pairs
        pairs.append((-max(found)[1], -max(found)[2]))
        taken |= set(pairs[-1])


def crowd_at_the_seam(count, seed, share=1.0):
    """Boxes of two classes, a share of them at the seam."""
    torch.manual_seed(seed)
    x, size, y, height = torch.rand(4, count).mul(torch.tensor([[0.8], [0.1], [40], [8]])).add(0.01)
    x1, x2 = WIDTH * x, WIDTH * (x + size)
    side = torch.arange(count) % 2 == 0
    at = torch.rand(count) < share
    x1, x2 = torch.where(at & side, 0, x1), torch.where(at & side, WIDTH * size, x2)
    x1, x2 = torch.where(at & ~side, WIDTH * (1 - size), x1), torch.where(at & ~side, WIDTH, x2)
    labels, none = torch.randint(1, 3, (count,)), torch.zeros(count, dtype=torch.int64)
    return {"boxes": torch.stack([x1, y, x2, y + height], dim=1), "labels": labels, "iscrowd": none, "area": none}


@pytest.mark.parametrize("seed", range(5))
def test_the_best_pairs_at_the_seam_are_joined_first(seed):
    target = crowd_at_the_seam(40, seed)
    pairs = best_pairs_first(target["boxes"], target["labels"])
    assert len(pairs) > 3
    left = [i for i in range(40) if i not in {theirs for _, theirs in pairs}]
    wanted = target["boxes"].clone()
    for ours, theirs in pairs:
        (_, y1, _, y2), (_, top, x2, bottom) = target["boxes"][ours], target["boxes"][theirs]
        wanted[ours, 1:] = torch.stack([torch.minimum(y1, top), WIDTH + x2, torch.maximum(y2, bottom)])
    assert torch.equal(join_at_seam(target, WIDTH)["boxes"], wanted[left])


def test_many_boxes_are_joined_at_the_seam():
    """A table of all pairs of these would be 10 GB."""
    target = crowd_at_the_seam(50_000, 0, share=0.01)
    joined = join_at_seam(target, WIDTH)["boxes"]
    assert 100 < (joined[:, 2] > WIDTH).sum() == 50_000 - len(joined)


def test_a_mask_larger_than_its_box_is_kept_unless_the_seam_cuts_it():
    image, target = sample(masks=True)
    target["masks"] = tv_tensors.Mask(target["masks"].roll(-1, dims=-1) | target["masks"])  # a column beside each box
    for columns in (0, 10):
        turned = roll(image, target, columns)[1]["masks"]
        assert torch.equal(turned.as_subclass(torch.Tensor), target["masks"].roll(columns, dims=-1))


def test_every_turn_is_drawn():
    turns = set()
    for seed in range(60):
        torch.manual_seed(seed)
        image, _ = pipeline(("roll",))(*sample())
        turns.add(int((image[0, 60] > 0).nonzero()[0]) // 256)
    assert turns == {0, 1, 2, 3}


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
    names = "crop, flip, contrast, brightness, roll"
    with pytest.raises(ValueError, match=f"^unknown transform 'rotate': choose among {names}$"):
        pipeline(("flip", "rotate"))
