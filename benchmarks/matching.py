"""Matching a batch at once, and decoding in one go, against torchvision's way and against a loop over the boxes.

    python benchmarks/matching.py [--images 4] [--boxes 12] [--repeats 15]

The ways take turns in one run, so that what else the machine does slows all; printed is the fastest turn of each.
"""

import argparse
import time

import torch
from torchvision.models.detection._utils import BoxCoder, SSDMatcher
from torchvision.ops import box_iou

from tdt4265.boxes import decode, match, pad_boxes
from tdt4265.recipes import RECIPES


def match_by_torchvision(anchors, images):
    matcher = SSDMatcher(0.5)
    return torch.stack([matcher(box_iou(boxes, anchors)) for boxes in images])


def match_by_loop(anchors, images):
    """One box at a time, each taking the anchors it overlaps more than the boxes before it, and its best one."""
    matched = torch.full((len(images), len(anchors)), -1)
    for i, boxes in enumerate(images):
        highest = torch.full((len(anchors),), 0.5)
        own = []
        for g, box in enumerate(boxes):
            overlap = box_iou(box[None], anchors)[0]
            better = overlap >= highest if g == 0 else overlap > highest
            matched[i, better] = g
            highest = torch.where(better, overlap, highest)
            own.append(int(overlap.argmax()))
        matched[i, own] = torch.arange(len(boxes))
    return matched


def take_turns(ways, repeats):
    """The fewest seconds of each of the functions, called in turn after one call that does not count."""
    seconds = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in seconds.items()}


def report(title, seconds):
    ours, *_ = seconds.values()
    print(title)
    for name, value in seconds.items():
        print(f"  {name:<30}{1000 * value:9.2f} ms, {value / ours:.2f} times the first")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--boxes", type=int, default=12, help="of an image")
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    recipe = RECIPES["retinanet"]
    anchors = recipe.anchors(recipe.anchors.grid_shapes((128, 1024)))
    torch.manual_seed(0)
    corners = torch.rand(args.images, args.boxes, 2) * torch.tensor([950.0, 90.0])
    images = list(torch.cat([corners, corners + 4 + 30 * torch.rand(args.images, args.boxes, 2)], dim=-1))

    ours = match(anchors, *pad_boxes(images))
    theirs = match_by_torchvision(anchors, images)
    print(f"{len(anchors):,} anchors, {args.images} images of {args.boxes} boxes")
    print(f"anchors on which ours and torchvision's differ (boxes that compete): {(ours != theirs).sum()}\n")
    ways = {
        "all images at once": lambda: match(anchors, *pad_boxes(images)),
        "torchvision, each image": lambda: match_by_torchvision(anchors, images),
        "a loop over boxes": lambda: match_by_loop(anchors, images),
    }
    report("matching", take_turns(ways, args.repeats))

    offsets = torch.randn(args.images, len(anchors), 4)
    hundredth = range(0, len(anchors), 100)
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    ways = {
        "all images at once": lambda: decode(offsets, anchors),
        "torchvision, each image": lambda: [coder.decode_single(one, anchors) for one in offsets],
        "a loop over 1 anchor in 100": lambda: [decode(one[n], anchors[n]) for one in offsets for n in hundredth],
    }
    report("decoding", take_turns(ways, args.repeats))


if __name__ == "__main__":
    main()
