"""A detector on a ring: turned images give turned answers, and an object across the seam is one."""

import pytest
import torch
from torch import nn
from torchvision.ops import batched_nms, box_iou

from tdt4265.models import RingDetector
from tdt4265.models.ring_detector import close_ring
from tdt4265.recipes import ALL_RECIPES
from tdt4265.ring import ring_iou, ring_nms, roll, split_at_seam

WIDTH = 512


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    plain = ALL_RECIPES["initialization-paper"].small().build_model(num_classes=4)
    # Untrained, it would say nothing. With larger weights some anchors speak, few enough that no limit cuts them off.
    nn.init.normal_(plain.head.classification[0][-1].weight, std=0.05)
    nn.init.normal_(plain.head.regression[0][-1].weight, std=0.1)
    parts = plain.backbone, plain.pyramid, plain.head, plain.anchors, plain.loss
    return RingDetector(*parts, 4, score_thresh=0.1, detections_per_img=1000).eval()


@pytest.fixture(scope="module")
def image():
    return torch.rand(3, 128, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layer", [nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 7, 2, 3), nn.MaxPool2d(3, 2, 1)])
def test_a_layer_finds_the_other_side(layer):
    x = torch.rand(1, 2, 8, 16)
    wide = torch.cat([x] * 3, dim=-1)  # in the middle of three copies no edge is near
    wanted = layer(wide)
    columns = wanted.shape[-1] // 3
    close_ring(holder := nn.Sequential(layer))
    got = holder(x)
    assert got.shape[-1] == columns
    torch.testing.assert_close(got, wanted[..., columns : 2 * columns])
    torch.testing.assert_close(holder(x.roll(4, -1)), got.roll(4 * columns // 16, -1))


@torch.no_grad()
@pytest.mark.parametrize("turns", [1, 3])
def test_answers_turn_with_the_image(detector, image, turns):
    """By a multiple of the coarsest stride: features, logits, and in the end detections, to rounding."""
    columns = turns * max(detector.anchors.strides)
    straight, turned = detector.outputs([image]), detector.outputs([image.roll(columns, -1)])
    for one, other, stride in zip(straight.features, turned.features, detector.anchors.strides, strict=True):
        torch.testing.assert_close(one.roll(columns // stride, -1), other, rtol=1e-4, atol=1e-4)
    (one,), (other,) = detector.whole([image]), detector.whole([image.roll(columns, -1)])
    assert len(one["boxes"]) == len(other["boxes"]) > 20
    x1 = (one["boxes"][:, 0] + columns) % WIDTH
    moved = torch.stack([x1, one["boxes"][:, 1], x1 + one["boxes"][:, 2] - one["boxes"][:, 0], one["boxes"][:, 3]], 1)
    same = (one["labels"][:, None] == other["labels"]) & ((one["scores"][:, None] - other["scores"]).abs() < 1e-3)
    assert (torch.where(same, ring_iou(moved, other["boxes"], WIDTH), 0).amax(1) > 0.99).all()
    assert (moved[:, 2] > WIDTH).any() and (one["boxes"][:, 2] > WIDTH).any()  # some lie across the seam, both times


@torch.no_grad()
def test_a_plain_detector_does_not_turn(image):
    torch.manual_seed(0)
    plain = ALL_RECIPES["initialization-paper"].small().build_model(num_classes=4).eval()
    one, other = plain.features([image])[0], plain.features([image.roll(128, -1)])[0]
    assert (one.roll(32, -1) - other).abs().max() > 0.01


def test_targets_turn_with_the_image(detector, image):
    target = {
        "boxes": torch.tensor([[10.0, 40, 60, 90], [300, 20, 330, 60], [500, 70, 512, 100], [0, 70, 20, 100]]),
        "labels": torch.tensor([1, 2, 3, 3]),  # the last two are one object, cut by the seam
        "area": torch.ones(4),
        "iscrowd": torch.zeros(4, dtype=torch.int64),
    }
    shapes = detector.anchors.grid_shapes((128, WIDTH))
    anchors = detector.anchors(shapes)
    assert detector.anchors.image_size(anchors)[1] == WIDTH
    labels, offsets = detector.assign([target], anchors)
    assert set(labels.unique().tolist()) == {0, 1, 2, 3} and labels.shape == (1, len(anchors))
    decoded = detector._boxes(offsets[labels > 0], anchors[labels[0] > 0], (128, WIDTH))
    wanted = torch.tensor([[10.0, 40, 60, 90], [300, 20, 330, 60], [500, 70, 532, 100]])
    assert (ring_iou(decoded, wanted, WIDTH).amax(1) > 0.999).all()  # each offset leads to a whole object
    _, turned = roll(image, target, 128)
    turned_labels, turned_offsets = detector.assign([turned], anchors)
    start = 0
    for (rows, columns), stride in zip(shapes, detector.anchors.strides, strict=True):
        end = start + rows * columns * 6
        for one, other in ((labels, turned_labels), (offsets, turned_offsets)):
            grid, moved = (x[0, start:end].reshape(rows, columns, -1) for x in (one, other))
            torch.testing.assert_close(grid.roll(128 // stride, 1), moved, rtol=1e-4, atol=1e-4)
        start = end


def test_losses_are_finite_also_without_boxes(detector, image):
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    one = {"boxes": torch.tensor([[500.0, 70, 512, 100]]), "labels": torch.tensor([3])}
    losses = detector.train()([image, image], [none, one])
    detector.eval()
    assert all(value.isfinite() for value in losses.values())


@torch.no_grad()
def test_detections_have_two_boxes_at_the_seam(detector, image):
    (whole,), (found,) = detector.whole([image]), detector([image])
    across = whole["boxes"][:, 2] > WIDTH
    assert across.any() and (found["boxes"][:, 2] <= WIDTH).all() and (found["boxes"][:, 0] >= 0).all()
    assert len(found["boxes"]) == len(split_at_seam(whole, WIDTH)["boxes"]) > len(whole["boxes"])
    assert (found["scores"][:-1] >= found["scores"][1:]).all()


def test_images_that_are_no_ring_are_refused(detector):
    with pytest.raises(ValueError, match=r"images of width \[500\]: a ring is one multiple of 128 columns wide"):
        detector([torch.rand(3, 128, 500)])
    with pytest.raises(ValueError, match=r"images of width \[256, 512\]"):
        detector([torch.rand(3, 128, 512), torch.rand(3, 128, 256)])


def test_split_at_seam():
    boxes = torch.tensor([[500.0, 1, 540, 9], [511.5, 1, 520, 9], [5, 1, 9, 9]])
    found = {"boxes": boxes, "labels": torch.tensor([1, 2, 3])}
    parts = split_at_seam(found, WIDTH)
    assert parts["boxes"].tolist() == [[500, 1, 512, 9], [0, 1, 28, 9], [0, 1, 8, 9], [5, 1, 9, 9]]
    assert parts["labels"].tolist() == [1, 1, 2, 3]


def test_suppression_is_torchvisions_but_around_the_ring():
    generator = torch.Generator().manual_seed(0)
    corner = 200 * torch.rand(300, 2, generator=generator)
    boxes = torch.cat([corner, corner + 5 + 40 * torch.rand(300, 2, generator=generator)], dim=1)
    scores, labels = torch.rand(300, generator=generator), torch.randint(3, (300,), generator=generator)
    assert torch.equal(ring_nms(boxes, scores, labels, 0.5, WIDTH), batched_nms(boxes, scores, labels, 0.5))
    torch.testing.assert_close(ring_iou(boxes, boxes, WIDTH), box_iou(boxes, boxes))
    seam = torch.tensor([[500.0, 0, 530, 10], [0, 0, 18, 10], [-12, 0, 18, 10]])
    assert ring_iou(seam[:1], seam, WIDTH).tolist()[0] == pytest.approx([1, 0.6, 1])
    assert ring_nms(seam[:2], torch.tensor([0.8, 0.9]), torch.tensor([1, 1]), 0.5, WIDTH).tolist() == [1]
