"""A street: its layout.

Everything is laid out in street coordinates, as if the street were straight and level: s metres along it, d metres to
the left of its middle line. `Street.place` then bends and tilts that onto the world. Its ground is made in `ground.py`,
what stands along it in `dressing.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .road_users import Motion

KERB = 0.12  # metres
END = 200.0  # the street reaches this far either way
FAR_JUNCTION = (52.0, 75.0)  # metres along the street, either way
BUILT = 104.0  # and blocks stand along it this far


@dataclass(frozen=True)
class Junction:
    """A side street at `at`, `half` metres wide either side of its middle, leaving to the left and/or the right."""

    at: float
    half: float
    arms: tuple[bool, bool]  # left, right

    def leaves(self, side: int) -> bool:
        """Whether it leaves to the given side: +1 left, -1 right."""
        return self.arms[side < 0]


class Block(NamedTuple):
    """A stretch of one side of the street, beyond the pavement; buildings stand `setback` metres back from that."""

    start: float
    stop: float
    kind: str
    setback: float


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
    bank: tuple[float, float]  # rise per metre beyond the kerb: on a slope people beside the road stand higher
    blocks: dict[int, list[Block]] = field(default_factory=dict)  # by side

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
        beyond = [np.logaddexp(0, (side * d - self.kerb(side)) / 3) * 3 * self.bank[side < 0] for side in (1, -1)]
        return along + np.minimum(beyond[0] + beyond[1], 9.0)

    def on_road(self, s, d) -> np.ndarray:
        """Whether points lie between the kerbs, of this street or of a side street."""
        s, d = np.asarray(s, float), np.asarray(d, float)
        road = (d < self.kerb(1)) & (d > -self.kerb(-1))
        for junction in self.junctions:
            sides = ((d > 0) & junction.arms[0]) | ((d < 0) & junction.arms[1])
            road |= (np.abs(s - junction.at) < junction.half) & sides
        return road

    def is_open(self, s: float, margin: float) -> bool:
        """Whether s is `margin` metres clear of all crossings and side streets."""
        return all(abs(s - c) > margin for c in self.crossings) and all(
            abs(s - j.at) > j.half + margin for j in self.junctions
        )

    def place(self, s, d) -> tuple[np.ndarray, np.ndarray]:
        """World x and y of street coordinates."""
        s, d = np.asarray(s, float), np.asarray(d, float)
        if abs(self.bend) < 1e-6:
            return s, d
        angle = self.bend * s
        return np.sin(angle) / self.bend - d * np.sin(angle), (1 - np.cos(angle)) / self.bend + d * np.cos(angle)

    def motion(self, s, d, heading, lift: float = 0.0) -> Motion:
        """The motion of what is at (s, d) [T], heading relative to the street, at times 0, 0.1, ...

        lift: metres above the pavement (on steps).
        """
        s, d, heading = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, float)) for v in (s, d, heading)))
        x, y = self.place(s, d)
        z = self.height(s, d) + np.where(self.on_road(s, d), 0.0, KERB) + lift
        ahead = self.height(s + np.cos(heading), d + np.sin(heading)) - self.height(s, d)
        travel = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(s), np.diff(d)))])
        return Motion(np.stack([x, y, z, heading + self.bend * s, ahead], 1), travel)


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


_SETBACKS = {"houses": (3, 9), "park": (30, 55), "square": (16, 40), "lot": (18, 28), "lawn": (8, 30)}  # metres
# How likely a side of the street has a parking strip.
_PARKING = {"street": 0.6, "residential": 0.65, "park": 0.3, "square": 0.3, "arterial": 0.12, "campus": 0.4}


def make_street(rng: np.random.Generator, kind: str) -> Street:
    """A random street of the given kind, the sensor to stand or start near s = 0."""
    parking, verge = 1 - _PARKING[kind], 0.7 if kind == "street" else 0.5  # the chances of none
    pavement = (1.4, 2.4) if kind == "residential" else (2.0, 5.0)
    junctions = _junctions(rng)
    hilly = rng.choice([0.3, 1.0])
    street = Street(
        kind,
        lanes=2 if kind == "arterial" else 1,
        lane=rng.uniform(2.8, 3.5),
        cycle=_perhaps(rng, 0.65, 1.3, 1.9),
        parking=(_perhaps(rng, parking, 2.0, 2.3), _perhaps(rng, parking, 2.0, 2.3)),
        verge=(_perhaps(rng, verge, 1.2, 3.5), _perhaps(rng, verge, 1.2, 3.5)),
        pavement=(float(rng.uniform(*pavement)), float(rng.uniform(*pavement))),
        junctions=junctions,
        crossings=_crossings(rng, junctions),
        bend=_perhaps(rng, 0.1, -1 / 110, 1 / 110),
        grade=rng.normal(0, 0.012),
        sag=hilly * rng.normal(0.0004, 0.0006),
        bank=tuple(np.clip(hilly * rng.normal(0.035, 0.1, 2), -0.06, 0.18)),
    )
    for side in (1, -1):
        street.blocks[side] = _blocks(rng, street, side)
    return street


def _perhaps(rng: np.random.Generator, none: float, low: float, high: float) -> float:
    """0 with the chance `none`, else a number between low and high."""
    return 0.0 if rng.random() < none else float(rng.uniform(low, high))


def _junctions(rng: np.random.Generator) -> tuple[Junction, ...]:
    """None, a T to either side or a full crossroads ahead of the sensor; perhaps one behind it, and one far off, where
    cars are seen from the side."""
    junctions = []
    left, right = [(False, False), (True, False), (False, True), (True, True)][rng.choice(4, p=[0.3, 0.23, 0.22, 0.25])]
    if left or right:
        junctions.append(Junction(rng.uniform(12, 26), rng.uniform(2.8, 4.8), (left, right)))
    if rng.random() < 0.35:
        arms = tuple(bool(arm) for arm in rng.random(2) < 0.6)
        junctions.append(Junction(-rng.uniform(20, 45), rng.uniform(2.8, 4.2), arms))
    if rng.random() < 0.5:
        arms = (True, True) if rng.random() < 0.5 else tuple(bool(arm) for arm in rng.permutation([True, False]))
        junctions.append(Junction(rng.choice([-1, 1]) * rng.uniform(*FAR_JUNCTION), rng.uniform(2.8, 4.2), arms))
    return tuple(junctions)


def _crossings(rng: np.random.Generator, junctions: tuple[Junction, ...]) -> tuple[float, ...]:
    """Before (and perhaps behind) the junction ahead, or where there is none somewhere ahead; perhaps one behind."""
    crossings = []
    ahead = [junction for junction in junctions if 0 < junction.at < FAR_JUNCTION[0]]
    if ahead:
        crossings.append(ahead[0].at - ahead[0].half - rng.uniform(2.5, 4.0))
        if rng.random() < 0.5:
            crossings.append(ahead[0].at + ahead[0].half + rng.uniform(2.5, 4.0))
    elif rng.random() < 0.85:
        crossings.append(rng.uniform(7, 22))
    if rng.random() < 0.4:
        crossings.append(-rng.uniform(8, 18))
    return tuple(crossings)


def _blocks(rng: np.random.Generator, street: Street, side: int) -> list[Block]:
    """Stretches between side streets, each with its kind and setback."""
    edges = [-BUILT]
    for junction in sorted(street.junctions, key=lambda junction: junction.at):
        if junction.leaves(side):
            half = junction.half + street.pavement[side < 0]
            edges += [junction.at - half, junction.at + half]
    edges.append(BUILT)
    kinds = _BLOCKS[street.kind]
    blocks = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        while end - start > 6:
            whole = end - start < 60 or rng.random() < 0.4
            stop = end if whole else start + rng.uniform(25, end - start - 20)
            kind = str(rng.choice(list(kinds), p=list(kinds.values())))
            setback = _perhaps(rng, 0.5, 1, 6) if kind == "terrace" else float(rng.uniform(*_SETBACKS[kind]))
            blocks.append(Block(start, stop, kind, setback))
            start = stop
    return blocks
