"""Trained detectors that come with the course: the weights of recorded runs, in half precision, in assets/weights.

A file has its record's name, and says in its metadata which recipe it holds and what the labels mean.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from tdt4265.paths import assets, write_whole
from tdt4265.recipes import ALL_RECIPES, RECIPES, Recipe
from tdt4265.records import changed_part

# The small runs of these keep their weights, 2 MB each: the notebooks show what they see.
WITH_WEIGHTS = (*RECIPES, "focal_loss-sigmoid", "initialization-paper", "lite")
WITH_WEIGHTS += ("faster_rcnn", "mask_rcnn", "keypoint_rcnn")


def kept(recipe: str, protocol: str) -> bool:
    """Whether the weights of such runs are kept."""
    return protocol == "small" and recipe in WITH_WEIGHTS


class WeightsError(ValueError):
    """Weights that can't be had: one line that names the file and the mend."""


def save(model: nn.Module, path: str | Path, recipe: Recipe, classes: dict[int, str]) -> None:
    """Writes a model's weights, every float32 tensor as float16; a reader sees the whole file or none.

    classes: the names of the labels, from 1.
    """
    tensors = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    metadata = {"parts": json.dumps(recipe.as_dict()), "classes": json.dumps(classes)}
    write_whole(path, lambda place: save_file(tensors, place, metadata))


def trained(
    recipe: str, *, seed: int = 0, protocol: str = "small", dataset: str = "sim", folder: str | Path | None = None
) -> nn.Module:
    """A recorded run's detector, in evaluation mode, float32, on the CPU.

    Args:
        recipe: a name among `recipes.ALL_RECIPES`.
        seed, protocol, dataset: which of its runs (`records.PROTOCOLS`).
        folder: where the weights are; None: those that come with the course.

    Raises:
        WeightsError: there are none of this run, they can't be read, or the recipe has changed since.
    """
    if recipe not in ALL_RECIPES:
        raise WeightsError(f"no recipe {recipe!r}: choose one of {', '.join(ALL_RECIPES)}")
    folder = assets() / "weights" if folder is None else Path(folder)
    path = folder / protocol / f"{recipe}-{dataset}-seed{seed}.safetensors"
    command = f"make_records {recipe} --seeds {seed} --protocol {protocol} --dataset {dataset}"
    mend = f"make them with `python -m tdt4265.{command}`" if kept(recipe, protocol) else "none are kept of such runs"
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights; {mend}")
    try:
        with safe_open(path, "pt") as file:
            metadata, state = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
        parts, classes = json.loads(metadata["parts"]), json.loads(metadata["classes"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path}: is damaged ({' '.join(str(error).split())}); {mend}") from error
    wanted = ALL_RECIPES[recipe] if protocol == "full" else ALL_RECIPES[recipe].small()
    if changed := changed_part(wanted.as_dict(), parts):
        raise WeightsError(f"{path}: the recipe has another {changed} now; {mend}")
    with torch.random.fork_rng([]):  # the random weights that are replaced at once are nobody's draw
        model = wanted.build_model(num_classes=max(map(int, classes)) + 1, pretrained=False)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{path}: does not fit the network as it is now; {mend}") from error
    return model.eval()
