"""Renews the tables of recorded runs: the story in README.md, all of them in assets/records/README.md.

    python tools/tables.py
"""

from pathlib import Path

from tdt4265 import records
from tdt4265.recipes import ALL_RECIPES, RECIPES

ROOT = Path(__file__).resolve().parents[1]
STORY = [*RECIPES, "faster_rcnn", "lite"]
STORY.insert(STORY.index("anchor_tuning"), "initialization-paper")  # what anchor_tuning is compared with


def tables() -> dict[tuple[Path, tuple[str, str]], str]:
    """Each table by its file and its marks there."""
    found, readme = records.all_records(), ROOT / "README.md"
    return {
        (readme, records.TABLE_MARKS): records.markdown(found, STORY, records.STORY_COLUMNS, "assets/records/"),
        (readme, records.TRANSFER_MARKS): records.transfer_markdown(ROOT / "assets" / "records" / "transfer.csv"),
        (ROOT / "assets" / "records" / "README.md", records.TABLE_MARKS): records.markdown(found, [*ALL_RECIPES]),
    }


if __name__ == "__main__":
    for (path, marks), table in tables().items():
        records.renew_table(path, table, marks)
