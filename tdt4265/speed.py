"""How fast a detector is: frames a second of everything between an image and its detections.

    python -m tdt4265.speed anchor_tuning --out speed.csv

times one frame after the other on the CPU, with one and two threads, by torch and, where they are installed, by
onnxruntime and OpenVINO, in float32, bfloat16 and int8. Their calls are interleaved, so that whatever else the machine
does hits all of them.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from tdt4265 import data, export, weights
from tdt4265.devices import cpu_has_bfloat16, device_name
from tdt4265.errors import OneLineError
from tdt4265.evaluation import evaluating
from tdt4265.paths import write_whole

COLUMNS = ("detector", "runtime", "version", "precision", "threads", "fastest ms", "median ms", "calls", "cpu")


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


# The command ----------------------------------------------------------------------------------------------------------


class SpeedError(OneLineError):
    """What is asked for can't be timed: one line that says why, and the mend."""


@dataclass
class Variant:
    """One way to run a detector.

    Attributes:
        runtime, version, precision, threads: as the table has them.
        call: uint8 [H, W, 3] -> detections, of whatever type the runtime has; everything that a frame takes.
        milliseconds: of each call that was timed.
    """

    runtime: str
    version: str
    precision: str
    threads: int
    call: Callable[[np.ndarray], object]
    milliseconds: list[float] = field(default_factory=list)

    def row(self, detector: str, cpu: str) -> tuple:
        """The variant's row in the table, by COLUMNS."""
        times = min(self.milliseconds), statistics.median(self.milliseconds)
        how = self.runtime, self.version, self.precision, self.threads
        return (detector, *how, *times, len(self.milliseconds), cpu)


def compare(variants: Sequence[Variant], images: Sequence[np.ndarray], rounds: int) -> None:
    """Times all variants in turn, `rounds` times over, a call an image; the times go into the variants.

    A variant's turn begins with a call that is not timed: the others have emptied the caches.
    """
    before = torch.get_num_threads()
    try:
        for _, variant in tqdm(list(itertools.product(range(rounds), variants)), unit="turn", mininterval=0.5):
            torch.set_num_threads(variant.threads)
            variant.call(images[0])
            for image in images:
                start = time.perf_counter()
                variant.call(image)
                variant.milliseconds.append(1000 * (time.perf_counter() - start))
    finally:
        torch.set_num_threads(before)


def torch_variants(model: nn.Module, threads: Sequence[int]) -> Iterator[Variant]:
    """torch in float32, and under autocast to bfloat16 where the CPU has it."""

    def call(image: np.ndarray, half: bool) -> object:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return model([torch.from_numpy(export.as_input(image))[0]])

    for count in threads:
        yield Variant("torch", torch.__version__, "float32", count, lambda image: call(image, False))
        if cpu_has_bfloat16():
            yield Variant("torch", torch.__version__, "bfloat16", count, lambda image: call(image, True))


def onnxruntime_variants(path: Path, precision: str, threads: Sequence[int]) -> Iterator[Variant]:
    """onnxruntime on an exported file. Raises export.ExportError where it is missing."""
    version = export.library("onnxruntime").__version__
    for count in threads:
        session = export.session(path, count)

        def call(image: np.ndarray, session=session) -> object:
            return session.run(None, {"image": export.as_input(image)})

        yield Variant("onnxruntime", version, precision, count, call)


def openvino_variants(path: Path, precision: str, threads: Sequence[int]) -> Iterator[Variant]:
    """OpenVINO on an exported file; in float32 only if it is told to. Raises export.ExportError where it is missing."""
    openvino = export.library("openvino")
    version = openvino.__version__.split("-")[0]
    core = openvino.Core()
    hint = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    hint["INFERENCE_PRECISION_HINT"] = "bf16" if precision == "bfloat16" else "f32"
    for count in threads:
        request = core.compile_model(str(path), "CPU", hint | {"INFERENCE_NUM_THREADS": count}).create_infer_request()

        def call(image: np.ndarray, request=request) -> object:
            return [np.array(value) for value in request.infer({"image": export.as_input(image)}).values()]

        yield Variant("OpenVINO", version, precision, count, call)


def all_variants(model: nn.Module, images: Sequence[np.ndarray], folder: Path, threads: Sequence[int]) -> list[Variant]:
    """Every way that this machine has; one line on stderr for each that it lacks. The files go into the folder."""
    found = list(torch_variants(model, threads))
    whole, int8 = folder / "float32.onnx", folder / "int8.onnx"
    size = images[0].shape[:2]
    try:
        export.export(model, whole, size)
    except export.ExportError as error:
        print(f"left out, all but torch: {error}", file=sys.stderr)
        return found
    ways = [(onnxruntime_variants, whole, "float32"), (openvino_variants, whole, "float32")]
    if cpu_has_bfloat16():
        ways.append((openvino_variants, whole, "bfloat16"))
    try:
        frames = [torch.from_numpy(export.as_input(image))[0] for image in images]
        int8.write_bytes(export.quantize(export.read(whole), frames).SerializeToString())
        ways += [(onnxruntime_variants, int8, "int8"), (openvino_variants, int8, "int8")]
    except export.ExportError as error:
        print(f"left out, int8: {error}", file=sys.stderr)
    missing = set()
    for make, path, precision in ways:
        try:
            found += make(path, precision, threads)
        except export.ExportError as error:
            missing.add(f"left out: {error}")
    for line in sorted(missing):
        print(line, file=sys.stderr)
    return found


def table(variants: Sequence[Variant], detector: str) -> pd.DataFrame:
    """A row a variant, COLUMNS; those of one number of threads together, the fastest first."""
    rows = [variant.row(detector, device_name("cpu")) for variant in variants]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.sort_values(["threads", "fastest ms"], kind="stable", ignore_index=True)


def available(threads: Sequence[int]) -> list[int]:
    """Those numbers of threads that have a core each, with a line on stderr for the others.

    Raises SpeedError where none is left.
    """
    # Not all of the machine's may be this process's; only Linux says so.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if min(threads) < 1:
        raise SpeedError(f"--threads {min(threads)}: at least 1")
    found = sorted({count for count in threads if count <= cores})
    if not found:
        raise SpeedError(f"--threads {min(threads)}: this machine has {cores} cores; give as many at most")
    for count in sorted(set(threads) - set(found)):
        print(f"left out: {count} threads, this machine has {cores} cores", file=sys.stderr)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or 2 after one line that says what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        if options.rounds < 1:
            raise SpeedError(f"--rounds {options.rounds}: at least 1")
        threads = available(options.threads)
        model = weights.load(options.what)
        _, val = data.load("sample")
        images = [data.read_pixels(val.folder / val.file_name(index)) for index in range(len(val))]
        with tempfile.TemporaryDirectory() as folder:
            variants = all_variants(model, images, Path(folder), threads)
            compare(variants, images, options.rounds)
        results = table(variants, Path(options.what).name)
        if options.out:
            write_whole(options.out, results.round(3).to_csv(index=False))
    except (SpeedError, weights.WeightsError, data.DataError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{options.out}: cannot be written ({error.strerror or error}); give another file", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing is written", file=sys.stderr)
        return 130
    print(results.drop(columns=["detector", "cpu"]).to_string(index=False, float_format="{:.1f}".format))
    print(f"{results.detector[0]}, milliseconds a frame, batch 1, from uint8 to detections: {results.cpu[0]}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tdt4265.speed", description="Time a detector on the CPU.")
    parser.add_argument("what", help="a recipe whose weights come with the course, a run's folder, or a checkpoint")
    parser.add_argument("--out", metavar="FILE.csv", help="also write the table there")
    parser.add_argument("--rounds", type=int, default=25, help="turns of each way to run it (default: 25)")
    threads = "numbers of threads to time with (default: 1 2)"
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help=threads)
    return parser


if __name__ == "__main__":
    sys.exit(main())
