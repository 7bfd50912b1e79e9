"""The recipes: the reports' parameter counts, the story of one part at a time, records."""

import json
from dataclasses import FrozenInstanceError, fields, replace

import pytest
import torch

from tdt4265.data.transforms import STRENGTHS
from tdt4265.describe import count_parameters
from tdt4265.losses import MultiboxLoss, SigmoidFocalLoss, SoftmaxFocalLoss
from tdt4265.models import Gaussian
from tdt4265.recipes import ALL_RECIPES, FPN, RECIPES, VARIANTS, Init

# What the reports state, and the sums behind it. None: the network has no such part.
COUNTS = {
    "ssd": (3_266_272, 2_494_912, None, 352_800, 156_800),
    "augmentation": (3_266_272, 2_494_912, None, 352_800, 156_800),
    "fpn": (62_473_568, 56_678_720, 4_574_208, 663_840, 295_040),
    "focal_loss": (62_473_568, 56_678_720, 4_574_208, 663_840, 295_040),
    "retinanet": (66_415_438, 56_678_720, 4_574_208, 2_484_790, 2_415_640),
    "initialization": (66_415_438, 56_678_720, 4_574_208, 2_484_790, 2_415_640),
    "bifpn-report": (5_382_734, 2_851_648, 998_400, 652_598, 618_008),
    "auto_anchors": (66_635_303, 56_687_936, 4_574_208, 2_505_535, 2_424_860),
}


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def networks():
    with torch.device("meta"):  # shapes without numbers: nothing is allocated
        return {name: recipe.build_model(pretrained=False) for name, recipe in ALL_RECIPES.items()}


def test_the_story_in_order():
    assert list(RECIPES) == [
        "ssd",
        "augmentation",
        "fpn",
        "focal_loss",
        "retinanet",
        "initialization",
        "anchor_tuning",
        "bifpn",
        "auto_anchors",
        "ring",
    ]
    assert all(name == recipe.name for name, recipe in RECIPES.items())


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_of_the_reports(networks, name):
    total, backbone, pyramid, classification, regression = COUNTS[name]
    model = networks[name]
    assert count_parameters(model) == total
    assert count(model.backbone) == backbone
    assert model.pyramid is None if pyramid is None else count(model.pyramid) == pyramid
    assert count(model.head.classification) == classification
    assert count(model.head.regression) == regression


def test_the_reports_cut_trunk(networks):
    """Its second stage is built and counted, and no image goes through it."""
    backbone = ALL_RECIPES["bifpn-report"].build_model(pretrained=False).backbone
    assert count(backbone.layer2) == 1_116_416
    assert [count(level) for level in backbone.levels] == [25_344] + [295_680] * 5
    sum(level.sum() for level in backbone(torch.rand(2, 3, 128, 128))).backward()
    without = {name.partition(".")[0] for name, p in backbone.named_parameters() if p.grad is None}
    assert without == {"layer2"}


def test_anchors_of_the_automatic_method(networks):
    """The report's number of anchors, on feature maps that no backbone has."""
    model = networks["auto_anchors"]
    assert model.anchors.count((128, 1024)) == 110_691
    assert model.anchors.grid_shapes((128, 1024)) == [(39, 313), (19, 150), (9, 72), (3, 25), (2, 13), (1, 7)]
    small = ALL_RECIPES["auto_anchors"].small().build_model().eval()
    found = small.outputs([torch.zeros(3, 128, 1024)])
    assert [tuple(x.shape[-2:]) for x in found.features] == model.anchors.grid_shapes((128, 1024))
    assert found.class_logits.shape[1] == len(found.anchors) == 110_691


def test_resnet_and_its_further_levels(networks):
    backbone = networks["fpn"].backbone
    further = [2_359_808, 4_719_616, 9_438_208, 18_876_416]
    convolutions = [layer for level in backbone.extra for layer in level if isinstance(layer, torch.nn.Conv2d)]
    assert [count(layer) for layer in convolutions] == further
    assert count(backbone) - sum(further) == 21_284_672
    assert count(networks["fpn"].pyramid.inner_blocks) == 1_033_728
    assert count(networks["fpn"].pyramid.layer_blocks) == 3_540_480


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("ssd", "augmentation", {"transforms"}),
        ("augmentation", "fpn", {"backbone", "pyramid"}),  # as in the reports; without one of them: VARIANTS
        ("fpn", "focal_loss", {"loss"}),
        ("focal_loss", "retinanet", {"head", "anchors"}),  # a shared head needs as many anchors on each level
        ("retinanet", "initialization", {"init"}),
        ("initialization-paper", "anchor_tuning", {"anchors"}),
        ("anchor_tuning", "bifpn", {"pyramid"}),
        ("anchor_tuning", "ring", {"ring"}),
        ("initialization", "auto_anchors", {"backbone", "pyramid", "anchors"}),  # maps of the anchors' strides
        ("anchor_tuning", "anchor_tuning-atss", {"matching"}),
        ("anchor_tuning", "anchor_tuning-proportion", {"anchors"}),
        ("bifpn", "bifpn-top_down", {"pyramid"}),
        ("initialization", "initialization-varying", {"anchors", "head"}),
    ],
)
def test_one_part_at_a_time(before, after, changed):
    before, after = ALL_RECIPES[before], ALL_RECIPES[after]
    different = {f.name for f in fields(before) if getattr(before, f.name) != getattr(after, f.name)}
    assert different == {"name", "title"} | changed


AUGMENTATIONS = ["roll", "crop", "flip", "contrast", "brightness", "all"]


def test_every_augmentation_alone_and_all_together_on_both_detectors():
    for base, names in (("ssd", AUGMENTATIONS), ("retinanet", ["none", *AUGMENTATIONS])):
        for name in names:
            variant, before = VARIANTS[f"{base}-{name}"], RECIPES[base]
            different = {f.name for f in fields(variant) if getattr(variant, f.name) != getattr(before, f.name)}
            assert different == {"name", "title", "transforms"}
            assert variant.transforms == {"none": (), "all": tuple(AUGMENTATIONS[:-1])}.get(name, (name,))


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("focal_loss", "focal_loss-sigmoid", {"loss"}),
        ("initialization", "initialization-gaussian", {"init"}),
        ("initialization", "initialization-paper", {"init", "loss"}),  # the paper's start with its loss
    ],
)
def test_other_side_roads(before, after, changed):
    before, after = RECIPES[before], VARIANTS[after]
    different = {f.name for f in fields(before) if getattr(before, f.name) != getattr(after, f.name)}
    assert different == {"name", "title"} | changed


@pytest.mark.parametrize("frames", [2, 8])
@pytest.mark.parametrize("norm", ["batch", "layer", "instance"])
def test_the_trunks_norm_alone_differs_at_either_batch(norm, frames):
    ours, group = (ALL_RECIPES[f"anchor_tuning-{n}_norm_{frames}"].small() for n in (norm, "group"))
    different = {f.name for f in fields(ours) if getattr(ours, f.name) != getattr(group, f.name)}
    assert different == {"name", "title", "backbone"} and ours.backbone == replace(group.backbone, norm=norm)
    assert ours.training.batch_size == frames
    before = ALL_RECIPES["anchor_tuning"].small()
    different = {f.name for f in fields(before) if getattr(before, f.name) != getattr(group, f.name)}
    assert different == {"name", "title", "training"}


def test_names_are_the_keys_and_differ():
    assert len(ALL_RECIPES) == len(RECIPES) + len(VARIANTS)
    assert all(name == recipe.name for name, recipe in ALL_RECIPES.items())


def test_sigmoids_have_no_logit_for_background():
    model = VARIANTS["initialization-paper"].small().build_model(num_classes=4).eval()
    logits = model.outputs([torch.zeros(3, 128, 256)]).class_logits
    assert logits.shape[-1] == 3
    (found,) = model([torch.zeros(3, 128, 256)])
    assert len(found["scores"]) == 0  # at the start no class's score is above the threshold


@pytest.mark.parametrize("loss", [MultiboxLoss(), SoftmaxFocalLoss(), SigmoidFocalLoss()])
def test_one_prior_for_every_loss(loss):
    """The loss gives the bias: an untrained head says so much of each class, or of all of them, whatever it is."""
    recipe = replace(RECIPES["initialization"].small(), loss=loss, init=Init(Gaussian(std=1e-6), prior=0.02))
    found = recipe.build_model(num_classes=4).outputs([torch.rand(3, 128, 128)])
    wanted = 0.02 if isinstance(loss, SigmoidFocalLoss) else 0.02 / 3
    scores = loss.scores(found.class_logits)
    torch.testing.assert_close(scores, torch.full_like(scores, wanted), rtol=1e-3, atol=0)


def test_a_pyramid_is_a_field():
    without = replace(RECIPES["fpn"], pyramid=None).small().build_model()
    assert without.pyramid is None and without.backbone.out_channels == [32, 48, 64, 96, 96, 96]
    on_the_basic_backbone = replace(RECIPES["augmentation"], pyramid=FPN()).small().build_model()
    for model in (without, on_the_basic_backbone):
        assert len(model.outputs([torch.zeros(3, 128, 128)]).features) == 6


def test_recipes_cannot_be_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        RECIPES["ssd"].loss = SoftmaxFocalLoss()


@pytest.mark.parametrize("name", RECIPES)
def test_records_hold_every_part(name):
    recipe = RECIPES[name]
    written = json.loads(json.dumps(recipe.as_dict()))
    assert written == recipe.as_dict()
    assert written["name"] == name and written["training"]["batch_size"] == recipe.training.batch_size
    assert {*written} == {field.name for field in fields(recipe)}
    assert written["loss"]["part"] == type(recipe.loss).__name__
    assert written["anchors"]["strides"] == list(recipe.anchors.strides)
    assert written["backbone"] != recipe.small().as_dict()["backbone"]


def test_records_hold_the_strength_of_an_augmentation(monkeypatch):
    written = RECIPES["augmentation"].as_dict()["transforms"]
    assert [transform["part"] for transform in written] == ["crop", "flip", "contrast", "brightness"]
    monkeypatch.setitem(STRENGTHS, "flip", {"p": 0.25})
    assert RECIPES["augmentation"].as_dict()["transforms"][1] == {"part": "flip", "p": 0.25} != written[1]


@pytest.mark.parametrize("name", RECIPES)
def test_small_keeps_the_design(name):
    recipe, small = RECIPES[name], RECIPES[name].small()
    for part in ("name", "transforms", "anchors", "loss", "init"):
        assert getattr(small, part) == getattr(recipe, part)
    assert type(small.backbone) is type(recipe.backbone) and type(small.head) is type(recipe.head)
    model = small.build_model()
    assert 0.5e6 < count(model) < 1.5e6
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


def test_number_of_classes():
    model = RECIPES["ssd"].small().build_model(num_classes=4).eval()
    assert model.outputs([torch.zeros(3, 128, 1024)]).class_logits.shape == (1, 65_440, 4)


def test_losses_of_the_story():
    by_name = {name: type(recipe.loss) for name, recipe in RECIPES.items()}
    assert [*by_name.values()][:6] == [MultiboxLoss] * 3 + [SoftmaxFocalLoss] * 3
    assert by_name["auto_anchors"] is SoftmaxFocalLoss  # the report's, on the detector it had
    assert by_name["anchor_tuning"] is SigmoidFocalLoss
