"""The ground of a street: road, pavements, verges and the land beyond, with kerbs, corners, patches and paint.

It is a grid of cells in street coordinates (s metres along, d metres to the left of the middle line), whose lines run
along all kerbs and edges, so that each cell has one surface and one level.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .scene import Mesh
from .shapes import Palette, fan, join, quads
from .street import END, KERB, Junction, Street

SIDES = (1, -1)  # left, right
WIDTH = 95.0  # metres of land to either side
PATCH_LEVEL, PAINT_LEVEL = 0.006, 0.012  # metres above the road: no two surfaces in one plane


@dataclass(frozen=True)
class Grounds:
    """Material indices of the ground."""

    asphalt: int
    lane: int  # cycle lanes and parking strips
    paving: int
    grass: int
    kerb: int
    paint: int
    patch: int

    @classmethod
    def random(cls, rng: np.random.Generator, palette: Palette) -> Grounds:
        dark = rng.uniform(0.19, 0.36)
        return cls(
            palette.add("asphalt", dark, grain=0.12, grain_size=0.1),
            palette.add("asphalt strip", dark * rng.uniform(0.9, 1.5), grain=0.15),
            palette.add("paving", rng.uniform(0.25, 0.5), grain=rng.uniform(0.08, 0.25), grain_size=0.4),
            palette.add("grass", rng.uniform(0.34, 0.5), grain=0.25, grain_size=0.12, translucent=True),
            palette.add("kerb", rng.uniform(0.3, 0.55), grain=0.15),
            palette.add(
                "road marking", rng.uniform(0.45, 0.65), retroreflection=float(rng.uniform(0, 0.5)), grain=0.25
            ),
            palette.add("asphalt patch", dark * rng.uniform(0.6, 1.5), grain=0.12),
        )


@dataclass(frozen=True)
class Corner:
    """A street corner, where the kerb turns in a quarter circle: the kerbs' meeting point (s, d) and the radius.

    Seen from that point the pavement lies towards along * s and side * d (both +1 or -1).
    """

    s: float
    d: float
    radius: float
    along: int
    side: int

    def square(self, s: np.ndarray, d: np.ndarray) -> np.ndarray:
        """Whether points lie in the square the quarter circle is cut from."""
        s, d = self.along * (s - self.s), self.side * (d - self.d)
        return (s > 0) & (s < self.radius) & (d > 0) & (d < self.radius)

    def arc(self) -> np.ndarray:
        """The kerb's line from one street to the other: [7, 3]."""
        angle = np.linspace(0, np.pi / 2, 7)
        s = self.s + self.along * self.radius * (1 - np.cos(angle))
        d = self.d + self.side * self.radius * (1 - np.sin(angle))
        return np.stack([s, d, np.full(7, KERB)], 1)

    def centre(self) -> np.ndarray:
        return np.array([self.s + self.along * self.radius, self.d + self.side * self.radius, KERB])


def ground(street: Street, materials: Grounds, rng: np.random.Generator) -> Mesh:
    """Road, pavement, verges and the land beyond, in street coordinates."""
    corners = _corners(street)
    s, d = _grid(street, corners)
    centres = np.meshgrid((s[1:] + s[:-1]) / 2, (d[1:] + d[:-1]) / 2, indexing="ij")
    road = street.on_road(*centres)
    material = _surfaces(street, materials, road, *centres)
    for corner in corners:  # the square is road; its quarter circle of pavement is laid on top
        square = corner.square(*centres)
        road |= square
        material[square] = materials.asphalt
    level = np.where(road, 0.0, KERB)
    parts = [quads(_cells(s, d, level), material.reshape(-1)), *_kerbs(s, d, level, materials.kerb)]
    for corner in corners:
        parts += _round_corner(corner, materials)
    return join(parts + _patches(rng, street, materials.patch))


# ----------------------------------------------------------------------------------------------- grid


def _corners(street: Street) -> list[Corner]:
    corners = []
    for junction in street.junctions:
        for side in SIDES:
            if junction.leaves(side):
                radius = min(3.0, street.verge[side < 0] + street.pavement[side < 0])
                corners += [
                    Corner(junction.at + along * junction.half, side * street.kerb(side), radius, along, side)
                    for along in (-1, 1)
                ]
    return corners


def _grid(street: Street, corners: list[Corner]) -> tuple[np.ndarray, np.ndarray]:
    """The grid's lines along s and along d: at every edge, and in between as the ground's bends need."""
    along = [corner.s + corner.along * corner.radius for corner in corners]
    across = [corner.d + corner.side * corner.radius for corner in corners]
    for junction in street.junctions:
        reach = np.array([junction.half, junction.half + max(street.pavement), junction.half + 3.0])
        along += [*(junction.at - reach), *(junction.at + reach)]
    lanes = street.lanes * street.lane
    for side in SIDES:
        kerb = street.kerb(side)
        edges = (kerb, kerb + street.verge[side < 0], street.front(side), lanes, lanes + street.cycle)
        across += [side * edge for edge in edges]
        along += [end for start, stop, *_ in street.blocks[side] for end in (start, stop)]
    return _lines(along, END, (2.5, 7.0), 45), _lines(across, WIDTH, (2.5, 9.0), 28)


def _lines(marks: list[float], limit: float, steps: tuple[float, float], near: float) -> np.ndarray:
    """Grid lines from -limit to limit: at the marks, and between them at most steps[0] (near 0) or steps[1] apart."""
    marks = np.unique(np.round([-limit, limit, -near, near, *marks], 3))
    lines = []
    for start, stop in itertools.pairwise(marks):
        step = steps[0] if max(abs(start), abs(stop)) <= near else steps[1]
        lines.append(np.linspace(start, stop, max(1, int(np.ceil((stop - start) / step))), endpoint=False))
    return np.append(np.concatenate(lines), marks[-1])


def _cells(s: np.ndarray, d: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Corners [cells, 4, 3] of the grid's cells, each level in itself."""
    corners = np.empty((*level.shape, 4, 3), np.float32)
    corners[..., [0, 3], 0], corners[..., [1, 2], 0] = s[:-1, None, None], s[1:, None, None]
    corners[..., [0, 1], 1], corners[..., [2, 3], 1] = d[None, :-1, None], d[None, 1:, None]
    corners[..., 2] = level[..., None]
    return corners.reshape(-1, 4, 3)


# ------------------------------------------------------------------------------------------- surfaces


def _surfaces(street: Street, materials: Grounds, road: np.ndarray, s: np.ndarray, d: np.ndarray) -> np.ndarray:
    """The material of each cell: road, s and d hold whether it is road and where its centre is."""
    material = np.full(s.shape, materials.grass)
    for side in SIDES:
        away = side * d
        _lay_blocks(material, street, materials, side, s, away)
        _lay_pavement(material, street, materials, side, s, away)
        material[road & (away > street.lanes * street.lane)] = materials.lane
        for junction in street.junctions:
            if junction.leaves(side):
                arm = road & (np.abs(s - junction.at) < junction.half) & (away > street.kerb(side))
                material[arm] = materials.asphalt
    material[road & (np.abs(d) < street.lanes * street.lane)] = materials.asphalt
    return material


def _lay_blocks(material, street: Street, materials: Grounds, side: int, s: np.ndarray, away: np.ndarray) -> None:
    """Beyond the pavement: what each block stands on."""
    surfaces = {"terrace": materials.paving, "square": materials.paving, "lot": materials.asphalt}
    beyond = away > street.front(side)
    for start, stop, kind, _ in street.blocks[side]:
        material[beyond & (s > start) & (s < stop)] = surfaces.get(kind, materials.grass)


def _lay_pavement(material, street: Street, materials: Grounds, side: int, s: np.ndarray, away: np.ndarray) -> None:
    """Along the kerb a verge of grass, then the pavement, which also turns into side streets on both of their sides."""
    kerb, width = street.kerb(side), street.pavement[side < 0]
    verge_end = kerb + street.verge[side < 0]
    material[(away > kerb) & (away <= verge_end)] = materials.grass
    material[(away > verge_end) & (away < street.front(side))] = materials.paving
    for junction in street.junctions:
        if junction.leaves(side):
            material[(np.abs(s - junction.at) < junction.half + width) & (away > kerb)] = materials.paving


# -------------------------------------------------------------------------------------- kerbs, patches


def _kerbs(s: np.ndarray, d: np.ndarray, level: np.ndarray, material: int) -> list[Mesh]:
    """Kerb stones wherever neighbouring cells differ in level: the upright face and a strip on top."""
    i, k = np.nonzero(np.diff(level, axis=0))  # edges across the street
    across = (s[i + 1], d[k]), (s[i + 1], d[k + 1]), np.sign(level[i + 1, k] - level[i, k]), 0
    i, k = np.nonzero(np.diff(level, axis=1))  # and along it
    along = (s[i], d[k + 1]), (s[i + 1], d[k + 1]), np.sign(level[i, k + 1] - level[i, k]), 1
    stones = []
    for start, stop, inward, axis in (across, along):
        if len(inward):
            start, stop = np.stack(start, 1), np.stack(stop, 1)
            stones.append(_kerb_stones(start, stop, np.eye(2)[axis] * inward[:, None], material))
    return stones


def _kerb_stones(start: np.ndarray, stop: np.ndarray, inward: np.ndarray, material: int) -> Mesh:
    """Stones along edges from start [N, 2] to stop [N, 2]; inward [N, 2] points at the higher side."""

    def at(points: np.ndarray, z: float) -> np.ndarray:
        return np.concatenate([points, np.full((len(points), 1), z)], 1)

    width, top = 0.16 * inward, KERB + PATCH_LEVEL
    face = np.stack([at(start, 0), at(stop, 0), at(stop, KERB), at(start, KERB)], 1)
    upper = np.stack([at(start, top), at(stop, top), at(stop + width, top), at(start + width, top)], 1)
    return quads(np.concatenate([face, upper]), material)


def _round_corner(corner: Corner, materials: Grounds) -> list[Mesh]:
    """A quarter circle of pavement with its kerb."""
    arc = corner.arc()
    foot = arc - np.array([0, 0, KERB])
    return [
        fan(np.concatenate([corner.centre()[None], arc]), materials.paving),
        quads(np.stack([arc[:-1], arc[1:], foot[1:], foot[:-1]], 1), materials.kerb),
    ]


def _patches(rng: np.random.Generator, street: Street, material: int) -> list[Mesh]:
    """Where the road was dug up."""
    half = 0.8 * street.lanes * street.lane
    patches = []
    for _ in range(int(rng.integers(2, 9))):
        start, across = rng.uniform(-30, 40), rng.uniform(-half, half)
        stop, width = start + rng.uniform(0.5, 5), rng.uniform(0.5, 1.6)
        patches.append(_strip(start, stop, across, width, material, PATCH_LEVEL))
    return patches


# ------------------------------------------------------------------------------------------- markings


def _strip(start: float, stop: float, d: float, width: float, material: int, z: float = PAINT_LEVEL) -> Mesh:
    """A flat strip along the street, in pieces so that it follows the ground."""
    s = np.linspace(start, stop, max(2, int(abs(stop - start) / 2) + 2))
    return quads(_cells(s, np.array([d - width / 2, d + width / 2]), np.full((len(s) - 1, 1), z)), material)


def markings(street: Street, materials: Grounds, rng: np.random.Generator) -> Mesh:
    """Centre, lane and edge lines, zebra crossings and stop lines."""
    plain = street.kind == "residential" and rng.random() < 0.6
    parts = []
    if not plain:
        parts += _lane_lines(rng, street, materials.paint)
    if street.cycle or (not plain and rng.random() < 0.5):
        parts += _edge_lines(street, materials.paint)
    bar = rng.uniform(0.4, 0.55)
    for crossing in street.crossings:
        parts += _zebra(crossing, rng.uniform(1.4, 2.2), bar, street, materials.paint)
        if rng.random() < 0.4 and not plain:
            parts.append(_stop_line(crossing - 3.3, street, materials.paint))
    return join(parts)


def _free(street: Street, start: float, stop: float) -> bool:
    """Whether no side street and no crossing interrupts the lines on this stretch."""

    def clear(junction: Junction) -> bool:
        return stop < junction.at - junction.half - 1 or start > junction.at + junction.half + 1

    return all(map(clear, street.junctions)) and all(stop < c - 2.5 or start > c + 2.5 for c in street.crossings)


def _lane_lines(rng: np.random.Generator, street: Street, paint: int) -> list[Mesh]:
    """The middle line, dashed or solid, and dashed ones between lanes of one direction."""
    dash = rng.choice([1.0, 3.0])
    lines = []
    for offset in [0.0] + [side * street.lane for side in SIDES if street.lanes > 1]:
        solid = offset == 0 and rng.random() < 0.25
        length, period = (4.0, 4.0) if solid else (dash, 2 * dash)
        for start in np.arange(-80, 80, period):
            if _free(street, start, start + length):
                lines.append(_strip(start, start + length, offset, 0.12, paint))
    return lines


def _edge_lines(street: Street, paint: int) -> list[Mesh]:
    """Along the outer lanes: solid beside a cycle lane, else dashed."""
    length, offset = (4 if street.cycle else 2), street.lanes * street.lane - 0.1
    starts = [start for start in np.arange(-80, 80, 4.0) if _free(street, start, start + 4)]
    return [_strip(start, start + length, side * offset, 0.12, paint) for side in SIDES for start in starts]


def _zebra(at: float, reach: float, bar: float, street: Street, paint: int) -> list[Mesh]:
    """Bars along the street, `reach` metres to either side of `at`, as far apart as they are wide."""
    bars = np.arange(-street.kerb(-1) + 0.4, street.kerb(1) - 0.3, 2 * bar)
    return [_strip(at - reach, at + reach, d + bar / 2, bar, paint) for d in bars]


def _stop_line(at: float, street: Street, paint: int) -> Mesh:
    """A broad line across the lanes that lead up to a crossing."""
    half = street.lanes * street.lane
    return _strip(at - 0.4, at, -half / 2, half, paint)
