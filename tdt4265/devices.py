"""Which device, how many processes, which precision; and a Fabric on them."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

import lightning
import torch
from lightning.fabric.strategies import DDPStrategy

from tdt4265.errors import OneLineError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # Fabric's names: float32, and autocast to either type of 16 bits
CPU_INFO = Path("/proc/cpuinfo")  # where Linux names the CPU and lists its instructions


class DeviceError(OneLineError):
    """A device or a precision that can't be had: one line that says why."""


def choose_devices(devices: str | int = "auto") -> tuple[str, int]:
    """What `devices` means on this machine: "cuda" or "cpu", and how many processes.

    Raises DeviceError where it means nothing, or what is not there.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() and devices != "cpu" else 0
    launched = int(os.environ.get("LOCAL_WORLD_SIZE", 0))  # by torchrun or `fabric run`, on this machine
    if devices in ("auto", "cpu"):
        count = launched or (1 if _in_notebook() else max(1, gpus))
    else:
        try:
            count = int(devices)
        except ValueError:
            count = 0
        if count < 1:
            raise DeviceError(f'devices is {devices!r}: it is "auto", "cpu" or a number from 1')
    if gpus and count > gpus:
        raise DeviceError(f"devices is {devices}: {count} processes want a GPU each, this machine has {gpus}")
    if launched and count != launched:
        raise DeviceError(f"devices is {devices}: {launched} processes were launched; leave --devices out")
    if count > 1 and not launched and _in_notebook():
        raise DeviceError(f"devices is {devices}: a notebook runs on one; use torchrun -m tdt4265.train for more")
    return ("cuda" if gpus else "cpu"), count


def torch_device(device: str = "auto") -> torch.device:
    """The device of that name; "auto": a GPU if there is one. Raises DeviceError where it is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"device is {device!r}: this machine has none of that name; use cpu, or auto") from error
    return chosen


def choose_precision(accelerator: str, precision: str = "auto") -> str:
    """The precision that this machine trains fastest in ("auto"), or the one asked for; one of PRECISIONS.

    Mixed precision is for training alone: `evaluation` computes in float32 everywhere, so that a checkpoint has one
    score. Where LT_PRECISION is set, as `fabric run --precision` does, it says what "auto" is.

    Raises DeviceError for a precision that is none of them, or not what LT_PRECISION says.
    """
    given = os.environ.get("LT_PRECISION")
    if given and precision not in ("auto", given):
        raise DeviceError(f"precision is {precision}: LT_PRECISION says {given}; leave one of them out")
    if given:
        return given
    if precision == "auto":
        if accelerator in ("cuda", "gpu"):
            # Before compute capability 8.0 (Colab's T4), bfloat16 is emulated and slow.
            return "bf16-mixed" if torch.cuda.get_device_capability()[0] >= 8 else "16-mixed"
        return "bf16-mixed" if cpu_has_bfloat16() else "32-true"  # emulated, it is several times slower than float32
    if precision not in PRECISIONS:
        raise DeviceError(f'precision is {precision!r}: it is "auto", {", ".join(PRECISIONS)}')
    return precision


def device_name(device: torch.device | str) -> str:
    """What the hardware calls itself, such as "NVIDIA H200" or "AMD EPYC 7B13"."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError):  # only Linux has it
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 by itself: x86's AVX-512 BF16 or AMX, by its flags.

    False where they can't be asked for: only Linux lists them.
    """
    try:
        flags = next(x for x in CPU_INFO.read_text().splitlines() if x.startswith("flags")).split()
    except (OSError, StopIteration):
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def launch(devices: str | int = "auto", precision: str = "auto") -> lightning.Fabric:
    """A Fabric on these devices, its processes running, with the precision that `choose_precision` says."""
    accelerator, count = choose_devices(devices)
    accelerator = os.environ.get("LT_ACCELERATOR", accelerator)  # `fabric run --accelerator`
    precision = choose_precision(accelerator, precision)
    nodes = int(os.environ["WORLD_SIZE"]) // count if "LOCAL_WORLD_SIZE" in os.environ else 1
    # A detector may hold parameters that a batch doesn't reach, such as the box head's where no frame has a box;
    # where it holds none, torch says once that looking for them was not needed.
    several = count * nodes > 1 and "LT_STRATEGY" not in os.environ
    strategy = DDPStrategy(find_unused_parameters=True) if several else "auto"
    if "LT_CLI_USED" in os.environ:
        return lightning.Fabric(strategy=strategy, precision=precision)
    fabric = lightning.Fabric(
        accelerator=accelerator, strategy=strategy, devices=count, num_nodes=nodes, precision=precision
    )
    fabric.launch()
    return fabric


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return type(get_ipython()).__name__ == "ZMQInteractiveShell" or "google.colab" in str(type(get_ipython()))
