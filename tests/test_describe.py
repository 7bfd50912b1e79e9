"""A detector part by part: parameters, shapes, FLOPs, and the command line."""

import torchvision

from tdt4265 import describe
from tdt4265.recipes import RECIPES, VARIANTS


def test_flops_and_shapes_by_hand():
    model = RECIPES["ssd"].build_model(pretrained=False)
    table = describe.parts(model)
    assert list(table.index) == ["backbone", "head.classification", "head.regression"]
    cells = [(128, 32 * 256), (256, 16 * 128), (128, 8 * 64), (128, 4 * 32), (64, 2 * 16), (64, 1 * 8)]
    anchors = [6, 6, 6, 6, 4, 4]
    flops = sum(2 * n * a * 9 * 9 * c for (c, n), a in zip(cells, anchors, strict=True))
    assert table.loc["head.classification", "GFLOP"] == round(flops / 1e9, 3)
    assert table.loc["head.classification", "outputs"].startswith("54x32x256, 54x16x128, ")
    assert table.loc["backbone", "outputs"].endswith("64x2x16, 64x1x8")
    assert table["parameters"].sum() == sum(p.numel() for p in model.parameters()) == 3_004_512
    assert model.training  # left as it was
    assert table["GFLOP"].sum() == 12.075


def test_pyramids_and_towers_are_parts_of_their_own():
    table = describe.parts(RECIPES["retinanet"].small().build_model())
    assert list(table.index) == ["backbone", "pyramid", "head.classification", "head.regression"]
    assert table.loc["head.classification", "outputs"].count(",") == 5  # one shape a level


def test_torchvisions_detectors_can_be_described():
    model = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=9
    )
    table = describe.parts(model)
    parameters = sum(p.numel() for p in model.parameters())
    assert table["parameters"].sum() == describe.count_parameters(model) == parameters
    assert table["GFLOP"].sum() > 0.5 and table.loc["backbone.features", "GFLOP"] > 0.2


def test_command_line(capsys):
    assert describe.main(["ssd"]) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[-1] == "parameters: 3266272"
    assert "3,004,512 weights and 4 x 65,440 anchor coordinates" in output
    assert describe.main(["retinanet", "--size", "small"]) == 0
    assert "RetinaNet (small)" in capsys.readouterr().out


def test_unknown_recipe(capsys):
    assert describe.main(["retinet"]) == 2
    story = "ssd, augmentation, fpn, focal_loss, retinanet, initialization, anchor_tuning, bifpn, auto_anchors, ring"
    names = f"{story}, {', '.join(VARIANTS)}"
    assert capsys.readouterr().err == f"no recipe 'retinet': choose one of {names}\n"
