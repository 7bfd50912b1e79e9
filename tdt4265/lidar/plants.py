"""Trees, bushes and hedges, made of leaves as small triangles; each stands on the origin, metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scene import Mesh
from .shapes import Palette, box, ellipsoid, join, leaves, tube, tubes


@dataclass(frozen=True)
class Season:
    """How much foliage there is (0 bare to 1 dense), and the materials of this clip's plants."""

    foliage: float
    leaf: tuple[int, ...]
    needle: int
    bark: int


def season(rng: np.random.Generator, palette: Palette) -> Season:
    foliage = float(rng.choice([0.0, 0.35, 0.8, 1.0], p=[0.06, 0.1, 0.34, 0.5]))
    bright = rng.uniform(0.34, 0.5)
    grown = {"grain": 0.2, "dropout": 0.01, "translucent": True}
    return Season(
        foliage,
        tuple(palette.add("leaves", bright * rng.uniform(0.85, 1.15), grain_size=0.15, **grown) for _ in range(3)),
        palette.add("needle leaves", rng.uniform(0.35, 0.5), **grown),
        palette.add("bark", rng.uniform(0.3, 0.6), grain=0.2, grain_size=0.1),
    )


def tree(
    rng: np.random.Generator,
    plants: Season,
    height: float,
    *,
    conifer: bool = False,
    budget: int = 900,
    leaf: float = 0.25,
) -> Mesh:
    """A tree: trunk, boughs, and `budget` leaves of size `leaf` (metres), fewer in a bare season."""
    grow = _conifer if conifer else _broadleaf
    return grow(rng, plants, height, budget, leaf)


def _conifer(rng: np.random.Generator, plants: Season, height: float, budget: int, leaf: float) -> Mesh:
    """A cone of needles in layers."""
    trunk = tube(np.array([[0, 0, -0.3], [0, 0, 0.9 * height]]), (0.12 + 0.012 * height, 0.02), plants.bark, 6)
    z = height * (1 - np.sqrt(rng.random(budget)) * rng.uniform(0.88, 0.97))
    layer = 0.75 + 0.25 * np.cos(2 * np.pi * z / 0.8)
    slim = rng.uniform(0.17, 0.27)
    radius = slim * (height - z) * layer * np.sqrt(rng.uniform(0.3, 1, budget))
    angle = rng.uniform(0, 2 * np.pi, budget)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], 1)
    return join([trunk, leaves(rng, points, 1.5 * leaf, plants.needle)])


def _broadleaf(rng: np.random.Generator, plants: Season, height: float, budget: int, leaf: float) -> Mesh:
    """A trunk that leans a little, boughs out of its upper end, and a crown with holes and a torn outline."""
    stem = height * rng.uniform(0.18, 0.34)
    crown_height = height - stem
    lean = rng.normal(0, 0.02 * height, 2)
    foot = np.array([*lean, stem])
    spread = crown_height * rng.uniform(0.3, 0.52)
    count, twiggy = 7 + int(8 * (1 - plants.foliage)), leaf < 0.4 or plants.foliage < 0.5
    boughs, tips = _boughs(rng, foot, crown_height, spread, plants.bark, count, twiggy)
    parts = [_trunk(rng, height, foot, plants.bark), *boughs]
    amount = int(budget * plants.foliage)
    if amount:
        middle, radii = (
            foot + np.array([0, 0, 0.55 * crown_height]),
            np.array([1.15 * spread] * 2 + [0.56 * crown_height]),
        )
        cloud = _crown(rng, amount, middle, radii, tips)
        cloud = cloud[cloud[:, 2] > 0.75 * stem]
        parts.append(leaves(rng, cloud, leaf, rng.choice(plants.leaf, len(cloud))))
        # A real crown is closed: few but large leaves within it stop the view between the fine ones.
        inside = middle + 0.72 * radii * _ball(rng, amount // 8, 0.05)
        parts.append(leaves(rng, inside, 4 * leaf, rng.choice(plants.leaf, len(inside))))
    return join(parts)


def _trunk(rng: np.random.Generator, height: float, foot: np.ndarray, bark: int) -> Mesh:
    """From below the ground past the crown's foot up into the crown."""
    thick = rng.uniform(0.09, 0.16) + 0.014 * height
    x, y, stem = foot
    line = np.array([(0, 0, -0.3), (0.2 * x, 0.2 * y, 0.5 * stem), (x, y, stem), (1.5 * x, 1.5 * y, 0.75 * height)])
    return tube(line, thick * np.array([1.25, 1.0, 0.85, 0.2]), bark, 8)


def _boughs(
    rng: np.random.Generator, foot: np.ndarray, height: float, spread: float, bark: int, count: int, twiggy: bool
) -> tuple[list[Mesh], np.ndarray]:
    """Boughs out of the trunk, three twigs on each; and points along them, around which leaves grow: [N, 3].

    Not twiggy: straight boughs alone are drawn, which is enough where leaves hide them from afar.
    """
    start = foot + np.array([0, 0, height]) * rng.uniform(0.0, 0.55, (count, 1))
    angle = 2.4 * np.arange(count) + rng.uniform(-0.5, 0.5, count)
    tilt, reach = rng.uniform(0.35, 1.1, count), spread * rng.uniform(0.7, 1.1, (count, 1))
    ahead = np.stack([np.cos(angle) * np.sin(tilt), np.sin(angle) * np.sin(tilt), 1.2 * np.cos(tilt)], 1)
    tip = start + reach * ahead
    middle = 0.5 * (start + tip) + reach * rng.normal(0, 0.08, (count, 3))
    fork = middle[:, None] + rng.uniform(0, 1, (count, 3, 1)) * (tip - middle)[:, None]
    end = fork + reach[:, None] * rng.normal((0, 0, 0.15), 0.3, (count, 3, 3))
    twigs = np.stack([fork, end], 2).reshape(-1, 2, 3)
    if twiggy:
        parts = [
            tubes(np.stack([start, middle, tip], 1), (0.09, 0.05, 0.015), bark, 4),
            tubes(twigs, (0.035, 0.01), bark, 3),
        ]
    else:
        parts = [tubes(np.stack([start, tip], 1), (0.09, 0.015), bark, 3)]
    return parts, np.concatenate([middle, 0.5 * (middle + tip), tip, end.reshape(-1, 3)])


def _crown(
    rng: np.random.Generator, amount: int, middle: np.ndarray, radii: np.ndarray, tips: np.ndarray
) -> np.ndarray:
    """Where leaves grow [N, 3]: half over an ellipsoid with holes in it, half in clumps around the boughs' ends."""
    half, spread = amount // 2, radii[0] / 1.15
    shell = middle + _ball(rng, half, 0.6) * radii
    holes = middle + rng.normal(0, 0.8 * spread, (4, 1, 3))
    shell = shell[(((shell - holes) / (0.3 * spread)) ** 2).sum(2).min(0) > 1]
    clumps = tips[rng.integers(0, len(tips), amount - half)] + rng.normal(0, 0.19 * spread, (amount - half, 3))
    return np.concatenate([shell, clumps])


def _ball(rng: np.random.Generator, count: int, inner: float) -> np.ndarray:
    """Points [N, 3] in a unit ball, more of them outside, with few nearer to its centre than `inner`."""
    points = rng.normal(size=(count, 3))
    return points * np.sqrt(rng.uniform(inner, 1, (count, 1)) / (points**2).sum(1, keepdims=True))


def bush(rng: np.random.Generator, plants: Season, width: float, height: float, budget: int = 320) -> Mesh:
    """A bush, rather round; in winter a heap of twigs."""
    amount = int(budget * max(plants.foliage, 0.35))
    points = _ball(rng, amount, 0.5) * (width / 2, width / 2, height)
    points[:, 2] = np.abs(points[:, 2])  # a dome that stands on the ground
    tips = rng.normal(0, 0.25 * width, (6, 3)) * (1, 1, 0) + rng.uniform((0, 0, 0.6 * height), (0, 0, height), (6, 3))
    parts = [
        leaves(rng, points, 0.17, rng.choice(plants.leaf, len(points))),
        tubes(np.stack([0 * tips, tips], 1), 0.02, plants.bark, 3),
    ]
    if plants.foliage > 0.5:
        core = (0.36 * width, 0.36 * width, 0.6 * height)
        parts.append(ellipsoid(core, plants.leaf[0], (0, 0, 0.15 * height)))
    return join(parts)


def hedge(
    rng: np.random.Generator, plants: Season, length: float, height: float, width: float = 0.8, density: float = 150.0
) -> Mesh:
    """A clipped hedge along x from 0: a core with `density` leaves a square metre of its side all over it."""
    amount = int(density * length * height)
    points = rng.uniform((0, -width / 2, 0), (length, width / 2, height), (amount, 3))
    face = rng.integers(0, 3, amount)  # push each point out to a face
    points[face == 0, 1] = -width / 2
    points[face == 1, 1] = width / 2
    points[face == 2, 2] = height
    core = box((length, 0.75 * width, 0.9 * height), plants.leaf[1], (length / 2, 0, 0.45 * height))
    return join([core, leaves(rng, points, 0.18, rng.choice(plants.leaf, amount))])
