"""Trained detectors: half precision there and back, and files that do not fit."""

import functools

import pytest
import torch
from test_train import make_folder

import tdt4265
from tdt4265 import data, train, weights
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


# A run's own detector -------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of two epochs with a learning rate of its own, on four frames of two classes."""
    monkeypatch.chdir(tmp_path)
    folder = make_folder(tmp_path / "mine")
    settings = train.resolve("ssd", epochs=2, dataset=folder, batch_size=2, lr=1e-4, output_dir="run", devices="cpu")
    monkeypatch.setattr(train, "measure_speed", functools.partial(train.measure_speed, seconds=0.01))
    return train.run(settings)


def test_a_run_is_loaded_from_its_folder_or_checkpoint(run, tmp_path):
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"best.pt", "checkpoint.pt", "record.jsonl"}
    last = tdt4265.load("run/checkpoint.pt")
    assert last.categories == {1: "car", 2: "bus"} and not last.training
    for name, value in run.model.state_dict().items():
        assert torch.equal(last.state_dict()[name], value)
    best = torch.load("run/best.pt", weights_only=True)
    epochs = [line["map"] for line in run.record.epochs]
    assert best["epochs"][-1]["map"] == max(epochs) and len(best["epochs"]) == 1 + epochs.index(max(epochs))
    for name, value in tdt4265.load("run").state_dict().items():
        assert torch.equal(best["model"][name], value)
    (tmp_path / "run" / "best.pt").unlink()
    for name, value in tdt4265.load(tmp_path / "run").state_dict().items():
        assert torch.equal(last.state_dict()[name], value)


def test_a_recipe_is_loaded_by_its_name():
    model = tdt4265.load("ssd", seed=0)
    assert model.categories[1] == "car" and not model.training
    for name, value in weights.trained("ssd").state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_runs_that_do_not_fit_are_one_line(run, tmp_path):
    path = tmp_path / "run" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)

    def refused(**header):
        changed = {key: value for key, value in (state["header"] | header).items() if value is not None}
        torch.save(state | {"header": changed}, path)
        with pytest.raises(weights.WeightsError, match=r"run/checkpoint.pt: ") as error:
            tdt4265.load("run/checkpoint.pt")
        assert "\n" not in str(error.value)
        return str(error.value).split(": ", 1)[1]

    assert refused(classes=None) == "does not say its classes: an older version made it; train again"
    assert refused(recipe="yolo") == "this version has no recipe 'yolo'; train again"
    assert refused(recipe="fpn") == "the recipe fpn has another backbone now; train again"
    assert refused(normalisation={"mean": [0, 0, 0], "std": [1, 1, 1]}).startswith("was trained on pixels of another")
    assert refused(classes={"1": "car"}) == "does not fit the network as it is now; train again"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(weights.WeightsError, match=r"checkpoint.pt: is damaged; give a run's folder or its check"):
        tdt4265.load("run/checkpoint.pt")
    with pytest.raises(weights.WeightsError, match=r"elsewhere: is no file, no folder and no recipe with weights"):
        tdt4265.load("elsewhere")
    (tmp_path / "hollow").mkdir()
    with pytest.raises(weights.WeightsError, match=r"hollow/checkpoint.pt: is not there; give a run's folder"):
        tdt4265.load("hollow")
