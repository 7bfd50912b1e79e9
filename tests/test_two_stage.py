"""Faster R-CNN on the course's parts: torchvision's contract, its proposals' anchors, and that nothing is resized."""

from dataclasses import replace

import pytest
import torch
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from tdt4265.anchors import Anchors
from tdt4265.models import FPN, ResNet, faster_rcnn, group_norm
from tdt4265.models.detector import IMAGE_MEAN, IMAGE_STD
from tdt4265.recipes import ALL_RECIPES

RECIPE = ALL_RECIPES["faster_rcnn"]
BOXES = torch.tensor([[10.0, 20, 30, 60], [60, 70, 110, 90]])
TARGET = {"boxes": BOXES, "labels": torch.tensor([1, 2])}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return RECIPE.small().build_model(num_classes=3)


def test_contract(model):
    assert isinstance(model, FasterRCNN)
    images = [torch.rand(3, 128, 256), torch.rand(3, 96, 100)]
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = model(images, [TARGET, none])
    assert sorted(losses) == ["loss_box_reg", "loss_classifier", "loss_objectness", "loss_rpn_box_reg"]
    assert all(loss.isfinite() for loss in losses.values())
    with torch.no_grad():
        detections = model.eval()(images)
    for one, image in zip(detections, images, strict=True):
        assert {*one} == {"boxes", "labels", "scores"} and one["labels"].dtype == torch.int64
        assert (one["scores"][:-1] >= one["scores"][1:]).all()
        assert (one["boxes"] >= 0).all() and (one["boxes"][:, 2] <= image.shape[2]).all()


@pytest.mark.parametrize("training", [True, False])
def test_images_are_normalised_and_padded_but_not_resized(model, training):
    image = torch.rand(3, 96, 300)
    batch, targets = model.transform.train(training)([image], [TARGET])
    assert batch.tensors.shape == (1, 3, 128, 384) and batch.image_sizes == [(96, 300)]
    mean, std = torch.tensor(IMAGE_MEAN).view(3, 1, 1), torch.tensor(IMAGE_STD).view(3, 1, 1)
    torch.testing.assert_close(batch.tensors[0, :, :96, :300], (image - mean) / std)
    assert torch.equal(targets[0]["boxes"], BOXES)


@torch.no_grad()
def test_regions_are_pooled_at_the_strides_whatever_comes_first(model):
    model.eval()([torch.rand(3, 150, 200)])  # padded to 256 rows
    pool = model.roi_heads.box_roi_pool
    assert pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    assert (pool.map_levels.k_min, pool.map_levels.k_max) == (2, 5)


def test_proposals_start_from_the_courses_anchors(model):
    images = ImageList(torch.zeros(2, 3, 128, 256), [(128, 256), (100, 200)])
    features = list(model.backbone(images.tensors).values())
    assert [tuple(x.shape[-2:]) for x in features] == RECIPE.anchors.grid_shapes((128, 256))
    one, other = model.rpn.anchor_generator(images, features)
    assert torch.equal(one, RECIPE.anchors(RECIPE.anchors.grid_shapes((128, 256)))) and other is one
    assert len(one) == RECIPE.anchors.count((128, 256))


def test_learns_one_frame():
    torch.manual_seed(0)
    backbone = ResNet(10, (16, 16, 16, 16), (16, 16), group_norm)
    pyramid = FPN(backbone.out_channels, 16)
    model = faster_rcnn(backbone, pyramid, RECIPE.anchors, num_classes=3, representation=32)
    image = torch.zeros(3, 128, 128)
    image[:, 20:60, 10:30], image[0, 70:90, 60:110] = 1.0, 1.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(80):
        loss = sum(model([image], [TARGET]).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    (found,) = model.eval()([image])
    for box, label in zip(BOXES, TARGET["labels"], strict=True):
        best = found["boxes"][found["labels"] == label][0]
        assert box_iou(best[None], box[None]) > 0.7


def test_a_pyramid_is_needed():
    with pytest.raises(ValueError, match="faster_rcnn: a two-stage detector needs a pyramid"):
        replace(RECIPE.small(), pyramid=None).build_model()


def test_anchors_that_do_not_fit_are_refused():
    strides = (8, 16, 32, 64, 128, 256)
    with pytest.raises(ValueError, match=r"anchors of strides \[8, .* on features of strides \[4, "):
        replace(RECIPE.small(), anchors=replace(RECIPE.anchors, strides=strides)).build_model()
    sizes = (((8, 8),),) * 5 + (((8, 8), (16, 16)),)
    with pytest.raises(ValueError, match=r"one head .* on all levels, but a cell has \[1, 1, 1, 1, 1, 2\] anchors"):
        replace(RECIPE.small(), anchors=Anchors(RECIPE.anchors.strides, sizes)).build_model()
