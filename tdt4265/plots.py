"""Figures of the course: panoramas with boxes, the detector as a diagram, curves of recorded runs.

Every function draws into a matplotlib figure that it makes and returns. Images are float tensors [3, H, W] in 0..1,
boxes are xyxy in pixels, labels count from 1: the model's contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from tdt4265.evaluation import hits

CHANNELS = ("intensity", "ambient", "range")

# One colour a label, told apart on gray by most readers, with the frequent classes furthest from each other.
COLOURS = ("#9e9e9e", "#ff9e2c", "#b06cff", "#4f8dff", "#c8a27a", "#00d5e6", "#ffe14d", "#ff4f79", "#3ddc6d")

WIDTH = 13.0  # inches: what JupyterLab shows without scrolling sideways


def colour(label: int) -> str:
    return COLOURS[label % len(COLOURS)]


# Neighbours among COCO's 17 keypoints, which are drawn with a line between them.
LIMBS = ((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10))
LIMBS += ((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6))


def is_panorama(image: torch.Tensor) -> bool:
    """Whether an image [..., H, W] is drawn as a panorama: strips of one channel, not one picture in colour."""
    return image.shape[-1] >= 4 * image.shape[-2]


def _gray(image: torch.Tensor, channel: str) -> np.ndarray:
    pixels = torch.as_tensor(image).detach().cpu().float().numpy()
    return np.moveaxis(pixels, 0, -1) if channel == "all" else pixels[CHANNELS.index(channel)]


def _first(image: torch.Tensor) -> np.ndarray:
    """What is drawn of an image where the figure does not ask for a channel: a panorama's intensity, else colours."""
    return _gray(image, "intensity" if is_panorama(image) else "all")


def _strip(ax, pixels: np.ndarray, left: int, right: int) -> None:
    """Shows the columns left..right of an image, with their numbers."""
    height = pixels.shape[0]
    ax.imshow(
        pixels[:, left:right],
        cmap="gray",
        vmin=0,
        vmax=1,
        extent=(left, right, height, 0),
        aspect="equal",
        interpolation="nearest",
    )
    ax.set(xlim=(left, right), ylim=(height, 0), yticks=[0, height // 2, height])
    ax.tick_params(labelsize=8)


def _strips(image: torch.Tensor, copies: int = 1, rows: int | None = None) -> tuple[Figure, list]:
    """A figure in which an image is drawn `copies` times: (axes, left column, right column), strip by strip.

    rows: strips that an image is cut into; None: two for a panorama, else one.
    """
    height, width = image.shape[-2:]
    rows = rows or (2 if is_panorama(image) else 1)
    beside = 1 if is_panorama(image) else copies  # ordinary pictures stand side by side
    inches = WIDTH if is_panorama(image) else min(WIDTH / beside, 7.0 * rows * width / height)
    count = rows * copies // beside
    figsize = (inches * beside, 0.6 + count * (0.3 + inches * rows * height / width))
    figure, axes = plt.subplots(count, beside, figsize=figsize, layout="constrained", squeeze=False)
    edges = [row * width // rows for row in range(rows + 1)]
    return figure, [(ax, *edges[n // copies : n // copies + 2]) for n, ax in enumerate(axes.flat)]


def draw_boxes(
    ax, boxes, labels, scores=None, dashed: bool = False, *, categories: Mapping[int, str] | None = None
) -> None:  # fmt: skip
    """Outlines boxes [N, 4] on axes in pixel coordinates, in their classes' colours; scores where there is room.

    categories: names of the classes, written before the scores.
    """
    boxes, labels = torch.as_tensor(boxes).tolist(), torch.as_tensor(labels).tolist()
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        style = {"edgecolor": colour(label), "linestyle": (0, (2, 1.5)) if dashed else "solid"}
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, linewidth=1.4, **style))
    if scores is not None:
        names = {} if categories is None else categories
        pairs = zip(labels, torch.as_tensor(scores).tolist(), strict=True)
        texts = [f"{names.get(label, '')} {score:.2f}".strip() for label, score in pairs]
        _write(ax, boxes, texts, [colour(label) for label in labels])


FONT = 10  # points, of what is written beside boxes


def _write(ax, boxes: Sequence[Sequence[float]], texts: Sequence[str], colours: Sequence[str]) -> None:
    """A text above each box, or below it where another stands there, or none where neither has room."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    columns = ax.get_subplotspec().get_gridspec().ncols  # the layout, and so the scale, comes later: nearly all of it
    pixels_a_point = (right - left) / (0.95 * ax.figure.get_figwidth() / columns * 72)
    height, taken = 1.3 * FONT * pixels_a_point, []
    for (x1, y1, x2, y2), text, shade in zip(boxes, texts, colours, strict=True):
        width = 0.6 * FONT * len(text) * pixels_a_point
        x = min(max(x1, left), right - width)
        for y in (y1 - height, y2):
            place = (x, y, x + width, y + height)
            room = top <= y and y + height <= bottom and x1 < right and x2 > left
            if room and not any(_overlap(place, other) for other in taken):
                taken.append(place)
                ground = {"facecolor": "black", "alpha": 0.7, "pad": 0.6, "linewidth": 0}
                style = {"fontsize": FONT, "color": shade, "va": "center", "clip_on": True, "bbox": ground}
                ax.text(x, y + height / 2, text, **style)
                break


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def draw_masks(ax, masks, labels) -> None:
    """Tints the masks' pixels in their classes' colours. masks: [N, H, W], an object where it is at least 0.5."""
    masks = torch.as_tensor(masks).detach().cpu().reshape(-1, *torch.as_tensor(masks).shape[-2:]) >= 0.5
    limits = ax.get_xlim(), ax.get_ylim()
    tint = np.zeros((*masks.shape[-2:], 4))
    for mask, label in zip(masks.numpy(), torch.as_tensor(labels).tolist(), strict=True):
        tint[mask] = to_rgba(colour(label), 0.55)
    ax.imshow(tint, extent=(0, masks.shape[-1], masks.shape[-2], 0), aspect="equal", interpolation="nearest")
    ax.set(xlim=limits[0], ylim=limits[1])


def draw_keypoints(ax, keypoints, labels) -> None:
    """Keypoints [N, P, 3] that are labelled or found (visibility above 0) as dots, COCO's 17 with lines between them.

    Whole numbers are the middles of pixels, as in COCO.
    """
    for points, label in zip(torch.as_tensor(keypoints).tolist(), torch.as_tensor(labels).tolist(), strict=True):
        seen = {n: (x + 0.5, y + 0.5) for n, (x, y, visible) in enumerate(points) if visible > 0}
        edge = [withStroke(linewidth=2.4, foreground="black")]
        for pair in LIMBS if len(points) == 17 else ():
            if seen.keys() >= set(pair):
                style = {"color": colour(label), "linewidth": 1.3, "path_effects": edge}
                ax.plot(*zip(*(seen[n] for n in pair), strict=True), **style)
        if seen:
            dots = {"markersize": 3, "markeredgewidth": 0.5, "markeredgecolor": "black", "color": "white"}
            ax.plot(*zip(*seen.values(), strict=True), "o", **dots)


def _legend(ax, categories: Mapping[int, str], labels: set[int]) -> None:
    handles = [
        Line2D([], [], color=colour(label), linewidth=2, label=categories.get(label, str(label)))
        for label in sorted(labels)
    ]
    if handles:
        ax.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=len(handles),
            fontsize=8,
            frameon=False,
            borderaxespad=0.1,
            handlelength=1.2,
            columnspacing=1.0,
        )


def channels(image: torch.Tensor, title: str = "") -> Figure:
    """The three channels of one panorama below each other, each with its name."""
    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 6.0), sharex=True, layout="constrained")
    for ax, name in zip(axes, CHANNELS, strict=True):
        _strip(ax, _gray(image, name), 0, image.shape[-1])
        ax.set_ylabel(f"{name}\nrow (pixels)", fontsize=9)
    axes[-1].set_xlabel("column (pixels); the last column is the neighbour of the first")
    figure.suptitle(title, fontsize=11)
    return figure


def panorama(
    image: torch.Tensor,
    boxes=None,
    labels=None,
    scores=None,
    *,
    masks=None,
    keypoints=None,
    categories: Mapping[int, str],
    title: str = "",
    channel: str | None = None,
    rows: int | None = None,
) -> Figure:
    """One image with boxes; a panorama is cut into strips of equal width, so that boxes a few pixels wide can be seen.

    masks: [N, H, W] of the boxes. keypoints: [N, P, 3] of the boxes.
    channel: "intensity", "ambient", "range" or "all" (the three as red, green, blue); None: a panorama's intensity,
    and an ordinary picture's colours.
    rows: strips; None: two for a panorama.
    """
    boxes = torch.zeros(0, 4) if boxes is None else boxes
    labels = torch.zeros(0, dtype=torch.int64) if labels is None else labels
    pixels = _first(image) if channel is None else _gray(image, channel)
    figure, strips = _strips(image, rows=rows)
    for ax, left, right in strips:
        _strip(ax, pixels, left, right)
        if masks is not None:
            draw_masks(ax, masks, labels)
        draw_boxes(ax, boxes, labels, scores, categories=categories)
        if keypoints is not None:
            draw_keypoints(ax, keypoints, labels)
    strips[-1][0].set_xlabel("column (pixels)", fontsize=9)
    _legend(strips[0][0], categories, set(torch.as_tensor(labels).tolist()))
    strips[0][0].set_title(title, fontsize=10, loc="right")
    return figure


def detections(
    image: torch.Tensor,
    target: Mapping,
    prediction: Mapping,
    *,
    categories: Mapping[int, str],
    threshold: float = 0.3,
    title: str = "",
) -> Figure:
    """Ground truth (dashed) and detections that score at least `threshold` (solid): below it, strip by strip, in a
    panorama, else beside it.
    """
    keep = prediction["scores"].cpu() >= threshold
    found, names = prediction["boxes"].cpu()[keep], prediction["labels"].cpu()[keep]
    figure, strips = _strips(image, copies=2)
    for n, (ax, left, right) in enumerate(strips):
        _strip(ax, _first(image), left, right)
        if n % 2 == 0:
            draw_boxes(ax, target["boxes"], target["labels"], dashed=True)
            ax.set_ylabel("ground truth", fontsize=9)
        else:
            draw_boxes(ax, found, names, prediction["scores"].cpu()[keep], categories=categories)
            ax.set_ylabel(f"detections,\nscore ≥ {threshold:g}", fontsize=9)
    strips[-1][0].set_xlabel("column (pixels)", fontsize=9)
    _legend(strips[0][0], categories, set(torch.as_tensor(target["labels"]).tolist()) | set(names.tolist()))
    strips[0][0].set_title(title, fontsize=10, loc="right")
    return figure


VERDICTS = {"hit": "#3ddc6d", "false alarm": "#ff4f79", "missed": "#ffe14d"}


def hits_and_misses(
    image: torch.Tensor, target: Mapping, prediction: Mapping, *, categories: Mapping[int, str],
    threshold: float = 0.3, title: str = "",
) -> Figure:  # fmt: skip
    """An image, a panorama in two strips, with what a detector got right and wrong (`evaluation.hits`, IoU 0.5).

    Solid: detections that score at least `threshold`, hits in one colour, false alarms in another with the class they
    were taken for. Dashed: labels that no detection hit. What lies in a crowd is left out.
    """
    prediction = {key: value.cpu()[prediction["scores"].cpu() >= threshold] for key, value in prediction.items()}
    hit, ignored, missed = hits(target, prediction)
    wrong = ~hit & ~ignored
    boxes = {"hit": prediction["boxes"][hit], "false alarm": prediction["boxes"][wrong]}
    taken_for = prediction["labels"][wrong].tolist()
    boxes["missed"] = torch.as_tensor(target["boxes"])[missed]
    styles = {name: {"color": c, "linestyle": "--" if name == "missed" else "-"} for name, c in VERDICTS.items()}
    figure, strips = _strips(image)
    for ax, left, right in strips:
        _strip(ax, _first(image), left, right)
        for verdict, own in boxes.items():
            for x1, y1, x2, y2 in own.tolist():
                ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, linewidth=1.6, **styles[verdict]))
        texts = [categories.get(label, str(label)) for label in taken_for]
        _write(ax, boxes["false alarm"].tolist(), texts, [VERDICTS["false alarm"]] * len(texts))
    handles = [Line2D([], [], label=f"{len(own)} {verdict}", **styles[verdict]) for verdict, own in boxes.items()]
    first, last = strips[0][0], strips[-1][0]
    first.legend(handles=handles, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    first.set_title(title, fontsize=10, loc="right")
    last.set_xlabel("column (pixels)", fontsize=9)
    return figure


def recorded(scores: pd.DataFrame) -> Figure:
    """Recorded runs (`records.scores`): left mAP with its interval over clips and each seed, right AP by class."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 1.4 + 0.32 * max(len(scores), 4)), layout="constrained")
    classes = [name for name in scores.columns if name not in ("mAP", "low", "high", "seeds")]
    rows = np.arange(len(scores))
    left.hlines(rows, scores.low, scores.high, color="#44546a", linewidth=2, label="95 % over clips, mean of the seeds")
    left.plot(scores.mAP, rows, "|", color="#44546a", markersize=14, markeredgewidth=2)
    for row, seeds in zip(rows, scores.seeds, strict=True):
        label = "a seed" if row == 0 else None
        left.plot(seeds, np.full(len(seeds), row - 0.22), "o", color="#ff9e2c", markersize=4, label=label)
    left.set(yticks=rows, yticklabels=scores.index, ylim=(len(scores) - 0.5, -0.6), xlabel="mAP on val")
    shift = np.linspace(-0.24, 0.24, len(scores)) if len(scores) > 1 else [0.0]
    for row, name in enumerate(scores.index):
        places = np.arange(len(classes)) + shift[row]
        shade = plt.cm.viridis(row / max(len(scores) - 1, 1) * 0.85)
        right.plot(scores.loc[name, classes].astype(float), places, "o", color=shade, markersize=5, label=name)
    right.set(yticks=range(len(classes)), yticklabels=classes, ylim=(len(classes) - 0.5, -0.5), xlim=(0, None))
    right.set_xlabel("AP of a class, mean of the seeds")
    for ax in (left, right):
        ax.grid(axis="x", alpha=0.3)
        ax.legend(fontsize=8, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, frameon=False)
    return figure


PARTS = ("image", "backbone", "pyramid", "head", "anchors", "loss", "decoding + NMS", "boxes")


def detector(texts: Mapping[str, str], changed: str | None = None) -> Figure:
    """The detector as a diagram: one box a part of PARTS with its text; the part that a notebook changes is filled.

    Parts that `texts` does not name are left out (a detector without a pyramid).
    """
    unknown = sorted(set(texts) - set(PARTS)) + ([changed] if changed not in (None, *texts) else [])
    if unknown:
        raise ValueError(f"no part of the detector is called {unknown[0]!r}: name one of {', '.join(PARTS)}")
    spine = [part for part in ("image", "backbone", "pyramid", "head") if part in texts]
    places = {part: (2.6 * column, 0.0) for column, part in enumerate(spine)}
    last = 2.6 * len(spine)
    places |= {"anchors": (last - 2.6, -1.5), "loss": (last, -1.5)}
    places |= {"decoding + NMS": (last, 0.0), "boxes": (last + 2.6, 0.0)}
    arrows = [
        *pairwise(spine),
        ("head", "decoding + NMS"),
        ("decoding + NMS", "boxes"),
        ("head", "loss"),
        ("anchors", "loss"),
        ("anchors", "decoding + NMS"),
    ]

    figure, ax = plt.subplots(figsize=(WIDTH, 3.0), layout="constrained")
    for part, text in texts.items():
        x, y = places[part]
        fill = "#ffd76b" if part == changed else "#eef2f7"
        ax.add_patch(FancyBboxPatch((x, y), 2.0, 0.9, boxstyle="round,pad=0.04", facecolor=fill, edgecolor="#44546a"))
        ax.text(x + 1.0, y + 0.66, part, ha="center", va="center", fontsize=10, weight="bold")
        ax.text(x + 1.0, y + 0.28, text, ha="center", va="center", fontsize=8)
    for start, end in arrows:
        if start in texts and end in texts:
            ax.annotate(
                "",
                xy=_edge(places[end], places[start]),
                xytext=_edge(places[start], places[end]),
                arrowprops={"arrowstyle": "-|>", "color": "#44546a", "shrinkA": 3, "shrinkB": 3},
            )
    ax.set(xlim=(-0.2, last + 4.8), ylim=(-1.7, 1.1), aspect="equal")
    ax.axis("off")
    return figure


def _edge(place: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Where an arrow between two boxes of the diagram meets the border of the first."""
    (x, y), (other_x, other_y) = place, other
    if other_x == x:
        return x + 1.0, y + (0.9 if other_y > y else 0.0)
    return x + (2.05 if other_x > x else -0.05), y + 0.45 + (0.2 * np.sign(other_y - y))


def curves(runs: Mapping[str, Sequence[Mapping]], keys: Sequence[str], labels: Sequence[str]) -> Figure:
    """One panel a key, one line a run, over the epochs. runs: name -> its record's epochs, {"epoch": n, key: value}."""
    figure, axes = plt.subplots(1, len(keys), figsize=(WIDTH, 3.4), layout="constrained", squeeze=False)
    for ax, key, label in zip(axes[0], keys, labels, strict=True):
        for name, epochs in runs.items():
            points = [(line["epoch"], line[key]) for line in epochs if line.get(key) is not None]
            if points:
                ax.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else None, label=name)
        ax.set(xlabel="epoch", ylabel=label)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
    axes[0, -1].legend(fontsize=8)
    return figure


def precision_recall(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, categories: Mapping[int, str], title: str = ""
) -> Figure:
    """Precision over recall, one line a class in its colour. points: class name -> (recall [R], precision [R])."""
    labels = {name: label for label, name in categories.items()}
    figure, ax = plt.subplots(figsize=(5.5, 4.2), layout="constrained")
    for name, (recall, precision) in points.items():
        ax.plot(recall, precision, label=name, color=colour(labels[name]), linewidth=2)
    ax.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="recall", ylabel="precision", title=title)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return figure


def covered(boxes, anchors, best_iou: Mapping[str, torch.Tensor], title: str = "") -> Figure:
    """How anchors cover boxes: left the sizes of both, right the share of the boxes that reach each IoU.

    Args:
        boxes: [G, 4], of which at most some 3,000 are drawn. anchors: `tdt4265.anchors.Anchors`; each of its sizes is
            drawn as the number of its level.
        best_iou: float [G], each box's best IoU with any anchor, for these anchors (first) and for others to compare.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.4), layout="constrained")
    few = slice(None, None, len(boxes) // 3000 + 1)
    width, height = (torch.as_tensor(boxes)[few, 2:] - torch.as_tensor(boxes)[few, :2]).T.tolist()
    reached = next(iter(best_iou.values()))[few] >= 0.5
    for wanted, shade, name in ((True, "#b8c4d6", "covered"), (False, "#ff4f79", "no anchor at IoU 0.5")):
        points = [(w, h) for w, h, one in zip(width, height, reached.tolist(), strict=True) if one == wanted]
        left.plot(*zip(*points, strict=True) if points else ([], []), ".", color=shade, markersize=4, label=name)
    for level, sizes in enumerate(anchors.sizes):
        rows, columns = zip(*sizes, strict=True)
        label = "anchor: the number of its level" if level == 0 else None
        left.plot(columns, rows, linestyle="", marker=f"${level}$", color="black", markersize=7, label=label)
    left.set(xscale="log", yscale="log", xlim=(1.5, 700), ylim=(3, 700), title=title)
    left.set(xlabel="width (pixels)", ylabel="height (pixels)")
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(FixedLocator([2, 5, 10, 20, 50, 100, 200, 500]))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_locator(NullLocator())
    steps = torch.linspace(0, 1, 101)
    for name, best in best_iou.items():
        share = [(best >= step).float().mean().item() for step in steps]
        right.plot(steps, share, label=f"{name}: {(best >= 0.5).float().mean():.0%} at 0.5")
    right.axvline(0.5, color="black", linestyle="--", linewidth=1)
    right.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="IoU of the best anchor, at least", ylabel="share of the boxes")
    right.grid(alpha=0.3)
    for ax in (left, right):
        ax.legend(fontsize=8, loc="lower left" if ax is right else "upper left")
    return figure


def fusion_graphs(graphs: Mapping[str, Mapping[tuple[int, int], Sequence[tuple[int, int]]]]) -> Figure:
    """Pyramids as graphs, one a panel: each feature map with arrows from those that it is fused from.

    graphs: title -> {node: the nodes that go into it}. A node is (column, level): column 0 holds the pyramid's inputs,
    level 0, the finest, lies at the bottom.
    """
    ways = {0: ("same level", "#4f8dff"), -1: ("enlarged", "#ff9e2c"), 1: ("pooled", "#1f9d55")}
    figure, axes = plt.subplots(1, len(graphs), figsize=(WIDTH, 4.2), layout="constrained", squeeze=False)
    for ax, (title, graph) in zip(axes[0], graphs.items(), strict=True):
        for end, inputs in graph.items():
            for start in inputs:
                bend = -0.2 if end[0] - start[0] > 1 else 0.0  # around the node between them
                style = {"arrowstyle": "-|>", "shrinkA": 7, "shrinkB": 7, "linewidth": 1.5}
                style |= {"color": ways[np.sign(end[1] - start[1])][1], "connectionstyle": f"arc3,rad={bend}"}
                ax.annotate("", xy=end, xytext=start, arrowprops=style)
        nodes = {*graph, *(node for inputs in graph.values() for node in inputs)}
        for column, level in nodes:
            fill = "#ffd76b" if column else "#eef2f7"
            ax.plot(column, level, "o", markersize=13, markerfacecolor=fill, markeredgecolor="#44546a")
        wide, high = (max(place) for place in zip(*nodes, strict=True))
        ax.set(xlim=(-0.4, wide + 0.4), ylim=(-0.5, high + 0.7), yticks=range(high + 1), title=title)
        ax.set_xticks(range(wide + 1), ["inputs", "way down", "way up"][: wide + 1])
        for side in ax.spines.values():
            side.set_visible(False)
    axes[0, 0].set_ylabel("level (0: finest)")
    handles = [Line2D([], [], color=shade, linewidth=2, label=name) for name, shade in ways.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def seam(
    image: torch.Tensor, target: Mapping, found: Mapping[str, Mapping], *, categories: Mapping[int, str],
    threshold: float = 0.3, columns: int = 128,
) -> Figure:  # fmt: skip
    """The columns to both sides of a panorama's seam, put together as the ring has them: one panel for each detector.

    found: name -> detections, of which those that score at least `threshold` are drawn (solid); a box may reach beyond
    the right edge. Dashed: labels.
    """
    width, height = image.shape[-1], image.shape[-2]
    pixels = np.roll(_gray(image, "intensity"), columns, axis=1)[:, : 2 * columns]
    figsize = (WIDTH, 0.8 + WIDTH / len(found) * height / (2 * columns))
    figure, axes = plt.subplots(1, len(found), figsize=figsize, layout="constrained", squeeze=False)
    shown = set()
    for ax, (name, one) in zip(axes[0], found.items(), strict=True):
        ax.imshow(pixels, cmap="gray", vmin=0, vmax=1, extent=(-columns, columns, height, 0), interpolation="nearest")
        sure = {key: value.cpu()[one["scores"].cpu() >= threshold] for key, value in one.items()}
        for own in (target, sure):
            boxes = torch.as_tensor(own["boxes"]).as_subclass(torch.Tensor)
            places = torch.cat([boxes, boxes - boxes.new_tensor([width, 0, width, 0])])  # at both of its columns
            near = (places[:, 0] < columns) & (places[:, 2] > -columns)
            labels, scores = own["labels"].repeat(2)[near], own["scores"].repeat(2)[near] if own is sure else None
            draw_boxes(ax, places[near], labels, scores, dashed=own is target)
            shown |= set(labels.tolist())
        ax.axvline(0, color="white", linestyle=":", linewidth=1.2)
        ticks = np.arange(-columns, columns + 1, columns // 2)
        ax.set(xlim=(-columns, columns), ylim=(height, 0), yticks=[0, height // 2, height], xticks=ticks)
        ax.set_xticklabels([f"{tick % width}" for tick in ticks])
        ax.set_xlabel("column (pixels); dotted: the seam", fontsize=9)
        ax.set_title(name, fontsize=10, loc="right")
    axes[0, 0].set_ylabel("row (pixels)", fontsize=9)
    _legend(axes[0, 0], categories, shown)
    return figure


def views(panels: Sequence[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor]], *, columns: int = 1) -> Figure:
    """Images with boxes, `columns` of them side by side.

    panels: (title, image [3, h, w], boxes [N, 4], labels [N]).
    """
    rows = -(-len(panels) // columns)
    channel = "intensity" if any(is_panorama(image) for _, image, _, _ in panels) else "all"  # crops are narrower
    width = WIDTH / columns
    height = max(width * image.shape[-2] / image.shape[-1] for _, image, _, _ in panels)
    figsize = (WIDTH, 0.3 + rows * (0.4 + height))
    figure, axes = plt.subplots(rows, columns, figsize=figsize, layout="constrained", squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax, (title, image, boxes, labels) in zip(axes.flat, panels, strict=False):
        _strip(ax, _gray(image, channel), 0, image.shape[-1])
        draw_boxes(ax, boxes, labels)
        for outline in ax.patches:
            outline.set_linewidth(1.4 if columns == 1 else 1.0)  # the boxes are smaller, too
        ax.set_title(title, fontsize=9, loc="left")
    for ax in axes[-1]:
        ax.set_xlabel("column (pixels)", fontsize=9)
    for ax in axes[:, 0]:
        ax.set_ylabel("row", fontsize=9)
    return figure


def pixel_values(pixels: torch.Tensor, means: Sequence[float]) -> Figure:
    """What images [N, 3, H, W] hold: a histogram a channel, `means` (0 to 1) dashed, and the mean of each row."""
    figure, axes = plt.subplots(1, 4, figsize=(WIDTH, 3.4), layout="constrained")
    rows = range(pixels.shape[2])
    for channel, (ax, name) in enumerate(zip(axes, CHANNELS, strict=False)):
        ax.hist(pixels[:, channel].flatten() * 255, bins=64, range=(0, 256), color="#4f8dff", density=True)
        ax.axvline(255 * means[channel], color="black", linestyle="--", linewidth=1)
        ax.set(title=name, xlabel="value (0 to 255)", yticks=[])
        axes[3].plot(pixels[:, channel].mean(dim=(0, 2)), rows, label=name)
    axes[0].set_ylabel("share of pixels")
    nothing = (pixels[:, CHANNELS.index("range")] == 0).float().mean(dim=(0, 2))
    axes[3].plot(nothing, rows, label="share of 0 in the range", color="black", linestyle=":")
    axes[3].set(ylim=(pixels.shape[2], 0), xlim=(0, 1), title="by row", xlabel="mean, 0 to 1", ylabel="row (pixels)")
    axes[3].legend(fontsize=7, loc="lower right")
    return figure


def box_sizes(boxes: pd.DataFrame, categories: Mapping[int, str], sides: Sequence[int] = (16, 32, 96)) -> Figure:
    """Labels (`Labels.boxes()`): left width and height, right the areas of each class; dashed: areas of `sides`².

    Every third box is drawn.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.4), layout="constrained")
    present = {name: label for label, name in categories.items() if (boxes.category == name).any()}
    for name, label in present.items():
        these = boxes[boxes.category == name][::3]
        left.plot(these.width, these.height, ".", markersize=3, alpha=0.35, markeredgewidth=0, color=colour(label))
        left.plot([], [], "o", markersize=5, color=colour(label), label=name)
    width = np.geomspace(1, 1024, 50)
    for side in sides:
        left.plot(width, side**2 / width, color="black", linewidth=0.8, linestyle="--")
        right.axhline(side**2, color="black", linewidth=0.8, linestyle="--")
    for ratio in (1, 4):
        left.plot([2, 400], [2 * ratio, 400 * ratio], color="black", linewidth=0.8, linestyle=":")
    left.set(xscale="log", yscale="log", xlim=(1.5, 1024), ylim=(5, 140))
    dashed = f"dashed: areas of {', '.join(f'{side}²' for side in sides)}; dotted: squares, and 1 : 4"
    left.set(xlabel="width (pixels)", ylabel="height (pixels)", title=dashed)
    left.legend(fontsize=8, loc="lower right")
    areas = [boxes.area[boxes.category == name] for name in present]
    _spread(right, areas)
    right.set_xticks(range(1, len(present) + 1), present, fontsize=8)
    right.set(yscale="log", ylabel="area (square pixels)", title="area: middle half, whiskers from 5 to 95 %")
    return figure


def _spread(ax, values: Sequence) -> None:
    """A box a series: the middle half, with whiskers from 5 to 95 %."""
    style = {"medianprops": {"color": "black"}, "boxprops": {"facecolor": "#dbe6ff"}, "patch_artist": True}
    ax.boxplot(values, whis=(5, 95), showfliers=False, widths=0.6, **style)


def box_places(
    boxes: pd.DataFrame, whole: pd.DataFrame, predicted: Mapping[str, tuple], categories: Mapping[int, str]
) -> Figure:  # fmt: skip
    """Where labels (`Labels.boxes()`) are: the row of the lower side over the height, and the columns of their centres.

    whole: the labels of the first panels, of which every third is drawn. predicted: for each class that gets a panel
    the heights, the rows predicted for them, and a name for the curve; the columns are of these classes as well.
    """
    shades = {name: colour(label) for label, name in categories.items()}
    figure, axes = plt.subplots(1, len(predicted) + 1, figsize=(WIDTH, 3.8), layout="constrained")
    for ax, (name, (height, row, label)) in zip(axes, predicted.items(), strict=False):
        these = whole[whole.category == name][::3]
        style = {"markersize": 3, "alpha": 0.3, "markeredgewidth": 0, "color": shades[name]}
        ax.plot(these.height, these.y + these.height, ".", **style)
        ax.plot(height, row, color="black", linewidth=1.5, label=label)
        ax.set(xlabel="height of the box (pixels)", ylabel="row of its lower side", title=name)
        ax.set(ylim=(128, 60), xlim=(0, 64))
        ax.legend(fontsize=8, loc="upper right")
    middle = boxes.x + boxes.width / 2
    centres = [middle[boxes.category == name] for name in predicted]
    shown = {"color": [shades[name] for name in predicted], "label": list(predicted)}
    axes[-1].hist(centres, bins=64, range=(0, 1024), stacked=True, **shown)
    axes[-1].set(xlim=(0, 1024), xticks=range(0, 1025, 256), xlabel="column of the box's centre", ylabel="boxes")
    axes[-1].legend(fontsize=8, ncols=2)
    return figure


def anchor_use(uncovered: pd.Series, overall: float, shares: Sequence[float], anchors, categories) -> Figure:
    """Left the share of boxes without an anchor, by class and (dashed) of all; right which shapes of anchor are best.

    uncovered: by class name. shares: for how many of the boxes a shape has the best IoU, in the order of
    `anchors.sizes` (`tdt4265.anchors.Anchors`), level by level.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.0), layout="constrained", width_ratios=(1, 1.6))
    shades = {name: colour(label) for label, name in categories.items()}
    left.barh(uncovered.index, uncovered, color=[shades[name] for name in uncovered.index])
    left.axvline(overall, color="black", linestyle="--", linewidth=1)
    left.set(xlim=(0, 1), xlabel="share without an anchor at IoU 0.5 (dashed: all)")
    left.invert_yaxis()
    shapes = [(level, *size) for level, sizes in enumerate(anchors.sizes) for size in sizes]
    right.bar(range(len(shapes)), shares, color=[plt.cm.viridis(level / len(anchors.sizes)) for level, *_ in shapes])
    names = [f"{width:.0f} x {height:.0f}" for _, height, width in shapes]
    right.set_xticks(range(len(shapes)), names, rotation=90, fontsize=7)
    right.set(ylabel="share of the boxes it is best for", title="shapes of anchor, width x height; a colour a level")
    return figure


def through_layers(
    panels: Mapping[str, Mapping[str, tuple]], places: Sequence[str], predicted: Mapping[str, tuple]
) -> Figure:  # fmt: skip
    """How large a signal (left) and its gradient (right) are along a network, log scale; a row a panel.

    panels: title -> {name: (of the signal, of the gradient)}, a number a place. predicted: the same for the first
    panel, dotted.
    """
    share = {"sharex": True, "sharey": True, "squeeze": False}
    figure, axes = plt.subplots(len(panels), 2, figsize=(WIDTH, 2.8 * len(panels)), layout="constrained", **share)
    for row, (title, lines) in zip(axes, panels.items(), strict=True):
        for column, (ax, way) in enumerate(zip(row, ("signal", "gradient, goes from right to left"), strict=True)):
            for (name, both), marker in zip(lines.items(), "os^D", strict=False):
                ax.plot(places, both[column], marker=marker, markersize=6, label=name)
            ax.set(yscale="log", ylabel="root mean square")
            ax.set_title(f"{title}: {way}", fontsize=10)
            ax.grid(alpha=0.3)
    for column, ax in enumerate(axes[0]):
        for number, both in enumerate(predicted.values()):
            label = "predicted" if number == 0 else None
            ax.plot(places, both[column], ":", color="black", linewidth=1.2, label=label)
    axes[0, 0].legend(fontsize=8, loc="lower left")
    return figure


def over(
    x: Sequence[float], curves: Mapping[str, Sequence[float]], xlabel: str, *, span: tuple[float, float] | None = None,
    marks: Mapping[str, tuple[float, str]] | None = None,
) -> Figure:  # fmt: skip
    """What follows from one number, a panel a curve. curves: label -> a value for each x.

    span: from where to where x is shaded. marks: for a curve's label the height of a dashed line, and its text.
    """
    figure, axes = plt.subplots(1, len(curves), figsize=(WIDTH, 3.4), layout="constrained", squeeze=False)
    for ax, (label, values) in zip(axes[0], curves.items(), strict=True):
        ax.plot(x, values, color="#4f8dff", linewidth=2)
        ax.set(xlabel=xlabel, ylabel=label, xlim=(min(x), max(x)))
        ax.grid(alpha=0.3)
        if span is not None:
            ax.axvspan(*span, color="#ffd76b", alpha=0.5)
        if marks and label in marks:
            height, text = marks[label]
            ax.axhline(height, color="black", linestyle="--", linewidth=1)
            ax.annotate(text, (x[0], height), (4, 3), textcoords="offset points", fontsize=9)
    return figure


def sharing_cubes(shared: Mapping[str, torch.Tensor]) -> Figure:
    """Which cells of a batch of feature maps a norm puts together: a cube each, as in Wu and He 2018, figure 2.

    shared: title -> bool [images, channels, cells], those that share their mean with the last image's last cell of
    channel 0 (dark). Rows and columns of a map are one axis.
    """
    style = {"layout": "constrained", "subplot_kw": {"projection": "3d"}, "squeeze": False}
    figure, axes = plt.subplots(1, len(shared), figsize=(WIDTH, 3.3), **style)
    for ax, (title, together) in zip(axes[0], shared.items(), strict=True):
        faces = np.where(together.numpy(), "#4f8dff", "#eef2f7")
        faces[-1, 0, -1] = "#12305f"
        ax.voxels(np.ones(together.shape, bool), facecolors=faces, edgecolor="#44546a", linewidth=0.6, shade=False)
        ax.set(xticks=[], yticks=[], zticks=[], title=title)
        names = {"xlabel": "images", "ylabel": "channels", "zlabel": "rows x columns"}
        for setter, name in names.items():
            getattr(ax, f"set_{setter}")(name, labelpad=-12, fontsize=9)
        ax.set_box_aspect(together.shape, zoom=0.95)
    return figure


def loss_shares(ways: Mapping[str, torch.Tensor], positive: torch.Tensor) -> Figure:
    """How the anchors share a loss, as in Lin et al. 2017, figure 4: the sum so far, from the easiest anchor on.

    ways: name -> each anchor's loss, float [N]. positive: bool [N]; the others are background, which the last panel
    shows from the hardest anchor on.
    """
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.6), layout="constrained")
    groups = {"positive": positive, "background": ~positive}
    for name, loss in ways.items():
        for ax, group in zip(axes, groups.values(), strict=False):
            sums = loss[group].sort().values.cumsum(0)
            ax.plot(torch.linspace(0, 1, len(sums)), sums / sums[-1], label=name)
        sums = loss[~positive].sort(descending=True).values.cumsum(0)
        axes[2].plot(torch.arange(1, len(sums) + 1), sums / sums[-1])
    for ax, (name, group) in zip(axes, groups.items(), strict=False):
        ax.set(xlabel=f"share of the {int(group.sum()):,} {name} anchors, easiest first", ylabel="share of their loss")
    axes[2].set(xlabel="background anchors, hardest first", ylabel="share of their loss", xscale="log")
    axes[2].axhline(0.9, color="black", linewidth=0.8, linestyle=":")
    for ax in axes:
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    return figure


def grids(panels: Mapping[str, torch.Tensor], columns: int = 4) -> Figure:
    """Small feature maps [H, W] as tables of their values, `columns` of them side by side: title -> map."""
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(0.75 * WIDTH, 1.9 * rows), layout="constrained", squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, (title, values) in zip(axes.flat, panels.items(), strict=False):
        ax.imshow(values.numpy(), cmap="Blues", vmin=0, vmax=1.4 * float(values.max()))
        for (row, column), value in np.ndenumerate(values.numpy()):
            ax.text(column, row, f"{value:g}", ha="center", va="center", fontsize=10)
        ax.set_title(title, fontsize=10)
    return figure


def sensitivity(squares: Mapping[str, torch.Tensor]) -> Figure:
    """How much each pixel changes something, a panel each: title -> squared gradient [H, W]."""
    height, width = next(iter(squares.values())).shape
    share = {"sharex": True, "squeeze": False}
    figsize = (WIDTH, 0.4 + len(squares) * (0.5 + 0.85 * WIDTH * height / width))
    figure, axes = plt.subplots(len(squares), 1, figsize=figsize, layout="constrained", **share)
    for ax, (title, values) in zip(axes[:, 0], squares.items(), strict=True):
        smooth = torch.nn.functional.avg_pool2d(values.sqrt()[None, None], 3, 1, 1)[0, 0]
        style = {"cmap": "magma", "norm": "log", "vmin": 1e-4, "vmax": 1, "extent": (0, width, height, 0)}
        mesh = ax.imshow((smooth / smooth.max()).numpy(), **style)
        ax.set(ylabel="row (pixels)", yticks=[0, height // 2, height], facecolor="black")
        ax.set_title(title, loc="left", fontsize=10)
    axes[-1, 0].set_xlabel("column (pixels)")
    figure.colorbar(mesh, ax=axes, label="size of the gradient,\nrelative to its largest (log)", shrink=0.8)
    return figure


LEVEL_LABELS = (1, 2, 3, 7, 5, 8)  # a level is drawn in the colour of one of these labels: they are told apart best


def box_levels(boxes: pd.DataFrame, level, strides: Sequence[int], shares: Mapping[str, Sequence[float]]) -> Figure:
    """Left boxes by width and height, each in the colour of its `level` [N]; right shares of the levels, side by side.

    boxes: with the columns "width" and "height". shares: name -> a share for each of the `strides`.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.6), layout="constrained", width_ratios=(1.3, 1))
    for number, stride in enumerate(strides):
        own = boxes[np.asarray(level) == number]
        if len(own):
            shade = colour(LEVEL_LABELS[number])
            left.plot(own.width, own.height, ".", markersize=5, color=shade, label=f"stride {stride}")
    left.set(xscale="log", yscale="log", xlabel="width (pixels, log)", ylabel="height (pixels, log)")
    left.set(facecolor="#44474d", title="boxes, by the level of their best anchor")
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_locator(FixedLocator([2, 5, 10, 20, 50, 100, 200]))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_locator(NullLocator())
    left.legend(fontsize=8, loc="upper left")
    places = np.arange(len(strides))
    blues = ("#12305f", "#7f9bc7", "#c4c4c4")  # none of them a level's colour
    for offset, (name, share), shade in zip((-0.27, 0, 0.27), shares.items(), blues, strict=False):
        right.bar(places + offset, share, width=0.25, label=name, color=shade)
    right.set_xticks(places, [str(stride) for stride in strides])
    right.set(xlabel="stride of the level (pixels)", ylabel="share")
    right.legend(fontsize=8)
    return figure


def closeups(
    panels: Sequence[tuple[str, torch.Tensor, Mapping, tuple[int, int, int, int]]], *, columns: int = 3,
    categories: Mapping[int, str] | None = None,
) -> Figure:  # fmt: skip
    """Parts of panoramas, `columns` of them side by side, with what is known of them.

    panels: (title, image [3, H, W], known, (left, top, right, bottom) of the part, in pixels); known holds "labels" [N]
    and any of "boxes" [N, 4], "masks" [N, H, W] and "keypoints" [N, P, 3]. categories: names for a legend.
    """
    rows = -(-len(panels) // columns)
    height = max(WIDTH / columns * (bottom - top) / (right - left) for *_, (left, top, right, bottom) in panels)
    figsize = (WIDTH, 0.3 + rows * (0.5 + height))
    figure, axes = plt.subplots(rows, columns, figsize=figsize, layout="constrained", squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax, (title, image, known, (left, top, right, bottom)) in zip(axes.flat, panels, strict=False):
        _strip(ax, _gray(image, "intensity"), 0, image.shape[-1])
        ax.set(xlim=(left, right), ylim=(bottom, top), yticks=[top, (top + bottom) // 2, bottom])
        if "masks" in known:
            draw_masks(ax, known["masks"], known["labels"])
        if "boxes" in known:
            draw_boxes(ax, known["boxes"], known["labels"])
        if "keypoints" in known:
            draw_keypoints(ax, known["keypoints"], known["labels"])
        ax.set_title(title, fontsize=10, loc="right")
    for ax in axes[-1]:
        ax.set_xlabel("column (pixels)", fontsize=9)
    for ax in axes[:, 0]:
        ax.set_ylabel("row (pixels)", fontsize=9)
    if categories is not None:
        _legend(axes[0, 0], categories, set().union(*(_labels_within(known, window) for _, _, known, window in panels)))
    return figure


def _labels_within(known: Mapping, window: tuple[int, int, int, int]) -> set[int]:
    """The labels of the boxes that reach into a window, or all of them where there are no boxes."""
    labels = torch.as_tensor(known["labels"])
    if "boxes" in known:
        boxes, edges = torch.as_tensor(known["boxes"]).as_subclass(torch.Tensor).cpu(), torch.tensor(window)
        labels = labels.cpu()[((boxes[:, :2] < edges[2:]) & (boxes[:, 2:] > edges[:2])).all(dim=1)]
    return set(labels.tolist())
