"""Rules of matching against loops over boxes and anchors."""

import pytest
import torch
from torchvision.ops import box_iou

from tdt4265.anchors import Anchors, in_proportion
from tdt4265.boxes import IGNORED, anchor_targets, match, pad_boxes
from tdt4265.matching import ATSS, IgnoreBand
from tdt4265.recipes import ALL_RECIPES

SIZE = (64, 128)
ANCHORS = in_proportion((4, 8, 16), ((2, 2), (4, 1.5)))
RULES = [IgnoreBand(), ATSS()]


def some_boxes(seed, number):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(number, 2, generator=generator) * torch.tensor([100.0, 40.0])
    return torch.cat([corner, corner + 2 + 30 * torch.rand(number, 2, generator=generator)], dim=1)


def run(rule, boxes, anchors=ANCHORS):
    shapes = anchors.grid_shapes(SIZE)
    padded, valid = pad_boxes(boxes)
    cells = [rows * columns for rows, columns in shapes]
    return rule(anchors(shapes), padded, valid, cells, anchors.num_anchors_per_location())


def own_anchors_by_loop(matched, quality):
    """Every box its best anchor, the better pair first."""
    quality = quality.clone()
    waiting = set(range(len(quality)))
    while waiting and quality.max() > 0:
        box, anchor = divmod(int(quality.argmax()), quality.shape[1])
        if box in waiting:
            matched[anchor] = box
            waiting.discard(box)
            quality[:, anchor] = -1
        quality[box] = -1
    return matched


def band_by_loop(boxes, anchors):
    quality = box_iou(boxes, anchors)
    matched = torch.full((len(anchors),), -1)
    for anchor, column in enumerate(quality.T):
        best, box = column.max(dim=0)
        matched[anchor] = box if best >= 0.5 else (IGNORED if best >= 0.4 else -1)
    return own_anchors_by_loop(matched, quality)


def atss_by_loop(boxes, anchors, levels, nearest=9):
    """Algorithm 1, line by line. levels: (first anchor, cells, anchors a cell)."""
    quality = box_iou(boxes, anchors)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    chosen = torch.full_like(quality, -1)
    for g, box in enumerate(boxes):
        candidates = []
        for first, cells, per_cell in levels:
            of_cell = centres[first : first + cells * per_cell : per_cell]
            distance = (of_cell - (box[:2] + box[2:]) / 2).norm(dim=1)
            for cell in distance.argsort()[:nearest].tolist():
                candidates += [first + cell * per_cell + kind for kind in range(per_cell)]
        ious = quality[g, candidates]
        threshold = ious.mean() + ious.std()
        for anchor in candidates:
            x, y = centres[anchor]
            if quality[g, anchor] >= threshold and box[0] < x < box[2] and box[1] < y < box[3]:
                chosen[g, anchor] = quality[g, anchor]
    matched = torch.where(chosen.amax(dim=0) > 0, chosen.argmax(dim=0), -1)
    return own_anchors_by_loop(matched, quality)


@pytest.mark.parametrize("seed", range(5))
def test_each_rule_against_a_loop(seed):
    boxes = [some_boxes(seed, 7), some_boxes(seed + 100, 3)]  # of different number: padding takes no part
    shapes = ANCHORS.grid_shapes(SIZE)
    anchors, levels, first = ANCHORS(shapes), [], 0
    for (rows, columns), per_cell in zip(shapes, ANCHORS.num_anchors_per_location(), strict=True):
        levels.append((first, rows * columns, per_cell))
        first += rows * columns * per_cell
    for rule, loop in ((IgnoreBand(), band_by_loop), (ATSS(), lambda b, a: atss_by_loop(b, a, levels))):
        found = run(rule, boxes)
        for one, wanted in zip(found, boxes, strict=True):
            torch.testing.assert_close(one, loop(wanted, anchors))


def test_the_band_only_takes_from_the_background():
    boxes = [some_boxes(3, 9)]
    padded, valid = pad_boxes(boxes)
    plain = match(ANCHORS(ANCHORS.grid_shapes(SIZE)), padded, valid)
    banded = run(IgnoreBand(), boxes)
    assert (banded == IGNORED).any()
    assert torch.equal(banded[plain >= 0], plain[plain >= 0]) and (plain[banded == IGNORED] == -1).all()


@pytest.mark.parametrize("rule", RULES)
def test_every_box_has_an_anchor(rule):
    boxes = [some_boxes(seed, 12) for seed in range(3)]
    boxes[1] = torch.tensor([[10.0, 10, 11, 11], [10.0, 10, 11, 11], [0, 0, 128, 64]])  # tiny ones, twice the same
    for one, wanted in zip(run(rule, boxes), boxes, strict=True):
        assert set(one[one >= 0].tolist()) == set(range(len(wanted)))


@pytest.mark.parametrize("rule", RULES)
def test_no_boxes_no_objects(rule):
    found = run(rule, [torch.empty(0, 4), torch.empty(0, 4)])
    assert (found == -1).all()
    mixed = run(rule, [torch.empty(0, 4), some_boxes(0, 2)])
    assert (mixed[0] == -1).all() and (mixed[1] >= 0).any()


def test_ignored_anchors_have_a_label_of_their_own():
    matched = torch.tensor([[-1, 0, IGNORED]])
    boxes = torch.tensor([[[0.0, 0, 4, 4]]])
    anchors = torch.tensor([[8.0, 8, 12, 12], [0, 0, 4, 4], [0, 1, 4, 6]])
    labels, offsets = anchor_targets(matched, boxes, torch.tensor([[5]]), anchors)
    assert labels.tolist() == [[0, 5, -1]] and not offsets.any()


@pytest.mark.parametrize("name", ["anchor_tuning-atss", "anchor_tuning-band"])
def test_a_detector_trains_by_a_rule(name):
    torch.manual_seed(0)
    detector = ALL_RECIPES[name].small().build_model(num_classes=4, pretrained=False)
    images = [torch.rand(3, 128, 256), torch.rand(3, 128, 200)]
    target = {"boxes": torch.tensor([[20.0, 30, 60, 70]]), "labels": torch.tensor([2])}
    empty = {"boxes": torch.empty(0, 4), "labels": torch.empty(0, dtype=torch.int64)}
    labels, _ = detector.assign([target, empty], detector.outputs(images).anchors)
    assert (labels[0] == 2).sum() > 1 and not labels[1].any()
    assert (labels[0] == -1).any() == (name == "anchor_tuning-band")
    losses = detector(images, [target, empty])
    assert all(torch.isfinite(value) for value in losses.values())


@pytest.mark.parametrize("size", [(128, 1024), (128, 384), (256, 128)])
def test_anchors_tell_the_size_of_their_image(size):
    anchors = ALL_RECIPES["anchor_tuning"].anchors
    assert anchors.image_size(anchors(anchors.grid_shapes(size))) == size


def test_strides_that_no_convolution_has_are_rounded_to_the_nearest():
    anchors = Anchors((3.27, 6.83, 8), (((4, 4),), ((8, 8),), ((9, 9),)))
    assert anchors.grid_shapes((128, 1024)) == [(39, 313), (19, 150), (16, 128)]
    assert anchors.grid_shapes((1, 1)) == [(1, 1)] * 3
    assert Anchors((8,), (((4, 4),),)).grid_shapes((20, 33)) == [(3, 5)]  # rounded up
