"""tdt4265.records: what is written is read back, and a damaged file is named with its line."""

import json
import math
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tdt4265 import devices, records, train, weights
from tdt4265.make_records import main, plan
from tdt4265.paths import assets
from tdt4265.recipes import ALL_RECIPES, RECIPES
from tdt4265.records import PROTOCOLS, Record, record

HEADER = {
    "recipe": "ssd",
    "size": "small",
    "protocol": "small",
    "parameters": 3_261_760,
    "weights": 3_000_000,
    "seed": 1,
    "dataset": {
        "name": "sim",
        "train": {"frames": 8, "fingerprint": "aaaaaaaaaaaa"},
        "val": {"frames": 4, "fingerprint": "bbbbbbbbbbbb"},
    },
    "hardware": {"device": "a processor"},
    "epochs": 3,
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
    monkeypatch.setattr(record, "__file__", str(tmp_path / "records" / "record.py"))
    record._commit.cache_clear()
    assert records.environment()["commit"] is None
    record._commit.cache_clear()


def run(recipe="ssd", seed=0, score=0.1, real=None, **header) -> Record:
    """A run of the small protocol's two epochs; its figures but mAP are undefined."""
    figures = dict.fromkeys(("ap50", "ap75", "small", "medium", "large"))
    further = [] if real is None else [("test", {"dataset": "real", "frames": 14, "map": real})]
    line = {"loss": 1.0, "map": score, "seconds": 90.0, **figures, "ap50": score and 2 * score}
    epochs = [{"epoch": epoch, **line} for epoch in (1, 2)]
    return Record({**HEADER, "epochs": 2, "recipe": recipe, "seed": seed, **header}, epochs, further)


def measured(score, luck, spread=0.0):
    """A run that scored `score` + luck of each resample, in both of two classes."""
    made = run(score=score)
    ap = {"car": (score + spread + luck).tolist(), "bus": (score - spread + luck).tolist()}
    objects = {"car": 90, "bus": 20, "rider": 3}
    made.further.append(("resampled", {"map": score, "ap": ap, "objects": objects, "classes": ["car", "bus"]}))
    return made


def test_recipes_are_told_apart_by_the_resamples_they_share():
    rng = np.random.default_rng(0)
    luck, other_luck = rng.normal(0, 0.05, 300), rng.normal(0, 0.05, 300)
    weak = [measured(score, luck) for score in (0.10, 0.11, 0.12)]
    strong = [measured(score, luck, spread=0.03) for score in (0.13, 0.14, 0.15)]
    found = records.difference(weak, strong)
    assert (found.map, found.low, found.high) == pytest.approx((0.03, 0.03, 0.03)) and found.told_apart
    assert str(found) == "+0.030 (+0.030 to +0.030): better"
    assert str(records.difference(strong, weak)).endswith(": worse")
    for few, many in ((weak[:2], strong), (weak, strong[:2])):
        assert not records.difference(few, many).told_apart  # as far apart, but two seeds are too few
    elsewhere = [measured(score, other_luck) for score in (0.13, 0.14, 0.15)]
    found = records.difference(weak, elsewhere)  # the same gap, but each with its own luck
    assert found.map == pytest.approx(0.03) and found.low < 0 < found.high and found.seeds_agree
    assert not found.told_apart and str(found).endswith(": not told apart")
    mixed = [measured(score, luck) for score in (0.115, 0.16, 0.16)]  # one seed is below the best of the others
    found = records.difference(weak, mixed)
    assert found.low > 0 and not found.seeds_agree and not found.told_apart


def test_scores_have_a_row_a_recipe():
    luck = np.random.default_rng(0).normal(0, 0.02, 300)
    found = []
    for name, scores in (("fpn", [0.2, 0.3]), ("ssd", [0.1])):
        for score in scores:
            one = measured(score, luck)
            one.header["recipe"] = name
            one.further[-1][1]["per_class"] = {"car": score + 0.1, "bus": score - 0.1, "rider": 0.9}
            found.append(one)
    table = records.scores(found)
    assert list(table.index) == ["fpn", "ssd"] and table.index.name == "recipe"
    assert list(table.columns) == ["mAP", "low", "high", "seeds", "car", "bus"]  # riders are too few for the mean
    assert (table["mAP"]["fpn"], table["car"]["fpn"], table["bus"]["ssd"]) == pytest.approx((0.25, 0.35, 0.0))
    assert table["seeds"]["fpn"] == [0.2, 0.3]
    assert (table["low"]["ssd"], table["high"]["ssd"]) == pytest.approx(np.quantile(0.1 + luck, [0.025, 0.975]))


def test_a_class_that_a_resample_does_not_hold_is_left_out_of_its_mean():
    one, other = measured(0.1, np.zeros(3)), measured(0.2, np.zeros(3))
    for made in (one, other):
        made.further[-1][1]["ap"]["bus"] = [None, 0.6, None]
        made.further[-1][1]["ap"]["car"][2] = None
    found = records.difference([one], [other])
    assert (found.low, found.high) == pytest.approx((0.05, 0.1), abs=0.003)


def test_what_cannot_be_compared_is_refused():
    one, other = measured(0.1, np.zeros(3)), measured(0.2, np.zeros(3))
    other.header["dataset"] = {"val": {"fingerprint": "cccccccccccc"}}
    for compare in (lambda: records.difference([one], [other]), lambda: records.scores([one, other])):
        with pytest.raises(records.RecordError, match="were evaluated on different frames"):
            compare()
    with pytest.raises(records.RecordError, match="has no AP on resamples of clips; make it anew"):
        records.difference([one], [run()])


def test_the_table_compares_each_recipe_with_the_one_before(tmp_path):
    luck = np.random.default_rng(0).normal(0, 0.02, 300)

    def group(name, scores, real=None, **parts):
        for seed, score in enumerate(scores):
            made = measured(score, luck)
            made.header |= {"recipe": name, "seed": seed, "parts": {"name": name, "transforms": [], **parts}}
            made.further[-1][1]["per_class"] = {"car": 0.5 + score, "bus": 0.1, "person": 0.0625}
            if real is not None:
                figures = {"dataset": "real", "frames": 14, "map": 0.1, "per_class": {"car": real, "person": 0.25}}
                made.further.append(("test", figures))
            made.write(tmp_path / "small" / f"{name}-sim-seed{seed}.jsonl")

    group("ssd", [0.1, 0.12, 0.11], real=0.2, head={"part": "Head", "depth": 0}, pyramid=None)
    head, roll = {"part": "Head", "depth": 4}, [{"part": "roll"}]
    group("fpn", [0.2, 0.21, 0.22], head=head, pyramid={"part": "FPN", "out_channels": 64})
    group("fpn-roll", [0.19, 0.21, 0.23], head=head, pyramid=None, transforms=roll)
    found = records.all_records(tmp_path)
    order = ["ssd", "fpn", "focal_loss", "fpn-roll"]
    *lines, empty, below = records.markdown(found, order, folder="there/").splitlines()
    assert empty == "" and below == "The mean is over car, bus; too few objects in val: rider (3)."
    rows = [dict(zip(lines[0][2:-2].split(" | "), line[2:-2].split(" | "), strict=True)) for line in lines[2:]]
    ssd, fpn, rolled = rows
    assert ssd["recipe"] == "[ssd](there/small/ssd-sim-seed0.jsonl)" and ssd["seeds"] == "3"
    low, high = np.quantile(0.11 + luck, [0.025, 0.975])
    assert ssd["mAP (95 % over clips)"] == f"0.110 ({low:.3f} to {high:.3f})"
    assert (ssd["car"], ssd["person"], ssd["rider"]) == ("0.610", "0.062", "absent")
    assert (ssd["what changed"], ssd["against the one before"]) == ("", "")
    assert ssd["real frames: car, person"] == "0.200, 0.250" and fpn["real frames: car, person"] == ""
    assert (ssd["weights"], ssd["weights and anchors"], ssd["minutes"]) == ("3,000,000", "3,261,760", "3.0")
    assert fpn["what changed"] == "head: depth; pyramid: FPN"
    assert fpn["against the one before"] == "+0.100 (+0.100 to +0.100): better"
    assert rolled["what changed"] == "transforms: roll; pyramid: none"  # compared with fpn, whose variant it is
    assert rolled["against the one before"].endswith("not told apart")
    short = records.markdown(found, ["ssd", "fpn"], records.STORY_COLUMNS).splitlines()
    assert short[0] == f"| {' | '.join(records.STORY_COLUMNS)} |" and "FPN" in short[3] and len(short) == 6
    group("faster_rcnn", [0.2, 0.21, 0.22], pyramid={"part": "FPN", "out_channels": 64}, regions={"part": "Regions"})
    two_stage = records.markdown(records.all_records(tmp_path), ["ssd", "fpn", "fpn-roll", "faster_rcnn"]).splitlines()[
        5
    ]
    assert "| head: none; regions: Regions |" in two_stage and "+0.000" in two_stage  # beside fpn, not the last one
    alone = records.markdown([r for r in found if r.header["recipe"] != "fpn"], ["ssd", "fpn", "fpn-roll"])
    assert "not told apart" not in alone and "better" not in alone  # its base has no record: compared with nothing
    assert records.markdown([], ["ssd"]) == ""


def test_the_table_is_renewed_between_its_marks(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- records -->\nold\n<!-- /records -->\nafter\n")
    records.renew_table(readme, "| new |\n")
    assert readme.read_text() == "before\n<!-- records -->\n| new |\n<!-- /records -->\nafter\n"
    records.renew_table(readme, "")
    assert readme.read_text() == "before\n<!-- records -->\n<!-- /records -->\nafter\n"


def test_a_readme_without_marks_is_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("text")
    with pytest.raises(records.RecordError, match="has no place for the table"):
        records.renew_table(readme, "")
    assert readme.read_text() == "text"


def test_the_transfers_table_has_means_and_spread_over_the_seeds(tmp_path):
    path = tmp_path / "transfer.csv"
    head = "recipe,transforms,trained on,frames seen,seed,frames of,mAP,car,person\n"
    rows = ["0,sim,0.2,0.4,0.1", "0,real,0.1,0.3,0.2", "1,sim,0.2,0.5,0.1", "1,real,0.1,0.2,0.1"]
    path.write_text(head + "".join(f"a,flip,sim,6400,{row}\n" for row in rows))
    lines = records.transfer_markdown(path).splitlines()
    assert lines[2] == "| sim | 6,400 | sim | 2 | 0.450 (0.400 to 0.500) | 0.100 (0.100 to 0.100) |"
    assert lines[3] == "| sim | 6,400 | real | 2 | 0.250 (0.200 to 0.300) | 0.150 (0.100 to 0.200) |"
    assert records.transfer_markdown(tmp_path / "none.csv") == ""


SMALL = PROTOCOLS["small"]
FINGERPRINTS = {"train": "aaaaaaaaaaaa", "val": "bbbbbbbbbbbb"}


def test_a_record_is_stale_when_recipe_data_or_protocol_changed():
    parts = ALL_RECIPES["ssd"].small().as_dict()
    made = run(parts=json.loads(json.dumps(parts)))
    assert made.stale(parts, FINGERPRINTS, SMALL) is None
    assert made.stale({**parts, "title": "in other words"}, FINGERPRINTS, SMALL) is None
    changed = {**parts, "transforms": ["roll"]}
    assert made.stale(changed, FINGERPRINTS, SMALL) == "the recipe has another transforms now"
    slower = {**parts, "training": {**parts["training"], "lr": 1e-4}}
    assert made.stale(slower, FINGERPRINTS, SMALL) == "the recipe has another training now"
    fewer = {key: value for key, value in parts.items() if key != "init"}
    assert made.stale(fewer, FINGERPRINTS, SMALL) == "the recipe has another init now"
    other = {**FINGERPRINTS, "val": "cccccccccccc"}
    assert made.stale(parts, other, SMALL) == "val has other frames or labels now"
    unfinished = run(parts=json.loads(json.dumps(parts)), epochs=5)
    assert unfinished.stale(parts, FINGERPRINTS, SMALL) == "the run ended after 2 of 5 epochs"
    assert made.stale(parts, FINGERPRINTS, PROTOCOLS["full"]) == "the protocol has 50 epochs of size report now"
    assert run().stale(parts, FINGERPRINTS, SMALL) is not None  # a record that does not say its parts


def test_the_protocol_that_a_run_kept_to():
    assert run().protocol == "small"
    assert run(epochs=5).protocol == "other"  # two of five epochs: its learning rate is still high
    assert Record({**HEADER, "size": "report", "protocol": "full"}, EPOCHS).protocol == "other"  # not 50 epochs
    assert Record({**HEADER, "protocol": "demonstration"}).protocol == "demonstration"


def test_recorded_in_the_order_of_the_recipes_then_the_seeds(tmp_path):
    for name, seed in [("fpn", 10), ("fpn", 2), ("ssd", 0), ("retinanet", 0)]:
        run(name, seed).write(tmp_path / "small" / f"{name}-{seed}.jsonl")
    found = records.recorded("small", "ssd", "fpn", folder=tmp_path)
    assert [(r.header["recipe"], r.header["seed"]) for r in found] == [("ssd", 0), ("fpn", 2), ("fpn", 10)]
    elsewhere = {**HEADER["dataset"], "name": "tdt4265"}
    run("ssd", 0, dataset=elsewhere).write(tmp_path / "small" / "ssd-tdt4265-seed0.jsonl")
    assert len(records.recorded("small", "ssd", folder=tmp_path)) == 1
    assert len(records.recorded("small", "ssd", dataset="tdt4265", folder=tmp_path)) == 1
    with pytest.raises(records.RecordError, match=r"no record of 'focal_loss' on sim; .* -m tdt4265\.make_records fo"):
        records.recorded("small", "focal_loss", folder=tmp_path)
    with pytest.raises(records.RecordError, match=r"make it with .* -m tdt4265\.train ssd --epochs N`"):
        records.recorded("longer", "ssd", folder=tmp_path)


def test_the_plan_is_seed_by_seed_the_least_work_first(tmp_path):
    wanted = plan(["retinanet", "ssd", "fpn", "ssd"], [1, 0, 1], "small", "sample", tmp_path)
    assert [(one.seed, one.recipe.name) for one in wanted] == [
        (1, "fpn"), (1, "ssd"), (1, "retinanet"), (0, "fpn"), (0, "ssd"), (0, "retinanet"),
    ]  # fmt: skip
    assert all(one.reason() == "missing" for one in wanted)
    data = {split: {"frames": 8, "fingerprint": print_} for split, print_ in wanted[0].fingerprints.items()}
    parts = json.loads(json.dumps(ALL_RECIPES["fpn"].small().as_dict()))
    for one in wanted[:2]:
        run(one.recipe.name, 1, parts=parts, dataset={"name": "sample", **data}).write(one.path)
        assert one.reason() == "its weights are missing"
        one.weights_path.parent.mkdir(parents=True, exist_ok=True)
        one.weights_path.touch()
    assert [one.reason() for one in wanted[:2]] == ["", "the recipe has another backbone now"]
    assert replace(wanted[0], fingerprints=FINGERPRINTS).run_folder() != wanted[0].run_folder()


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return ["ssd", "fpn", "--seeds", "0", "--protocol", "small", "--dataset", "sample", "--folder", "made"]


def test_missing_records_are_made_and_a_second_call_makes_none(command, capsys):
    assert main([*command, "--list"]) == 0
    assert capsys.readouterr().out.count("missing") == 2
    assert main(command) == 0
    assert "1 of 2: fpn, small, seed 0 (missing)" in capsys.readouterr().out
    made = records.recorded("small", "ssd", "fpn", dataset="sample", folder="made/records")
    assert [r.header["recipe"] for r in made] == ["ssd", "fpn"]
    assert all(r.protocol == "small" and r.frames_seen == 16 and r.header["imagenet"] is False for r in made)
    for one in made:  # with its weights
        assert weights.trained(one.header["recipe"], dataset="sample", folder="made/weights").num_classes == 9
    assert main(command) == 0 and capsys.readouterr().out == ""
    Path("made/weights/small/ssd-sample-seed0.safetensors").unlink()
    assert main([*command, "--list"]) == 0 and capsys.readouterr().out.count("missing") == 1
    assert not list(Path("runs/records").iterdir())


def test_stopped_it_goes_on_with_what_is_there(command, monkeypatch, capsys):
    write = Record.write

    def killed(record, path):
        if "made/records/small" in str(path):  # its run is over, and its record not yet in its place
            raise KeyboardInterrupt
        write(record, path)

    monkeypatch.setattr(Record, "write", killed)
    assert main(command) == 130
    (folder,) = Path("runs/records").iterdir()
    started = records.read(folder / "record.jsonl").header["started"]
    monkeypatch.setattr(Record, "write", write)
    assert main(command) == 0
    (made,) = records.recorded("small", "fpn", dataset="sample", folder="made/records")
    assert made.header["started"] == started


def test_a_run_that_diverges_does_not_stop_the_others(command, monkeypatch, capsys):
    made = []

    def diverge(settings):
        made.append(settings.recipe.name)
        raise FloatingPointError("epoch 1, batch 1: the loss is nan")

    monkeypatch.setattr(train, "run", diverge)
    assert main(command) == 1
    assert made == ["fpn", "ssd"]
    assert capsys.readouterr().err.splitlines()[0] == "fpn, seed 0: epoch 1, batch 1: the loss is nan"


def test_full_length_on_a_gpu(command, monkeypatch, capsys):
    monkeypatch.setattr(devices, "choose_devices", lambda devices: ("cuda", 1))
    arguments = [argument for argument in command if argument not in ("--protocol", "small")]
    seen = []
    monkeypatch.setattr("tdt4265.make_records.plan", lambda *given: seen.append(given[2]) or [])
    assert main([*arguments, "--list"]) == 0
    assert seen == ["full"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["ssd", "resnet"], "no recipe 'resnet': choose among ssd, "),
        (["ssd", "--seeds", "-1"], "seed -1: seeds are whole numbers from 0"),
        (["ssd", "--dataset", "none"], "none: no such folder"),
        (["ssd", "--dataset", "sim"], 'sim: records call "sim" what the course means by it: rename the folder'),
        (["ssd", "--dataset", "sample", "--folder", "file"], "file"),
    ],
)
def test_bad_input_of_the_command_is_one_line(arguments, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    if arguments[-1] == "sim":
        copy = shutil.copytree(assets() / "sample", tmp_path / "sim")
        arguments = [*arguments[:-1], str(copy)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1


def test_records_of_the_course_hold():
    """Whether the data are still theirs is checked where these are at hand, by `python -m tdt4265.make_records`."""
    found = [record for name in PROTOCOLS for record in records.all_records(assets() / "records" / name)]
    for one in found:
        recipe = ALL_RECIPES[one.header["recipe"]]
        recipe = recipe if one.header["size"] == "report" else recipe.small()
        data = {split: found[0].header["dataset"][split]["fingerprint"] for split in ("train", "val")}
        assert one.protocol == one.path.parent.name
        assert one.stale(recipe.as_dict(), data, PROTOCOLS[one.protocol]) is None, one.path
        assert one.header["commit"] and not one.header["commit"].endswith("dirty")
    seeds = {name: [one for one in found if one.header["recipe"] == name] for name in RECIPES}
    # None are there while the data are new; once some are, none of the story may be missing.
    assert not found or all(len(runs) >= 3 for runs in seeds.values()), "every recipe of the story has three seeds"
