"""The parts against torchvision's, and the detector under torchvision's contract."""

import math
from dataclasses import replace

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.ops import FeaturePyramidNetwork

from tdt4265 import recipes
from tdt4265.boxes import anchor_targets, encode, match, pad_boxes
from tdt4265.losses import MultiboxLoss, SoftmaxFocalLoss
from tdt4265.models import (
    FPN,
    NORMS,
    BasicBackbone,
    Detector,
    Gaussian,
    Head,
    Kaiming,
    NarrowBackbone,
    ResNet,
    Timm,
    Xavier,
    backbones,
    group_norm,
    initialize,
)
from tdt4265.models.detector import IMAGE_MEAN, IMAGE_STD
from tdt4265.recipes import ALL_LEVELS, RECIPES

# Of efficientnet-lite-pytorch 0.1.0 for the first six classes.
LITE_LOGITS = [0.24666, 0.31899, 1.41992, 1.28613, 1.47494, 1.81705]
SHAPES = [(32, 256), (16, 128), (8, 64), (4, 32), (2, 16), (1, 8)]


def small(name, num_classes=9):
    torch.manual_seed(0)
    return RECIPES[name].small().build_model(num_classes)


def noise(height=128, width=128, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def target(boxes, labels):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return {"boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64)}


# Backbones and pyramids


TRUNKS = [BasicBackbone(8), NarrowBackbone(), ResNet(18, (8, 8, 16, 16), (16, 24)), ResNet(10)]


@pytest.mark.parametrize("backbone", TRUNKS)
def test_feature_maps_have_the_strides_and_channels_they_say(backbone):
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, 128, 1024))
    assert [tuple(x.shape[-2:]) for x in maps] == SHAPES
    assert [x.shape[1] for x in maps] == backbone.out_channels


def test_the_narrow_trunk_has_three_channels_and_hardly_any_parameters():
    trunk = NarrowBackbone()
    assert sum(p.numel() for p in trunk.parameters()) == 7 * 3 * (3 * 3 * 9 + 3)
    assert {layer.out_channels for layer in trunk.modules() if isinstance(layer, nn.Conv2d)} == {3}


@pytest.mark.parametrize("depth", [18, 50])
def test_resnet_is_torchvisions(depth):
    theirs = getattr(torchvision.models, f"resnet{depth}")().eval()
    ours = ResNet(depth, extra_channels=()).eval()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")})
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
        for stage, got in zip((theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4), ours(x), strict=True):
            wanted = stage(wanted)
            torch.testing.assert_close(got, wanted)


def test_imagenet_weights_are_loaded_where_they_can_be_had(monkeypatch, capsys):
    weights = torchvision.models.ResNet18_Weights
    state = torchvision.models.resnet18().state_dict()
    monkeypatch.setattr(weights, "get_state_dict", lambda self, **_: state)
    trunk = ResNet(18)
    extra = trunk.extra[0][0].weight.clone()
    assert trunk.load_imagenet()
    assert torch.equal(trunk.layer3[0].conv1.weight, state["layer3.0.conv1.weight"])
    assert torch.equal(trunk.extra[0][0].weight, extra)
    assert capsys.readouterr().out == ""


def test_without_imagenet_weights_one_line_says_so(monkeypatch, capsys):
    def offline(self, **_):
        raise OSError("<urlopen error\nno route to host>")

    monkeypatch.setattr(torchvision.models.ResNet34_Weights, "get_state_dict", offline)
    before = backbones.socket.getdefaulttimeout()
    model = RECIPES["fpn"].build_model()
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and "ResNet-34 starts from random weights" in line and "no route to host" in line
    assert isinstance(model, Detector) and backbones.socket.getdefaulttimeout() == before


def test_unknown_depth():
    with pytest.raises(ValueError, match="no ResNet of depth 35: choose one of 10, 18, 34, 50"):
        ResNet(35)


def test_a_trunk_of_timm_and_its_further_levels():
    trunk = Timm("resnet18", extra_channels=(32, 16))
    assert trunk.out_channels == [64, 128, 256, 512, 32, 16] and trunk.strides == [4, 8, 16, 32, 64, 128]
    shapes = [tuple(x.shape[1:]) for x in trunk(torch.zeros(1, 3, 128, 256))]
    assert shapes == [(c, 128 // s, 256 // s) for c, s in zip(trunk.out_channels, trunk.strides, strict=True)]
    with pytest.raises(ValueError, match="timm has no trunk 'resnet35'"):
        Timm("resnet35")
    with pytest.raises(ValueError, match="4 to 32 are needed"):
        Timm("vit_tiny_patch16_224")


def test_the_weights_of_the_package_are_those_of_their_authors():
    """Logits of timm's network with the package's tensors, and of another implementation with the same file."""
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    model.load_state_dict(backbones._packaged("tf_efficientnet_lite0"))
    with torch.no_grad():
        (found,) = model(torch.linspace(-2, 2, 3 * 224 * 224).sin().view(1, 3, 224, 224))
    wanted = torch.tensor(LITE_LOGITS)
    torch.testing.assert_close(found[:6], wanted, rtol=0, atol=1e-3)


def test_lite_starts_from_imagenet_and_keeps_its_first_blocks(capsys):
    torch.manual_seed(0)
    model = recipe_on(recipes.Timm()).train()
    assert model.backbone.imagenet
    assert capsys.readouterr().out == ""
    trunk, state = model.backbone.trunk, backbones._packaged("tf_efficientnet_lite0")
    assert all(torch.equal(value, state[name]) for name, value in trunk.state_dict().items())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    target = {"boxes": torch.tensor([[20.0, 30, 60, 70]]), "labels": torch.tensor([2])}
    sum(model([torch.rand(3, 128, 128)], [target]).values()).backward()
    optimizer.step()
    changed = {name for name, value in trunk.state_dict().items() if not torch.equal(value, state[name])}
    assert changed and all(name.startswith(("blocks.5.", "blocks.6.")) and "bn" not in name for name in changed)


def test_lite_from_random_weights_trains_as_a_whole(capsys):
    model = recipe_on(recipes.Timm(imagenet=False)).train()
    assert all(p.requires_grad for p in model.parameters()) and model.backbone.trunk.bn1.training


def test_without_timms_weights_one_line_says_so(monkeypatch, capsys):
    def offline(*_, **__):
        raise OSError("no route\nto host")

    trunk = Timm("resnet18")
    monkeypatch.setattr(backbones.timm, "create_model", offline)
    assert not trunk.load_imagenet() and not trunk.imagenet
    line = capsys.readouterr().out
    assert line == "resnet18 starts from random weights: no ImageNet weights (no route to host)\n"
    with pytest.raises(ValueError, match="has no blocks that could be frozen"):
        trunk.freeze(1)


def recipe_on(backbone):
    return replace(RECIPES["fpn"].small(), backbone=backbone.small()).build_model()


def test_fpn_is_torchvisions():
    channels = [8, 12, 16, 20, 24, 28]
    ours, theirs = FPN(channels, 16), FeaturePyramidNetwork(channels, 16)
    theirs.load_state_dict(ours.state_dict())
    maps = [torch.randn(2, c, h, w) for c, (h, w) in zip(channels, SHAPES, strict=True)]
    wanted = theirs({str(i): x for i, x in enumerate(maps)})
    torch.testing.assert_close(ours(maps), list(wanted.values()), rtol=0, atol=1e-5)


# Heads


def test_outputs_come_in_the_order_of_the_anchors():
    head = Head([3, 3], [2, 4], 5, groups=[[0], [1]])
    maps = [torch.randn(2, 3, 4, 6), torch.randn(2, 3, 2, 3)]
    logits, offsets = head(maps)
    assert logits.shape == (2, 4 * 6 * 2 + 2 * 3 * 4, 5) and offsets.shape == (2, 72, 4)
    row, column, anchor = 1, 2, 3
    index = 4 * 6 * 2 + (row * 3 + column) * 4 + anchor
    wanted = head.classification[1](maps[1])[:, anchor * 5 : anchor * 5 + 5, row, column]
    torch.testing.assert_close(logits[:, index], wanted)


def test_a_shared_head_says_the_same_about_the_same_map_on_every_level():
    head = Head([8, 8], [2, 2], 5, groups=[[0, 1]], channels=8, depth=3)
    x = torch.randn(1, 8, 3, 4)
    for output in head([x, x]):
        torch.testing.assert_close(*output.chunk(2, dim=1))
    convolutions = [m for m in head.classification[0] if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 4 and convolutions[-1].out_channels == 10


def test_a_head_in_groups():
    """Levels of as many anchors share their towers; the answers still come in the order of the levels."""
    head = Head([8, 8, 8], [6, 4, 6], 5, groups=[[0, 2], [1]], channels=8, depth=1)
    x, y = torch.randn(1, 8, 2, 2), torch.randn(1, 8, 1, 1)
    logits, offsets = head([x, y, x])
    assert logits.shape == (1, 4 * 6 + 4 + 4 * 6, 5)
    for output in (logits, offsets):
        torch.testing.assert_close(output[:, :24], output[:, -24:])
    wanted = head.classification[1](y).permute(0, 2, 3, 1).reshape(1, 4, 5)
    torch.testing.assert_close(logits[:, 24:28], wanted)


@pytest.mark.parametrize(
    ("channels", "anchors", "groups", "line"),
    [
        ([8, 8], [6, 4], [[0, 1]], r"levels \[0, 1\] have \(channels, anchors\) of \[\(8, 4\), \(8, 6\)\]"),
        ([8, 16], [6, 6], [[0, 1]], "have the same channels and the same number of anchors"),
        ([8, 8], [6, 6], [[0]], "each of the levels 0 to 1 belongs to one group"),
        ([8, 8], [6, 6], [[0, 1], [1]], "each of the levels 0 to 1 belongs to one group"),
    ],
)
def test_groups_that_do_not_fit(channels, anchors, groups, line):
    with pytest.raises(ValueError, match=line):
        Head(channels, anchors, 5, groups)


HEADS = [Head([4, 4], [2, 3], 9, [[0], [1]]), Head([4, 4], [2, 2], 9, [[0, 1]], depth=4, channels=8)]


@pytest.mark.parametrize("head", HEADS)
@torch.no_grad()
def test_the_class_bias_is_that_of_every_anchor(head):
    bias = torch.linspace(-1, 1, 9)
    initialize(head, Kaiming(), bias)
    logits, offsets = head([torch.zeros(1, 4, 2, 2)] * 2)  # on a blank feature map the logits are the biases
    torch.testing.assert_close(logits, bias.expand_as(logits))
    assert not offsets.any()
    initialize(head, Xavier())
    assert not head([torch.zeros(1, 4, 2, 2)] * 2)[0].any()


def test_initialisations_have_the_variances_of_their_papers():
    head = Head([256, 256], [6, 6], 9, [[0, 1]], depth=4)
    weight = head.classification[0][0].weight
    fan = 9 * 256
    for init, std in ((Xavier(), math.sqrt(2 / (fan + fan))), (Kaiming(), math.sqrt(2 / fan)), (Gaussian(), 0.01)):
        initialize(head, init)
        assert weight.std().item() == pytest.approx(std, rel=0.01)
        assert not head.regression[0][-1].bias.any()


def test_group_norm_has_groups_of_eight():
    assert group_norm(48).num_groups == 6


# The detector


@pytest.mark.parametrize("name", ["ssd", "retinanet"])
def test_contract(name):
    model = small(name)
    images = [noise(128, 256), noise(96, 100, seed=1)]
    targets = [target([[10, 20, 30, 60], [100, 30, 108, 50]], [1, 7]), target([[0, 0, 100, 96]], [3])]
    losses = model(images, targets)
    assert sorted(losses) == ["bbox_regression", "classification"]
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())

    model.eval()
    with torch.no_grad():
        detections = model(images)
    assert len(detections) == 2
    for detection, image in zip(detections, images, strict=True):
        boxes, labels, scores = detection["boxes"], detection["labels"], detection["scores"]
        assert 0 < len(scores) <= 200 and boxes.shape == (len(scores), 4) and labels.dtype == torch.int64
        assert (scores[:-1] >= scores[1:]).all() and scores.min() > 0.05
        assert labels.min() >= 1 and labels.max() <= 8
        assert (boxes >= 0).all() and boxes[:, 0::2].max() <= image.shape[2] and boxes[:, 1::2].max() <= image.shape[1]
        assert (boxes[:, 2:] > boxes[:, :2]).all()


@pytest.mark.parametrize("name", ["ssd", "fpn", "focal_loss", "retinanet", "initialization"])
def test_a_batch_without_any_box_has_finite_losses(name):
    losses = small(name)([noise(), noise()], [target([], []), target([], [])])
    assert all(value.isfinite() for value in losses.values()) and losses["bbox_regression"] == 0


def test_normalises_and_pads_right_and_below():
    model = small("ssd")
    first, second = noise(100, 60), noise(40, 130)
    batch = model.batch([first, second])
    assert batch.shape == (2, 3, 128, 256)  # whole cells of 128 pixels
    mean, std = torch.tensor(IMAGE_MEAN).view(3, 1, 1), torch.tensor(IMAGE_STD).view(3, 1, 1)
    torch.testing.assert_close(batch[0, :, :100, :60], (first - mean) / std)
    torch.testing.assert_close(batch[1, :, :40, :130], (second - mean) / std)
    assert not batch[0, :, 100:].any() and not batch[0, :, :, 60:].any() and not batch[1, :, :, 130:].any()


class Oracle(nn.Module):
    """A head that says what it was told, with anchors and backbone of one map."""

    def __init__(self, logits, offsets):
        super().__init__()
        self.logits, self.offsets = logits, offsets

    def forward(self, features):
        return self.logits, self.offsets


def oracle_detector(say, image=(64, 64), **options):
    """A detector of five classes that says (box, class probabilities) at one anchor each, background at the others."""
    recipe = RECIPES["ssd"].small()
    anchors = recipe.anchors
    all_anchors = anchors(anchors.grid_shapes((128, 128)))
    probabilities = torch.full((1, len(all_anchors), 5), 1e-9)
    probabilities[..., 0] = 1
    offsets = torch.zeros(1, len(all_anchors), 4)
    for index, (box, p) in enumerate(say):
        probabilities[0, index] = torch.tensor(p)
        offsets[0, index] = encode(torch.tensor(box, dtype=torch.float32), all_anchors[index])
    head = Oracle(probabilities.log(), offsets)
    detector = Detector(recipe.backbone.build(False), None, head, anchors, MultiboxLoss(), 5, **options).eval()
    (detection,) = detector([torch.zeros(3, *image)])
    return detection


def test_anchors_of_other_strides_than_the_feature_maps_are_refused():
    recipe = RECIPES["ssd"].small()
    anchors = replace(recipe.anchors, strides=(8, 16, 32, 64, 128, 256))
    line = r"anchors of strides \[8, .* 256\] on feature maps of strides \[4, .* 128\]"
    with pytest.raises(ValueError, match=line):
        replace(recipe, anchors=anchors).build_model()


def test_detections_one_by_one():
    found = oracle_detector(
        [
            ([10, 10, 20, 30], [0.1, 0.6, 0.3, 1e-9, 1e-9]),  # two classes above the threshold: two detections, but
            ([11, 10, 21, 30], [0.2, 0.8, 1e-9, 1e-9, 1e-9]),  # this better one of class 1 suppresses the first
            ([40, 40, 60, 70], [0.55, 1e-9, 1e-9, 0.45, 1e-9]),  # likelier background, yet a detection; clipped
            ([10, 10, 20, 30], [0.96, 1e-9, 1e-9, 1e-9, 0.04]),  # below 0.05
            ([70, 70, 80, 80], [1e-9, 1e-9, 1e-9, 1e-9, 1.0]),  # in the padding, outside the image
        ]
    )
    torch.testing.assert_close(found["scores"], torch.tensor([0.8, 0.45, 0.3]))
    assert found["labels"].tolist() == [1, 3, 2]
    wanted = torch.tensor([[11.0, 10, 21, 30], [40, 40, 60, 64], [10, 10, 20, 30]])
    torch.testing.assert_close(found["boxes"], wanted, rtol=0, atol=1e-4)


def test_limits():
    say = [([i, 2, i + 1, 4], [0.2 + i / 1000, 0.8 - i / 1000, 1e-9, 1e-9, 1e-9]) for i in range(60)]
    assert len(oracle_detector(say)["scores"]) == 60
    best = oracle_detector(say, detections_per_img=7)["scores"]
    torch.testing.assert_close(best, torch.tensor([0.8 - i / 1000 for i in range(7)]))
    assert len(oracle_detector(say, topk_candidates=9)["scores"]) == 9
    empty = oracle_detector([])
    assert empty["boxes"].shape == (0, 4) and empty["labels"].shape == empty["scores"].shape == (0,)


def test_targets_reach_the_loss_as_they_were_given():
    """Outputs that say the targets perfectly have next to no loss, and come back as the targets."""
    model = small("retinanet")
    boxes, labels = [[10.0, 20, 30, 60], [100, 30, 108, 50], [60, 0, 128, 128]], [1, 7, 3]
    anchors = model.anchors(model.anchors.grid_shapes((128, 128)))
    target_labels, target_offsets = model.assign([target(boxes, labels)], anchors)
    padded, valid = pad_boxes([torch.tensor(boxes)])
    by_hand = anchor_targets(match(anchors, padded, valid), padded, torch.tensor([labels]), anchors)
    assert torch.equal(target_labels, by_hand[0]) and torch.equal(target_offsets, by_hand[1])
    model.head = Oracle(20 * nn.functional.one_hot(target_labels, 9).float(), target_offsets)
    losses = model([noise()], [target(boxes, labels)])
    assert losses["classification"] < 1e-4 and losses["bbox_regression"] < 1e-6
    (detection,) = model.eval()([noise()])
    order = detection["labels"].argsort()
    assert detection["labels"][order].tolist() == sorted(labels)
    wanted = torch.tensor(boxes)[torch.tensor(labels).argsort()]
    torch.testing.assert_close(detection["boxes"][order], wanted, rtol=0, atol=1e-3)


def test_outputs_and_assign_are_what_losses_and_detections_are_made_of():
    model = small("initialization")
    model.score_thresh = 0.001
    images, targets = [noise(), noise(100, 60, seed=1)], [target([[10.0, 20, 30, 60]], [1]), target([], [])]
    found = model.outputs(images)
    assert [tuple(x.shape[-2:]) for x in found.features] == model.anchors.grid_shapes((128, 128))
    assert [x.shape for x in found[1:3]] == [(2, len(found.anchors), size) for size in (9, 4)]
    losses = model.loss(found.class_logits, found.box_offsets, *model.assign(targets, found.anchors))
    torch.testing.assert_close(model(images, targets), losses)
    detections = model.detections(found.class_logits, found.box_offsets, found.anchors, [(128, 128), (100, 60)])
    torch.testing.assert_close(model.eval()(images), detections)
    assert all(len(one["boxes"]) for one in detections)


def test_same_result_under_autocast():
    model = small("ssd").eval()
    seen = {}
    original = model.detections
    model.detections = lambda logits, offsets, *rest: (seen.update(logits=logits), original(logits, offsets, *rest))[1]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = model([noise()])
    assert seen["logits"].dtype == found["boxes"].dtype == found["scores"].dtype == torch.float32
    model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model([noise()], [target([[10, 20, 30, 60]], [1])])
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())


def test_group_norm_is_torch_s_in_float32_under_autocast():
    x = 100 + torch.randn(2, 16, 8, 8)
    ours, theirs = group_norm(16), nn.GroupNorm(2, 16)
    assert torch.equal(ours(x), theirs(x))
    assert str(ours) == str(theirs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = ours(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, theirs(x.bfloat16().float()).bfloat16())


GOOD = ([[10, 20, 30, 60]], [1])


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (None, "training needs one target for each of the 2 images, got none"),
        ([target(*GOOD)], "training needs one target for each of the 2 images, got 1"),
        ([target(*GOOD), target([[10, 20, 10, 60]], [1])], r"target 1: box \[10.0, 20.0, 10.0, 60.0\] has no width"),
        ([target(*GOOD), target([[0, 0, math.nan, 60]], [1])], "target 1: box .* not finite"),
        ([target([[0, 0, math.inf, 60]], [1]), target(*GOOD)], "target 0: box .* not finite"),
        ([target([], []), target(GOOD[0], [9])], r"target 1: label 9 is not one of 1\.\.8"),
        ([target(GOOD[0], [0]), target(*GOOD)], r"target 0: label 0 is not one of 1\.\.8"),
        ([target(GOOD[0], [1, 2]), target(*GOOD)], r"target 0: expected boxes .*, got \[1, 4\] and \[2\]"),
        ([{"boxes": torch.zeros(4), "labels": torch.tensor([1])}, target(*GOOD)], r"target 0: expected boxes \[G, 4\]"),
        (
            [target(*GOOD), {"boxes": torch.tensor([[0.0, 0, 9, 9]]), "labels": torch.tensor([1.0])}],
            "target 1: labels must be int64, got torch.float32",
        ),
    ],
)
def test_targets_that_break_the_contract(targets, message):
    with pytest.raises(ValueError, match=message) as error:
        small("ssd")([noise(), noise()], targets)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "the list of images is empty"),
        ([noise(), torch.zeros(1, 8, 8)], r"image 1: expected a float tensor .*, got torch.float32 \[1, 8, 8\]"),
        ([torch.zeros(3, 8, 8, dtype=torch.uint8)], "image 0: expected a float tensor .* got torch.uint8"),
        ([torch.zeros(1, 3, 8, 8)], "image 0: expected a float tensor"),
    ],
)
def test_images_that_break_the_contract(images, message):
    with pytest.raises(ValueError, match=message):
        small("ssd").eval()(images)


def test_learns_one_frame():
    """A few steps on one frame bring the loss down and the boxes out."""
    torch.manual_seed(0)
    recipe = RECIPES["retinanet"].small()
    backbone = ResNet(10, (16, 16, 16, 16), (16, 16), group_norm)
    pyramid = FPN(backbone.out_channels, 16)
    head = Head(pyramid.out_channels, [6] * 6, 3, ALL_LEVELS, channels=16, depth=1)
    initialize(head, Xavier())
    model = Detector(backbone, pyramid, head, recipe.anchors, SoftmaxFocalLoss(), 3)
    image = torch.zeros(3, 128, 128)
    image[:, 20:60, 10:30], image[0, 70:90, 60:110] = 1.0, 1.0
    wanted = target([[10, 20, 30, 60], [60, 70, 110, 90]], [1, 2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        loss = sum(model([image], [wanted]).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    (found,) = model.eval()([image])
    for box, label in zip(wanted["boxes"], wanted["labels"], strict=True):
        best = found["boxes"][found["labels"] == label][0]
        assert torchvision.ops.box_iou(best[None], box[None]) > 0.8


NORM_REFERENCES = {"layer": lambda x: F.layer_norm(x, x.shape[1:]), "instance": F.instance_norm}


@pytest.mark.parametrize("name", NORM_REFERENCES)
def test_layer_and_instance_norm_are_torchs(name):
    norm, x = NORMS[name](16), torch.randn(3, 16, 5, 7) * 3 + 1
    torch.testing.assert_close(norm(x), NORM_REFERENCES[name](x))
