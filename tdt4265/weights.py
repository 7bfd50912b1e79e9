"""Trained detectors: `load` finds them by name, in a run's folder, or in a file.

Those that come with the course are the weights of recorded runs, in half precision, in assets/weights. A file has its
record's name, and says in its metadata which recipe it holds and what the labels mean.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from tdt4265.contract import MOST_CATEGORIES
from tdt4265.errors import OneLineError, plain, quoted
from tdt4265.models.detector import IMAGE_MEAN, IMAGE_STD
from tdt4265.paths import assets, expanded, write_whole
from tdt4265.recipes import ALL_RECIPES, RECIPES, Recipe
from tdt4265.records import changed_part
from tdt4265.training import BEST, CHECKPOINT, TrainingError, read_checkpoint

# The small runs of these keep their weights, 2 MB each: the notebooks show what they see.
WITH_WEIGHTS = (*RECIPES, "focal_loss-sigmoid", "initialization-paper", "lite")
WITH_WEIGHTS += ("faster_rcnn", "mask_rcnn", "keypoint_rcnn")


def kept(recipe: str, protocol: str) -> bool:
    """Whether the weights of such runs are kept."""
    return protocol == "small" and recipe in WITH_WEIGHTS


class WeightsError(OneLineError):
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
    """A recorded run's detector, in evaluation mode, float32, on the CPU; `model.categories` are its classes.

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
        parts, classes = json.loads(metadata["parts"]), _labels(json.loads(metadata["classes"]))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path}: is damaged ({' '.join(str(error).split())}); {mend}") from error
    wanted = ALL_RECIPES[recipe] if protocol == "full" else ALL_RECIPES[recipe].small()
    if changed := changed_part(wanted.as_dict(), parts):
        raise WeightsError(f"{path}: the recipe has another {changed} now; {mend}")
    return _detector(path, wanted, state, classes, mend)


def load(what: str | Path, *, seed: int = 0) -> nn.Module:
    """A trained detector, in evaluation mode, float32, on the CPU; `model.categories` are its classes, {label: name}.

    Args:
        what: a recipe whose weights come with the course (`trained`), a run's folder (its best epoch, else its last),
            or a run's `best.pt` or `checkpoint.pt`.
        seed: of a recipe, which of its runs.

    Raises:
        WeightsError: there is no such thing, it can't be read, or this version has another recipe of that name.
    """
    if str(what) in ALL_RECIPES and not os.path.exists(what):
        return trained(str(what), seed=seed)
    path = _checkpoint_path(what)
    try:
        checkpoint = read_checkpoint(path)
    except TrainingError as error:
        raise WeightsError(f"{error}".split(";")[0] + "; give a run's folder or its checkpoint") from error
    try:
        return _of_run(path, checkpoint["header"], checkpoint["model"])
    except WeightsError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise WeightsError(f"{path}: is damaged ({quoted(str(error))}); train again") from error


def _of_run(path: Path, header: dict, state: dict) -> nn.Module:
    """The detector of a checkpoint's parts, which may be any."""
    again = "train again"
    lacking = [key for key in ("recipe", "size", "parts", "classes", "normalisation") if key not in header]
    if lacking:
        raise WeightsError(f"{path}: does not say its {lacking[0]}: an older version made it; {again}")
    if header["recipe"] not in ALL_RECIPES:
        raise WeightsError(f"{path}: this version has no recipe {quoted(header['recipe'])}; {again}")
    recipe = ALL_RECIPES[header["recipe"]]
    recipe = recipe if header["size"] == "report" else recipe.small()
    if changed := changed_part(_network(recipe.as_dict()), _network(header["parts"])):
        raise WeightsError(f"{path}: the recipe {recipe.name} has another {plain(changed)} now; {again}")
    if header["normalisation"] != {"mean": list(IMAGE_MEAN), "std": list(IMAGE_STD)}:
        raise WeightsError(f"{path}: was trained on pixels of another normalisation; {again}")
    return _detector(path, recipe, state, _labels(header["classes"]), again)


def _checkpoint_path(what: str | Path) -> Path:
    path = expanded(what)
    try:
        if path.is_dir():
            return next((path / name for name in (BEST, CHECKPOINT) if (path / name).is_file()), path / CHECKPOINT)
        if path.exists():
            return path
    except OSError as error:
        raise WeightsError(f"{path}: can't be read ({error.strerror}); give a run's folder, or a recipe") from None
    names = ", ".join(sorted({name for name in WITH_WEIGHTS if kept(name, "small")}))
    raise WeightsError(f"{what}: is no file, no folder and no recipe with weights: give a run's folder, or {names}")


def _network(parts: dict) -> dict:
    """A recipe's parts without what trains it: those that say what a state dict fits."""
    return {key: part for key, part in parts.items() if key not in ("training", "transforms", "init")}


def _labels(classes: dict[str, str]) -> dict[int, str]:
    labels = {int(label): name for label, name in classes.items()}  # JSON's keys are text
    if not labels or min(labels) < 1 or max(labels) > MOST_CATEGORIES or not {str} >= set(map(type, labels.values())):
        raise ValueError(f"classes {quoted(classes)}")
    return labels


def _detector(path: Path, recipe: Recipe, state: dict, classes: dict[int, str], mend: str) -> nn.Module:
    with torch.random.fork_rng([]):  # the random weights that are replaced at once are nobody's draw
        model = recipe.build_model(num_classes=max(classes) + 1, pretrained=False)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{path}: does not fit the network as it is now; {mend}") from error
    model.categories = classes
    return model.eval()
