"""Train a recipe: from a shell, under torchrun or `fabric run`, or from a notebook through `resolve` and `run`.

    python -m tdt4265.train retinanet --epochs 50
    torchrun --nproc-per-node 8 -m tdt4265.train retinanet --epochs 50 --size report
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset

from tdt4265 import data, evaluation, intervals, records, training
from tdt4265.describe import count_parameters
from tdt4265.devices import choose_devices, choose_precision, device_name, launch
from tdt4265.errors import OneLineError
from tdt4265.models.detector import IMAGE_MEAN, IMAGE_STD
from tdt4265.paths import expanded
from tdt4265.recipes import ALL_RECIPES, Recipe
from tdt4265.speed import measure_speed

# The demonstration: a few frames are learnt by heart, so that one sees the detector learn within about a minute.
# With 8 frames it is 5 x 36 steps of 4.
DEMONSTRATION = {"batch_size": 4, "epochs": 5, "repeats": 18}

# What torch's generators take.
MOST_SEED = 2**63 - 1


class SettingsError(OneLineError):
    """A setting that can't be: one line that names it and what it may be."""


@dataclass(frozen=True)
class Settings:
    """A run, everything decided: what `resolve` made of what was asked."""

    recipe: Recipe  # of the size that is trained, its batch size and learning rate those of this run
    protocol: str  # "demonstration", "small" or "full"
    size: str  # "small" or "report"
    epochs: int
    repeats: int  # how often an epoch shows each frame
    dataset: str
    seed: int
    devices: str | int
    output_dir: Path
    precision: str = "auto"
    resume: bool = False
    test: str | None = None

    def table(self) -> pd.DataFrame:
        """Two columns of text, setting and value."""
        config = self.recipe.training
        accelerator, processes = choose_devices(self.devices)
        device = device_name(accelerator)
        rows = {
            "recipe": f"{self.recipe.name}: {self.recipe.title}",
            "protocol": _PROTOCOLS[self.protocol],
            "size": self.size,
            "dataset": self.dataset,
            "epochs": f"{self.epochs}" + (f", each frame {self.repeats} times in each" if self.repeats > 1 else ""),
            "augmentation": ", ".join(self.recipe.transforms) or "none",
            "optimizer": f"{config.optimizer}, {config.schedule.replace('_', ' ')} learning rate",
            "lr": f"{config.lr:g}",
            "batch_size": f"{config.batch_size} a process",
            "devices": f"{processes} x {device}" if accelerator == "cuda" or processes > 1 else device,
            "precision": choose_precision(accelerator, self.precision),
            "seed": f"{self.seed}",
            "output_dir": str(self.output_dir),
        }
        return pd.DataFrame({"setting": list(rows), "value": list(rows.values())})


_PROTOCOLS = {
    "demonstration": "demonstration: learn the sample's train frames by heart, evaluate on the same",
    "small": "full length, small network: train on all of train, evaluate on val",
    "full": "full length, the report's network: train on all of train, evaluate on val",
}


@dataclass(frozen=True)
class Run:
    """A run that ended: the trained model, its record, and the frames it was trained and evaluated on."""

    model: nn.Module
    record: records.Record
    train: Dataset
    val: Dataset
    settings: Settings


def resolve(
    recipe: str,
    *,
    epochs: int = 0,
    dataset: str | Path = "sim",
    size: str = "auto",
    seed: int = 0,
    devices: str | int = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    lr: float | None = None,
    output_dir: str | Path | None = None,
    resume: bool = False,
    test: str | Path | None = None,
) -> Settings:
    """Decide everything about a run; nothing is read or written yet, only looked for.

    Args:
        recipe: a name among `recipes.ALL_RECIPES`.
        epochs: 0 is the demonstration: the small network overfits the sample's train frames, whatever `dataset` and
            `size` say. Any other number trains on all of train and evaluates on val.
        dataset: "sim", "sim-clips", "sample", "tdt4265" or a folder.
        size: "report", "small", or "auto": the report's network on a GPU, the small one without.
        devices: see `training.fit`.
        precision: "32-true" (float32), "bf16-mixed", "16-mixed", or "auto": see `devices.choose_precision`.
        batch_size, lr: None is the recipe's.
        output_dir: None is runs/RECIPE-SIZE-DATASET-seedSEED under the working folder.
        resume: go on where a run in `output_dir` stopped.
        test: a folder whose train frames are evaluated after training too.

    Raises:
        SettingsError, DeviceError: one line that names the setting.
        DataError: the dataset is not there.
    """
    if recipe not in ALL_RECIPES:
        raise SettingsError(f"no recipe {recipe!r}: choose one of {', '.join(ALL_RECIPES)}")
    if size not in ("auto", "report", "small"):
        raise SettingsError(f'size is {size!r}: it is "auto", "report" or "small"')
    epochs, seed = _whole("epochs", epochs, 0), _whole("seed", seed, 0)
    if seed > MOST_SEED:
        raise SettingsError(f"seed is too large: it is a whole number up to {MOST_SEED}")
    accelerator, _ = choose_devices(devices)
    if precision != "auto":
        choose_precision(accelerator, precision)  # refuses one that is none
    dataset = str(dataset)
    if dataset not in ("sim", "sim-clips"):  # which are made where they are missing
        data.source_folder(dataset)
    demonstration = epochs == 0
    if demonstration:
        size, dataset, epochs = "small", "sample", DEMONSTRATION["epochs"]
    elif size == "auto":
        size = "report" if accelerator == "cuda" else "small"
    chosen = ALL_RECIPES[recipe] if size == "report" else ALL_RECIPES[recipe].small()
    config = chosen.training
    if demonstration:
        config = replace(config, batch_size=DEMONSTRATION["batch_size"])
        chosen = replace(chosen, transforms=())
    if batch_size is not None:
        config = replace(config, batch_size=_whole("batch_size", batch_size, 1))
    if lr is not None:
        if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr < math.inf:
            raise SettingsError(f"lr is {lr!r}: it is a number above zero")
        config = replace(config, lr=float(lr))
    if output_dir is None:
        name = "demonstration" if demonstration else Path(dataset).name
        output_dir = Path("runs") / f"{recipe}-{size}-{name}-seed{seed}"
    output_dir = expanded(output_dir) if str(output_dir).startswith("~") else Path(output_dir)
    try:
        if output_dir.exists() and not output_dir.is_dir():
            raise SettingsError(f"{output_dir}: is a file; give a folder as output_dir")
    except OSError as error:
        raise SettingsError(f"{output_dir}: can't be used ({error.strerror}); give another output_dir") from None
    return Settings(
        recipe=replace(chosen, training=config),
        protocol="demonstration" if demonstration else {"small": "small", "report": "full"}[size],
        size=size,
        epochs=epochs,
        repeats=DEMONSTRATION["repeats"] if demonstration else 1,
        dataset=dataset,
        seed=seed,
        devices=devices,
        precision=precision,
        output_dir=output_dir,
        resume=resume,
        test=None if test is None else str(test),
    )


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingsError(f"{name} is {value!r}: it is a whole number from {least}")
    return value


def run(settings: Settings) -> Run:
    """Load the data, build the model, train it (see `training.fit`), and evaluate it on `settings.test`.

    The demonstration starts anew where an earlier demonstration lies in its folder; any other run refuses, or resumes.
    """
    fabric = launch(settings.devices, settings.precision)
    recipe, demonstration = settings.recipe, settings.protocol == "demonstration"
    # The first process generates or downloads what the others then find, and speaks for all.
    silence = contextlib.redirect_stdout(io.StringIO()) if fabric.global_rank else contextlib.nullcontext()
    with fabric.rank_zero_first(), silence:
        train, val = data.load(settings.dataset, tasks=recipe.tasks)
        test = None if settings.test is None else _test_frames(settings.test)
        if getattr(recipe, "ring", False):
            _check_ring(recipe, [train, val] if test is None else [train, val, test])
        torch.manual_seed(settings.seed)
        model = recipe.build_model(num_classes=train.num_classes)
    if demonstration:
        val = train
        if not settings.resume and fabric.global_rank == 0:
            _remove_demonstration(settings.output_dir)
        fabric.barrier()
    augmented = train.with_transforms(data.transforms.pipeline(recipe.transforms, train.flip_pairs))
    record = training.fit(
        model,
        ConcatDataset([augmented] * settings.repeats),
        val,
        recipe.training,
        epochs=settings.epochs,
        output_dir=settings.output_dir,
        seed=settings.seed,
        devices=fabric,
        resume=settings.resume,
        header=_header(settings, model, train, val),
        workers=0 if demonstration else None,
    )
    if test is not None and not any(line["fingerprint"] == test.fingerprint for line in record.named("test")):
        metrics = evaluation.evaluate(model, test, batch_size=recipe.training.batch_size)
        if fabric.global_rank == 0:
            record.add("test", {**_describe(test), **metrics.as_dict()})
    _score_in_full(record, model, val, settings, fabric.global_rank == 0)
    if not demonstration and not record.named("speed") and fabric.global_rank == 0:
        frames = [val[i][0] for i in range(min(8, len(val)))]
        speed = measure_speed(model, images=frames)
        record.add("speed", {"batches": speed.to_dict("records")})
    return Run(model, record, train, val, settings)


def _check_ring(recipe: Recipe, datasets: Sequence[data.CocoDetection]) -> None:
    widths = {image["width"] for dataset in datasets for image in dataset.coco["images"]}
    cell = max(recipe.anchors.strides)
    if len(widths) > 1 or any(width % cell for width in widths):
        wide = ", ".join(map(str, sorted(widths)[:4]))
        raise SettingsError(
            f"{recipe.name}: images {wide} pixels wide: a ring is one multiple of {cell} columns wide; "
            "give panoramas, or another recipe"
        )


def _score_in_full(record: records.Record, model: nn.Module, val: Dataset, settings: Settings, writes: bool) -> None:
    """What `fit` did not score: masks and keypoints, in lines named "segm" and "keypoints", and AP on resamples.

    The line "resampled" is about boxes; that of another task is in its own line. A demonstration has no resamples.
    """
    tasks = [task for task in settings.recipe.tasks if task != "bbox" and not record.named(task)]
    real_run = settings.protocol != "demonstration"
    if not tasks and (record.named("resampled") or not real_run):
        return
    results = evaluation.predict(model, val, batch_size=settings.recipe.training.batch_size)
    if not writes:
        return
    clips = val.labels.images["clip"].tolist()
    for task in tasks:
        metrics = evaluation.coco_metrics(val.coco, results, task=task).as_dict()
        resampled = {"resampled": intervals.resampled(val.coco, results, clips, task)} if real_run else {}
        record.add(task, metrics | resampled)
    if real_run and not record.named("resampled"):
        record.add("resampled", intervals.resampled(val.coco, results, clips))


def _test_frames(source: str) -> data.CocoDetection:
    """A folder's train frames alone: whether it has a val is no matter."""
    folder = data.source_folder(source)
    return data.CocoDetection(folder, "train", name=folder.name)


def _remove_demonstration(folder: Path) -> None:
    """Nothing is lost by making a demonstration again, so it needs no other folder."""
    checkpoint = folder / training.CHECKPOINT  # a run that was killed may have left it without a record
    if checkpoint.exists() and training.load_checkpoint(folder)["header"].get("protocol") == "demonstration":
        checkpoint.unlink()
        for name in (training.BEST, training.RECORD):
            (folder / name).unlink(missing_ok=True)


def _header(settings: Settings, model: nn.Module, train: Dataset, val: Dataset) -> dict:
    recipe = settings.recipe
    return {
        "recipe": recipe.name,
        "parts": recipe.as_dict(),
        "size": settings.size,
        "protocol": settings.protocol,
        "parameters": count_parameters(model),
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "imagenet": any(getattr(module, "imagenet", False) for module in model.modules()),
        "dataset": {"name": train.name, "train": _describe(train), "val": _describe(val)},
        "classes": {str(label): name for label, name in train.categories.items()},  # as JSON will have them
        "normalisation": {"mean": list(IMAGE_MEAN), "std": list(IMAGE_STD)},
        "repeats": settings.repeats,
        "batch_size": recipe.training.batch_size,
        "lr": recipe.training.lr,
    }


def _describe(dataset: Dataset) -> dict:
    return {"dataset": dataset.name, "split": dataset.split, "frames": len(dataset), "fingerprint": dataset.fingerprint}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or 2 (1 for a loss that is not finite) after one line that says what is wrong."""
    options = vars(_parser().parse_args(arguments))
    first = int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", 0))) == 0
    go_on = "the same command with --resume goes on from the last whole epoch"
    # What torchrun sends to the others when one process has ended; only a main thread may listen.
    listens = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminated) if listens else None
    try:
        settings = resolve(**options)
        if first:
            for setting, value in settings.table().itertuples(index=False):
                print(f"{setting:<14}{value}")
        result = run(settings)
        if first:
            print(f"{result.record.path}: {_outcome(result.record)}")
        return 0
    except OneLineError as error:
        # Before a run has begun all processes of a machine refuse for one reason, and the first of them says it.
        if int(os.environ.get("LOCAL_RANK", 0)) == 0 or isinstance(error, training.RunStopped):
            print(error, file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(error, file=sys.stderr)
        return 1
    except _Terminated:
        print(f"ended by another process; {go_on}", file=sys.stderr)
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        print(f"interrupted; {go_on}", file=sys.stderr)
        return 130
    except RuntimeError as error:
        if not training.lost_peer(error):
            raise
        print(f"another process of this run has ended; {go_on}", file=sys.stderr)
        return 2
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        if listens:
            signal.signal(signal.SIGTERM, before)


class _Terminated(BaseException):
    """The signal SIGTERM."""


def _terminated(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise _Terminated


def _outcome(record: records.Record) -> str:
    lines = {"last": record.final, "best": record.best}
    scores = [(f"{which} epoch, {line['epoch']}", line) for which, line in lines.items()]
    scores += [(line["dataset"], line) for line in record.named("test")]
    return ", ".join(f"mAP {line['map'] or 0:.4f} ({name})" for name, line in scores)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tdt4265.train", description="Train a recipe of the course.")
    parser.add_argument("recipe", help=", ".join(ALL_RECIPES))
    parser.add_argument("--epochs", type=int, default=0, help="0 (default): the demonstration; else the full protocol")
    parser.add_argument("--dataset", default="sim", help="sim (default), sim-clips, sample, tdt4265 or a folder")
    parser.add_argument("--size", default="auto", help="report, small, or auto (default): report on a GPU, else small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--devices", default="auto", help="auto (default), cpu, or how many GPUs or processes")
    parser.add_argument("--precision", default="auto", help="auto (default), 32-true, bf16-mixed or 16-mixed")
    parser.add_argument("--batch-size", type=int, help="frames a step of one process; default: the recipe's")
    parser.add_argument("--lr", type=float, help="peak learning rate; default: the recipe's")
    parser.add_argument("--output-dir", help="default: runs/RECIPE-SIZE-DATASET-seedSEED")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the output folder")
    parser.add_argument("--test", metavar="FOLDER", help="after training, also evaluate on this folder's train frames")
    return parser


if __name__ == "__main__":
    sys.exit(main())
