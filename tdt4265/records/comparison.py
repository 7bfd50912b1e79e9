"""Runs beside each other: a row a run, or a row a recipe with the spread over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tdt4265.intervals import interval
from tdt4265.paths import write_whole
from tdt4265.records.record import PROTOCOLS, Record, RecordError, without_empty

# Tables stand between these in a README: that of the runs, and that of the transfer to real frames.
TABLE_MARKS = ("<!-- records -->", "<!-- /records -->")
TRANSFER_MARKS = ("<!-- transfer -->", "<!-- /transfer -->")


ENOUGH_SEEDS = 3  # with fewer nothing is told apart


@dataclass(frozen=True)
class Difference:
    """How much better the second of two recipes is: mAP over the classes with enough objects, means over the seeds.

    Attributes:
        map: on all clips of val.
        low, high: the 95 % interval over clips, both recipes scored on the same resamples.
        seeds_agree: there are `ENOUGH_SEEDS` of each, and every seed of the one is above every seed of the other.
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
    _check_frames([*first, *second])
    one, other = ([_resampled_map(record) for record in group] for group in (first, second))
    ours, theirs = ([record.named("resampled")[-1]["map"] for record in group] for group in (first, second))
    return compare(ours, theirs, one, other)


def compare(ours: Sequence[float], theirs: Sequence[float], one: np.ndarray, other: np.ndarray) -> Difference:
    """The same from figures: mAP of the seeds of two detectors, and [seeds, R] of each on the same R resamples."""
    low, high = interval(np.mean(other, axis=0) - np.mean(one, axis=0))
    enough = min(len(ours), len(theirs)) >= ENOUGH_SEEDS
    agree = enough and bool(max(ours) < min(theirs) or max(theirs) < min(ours))
    return Difference(float(np.mean(theirs) - np.mean(ours)), low, high, agree)


def _check_frames(records: Sequence[Record]) -> None:
    fingerprints = [record.header["dataset"]["val"]["fingerprint"] for record in records]
    other = next((r for r, val in zip(records, fingerprints, strict=True) if val != fingerprints[0]), None)
    if other is not None:
        raise RecordError(f"{records[0].path} and {other.path}: were evaluated on different frames; make both anew")


def _resampled_map(record: Record) -> np.ndarray:
    """mAP on every resample, over the classes that it holds: float64 [R], NaN where it holds none."""
    found = record.named("resampled")
    if not found or not found[-1]["ap"]:
        raise RecordError(f"{record.path}: has no AP on resamples of clips; make it anew with tdt4265.make_records")
    ap = np.ma.masked_invalid(np.array([*found[-1]["ap"].values()], np.float64))
    return ap.mean(axis=0).filled(np.nan)


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


def scores(records: Iterable[Record]) -> pd.DataFrame:
    """The mAP of recipes on all clips, and how far it can be trusted: a row a recipe, in the order of the records.

    Index "recipe". Columns: "mAP", the mean over its seeds, of the classes with enough objects; "low", "high", the 95 %
    interval over clips; "seeds", the mAP of each; and for each of those classes its AP, mean over the seeds. Raises
    RecordError where a record has no AP on resamples, or they were evaluated on different frames.
    """
    records = list(records)
    _check_frames(records)
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.header["recipe"], []).append(record)
    rows = {}
    for name, group in groups.items():
        low, high = interval(np.mean([_resampled_map(record) for record in group], axis=0))
        resampled = [record.named("resampled")[-1] for record in group]
        seeds = [one["map"] for one in resampled]
        of_class = {label: np.mean([one["per_class"][label] for one in resampled]) for label in resampled[0]["ap"]}
        rows[name] = {"mAP": np.mean(seeds), "low": low, "high": high, "seeds": seeds, **of_class}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("recipe")


COLUMNS = ("recipe", "what changed", "seeds", "mAP (95 % over clips)", "car", "person", "rider")
COLUMNS += ("against the one before", "real frames: car, person", "weights", "weights and anchors", "minutes")
STORY_COLUMNS = ("recipe", "what changed", "mAP (95 % over clips)", "against the one before")
STORY_COLUMNS += ("real frames: car, person",)


def markdown(
    records: Iterable[Record], order: Sequence[str], columns: Sequence[str] = COLUMNS, folder: str = ""
) -> str:  # fmt: skip
    """A table of recorded runs: a row a recipe that has records, means over its seeds; "" without any.

    Full-length runs stand in a table of their own, and a line below each names the classes of the mean: those with
    enough objects. mAP has its interval over clips, and each recipe is compared with the one before it (`difference`);
    a variant, BASE-NAME, with its base. Parameters are counted without the anchors' coordinates and with them, as the
    course's reports count.

    order: the names of recipes, in the order of the rows. columns: some of COLUMNS. folder: that of the records as the
    table's links name it, "assets/records/" from the top. Raises RecordError: see `difference`.
    """
    records = list(records)
    tables = []
    for protocol in PROTOCOLS:
        groups = {name: [r for r in records if (r.header["recipe"], r.protocol) == (name, protocol)] for name in order}
        groups = {name: sorted(group, key=lambda r: r.header["seed"]) for name, group in groups.items() if group}
        if groups:
            rows = [_markdown_row(groups, name, folder) for name in groups]
            lines = [columns, ["---"] * len(columns), *([row[column] for column in columns] for row in rows)]
            table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
            tables.append(f"{table}\n{_classes(next(iter(groups.values()))[0])}\n")
    return "\n".join(tables)


def _markdown_row(groups: dict[str, list[Record]], name: str, folder: str) -> dict[str, str]:
    group, header = groups[name], groups[name][0].header
    base = _before(name, [*groups])
    changed = _what_changed(groups[base][0].header["parts"], header["parts"]) if base else ""
    score = scores(group).iloc[0]
    per_class = [record.named("resampled")[-1]["per_class"] for record in group]
    of_class = [_mean_text([one.get(label) for one in per_class]) for label in ("car", "person", "rider")]
    real = [test["per_class"] for record in group for test in record.named("test")]
    minutes = np.mean([sum(line["seconds"] for line in record.epochs) for record in group]) / 60
    cells = [
        f"[{name}]({folder}{'/'.join(group[0].path.parts[-2:])})" if group[0].path else name,
        changed,
        f"{len(group)}",
        f"{score.mAP:.3f} ({score.low:.3f} to {score.high:.3f})",
        *of_class,
        str(difference(groups[base], group)) if base else "",
        ", ".join(_mean_text([one.get(label) for one in real]) for label in ("car", "person")) if real else "",
        f"{header['weights']:,}",
        f"{header['parameters']:,}",
        f"{minutes:.1f}",
    ]
    return dict(zip(COLUMNS, cells, strict=True))


def _classes(record: Record) -> str:
    """The classes of the mean, and those that are left out of it with their number of objects."""
    figures = record.named("resampled")[-1]
    left_out = [f"{name} ({figures['objects'][name]})" for name in figures["objects"] if name not in figures["classes"]]
    text = f"The mean is over {', '.join(figures['classes'])}"
    return f"{text}; too few objects in val: {', '.join(left_out)}." if left_out else f"{text}."


# What a recipe is compared with whose name does not say it.
BASES = {
    "faster_rcnn": "fpn",
    "mask_rcnn": "faster_rcnn",
    "keypoint_rcnn": "faster_rcnn",
    "fpn-lite_random": "fpn",
    "fpn-lite": "fpn-lite_random",
    "fpn-lite_flat": "fpn-lite",
    "fpn-lite_flat_random": "fpn-lite_random",
    "anchor_tuning": "initialization-paper",
    "auto_anchors": "initialization",
    "bifpn-report": "initialization",
    "auto_anchors-kmeans": "anchor_tuning",
    "auto_anchors-evolved": "anchor_tuning",
    "ring": "anchor_tuning",
    "lite": "anchor_tuning",
}
BASES |= {
    f"anchor_tuning-{norm}_norm_{frames}": f"anchor_tuning-group_norm_{frames}"
    for norm in ("batch", "layer", "instance")
    for frames in (2, 8)
}


def _before(name: str, names: list[str]) -> str | None:
    """The recipe that this one is compared with: its base, or the one before it that is nobody's variant."""
    if "-" in name or name in BASES:
        base = BASES.get(name) or name.rpartition("-")[0]
        return base if base in names else None
    earlier = [other for other in names[: names.index(name)] if "-" not in other]
    return earlier[-1] if earlier else None


def _what_changed(before: dict, now: dict) -> str:
    keys = [key for key in {**before, **now} if key not in ("name", "title")]
    before, now = without_empty(before), without_empty(now)  # parts that a recipe did not have yet are none
    changed = [key for key in keys if now.get(key) != before.get(key)]
    return "; ".join(f"{key}: {_change(before.get(key), now.get(key))}" for key in changed)


def _change(before: object, now: object) -> str:
    """The new part by its name, or, of a part that stays, the settings that changed."""
    if isinstance(now, dict) and isinstance(before, dict) and now.get("part") == before.get("part"):
        return ", ".join(key for key in now if now[key] != before.get(key))
    if isinstance(now, list):
        return ", ".join(item["part"] for item in now)
    if isinstance(now, dict):
        return now["part"]
    return "none" if now is None else str(now).lower()


def _mean_text(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.3f}" if known else "absent"


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
