"""Shop windows: niches behind glass with what is on display in them. Metres."""

from __future__ import annotations

import numpy as np

from .scene import Mesh
from .shapes import Palette, box, boxes, cylinder, ellipsoid, join, moved, quads

GLASS = 0.55  # share of the light that comes back through the glass, both ways


def display(rng: np.random.Generator, palette: Palette, width: float, low: float, high: float) -> Mesh:
    """What is seen through one shop window: a niche along x from 0 to `width`, open towards -y, from `low` to `high`.

    Dolls in clothes, shelves with goods, crates and posters: all of them darker than in the open, for the light passes
    the glass twice.
    """
    depth = rng.uniform(0.8, 1.8)
    wall = palette.add("display wall", GLASS * rng.uniform(0.1, 0.7), grain=0.3, grain_size=0.3)
    parts = [_niche(width, low, high, depth, wall)]
    kind = rng.choice(["dolls", "shelves", "crates"], p=[0.4, 0.35, 0.25])
    if kind == "dolls":
        for x in np.arange(rng.uniform(0.3, 0.8), width - 0.2, rng.uniform(0.6, 1.3)):
            parts.append(moved(_doll(rng, palette), x, rng.uniform(0.25, 0.6) * depth, low, rng.uniform(0, 6.3)))
    else:
        parts += _goods(rng, palette, width, low, high, depth, shelved=kind == "shelves")
    if rng.random() < 0.4:  # a poster close to the glass
        poster = palette.add("poster", GLASS * rng.uniform(0.4, 0.9), grain=0.5, grain_size=0.25)
        size = (rng.uniform(0.4, 0.9), 0.02, rng.uniform(0.6, 1.2))
        parts.append(box(size, poster, (rng.uniform(0.5, max(0.6, width - 0.5)), 0.1, low + rng.uniform(0.6, 1.1))))
    return join(parts)


def _niche(width: float, low: float, high: float, depth: float, material: int) -> Mesh:
    """Back, floor, ceiling and sides."""
    return quads(
        np.array(
            [
                [(0, depth, low), (width, depth, low), (width, depth, high), (0, depth, high)],
                [(0, 0, low), (width, 0, low), (width, depth, low), (0, depth, low)],
                [(0, 0, high), (0, depth, high), (width, depth, high), (width, 0, high)],
                [(0, 0, low), (0, depth, low), (0, depth, high), (0, 0, high)],
                [(width, 0, low), (width, 0, high), (width, depth, high), (width, depth, low)],
            ]
        ),
        material,
    )


def _doll(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A tailor's dummy in clothes, with or without a head: as tall as a person."""
    cloth, skin = (palette.add(name, GLASS * rng.uniform(0.2, 0.95)) for name in ("display cloth", "doll"))
    height = rng.uniform(1.5, 1.8)
    parts = [
        moved(cylinder((0.09, 0.17), 0.48 * height, cloth, 7), z=0.02),
        moved(cylinder((0.17, 0.2), 0.34 * height, cloth, 7), z=0.48 * height, scale=(0.7, 1, 1)),
    ]
    if rng.random() < 0.7:
        parts.append(ellipsoid((0.1, 0.09, 0.13), skin, (0, 0, 0.93 * height), 6))
    return join(parts)


def _goods(rng, palette: Palette, width: float, low: float, high: float, depth: float, shelved: bool) -> list[Mesh]:
    """Boxes of many sizes, on shelves or on the floor."""
    levels = np.arange(low, high - 0.3, rng.uniform(0.4, 0.7)) if shelved else np.array([low])
    board = palette.add("shelf", GLASS * rng.uniform(0.2, 0.7))
    parts = [box((width, 0.4, 0.03), board, (width / 2, depth - 0.2, level)) for level in levels[1:]]
    for level in levels:
        goods = palette.add("goods", GLASS * rng.uniform(0.15, 0.95), grain=0.3)
        count = int(rng.integers(2, 3 + int(2.5 * width)))
        size = rng.uniform((0.08, 0.1, 0.1), (0.4, 0.35, 0.36 if shelved else 1.0), (count, 3))
        y = rng.uniform(depth - 0.35, depth - 0.15, count) if shelved else rng.uniform(0.3, depth - 0.2, count)
        middle = np.stack([rng.uniform(0.2, width - 0.2, count), y, level + size[:, 2] / 2], 1)
        parts.append(boxes(size, middle, goods))
    return parts
