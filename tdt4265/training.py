"""Training a detector on Lightning's Fabric: the loop, its checkpoints, and going on after an interruption.

Nothing random is carried over from one epoch to the next: each starts from numbers that follow from (seed, epoch), and
a frame's augmentation from (seed, epoch, frame). So a checkpoint needs no state of any generator, a run that was killed
goes on to the very result it would have had, and augmentation does not depend on the number of workers or processes.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.fabric.plugins import MixedPrecision
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler
from tqdm.auto import tqdm

from tdt4265 import evaluation, records
from tdt4265.contract import collate, without_crowds
from tdt4265.devices import launch
from tdt4265.errors import OneLineError, plain, quoted
from tdt4265.paths import FolderError, claim, write_whole

# What a run leaves in its folder: its last epoch, to go on from; the weights of its best; its record.
CHECKPOINT, BEST, RECORD = "checkpoint.pt", "best.pt", "record.jsonl"


class TrainingError(OneLineError):
    """A run that can't start or go on: one line that says why, and the mend."""


class RunStopped(TrainingError):
    """A run that had begun stops, perhaps in one of its processes alone; `--resume` goes on with it."""


@dataclass(frozen=True)
class TrainingConfig:
    """How a detector is trained. The defaults are those of the course's reports."""

    optimizer: str = "sgd"  # "sgd" or "adamw"
    lr: float = 2.6e-3  # the peak: what warm-up climbs to
    weight_decay: float = 5e-4  # not applied to biases and norms (parameters of fewer than two dimensions)
    momentum: float = 0.9  # SGD's; AdamW keeps its own betas
    batch_size: int = 32  # frames a step, of one process
    warmup_iterations: int = 500  # steps of linear warm-up, so that the first, large gradients move little
    schedule: str = "constant"  # "constant", or "one_cycle": a cosine down to zero at the last step
    clip_norm: float | None = None  # the gradient's largest norm; None leaves it as it is

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adamw"):
            raise TrainingError(f"optimizer is {self.optimizer!r}: it is 'sgd' or 'adamw'")
        if self.schedule not in ("constant", "one_cycle"):
            raise TrainingError(f"schedule is {self.schedule!r}: it is 'constant' or 'one_cycle'")
        if self.batch_size < 1:
            raise TrainingError(f"batch_size is {self.batch_size}: a step needs at least one frame")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise TrainingError(f"lr is {self.lr}: it must be above zero")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise TrainingError(f"clip_norm is {self.clip_norm}: it must be above zero, or None for no limit")


def fit(
    model: nn.Module,
    train: Dataset,
    val: Dataset | None,
    config: TrainingConfig,
    *,
    epochs: int,
    output_dir: str | Path,
    seed: int = 0,
    devices: str | int | lightning.Fabric = "auto",
    resume: bool = False,
    header: dict | None = None,
    evaluate: Callable = evaluation.evaluate,
    workers: int | None = None,
) -> records.Record:
    """Train `model` in place, and leave `checkpoint.pt` and `record.jsonl` in `output_dir`, new after every epoch.

    `best.pt` beside them has the weights of the epoch with the highest mAP, where epochs are evaluated.

    Under `torchrun` or `fabric run` every process takes `config.batch_size` frames of each step and the gradients are
    averaged: two processes of b frames step as one of 2b does where the model's loss is a mean over frames, or divided
    by a count that the processes share, as the course's losses are. torchvision's are divided by each process's own
    count of positive anchors, so they differ slightly. `output_dir` must then be a folder that all machines see. Only
    the first process writes.

    Args:
        model: torchvision's contract: in training mode `model(images, targets)` gives a dict of losses, to be added up.
        train: gives `(image float32 [3, H, W], target)`; its random transforms draw from torch's generator.
        val: is evaluated after every epoch; None evaluates nothing.
        devices: "auto" (every GPU, else one process on the CPU), "cpu", a number of GPUs (of processes where there is
            no GPU), or a Fabric that was launched already, as `devices.launch("cpu", precision="32-true")`.
        resume: go on from the checkpoint in `output_dir`; where there is none yet, from the start.
        header: what else the record shall say of this run. A resumed run must agree with it, apart from what
            `records.environment()` tells.
        evaluate: called as `evaluate(model, val, batch_size=..., workers=...)`; its result's `as_dict()` is recorded.
        workers: processes that read frames; None: none for a few frames, else up to 4 (8 with a GPU).

    Raises:
        TrainingError: the folder holds another run, another process writes there, or it can't be written to.
        RunStopped: a frame can't be read, an epoch can't be saved, or a process that reads frames has ended.
        DeviceError: the devices are not there.
        FloatingPointError: a loss or a gradient is not finite; the line names epoch, batch and frames. The last epoch's
            checkpoint and record stay as they were.
    """
    fabric = devices if isinstance(devices, lightning.Fabric) else launch(devices)
    folder = Path(output_dir)
    # Convolutions are faster with the channels last, and their inputs take the weights' layout by themselves.
    model.to(fabric.device, memory_format=torch.channels_last)
    optimizer = make_optimizer(model, config)
    header = {**records.environment(fabric.device), **(header or {}), "training": asdict(config), "epochs": epochs}
    header |= {"seed": seed, "processes": fabric.world_size, "precision": _precision(fabric)}
    with _claim(folder, fabric):
        record = _open_run(folder, header, resume, model, optimizer, fabric)
        wrapped, wrapped_optimizer = set_up(model, optimizer, fabric)
        workers = _default_workers(len(train), fabric) if workers is None else workers
        frames = math.ceil(len(train) / fabric.world_size) * fabric.world_size
        done = len(record.epochs)
        hidden = fabric.global_rank > 0
        bar = tqdm(total=epochs * frames, initial=done * frames, unit="frame", mininterval=1, disable=hidden)
        with _stopping(), bar:
            for epoch in range(done + 1, epochs + 1):
                bar.set_description(f"epoch {epoch}/{epochs}")
                started = time.perf_counter()
                loader = make_loader(train, config.batch_size, seed, epoch, workers, fabric)
                rates = learning_rates(config, len(loader), epochs)[epoch - 1]
                losses = _train_epoch(wrapped, wrapped_optimizer, loader, rates, config.clip_norm, epoch, fabric, bar)
                line = {"epoch": epoch, "loss": sum(losses.values()), "losses": losses, "lr": rates[-1]}
                line["frames_per_second"] = frames / (time.perf_counter() - started)
                if val is not None:
                    _share_buffers(model, fabric)
                    line |= evaluate(model, val, batch_size=config.batch_size, workers=workers).as_dict()
                line["seconds"] = time.perf_counter() - started
                record.epochs.append(line)
                if fabric.global_rank == 0:
                    _save(folder, record, model, optimizer, fabric)
                    bar.write(_summary(line, epochs))
        return record


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """Says of what ends a run that it can go on."""
    go_on = "then go on from the last whole epoch with --resume"
    try:
        yield
    except TrainingError:
        raise
    except OneLineError as error:  # of a frame
        raise RunStopped(f"{error}; {go_on}") from None
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise RunStopped(f"a process that reads frames was ended: is memory full? make room, {go_on}") from None


def lost_peer(error: RuntimeError) -> bool:
    """Whether an error is that of a process whose peer in the same run has ended, as gloo and NCCL tell it."""
    network = isinstance(error, torch.distributed.DistError) if torch.distributed.is_available() else False
    return network or re.search("gloo|nccl|connection (closed|reset)", str(error), re.IGNORECASE) is not None


def set_up(model: nn.Module, optimizer: Optimizer, fabric: lightning.Fabric) -> tuple[nn.Module, Optimizer]:
    """Both as Fabric wraps them, autocast alone deciding what is computed in 16 bits."""
    if isinstance(fabric.strategy.precision, MixedPrecision):
        # Fabric would besides round what the model is given, boxes too: in bfloat16 the number after 512 is 516.
        fabric.strategy.precision.convert_input = lambda inputs: inputs
    return fabric.setup(model, optimizer)


def _train_epoch(
    model: nn.Module,
    optimizer: Optimizer,
    loader: Iterable,
    rates: list[float],
    clip_norm: float | None,
    epoch: int,
    fabric: lightning.Fabric,
    bar: tqdm,
) -> dict[str, float]:
    """One pass over the frames. Returns each loss, averaged over the frames."""
    model.train()
    sums, seen = {}, 0
    for batch, ((images, targets), lr) in enumerate(zip(loader, rates, strict=True), start=1):
        losses = train_step(model, optimizer, images, targets, lr, clip_norm, fabric, f"epoch {epoch}, batch {batch}")
        seen += len(images)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0) + value * len(images)
        bar.update(len(images) * fabric.world_size)
        bar.set_postfix(loss=f"{sum(losses.values()).item():.3f}", refresh=False)  # else every step prints
    totals = torch.stack([*sums.values(), torch.tensor(float(seen), device=fabric.device)])
    totals = fabric.all_reduce(totals, reduce_op="sum")
    return {name: (total / totals[-1]).item() for name, total in zip(sums, totals, strict=False)}


def train_step(
    model: nn.Module,
    optimizer: Optimizer,
    images: list[Tensor],
    targets: list[dict],
    lr: float,
    clip_norm: float | None,
    fabric: lightning.Fabric,
    where: str = "a step",
) -> dict[str, Tensor]:
    """One step of the optimizer; model and optimizer are those that Fabric set up. Returns each loss, detached.

    Boxes of crowds are left out.
    Raises FloatingPointError, with `where` in its line, for a loss or a gradient that is not finite.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr
    losses = model(images, [without_crowds(target) for target in targets])
    loss = sum(losses.values())
    _stop_unless_finite("loss", loss, losses, where, targets)
    optimizer.zero_grad()
    fabric.backward(loss)
    limit = math.inf if clip_norm is None else clip_norm
    norm = fabric.clip_gradients(model, optimizer, max_norm=limit, error_if_nonfinite=False)
    if not _scales_loss(fabric):  # a loss scaled for 16 bits overflows now and then; its scaler then skips the step
        _stop_unless_finite("gradient's norm", norm, losses, where, targets)
    optimizer.step()
    return {name: value.detach().float() for name, value in losses.items()}


def learning_rates(config: TrainingConfig, steps: int, epochs: int) -> list[list[float]]:
    """The learning rate of every step, [epochs][steps]. It follows from the step alone, so resuming needs no state.

    Warm-up takes at most half of the steps: a run of a few steps would else end before its rate is worth the name.
    """
    rates, total = [], steps * epochs
    warmup = min(config.warmup_iterations, total // 2)
    for step in range(total):
        rate = config.lr * min(1.0, (step + 1) / max(1, warmup))
        if config.schedule == "one_cycle" and step >= warmup:
            done = (step - warmup) / max(1, total - warmup)
            rate = config.lr * (1 + math.cos(math.pi * done)) / 2
        rates.append(rate)
    return [rates[i : i + steps] for i in range(0, total, steps)]


def make_optimizer(model: nn.Module, config: TrainingConfig) -> Optimizer:
    """SGD or AdamW over the parameters that are trained; biases and norms (one dimension) are not decayed."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "adamw":
        return AdamW(groups, lr=config.lr)
    return SGD(groups, lr=config.lr, momentum=config.momentum)


class _Seeded(Dataset):
    """`dataset`, whose transforms draw the same for a frame of an epoch whichever worker or process reads it."""

    def __init__(self, dataset: Dataset, seed: int, epoch: int):
        self.dataset, self.seed, self.epoch = dataset, seed, epoch

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, dict]:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(_number(self.seed, self.epoch, index))
            return self.dataset[index]


def _number(*parts: int) -> int:
    """A seed made of several numbers, so that neighbouring ones (seed 0, epoch 1; seed 1, epoch 0) share nothing."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def make_loader(
    train: Dataset, batch_size: int, seed: int, epoch: int, workers: int, fabric: lightning.Fabric
) -> DataLoader:
    """The batches of an epoch, for this process."""
    torch.manual_seed(_number(seed, epoch, 2**32 + fabric.global_rank))  # for dropout, and detectors that sample boxes
    # A sampler's own seed + epoch would give seed 0 in its epoch 2 the order of seed 1 in its epoch 1.
    order = _number(seed, epoch)
    sampler = DistributedSampler(train, fabric.world_size, fabric.global_rank, shuffle=True, seed=order)
    loader = DataLoader(
        _Seeded(train, seed, epoch),
        batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=fabric.device.type == "cuda",
    )
    return fabric.setup_dataloaders(loader, use_distributed_sampler=False)


def _stop_unless_finite(what: str, value: Tensor, losses: dict[str, Tensor], where: str, targets: list[dict]) -> None:
    if math.isfinite(value.item()):
        return
    parts = ", ".join(f"{name} {loss.item():.4g}" for name, loss in losses.items())
    frames = ", ".join(str(int(target["image_id"])) for target in targets)
    raise FloatingPointError(
        f"{where}: the {what} is {value.item()} (losses: {parts}) on the frames with image_id "
        f"{frames}; lower lr, set clip_norm, or look at their boxes"
    )


def _precision(fabric: lightning.Fabric) -> str:
    return fabric.strategy.precision.precision


def _scales_loss(fabric: lightning.Fabric) -> bool:
    return bool(fabric.strategy.precision.state_dict())  # only the scaler of 16-bit training has a state


def _share_buffers(model: nn.Module, fabric: lightning.Fabric) -> None:
    """Give every process the first one's running statistics, those that are saved, so that all evaluate one model."""
    if fabric.world_size > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)


def _default_workers(frames: int, fabric: lightning.Fabric) -> int:
    if frames < 64:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", fabric.world_size))
    return max(1, min(8 if fabric.device.type == "cuda" else 4, cores // here))


def _summary(line: dict, epochs: int) -> str:
    text = f"epoch {line['epoch']}/{epochs}  loss {line['loss']:.4f}"
    for key, name in (("map", "mAP"), ("ap50", "AP50")):
        if line.get(key) is not None:
            text += f"  {name} {line[key]:.4f}"
    return text + f"  lr {line['lr']:.2g}  {line['seconds']:.1f} s  {line['frames_per_second']:.1f} frames/s"


# A run's folder. The checkpoint is written first and holds the record's lines too: a record that a kill left one epoch
# behind is written anew from it.


@contextlib.contextmanager
def _claim(folder: Path, fabric: lightning.Fabric) -> Iterator[None]:
    """The folder for this run alone. The first process claims it, and where it can't, all of them say why."""
    with contextlib.ExitStack() as held:
        refusal = None
        if fabric.global_rank == 0:
            try:
                if folder.exists() and not folder.is_dir():
                    raise FolderError(f"{folder}: is a file; give a folder as --output-dir")
                held.enter_context(claim(folder))
            except FolderError as error:
                refusal = str(error)
        if refusal := fabric.broadcast(refusal):
            raise TrainingError(refusal)
        yield


def _save(
    folder: Path, record: records.Record, model: nn.Module, optimizer: Optimizer, fabric: lightning.Fabric
) -> None:
    """Raises RunStopped where it can't be written, on a full disk say: the epoch before stays as it was."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "precision": fabric.strategy.precision.state_dict(),
        "header": record.header,
        "epochs": record.epochs,
    }
    try:
        if record.final.get("map") is not None and record.best is record.final:
            best = {key: state[key] for key in ("model", "header", "epochs")}
            write_whole(folder / BEST, lambda path: torch.save(best, path))
        write_whole(folder / CHECKPOINT, lambda path: torch.save(state, path))
        record.write(folder / RECORD)
    except (OSError, RuntimeError) as error:  # torch's writer says RuntimeError
        reason = os.strerror(error.errno) if getattr(error, "errno", None) else "is the disk full?"
        mend = "make room, and go on from the epoch before with --resume"
        raise RunStopped(f"{folder}: epoch {len(record.epochs)} can't be saved ({reason}); {mend}") from error


def _open_run(
    folder: Path, header: dict, resume: bool, model: nn.Module, optimizer: Optimizer, fabric: lightning.Fabric
) -> records.Record:
    """A new record, or that of the run in `folder` with its last state loaded into model and optimizer."""
    header = json.loads(json.dumps(header))  # as it will be read back: tuples are lists, keys are text
    if not resume:
        if (folder / CHECKPOINT).exists() or (folder / RECORD).exists():
            raise TrainingError(f"{folder}: holds a run already; go on with --resume, or give another --output-dir")
        return records.Record(header, path=folder / RECORD)
    if not (folder / CHECKPOINT).exists():
        if (folder / RECORD).exists():
            raise TrainingError(f"{folder}: holds a record without {CHECKPOINT}; give another --output-dir")
        return records.Record(header, path=folder / RECORD)
    state = load_checkpoint(folder)
    # Whether ImageNet's weights can be had now is no matter to a run that has its own.
    compared = {k: v for k, v in header.items() if k not in (*records.ENVIRONMENT, "imagenet")}
    differences = _differences(compared, state["header"])
    if differences:
        more = f" (and {len(differences) - 4} more)" if len(differences) > 4 else ""
        started = "; ".join(differences[:4]) + more
        raise TrainingError(f"{folder}: was started with {started}: give the same again, or another --output-dir")
    try:
        wanted = [dict(group) for group in optimizer.param_groups]
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        fabric.strategy.precision.load_state_dict(state["precision"])
        groups = zip(wanted, optimizer.param_groups, strict=True)
        kept = optimizer.state.items()
        fits = all(_same_settings(*pair) for pair in groups) and all(_is_kept(*pair) for pair in kept)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):  # whatever state dicts make of others
        fits = False
    if not fits:
        raise TrainingError(f"{folder / CHECKPOINT}: does not fit this network; give another --output-dir")
    record = records.Record(state["header"], state["epochs"], path=folder / RECORD)
    if (folder / RECORD).exists() and len(record.epochs) == header["epochs"]:
        with contextlib.suppress(records.RecordError):  # a damaged one: its further lines are measured again
            record.further = records.read(folder / RECORD).further
    if fabric.global_rank == 0:
        record.write(folder / RECORD)
    return record


def load_checkpoint(folder: str | Path) -> dict:
    """The state that a run left in its folder: "model" (a state dict), "optimizer", "precision", "header", "epochs"."""
    return read_checkpoint(Path(folder) / CHECKPOINT, ("model", "optimizer", "precision", "header", "epochs"))


def read_checkpoint(path: str | Path, keys: Sequence[str] = ("model", "header", "epochs")) -> dict:
    """What a run saved in `checkpoint.pt` or `best.pt`, on the CPU. Raises TrainingError unless it has these keys."""
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as parts:
            # Checksums torch does not compare; attributes it obeys: a part marked as a folder is left unread.
            damaged = parts.testzip() or any(part.external_attr or part.compress_type for part in parts.infolist())
        state = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"{path}: is not there; train first") from None
    except PermissionError as error:
        raise TrainingError(f"{path}: can't be read ({error.strerror}); give another --output-dir") from None
    except Exception:  # whatever a damaged file makes of the two readers
        damaged = True
    if damaged:
        raise TrainingError(f"{path}: is damaged; delete {path.parent}, or give another --output-dir")
    if not _is_checkpoint(state, keys):
        raise TrainingError(f"{path}: is not a checkpoint of this package; give another --output-dir")
    return state


def _is_checkpoint(state: object, keys: Sequence[str]) -> bool:
    if not isinstance(state, dict) or not set(keys) <= set(state):
        return False
    epochs = state["epochs"]
    if not isinstance(epochs, list) or not all(isinstance(line, dict) for line in epochs):
        return False
    if not all(isinstance(state[key], dict) for key in keys if key != "epochs"):
        return False
    try:
        json.dumps([state["header"], epochs], allow_nan=False)  # as the record will be written
    except (TypeError, ValueError, RecursionError):
        return False
    return [line.get("epoch") for line in epochs] == list(range(1, len(epochs) + 1))


def _same_settings(wanted: dict, group: dict) -> bool:
    """Whether a group of an optimizer has these settings; its learning rate is another at every step, and another
    version of torch may know more of them."""
    return all(group.get(key, value) == value for key, value in wanted.items() if key not in ("params", "lr"))


def _is_kept(weight: Tensor, state: dict) -> bool:
    """Whether a state is what SGD or AdamW keep for a weight: its momentum, or its two moments and a count of steps."""
    parts = {key: value for key, value in state.items() if value is not None}
    named = set(parts) in ({"momentum_buffer"}, {"step", "exp_avg", "exp_avg_sq"}, set())
    return named and all(part.shape == (weight.shape if key != "step" else ()) for key, part in parts.items())


def _differences(now: object, then: object, name: str = "") -> list[str]:
    if isinstance(now, dict) and isinstance(then, dict):
        return [d for key in now for d in _differences(now[key], then.get(key), f"{name}.{key}" if name else key)]
    return [] if now == then else [f"{name} {_value(then)} (now {_value(now)})"]


def _value(value: object) -> str:
    return plain(value) if len(str(value)) <= 30 else f"{quoted(value)[:27]}..."
