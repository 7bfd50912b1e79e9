"""A detector, part by part: `python -m tdt4265.describe RECIPE [--size small]`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .recipes import ALL_RECIPES

IMAGE_SIZE = (128, 1024)  # height, width


def count_parameters(model: nn.Module, image_size: tuple[int, int] = IMAGE_SIZE) -> int:
    """A model's parameters as the course's reports count them.

    All parameters of all parts, and, where the model has `anchors`, their four coordinates each: the reports' loss
    held the anchors as a parameter that is not trained.
    """
    return sum(p.numel() for p in model.parameters()) + 4 * _anchors(model, image_size)


def parts(model: nn.Module, image_size: tuple[int, int] = IMAGE_SIZE) -> pd.DataFrame:
    """What a model is made of.

    Runs the model once, in evaluation mode, on a black image of (height, width) = image_size.

    Returns:
        One row for each part: its name (index), "outputs" (the shapes channels x height x width it gave, finest level
        first), "parameters", "GFLOP" (a multiplication and an addition are two; batch 1).
    """
    found = _find_parts(model)
    outputs: dict[str, list[str]] = {name: [] for name in found}

    def note(name):
        return lambda _module, _inputs, output: outputs[name].extend(_shapes(output))

    hooks = [m.register_forward_hook(note(name)) for name, modules in found.items() for m in modules]
    was_training = model.training
    model.eval()
    counter = FlopCounterMode(display=False)
    device = next(model.parameters()).device
    try:
        with torch.no_grad(), counter:
            model([torch.zeros(3, *image_size, device=device)])
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)

    names = {module: name for name, module in model.named_modules()}
    counted = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}

    def flops(module: nn.Module) -> int:
        # What is never called itself, such as a list of layers, is what its children are.
        name = f"{type(model).__name__}.{names[module]}"
        return counted[name] if name in counted else sum(flops(child) for child in module.children())

    rows = [
        {
            "part": name,
            "outputs": ", ".join(outputs[name]),
            "parameters": sum(p.numel() for module in modules for p in module.parameters()),
            "GFLOP": round(sum(flops(module) for module in modules) / 1e9, 3),
        }
        for name, modules in found.items()
    ]
    return pd.DataFrame(rows).set_index("part")


def _find_parts(model: nn.Module) -> dict[str, list[nn.Module]]:
    """The model's children, or, where a child has several of its own, those; a list of modules is one part.

    The course's backbones and pyramids, which say the channels of each feature map, are whole.
    """
    found: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        inner = {f"{name}.{key}": module for key, module in child.named_children()}
        whole = isinstance(getattr(child, "out_channels", None), list) or len(inner) <= 1
        found.update({name: child} if whole else inner)
    return {
        name: list(module) if isinstance(module, nn.ModuleList) else [module]
        for name, module in found.items()
        if any(True for _ in module.parameters())
    }


def _shapes(output) -> list[str]:
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        return [shape for item in output for shape in _shapes(item)]
    return ["x".join(str(side) for side in output.shape[1:])]


def _anchors(model: nn.Module, image_size: tuple[int, int]) -> int:
    return model.anchors.count(image_size) if hasattr(model, "anchors") else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tdt4265.describe", description=__doc__)
    parser.add_argument("recipe", help=", ".join(ALL_RECIPES))
    parser.add_argument("--size", choices=("report", "small"), default="report")
    options = parser.parse_args(arguments)
    if options.recipe not in ALL_RECIPES:
        print(f"no recipe {options.recipe!r}: choose one of {', '.join(ALL_RECIPES)}", file=sys.stderr)
        return 2
    recipe = ALL_RECIPES[options.recipe]
    recipe = recipe.small() if options.size == "small" else recipe
    model = recipe.build_model(pretrained=False)

    table = parts(model)
    anchors = _anchors(model, IMAGE_SIZE)
    weights = sum(p.numel() for p in model.parameters())
    print(f"{recipe.title}, one image of 3x{IMAGE_SIZE[0]}x{IMAGE_SIZE[1]}\n")
    for name, row in table.iterrows():
        print(f"{name:<26}{row['parameters']:>12,} parameters {row['GFLOP']:>9.3f} GFLOP   {row['outputs']}")
    print(f"{'all':<26}{weights:>12,} parameters {table['GFLOP'].sum():>9.3f} GFLOP\n")
    for field in fields(recipe):
        if field.name not in ("name", "title"):
            print(f"{field.name:<12}{getattr(recipe, field.name)}")
    print()
    if anchors:
        print(f"Counted as in the reports, {weights:,} weights and 4 x {anchors:,} anchor coordinates:")
    print(f"parameters: {count_parameters(model)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
