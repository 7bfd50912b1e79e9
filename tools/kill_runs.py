"""Kills a run of two processes again and again, and compares what it comes to with a run that nobody disturbed.

    python tools/kill_runs.py [--kills 30] [--seed 0]

Each time one of the two processes (or both, with torchrun) gets kill -9 after a random time, and the same command goes
on with --resume. Prints a line a kill, and at the end whether record and weights are the same, apart from the clock.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from tdt4265 import records
from tdt4265.training import read_checkpoint

ARGUMENTS = ["ssd", "--dataset", "sample", "--epochs", "30", "--batch-size", "1", "--precision", "32-true"]
CLOCK = ("seconds", "frames_per_second")


def start(folder: Path, *more: str) -> subprocess.Popen:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "tdt4265.train", *ARGUMENTS, "--output-dir", str(folder), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    log = (folder.parent / f"{folder.name}.log").open("a")
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def children(process: int) -> list[int]:
    """The processes that one has started (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:  # it has ended meanwhile
            continue
        if int(rest.split()[1]) == process:
            found.append(int(name.split()[0]))
    return found


def kill(process: subprocess.Popen, draw: random.Random) -> str:
    """Kills one of the two, or all at once; returns which."""
    workers = children(process.pid)
    which = draw.choice(["first", "second", "all"])
    chosen = {"first": workers[:1], "second": workers[1:], "all": [process.pid, *workers]}[which]
    for number in chosen:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
    return which


def epochs(folder: Path) -> int:
    path = folder / "record.jsonl"
    return len(records.read(path).epochs) if path.exists() else 0


def compare(one: Path, other: Path) -> list[str]:
    """What differs between two finished runs; [] for nothing."""
    first, second = (read_checkpoint(folder / "checkpoint.pt") for folder in (one, other))
    weights = [name for name, value in first["model"].items() if not torch.equal(value, second["model"][name])]
    lines = [[{k: v for k, v in line.items() if k not in CLOCK} for line in run["epochs"]] for run in (first, second)]
    recorded = [records.read(folder / "record.jsonl") for folder in (one, other)]
    same = [[name for name, _ in record.further if name != "speed"] for record in recorded]
    found = [f"weights {name}" for name in weights]
    found += ["epochs"] if lines[0] != lines[1] else []
    found += ["checkpoint and record"] if second["epochs"] != recorded[1].epochs else []
    return found + (["what was measured after training"] if same[0] != same[1] else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    work = Path(tempfile.mkdtemp(prefix="kills-"))
    began = time.monotonic()
    assert start(work / "whole").wait() == 0, f"see {work / 'whole.log'}"
    lasted = time.monotonic() - began
    print(f"undisturbed: {lasted:.0f} s", flush=True)
    done, folder = 0, 0
    while done < options.kills:
        run = work / f"killed{folder}"
        began, process = time.monotonic(), start(run, "--resume")
        try:
            process.wait(draw.uniform(0.1, 0.9) * lasted)
        except subprocess.TimeoutExpired:
            which = kill(process, draw)
            done += 1
            print(f"kill {done}: {which}, after {epochs(run)} epochs of {run.name}", flush=True)
            continue
        differences = compare(work / "whole", run)
        print(f"{run.name} ended: {', '.join(differences) or 'the same'}", flush=True)
        if process.returncode or differences:
            return 1
        lasted = min(lasted, time.monotonic() - began)
        folder += 1
    run = work / f"killed{folder}"
    assert start(run, "--resume").wait() == 0, f"see {work / (run.name + '.log')}"
    differences = compare(work / "whole", run)
    print(f"{run.name} ended: {', '.join(differences) or 'the same'}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
