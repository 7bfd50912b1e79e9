"""Frames a second the simulator writes with two processes, streets and PNGs included. Goal: 4.

    python benchmarks/lidar.py [--streets 32] [--frames 2]

The default dataset has 2 frames a street (3 in val), and a new street costs about as much as a frame.
"""

import argparse
import tempfile
import time
from pathlib import Path

from tdt4265.lidar import generate

GOAL = 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streets", type=int, default=32)
    parser.add_argument("--frames", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        out = generate(Path(folder) / "sim", args.streets, 0, args.frames, workers=2)
        rate = args.streets * args.frames / (time.perf_counter() - start)
        sizes = [path.stat().st_size for path in out.glob("images/train/*.png")]
    print(f"{rate:.1f} frames a second on two processes, {rate / GOAL:.2f} of the goal of {GOAL:g}")
    print(f"{sum(sizes) / len(sizes) / 1000:.0f} kB a frame")


if __name__ == "__main__":
    main()
