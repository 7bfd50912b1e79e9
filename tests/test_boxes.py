"""Coding and matching against torchvision's coder and matcher, and against a matcher written as loops."""

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder, SSDMatcher
from torchvision.ops import box_iou

from tdt4265.boxes import anchor_targets, decode, encode, iou, match, pad_boxes
from tdt4265.recipes import SSD_ANCHORS

ANCHORS = SSD_ANCHORS(SSD_ANCHORS.grid_shapes((128, 256)))


def random_boxes(*shape, seed=0, high=(256.0, 128.0)):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(*shape, 2, generator=generator) * torch.tensor(high) * 0.8
    size = 2 + 50 * torch.rand(*shape, 2, generator=generator) ** 2
    return torch.cat([corner, corner + size], dim=-1)


def match_one(anchors, boxes, threshold=0.5):
    return match(anchors, *pad_boxes([boxes]), threshold)[0]


def match_by_loops(anchors, boxes, threshold=0.5):
    """`match` for one image, one anchor and one box at a time."""
    overlap = box_iou(boxes, anchors)
    matched = torch.full((len(anchors),), -1)
    for n in range(len(anchors)):
        if len(boxes) and overlap[:, n].max() >= threshold:
            matched[n] = overlap[:, n].argmax()
    waiting, taken = list(range(len(boxes))), set()
    while waiting:
        bids = {}
        for g in list(waiting):
            free = overlap[g].clone()
            free[list(taken)] = -1
            n = int(free.argmax())
            if free[n] <= 0:
                waiting.remove(g)
            else:
                bids.setdefault(n, []).append((-float(free[n]), g))
        for n, bidders in bids.items():
            _, g = min(bidders)
            matched[n] = g
            taken.add(n)
            waiting.remove(g)
    return matched


def test_coding_equals_torchvision():
    coder = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
    boxes = random_boxes(len(ANCHORS))
    offsets = encode(boxes, ANCHORS)
    torch.testing.assert_close(offsets, coder.encode_single(boxes, ANCHORS))
    offsets = 3 * torch.randn(len(ANCHORS), 4, generator=torch.Generator().manual_seed(1))
    offsets[:50, 2:] = 1000  # as wide as the clamp allows
    torch.testing.assert_close(decode(offsets, ANCHORS), coder.decode_single(offsets, ANCHORS), rtol=1e-5, atol=1e-4)
    assert decode(offsets, ANCHORS).isfinite().all()


def test_coding_by_hand():
    anchor, box = torch.tensor([10.0, 10, 30, 20]), torch.tensor([14.0, 9, 34, 29])
    # The centre moves by 4 of 20 and by 4 of 10; the height doubles.
    wanted = torch.tensor([4 / 20 / 0.1, 4 / 10 / 0.1, 0, torch.log(torch.tensor(2.0)) / 0.2])
    torch.testing.assert_close(encode(box, anchor), wanted)
    torch.testing.assert_close(decode(wanted, anchor), box)


def test_decoding_computes_in_float32_whatever_it_is_given():
    offsets = encode(random_boxes(len(ANCHORS)), ANCHORS).half()
    decoded = decode(offsets, ANCHORS)
    assert decoded.dtype == torch.float32
    torch.testing.assert_close(decoded, decode(offsets.float(), ANCHORS), rtol=0, atol=0)


def test_iou_equals_torchvision():
    boxes = random_boxes(3, 5)
    torch.testing.assert_close(iou(boxes, ANCHORS), torch.stack([box_iou(b, ANCHORS) for b in boxes]))


@pytest.mark.parametrize("seed", range(8))
def test_matching_equals_torchvision_where_no_two_boxes_compete(seed):
    boxes = random_boxes(12, seed=seed)
    overlap = box_iou(boxes, ANCHORS)
    best = overlap.argmax(dim=1).tolist()
    boxes = boxes[[i for i, n in enumerate(best) if best.index(n) == i]]
    torch.testing.assert_close(match_one(ANCHORS, boxes), SSDMatcher(0.5)(box_iou(boxes, ANCHORS)))


def test_matching_equals_loops_also_when_boxes_compete_and_tie():
    anchors = torch.cat([ANCHORS[::37], ANCHORS[::37]])  # each anchor twice: ties everywhere
    boxes = random_boxes(20, high=(40.0, 40.0))
    boxes = torch.cat([boxes, boxes[:6]])  # six boxes twice: they compete for all they touch
    assert torch.equal(match_one(anchors, boxes), match_by_loops(anchors, boxes))


def test_no_box_loses_its_anchor_to_a_later_one():
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 20, 10, 30], [0, 5, 10, 15]])
    boxes = torch.tensor([[0.0, 0, 10, 11], [0, 0, 10, 9.5], [0, 1, 10, 7]])  # all three like the first anchor best
    assert box_iou(boxes, anchors).argmax(dim=1).tolist() == [0, 0, 0]
    assert SSDMatcher(0.5)(box_iou(boxes, anchors)).tolist() == [2, -1, -1]  # torchvision: the last one has it
    # Ours: the second (IoU 0.95) has it, the first takes the third anchor, and the third box finds none it touches.
    assert match_one(anchors, boxes).tolist() == [1, -1, 0]


def test_every_box_has_an_anchor():
    boxes = random_boxes(40)
    boxes[:10, 2:] = boxes[:10, :2] + 2  # far too small for any anchor to reach 0.5
    matched = match_one(ANCHORS, boxes)
    assert set(range(40)) <= set(matched.tolist())


def test_images_are_matched_independently_and_padding_is_ignored():
    images = [random_boxes(7, seed=1), torch.zeros(0, 4), random_boxes(1, seed=2)]
    boxes, valid = pad_boxes(images)
    assert boxes.shape == (3, 7, 4) and valid.sum(dim=1).tolist() == [7, 0, 1]
    matched = match(ANCHORS, boxes, valid)
    assert (matched[1] == -1).all()
    for one, many in zip(images, matched, strict=True):
        assert torch.equal(match_one(ANCHORS, one), many)


def test_no_boxes_at_all():
    boxes, valid = pad_boxes([torch.zeros(0, 4), torch.zeros(0, 4)])
    matched = match(ANCHORS, boxes, valid)
    assert matched.shape == (2, len(ANCHORS)) and (matched == -1).all()
    labels, offsets = anchor_targets(matched, boxes, torch.zeros(2, 0, dtype=torch.int64), ANCHORS)
    assert not labels.any() and not offsets.any()


def test_anchor_targets_lead_back_to_the_boxes():
    images = [random_boxes(5, seed=3), random_boxes(2, seed=4)]
    boxes, valid = pad_boxes(images)
    labels = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 0, 0, 0]])
    matched = match(ANCHORS, boxes, valid)
    target_labels, target_offsets = anchor_targets(matched, boxes, labels, ANCHORS)
    for i in range(2):
        positive = matched[i] >= 0
        box = matched[i, positive]
        assert torch.equal(target_labels[i, positive], labels[i, box]) and not target_labels[i, ~positive].any()
        torch.testing.assert_close(decode(target_offsets[i, positive], ANCHORS[positive]), boxes[i, box])
        assert not target_offsets[i, ~positive].any()
