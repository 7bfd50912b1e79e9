"""What a small detector that saw simulated frames alone finds on real ones.

    python benchmarks/transfer.py REAL_FOLDER [--dataset sim] [--recipe initialization-paper] [--seeds 0 1 2]
        [--frames 6400] [--transforms flip roll] [--out runs/transfer] [--csv TABLE.csv]
        [--image PANORAMA.png]

Trains the small network on the dataset's train split until it has seen that many frames, and prints the AP of each
class on its val split and on the train frames of REAL_FOLDER (a folder in COCO format), and the means over the seeds.
Runs are left in OUT, and a run that is there already is not made again. TABLE.csv gets a row for each seed and dataset;
PANORAMA.png is the val frame with most boxes and what the last seed's detector finds there (the README's image).
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from tdt4265 import data, evaluation, plots, training
from tdt4265.recipes import ALL_RECIPES


def trained(recipe, frames: int, train: data.CocoDetection, seed: int, folder: Path) -> torch.nn.Module:
    """The small network after whole passes over `train`, `frames` frames at least."""
    torch.manual_seed(seed)
    model = recipe.build_model(num_classes=train.num_classes)
    augmented = train.with_transforms(data.transforms.pipeline(recipe.transforms))
    epochs = -(-frames // len(train))
    training.fit(
        model, augmented, None, recipe.training, epochs=epochs, output_dir=folder, seed=seed, devices="cpu",
        resume=True, header={"recipe": recipe.name, "parts": recipe.as_dict(), "fingerprint": train.fingerprint},
    )  # fmt: skip
    return model


def draw(model: torch.nn.Module, val: data.CocoDetection, path: str, least: float = 0.3) -> None:
    """What the detector finds, scores from `least`, in the frame that holds most boxes."""
    image, _ = val[max(range(len(val)), key=lambda index: len(val[index][1]["boxes"]))]
    with torch.no_grad():
        found = model.eval()([image])[0]
    sure = found["scores"] >= least
    figure = plots.panorama(image, found["boxes"][sure], found["labels"][sure], categories=val.categories)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real")
    parser.add_argument("--dataset", default="sim")
    parser.add_argument("--recipe", default="initialization-paper", choices=ALL_RECIPES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--frames", type=int, default=6400)
    parser.add_argument("--transforms", nargs="*", default=["flip", "roll"])
    parser.add_argument("--out", default="runs/transfer")
    parser.add_argument("--csv")
    parser.add_argument("--image")
    options = parser.parse_args()
    recipe = replace(ALL_RECIPES[options.recipe].small(), transforms=tuple(options.transforms))
    train, val = data.load(options.dataset)
    real, _ = data.load(options.real)
    rows = []
    for seed in options.seeds:
        model = trained(recipe, options.frames, train, seed, Path(options.out) / f"{recipe.name}-seed{seed}")
        for name, dataset in ((f"{val.name} val", val), (real.name, real)):
            metrics = evaluation.evaluate(model, dataset)
            row = {"recipe": recipe.name, "transforms": " ".join(recipe.transforms), "trained on": train.name}
            row |= {"frames seen": -(-options.frames // len(train)) * len(train), "seed": seed}
            rows.append({**row, "frames of": f"{name}, {len(dataset)} frames", "mAP": metrics.map, **metrics.per_class})
            print(pd.DataFrame(rows[-1:]).to_string(index=False, float_format="{:.4f}".format), flush=True)
    table = pd.DataFrame(rows)
    print("\n" + table.to_string(index=False, float_format="{:.4f}".format))
    if options.image:
        draw(model, val, options.image)
    if options.csv:
        table.to_csv(options.csv, index=False, float_format="%.4f")
    means = table.drop(columns="seed").groupby("frames of", sort=False).mean(numeric_only=True)
    print(f"\nmeans of {len(options.seeds)} seeds\n" + means.to_string(float_format="{:.4f}".format))


if __name__ == "__main__":
    main()
