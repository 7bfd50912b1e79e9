"""tdt4265.training, with a stand-in detector and dataset under the same contract that take a millisecond a step."""

import copy
import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.utils.data import Dataset

from tdt4265 import contract, data, devices, evaluation, records, training
from tdt4265.paths import LOCK
from tdt4265.recipes import ALL_RECIPES
from tdt4265.training import TrainingConfig, TrainingError, fit


@pytest.fixture(scope="module", autouse=True)
def float32():
    """These runs are compared to the last digits, on any CPU; new processes take over the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LT_PRECISION", "32-true")
        yield


CONFIG = TrainingConfig(
    optimizer="sgd", lr=0.05, weight_decay=1e-3, momentum=0.9, batch_size=2, warmup_iterations=3, clip_norm=5.0
)


class Frames(Dataset):
    """Frames with noise that is drawn anew each time, and a box in each."""

    def __init__(self, count=8, noise=0.1, sent=lambda index: None):
        self.count, self.noise, self.sent = count, noise, sent
        self.coco = {
            "images": [{"id": 10 + i} for i in range(count)],
            "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}],
            "annotations": [
                {"id": i + 1, "image_id": 10 + i, "category_id": 1 + i % 2, "bbox": [2, 2, 10, 4 + i]}
                for i in range(count)
            ],
        }

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        self.sent(i)
        box = torch.tensor([[2.0, 2, 12, 6 + i]])
        image = torch.full((3, 8, 16), (i + 1) / 10) + self.noise * torch.randn(3, 8, 16)
        return image, {"boxes": box, "labels": torch.tensor([1 + i % 2]), "image_id": 10 + i}


class Tiny(nn.Module):
    """Says one box a frame: a convolution, a mean, a linear layer. Its losses are means over the frames."""

    def __init__(self, dropout=0.5, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 4, 3)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(4, 6)

    def forward(self, images, targets=None):
        said = self.out(self.dropout(self.conv(torch.stack(list(images))).relu().mean(dim=(2, 3))))
        boxes, logits = said[:, :4].exp() * 8, said[:, 4:]
        if self.training:
            truth = torch.cat([t["boxes"] for t in targets])
            labels = torch.cat([t["labels"] for t in targets])
            return {
                "boxes": nn.functional.l1_loss(boxes, truth),
                "classes": nn.functional.cross_entropy(logits, labels - 1),
            }
        scores, labels = logits.softmax(dim=1).max(dim=1)
        return [
            {"boxes": b[None], "labels": n[None] + 1, "scores": s[None]}
            for b, n, s in zip(boxes, labels, scores, strict=True)
        ]


def train(folder, model=None, frames=None, config=CONFIG, *, epochs=3, val=True, **options):
    """Returns the trained model and its record."""
    model = Tiny() if model is None else model
    val = Frames(7, noise=0) if val else None
    record = fit(model, frames or Frames(), val, config, epochs=epochs, output_dir=folder, devices="cpu", **options)
    return model, record


def lines(folder):
    """The epochs of a record without what the clock wrote."""
    clock = ("seconds", "frames_per_second")
    return [{k: v for k, v in e.items() if k not in clock} for e in records.read(folder / "record.jsonl").epochs]


def assert_same_run(one: Path, other: Path):
    first, second = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (one, other))
    for name, weight in first["model"].items():
        assert torch.equal(weight, second["model"][name]), name
    for key, state in first["optimizer"]["state"].items():
        assert torch.equal(state["momentum_buffer"], second["optimizer"]["state"][key]["momentum_buffer"])
    assert lines(one) == lines(other)
    assert {p.name for p in other.iterdir()} - {LOCK} == {"best.pt", "checkpoint.pt", "record.jsonl"}
    best, again = (torch.load(folder / "best.pt", weights_only=True) for folder in (one, other))
    assert len(best["epochs"]) == len(again["epochs"]) == 3  # of these frames the last epoch is the best
    assert all(torch.equal(weight, again["model"][name]) for name, weight in best["model"].items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of three epochs that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder)
    return folder


def test_a_run_learns_and_leaves_checkpoint_and_record(tmp_path, capsys):
    frames = Frames(noise=0)
    model = Tiny(dropout=0)
    config = TrainingConfig("adamw", lr=0.05, batch_size=4, warmup_iterations=2, schedule="one_cycle")
    _, record = train(tmp_path / "run", model, frames, config, epochs=20, header={"recipe": "tiny", "note": (1, 2)})
    assert record.final["loss"] < record.epochs[0]["loss"] / 3
    assert record.final["loss"] == pytest.approx(sum(record.final["losses"].values()))
    assert set(record.final["losses"]) == {"boxes", "classes"}
    assert record.final["map"] == evaluation.evaluate(model, Frames(7, noise=0)).map
    assert record.final["seconds"] > 0
    assert record.final["frames_per_second"] > 0
    stored = records.read(tmp_path / "run" / "record.jsonl")
    assert stored.epochs == record.epochs
    assert stored.header["recipe"] == "tiny"
    assert stored.header["training"]["optimizer"] == "adamw"
    assert stored.header["hardware"]["threads"] == torch.get_num_threads()
    assert (stored.header["epochs"], stored.header["seed"], stored.header["processes"]) == (20, 0, 1)
    checkpoint = training.load_checkpoint(tmp_path / "run")
    assert torch.equal(checkpoint["model"]["out.weight"], model.out.weight)
    printed = capsys.readouterr()
    assert [line.split("  ")[0] for line in printed.out.splitlines()] == [f"epoch {e}/20" for e in range(1, 21)]
    assert "frame/s" in printed.err
    assert "loss=" in printed.err


def test_a_detector_of_torchvision_is_trained_by_the_same_function(tmp_path):
    detector = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3
    )
    _, record = train(tmp_path / "run", detector, Frames(2), epochs=1)
    assert set(record.final["losses"]) == {"classification", "bbox_regression"}
    assert record.final["map"] is not None


def test_the_loss_recorded_is_the_mean_over_frames(tmp_path):
    # 5 frames in batches of 2, 2 and 1: a mean over batches would count the last frame twice.
    config = TrainingConfig(lr=1e-12, batch_size=2, warmup_iterations=0)
    model, record = train(tmp_path / "run", Tiny(dropout=0), Frames(5, noise=0), config, epochs=1, val=False)
    model.train()
    alone = [model([image], [target]) for image, target in (Frames(5, noise=0)[i] for i in range(5))]
    assert record.final["losses"]["boxes"] == pytest.approx(sum(a["boxes"].item() for a in alone) / 5, rel=1e-5)
    assert "map" not in record.final


def test_the_same_seed_gives_the_same_run_with_any_number_of_workers(tmp_path, whole):
    train(tmp_path / "run", workers=2)
    assert_same_run(whole, tmp_path / "run")


def test_another_seed_gives_another_run(tmp_path, whole):
    train(tmp_path / "run", seed=1)
    assert lines(whole)[0]["loss"] != lines(tmp_path / "run")[0]["loss"]


def test_augmentation_is_drawn_anew_for_each_epoch_and_frame():
    frames = Frames(2)
    first = training._Seeded(frames, seed=0, epoch=1)
    state = torch.get_rng_state()
    assert torch.equal(first[0][0], first[0][0])
    assert torch.equal(torch.get_rng_state(), state)  # the detector's own draws are not disturbed
    other = training._Seeded(frames, seed=0, epoch=2)
    shift = first[1][0].mean() - first[0][0].mean()
    assert not torch.equal(first[0][0], other[0][0])
    assert not torch.equal(first[0][0] + shift, first[1][0])


def test_no_two_epochs_of_any_seeds_have_one_order_of_frames():
    fabric = devices.launch("cpu")
    orders = {}
    for seed in range(3):
        for epoch in range(1, 4):
            loader = training.make_loader(Frames(32), 4, seed, epoch, 0, fabric)
            orders[seed, epoch] = tuple(i for _, targets in loader for i in (t["image_id"] for t in targets))
    assert all(sorted(order) == list(range(10, 42)) for order in orders.values())
    assert len(set(orders.values())) == len(orders)


def test_a_crowd_is_not_trained_as_an_object(tmp_path):
    class Crowded(Frames):
        """Its second box, a crowd's, is no box at all: whoever is trained on it diverges."""

        def __getitem__(self, i):
            image, target = super().__getitem__(i)
            crowd = torch.tensor([[0.0, 0, math.nan, math.nan]])
            return image, target | {
                "boxes": torch.cat([target["boxes"], crowd]),
                "labels": torch.tensor([*target["labels"], 1]),
                "area": torch.ones(2),
                "iscrowd": torch.tensor([0, 1]),
            }

    model, record = train(tmp_path / "crowded", frames=Crowded(), val=False)
    alone, expected = train(tmp_path / "alone", val=False)
    assert record.curve("loss").tolist() == expected.curve("loss").tolist()
    assert all(torch.equal(*weights) for weights in zip(model.parameters(), alone.parameters(), strict=True))


# Interrupted


def on_call(number, function, instead):
    """`function`, but its call of that number does something else."""
    calls = []

    def wrapped(*args, **kwargs):
        calls.append(args)
        return instead(*args) if len(calls) == number else function(*args, **kwargs)

    return wrapped


def ctrl_c(*_):
    raise KeyboardInterrupt


def half_a_file(state, path):
    Path(path).write_bytes(b"half")
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("place", "owner", "name", "call", "instead"),
    [
        # An epoch has four steps, and each looks at its loss and its gradient.
        ("in the middle of an epoch", training, "_stop_unless_finite", 8 + 3, ctrl_c),
        ("in the evaluation", evaluation, "coco_metrics", 2, ctrl_c),
        ("half-way through the checkpoint", torch, "save", 3, half_a_file),
        ("before the checkpoint is in its place", os, "replace", 4, ctrl_c),
        ("between checkpoint and record", records.Record, "write", 2, ctrl_c),
    ],
)
def test_interrupted_anywhere_a_run_goes_on_to_the_same_result(tmp_path, whole, place, owner, name, call, instead):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, on_call(call, getattr(owner, name), instead))
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run")
    assert len(lines(tmp_path / "run")) == 1, place
    train(tmp_path / "run", model=Tiny(seed=9), resume=True)
    assert_same_run(whole, tmp_path / "run")


def python(code: str, *arguments, launcher=()):
    """Run `code` in a new process, with this module's names imported."""
    start = f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]\nimport torch\ntorch.set_num_threads(1)\n"
    script = Path(arguments[0]) / "script.py"
    script.write_text(f"{start}from test_training import *\n{code}")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(training.__file__).parents[1])}
    command = [sys.executable, *launcher, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


KILLED = """
seen = []
def sent(index):
    seen.append(index)
    if len(seen) == 8 + 3:  # in the second epoch
        os.kill(os.getpid(), signal.SIGKILL)
train(Path(sys.argv[1]) / "run", frames=Frames(sent=sent))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_killed_a_run_goes_on_to_the_same_result(tmp_path, whole):
    assert python(KILLED, tmp_path).returncode == -signal.SIGKILL
    assert len(lines(tmp_path / "run")) == 1
    train(tmp_path / "run", resume=True)
    assert_same_run(whole, tmp_path / "run")


def test_resume_before_the_first_checkpoint_starts_at_the_start(tmp_path, whole):
    train(tmp_path / "run", resume=True)
    assert_same_run(whole, tmp_path / "run")


def test_a_finished_run_resumed_stays_as_it_is(tmp_path):
    _, record = train(tmp_path / "run", epochs=1)
    record.add("test", {"map": 0.5})
    before = (tmp_path / "run" / "record.jsonl").read_text()
    model, record = train(tmp_path / "run", model=Tiny(seed=9), epochs=1, resume=True)
    assert (tmp_path / "run" / "record.jsonl").read_text() == before
    assert record.named("test") == [{"map": 0.5}]
    assert torch.equal(model.out.weight, training.load_checkpoint(tmp_path / "run")["model"]["out.weight"])


def refusal(folder, **options):
    with pytest.raises(TrainingError) as error:
        train(folder, **options)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_another_run_in_the_folder_is_refused_in_one_line(tmp_path):
    folder = tmp_path / "run"
    train(folder, epochs=1, header={"dataset": {"name": "sim", "fingerprint": "aa"}})
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "holds a run already; go on with --resume, or give another --output-dir" in refusal(folder)
    line = refusal(
        folder,
        resume=True,
        epochs=2,
        seed=3,
        config=TrainingConfig(lr=0.1, batch_size=2, warmup_iterations=3, clip_norm=5.0, weight_decay=1e-3),
        header={"dataset": {"name": "sim", "fingerprint": "bb"}},
    )
    for difference in ("dataset.fingerprint aa (now bb)", "training.lr 0.05 (now 0.1)", "epochs 1 (now 2)"):
        assert difference in line
    assert "seed 0 (now 3)" in line
    assert "momentum" not in line
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_unusable_folder_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file; give a folder" in refusal(tmp_path / "file")
    train(tmp_path / "run", epochs=1)
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"half a check")
    assert "is damaged; delete " in refusal(tmp_path / "run", epochs=1, resume=True)
    torch.save({"weights": torch.zeros(1)}, tmp_path / "run" / "checkpoint.pt")
    assert "is not a checkpoint of this package" in refusal(tmp_path / "run", epochs=1, resume=True)
    (tmp_path / "run" / "checkpoint.pt").unlink()
    assert "holds a record without checkpoint.pt" in refusal(tmp_path / "run", epochs=1, resume=True)


# What can't go on


def test_a_loss_that_is_not_finite_stops_the_run_with_its_frames(tmp_path):
    class Breaks(Tiny):
        steps = 0

        def forward(self, images, targets=None):
            self.steps += self.training
            losses = super().forward(images, targets)
            if self.steps == 4 + 2:  # the second of the second epoch
                self.frames = [t["image_id"] for t in targets]
                losses["boxes"] = losses["boxes"] * math.nan
            return losses

    model = Breaks()
    with pytest.raises(FloatingPointError) as error:
        train(tmp_path / "run", model)
    frames = ", ".join(map(str, model.frames))
    assert "epoch 2, batch 2: the loss is nan (losses: boxes nan, classes " in str(error.value)
    assert f"on the frames with image_id {frames};" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(lines(tmp_path / "run")) == 1
    assert all(w.isfinite().all() for w in training.load_checkpoint(tmp_path / "run")["model"].values())


def test_a_gradient_that_is_not_finite_stops_the_run_too(tmp_path):
    class Breaks(Tiny):
        def forward(self, images, targets=None):
            losses = super().forward(images, targets)
            return {**losses, "root": (0 * losses["boxes"]).sqrt()} if self.training else losses

    with pytest.raises(FloatingPointError, match=r"epoch 1, batch 1: the gradient's norm is nan .* on the frames"):
        train(tmp_path / "run", Breaks())
    assert not (tmp_path / "run" / training.CHECKPOINT).exists()


# Steps


def test_learning_rates_are_those_of_torch_s_schedulers():
    config = TrainingConfig(lr=0.1, warmup_iterations=5, schedule="one_cycle")
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    warmup = LinearLR(optimizer, start_factor=1 / 5, total_iters=4)
    cosine = CosineAnnealingLR(optimizer, T_max=30 - 5)
    scheduler = SequentialLR(optimizer, [warmup, cosine], milestones=[5])
    expected = []
    for _ in range(30):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    rates = training.learning_rates(config, steps=10, epochs=3)
    assert [len(epoch) for epoch in rates] == [10, 10, 10]
    assert [rate for epoch in rates for rate in epoch] == pytest.approx(expected)
    constant = training.learning_rates(TrainingConfig(lr=0.1, warmup_iterations=2), steps=2, epochs=2)
    assert constant == [[0.05, 0.1], [0.1, 0.1]]
    short = training.learning_rates(TrainingConfig(lr=0.1, warmup_iterations=500), steps=4, epochs=1)
    assert short == [pytest.approx([0.05, 0.1, 0.1, 0.1])]


def test_biases_and_norms_are_not_decayed():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Linear(4, 2))
    model[2].weight.requires_grad_(False)
    decayed, free = training.make_optimizer(model, TrainingConfig(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0)
    assert [id(p) for p in decayed["params"]] == [id(model[0].weight)]
    assert [id(p) for p in free["params"]] == [id(p) for p in (model[0].bias, *model[1].parameters(), model[2].bias)]
    adamw = training.make_optimizer(model, TrainingConfig("adamw", lr=0.3))
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.param_groups[0]["lr"] == 0.3


def step_of(tmp_path, **config):
    """How far the weights move in one step at a rate of 1: the gradient, clipped."""
    config = TrainingConfig(lr=1.0, weight_decay=0, momentum=0, batch_size=4, warmup_iterations=0, **config)
    model = Tiny(dropout=0)
    before = copy.deepcopy(model.state_dict())
    train(tmp_path, model, Frames(4), config, epochs=1)
    return {name: before[name] - weight for name, weight in model.state_dict().items()}


def test_the_gradient_s_norm_is_clipped(tmp_path):
    free, clipped = (step_of(tmp_path / f"{c}", clip_norm=c) for c in (None, 0.01))
    norm = math.sqrt(sum(g.square().sum().item() for g in free.values()))
    assert norm > 0.1
    assert math.sqrt(sum(g.square().sum().item() for g in clipped.values())) == pytest.approx(0.01, rel=1e-3)
    for name in free:
        torch.testing.assert_close(clipped[name], free[name] * 0.01 / norm, rtol=1e-3, atol=1e-6)


# Precision


class Listens(Tiny):
    """Keeps what it was given, and the type that a convolution computed in."""

    def forward(self, images, targets=None):
        if self.training:
            self.given, self.computed = (images, targets), self.conv(torch.stack(list(images))).dtype
        return super().forward(images, targets)


class Wide(Frames):
    """Frames whose boxes bfloat16 has no numbers for."""

    def __getitem__(self, i):
        image, target = super().__getitem__(i)
        return image + 1 / 3, {**target, "boxes": target["boxes"] + 513.3}


def test_mixed_precision_leaves_images_and_boxes_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("LT_PRECISION", "bf16-mixed")
    frames = Wide(4, noise=0)
    model, record = train(tmp_path / "run", Listens(dropout=0), frames, epochs=1, val=False)
    assert model.computed == torch.bfloat16
    for image, target in zip(*model.given, strict=True):
        wanted_image, wanted = frames[target["image_id"] - 10]
        assert torch.equal(image, wanted_image)
        assert torch.equal(target["boxes"], wanted["boxes"])
    assert record.header["precision"] == "bf16-mixed"
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


def test_a_step_in_bfloat16_is_the_step_in_float32_but_for_rounding(monkeypatch):
    recipe = ALL_RECIPES["initialization-paper"].small()
    frames, _ = data.load("sample")
    images, targets = contract.collate([frames[i] for i in range(2)])
    losses, moves = {}, {}
    for precision in ("32-true", "bf16-mixed"):
        monkeypatch.setenv("LT_PRECISION", precision)
        torch.manual_seed(0)
        model = recipe.build_model(frames.num_classes).to(memory_format=torch.channels_last).train()
        before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        fabric = devices.launch("cpu")
        wrapped, optimizer = training.set_up(model, optimizer, fabric)
        losses[precision] = training.train_step(wrapped, optimizer, images, targets, 1.0, 1.0, fabric)
        moves[precision] = torch.cat([(w.detach() - before[n]).flatten() for n, w in model.named_parameters()])
    for name, loss in losses["32-true"].items():
        assert losses["bf16-mixed"][name].dtype == torch.float32
        torch.testing.assert_close(losses["bf16-mixed"][name], loss, rtol=0.02, atol=0)
    assert not torch.equal(*moves.values())
    assert torch.cosine_similarity(*moves.values(), dim=0) > 0.98


def test_a_run_goes_on_in_the_precision_it_was_started_in(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    train(folder, epochs=1)
    assert records.read(folder / "record.jsonl").header["precision"] == "32-true"
    monkeypatch.setenv("LT_PRECISION", "bf16-mixed")
    assert "was started with precision 32-true (now bf16-mixed)" in refusal(folder, epochs=1, resume=True)


# Several processes

TWO = """
folder = Path(sys.argv[1])
config = TrainingConfig(lr=1.0, weight_decay=0, momentum=0, batch_size=2, warmup_iterations=0)
model = Tiny(dropout=0, seed=int(os.environ['RANK']))  # both start from the first one's weights
results = []
def evaluate(model, val, **options):
    results.extend(evaluation.predict(model, val, batch_size=2))
    return evaluation.coco_metrics(val.coco, results)
fit(model, Frames(4), Frames(7, noise=0), config, epochs=1, output_dir=folder / "run", evaluate=evaluate)
(folder / f"results{os.environ['RANK']}.json").write_text(json.dumps(results))
"""


def test_two_processes_take_the_step_of_one(tmp_path):
    """2 processes x 2 frames and 1 process x 4 frames: the same gradients, the same metrics, each frame once."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = python(TWO, tmp_path, launcher=launcher)
    assert done.returncode == 0, done.stderr
    one = step_of(tmp_path / "one")
    weights = training.load_checkpoint(tmp_path / "run")["model"]
    for name, start in Tiny().state_dict().items():
        assert one[name].abs().max() > 1e-3
        torch.testing.assert_close(start - weights[name], one[name], rtol=1e-4, atol=1e-6)
    two = records.read(tmp_path / "run" / "record.jsonl")
    assert two.header["processes"] == 2
    assert done.stdout.count("epoch 1/1") == 1
    expected = lines(tmp_path / "one")[0]
    assert two.final["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert two.final["map"] == pytest.approx(expected["map"], abs=1e-6)
    first, second = (json.loads((tmp_path / f"results{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert [r["image_id"] for r in first] == [10 + i for i in range(7)]


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"optimizer": "adam"}, "optimizer is 'adam': it is 'sgd' or 'adamw'"),
        ({"schedule": "step"}, "schedule is 'step'"),
        ({"batch_size": 0}, "batch_size is 0: a step needs at least one frame"),
        ({"lr": 0.0}, "lr is 0.0: it must be above zero"),
        ({"lr": math.nan}, "lr is nan"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0: it must be above zero, or None for no limit"),
    ],
)
def test_a_config_that_can_t_be_gets_one_line(setting, line):
    with pytest.raises(TrainingError, match=line):
        TrainingConfig(**setting)


def test_a_flipped_bit_in_a_checkpoint_is_noticed(tmp_path):
    """Wherever torch reads: a bit in the zip's own padding changes nothing."""
    folder, rng = tmp_path / "run", random.Random(0)
    train(folder, epochs=1)
    path = folder / "checkpoint.pt"
    before, whole = path.read_bytes(), training.load_checkpoint(folder)
    noticed = 0
    for _ in range(60):
        damaged = bytearray(before)
        damaged[rng.randrange(len(before))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            found = training.load_checkpoint(folder)
        except TrainingError as error:
            assert "\n" not in str(error) and str(path) in str(error)
            noticed += 1
        else:
            assert found["epochs"] == whole["epochs"] and found["header"] == whole["header"]
            assert all(torch.equal(weight, found["model"][name]) for name, weight in whole["model"].items())
    assert noticed > 30


def test_a_part_marked_as_a_folder_is_noticed(tmp_path):
    """torch does not read it, and gives whatever memory holds."""
    train(tmp_path / "run", epochs=1)
    path = tmp_path / "run" / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 38] |= 0x10  # the last part's attributes
    path.write_bytes(content)
    with pytest.raises(TrainingError, match="is damaged; delete"):
        training.load_checkpoint(tmp_path / "run")


@pytest.mark.parametrize(
    "damage",
    [
        {"model": {}},
        {"model": {"conv.weight": 3}},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"optimizer": {}},
        {"optimizer": "momentum 3"},
        {"optimizer": "group 3"},
        {"optimizer": []},
        {"precision": None},
        {"header": ["seed"]},
        {"epochs": {}},
        {"epochs": [1]},
        {"epochs": [{"epoch": 2}]},
        {"epochs": [{"epoch": 1, "loss": math.nan}]},
        {"epochs": [{"epoch": 1, "loss": torch.zeros(1)}]},
    ],
)
def test_a_checkpoint_whose_parts_do_not_fit_gets_one_line(tmp_path, damage):
    train(tmp_path / "run", epochs=2)
    state = training.load_checkpoint(tmp_path / "run")
    if damage == {"optimizer": "momentum 3"}:
        state["optimizer"]["state"][0]["momentum_buffer"] = 3
    elif damage == {"optimizer": "group 3"}:
        state["optimizer"]["param_groups"][0]["momentum"] = "3"
    else:
        state |= damage
    torch.save(state, tmp_path / "run" / "checkpoint.pt")
    line = refusal(tmp_path / "run", epochs=2, resume=True)
    assert line.endswith("give another --output-dir")


def test_the_momentum_of_another_network_gets_one_line(tmp_path):
    train(tmp_path / "run", epochs=2)
    state = training.load_checkpoint(tmp_path / "run")
    state["optimizer"]["state"][0]["momentum_buffer"] = torch.zeros(7)
    torch.save(state, tmp_path / "run" / "checkpoint.pt")
    assert "does not fit this network" in refusal(tmp_path / "run", epochs=2, resume=True)


@pytest.mark.parametrize("damage", [b"", b"half", b"{}\n", bytes(range(256))])
def test_a_damaged_record_is_written_again_from_the_checkpoint(tmp_path, damage):
    folder = tmp_path / "run"
    train(folder, epochs=2)
    before = (folder / "record.jsonl").read_bytes()
    (folder / "record.jsonl").write_bytes(damage)
    train(folder, epochs=2, resume=True)
    assert (folder / "record.jsonl").read_bytes() == before


def broken_frame(index):
    if index == 5:
        raise data.DataError("frame 5: is broken: replace it")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_that_cannot_be_read_stops_the_run_with_one_line(tmp_path, workers):
    line = refusal_to_go_on(tmp_path / "run", frames=Frames(sent=broken_frame), workers=workers)
    assert line == "frame 5: is broken: replace it; then go on from the last whole epoch with --resume"


def refusal_to_go_on(folder, **options):
    with pytest.raises(training.RunStopped) as error:
        train(folder, **options)
    return str(error.value)


def killed_frame(index):
    if index == 5:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_worker_that_is_killed_stops_the_run_with_one_line(tmp_path):
    line = refusal_to_go_on(tmp_path / "run", frames=Frames(sent=killed_frame), workers=1)
    assert line.startswith("a process that reads frames was ended: is memory full?") and "\n" not in line


# The folder -----------------------------------------------------------------------------------------------------------


def test_a_second_training_in_the_folder_is_refused_and_the_first_goes_on(tmp_path):
    said = []

    def interfere(index):
        if index == 3 and not said:
            said.append(None)
            with pytest.raises(
                TrainingError, match="another process writes there; wait for its end, or give"
            ) as refusal:
                fit(Tiny(), Frames(), None, CONFIG, epochs=1, output_dir=tmp_path, devices="cpu", workers=0)
            said.append(str(refusal.value))

    fit(Tiny(), Frames(sent=interfere), None, CONFIG, epochs=2, output_dir=tmp_path, devices="cpu", workers=0)
    assert len(said) == 2 and "\n" not in said[1]
    assert len(records.read(tmp_path / "record.jsonl").epochs) == 2


@pytest.mark.parametrize("kind", ["file", "under a file", "dangling link"])
def test_a_folder_that_cannot_be_written_to_is_refused_before_training(tmp_path, kind):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "else")
    folder = {"file": tmp_path / "file", "under a file": tmp_path / "file" / "run", "dangling link": tmp_path / "link"}[
        kind
    ]

    def never(index):
        raise AssertionError("a frame was read")

    with pytest.raises(TrainingError, match=r"give (a folder|another folder)") as refusal:
        fit(Tiny(), Frames(sent=never), None, CONFIG, epochs=1, output_dir=folder, devices="cpu", workers=0)
    assert str(refusal.value).startswith(str(folder)) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos 64 vs 0\nat 5")]
)
def test_a_full_disk_is_one_line_and_the_epoch_before_stays(tmp_path, monkeypatch, error):
    save, calls = torch.save, []

    def fills_up(state, path):
        calls.append(path)
        if len(calls) == 2:
            path.write_bytes(b"half of it")
            raise error
        save(state, path)

    monkeypatch.setattr(training.torch, "save", fills_up)
    with pytest.raises(
        TrainingError, match=r"epoch 2 can't be saved \(.*\); make room, and go on .* --resume"
    ) as refusal:
        fit(Tiny(), Frames(), None, CONFIG, epochs=3, output_dir=tmp_path, devices="cpu", workers=0)
    assert "\n" not in str(refusal.value) and str(tmp_path) in str(refusal.value)
    assert not calls[1].exists() and len(training.load_checkpoint(tmp_path)["epochs"]) == 1
    monkeypatch.setattr(training.torch, "save", save)
    fit(Tiny(), Frames(), None, CONFIG, epochs=3, output_dir=tmp_path, devices="cpu", workers=0, resume=True)
    fit(Tiny(), Frames(), None, CONFIG, epochs=3, output_dir=tmp_path / "other", devices="cpu", workers=0)
    states = [training.load_checkpoint(folder)["model"] for folder in (tmp_path, tmp_path / "other")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
