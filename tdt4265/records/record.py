"""What a training run leaves to be compared: a header, a line an epoch, and further figures, as JSON Lines.

{"header": {"recipe": "retinanet", "seed": 0, "hardware": {...}, ...}}
{"epoch": {"epoch": 1, "loss": 1.9, "map": 0.01, "lr": 0.0026, "seconds": 63.0, ...}}
{"test": {"dataset": "tdt4265", "frames": 14, "map": 0.2, ...}}
{"resampled": {"clips": 100, "map": 0.19, "ap": {"car": [0.46, 0.48, ...], ...}, ...}}
"""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import torch
import torchvision

from tdt4265 import __version__
from tdt4265.devices import device_name
from tdt4265.errors import OneLineError
from tdt4265.paths import assets, write_whole

ENVIRONMENT = ("hardware", "versions", "commit", "started")  # a header's keys that say where and with what


@dataclass(frozen=True)
class Protocol:
    """What runs have in common that are compared: all of a dataset's train is shown `epochs` times."""

    size: str
    epochs: int


# Full length on a GPU. Small: 6,400 frames of "sim" for every recipe, some ten minutes on a core.
PROTOCOLS = {"small": Protocol(size="small", epochs=2), "full": Protocol(size="report", epochs=50)}


class RecordError(OneLineError):
    """A record's file that can't be read: one line that names the file and the line in it."""


@dataclass
class Record:
    """A run's record.

    Attributes:
        header: what was trained, on what and where: recipe, size, protocol, dataset, seed, hardware, versions, ...
        epochs: a dict an epoch: epoch (from 1), loss, losses, lr, seconds, frames_per_second and the metrics.
        further: what was measured after training, (name, figures) with the name "test", "resampled" or "speed".
        path: the file it was read from or is written to.
    """

    header: dict
    epochs: list[dict] = field(default_factory=list)
    further: list[tuple[str, dict]] = field(default_factory=list)
    path: Path | None = None

    @property
    def final(self) -> dict:
        """The last epoch's line ({} before the first)."""
        return self.epochs[-1] if self.epochs else {}

    @property
    def best(self) -> dict:
        """The line of the epoch with the highest mAP (the last epoch's where none was evaluated)."""
        scored = [line for line in self.epochs if line.get("map") is not None]
        return max(scored, key=lambda line: line["map"]) if scored else self.final

    @property
    def frames_seen(self) -> int:
        """How many frames the network was trained on, each counted as often as it was shown."""
        frames = _dig(self.header, "dataset.train.frames") or 0
        return len(self.epochs) * frames * self.header.get("repeats", 1)

    @property
    def protocol(self) -> str:
        """The protocol that the run kept to: "demonstration", a name of PROTOCOLS, or "other" for another length."""
        if self.header["protocol"] == "demonstration":
            return "demonstration"
        if len(self.epochs) < self.header["epochs"]:
            return "other"  # unfinished: its learning rate has not come to its end
        kept = Protocol(self.header["size"], self.header["epochs"])
        return next((name for name, protocol in PROTOCOLS.items() if protocol == kept), "other")

    def stale(self, parts: dict, fingerprints: dict[str, str], protocol: Protocol) -> str | None:
        """Why the record no longer holds: recipe, data or protocol are not what they were. None where it holds.

        Other code is not seen.

        parts: the recipe now, `Recipe.as_dict()`. fingerprints: the data's now, {"train": ..., "val": ...}.
        """
        if changed := changed_part(parts, self.header.get("parts") or {}):
            return f"the recipe has another {changed} now"
        if len(self.epochs) < self.header["epochs"]:
            return f"the run ended after {len(self.epochs)} of {self.header['epochs']} epochs"
        if (self.header["size"], self.header["epochs"]) != (protocol.size, protocol.epochs):
            return f"the protocol has {protocol.epochs} epochs of size {protocol.size} now"
        for split, fingerprint in fingerprints.items():
            if fingerprint != _dig(self.header, f"dataset.{split}.fingerprint"):
                return f"{split} has other frames or labels now"
        return None

    def curve(self, key: str) -> pd.Series:
        """A figure over the epochs: "map", "loss", "losses.classification", "per_class.car"; NaN where undefined."""
        values = [_dig(line, key) for line in self.epochs]
        return pd.Series(values, index=pd.Index([e["epoch"] for e in self.epochs], name="epoch"), name=key, dtype=float)

    def named(self, name: str) -> list[dict]:
        """The figures of the further lines of that name."""
        return [figures for line, figures in self.further if line == name]

    def add(self, name: str, figures: dict) -> None:
        """Add a further line, and write the file if there is one."""
        self.further.append((name, figures))
        if self.path is not None:
            self.write(self.path)

    def write(self, path: str | Path) -> None:
        """Write the record; a reader sees the file before or the file after, never half of it."""
        lines = [("header", self.header), *(("epoch", line) for line in self.epochs), *self.further]
        text = "".join(json.dumps({name: figures}, allow_nan=False) + "\n" for name, figures in lines)
        write_whole(path, text)
        self.path = Path(path)


def changed_part(parts: dict, then: dict) -> str | None:
    """A part in which a recipe, `Recipe.as_dict()`, is not what it was then, apart from its title; None: in none.

    A part or a setting that a recipe did not have yet is the same as none, False or an empty one.
    """
    parts, then = without_empty(parts), without_empty(then)
    return min((key for key in {*parts, *then} - {"title"} if parts.get(key) != then.get(key)), default=None)


def without_empty(value: object) -> object:
    """What JSON can hold, without the entries of its dictionaries that are None, False or empty."""
    if isinstance(value, dict):
        return {key: without_empty(item) for key, item in value.items() if item or (item == 0 and item is not False)}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def read(path: str | Path) -> Record:
    """Read a record. Raises RecordError, one line, where the file is missing or a line of it is not a record's."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})") from error
    record = None
    for number, line in enumerate(text.splitlines(), start=1):
        name, figures = _parse(line, f"{path}, line {number}")
        if (record is None) != (name == "header"):
            raise RecordError(f"{path}, line {number}: a record has one header, and it is the first line")
        if name == "header":
            record = Record(figures, path=path)
        elif name == "epoch":
            if figures.get("epoch") != len(record.epochs) + 1:
                raise RecordError(f"{path}, line {number}: is not epoch {len(record.epochs) + 1}; restore the file")
            record.epochs.append(figures)
        else:
            record.further.append((name, figures))
    if record is None:
        raise RecordError(f"{path}: is empty; restore the file or train again")
    return record


def _parse(line: str, where: str) -> tuple[str, dict]:
    try:
        ((name, figures),) = json.loads(line).items()
    except (ValueError, AttributeError, RecursionError) as error:
        raise RecordError(f"{where}: is not a line of a record; restore the file or train again") from error
    if not isinstance(figures, dict):
        raise RecordError(f"{where}: holds no figures; restore the file or train again")
    return name, figures


def all_records(folder: str | Path | None = None) -> list[Record]:
    """Every record (*.jsonl) below a folder, by default those that come with the course, by file name."""
    folder = assets() / "records" if folder is None else Path(folder)
    return [read(path) for path in sorted(folder.rglob("*.jsonl"))]


def recorded(kind: str, *recipes: str, dataset: str = "sim", folder: str | Path | None = None) -> list[Record]:
    """The course's records of some recipes, in the order of the recipes, then of the seeds.

    kind: a folder of assets/records: the name of a protocol, or "longer", runs of other lengths. Raises RecordError for
    a recipe without any of this dataset.
    """
    folder = (assets() / "records" if folder is None else Path(folder)) / kind
    found = [record for record in all_records(folder) if record.header["dataset"]["name"] == dataset]
    missing = [name for name in recipes if name not in {record.header["recipe"] for record in found}]
    if missing:
        name = missing[0]
        command = f"make_records {name}" if kind in PROTOCOLS else f"train {name} --epochs N"
        raise RecordError(f"{folder}: no record of {name!r} on {dataset}; make it with `python -m tdt4265.{command}`")
    chosen = [record for record in found if record.header["recipe"] in recipes]
    return sorted(chosen, key=lambda record: (recipes.index(record.header["recipe"]), record.header["seed"]))


def environment(device: torch.device | str = "cpu") -> dict:
    """The part of a header that says where and with what a run was made."""
    return {
        "hardware": {"device": device_name(device), "cpus": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "tdt4265": __version__,
        },
        "commit": _commit(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


@functools.cache  # the code that runs is the code that was imported, whatever is committed meanwhile
def _commit() -> str | None:
    """The commit of the checkout that this package runs from, "-dirty" with changes in it; None outside a checkout."""
    package = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # An installed copy may lie inside a checkout of something else.
        git("ls-files", "--error-unmatch", "__init__.py")
        changed = git("status", "--porcelain", "--untracked-files=no", ".")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _dig(line: dict, key: str) -> object:
    """`line["a"]["b"]` for "a.b"; None where there is none."""
    value = line
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
