"""Makes the recorded runs that are missing or stale, the shortest first, and goes on where it was stopped.

    python -m tdt4265.make_records                     every recipe, three seeds
    python -m tdt4265.make_records fpn --seeds 3 4     one recipe, further seeds
    python -m tdt4265.make_records --list              what is there, and what is missing

On a GPU these are full-length runs of the reports' networks; without one the small protocol (`records.PROTOCOLS`). A
record goes to assets/records/PROTOCOL as soon as its run has ended, and of those in `weights.WITH_WEIGHTS` the weights
to assets/weights/PROTOCOL. Until then the run is under runs/records of the working folder, where the same command finds
it again. Several of these commands may run side by side on different seeds.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tdt4265 import data, describe, devices, records, train, training, weights
from tdt4265.paths import assets
from tdt4265.recipes import ALL_RECIPES, Recipe


@dataclass(frozen=True)
class Wanted:
    """A run that should have a record."""

    recipe: Recipe  # of the protocol's size
    protocol: str
    dataset: str  # as `data.load` takes it
    fingerprints: dict[str, str]
    seed: int
    name: str  # of its files: the recipe, the data, the seed
    folder: Path  # of all records and weights: the course's assets

    @property
    def path(self) -> Path:
        """Where its record belongs."""
        return self.folder / "records" / self.protocol / f"{self.name}.jsonl"

    @property
    def weights_path(self) -> Path | None:
        """Where its weights belong; None: they are not kept."""
        path = self.folder / "weights" / self.protocol / f"{self.name}.safetensors"
        return path if weights.kept(self.recipe.name, self.protocol) else None

    def reason(self) -> str:
        """Why it is to be made: "missing", or what makes its record stale; "" where a record is there that holds."""
        if not self.path.exists():
            return "missing"
        if self.weights_path and not self.weights_path.exists():
            return "its weights are missing"
        protocol = records.PROTOCOLS[self.protocol]
        return records.read(self.path).stale(self.recipe.as_dict(), self.fingerprints, protocol) or ""

    def run_folder(self) -> Path:
        """Where it trains: another folder for another recipe or other data, so that none goes on with the wrong one."""
        parts = {key: value for key, value in self.recipe.as_dict().items() if key != "title"}
        content = json.dumps([parts, self.fingerprints, records.PROTOCOLS[self.protocol].epochs], sort_keys=True)
        return Path("runs/records") / f"{self.path.stem}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def plan(recipes: Sequence[str], seeds: Sequence[int], protocol: str, dataset: str, folder: Path) -> list[Wanted]:
    """All wanted runs: seed after seed, in each the recipes from the least to the most work.

    Raises data.DataError: the dataset is not there, or is a folder whose name stands for another dataset.
    """
    train_frames, val_frames = data.load(dataset)
    name = train_frames.name
    if name in data.NAMES and dataset != name:
        raise data.DataError(f'{dataset}: records call "{name}" what the course means by it: rename the folder')
    fingerprints = {"train": train_frames.fingerprint, "val": val_frames.fingerprint}
    size = records.PROTOCOLS[protocol].size
    chosen = [ALL_RECIPES[name] if size == "report" else ALL_RECIPES[name].small() for name in dict.fromkeys(recipes)]
    chosen.sort(key=lambda recipe: describe.parts(recipe.build_model(pretrained=False))["GFLOP"].sum())
    wanted = []
    for seed in dict.fromkeys(seeds):
        for recipe in chosen:
            stem = f"{recipe.name}-{name}-seed{seed}"
            wanted.append(Wanted(recipe, protocol, dataset, fingerprints, seed, stem, folder))
    return wanted


def make(wanted: Wanted, test: str | None) -> records.Record:
    """Trains, or goes on training, puts weights and record in their places, and removes the run's folder."""
    settings = train.resolve(
        wanted.recipe.name,
        epochs=records.PROTOCOLS[wanted.protocol].epochs,
        dataset=wanted.dataset,
        size=records.PROTOCOLS[wanted.protocol].size,
        seed=wanted.seed,
        devices=1,  # the batch size is a process's: more of them would be another protocol
        output_dir=wanted.run_folder(),
        resume=True,
        test=test,
    )
    run = train.run(settings)
    if wanted.weights_path:
        weights.save(run.model, wanted.weights_path, wanted.recipe, run.train.categories)
    run.record.write(wanted.path)
    shutil.rmtree(settings.output_dir)  # else code that changes later would find this run finished
    return run.record


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0; 1 where a run failed (the others are still made); 2 after one line that says what is
    wrong; 130 when interrupted."""
    options = _parser().parse_args(arguments)
    folder = Path(options.folder) if options.folder else assets()
    try:
        records.environment()  # notes the commit before anybody makes another
        _check(options)
        protocol = options.protocol or ("full" if devices.choose_devices(1)[0] == "cuda" else "small")
        wanted = plan(options.recipes or list(ALL_RECIPES), options.seeds, protocol, options.dataset, folder)
        if options.list:
            for one in wanted:
                print(f"{one.path.name:<45}{one.reason() or 'there'}")
            return 0
        (folder / "records" / protocol).mkdir(parents=True, exist_ok=True)
        return _make_all([one for one in wanted if one.reason()], options.test)
    except (train.SettingsError, devices.DeviceError, data.DataError, records.RecordError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last whole epoch", file=sys.stderr)
        return 130


def _check(options: argparse.Namespace) -> None:
    unknown = [name for name in options.recipes if name not in ALL_RECIPES]
    if unknown:
        raise train.SettingsError(f"no recipe {unknown[0]!r}: choose among {', '.join(ALL_RECIPES)}")
    if min(options.seeds) < 0:
        raise train.SettingsError(f"seed {min(options.seeds)}: seeds are whole numbers from 0")


def _make_all(missing: Sequence[Wanted], test: str | None) -> int:
    failed = 0
    for number, one in enumerate(missing, start=1):
        if not (reason := one.reason()):
            continue  # another command has made it meanwhile
        print(f"{number} of {len(missing)}: {one.recipe.name}, {one.protocol}, seed {one.seed} ({reason})", flush=True)
        try:
            record = make(one, test)
            print(f"{one.path}: mAP {record.final['map'] or 0:.4f}", flush=True)
        except (FloatingPointError, torch.OutOfMemoryError, training.TrainingError) as error:
            print(f"{one.recipe.name}, seed {one.seed}: {error}", file=sys.stderr)  # the others may do better
            failed += 1
        gc.collect()
        torch.cuda.empty_cache()  # nothing where there is no GPU
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tdt4265.make_records", description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="default: all of them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--protocol", choices=list(records.PROTOCOLS), help="default: full on a GPU, else small")
    parser.add_argument("--dataset", default="sim", help="sim (default), sim-clips, tdt4265 or a folder")
    parser.add_argument("--folder", help="where records/ and weights/ are; default: the course's assets")
    parser.add_argument("--test", metavar="FOLDER", help="after training, also evaluate on this folder's train frames")
    parser.add_argument("--list", action="store_true", help="only say what is there and what is missing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
