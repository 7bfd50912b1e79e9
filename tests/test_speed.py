"""tdt4265.speed by a clock of the test's own, and its command."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import Oracle

from tdt4265 import export, speed
from tdt4265.recipes import ALL_RECIPES


def test_speed_counts_frames_not_batches(monkeypatch):
    """By a clock that each call moves on by 2 ms and by 8 ms a frame, the three calls to warm up by much more."""

    class Slow(Oracle):
        def forward(self, images, targets=None):
            nonlocal clock
            warm = self.batches.count(len(images)) >= 3
            clock += 0.002 + 0.008 * len(images) if warm else 10
            return super().forward(images)

    clock = 0.0
    monkeypatch.setattr(speed, "now", lambda device: clock)
    model = Slow().train()
    table = speed.measure_speed(model, (3, 8, 16), batch_sizes=(1, 4), seconds=0.335)
    assert model.batches == [1] * (3 + 34) + [4] * (3 + 10)  # 34 x 10 ms, 10 x 34 ms
    assert table["batch size"].tolist() == [1, 4]
    assert table["frames a second"].tolist() == pytest.approx([100, 4 / 0.034])
    assert table["milliseconds a frame"].tolist() == pytest.approx([10, 8.5])
    assert table["device"].iloc[0]
    assert model.training


def test_variants_take_turns(monkeypatch):
    """Two of them, two frames, three rounds: each turn has a call that does not count, and its number of threads."""
    turns, clock = [], iter(range(10**6))

    def variant(name, threads):
        def call(image):
            turns.append((name, int(image), torch.get_num_threads()))

        return speed.Variant("torch", "1", name, threads, call)

    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock) / 1000)
    before = torch.get_num_threads()
    a, b = variant("a", 1), variant("b", 2)
    speed.compare([a, b], [np.array(0), np.array(1)], rounds=3)
    assert turns == [(name, i, n) for _ in range(3) for name, n in (("a", 1), ("b", 2)) for i in (0, 0, 1)]
    assert torch.get_num_threads() == before
    assert a.milliseconds == pytest.approx([1] * 6)
    b.milliseconds = [5, 0.5, 2]
    table = speed.table([a, b], "x")
    assert tuple(table.columns) == speed.COLUMNS
    assert table["fastest ms"].tolist() == pytest.approx([1, 0.5])
    assert table["median ms"].tolist() == pytest.approx([1, 2]) and table["calls"].tolist() == [6, 3]


def test_all_runtimes_find_the_same(tmp_path):
    """In a process of its own: where OpenVINO and onnxruntime were loaded, a later fork may crash."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(all_runtimes_find_the_same, tmp_path).result()


def all_runtimes_find_the_same(tmp_path):
    """Of a network with random weights, by what the variants return for a frame of noise."""
    torch.manual_seed(0)
    model = ALL_RECIPES["ssd"].small().build_model(3).eval()
    model.score_thresh, model.topk_candidates = 0.0, 50
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    variants = speed.all_variants(model, [image], tmp_path, [1])
    ways = {(one.runtime, one.precision): one for one in variants}
    assert all(one.threads == 1 and one.version for one in variants)
    float32 = {("torch", "float32"), ("onnxruntime", "float32"), ("OpenVINO", "float32")}
    int8 = {("onnxruntime", "int8"), ("OpenVINO", "int8")}
    assert set(ways) - {("torch", "bfloat16"), ("OpenVINO", "bfloat16")} == float32 | int8
    (wanted,) = ways["torch", "float32"].call(image)
    assert len(wanted["scores"]) > 5
    for way, variant in ways.items():
        if variant.runtime == "torch":
            continue
        boxes, labels, scores = variant.call(image)
        near = way in float32
        np.testing.assert_allclose(scores[:5], wanted["scores"][:5], atol=1e-4 if near else 0.05)
        if near:
            np.testing.assert_allclose(boxes[:5], wanted["boxes"][:5], atol=0.01)
            assert labels[:5].tolist() == wanted["labels"][:5].tolist()


def test_the_command_writes_its_table(tmp_path, capsys, monkeypatch):
    """With torch alone: the files' turn was before."""
    by_torch = speed.torch_variants
    monkeypatch.setattr(speed, "all_variants", lambda model, images, folder, threads: list(by_torch(model, threads)))
    out = tmp_path / "new" / "speed.csv"
    assert speed.main(["ssd", "--out", str(out), "--rounds", "1", "--threads", "1"]) == 0
    table = pd.read_csv(out)
    assert tuple(table.columns) == speed.COLUMNS and set(table["detector"]) == {"ssd"}
    assert "float32" in set(table["precision"]) <= {"float32", "bfloat16"}
    assert (table["fastest ms"] > 0).all() and (table["fastest ms"] <= table["median ms"]).all()
    assert (table["calls"] == 4).all()
    said = capsys.readouterr().out
    assert "fastest ms" in said and "ssd, milliseconds a frame, batch 1, from uint8 to detections" in said


def test_what_is_missing_is_left_out_with_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    images = [np.zeros((128, 1024, 3), np.uint8)]
    found = speed.all_variants(Oracle(), images, tmp_path, [1])
    assert {variant.runtime for variant in found} == {"torch"}
    line = 'left out, all but torch: onnxruntime is not installed: pip install "tdt4265[export]"\n'
    assert capsys.readouterr().err == line
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(export.ExportError, match=r"openvino is not installed: pip install"):
        list(speed.openvino_variants(tmp_path / "a.onnx", "float32", [1]))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none"], "none: is no file"),
        (["ssd", "--rounds", "0"], "--rounds 0: at least 1"),
        (["ssd", "--threads", "0"], "--threads 0: at least 1"),
        (["ssd", "--threads", "9999"], "--threads 9999: this machine has"),
    ],
)
def test_refusals_are_one_line(arguments, line, capsys):
    assert speed.main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(line) and said.count("\n") == 1
