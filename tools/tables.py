"""Renews the tables of recorded runs: the story in README.md, all of them in assets/records/README.md.

    python tools/tables.py
"""

from pathlib import Path

import pandas as pd

from tdt4265 import records
from tdt4265.recipes import ALL_RECIPES, RECIPES

ROOT = Path(__file__).resolve().parents[1]
STORY = [*RECIPES, "faster_rcnn", "lite"]
STORY.insert(STORY.index("anchor_tuning"), "initialization-paper")  # what anchor_tuning is compared with


SPEED_MARKS = ("<!-- speed -->", "<!-- /speed -->")


def speeds(folder: Path) -> str:
    """What `python -m tdt4265.speed` wrote, a file a detector: a row a way to run it, fastest on two threads first."""
    found = pd.concat([pd.read_csv(path) for path in sorted(folder.glob("*.csv"))])
    found["runs on"] = found.runtime + " " + found.version.astype(str).str.split("+").str[0]
    keys = ["detector", "runs on", "precision"]
    for number, name in ((1, "one core"), (2, "two cores")):
        own = found[found.threads == number].set_index(keys)
        text = [f"{fast:.0f} ({median:.0f})" for fast, median in zip(own["fastest ms"], own["median ms"], strict=True)]
        found = found.join(pd.Series(text, own.index, name=name), on=keys)
    rows = found[found.threads == 2].sort_values(["detector", "fastest ms"])[[*keys, "one core", "two cores"]]
    lines = [list(rows.columns), ["---"] * len(rows.columns), *rows.to_numpy().tolist()]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    below = [f"Milliseconds a frame: the fastest call, and in brackets the median. {found.cpu.iloc[0]}."]
    for path in sorted(folder.glob("*-int8.log")):  # what `python -m tdt4265.export DETECTOR FILE --int8 sim` said
        below.append(f"{path.stem.removesuffix('-int8')}, {path.read_text().splitlines()[-1]}.")
    return f"{table}\n{' '.join(below)}\n"


def tables() -> dict[tuple[Path, tuple[str, str]], str]:
    """Each table by its file and its marks there."""
    found, readme = records.all_records(), ROOT / "README.md"
    return {
        (readme, records.TABLE_MARKS): records.markdown(found, STORY, records.STORY_COLUMNS, "assets/records/"),
        (readme, records.TRANSFER_MARKS): records.transfer_markdown(ROOT / "assets" / "records" / "transfer.csv"),
        (readme, SPEED_MARKS): speeds(ROOT / "assets" / "speed"),
        (ROOT / "assets" / "records" / "README.md", records.TABLE_MARKS): records.markdown(found, [*ALL_RECIPES]),
    }


if __name__ == "__main__":
    for (path, marks), table in tables().items():
        records.renew_table(path, table, marks)
