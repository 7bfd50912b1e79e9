"""How long `load` takes, and which part of it each check is.

    python benchmarks/checks.py [--dataset sim] [--rounds 7]

Each check in turn is left out, interleaved with loading as it is; what is then saved is that check's share. The best of
the rounds counts, in processor time: so what else the machine does is left out, and waiting for the disk too, of which
the check of images has most the first time.
"""

import argparse
import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator
from unittest import mock

from tdt4265 import data
from tdt4265.data import coco


def nothing(*_: object) -> None:
    return None


# What each is replaced by: itself without the check.
CHECKS: dict[str, tuple[str, Callable]] = {
    "keys that are twice in an object": ("unrepeated", dict),
    "keys that are needed": ("check_structure", nothing),
    "images in the labels": ("check_images", nothing),
    "categories": ("check_categories", nothing),
    "annotations, with their boxes": ("check_annotations", nothing),
    "boxes": ("check_boxes", nothing),
    "sides of boxes": ("check_sides", nothing),
    "masks": ("check_masks", nothing),
    "files of images": ("check_image_files", nothing),
}


@contextlib.contextmanager
def without(check: str | None) -> Iterator[None]:
    if check is None:
        yield
        return
    name, other = CHECKS[check]
    if name != "unrepeated":
        with mock.patch.object(coco, name, other):
            yield
        return
    read = json.loads
    with mock.patch.object(coco.json, "loads", lambda content, **_: read(content)):
        yield


def seconds(dataset: str, check: str | None) -> float:
    with without(check), contextlib.redirect_stdout(io.StringIO()):
        start = time.process_time()
        data.load(dataset, tasks=("bbox", "segm"))
        return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="sim")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    train, val = data.load(options.dataset)
    names = [None, *CHECKS]
    taken = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            taken[name].append(seconds(options.dataset, name))
    whole, frames = min(taken.pop(None)), len(train) + len(val)
    each = f"{whole / frames * 1e3:.2f} ms a frame"
    print(f"load, boxes and masks, {frames} frames: {whole:.2f} s of processor time, {each}; of it")
    for name, others in taken.items():
        print(f"  {name:<34}{100 * (1 - min(others) / whole):6.1f} %")


if __name__ == "__main__":
    main()
