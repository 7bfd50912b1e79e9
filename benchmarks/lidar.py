"""Frames a second the simulator writes with two processes, street and PNGs included. Goal: 6.

    python benchmarks/lidar.py [--clips 2] [--frames 50]
"""

import argparse
import tempfile
import time
from pathlib import Path

from tdt4265.lidar import generate

GOAL = 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--frames", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        out = generate(Path(folder) / "sim", args.clips, 0, args.frames, workers=2)
        rate = args.clips * args.frames / (time.perf_counter() - start)
        sizes = [path.stat().st_size for path in out.glob("images/train/*.png")]
    print(f"{rate:.1f} frames a second on two processes, {rate / GOAL:.2f} of the goal of {GOAL:g}")
    print(f"{sum(sizes) / len(sizes) / 1000:.0f} kB a frame")


if __name__ == "__main__":
    main()
