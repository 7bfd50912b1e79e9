"""Folders and files that cannot be used, at every door: one line that names them, and status 2."""

import contextlib
import os
import sys

import pytest
import torch

from tdt4265 import data, detect, export, make_records, results, speed, train, weights
from tdt4265.lidar import __main__ as lidar

PATHS = ["locked", "too long", "no such user"]
COMMANDS = {
    "train on": lambda path: train.main(["ssd", "--epochs", "1", "--dataset", path]),
    "train into": lambda path: train.main(["ssd", "--epochs", "1", "--dataset", "sample", "--output-dir", path]),
    "make records of": lambda path: make_records.main(["ssd", "--dataset", path]),
    "make records into": lambda path: make_records.main(["ssd", "--dataset", "sample", "--folder", path]),
    "detect with": lambda path: detect.main([path, "sample:val"]),
    "detect in": lambda path: detect.main(["ssd", path]),
    "detect into": lambda path: detect.main(["ssd", "sample:val", "--out", path]),
    "score": lambda path: results.main([path, path]),
    "export": lambda path: export.main([path, "out.onnx"]),
    "time": lambda path: speed.main([path]),
    "simulate into": lambda path: lidar.main([path, "--train-clips", "1", "--val-clips", "0", "--frames", "1"]),
    "check": lambda path: lidar.main([path, "--check"]),
}
# A folder of that strange name would be made.
MADE = {"train into", "make records into", "detect into", "simulate into"}


@contextlib.contextmanager
def as_nobody():
    """Root may read everything: another user, to whom the folders of root's tests are locked."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture()
def unusable(tmp_path, request, monkeypatch):
    """A path of each kind; "locked" only until the end of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folder = tmp_path / "folder"
    (folder / "inside").mkdir(parents=True)
    if request.param != "locked":
        yield {"too long": "a" * 300, "no such user": "~nobody-of-that-name/x"}[request.param]
        return
    mode = folder.stat().st_mode
    folder.chmod(0)
    with as_nobody():
        yield str(folder / "inside")
    folder.chmod(mode)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
@pytest.mark.parametrize("unusable", PATHS, indirect=True)
@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command, unusable, request, capfd):
    kind = request.node.callspec.params["unusable"]
    if command in MADE and kind == "no such user":
        pytest.skip("a folder of that name is made")
    assert COMMANDS[command](unusable) == 2
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1 and len(said[0]) < 600
    assert unusable[-100:] in said[0] or unusable.partition("/")[0] in said[0]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
@pytest.mark.parametrize("unusable", PATHS, indirect=True)
@pytest.mark.parametrize(
    ("call", "error"),
    [(data.load, data.DataError), (data.read_labels, data.DataError), (weights.load, weights.WeightsError)],
)
def test_calls(call, error, unusable):
    with pytest.raises(error) as refusal:
        call(unusable)
    assert "\n" not in str(refusal.value)
    assert refusal.value._render_traceback_() == [f"{error.__name__}: {refusal.value}"]
