"""How fast a detector is: frames a second of everything between an image and its detections."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from tdt4265.devices import device_name
from tdt4265.evaluation import evaluating


@torch.no_grad()
def measure_speed(
    model: nn.Module,
    image_size: tuple[int, int, int] = (3, 128, 1024),
    batch_sizes: Sequence[int] = (1, 8),
    *,
    images: Sequence[Tensor] | None = None,
    device: torch.device | str | None = None,
    seconds: float = 2.0,
) -> pd.DataFrame:
    """Frames a second of `model(images)`: normalising, network, decoding and NMS, without reading files.

    Args:
        image_size: channels, height and width of a frame of noise to time on.
        images: frames to time on instead: NMS takes the longer the more there is to be found.
        device: where to run; None is where the model's parameters are.
        seconds: how long to time each batch size, after three calls to warm up.

    Returns:
        A row a batch size: device, threads, batch size, frames a second, milliseconds a frame.
    """
    if images is None:
        images = [torch.rand(image_size, generator=torch.Generator().manual_seed(0))]
    rows = []
    with evaluating(model, device) as device:
        for batch_size in batch_sizes:
            batch = [images[i % len(images)].to(device) for i in range(batch_size)]
            for _ in range(3):
                model(batch)
            calls, start = 0, now(device)
            while (elapsed := now(device) - start) < seconds or calls == 0:
                model(batch)
                calls += 1
            speed = calls * batch_size / elapsed
            rows.append((device_name(device), torch.get_num_threads(), batch_size, speed, 1000 / speed))
    return pd.DataFrame(rows, columns=["device", "threads", "batch size", "frames a second", "milliseconds a frame"])


def now(device: torch.device) -> float:
    """Seconds on a clock that only differences mean anything of, once the device has done what it was given."""
    if device.type == "cuda":  # its kernels run on after the call that started them has returned
        torch.cuda.synchronize(device)
    return time.perf_counter()
