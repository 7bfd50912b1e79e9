"""Faster R-CNN on the course's parts: torchvision's contract, its proposals' anchors, and that nothing is resized."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes
from torchvision.ops import box_iou, roi_pool

from tdt4265 import data, train
from tdt4265.anchors import Anchors
from tdt4265.models import FPN, ResNet, faster_rcnn, group_norm
from tdt4265.models.detector import IMAGE_MEAN, IMAGE_STD
from tdt4265.models.two_stage import CompetingPredictor, MultiScaleRoIPool, paste_masks
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


def test_training_draws_regions_from_as_many_proposals_as_the_recipe_says():
    whole, small = (recipe.build_model(num_classes=3, pretrained=False) for recipe in (RECIPE, RECIPE.small()))
    reference = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    for detector, proposals, regions in ((whole, 2000, 512), (small, 500, 128), (reference, 2000, 512)):
        detector.rpn.train()
        assert detector.rpn.pre_nms_top_n() == detector.rpn.post_nms_top_n() == proposals
        assert detector.roi_heads.fg_bg_sampler.batch_size_per_image == regions
        detector.rpn.eval()
        assert detector.rpn.pre_nms_top_n() == detector.rpn.post_nms_top_n() == 1000


def test_proposals_are_as_precise_under_autocast():
    """bfloat16 has no number between 900 and 904: a box of that width there would have none, and its loss be NaN."""
    torch.manual_seed(0)
    model = RECIPE.small().build_model(num_classes=3).train()
    images, box = [torch.rand(3, 128, 1024)], torch.tensor([[900.6, 40, 903.3, 49]])
    proposed = []
    model.rpn.register_forward_hook(lambda module, inputs, output: proposed.extend(output[0]))
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(images, [{"boxes": box, "labels": torch.tensor([1])}])
    assert all(loss.isfinite() for loss in losses.values())
    (boxes,) = proposed
    assert boxes.dtype == torch.float32
    right = boxes[boxes[:, 0] > 512, 0]
    assert (right % 4 != 0).float().mean() > 0.9


def test_learns_one_frame():
    torch.manual_seed(0)
    backbone = ResNet(10, (16, 16, 16, 16), (16, 16), group_norm)
    pyramid = FPN(backbone.out_channels, 16)
    model = faster_rcnn(backbone, pyramid, RECIPE.anchors, num_classes=3, representation=32)
    image = torch.zeros(3, 128, 128)
    image[:, 20:60, 10:30], image[0, 70:90, 60:110] = 1.0, 1.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(160):
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


# Masks and keypoints --------------------------------------------------------------------------------------------------


def test_the_branches_are_torchvisions():
    """At the size of the paper's they have the parameters of torchvision's own Mask and Keypoint R-CNN."""
    references = {
        "mask_rcnn": torchvision.models.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None),
        "keypoint_rcnn": torchvision.models.detection.keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None),
    }
    for name, reference in references.items():
        ours = ALL_RECIPES[name].build_model(num_classes=91, pretrained=False).roi_heads
        for part in ("mask", "keypoint"):
            for kind in ("head", "predictor"):
                own, theirs = (getattr(heads, f"{part}_{kind}") for heads in (ours, reference.roi_heads))
                assert (own is None) == (theirs is None)
                if own is not None:
                    shapes = [tuple(value.shape) for value in theirs.state_dict().values()]
                    assert [tuple(value.shape) for value in own.state_dict().values()] == shapes


@pytest.mark.parametrize(
    ("name", "trunk", "reference"),
    [("faster_rcnn-resnet50", 23_508_032, "resnet50"), ("faster_rcnn-resnext101", 86_742_336, "resnext101_32x8d")],
)
def test_larger_trunks_are_torchvisions(name, trunk, reference):
    model = ALL_RECIPES[name].build_model(num_classes=9, pretrained=False)
    parameters = {key: value.numel() for key, value in model.backbone.backbone.trunk.named_parameters()}
    theirs = getattr(torchvision.models, reference)()
    assert sum(parameters.values()) == trunk == sum(p.numel() for p in theirs.parameters()) - 2049 * 1000
    losses = model([torch.rand(3, 128, 256)], [TARGET])
    assert sum(losses.values()).isfinite()


def test_masks_contract():
    model = ALL_RECIPES["mask_rcnn"].small().build_model(num_classes=3)
    images = [torch.rand(3, 96, 300)]
    masks = torch.zeros(2, 96, 300, dtype=torch.uint8)
    masks[0, 20:60, 10:30], masks[1, 70:90, 60:110] = 1, 1
    losses = model(images, [TARGET | {"masks": masks}])
    assert "loss_mask" in losses and sum(losses.values()).isfinite()
    model.roi_heads.score_thresh = 0.0
    with torch.no_grad():
        (found,) = model.eval()(images)
    assert len(found["boxes"]) and found["masks"].shape == (len(found["boxes"]), 1, 96, 300)
    assert found["masks"].min() >= 0 and found["masks"].max() <= 1


def test_regions_are_pooled_from_their_level():
    features = {str(level): torch.rand(2, 4, 32 >> level, 64 >> level) for level in range(4)}
    regions = [torch.tensor([[3.0, 5, 40, 30], [10, 0, 250, 120]]), torch.tensor([[100.0, 40, 112, 60]])]
    align = ALL_RECIPES["mask_rcnn"].small().build_model(num_classes=3).roi_heads.mask_roi_pool
    pooled = MultiScaleRoIPool(align)(features, regions, [(128, 256)] * 2)
    expected, level = [], align.map_levels(regions).tolist()
    assert len(set(level)) > 1
    for number, (image, region) in enumerate([(0, regions[0][0]), (0, regions[0][1]), (1, regions[1][0])]):
        x = features[str(level[number])][image : image + 1]
        expected.append(roi_pool(x, [region[None]], align.output_size, 1 / 4 / 2 ** level[number]))
    torch.testing.assert_close(pooled, torch.cat(expected))


def test_competing_masks_are_a_softmax():
    model = ALL_RECIPES["mask_rcnn-softmax"].small().build_model(num_classes=5)
    predictor = model.roi_heads.mask_predictor
    assert isinstance(predictor, CompetingPredictor)
    x = torch.randn(3, 64, 14, 14)
    found = predictor(x).sigmoid()
    plain = MaskRCNNPredictor.forward(predictor, x)
    torch.testing.assert_close(found, plain.softmax(dim=1))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(3, 28, 28))


def test_perfect_masks_come_back_as_they_were():
    """There and back through torchvision's targets; its own pasting loses a third of small objects on the way."""
    _, val = data.load("sample", tasks=("bbox", "segm"))
    ways = {"ours": [], "torchvision": []}
    for _, target in (val[i] for i in range(len(val))):
        boxes, masks = target["boxes"].as_subclass(torch.Tensor), target["masks"].as_subclass(torch.Tensor)
        grids = project_masks_on_boxes(masks, boxes, torch.arange(len(boxes)), 28)
        back = {"ours": paste_masks(grids, boxes, (128, 1024))}
        back["torchvision"] = paste_masks_in_image(grids[:, None], boxes, (128, 1024))[:, 0]
        for way, pasted in back.items():
            both = ((pasted >= 0.5) & (masks > 0)).sum(dim=(1, 2)) / ((pasted >= 0.5) | (masks > 0)).sum(dim=(1, 2))
            ways[way] += both.tolist()
    assert np.mean(ways["ours"]) > 0.97 and np.mean(ways["torchvision"]) < 0.8


def test_pasting_is_bilinear_and_empty_outside_the_box():
    grid, box = torch.rand(1, 28, 28), torch.tensor([[3.3, 5.1, 30.2, 60.9]])
    middles = torch.meshgrid((torch.arange(64) - 3.3) / 26.9, (torch.arange(64) - 5.1) / 55.8, indexing="xy")
    wanted = F.grid_sample(grid[None], 2 * torch.stack(middles, dim=-1)[None] - 1, align_corners=False)[0]
    got = paste_masks(grid, box, (64, 64))
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)
    assert got[:, :, 34:].sum() == 0 and got[:, 64:].sum() == 0


@pytest.mark.parametrize("name", ["mask_rcnn-pool", "mask_rcnn-softmax"])
def test_variants_of_masks_train(name):
    model = ALL_RECIPES[name].small().build_model(num_classes=3)
    masks = torch.zeros(2, 96, 300, dtype=torch.uint8)
    masks[0, 20:60, 10:30], masks[1, 70:90, 60:110] = 1, 1
    with torch.autocast("cpu", torch.bfloat16):  # as on CPUs that are fast in it
        loss = model([torch.rand(3, 96, 300)], [TARGET | {"masks": masks}])["loss_mask"]
    loss.backward()
    assert loss.isfinite() and model.roi_heads.mask_head[0][0].weight.grad.abs().sum() > 0
    nothing = TARGET | {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "masks": masks[:0]}
    assert model([torch.rand(3, 96, 300)], [nothing])["loss_mask"] == 0


def test_keypoints_contract_and_objects_without_any():
    model = ALL_RECIPES["keypoint_rcnn"].small().build_model(num_classes=3)
    images = [torch.rand(3, 96, 300)]
    points = torch.zeros(2, 17, 3)
    points[0] = torch.tensor([20.0, 40, 2])
    losses = model(images, [TARGET | {"keypoints": points}])
    assert "loss_keypoint" in losses and sum(losses.values()).isfinite()
    none = model(images, [TARGET | {"keypoints": torch.zeros(2, 17, 3)}])
    assert none["loss_keypoint"] == 0
    model.roi_heads.score_thresh = 0.0
    with torch.no_grad():
        (found,) = model.eval()(images)
    assert len(found["boxes"]) and found["keypoints"].shape == (len(found["boxes"]), 17, 3)


@pytest.mark.parametrize(("name", "task"), [("mask_rcnn", "segm"), ("keypoint_rcnn", "keypoints")])
def test_a_run_is_scored_by_its_further_task(name, task, tmp_path):
    recipe = ALL_RECIPES[name]
    assert recipe.tasks == ("bbox", task) and ALL_RECIPES["faster_rcnn"].tasks == ("bbox",)
    settings = train.resolve(name, epochs=1, dataset="sample", size="small", output_dir=tmp_path, devices="cpu")
    record = train.run(settings).record
    (line,) = record.named(task)
    assert line["task"] == task and line["map"] is not None and line["resampled"]["clips"] == 4
    again = train.run(replace(settings, resume=True)).record
    assert len(again.named(task)) == len(again.named("resampled")) == 1
