"""What a small detector that saw simulated frames alone finds on real ones.

    python benchmarks/transfer.py REAL_FOLDER [--dataset sim] [--recipe bifpn] [--seeds 0 1 2]
        [--frames 6400] [--transforms flip roll] [--out runs/transfer] [--csv TABLE.csv]
        [--image PANORAMA.png]

Trains the small network on the dataset's train split until it has seen that many frames, and prints the AP of each
class on its val split and on the train frames of REAL_FOLDER (a folder in COCO format), and the means over the seeds;
then, for each class and size, the median error in pixels of each edge of the boxes that were found, over all seeds:
positive to the right and downwards. An object is found if a detection of its class overlaps it by IoU 0.4 or more; the
best-scored of these counts.
Runs are left in OUT, and a run that is there already is not made again. TABLE.csv gets a row for each seed and dataset;
PANORAMA.png is the val frame with most boxes and what the last seed's detector finds there (the README's image).
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torchvision.ops import box_convert, box_iou

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


EDGES = ("left", "top", "right", "bottom")
ANY = float("inf")
SIZES = {"under 25": (0, 25), "25 to 45": (25, 45), "over 45": (45, ANY), "all": (0, ANY)}  # height in rows


def edge_errors(dataset: data.CocoDetection, results: list[dict], least: float = 0.4) -> pd.DataFrame:
    """Class, height and the error of each edge (predicted minus true) of every object that was found, in pixels.

    results: from `evaluation.predict`. An object is found if a detection of its class overlaps it by IoU `least` or
    more; the one with the highest score counts.
    """
    found: dict[int, list[dict]] = {}
    for result in results:
        found.setdefault(result["image_id"], []).append(result)
    rows = []
    for _, target in dataset:
        own = found.get(int(target["image_id"]), [])
        boxes = box_convert(torch.tensor([one["bbox"] for one in own]).reshape(-1, 4), "xywh", "xyxy")
        labels = torch.tensor([one["category_id"] for one in own], dtype=torch.int64)
        scores = torch.tensor([one["score"] for one in own])
        for box, label in zip(target["boxes"].as_subclass(Tensor), target["labels"].tolist(), strict=True):
            near = (box_iou(box[None], boxes)[0] >= least) & (labels == label)
            if near.any():
                error = boxes[scores.where(near, -1).argmax()] - box
                row = {"class": dataset.categories[label], "height": float(box[3] - box[1])}
                rows.append(row | dict(zip(EDGES, error.tolist(), strict=True)))
    return pd.DataFrame(rows, columns=["class", "height", *EDGES])


def edge_table(errors: pd.DataFrame) -> pd.DataFrame:
    """Median error of each edge by class and height, and the number of boxes."""
    rows = []
    for (frames, label), own in errors.groupby(["frames of", "class"], sort=False):
        for size, (low, high) in SIZES.items():
            some = own[(own["height"] >= low) & (own["height"] < high)]
            if len(some):
                row = {"frames of": frames, "class": label, "height": size, "n": len(some)}
                rows.append(row | some[[*EDGES]].median().to_dict())
    return pd.DataFrame(rows)


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
    parser.add_argument("--recipe", default="bifpn", choices=ALL_RECIPES)
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
    rows, errors = [], []
    for seed in options.seeds:
        model = trained(recipe, options.frames, train, seed, Path(options.out) / f"{recipe.name}-seed{seed}")
        for name, dataset in ((f"{val.name} val", val), (real.name, real)):
            results = evaluation.predict(model, dataset)
            metrics = evaluation.coco_metrics(dataset.coco, results)
            frames = f"{name}, {len(dataset)} frames"
            errors.append(edge_errors(dataset, results).assign(**{"frames of": frames}))
            row = {"recipe": recipe.name, "transforms": " ".join(recipe.transforms), "trained on": train.name}
            row |= {"frames seen": -(-options.frames // len(train)) * len(train), "seed": seed}
            rows.append({**row, "frames of": frames, "mAP": metrics.map, **metrics.per_class})
            print(pd.DataFrame(rows[-1:]).to_string(index=False, float_format="{:.4f}".format), flush=True)
    table = pd.DataFrame(rows)
    print("\n" + table.to_string(index=False, float_format="{:.4f}".format))
    if options.image:
        draw(model, val, options.image)
    if options.csv:
        table.to_csv(options.csv, index=False, float_format="%.4f")
    means = table.drop(columns="seed").groupby("frames of", sort=False).mean(numeric_only=True)
    print(f"\nmeans of {len(options.seeds)} seeds\n" + means.to_string(float_format="{:.4f}".format))
    edges = edge_table(pd.concat(errors)).to_string(index=False, float_format="{:+.2f}".format)
    print(f"\nmedian error of each edge, pixels, {len(options.seeds)} seeds\n{edges}")


if __name__ == "__main__":
    main()
