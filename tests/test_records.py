"""tdt4265.records: what is written is read back, and a damaged file is named with its line."""

import json
import math
import subprocess

import pytest

from tdt4265 import records
from tdt4265.records import Record

HEADER = {
    "recipe": "ssd",
    "size": "small",
    "protocol": "small",
    "parameters": 7,
    "seed": 1,
    "dataset": {"name": "sim"},
    "hardware": {"device": "a processor"},
}
EPOCHS = [
    {"epoch": 1, "loss": 3.0, "losses": {"boxes": 1.0}, "map": 0.1, "per_class": {"car": None}, "seconds": 60.0},
    {"epoch": 2, "loss": 2.0, "losses": {"boxes": 0.5}, "map": 0.3, "per_class": {"car": 0.2}, "seconds": 60.0},
    {"epoch": 3, "loss": 1.0, "losses": {"boxes": 0.2}, "map": 0.2, "per_class": {"car": 0.4}, "seconds": 60.0},
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "runs" / "record.jsonl"
    Record(HEADER, EPOCHS, [("test", {"dataset": "real", "frames": 14, "map": 0.05})]).write(path)
    return path


def test_a_record_is_read_as_it_was_written(path):
    record = records.read(path)
    assert (record.header, record.epochs, record.path) == (HEADER, EPOCHS, path)
    assert record.named("test") == [{"dataset": "real", "frames": 14, "map": 0.05}]
    assert record.named("speed") == []
    assert [p.name for p in path.parent.iterdir()] == ["record.jsonl"]
    assert len(path.read_text().splitlines()) == 5
    record.add("speed", {"frames a second": 9})
    assert records.read(path).named("speed") == [{"frames a second": 9}]


def test_final_best_and_curves(path):
    record = records.read(path)
    assert record.final["epoch"] == 3
    assert record.best["epoch"] == 2
    assert record.curve("map").to_dict() == {1: 0.1, 2: 0.3, 3: 0.2}
    assert record.curve("losses.boxes").tolist() == [1.0, 0.5, 0.2]
    assert math.isnan(record.curve("per_class.car")[1])
    assert record.curve("per_class.car")[3] == 0.4
    never_evaluated = Record({}, [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}])
    assert never_evaluated.best["epoch"] == 2
    assert Record({}).final == {}


def test_runs_beside_each_other(path):
    table = records.table([records.read(path), Record({"recipe": "fpn"})])
    assert table["recipe"].tolist() == ["ssd", "fpn"]
    first = table.iloc[0]
    assert first["final mAP"] == 0.2
    assert first["peak mAP"] == 0.3
    assert first["minutes"] == 3.0
    assert (first["epochs"], first["dataset"], first["hardware"]) == (3, "sim", "a processor")


def test_all_records_of_a_folder(path):
    Record({**HEADER, "recipe": "fpn"}).write(path.with_name("a.jsonl"))
    assert [r.header["recipe"] for r in records.all_records(path.parent)] == ["fpn", "ssd"]
    assert all(r.epochs for r in records.all_records())  # those that come with the course


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda lines: [*lines[:2], lines[2][:20]], "line 3: is not a line of a record"),
        (lambda lines: [lines[0], "[1, 2]"], "line 2: is not a line of a record"),
        (lambda lines: [lines[0], '{"epoch": 3}'], "line 2: holds no figures"),
        (lambda lines: lines[1:], "line 1: a record has one header, and it is the first line"),
        (lambda lines: [lines[0], lines[0]], "line 2: a record has one header, and it is the first line"),
        (lambda lines: [lines[0], lines[2]], "line 2: is not epoch 1"),
        (lambda lines: [], "is empty"),
    ],
)
def test_a_damaged_record_is_named_with_its_line(path, damage, line):
    path.write_text("\n".join(damage(path.read_text().splitlines())))
    with pytest.raises(records.RecordError) as error:
        records.read(path)
    assert str(path) in str(error.value)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(records.RecordError, match=r"none\.jsonl: can't be read \(No such file or directory\)"):
        records.read(tmp_path / "none.jsonl")


def test_a_failed_write_leaves_the_old_file(path):
    before = path.read_text()
    record = records.read(path)
    with pytest.raises(ValueError, match="JSON"):  # NaN is no JSON
        record.add("test", {"map": math.nan})
    assert path.read_text() == before


def test_environment_says_where_and_with_what(monkeypatch, tmp_path):
    found = records.environment()
    assert tuple(found) == records.ENVIRONMENT
    assert found["hardware"]["device"]
    assert found["versions"]["torch"].startswith("2.")
    assert found["started"].endswith("+00:00")
    json.dumps(found)
    # An installed copy inside a checkout of something else is not of that checkout's commit.
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(records, "__file__", str(tmp_path / "records.py"))
    assert records.environment()["commit"] is None


def test_the_table_is_renewed_between_its_marks(tmp_path):
    record = records.Record(
        {"recipe": "ssd", "size": "small", "seed": 0, "parameters": 1234567, "dataset": {"name": "sim"}},
        epochs=[{"epoch": 1, "map": 0.12345, "seconds": 90.0}],
        further=[("test", {"dataset": "real", "frames": 14, "map": 0.05})],
    )
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- records -->\nold\n<!-- /records -->\nafter\n")
    records.renew_table(readme, [record])
    lines = readme.read_text().splitlines()
    assert lines[:2] == ["before", "<!-- records -->"] and lines[-2:] == ["<!-- /records -->", "after"]
    row = dict(zip(lines[2].split(" | "), lines[4].split(" | "), strict=True))
    assert row["final mAP"] == "0.1235" and row["minutes"] == "1.5" and row["parameters"] == "1,234,567"
    assert row["mAP on real, 14 frames"] == "0.0500"
    records.renew_table(readme, [])
    assert readme.read_text() == "before\n<!-- records -->\n<!-- /records -->\nafter\n"


def test_a_readme_without_marks_is_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("text")
    with pytest.raises(records.RecordError, match="has no place for the table"):
        records.renew_table(readme, [])
    assert readme.read_text() == "text"
