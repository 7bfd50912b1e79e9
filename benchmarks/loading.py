"""How many frames a second are read from disk, as they are and through each augmentation.

    python benchmarks/loading.py [--dataset sample] [--rounds 20]

Prints both speeds of each transform and their ratio. They are timed in turn, a frame each, so that what else the
machine does hits all. One process reads; training has several (`fit`'s workers).
"""

import argparse
import statistics
import time

import torch

from tdt4265 import data
from tdt4265.data.transforms import TRANSFORMS, pipeline
from tdt4265.recipes import EVERY_TRANSFORM, augmentation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="sample")
    parser.add_argument("--rounds", type=int, default=20, help="how often each of the first 8 frames is read")
    options = parser.parse_args()
    frames, _ = data.load(options.dataset)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    pipelines = {"as they are": ()} | {name: (name,) for name in TRANSFORMS}
    pipelines |= {"the reports' four": augmentation.transforms, "all": EVERY_TRANSFORM}
    datasets = {name: frames.with_transforms(pipeline(names)) for name, names in pipelines.items()}
    times = {name: [] for name in datasets}
    for _ in range(options.rounds):
        for index in range(min(8, len(frames))):
            for name, dataset in datasets.items():
                start = time.perf_counter()
                dataset[index]
                times[name].append(time.perf_counter() - start)
    plain = statistics.mean(times["as they are"])
    for name, taken in times.items():
        mean = statistics.mean(taken)
        print(f"{name:<18}{1 / mean:8.1f} frames a second, {plain / mean:5.2f} of the speed without")


if __name__ == "__main__":
    main()
