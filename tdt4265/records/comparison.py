"""Runs beside each other: a row a run, or a row a recipe with the spread over its seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tdt4265.intervals import interval
from tdt4265.paths import write_whole
from tdt4265.records.record import PROTOCOLS, Record, RecordError

# Tables stand between these in a README: that of the runs, and that of the transfer to real frames.
TABLE_MARKS = ("<!-- records -->", "<!-- /records -->")
TRANSFER_MARKS = ("<!-- transfer -->", "<!-- /transfer -->")


@dataclass(frozen=True)
class Difference:
    """How much better the second of two recipes is: mAP over the classes with enough objects, means over the seeds.

    Attributes:
        map: on all clips of val.
        low, high: the 95 % interval over clips, both recipes scored on the same resamples.
        seeds_agree: every seed of the one is above every seed of the other.
    """

    map: float
    low: float
    high: float
    seeds_agree: bool

    @property
    def told_apart(self) -> bool:
        """Whether the course calls one of the two better: the interval leaves out zero, and the seeds agree."""
        return self.seeds_agree and not self.low <= 0 <= self.high

    def __str__(self) -> str:
        verdict = ("better" if self.map > 0 else "worse") if self.told_apart else "not told apart"
        return f"{self.map:+.3f} ({self.low:+.3f} to {self.high:+.3f}): {verdict}"


def difference(first: Sequence[Record], second: Sequence[Record]) -> Difference:
    """Compares two recipes, by the records of their seeds.

    Raises RecordError: a record has no AP on resamples, or they were evaluated on different frames.
    """
    val = {record.header["dataset"]["val"]["fingerprint"] for record in (*first, *second)}
    if len(val) != 1:
        raise RecordError(f"{first[0].path} and {second[0].path}: were evaluated on different frames")
    one, other = ([_resampled_map(record) for record in group] for group in (first, second))
    ours, theirs = ([record.named("resampled")[-1]["map"] for record in group] for group in (first, second))
    low, high = interval(np.mean(other, axis=0) - np.mean(one, axis=0))
    agree = max(ours) < min(theirs) or max(theirs) < min(ours)
    return Difference(float(np.mean(theirs) - np.mean(ours)), low, high, agree)


def _resampled_map(record: Record) -> np.ndarray:
    """mAP on every resample: float64 [R]."""
    found = record.named("resampled")
    if not found or not found[-1]["ap"]:
        raise RecordError(f"{record.path}: has no AP on resamples of clips; make it anew with tdt4265.records")
    return np.mean([*found[-1]["ap"].values()], axis=0)


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Runs beside each other, a row a run: what was trained, on what, and what came of it."""
    rows = []
    for record in records:
        header = record.header
        row = {key: header.get(key) for key in ("recipe", "size", "protocol")}
        row["dataset"] = header.get("dataset", {}).get("name")
        row["epochs"] = len(record.epochs)
        row["frames seen"] = record.frames_seen
        row["seed"] = header.get("seed")
        row["parameters"] = header.get("parameters")
        row["final mAP"] = record.final.get("map")
        row["peak mAP"] = record.best.get("map")
        for test in record.named("test"):
            row[f"mAP on {test['dataset']}, {test['frames']} frames"] = test["map"]
        row["minutes"] = round(sum(line["seconds"] for line in record.epochs) / 60, 1)
        row["hardware"] = header.get("hardware", {}).get("device")
        rows.append(row)
    return pd.DataFrame(rows)


def summary(records: Iterable[Record]) -> pd.DataFrame:
    """Recipes beside each other, in the order of their first record: a row for all seeds of a recipe and a protocol.

    "mAP", the other averages over classes and areas, and "mAP on ..." are means over the seeds, of the last epoch's
    figures, None where not all seeds have it; "lowest" and "highest" are the seeds' mAP. Runs of other lengths, sizes,
    parts or data stand in rows of their own.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        header = record.header
        data = header["dataset"]
        trained = [header.get(key) for key in ("parts", "size", "imagenet")]
        prints = [data[split]["fingerprint"] for split in ("train", "val")]
        key = json.dumps([header["recipe"], record.protocol, record.frames_seen, data["name"], prints, trained])
        groups.setdefault(key, []).append(record)
    return pd.DataFrame([_summary_row(group) for group in groups.values()])


def _summary_row(group: list[Record]) -> dict:
    header, seconds = group[0].header, [sum(line["seconds"] for line in record.epochs) for record in group]

    def mean(values: list) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(group) else None

    scores = [record.final.get("map") for record in group]
    known = [score for score in scores if score is not None]
    row = {"recipe": header["recipe"], "protocol": group[0].protocol, "dataset": header["dataset"]["name"]}
    row |= {"parameters": header["parameters"], "frames seen": group[0].frames_seen, "seeds": len(group)}
    row |= {"mAP": mean(scores), "lowest": min(known, default=None), "highest": max(known, default=None)}
    for name in ("AP50", "AP75", "small", "medium", "large"):
        row[name] = mean([record.final.get(name.lower()) for record in group])
    tests: dict[str, list[float]] = {}
    for record in group:
        for test in record.named("test"):
            tests.setdefault(f"mAP on {test['dataset']}, {test['frames']} frames", []).append(test["map"])
    row |= {name: mean(values) for name, values in tests.items()}
    row["minutes"] = round(mean(seconds) / 60, 1)
    row["hardware"] = ", ".join(dict.fromkeys(record.header["hardware"]["device"] for record in group))
    return row


def markdown(records: Iterable[Record]) -> str:
    """The summary in Markdown, "" for no records: full-length runs, small ones, others; in each the best recipe first.

    Shares to four digits, minutes to one, counts with commas.
    """
    frame = summary(records)
    if frame.empty:
        return ""
    frame = frame.drop(columns=["AP75", "small", "medium", "large"])
    order = {name: position for position, name in enumerate([*reversed(PROTOCOLS), "other"])}
    frame = frame.assign(order=frame["protocol"].map(order))
    frame = frame.sort_values(["order", "frames seen", "mAP"], ascending=[True, True, False], kind="stable")
    frame = frame.drop(columns="order")

    def text(column: str, value: object) -> str:
        if value is None or value != value:  # NaN: a recipe without this figure
            return ""
        if isinstance(value, float):
            return f"{value:.1f}" if column == "minutes" else f"{value:.4f}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    rows = [[text(column, value) for column, value in row.items()] for row in frame.to_dict("records")]
    lines = [list(frame.columns), ["---"] * len(frame.columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def transfer_markdown(path: str | Path) -> str:
    """What `benchmarks/transfer.py` wrote into a CSV file, in Markdown: a row a dataset, means over the seeds.

    The AP of cars and of persons with the lowest and the highest seed. "" for no such file.
    """
    if not Path(path).is_file():
        return ""
    rows = ["| trained on | frames seen | evaluated on | seeds | AP of cars | AP of persons |", "|" + " --- |" * 6]
    for name, group in pd.read_csv(path).groupby("frames of", sort=False):
        first = group.iloc[0]
        scores = [f"{group[c].mean():.3f} ({group[c].min():.3f} to {group[c].max():.3f})" for c in ("car", "person")]
        cells = [first["trained on"], f"{first['frames seen']:,}", name, f"{len(group)}", *scores]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def renew_table(path: str | Path, table: str, marks: tuple[str, str] = TABLE_MARKS) -> None:
    """Writes a table between two marks of a Markdown file. Raises RecordError where they are missing."""
    path = Path(path)
    before, mark, rest = path.read_text(encoding="utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (mark and end):
        raise RecordError(f"{path}: has no place for the table: put {' and '.join(marks)} on lines of their own")
    write_whole(path, f"{before}{mark}\n{table}{end}{after}")
