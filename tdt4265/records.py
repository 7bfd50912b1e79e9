"""What a training run leaves to be compared: a header, a line an epoch, and further figures, as JSON Lines.

    {"header": {"recipe": "retinanet", "seed": 0, "hardware": {...}, ...}}
    {"epoch": {"epoch": 1, "loss": 1.9, "map": 0.01, "lr": 0.0026, "seconds": 63.0, ...}}
    {"test": {"dataset": "tdt4265", "frames": 14, "map": 0.2, ...}}
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import torch
import torchvision

from tdt4265 import __version__
from tdt4265.evaluation import device_name
from tdt4265.paths import assets

ENVIRONMENT = ("hardware", "versions", "commit", "started")  # a header's keys that say where and with what
TABLE_MARKS = ("<!-- records -->", "<!-- /records -->")  # the table of runs stands between these in a README


class RecordError(ValueError):
    """A record's file that can't be read: one line that names the file and the line in it."""


@dataclass
class Record:
    """A run's record.

    Attributes:
        header: what was trained, on what and where: recipe, size, protocol, dataset, seed, hardware, versions, ...
        epochs: a dict an epoch: epoch (from 1), loss, losses, lr, seconds, frames_per_second and the metrics.
        further: what was measured after training, (name, figures) with the name "test" or "speed".
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
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [("header", self.header), *(("epoch", line) for line in self.epochs), *self.further]
        text = "".join(json.dumps({name: figures}, allow_nan=False) + "\n" for name, figures in lines)
        temporary = path.with_name(f".{path.name}.partial")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
        self.path = path


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
    except (ValueError, AttributeError) as error:
        raise RecordError(f"{where}: is not a line of a record; restore the file or train again") from error
    if not isinstance(figures, dict):
        raise RecordError(f"{where}: holds no figures; restore the file or train again")
    return name, figures


def all_records(folder: str | Path | None = None) -> list[Record]:
    """Every record (*.jsonl) of a folder, by default those that come with the course, by file name."""
    folder = assets() / "records" if folder is None else Path(folder)
    return [read(path) for path in sorted(folder.glob("*.jsonl"))]


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Runs beside each other, a row a run: what was trained, on what, and what came of it."""
    rows = []
    for record in records:
        header = record.header
        row = {key: header.get(key) for key in ("recipe", "size", "protocol")}
        row["dataset"] = _dig(header, "dataset.name")
        row["epochs"] = len(record.epochs)
        row["seed"] = header.get("seed")
        row["parameters"] = header.get("parameters")
        row["final mAP"] = record.final.get("map")
        row["peak mAP"] = record.best.get("map")
        for test in record.named("test"):
            row[f"mAP on {test['dataset']}, {test['frames']} frames"] = test["map"]
        row["minutes"] = round(sum(line["seconds"] for line in record.epochs) / 60, 1)
        row["hardware"] = _dig(header, "hardware.device")
        rows.append(row)
    return pd.DataFrame(rows)


def markdown(records: Iterable[Record]) -> str:
    """The table of runs in Markdown, "" for none: shares to four digits, minutes to one, counts with commas."""
    frame = table(records)
    if frame.empty:
        return ""

    def text(column: str, value: object) -> str:
        if value is None or value != value:  # NaN: a run without this figure
            return ""
        if isinstance(value, float):
            return f"{value:.1f}" if column == "minutes" else f"{value:.4f}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    rows = [[text(column, value) for column, value in row.items()] for row in frame.to_dict("records")]
    lines = [list(frame.columns), ["---"] * len(frame.columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def renew_table(path: str | Path, records: Iterable[Record]) -> None:
    """Writes the table of runs between the two marks of a Markdown file. Raises RecordError where they are missing."""
    path = Path(path)
    before, mark, rest = path.read_text(encoding="utf-8").partition(TABLE_MARKS[0])
    _, end, after = rest.partition(TABLE_MARKS[1])
    if not (mark and end):
        raise RecordError(f"{path}: has no place for the table: put {' and '.join(TABLE_MARKS)} on lines of their own")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(f"{before}{mark}\n{markdown(records)}{end}{after}", encoding="utf-8")
    os.replace(temporary, path)


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


def _commit() -> str | None:
    """The commit of the checkout that this package runs from, "-dirty" with changes in it; None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # An installed copy may lie inside a checkout of something else.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _dig(line: dict, key: str) -> object:
    """`line["a"]["b"]` for "a.b"; None where there is none."""
    value = line
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
