"""tdt4265.train: what settings resolve to, a run from end to end on four frames, and one line for bad input."""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tdt4265 import data, describe, devices, evaluation, records, train, training
from tdt4265.recipes import RECIPES


def make_folder(folder, frames=4, splits=("train", "val")):
    """A dataset of small frames, each with one bright box on noise."""
    rng = np.random.default_rng(0)
    for split in splits:
        (folder / "images" / split).mkdir(parents=True)
        images, annotations = [], []
        for i in range(frames):
            pixels = rng.integers(0, 60, (128, 128, 3), dtype=np.uint8)
            x, y = (int(v) for v in rng.integers(0, 90, 2))
            pixels[y : y + 24, x : x + 30] += 180
            name = f"images/{split}/clip{i}_0.png"
            Image.fromarray(pixels).save(folder / name)
            images.append({"id": i, "width": 128, "height": 128, "file_name": name})
            entry = {"id": i + 1, "image_id": i, "category_id": 1 + i % 2, "bbox": [x, y, 30, 24], "area": 720}
            annotations.append({**entry, "iscrowd": 0, "segmentation": []})
        categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]
        labels = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"{split}_annotations.json").write_text(json.dumps(labels))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("data") / "frames")


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """On the CPU, in a folder of the test's own, and without spending seconds on measuring speed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(train, "measure_speed", functools.partial(train.measure_speed, seconds=0.01))


def test_the_full_protocol_is_the_recipe_on_the_dataset(monkeypatch, folder):
    monkeypatch.setenv("TDT4265_DATA", str(folder))
    settings = train.resolve("retinanet", epochs=50, dataset="tdt4265", seed=3, size="report")
    assert settings.recipe == RECIPES["retinanet"]
    assert (settings.protocol, settings.epochs, settings.repeats, settings.seed) == ("full", 50, 1, 3)
    assert str(settings.output_dir) == "runs/retinanet-report-tdt4265-seed3"
    on_cpu = train.resolve("retinanet", epochs=2)
    assert (on_cpu.size, on_cpu.protocol, on_cpu.dataset) == ("small", "small", "sim")
    assert on_cpu.recipe == RECIPES["retinanet"].small()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert train.resolve("retinanet", epochs=2).size == "report"


def test_zero_epochs_is_the_demonstration_whatever_else_is_asked(folder):
    settings = train.resolve("fpn", epochs=0, dataset=folder, size="report")
    assert (settings.protocol, settings.size, settings.dataset) == ("demonstration", "small", "sample")
    assert settings.recipe.transforms == ()
    assert settings.recipe.training.batch_size == 4
    assert settings.epochs * settings.repeats * 8 / 4 in range(100, 201)  # steps


def test_batch_size_lr_and_folder_are_those_asked_for(folder):
    settings = train.resolve("ssd", epochs=1, batch_size=3, lr=0.5, output_dir="here", dataset=folder)
    assert (settings.recipe.training.batch_size, settings.recipe.training.lr) == (3, 0.5)
    assert str(settings.output_dir) == "here"
    assert train.resolve("ssd", epochs=1, dataset=folder).output_dir.name == "ssd-small-frames-seed0"
    assert train.resolve("ssd", output_dir="~/runs").output_dir == Path.home() / "runs"


def test_the_table_says_what_everything_resolved_to():
    table = train.resolve("ssd", epochs=7, lr=0.25, seed=5).table()
    assert list(table.columns) == ["setting", "value"]
    values = dict(table.itertuples(index=False))
    assert (values["epochs"], values["lr"], values["seed"], values["dataset"]) == ("7", "0.25", "5", "sim")
    assert values["augmentation"] == "none"
    assert values["precision"] == devices.choose_precision("cpu")
    forced = train.resolve("ssd", epochs=7, precision="32-true").table()
    assert dict(forced.itertuples(index=False))["precision"] == "32-true"
    assert values["output_dir"] == "runs/ssd-small-sim-seed5"
    assert table.equals(train.resolve("ssd", epochs=7, lr=0.25, seed=5).table())
    assert "each frame" in dict(train.resolve("ssd").table().itertuples(index=False))["epochs"]


def test_a_run_from_end_to_end(folder, tmp_path, capsys):
    test = make_folder(tmp_path / "test", frames=2, splits=("train",))
    arguments = ["augmentation", "--epochs", "1", "--dataset", str(folder), "--batch-size", "2", "--test", str(test)]
    arguments += ["--precision", "bf16-mixed"]  # a score is the same wherever the checkpoint is evaluated
    assert train.main(arguments) == 0
    path = tmp_path / "runs" / "augmentation-small-frames-seed0" / "record.jsonl"
    printed = capsys.readouterr().out
    assert "lr            0.002" in printed
    assert "epoch 1/1  loss" in printed
    record = records.read(path)
    header = record.header
    trained, val = data.load(folder)
    assert (header["recipe"], header["size"], header["protocol"]) == ("augmentation", "small", "small")
    assert header["dataset"]["name"] == "frames"
    assert header["dataset"]["train"]["fingerprint"] == trained.fingerprint
    assert header["dataset"]["val"]["fingerprint"] == val.fingerprint
    assert header["dataset"]["val"]["frames"] == 4
    assert [one["part"] for one in header["parts"]["transforms"]] == ["crop", "flip", "contrast", "brightness"]
    assert (header["batch_size"], header["epochs"], header["seed"]) == (2, 1, 0)
    assert header["precision"] == "bf16-mixed"
    model = RECIPES["augmentation"].small().build_model(num_classes=3)
    assert header["parameters"] == describe.count_parameters(model) > header["weights"]
    assert header["weights"] == sum(parameter.numel() for parameter in model.parameters())
    assert set(records.ENVIRONMENT) <= set(header)
    # The checkpoint is the model that was scored.
    model.load_state_dict(training.load_checkpoint(path.parent)["model"])
    assert record.final["map"] == evaluation.evaluate(model, val).map
    (tested,) = record.named("test")
    assert (tested["dataset"], tested["frames"]) == ("test", 2)
    assert tested["map"] == evaluation.evaluate(model, data.load(test)[0]).map
    (resampled,) = record.named("resampled")
    scored = {name: ap for name, ap in record.final["per_class"].items() if ap is not None}
    assert resampled["per_class"] == pytest.approx(scored, abs=1e-12)
    assert resampled["clips"] == 4
    (speed,) = record.named("speed")
    assert [row["batch size"] for row in speed["batches"]] == [1, 8]

    before = path.read_text()
    assert train.main(arguments) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith("holds a run already; go on with --resume, or give another --output-dir")
    assert train.main([*arguments, "--resume"]) == 0
    assert path.read_text() == before


def test_a_demonstration_is_made_again_in_its_folder(folder, monkeypatch):
    monkeypatch.setattr(train, "DEMONSTRATION", {"batch_size": 2, "epochs": 2, "repeats": 3})
    monkeypatch.setattr(data.paths, "assets", lambda: folder.parent)
    (folder.parent / "sample").symlink_to(folder)
    settings = train.resolve("ssd", epochs=0, seed=1)
    first = train.run(settings)
    again = train.run(settings)
    assert [e["loss"] for e in first.record.epochs] == [e["loss"] for e in again.record.epochs]
    assert first.record.header["protocol"] == "demonstration"
    assert again.val is again.train  # evaluated on the frames it learnt
    assert len(again.train) == 4
    assert again.record.header["repeats"] == 3
    assert again.record.named("speed") == []
    # What is no demonstration is never overwritten.
    train.run(train.resolve("ssd", epochs=1, dataset=folder, output_dir="kept"))
    with pytest.raises(training.TrainingError, match="kept: holds a run already"):
        train.run(train.resolve("ssd", epochs=0, output_dir="kept"))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["yolo"], "no recipe 'yolo': choose one of ssd, augmentation"),
        (["ssd", "--epochs", "-1"], "epochs is -1: it is a whole number from 0"),
        (["ssd", "--batch-size", "0"], "batch_size is 0: it is a whole number from 1"),
        (["ssd", "--seed", "-2"], "seed is -2"),
        (["ssd", "--seed", str(2**64)], "seed is too large: it is a whole number up to 9223372036854775807"),
        (["ssd", "--lr", "0"], "lr is 0.0: it is a number above zero"),
        (["ssd", "--lr", "nan"], "lr is nan"),
        (["ssd", "--size", "huge"], 'size is \'huge\': it is "auto", "report" or "small"'),
        (["ssd", "--precision", "half"], "precision is 'half': it is \"auto\", 32-true, bf16-mixed"),
        (["ssd", "--devices", "0"], "devices is '0': it is"),
        (["ssd", "--output-dir", "file"], "file: is a file; give a folder"),
        (["ssd", "--output-dir", "a" * 300], "can't be used (File name too long); give another output_dir"),
        (["ssd", "--output-dir", "~nobody-of-that-name/run", "--dataset", "~nobody-of-that-name"], "no such folder"),
        (["ssd", "--dataset", "a" * 300], "can't be read (File name too long): give one that can be read"),
        (["ssd", "--epochs", "0", "--dataset", "nowhere"], "nowhere: no such folder"),
        (["ssd", "--epochs", "1", "--dataset", "nowhere"], "nowhere: no such folder"),
        (["ssd", "--epochs", "1", "--dataset", "FOLDER", "--test", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_bad_input_ends_with_one_line_and_status_2(arguments, line, folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert train.main([str(folder) if a == "FOLDER" else a for a in arguments]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_photographs_are_no_ring(tmp_path, capsys):
    folder = make_folder(tmp_path / "mine")
    Image.new("RGB", (200, 128)).save(folder / "images" / "val" / "clip1_0.png")
    labels = json.loads((folder / "val_annotations.json").read_text())
    labels["images"][1]["width"] = 200
    (folder / "val_annotations.json").write_text(json.dumps(labels))
    assert train.main(["ring", "--epochs", "1", "--dataset", str(folder)]) == 2
    line = "ring: images 128, 200 pixels wide: a ring is one multiple of 128 columns wide; give panoramas, or another"
    assert line in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_notebooks_settings_of_the_wrong_type_get_one_line():
    for wrong in ({"epochs": 1.5}, {"epochs": True}, {"batch_size": "4"}, {"lr": "high"}, {"seed": None}):
        with pytest.raises(train.SettingsError, match=f"{next(iter(wrong))} is "):
            train.resolve("ssd", **wrong)


def test_a_loss_that_is_not_finite_ends_with_one_line(folder, capsys):
    assert train.main(["ssd", "--epochs", "1", "--dataset", str(folder), "--lr", "1e30", "--batch-size", "1"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("epoch 1, batch ")
    assert "on the frames with image_id" in error


def test_ctrl_c_ends_with_the_way_on(folder, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", interrupted)
    assert train.main(["ssd", "--epochs", "1", "--dataset", str(folder)]) == 130
    assert capsys.readouterr().err.endswith("with --resume goes on from the last whole epoch\n")


# Under torchrun -------------------------------------------------------------------------------------------------------

# The second process is killed at its third step, in the second epoch.
KILLED = """
import os, signal, sys
from tdt4265 import train, training
step, calls = training.train_step, []
def killed(*arguments):
    calls.append(None)
    if os.environ["RANK"] == "1" and len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)
training.train_step = killed
sys.exit(train.main(sys.argv[1:]))
"""


def torchrun(*command, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = str(Path(train.__file__).parents[1])
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, *map(str, command)], capture_output=True, text=True, env=environment, cwd=folder, timeout=300
    )
    return done.returncode, done.stderr


def test_two_processes_refuse_once(tmp_path):
    status, said = torchrun("-m", "tdt4265.train", "ssd", "--dataset", "nowhere", folder=tmp_path)
    assert status != 0
    assert said.count("nowhere: no such folder") == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_dead_process_lets_the_other_say_how_to_go_on(tmp_path, folder):
    (tmp_path / "killed.py").write_text(KILLED)
    arguments = ["ssd", "--epochs", "2", "--batch-size", "1", "--dataset", folder, "--output-dir", "run"]
    status, said = torchrun(tmp_path / "killed.py", *arguments, folder=tmp_path)
    assert status != 0
    assert said.count("the same command with --resume goes on from the last whole epoch") == 1
    assert "Traceback" not in said.partition("--resume goes on")[0]
    assert len(records.read(tmp_path / "run" / "record.jsonl").epochs) == 1
    status, said = torchrun("-m", "tdt4265.train", *arguments, "--resume", folder=tmp_path)
    assert status == 0, said
    assert len(records.read(tmp_path / "run" / "record.jsonl").epochs) == 2
