"""A street: its layout, its ground, what stands along it; and `make_world`, a clip's whole scene.

Everything is laid out in street coordinates, as if the street were straight and level: s metres along it, d metres to
the left of its middle line. `Street.place` then bends and tilts that onto the world.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from . import scenery, sensor, traffic
from .road_users import Motion
from .scene import Mesh, World
from .shapes import Palette, fan, join, moved, quads

KERB = 0.12  # metres
END = 125.0  # the street reaches this far either way


@dataclass(frozen=True)
class Junction:
    """A side street at `at`, `half` metres wide either side of its middle, leaving to the left and/or the right."""

    at: float
    half: float
    arms: tuple[bool, bool]  # left, right


@dataclass(frozen=True)
class Street:
    """Measures of one street in metres. Pairs are (left side, right side). Traffic keeps to the right."""

    kind: str
    lanes: int  # each way
    lane: float
    cycle: float  # width of a cycle lane, each way
    parking: tuple[float, float]
    verge: tuple[float, float]
    pavement: tuple[float, float]
    junctions: tuple[Junction, ...]
    crossings: tuple[float, ...]
    bend: float  # 1 / radius
    grade: float  # rise per metre at s = 0
    sag: float  # change of the grade per metre
    bank: tuple[float, float]  # rise per metre beyond the pavement
    blocks: dict[int, list] = field(default_factory=dict)  # side -> [(from, to, kind, setback)]

    def kerb(self, side: int) -> float:
        """Distance of the kerb from the middle line; side is +1 (left) or -1 (right)."""
        return self.lanes * self.lane + self.cycle + self.parking[side < 0]

    @property
    def own_lane(self) -> float:
        """The sensor's lane: the one at the kerb."""
        return -(self.lanes - 0.5) * self.lane

    def front(self, side: int) -> float:
        """Distance of the pavement's far edge from the middle line."""
        return self.kerb(side) + self.verge[side < 0] + self.pavement[side < 0]

    def height(self, s, d) -> np.ndarray:
        """The lie of the land without kerbs."""
        s, d = np.asarray(s, float), np.asarray(d, float)
        near = np.clip(s, -70, 70)
        along = self.grade * s + self.sag * (near * s - 0.5 * near**2)
        beyond = [np.logaddexp(0, (side * d - self.front(side)) / 4) * 4 * self.bank[side < 0] for side in (1, -1)]
        return along + np.minimum(beyond[0] + beyond[1], 9.0)

    def on_road(self, s, d) -> np.ndarray:
        """Whether points lie between the kerbs, of this street or of a side street."""
        s, d = np.asarray(s, float), np.asarray(d, float)
        road = (d < self.kerb(1)) & (d > -self.kerb(-1))
        for j in self.junctions:
            sides = ((d > 0) & j.arms[0]) | ((d < 0) & j.arms[1])
            road |= (np.abs(s - j.at) < j.half) & sides
        return road

    def place(self, s, d) -> tuple[np.ndarray, np.ndarray]:
        """World x and y of street coordinates."""
        s, d = np.asarray(s, float), np.asarray(d, float)
        if abs(self.bend) < 1e-6:
            return s, d
        angle = self.bend * s
        return np.sin(angle) / self.bend - d * np.sin(angle), (1 - np.cos(angle)) / self.bend + d * np.cos(angle)

    def motion(self, s, d, heading) -> Motion:
        """The motion of what is at (s, d) [T], heading relative to the street, at times 0, 0.1, ..."""
        s, d, heading = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, float)) for v in (s, d, heading)))
        x, y = self.place(s, d)
        z = self.height(s, d) + np.where(self.on_road(s, d), 0.0, KERB)
        ahead = self.height(s + np.cos(heading), d + np.sin(heading)) - self.height(s, d)
        travel = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(s), np.diff(d)))])
        return Motion(np.stack([x, y, z, heading + self.bend * s, ahead], 1), travel)


class Site:
    """Collects meshes in street coordinates and bends them into the world."""

    def __init__(self, street: Street) -> None:
        self.street = street
        self.parts: list[Mesh] = []

    def drape(self, mesh: Mesh) -> None:
        """Add what follows the ground vertex by vertex: the ground itself, markings, walls, fences."""
        v = mesh.vertices
        self._add(mesh, self.street.height(v[:, 0], v[:, 1]))

    def stand(self, mesh: Mesh, s: float, d: float, heading: float = 0.0, z: float = KERB, scale=1.0) -> None:
        """Add what stands upright at (s, d): buildings, trees, poles."""
        self._add(moved(mesh, s, d, z, heading, scale), self.street.height(s, d))

    def _add(self, mesh: Mesh, lift: np.ndarray) -> None:
        x, y = self.street.place(mesh.vertices[:, 0], mesh.vertices[:, 1])
        vertices = np.stack([x, y, mesh.vertices[:, 2] + lift], 1).astype(np.float32)
        self.parts.append(Mesh(vertices, mesh.faces, mesh.materials))


# ---------------------------------------------------------------------------------------------- layout

# Kinds of blocks beside each kind of street, with their chances.
_BLOCKS = {
    "street": {"terrace": 0.72, "park": 0.08, "square": 0.1, "lot": 0.1},
    "residential": {"houses": 0.75, "park": 0.1, "terrace": 0.15},
    "park": {"park": 0.75, "terrace": 0.15, "square": 0.1},
    "square": {"square": 0.55, "terrace": 0.3, "park": 0.15},
    "arterial": {"lawn": 0.55, "terrace": 0.25, "lot": 0.2},
    "campus": {"lawn": 0.45, "square": 0.25, "terrace": 0.15, "lot": 0.15},
}


def make_street(rng: np.random.Generator, kind: str) -> Street:
    """A random street of the given kind, the sensor to stand or start near s = 0."""
    lanes = 2 if kind == "arterial" else 1
    lane = rng.uniform(2.8, 3.5)
    cycle = rng.choice([0.0, rng.uniform(1.3, 1.9)], p=[0.65, 0.35])
    likely = {"street": 0.6, "residential": 0.65, "park": 0.3, "square": 0.3, "arterial": 0.12, "campus": 0.4}[kind]
    parking = tuple(float(rng.choice([0.0, rng.uniform(2.0, 2.3)], p=[1 - likely, likely])) for _ in range(2))
    verge = tuple(
        float(rng.choice([0.0, rng.uniform(1.2, 3.5)], p=[0.7, 0.3] if kind == "street" else [0.5, 0.5]))
        for _ in range(2)
    )
    narrow = kind == "residential"
    pavement = tuple(float(rng.uniform(1.4, 2.4) if narrow else rng.uniform(2.0, 5.0)) for _ in range(2))
    arms = rng.choice([0, 1, 2, 3], p=[0.3, 0.23, 0.22, 0.25])  # none, a T to either side, a full crossroads
    junctions = []
    if arms:
        at = rng.uniform(12, 26)
        junctions.append(Junction(at, rng.uniform(2.8, 4.8), ((arms & 1) > 0, (arms & 2) > 0)))
    if rng.random() < 0.35:
        junctions.append(Junction(-rng.uniform(20, 45), rng.uniform(2.8, 4.2), tuple(rng.random(2) < 0.6)))
    crossings = []
    if junctions and arms:
        crossings.append(junctions[0].at - junctions[0].half - rng.uniform(2.5, 4.0))
        if rng.random() < 0.5:
            crossings.append(junctions[0].at + junctions[0].half + rng.uniform(2.5, 4.0))
    elif rng.random() < 0.85:
        crossings.append(rng.uniform(7, 22))
    if rng.random() < 0.4:
        crossings.append(-rng.uniform(8, 18))
    bend = rng.choice([0.0, rng.uniform(-1 / 170, 1 / 170)], p=[0.35, 0.65])
    hilly = rng.choice([0.3, 1.0])
    street = Street(
        kind,
        lanes,
        lane,
        float(cycle),
        parking,
        verge,
        pavement,
        tuple(junctions),
        tuple(crossings),
        float(bend),
        grade=rng.normal(0, 0.012),
        sag=hilly * rng.normal(0.0004, 0.0006),
        bank=tuple(np.clip(hilly * rng.normal(0.02, 0.05, 2), -0.04, 0.13)),
    )
    for side in (1, -1):
        street.blocks[side] = _blocks(rng, street, side)
    return street


def _blocks(rng: np.random.Generator, street: Street, side: int) -> list:
    """Stretches between side streets, each with its kind and setback."""
    cuts = sorted((j.at, j.half + street.pavement[side < 0]) for j in street.junctions if j.arms[side < 0])
    edges = [-100.0]
    for at, half in cuts:
        edges += [at - half, at + half]
    edges.append(100.0)
    kinds = _BLOCKS[street.kind]
    blocks = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        while end - start > 6:
            stop = end if end - start < 60 or rng.random() < 0.4 else start + rng.uniform(25, end - start - 20)
            kind = str(rng.choice(list(kinds), p=list(kinds.values())))
            setback = {
                "terrace": rng.choice([0.0, rng.uniform(1, 6)]),
                "houses": rng.uniform(3, 9),
                "park": rng.uniform(30, 55),
                "square": rng.uniform(16, 40),
                "lot": rng.uniform(18, 28),
                "lawn": rng.uniform(8, 30),
            }[kind]
            blocks.append((start, stop, kind, float(setback)))
            start = stop
    return blocks


# ---------------------------------------------------------------------------------------------- ground


@dataclass(frozen=True)
class Grounds:
    """Material indices of the ground."""

    asphalt: int
    lane: int  # cycle lanes and parking strips
    paving: int
    grass: int
    gravel: int
    kerb: int
    paint: int
    patch: int

    @classmethod
    def random(cls, rng: np.random.Generator, palette: Palette) -> Grounds:
        dark = rng.uniform(0.12, 0.24)
        return cls(
            palette.add("asphalt", dark, grain=0.12, grain_size=0.1),
            palette.add("asphalt strip", dark * rng.uniform(0.9, 1.5), grain=0.15),
            palette.add("paving", rng.uniform(0.25, 0.5), grain=rng.uniform(0.08, 0.25), grain_size=0.4),
            palette.add("grass", rng.uniform(0.34, 0.5), grain=0.25, grain_size=0.12),
            palette.add("gravel", rng.uniform(0.25, 0.42), grain=0.2, grain_size=0.1),
            palette.add("kerb", rng.uniform(0.3, 0.55), grain=0.15),
            palette.add(
                "road marking", rng.uniform(0.45, 0.65), retroreflection=float(rng.uniform(0, 0.5)), grain=0.25
            ),
            palette.add("asphalt patch", dark * rng.uniform(0.6, 1.5), grain=0.12),
        )


def _lines(marks: list[float], limit: float, fine: float, coarse: float, near: float) -> np.ndarray:
    """Grid lines from -limit to limit: at the marks, and in between finely near 0 and coarsely far off."""
    marks = np.unique(np.round([-limit, limit, -near, near, *marks], 3))
    out = []
    for a, b in itertools.pairwise(marks):
        step = fine if max(abs(a), abs(b)) <= near else coarse
        out.append(np.linspace(a, b, max(1, int(np.ceil((b - a) / step))), endpoint=False))
    return np.append(np.concatenate(out), marks[-1])


def _round_corners(street: Street) -> list[tuple[float, float, float, int, int]]:
    """(s, d, radius, sign of s, sign of d) of each street corner, where the kerb turns in a quarter circle."""
    corners = []
    for j in street.junctions:
        for side, arm in ((1, j.arms[0]), (-1, j.arms[1])):
            radius = min(3.0, street.verge[side < 0] + street.pavement[side < 0])
            if arm:
                corners += [(j.at + e * j.half, side * street.kerb(side), radius, e, side) for e in (-1, 1)]
    return corners


def ground(street: Street, materials: Grounds, rng: np.random.Generator) -> Mesh:
    """Road, pavement, verges and the land beyond: a grid of cells in street coordinates, kerbs between the levels."""
    corners = _round_corners(street)
    s_marks, d_marks = [], []
    for j in street.junctions:
        for e in (-1, 1):
            s_marks += [j.at + e * j.half, j.at + e * (j.half + max(street.pavement)), j.at + e * (j.half + 3.0)]
    for side in (1, -1):
        d_marks += [
            side * v
            for v in (
                street.kerb(side),
                street.kerb(side) + street.verge[side < 0],
                street.front(side),
                street.lanes * street.lane,
                street.lanes * street.lane + street.cycle,
            )
        ]
        s_marks += [b[0] for b in street.blocks[side]] + [b[1] for b in street.blocks[side]]
    for s, d, r, e, side in corners:
        s_marks.append(s + e * r)
        d_marks.append(d + side * r)
    s, d = _lines(s_marks, END, 2.5, 7.0, 45), _lines(d_marks, 95, 2.5, 9.0, 28)
    sc, dc = np.meshgrid((s[1:] + s[:-1]) / 2, (d[1:] + d[:-1]) / 2, indexing="ij")
    road = street.on_road(sc, dc)
    material = np.full(sc.shape, materials.grass)
    surfaces = {
        "terrace": materials.paving,
        "square": materials.paving,
        "lot": materials.asphalt,
        "lawn": materials.grass,
        "houses": materials.grass,
        "park": materials.grass,
    }
    for side in (1, -1):
        half, verge, front = street.kerb(side), street.verge[side < 0], street.front(side)
        away = side * dc
        for start, stop, kind, _ in street.blocks[side]:
            material[(sc > start) & (sc < stop) & (away > front)] = surfaces[kind]
        for j in street.junctions:
            if j.arms[side < 0]:
                beside = (np.abs(sc - j.at) < j.half + street.pavement[side < 0]) & (away > half)
                material[beside] = materials.paving
        band = (away > half) & (away < front)
        material[band & (away > half + verge)] = materials.paving
        junction = np.zeros_like(road)
        for j in street.junctions:
            junction |= (np.abs(sc - j.at) < j.half + street.pavement[side < 0]) & j.arms[side < 0]
        material[band & (away <= half + verge)] = materials.grass
        material[band & junction] = materials.paving
        material[road & (away > street.lanes * street.lane)] = materials.lane
        for j in street.junctions:
            material[road & (np.abs(sc - j.at) < j.half) & (away > half) & j.arms[side < 0]] = materials.asphalt
    material[road & (np.abs(dc) < street.lanes * street.lane)] = materials.asphalt
    cut = np.zeros_like(road)
    for cs, cd, r, e, side in corners:
        cut |= (e * (sc - cs) > 0) & (e * (sc - cs) < r) & (side * (dc - cd) > 0) & (side * (dc - cd) < r)
    material[cut] = materials.asphalt
    road |= cut
    level = np.where(road, 0.0, KERB)
    s0, s1, d0, d1 = s[:-1, None], s[1:, None], d[None, :-1], d[None, 1:]

    def points(*corner):
        return np.stack([np.stack(np.broadcast_arrays(a, b, c), -1) for a, b, c in corner], -2).reshape(-1, 4, 3)

    cells = points((s0, d0, level), (s1, d0, level), (s1, d1, level), (s0, d1, level))
    parts = [quads(cells, material.reshape(-1))]
    parts += _kerbs(s, d, level, materials.kerb)
    for cs, cd, r, e, side in corners:
        a = np.linspace(0, np.pi / 2, 7)
        arc = np.stack([cs + e * r * (1 - np.cos(a)), cd + side * r * (1 - np.sin(a)), np.full(7, KERB)], 1)
        inner = np.array([[cs + e * r, cd + side * r, KERB]])
        parts.append(fan(np.concatenate([inner, arc]), materials.paving))
        low = arc - (0, 0, KERB)
        parts.append(quads(np.stack([arc[:-1], arc[1:], low[1:], low[:-1]], 1), materials.kerb))
    for _ in range(int(rng.integers(2, 9))):  # where the road was dug up
        at, across = rng.uniform(-30, 40), rng.uniform(-1, 1) * street.lanes * street.lane * 0.8
        parts.append(_strip(at, at + rng.uniform(0.5, 5), across, rng.uniform(0.5, 1.6), materials.patch, 0.006))
    return join(parts)


def _kerbs(s: np.ndarray, d: np.ndarray, level: np.ndarray, material: int) -> list[Mesh]:
    """Kerb stones wherever neighbouring cells differ in level: the upright face and a strip on top."""
    out = []
    for axis in (0, 1):
        i, k = np.nonzero(np.diff(level, axis=axis))
        if not len(i):
            continue
        if axis == 0:
            a, b = np.stack([s[i + 1], d[k]], 1), np.stack([s[i + 1], d[k + 1]], 1)
            rising = level[i + 1, k] > level[i, k]
            inward = np.stack([np.where(rising, 1, -1), np.zeros(len(i))], 1)
        else:
            a, b = np.stack([s[i], d[k + 1]], 1), np.stack([s[i + 1], d[k + 1]], 1)
            rising = level[i, k + 1] > level[i, k]
            inward = np.stack([np.zeros(len(i)), np.where(rising, 1, -1)], 1)

        def at(p, z):
            return np.c_[p, np.full(len(p), z)]

        out.append(quads(np.stack([at(a, 0), at(b, 0), at(b, KERB), at(a, KERB)], 1), material))
        top = KERB + 0.006
        out.append(
            quads(
                np.stack([at(a, top), at(b, top), at(b + 0.16 * inward, top), at(a + 0.16 * inward, top)], 1), material
            )
        )
    return out


def _strip(s0: float, s1: float, d: float, width: float, material: int, z: float = 0.012) -> Mesh:
    """A painted strip along the street, in pieces so that it follows the ground."""
    s = np.linspace(s0, s1, max(2, int(abs(s1 - s0) / 2) + 2))
    a, b = d - width / 2, d + width / 2
    corners = [
        np.stack([u, np.full(len(u), w), np.full(len(u), z)], 1)
        for u, w in ((s[:-1], a), (s[1:], a), (s[1:], b), (s[:-1], b))
    ]
    return quads(np.stack(corners, 1), material)


def markings(street: Street, materials: Grounds, rng: np.random.Generator) -> Mesh:
    """Centre, lane and edge lines, zebra crossings and stop lines."""
    parts = []
    paint, half = materials.paint, street.lanes * street.lane
    blocked = [(j.at - j.half - 1, j.at + j.half + 1) for j in street.junctions] + [
        (c - 2.5, c + 2.5) for c in street.crossings
    ]

    def free(a, b):
        return all(b < lo or a > hi for lo, hi in blocked)

    dashes = rng.choice([1.0, 3.0])
    plain = street.kind == "residential" and rng.random() < 0.6
    offsets = [] if plain else [0.0] + [e * street.lane for e in (-1, 1) if street.lanes > 1]
    for offset in offsets:
        solid = offset == 0 and rng.random() < 0.25
        for a in np.arange(-80, 80, 2 * dashes if not solid else 4.0):
            b = a + (dashes if not solid else 4.0)
            if free(a, b):
                parts.append(_strip(a, b, offset, 0.12, paint))
    if street.cycle or (not plain and rng.random() < 0.5):
        for e in (-1, 1):
            for a in np.arange(-80, 80, 4.0):
                if free(a, a + 4):
                    parts.append(_strip(a, a + (4 if street.cycle else 2), e * (half - 0.1), 0.12, paint))
    bar = rng.uniform(0.4, 0.55)
    for c in street.crossings:
        long = rng.uniform(1.4, 2.2)
        for d in np.arange(-street.kerb(-1) + 0.4, street.kerb(1) - 0.3, 2 * bar):
            parts.append(_strip(c - long, c + long, d + bar / 2, bar, paint))
        if rng.random() < 0.4 and not plain:
            a, lanes_d = c - 3.3, np.linspace(-half, 0, 8)
            parts += [_strip(a - 0.4, a, (u + v) / 2, v - u, paint) for u, v in itertools.pairwise(lanes_d)]
    return join(parts)


# -------------------------------------------------------------------------------------------- dressing


class Dresser:
    """Puts buildings, plants and furniture along a street."""

    def __init__(
        self, rng: np.random.Generator, street: Street, palette: Palette, site: Site, path: tuple[float, float]
    ) -> None:
        self.rng, self.street, self.palette, self.site, self.path = rng, street, palette, site, path
        self.plants = scenery.season(rng, palette)
        height = rng.uniform(7, 15)
        # Trees in three grades of detail: foliage is 1 to 4 pixels fine at any distance.
        self.trees = []
        for budget, leaf in ((4200, 0.15), (1100, 0.27), (330, 0.5)):
            kinds = [
                scenery.tree(rng, self.plants, height * rng.uniform(0.7, 1.3), budget=budget, leaf=leaf)
                for _ in range(3)
            ]
            tall = rng.uniform(8, 17)
            kinds.append(scenery.tree(rng, self.plants, tall, conifer=True, budget=budget, leaf=leaf))
            self.trees.append(kinds)
        self.bushes = [scenery.bush(rng, self.plants, rng.uniform(1, 2.5), rng.uniform(0.8, 1.8)) for _ in range(3)]
        self.conifers = rng.choice([0.05, 0.4])
        self.tall = rng.uniform(7, 21)  # typical height of the terraces
        self.lamp = scenery.lamp_post(rng, palette)
        self.seats: list[tuple[float, float, float]] = []  # s, d, heading of places to sit
        self.stops: list[tuple[float, float, int]] = []  # s, d, side where people wait
        self.lots: list[tuple[float, float, float]] = []  # s, d, heading of parking places off the street

    def tree(self, s: float, d: float, grow: float = 1.0) -> None:
        """A tree at (s, d), `grow` times as tall as usual here; none where it would stand in the sensor's face."""
        rng = self.rng
        distance = np.hypot(s - np.clip(s, *self.path), d - self.street.own_lane)
        if distance < 5.0:
            return
        kinds = self.trees[0 if distance < 15 else 1 if distance < 42 else 2]
        mesh = kinds[3 if rng.random() < self.conifers else rng.integers(3)]
        size = grow * rng.uniform(0.75, 1.25)
        self.site.stand(mesh, s, d, rng.uniform(0, 6.3), scale=(size, size, size * rng.uniform(0.9, 1.15)))

    def bush(self, s: float, d: float) -> None:
        self.site.stand(
            self.bushes[self.rng.integers(3)], s, d, self.rng.uniform(0, 6.3), scale=self.rng.uniform(0.6, 1.3)
        )

    def along(self, mesh: Mesh, s: float, d: float) -> None:
        """Drape a mesh that runs along x from 0."""
        self.site.drape(moved(mesh, s, d, KERB))

    def facing(self, mesh: Mesh, s0: float, s1: float, side: int, d: float) -> None:
        """Stand a building (front along x, facing -y) on the given side so that it faces the street."""
        if side > 0:
            self.site.stand(mesh, s0, d)
        else:
            self.site.stand(mesh, s1, -d, np.pi)

    # ---- blocks

    def block(self, start: float, stop: float, kind: str, setback: float, side: int) -> None:
        getattr(self, f"_{kind}")(start, stop, setback, side, self.street.front(side))

    def _within(self, start: float, stop: float) -> float:
        """Somewhere in a stretch, near the middle of the street where that is possible."""
        low, high = np.clip((-20, 30), start, stop)
        return float(self.rng.uniform(low, high))

    def _terrace(self, start, stop, setback, side, front) -> None:
        rng = self.rng
        s = start + rng.uniform(0, 1.5)
        while stop - s > 7:
            length = stop - s if stop - s < 16 else rng.uniform(9, min(30, stop - s))
            height = float(np.clip(self.tall * rng.uniform(0.6, 1.4), 4, 25))
            mesh = scenery.building(
                rng, self.palette, length, rng.uniform(9, 14), height, gabled=rng.random() < 0.5
            )
            self.facing(mesh, s, s + length, side, front + setback)
            s += length + (rng.uniform(3, 10) if rng.random() < 0.2 else 0.0)
        if setback > 2.5:
            self._edge(start, stop, side, front + 0.3)
            for at in np.arange(start + 3, stop - 3, 9):
                if rng.random() < 0.6:
                    self.bush(at, side * (front + rng.uniform(1, setback - 0.7)))

    def _edge(self, start, stop, side, d) -> None:
        """What bounds a garden: hedge, fence, wall or nothing, with gaps for drives."""
        rng = self.rng
        kind = rng.choice(["hedge", "fence", "wall", "none"])
        s = start + 1
        while stop - s > 4:
            length = min(stop - s, rng.uniform(6, 16))
            far = abs(s) > 45
            if kind == "hedge":
                n = 0.35 if far else 1.0
                self.along(
                    scenery.hedge(rng, self.plants, length - 3, rng.uniform(0.9, 1.9) * (n if far else 1)),
                    s,
                    side * (d + 0.4),
                )
            elif kind == "fence":
                self.along(scenery.fence(self.palette, rng, length - 3), s, side * d)
            elif kind == "wall":
                self.along(scenery.wall(self.palette, rng, length - 3, rng.uniform(0.5, 1.8)), s, side * d)
            s += length

    def _houses(self, start, stop, setback, side, front) -> None:
        rng = self.rng
        s = start + rng.uniform(1, 4)
        while stop - s > 10:
            length = rng.uniform(8, 13)
            mesh = scenery.building(
                rng, self.palette, length, rng.uniform(7, 10), rng.uniform(3, 6.5), gabled=True, houses=True
            )
            self.facing(mesh, s, s + length, side, front + setback * rng.uniform(0.8, 1.3))
            drive = s + length + 1.8
            self.lots.append((drive, side * (front + setback + 1), -side * np.pi / 2))
            if rng.random() < 0.7:
                self.tree(
                    s + rng.uniform(0, length),
                    side * (front + rng.uniform(1.2, max(1.5, setback - 1))),
                )
            self.bush(s + rng.uniform(0, length), side * (front + rng.uniform(0.8, setback)))
            self.tree(s + rng.uniform(0, length), side * (front + setback + 18))
            s += length + rng.uniform(4, 9)
        self._edge(start, stop, side, front + 0.2)
        for at in np.arange(start, stop, 8):
            self.tree(at, side * (front + rng.uniform(30, 55)))

    def _park(self, start, stop, setback, side, front) -> None:
        rng = self.rng
        for _ in range(int((stop - start) * rng.uniform(0.18, 0.42))):
            self.tree(rng.uniform(start, stop), side * (front + rng.uniform(2, setback)))
        for _ in range(int((stop - start) * 0.12)):
            self.bush(rng.uniform(start, stop), side * (front + rng.uniform(2, 0.6 * setback)))
        for at in np.arange(start, stop, 5.5):
            self.tree(at + rng.uniform(-2, 2), side * (front + setback + rng.uniform(0, 15)))
        for _ in range(3):
            s, d = rng.uniform(start, stop), front + rng.uniform(1.0, 8)
            self.site.stand(scenery.bench(rng, self.palette), s, side * d, 0 if side > 0 else np.pi)
            self.seats.append((s, side * d, -side * np.pi / 2))
        if rng.random() < 0.4:
            self._edge(start, stop, side, front + 0.2)
        if rng.random() < 0.3:
            self.site.stand(
                scenery.column(rng, self.palette), self._within(start, stop), side * (front + rng.uniform(4, 12))
            )
        if rng.random() < 0.3:
            self.site.stand(scenery.playground(rng, self.palette), rng.uniform(start, stop), side * (front + 10))

    def _square(self, start, stop, setback, side, front) -> None:
        rng = self.rng
        self._terrace(start, stop, setback, side, front + rng.uniform(0, 0.1))
        for _ in range(int((stop - start) * 0.05) + 1):
            self.tree(rng.uniform(start, stop), side * (front + rng.uniform(3, setback - 3)))
        kinds = (
            lambda: scenery.planter(rng, self.palette, self.plants),
            lambda: scenery.bench(rng, self.palette),
            lambda: scenery.cabinet(rng, self.palette),
            lambda: scenery.litter_bin(rng, self.palette),
        )
        for _ in range(int((stop - start) * 0.15)):
            s, d, which = rng.uniform(start, stop), front + rng.uniform(1, setback - 2), rng.integers(len(kinds))
            self.site.stand(kinds[which](), s, side * d, 0 if side > 0 else np.pi)
            if which == 1:
                self.seats.append((s, side * d, -side * np.pi / 2))
        if rng.random() < 0.5:
            self.site.stand(
                scenery.column(rng, self.palette), self._within(start, stop), side * (front + 0.5 * setback)
            )
        self.rack(self._within(start, stop), side * (front + rng.uniform(1.5, 6)))

    def _lot(self, start, stop, setback, side, front) -> None:
        rng = self.rng
        self._terrace(start, stop, setback, side, front)
        for s in np.arange(start + 2, stop - 2, 2.7):
            for d in (front + 4.5, front + 14.5)[: 1 if setback < 20 else 2]:
                self.lots.append((float(s), side * d, float(rng.choice([-1, 1]) * np.pi / 2)))
        if rng.random() < 0.6:
            self._edge(start, stop, side, front + 0.3)

    def _lawn(self, start, stop, setback, side, front) -> None:
        rng = self.rng
        self._terrace(start, stop, setback + 2.5, side, front)
        spacing = rng.uniform(5, 10)
        for s in np.arange(start + 2, stop, spacing):
            self.tree(s, side * (front + rng.uniform(2, 5)))
        for _ in range(int((stop - start) * 0.06)):
            self.bush(rng.uniform(start, stop), side * (front + rng.uniform(1, 0.7 * setback)))
        if self.street.kind == "arterial" and rng.random() < 0.4:
            self.along(scenery.guard_rail(self.palette, min(stop - start, 60)), start, side * (front + 0.2))

    # ---- furniture

    def rack(self, s: float, d: float) -> None:
        self.site.stand(
            scenery.bicycle_rack(self.rng, self.palette, int(self.rng.integers(4, 10))),
            s,
            d,
            self.rng.choice([0, np.pi / 2]),
        )

    def furniture(self) -> None:
        """Lamps, signs, lights, verge trees, bollards, a shelter, racks, along the kerbs."""
        rng, street, site = self.rng, self.street, self.site
        for side in (1, -1):
            kerb, verge = street.kerb(side), street.verge[side < 0]
            lamps = rng.uniform(18, 32)
            at_kerb = rng.random() < 0.5
            for s in np.arange(-80 + rng.uniform(0, lamps), 80, lamps):
                if not street.on_road(s, side * (kerb + 0.5)):
                    d = kerb + 0.45 if at_kerb else street.front(side) - 0.3
                    site.stand(self.lamp, s, side * d, np.pi if side > 0 else 0.0)
            if verge > 1.1 or (rng.random() < 0.25 and street.pavement[side < 0] > 2.8):
                spacing = rng.uniform(7, 13)
                for s in np.arange(-60 + rng.uniform(0, spacing), 70, spacing):
                    if self._clear(s, 3.5) and not street.on_road(s, side * (kerb + 0.7)):
                        self.tree(s, side * (kerb + max(0.7, verge / 2)))
            for _ in range(int(rng.integers(2, 7))):
                s = rng.uniform(-35, 45)
                if not street.on_road(s, side * (kerb + 0.4)):
                    heading = (0.0 if side < 0 else np.pi) + rng.normal(0, 0.15)
                    site.stand(scenery.sign_post(rng, self.palette), s, side * (kerb + 0.4), heading)
            if rng.random() < 0.3:
                post = scenery.bollard(rng, self.palette)
                for s in np.arange(-20, 25, rng.uniform(1.8, 4)):
                    if not street.on_road(s, side * (kerb + 0.3)) and self._clear(s, 2.0):
                        site.stand(post, s, side * (kerb + 0.35))
            for _ in range(int(rng.integers(0, 4))):
                s = rng.uniform(-20, 30)
                if not street.on_road(s, side * (street.front(side) - 0.4)):
                    make = (scenery.cabinet, scenery.litter_bin)[rng.integers(2)]
                    site.stand(make(rng, self.palette), s, side * (street.front(side) - 0.35))
            if rng.random() < 0.35 and street.pavement[side < 0] > 2.2:
                self._planters(side)
            if rng.random() < 0.4:
                self._stop(side)
            if rng.random() < 0.3:
                self.rack(rng.uniform(-18, 25), side * (street.front(side) + 0.2))
        if street.junctions and street.crossings and rng.random() < 0.6:
            for side in (1, -1):
                heading = 0.0 if side < 0 else np.pi
                site.stand(
                    scenery.traffic_light(rng, self.palette),
                    street.crossings[0] + side * -2.6,
                    side * (street.kerb(side) + 0.5),
                    heading,
                )

    def _clear(self, s: float, margin: float) -> bool:
        return all(abs(s - c) > margin for c in self.street.crossings)

    def _planters(self, side: int) -> None:
        rng, street = self.rng, self.street
        start, gap = rng.uniform(-20, 10), rng.uniform(2.5, 5)
        mesh = scenery.planter(rng, self.palette, self.plants)
        for k in range(int(rng.integers(2, 6))):
            s = start + k * gap
            if not street.on_road(s, side * (street.kerb(side) + 1)) and self._clear(s, 3):
                self.site.stand(mesh, s, side * (street.kerb(side) + 0.9))

    def _stop(self, side: int) -> None:
        """A bus shelter at the back of the pavement."""
        rng, street = self.rng, self.street
        s = rng.uniform(-18, 22)
        if street.on_road(s, side * (street.kerb(side) + 1)) or not self._clear(s, 8):
            return
        d = street.front(side) - 1.4 if street.pavement[side < 0] > 3 else street.front(side) + 0.2
        mesh = scenery.shelter(rng, self.palette)
        if side > 0:
            self.site.stand(mesh, s, d)
            self.seats.append((s + 1.5, d + 1.2, -np.pi / 2))
        else:
            self.site.stand(mesh, s + 4, -d, np.pi)
            self.seats.append((s + 2.5, -d - 1.2, np.pi / 2))
        self.stops.append((s + 2, side * (d - 0.9), side))

    def backdrop(self) -> None:
        """What closes the view: tree lines and houses far off, also at the street's ends."""
        rng = self.rng
        for end in (-1, 1):
            wooded = rng.random() < 0.5
            for d in np.arange(-40, 41, 6.5):
                if wooded or rng.random() < 0.5:
                    self.tree(end * rng.uniform(95, 122), d + rng.uniform(-2, 2), 1.4)
            if not wooded:
                mesh = scenery.building(
                    rng, self.palette, rng.uniform(15, 30), 10, rng.uniform(5, 15), gabled=True, ends=False
                )
                self.site.stand(mesh, end * 118, -end * -12, -end * np.pi / 2)
        for side in (1, -1):
            for s in np.arange(-110, 111, 8):
                self.tree(s + rng.uniform(-3, 3), side * rng.uniform(60, 90), 1.5)
            for _ in range(4):
                length = rng.uniform(10, 25)
                mesh = scenery.building(
                    rng, self.palette, length, 10, rng.uniform(5, 18), gabled=rng.random() < 0.7, ends=False
                )
                s = rng.uniform(-95, 70)
                self.facing(mesh, s, s + length, side, rng.uniform(58, 72))


def dress(
    rng: np.random.Generator, street: Street, palette: Palette, path: tuple[float, float]
) -> tuple[Mesh, Dresser]:
    """All that stands still, in world coordinates, and the dresser, who knows where one sits, waits and parks.

    path: from where to where (s) the sensor drives.
    """
    site = Site(street)
    materials = Grounds.random(rng, palette)
    site.drape(ground(street, materials, rng))
    site.drape(markings(street, materials, rng))
    dresser = Dresser(rng, street, palette, site, path)
    for side in (1, -1):
        for block in street.blocks[side]:
            dresser.block(*block, side)
    for j in street.junctions:
        for side in (1, -1):
            if not j.arms[side < 0]:
                continue  # a side street ends in trees
            for d in np.arange(45, 90, 8):
                dresser.tree(j.at + rng.choice([-1, 1]) * (j.half + rng.uniform(2, 5)), side * d)
    dresser.furniture()
    dresser.backdrop()
    return join(site.parts), dresser


# ----------------------------------------------------------------------------------------------- world


def make_world(clip: int, split: str = "train", seed: int = 0, frames: int = 100) -> World:
    """The scene of one clip: a random street and its traffic, the same for the same (clip, split, seed).

    split: "train" or "val"; with `clip` it chooses the cast (`traffic.CASTS`), so that a whole set has its due share of
    each class.
    """
    rng = np.random.default_rng([seed, clip, {"train": 0, "val": 1}[split]])
    cast = traffic.CASTS[split][clip % len(traffic.CASTS[split])]
    palette = Palette()
    street = make_street(rng, cast.street)
    own = traffic.drive(rng, cast, frames)
    static, dresser = dress(rng, street, palette, (own.min(), own.max()))
    path, users = traffic.populate(rng, street, dresser, palette, cast, own)
    elevation, azimuth = np.radians(rng.uniform(12, 55)), rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    clouds = float(rng.choice([rng.uniform(0, 0.3), rng.uniform(0.3, 0.8), 1.0], p=[0.4, 0.4, 0.2]))
    return World(
        palette.materials,
        static,
        users,
        path,
        sun,
        sunlight=float(rng.uniform(0.7, 1.2) * (1 - 0.85 * (clouds == 1.0))),
        skylight=float(rng.uniform(0.25, 0.6)),
        clouds=clouds,
        cloud_seed=int(rng.integers(1 << 30)),
        noise=sensor.random_noise(rng),
    )
