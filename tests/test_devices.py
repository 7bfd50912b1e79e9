"""tdt4265.devices: which device, how many processes, which precision."""

import pytest
import torch

from tdt4265 import devices
from tdt4265.devices import DeviceError


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert devices.choose_devices("auto") == devices.choose_devices("cpu") == ("cpu", 1)
    assert devices.choose_devices("2") == devices.choose_devices(2) == ("cpu", 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert devices.choose_devices("auto") == ("cuda", 4)
    assert devices.choose_devices(2) == ("cuda", 2)
    assert devices.choose_devices("cpu") == ("cpu", 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")  # as torchrun says
    assert devices.choose_devices("auto") == ("cuda", 3)
    monkeypatch.setattr(devices, "_in_notebook", lambda: True)
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert devices.choose_devices("auto") == ("cuda", 1)


@pytest.mark.parametrize(
    ("wanted", "environment", "notebook", "line"),
    [
        ("many", {}, False, 'devices is \'many\': it is "auto", "cpu" or a number from 1'),
        (0, {}, False, "devices is 0: it is"),
        (5, {}, False, "devices is 5: 5 processes want a GPU each, this machine has 4"),
        (2, {"LOCAL_WORLD_SIZE": "3"}, False, "devices is 2: 3 processes were launched; leave --devices out"),
        (2, {}, True, "devices is 2: a notebook runs on one; use torchrun"),
    ],
)
def test_devices_that_are_not_there_get_one_line(monkeypatch, wanted, environment, notebook, line):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(devices, "_in_notebook", lambda: notebook)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DeviceError) as error:
        devices.choose_devices(wanted)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def cpu(monkeypatch, tmp_path):
    """Gives the machine a CPU that Linux describes so; None: there is no such file, as on macOS and Windows."""
    monkeypatch.delenv("LT_PRECISION", raising=False)
    monkeypatch.setattr(devices, "CPU_INFO", tmp_path / "cpuinfo")

    def of(flags):
        if flags is not None:
            (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: bf16\n{flags}\npower management:\n")

    return of


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16", "bf16-mixed"),
        ("flags\t\t: fpu amx_tile amx_bf16", "bf16-mixed"),
        ("flags\t\t: fpu avx512f avx512_fp16", "32-true"),
        ("Features\t: fp asimd bf16", "32-true"),
        ("", "32-true"),
        (None, "32-true"),
    ],
)
def test_bfloat16_on_cpus_that_have_its_instructions(cpu, flags, precision):
    cpu(flags)
    assert devices.choose_precision("cpu") == precision


def test_the_precision_of_gpus(monkeypatch):
    monkeypatch.delenv("LT_PRECISION", raising=False)
    for capability, precision in (((8, 0), "bf16-mixed"), ((7, 5), "16-mixed")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda capability=capability: capability)
        assert devices.choose_precision("cuda") == precision


def test_the_precision_asked_for_is_taken(cpu, monkeypatch):
    cpu("flags\t\t: avx512_bf16")
    assert devices.choose_precision("cpu", "32-true") == "32-true"
    assert devices.launch("cpu", "32-true").strategy.precision.precision == "32-true"
    assert devices.launch("cpu", "bf16-mixed").strategy.precision.precision == "bf16-mixed"
    with pytest.raises(DeviceError, match="precision is 'half': it is \"auto\", 32-true, bf16-mixed, 16-mixed"):
        devices.choose_precision("cpu", "half")
    monkeypatch.setenv("LT_PRECISION", "32-true")  # as `fabric run --precision` says
    assert devices.choose_precision("cpu") == "32-true"
    with pytest.raises(DeviceError, match="precision is bf16-mixed: LT_PRECISION says 32-true; leave one of them out"):
        devices.choose_precision("cpu", "bf16-mixed")
