"""How many frames a second the small networks are trained on, as `fit` trains them and as it did before.

    python benchmarks/training.py [RECIPE ...] [--size small] [--steps 24] [--dataset sample]

Before: in float32, each frame decoded whenever it is asked for. After: in the precision that this machine trains
fastest in (`devices.choose_precision`), decoded frames held in memory. Both are `fit`'s own steps, with loading and
augmentation in the same process. They are timed in turn, a step each, so that what else the machine does hits both;
printed are the speeds of the median step and of the fastest, and their ratios.
"""

import argparse
import math
import statistics
import time
from collections.abc import Iterator

import torch
from torch.utils.data import ConcatDataset

from tdt4265 import data, devices, recipes, training
from tdt4265.data.transforms import pipeline
from tdt4265.speed import now

SMALL = ("focal_loss-sigmoid", "initialization-paper", "ssd")


def steps(recipe: recipes.Recipe, frames: data.CocoDetection, precision: str, count: int) -> Iterator[None]:
    """Each `next` loads a batch and takes a training step."""
    fabric = devices.launch(1, precision)
    config = recipe.training
    model = recipe.build_model(frames.num_classes, pretrained=False)
    model = model.to(fabric.device, memory_format=torch.channels_last).train()
    model, optimizer = training.set_up(model, training.make_optimizer(model, config), fabric)
    repeats = math.ceil(count * config.batch_size / len(frames))
    shown = ConcatDataset([frames.with_transforms(pipeline(recipe.transforms))] * repeats)
    loader = training.make_loader(shown, config.batch_size, seed=0, epoch=1, workers=0, fabric=fabric)
    rates = training.learning_rates(config, len(loader), epochs=1)[0]
    for (images, targets), lr in zip(loader, rates, strict=True):
        training.train_step(model, optimizer, images, targets, lr, config.clip_norm, fabric)
        now(fabric.device)  # a GPU has then done the step
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"default: {', '.join(SMALL)}")
    parser.add_argument("--size", default="small", choices=("small", "report"))
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--dataset", default="sample")
    options = parser.parse_args()
    folder = data.source_folder(options.dataset)
    decoded, held = data.CocoDetection(folder, "train", held_bytes=0), data.CocoDetection(folder, "train")
    accelerator, _ = devices.choose_devices(1)
    precision = devices.choose_precision(accelerator)
    print(f"{devices.device_name(accelerator)}, {torch.get_num_threads()} threads, frames a second (fastest step)")
    for name in options.recipes or SMALL:
        recipe = recipes.ALL_RECIPES[name] if options.size == "report" else recipes.ALL_RECIPES[name].small()
        count = options.steps + 2  # the first two warm up
        runs = {"before": steps(recipe, decoded, "32-true", count), "after": steps(recipe, held, precision, count)}
        taken = {which: [] for which in runs}
        for _ in range(count):
            for which, run in runs.items():
                start = time.perf_counter()
                next(run)
                taken[which].append(time.perf_counter() - start)
        size = recipe.training.batch_size
        median = {which: size / statistics.median(times[2:]) for which, times in taken.items()}
        best = {which: size / min(times[2:]) for which, times in taken.items()}
        print(
            f"{name:<21} 32-true, decoded each time {median['before']:6.2f} ({best['before']:.2f}), "
            f"{precision}, held {median['after']:6.2f} ({best['after']:.2f}), "
            f"ratio {median['after'] / median['before']:.2f} ({best['after'] / best['before']:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
