"""Recordings of the real sensor: destaggered, exposed as the course's frames, and refused in one line."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from tdt4265 import data, detect
from tdt4265.data import recordings
from tdt4265.data.recordings import read_recording

ROWS, COLUMNS = 64, 256
SHIFTS = np.arange(ROWS) % 4  # by how many columns the sensor sends a beam too late


def destagger(info, field):
    return np.stack([np.roll(row, -shift) for row, shift in zip(field, info.shifts, strict=True)])


class Frame:
    """As the sensor's library gives it: a column of its arrays is what was sent at once."""

    def __init__(self, **fields):
        self.sensor_info = SimpleNamespace(shifts=SHIFTS)
        self.fields = {
            name: np.stack([np.roll(row, shift) for row, shift in zip(field, SHIFTS, strict=True)])
            for name, field in fields.items()
        }

    def field(self, name):
        return self.fields[name]


def scene(place):
    """A signal that rises with the column, one bright square, and half of the ranges not measured."""
    signal = np.tile(np.arange(COLUMNS, dtype=np.uint16) * 10, (ROWS, 1))
    signal[10:20, place : place + 10] = 60000
    distance = np.zeros((ROWS, COLUMNS), np.uint32)
    distance[:, COLUMNS // 2 :] = np.linspace(1000, 90000, COLUMNS // 2).astype(np.uint32)
    return Frame(SIGNAL=signal, NEAR_IR=signal // 2, RANGE=distance)


def install(monkeypatch, source):
    sdk, core = ModuleType("ouster.sdk"), ModuleType("ouster.sdk.core")
    sdk.open_source, core.destagger = source, destagger
    for name, module in (("ouster", ModuleType("ouster")), ("ouster.sdk", sdk), ("ouster.sdk.core", core)):
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("form", ["frames", "lists"])
def test_frames_are_put_straight_and_exposed(monkeypatch, tmp_path, form):
    frames = [scene(30), scene(60)]
    install(monkeypatch, lambda path: frames if form == "frames" else [[frames[0], None], [frames[1]]])
    one, other = read_recording(tmp_path / "drive.osf")
    assert one.shape == (ROWS, COLUMNS, 3) and one.dtype == np.uint8
    for image, place in ((one, 30), (other, 60)):
        square = np.zeros((ROWS, COLUMNS), bool)
        square[10:20, place : place + 10] = True
        assert (image[square][:, :2] == 255).all() and (image[:, :5, :2][~square[:, :5]] == 0).all()
        rises = np.diff(image[0, :, 0].astype(int))
        assert rises.min() >= 0 and 200 < image[0, -30, 0] < 255  # columns stand in their order
        assert (image[:, : COLUMNS // 2, 2] == 0).all() and image[0, -1, 2] > image[0, -60, 2] > 0


def test_without_the_package_one_line_says_so(monkeypatch, tmp_path):
    for name in ("ouster", "ouster.sdk", "ouster.sdk.core"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(data.DataError, match=r"drive.pcap: recordings are read by the package ouster-sdk: pip inst"):
        next(read_recording(tmp_path / "drive.pcap"))


@pytest.mark.parametrize(("suffix", "mend"), [("pcap", "is its metadata, a .json"), ("osf", "record it again")])
def test_a_damaged_recording_is_one_line(monkeypatch, tmp_path, suffix, mend):
    def broken(path):
        yield scene(30)
        raise RuntimeError("bad\nblock " + "x" * 500)

    install(monkeypatch, broken)
    frames = read_recording(tmp_path / f"drive.{suffix}")
    next(frames)
    line = rf"drive.{suffix}: cannot be read as a recording \(bad block x+\): {mend}"
    with pytest.raises(data.DataError, match=line) as error:
        next(frames)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_detect_writes_a_picture_a_frame(monkeypatch, tmp_path, capsys):
    """What stood before a fault in a recording stays, and other files go on."""

    def broken(path):
        yield from (scene(30), scene(60))
        raise RuntimeError("cut off")

    install(monkeypatch, broken)
    model = torch.nn.Linear(1, 1)
    model.categories = {1: "car"}
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    model.forward = lambda images: [empty]
    monkeypatch.setattr(detect.weights, "load", lambda what: model)
    recording = tmp_path / "in" / "drive.osf"
    recording.parent.mkdir()
    recording.write_bytes(b"")
    assert detect.main(["any", str(recording.parent), "--out", str(tmp_path / "out"), "--json", "--gif"]) == 1
    assert {p.name for p in (tmp_path / "out" / "drive").iterdir()} == {"00000.png", "00001.png"}
    printed = capsys.readouterr()
    assert "drive.osf: cannot be read as a recording (cut off)" in printed.err
    assert "0 objects in 2 images" in printed.out and (tmp_path / "out" / "clip.gif").is_file()
    assert recordings.INSTALL.endswith('"tdt4265[ouster]"')
