"""How well anchors cover boxes, before anything is trained, and makers of anchors that cover a dataset better.

A box is covered if some anchor overlaps it with an IoU that matching asks for. What none covers is learnt from a single
anchor that fits badly. Makers take the training boxes' sizes and give `anchors.Anchors`; they see no image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.signal import butter, find_peaks, sosfilt
from sklearn.cluster import KMeans
from torch import Tensor

from tdt4265.anchors import Anchors, automatic


def iou_by_kind(boxes: Tensor, anchors: Anchors, image_size: tuple[int, int]) -> Tensor:
    """The IoU of each box with the anchor nearest to it, of every kind: a level and one of its sizes.

    Of all anchors of one size the one whose centre is nearest overlaps a box most, so no other needs to be looked at:
    a dataset takes milliseconds instead of minutes.

    Args:
        boxes: float [G, 4], xyxy in pixels. image_size: (height, width) in pixels, which the grids fill.

    Returns:
        float [G, A], A the anchors of a cell summed over the levels, level after level.
    """
    sizes = [torch.tensor(sizes, dtype=boxes.dtype, device=boxes.device).reshape(-1, 2) for sizes in anchors.sizes]
    return _iou_by_kind(boxes, anchors.strides, sizes, image_size)


def _iou_by_kind(boxes: Tensor, strides: Sequence[int], sizes: Sequence[Tensor], image_size: tuple[int, int]) -> Tensor:
    """The same of `sizes`, a tensor [A_k, 2] of (height, width) a level, through which gradients flow."""
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)  # [G, 1]
    found = []
    for stride, of_level in zip(strides, sizes, strict=True):
        centre_y, centre_x = (
            ((low + high) / 2 / stride - 0.5).round().clamp(0, math.ceil(side / stride) - 1).add(0.5) * stride
            for low, high, side in ((y1, y2, image_size[0]), (x1, x2, image_size[1]))
        )
        height, width = of_level.unbind(1)  # [A_k]
        shared_width = torch.minimum(x2, centre_x + width / 2) - torch.maximum(x1, centre_x - width / 2)
        shared_height = torch.minimum(y2, centre_y + height / 2) - torch.maximum(y1, centre_y - height / 2)
        shared = shared_width.clamp(min=0) * shared_height.clamp(min=0)
        found.append(shared / ((x2 - x1) * (y2 - y1) + height * width - shared))
    return torch.cat(found, dim=1)


def recall(best_iou: Tensor, thresholds: Sequence[float] = (0.5,)) -> list[float]:
    """The share of the boxes [G] whose best IoU is at least each threshold."""
    return [(best_iou >= threshold).double().mean().item() for threshold in thresholds]


# Sizes from boxes -----------------------------------------------------------------------------------------------------


def shape_iou(sizes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of two boxes of one centre, by their sizes alone: [G, 2] and [K, 2] to [G, K]."""
    shared = np.minimum(sizes[:, None], others[None]).prod(2)
    return shared / (sizes.prod(1)[:, None] + others.prod(1)[None] - shared)


def kmeans_iou(sizes: np.ndarray, number: int, seed: int = 0, steps: int = 300) -> np.ndarray:
    """Clusters of sizes under the distance 1 - IoU (YOLO9000, Redmon and Farhadi 2017, section 2): [number, 2].

    Each size joins the centre it overlaps most, each centre becomes the median of its sizes, until nothing changes.
    Sorted by area.

    Args:
        sizes: [G, 2], (height, width) in pixels, at least `number` different ones. seed: of the sizes to begin with.
    """
    generator = np.random.default_rng(seed)
    centres = generator.permutation(np.unique(sizes, axis=0))[:number]
    if len(centres) < number:
        raise ValueError(f"{number} clusters of {len(centres)} different sizes")
    owner = None
    for _ in range(steps):
        nearest = shape_iou(sizes, centres).argmax(1)
        if owner is not None and (nearest == owner).all():
            break
        owner = nearest
        for k in range(number):
            if (owner == k).any():
                centres[k] = np.median(sizes[owner == k], axis=0)
    return centres[np.argsort(centres.prod(1))]


def fitness(sizes: np.ndarray, centres: np.ndarray, threshold: float = 0.5) -> float:
    """The mean over the boxes of their best IoU where it reaches the threshold, 0 where it does not (as YOLOv5's,
    which has ratios of sides in place of the IoU)."""
    best = shape_iou(sizes, centres).max(1)
    return float((best * (best >= threshold)).mean())


def evolve(
    sizes: np.ndarray, centres: np.ndarray, generations: int = 1000, seed: int = 0, threshold: float = 0.5
) -> np.ndarray:
    """A genetic search from `centres` [K, 2]: sizes change at random, and a set that is fitter is kept.

    As YOLOv5's autoanchor: in a generation each side is multiplied, nine times in ten, by a normal factor around 1
    with a standard deviation drawn for all, between 0.3 and 3. Sorted by area.
    """
    generator = np.random.default_rng(seed)
    best, best_fitness = centres.astype(float), fitness(sizes, centres, threshold)
    for _ in range(generations):
        noise = generator.normal(size=best.shape) * generator.random() * 0.1
        factor = np.where(generator.random(best.shape) < 0.9, 1 + noise, 1).clip(0.3, 3)
        child = (best * factor).clip(min=2)
        if (found := fitness(sizes, child, threshold)) > best_fitness:
            best, best_fitness = child, found
    return best[np.argsort(best.prod(1))]


def by_size(centres: np.ndarray, strides: Sequence[int], per_level: Sequence[int]) -> Anchors:
    """Anchors of these sizes [K, 2], the smallest ones on the finest level: `per_level` of them on each."""
    if sum(per_level) != len(centres):
        raise ValueError(f"{len(centres)} sizes for {sum(per_level)} places on the levels")
    ordered = centres[np.argsort(centres.prod(1))]
    ends = np.cumsum(per_level)
    levels = (ordered[end - number : end] for end, number in zip(ends, per_level, strict=True))
    return Anchors(tuple(strides), tuple(tuple((float(h), float(w)) for h, w in level) for level in levels))


def optimise(
    boxes: Tensor,
    anchors: Anchors,
    image_size: tuple[int, int],
    *,
    levels: Sequence[int] | None = None,
    threshold: float = 0.5,
    steps: int = 300,
) -> Anchors:
    """Anchors of as many sizes on the same grid, which gradient descent has made to cover more boxes.

    Args:
        boxes: float [G, 4], xyxy in pixels.
        levels: those whose sizes may change; None: all.
        threshold: the IoU that is to be reached.
    """
    levels = range(len(anchors.strides)) if levels is None else levels
    sizes = [torch.tensor(of_level, dtype=boxes.dtype).reshape(-1, 2) for of_level in anchors.sizes]
    logs = {level: sizes[level].log().requires_grad_() for level in levels}

    def now() -> list[Tensor]:
        return [logs[level].exp() if level in logs else fixed for level, fixed in enumerate(sizes)]

    _descend(boxes, anchors.strides, [*logs.values()], now, image_size, steps, threshold)
    found = tuple(tuple((round(h, 1), round(w, 1)) for h, w in level.tolist()) for level in now())
    kept = (found[k] if k in logs else tuple(anchors.sizes[k]) for k in range(len(sizes)))
    return Anchors(anchors.strides, tuple(kept))


def optimise_shapes(
    boxes: Tensor,
    strides: Sequence[int],
    shapes: Sequence[tuple[float, float]],
    image_size: tuple[int, int],
    *,
    steps: int = 300,
) -> tuple[tuple[float, float], ...]:
    """The same for shapes that all levels share, (height, width) in strides (`anchors.in_proportion`)."""
    log = torch.tensor(shapes, dtype=boxes.dtype).log().requires_grad_()
    _descend(boxes, strides, [log], lambda: [stride * log.exp() for stride in strides], image_size, steps, 0.5)
    return tuple((round(h, 2), round(w, 2)) for h, w in log.exp().tolist())


def _descend(
    boxes: Tensor,
    strides: Sequence[int],
    parameters: list[Tensor],
    sizes: Callable[[], list[Tensor]],
    image_size: tuple[int, int],
    steps: int,
    threshold: float,
) -> None:
    """Changes parameters so that anchors of these sizes cover more boxes.

    The share of boxes whose best IoU reaches the threshold has no gradient; a sigmoid of best IoU - threshold has one.
    """
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    for _ in range(steps):
        best = _iou_by_kind(boxes, strides, sizes(), image_size).amax(dim=1)
        loss = -torch.sigmoid(30 * (best - threshold)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


# The report's method --------------------------------------------------------------------------------------------------


def peaks_of_sizes(
    sizes: np.ndarray, number: int = 6, edges: int = 89, cutoff: float = 0.1, apart: int = 9
) -> np.ndarray:
    """The `number` highest peaks of a histogram of the logarithms of sizes, after a high-pass filter: [number], pixels.

    With the defaults and the real train labels the sizes of the report of 2022, to 2 %, by the feature maps it states.

    Args:
        sizes: [G], roots of areas, in pixels. edges: of the bins, from 1 pixel to the largest size. cutoff: of a
            Butterworth filter of second order, as a share of the highest frequency. apart: bins between two peaks.

    Returns:
        From small to large; fewer where the histogram has fewer peaks.
    """
    borders = np.logspace(0, np.log10(sizes.max()), edges)
    counts, _ = np.histogram(sizes, borders)
    filtered = sosfilt(butter(2, cutoff, "highpass", output="sos"), counts)
    peaks, _ = find_peaks(filtered, distance=apart)
    return np.sort(borders[peaks[np.argsort(-filtered[peaks])][:number]])


def peak_anchors(boxes: np.ndarray, levels: int = 6, ratios: int = 5, seed: int = 0, mixed_up: bool = False) -> Anchors:
    """The report's automatic anchors: a level for each peak of the sizes, its stride the size itself.

    Each box joins the level whose size is nearest to its own; k-means of the logarithms of a level's width / height
    gives its aspect ratios (`anchors.automatic`).

    Args:
        boxes: [G, 2], (height, width) in pixels.
        mixed_up: take width / height for height / width, so that upright boxes get lying anchors. With this the real
            train labels are left uncovered as was measured with the report's own anchors (59.0 % here, 58.3 % with its
            feature maps rounded down as it had them), without it they are not (52.0 %).
    """
    own = np.sqrt(boxes.prod(1))
    sizes = peaks_of_sizes(own, levels)
    level = np.abs(np.log(own)[:, None] - np.log(sizes)).argmin(1)
    aspect_ratios = []
    for k in range(len(sizes)):
        shape = np.log(boxes[level == k, 1] / boxes[level == k, 0])[:, None]
        centres = np.sort(KMeans(ratios, n_init=10, random_state=seed).fit(shape).cluster_centers_[:, 0])
        aspect_ratios.append(np.exp(centres if mixed_up else -centres).tolist())
    return automatic(sizes.tolist(), aspect_ratios)
