"""How many frames a second a training step takes, with the weights' channels last (as `fit` sets them) and first.

    python benchmarks/training.py [RECIPE] [--size small] [--batch-size 4] [--steps 10]

Prints both speeds and their ratio. They are timed in turn, a step each, so that what else the machine does hits both.
"""

import argparse
import statistics

import torch

from tdt4265 import evaluation, recipes


def batch_of(frames: int, device: str) -> tuple[list, list]:
    """Noise, with as many boxes a frame as the dataset has on average."""
    torch.manual_seed(0)
    images, targets = [], []
    for _ in range(frames):
        corner = torch.rand(11, 2) * torch.tensor([960.0, 90.0])
        boxes = torch.cat([corner, corner + torch.tensor([20.0, 25.0])], dim=1)
        images.append(torch.rand(3, 128, 1024, device=device))
        targets.append({"boxes": boxes.to(device), "labels": torch.randint(1, 9, (11,), device=device)})
    return images, targets


def seconds(model: torch.nn.Module, images: list, targets: list) -> float:
    device = images[0].device
    start = evaluation.now(device)
    model.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
        loss = sum(model(images, targets).values())
    loss.backward()
    return evaluation.now(device) - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="retinanet", choices=recipes.RECIPES)
    parser.add_argument("--size", default="small", choices=("small", "report"))
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    recipe = recipes.RECIPES[options.recipe]
    recipe = recipe.small() if options.size == "small" else recipe
    images, targets = batch_of(options.batch_size, device)
    models = {
        "channels last": recipe.build_model(pretrained=False).to(device, memory_format=torch.channels_last),
        "channels first": recipe.build_model(pretrained=False).to(device),
    }
    times = {name: [] for name in models}
    for step in range(options.steps + 2):
        for name, model in models.items():
            taken = seconds(model.train(), images, targets)
            if step >= 2:  # the first two steps warm up
                times[name].append(taken)
    speeds = {name: options.batch_size / statistics.median(taken) for name, taken in times.items()}
    device = evaluation.device_name(device)
    print(f"{options.recipe}, {options.size}, batch {options.batch_size}, {device}, {torch.get_num_threads()} threads")
    for name, speed in speeds.items():
        print(f"{name:<15}{speed:8.2f} frames a second")
    print(f"ratio          {speeds['channels last'] / speeds['channels first']:8.2f}")


if __name__ == "__main__":
    main()
