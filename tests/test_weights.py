"""Trained detectors: half precision there and back, and files that do not fit."""

import pytest
import torch

from tdt4265 import data, weights
from tdt4265.recipes import RECIPES

CLASSES = dict(enumerate(["truck", "bus", "motorcycle", "bicycle", "scooter", "person", "rider", "car"], start=1))


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    recipe = RECIPES["retinanet"].small()
    model = recipe.build_model()
    path = tmp_path / "small" / "retinanet-sim-seed0.safetensors"
    weights.save(model, path, recipe, CLASSES)
    return model, path


def test_a_detector_comes_back_in_half_precision(saved, tmp_path):
    model, path = saved
    assert path.stat().st_size < 2.05 * sum(p.numel() for p in model.parameters()) + 20_000
    before = torch.get_rng_state()
    loaded = weights.trained("retinanet", folder=tmp_path)
    assert torch.equal(torch.get_rng_state(), before)  # loading draws no numbers that a later cell would have drawn
    assert not loaded.training
    for name, value in model.state_dict().items():
        got = loaded.state_dict()[name]
        assert got.dtype == torch.float32 and torch.equal(got, value.half().float())
    frame = data.load("sample")[1][0][0]
    with torch.no_grad():
        one, other = model.eval().outputs([frame]), loaded.outputs([frame])
    torch.testing.assert_close(one.class_logits, other.class_logits, rtol=0.01, atol=0.02)


def test_as_many_classes_as_were_trained(tmp_path):
    recipe = RECIPES["ssd"].small()
    weights.save(recipe.build_model(4), tmp_path / "small" / "ssd-mine-seed2.safetensors", recipe, {1: "a", 3: "b"})
    assert weights.trained("ssd", seed=2, dataset="mine", folder=tmp_path).num_classes == 4


def test_weights_that_cannot_be_had_are_one_line(saved, tmp_path):
    _, path = saved
    mend = r"make them with `python -m tdt4265\.make_records retinanet --seeds 0 "
    with pytest.raises(weights.WeightsError, match="no recipe 'none'"):
        weights.trained("none", folder=tmp_path)
    with pytest.raises(
        weights.WeightsError,
        match=r"seed7.safetensors: no such weights; make .* --seeds 7 --protocol small --dataset sim`",
    ):
        weights.trained("retinanet", seed=7, folder=tmp_path)
    with pytest.raises(weights.WeightsError, match=r"ssd-flip-sim-seed0.safetensors: .*; none are kept of such"):
        weights.trained("ssd-flip", folder=tmp_path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"not weights"):
        path.write_bytes(damaged)
        with pytest.raises(weights.WeightsError, match=rf"seed0.safetensors: is damaged \(.*\); {mend}") as error:
            weights.trained("retinanet", folder=tmp_path)
        assert "\n" not in str(error.value)


def test_weights_of_other_modules_are_refused(tmp_path):
    recipe = RECIPES["retinanet"].small()
    other = RECIPES["ssd"].small().build_model()
    weights.save(other, tmp_path / "small" / "retinanet-sim-seed0.safetensors", recipe, CLASSES)
    with pytest.raises(weights.WeightsError, match="does not fit the network as it is now; make them"):
        weights.trained("retinanet", folder=tmp_path)


def test_weights_of_a_recipe_that_has_changed_are_refused(saved, tmp_path):
    model, path = saved
    weights.save(model, path, RECIPES["focal_loss"].small(), CLASSES)
    with pytest.raises(weights.WeightsError, match=r"the recipe has another anchors now; make them with"):
        weights.trained("retinanet", folder=tmp_path)
