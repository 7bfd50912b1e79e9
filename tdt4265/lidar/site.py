"""Setting things at places of a street: `Site` bends meshes into the world, `Placer` knows trees, benches, houses."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from . import buildings, furniture, plants
from .scene import Mesh
from .shapes import Palette, join, moved
from .street import KERB, Block, Street
from .two_wheelers import make_bicycle

# Trees in three grades of detail, each up to so many metres from the sensor's path: number of leaves, their size in
# metres. A leaf is 1 to 4 pixels at any distance.
TREE_GRADES = {15.0: (1900, 0.2), 42.0: (1400, 0.28), np.inf: (320, 0.58)}
CLEARANCE = 5.0  # metres around the sensor's path without trees


def facing_street(side: int) -> float:
    """Heading by which what has its front towards -y turns it to the street from the given side."""
    return 0.0 if side > 0 else np.pi


class Site:
    """Collects meshes in street coordinates and bends them into the world."""

    def __init__(self, street: Street) -> None:
        self.street = street
        self.parts: list[Mesh] = []
        self.kinds: list[str | None] = []  # of clutter, for each of the parts

    def drape(self, mesh: Mesh, kind: str | None = None) -> None:
        """Add what follows the ground vertex by vertex: the ground itself, markings, walls, fences."""
        self._bend(mesh, self.street.height(mesh.vertices[:, 0], mesh.vertices[:, 1]), kind)

    def build(self, mesh: Mesh, s: float, d: float, heading: float, kind: str | None = None) -> None:
        """Add what stands level at (s, d) but bends with the street: rows of houses."""
        self._bend(moved(mesh, s, d, KERB, heading), self.street.height(s, d), kind)

    def stand(self, mesh: Mesh, s: float, d: float, heading: float = 0.0, scale=1.0, kind: str | None = None) -> None:
        """Add what stands upright at (s, d) and is too small for the street's bend to show: trees, poles."""
        x, y = self.street.place(s, d)
        z = self.street.height(s, d) + np.where(self.street.on_road(s, d), 0.0, KERB)
        self._add(moved(mesh, x, y, z, heading + self.street.bend * s, scale), kind)

    def mesh(self) -> Mesh:
        """All that was added."""
        return join(self.parts)

    def clutter(self) -> tuple[list[str], np.ndarray]:
        """The kind of each thing that is clutter, and the thing that each face of `mesh()` belongs to (-1: none)."""
        is_thing = np.array([kind is not None for kind in self.kinds])
        thing = np.where(is_thing, np.cumsum(is_thing) - 1, -1).astype(np.int32)
        of_face = np.repeat(thing, [len(part.faces) for part in self.parts])
        return [kind for kind in self.kinds if kind is not None], of_face

    def _add(self, mesh: Mesh, kind: str | None) -> None:
        self.parts.append(mesh)
        self.kinds.append(kind)

    def _bend(self, mesh: Mesh, lift: np.ndarray, kind: str | None) -> None:
        x, y = self.street.place(mesh.vertices[:, 0], mesh.vertices[:, 1])
        vertices = np.stack([x, y, mesh.vertices[:, 2] + lift], 1).astype(np.float32)
        self._add(Mesh(vertices, mesh.faces, mesh.materials), kind)


class Platform(NamedTuple):
    """A raised place from `start` along the street, its near edge `near` metres from the middle line."""

    start: float
    length: float
    side: int
    near: float
    depth: float
    height: float


class Placer:
    """Sets single things at places of a street, and notes which of them people and cars may use.

    seats: s, d, heading of places to sit; stops: s, d, side where people wait; lots: s, d, heading of parking places
    off the street; parked: side, s of kerbside parking places that are taken; platforms: raised places where people
    stand.
    """

    def __init__(
        self, rng: np.random.Generator, street: Street, palette: Palette, site: Site, path: tuple[float, float]
    ) -> None:
        self.rng, self.street, self.palette, self.site, self.path = rng, street, palette, site, path
        self.season = plants.season(rng, palette)
        self.trees = self._grow_trees()
        self.bushes = [plants.bush(rng, self.season, rng.uniform(1, 2.5), rng.uniform(0.8, 1.8)) for _ in range(3)]
        self.conifers = rng.choice([0.05, 0.4])
        self.tall = rng.uniform(7, 21)  # typical height of the terraces
        self.lamp = furniture.lamp_post(rng, palette)
        self.seats: list[tuple[float, float, float]] = []
        self.stops: list[tuple[float, float, int]] = []
        self.lots: list[tuple[float, float, float]] = []
        self.parked: list[tuple[int, float]] = []
        self.platforms: list[Platform] = []

    def _grow_trees(self) -> list[list[Mesh]]:
        """For each grade of detail three broadleaf trees and a conifer, to stand again and again, turned and scaled."""
        rng, grown = self.rng, []
        height = rng.uniform(7, 15)
        for budget, leaf in TREE_GRADES.values():
            kinds = [
                plants.tree(rng, self.season, height * rng.uniform(0.7, 1.3), budget=budget, leaf=leaf)
                for _ in range(3)
            ]
            kinds.append(plants.tree(rng, self.season, rng.uniform(8, 17), conifer=True, budget=budget, leaf=leaf))
            grown.append(kinds)
        return grown

    @cached_property
    def bicycles(self) -> list[Mesh]:
        """Those that stand in racks."""
        return [make_bicycle(self.rng, self.palette) for _ in range(3)]

    # ---- what is set again and again

    def tree(self, s: float, d: float, grow: float = 1.0) -> None:
        """A tree at (s, d), `grow` times as tall as usual here; none where it would stand in the sensor's face."""
        rng = self.rng
        distance = np.hypot(s - min(max(s, self.path[0]), self.path[1]), d - self.street.own_lane)
        if distance < CLEARANCE:
            return
        grade = next(k for k, reach in enumerate(TREE_GRADES) if distance < reach)
        mesh = self.trees[grade][3 if rng.random() < self.conifers else rng.integers(3)]
        size = grow * rng.uniform(0.75, 1.25)
        self.site.stand(mesh, s, d, rng.uniform(0, 6.3), scale=(size, size, size * rng.uniform(0.9, 1.15)))

    def bush(self, s: float, d: float) -> None:
        rng = self.rng
        self.site.stand(self.bushes[rng.integers(3)], s, d, rng.uniform(0, 6.3), scale=rng.uniform(0.6, 1.3))

    def thing(self, kind: str, mesh: Mesh, s: float, d: float, heading: float = 0.0) -> None:
        """Something that is never labelled but that a detector may mistake for a road user."""
        self.site.stand(mesh, s, d, heading, kind=kind)

    def bench(self, s: float, d: float, side: int) -> None:
        self.thing("bench", furniture.bench(self.rng, self.palette), s, d, facing_street(side))
        self.seats.append((s, d, -side * np.pi / 2))

    def rack(self, s: float, d: float) -> None:
        rng = self.rng
        rack = furniture.bicycle_rack(rng, self.palette, int(rng.integers(4, 12)), self.bicycles)
        self.thing("bicycle rack", rack, s, d, rng.choice([0, np.pi / 2], p=[0.7, 0.3]))

    def platform(self, s: float, d: float, side: int, length: float, depth: float, height: float) -> None:
        """Steps up from the street to a landing, whose near edge lies `d` from the middle line."""
        mesh = furniture.platform(self.rng, self.palette, length, depth, height)
        self.site.build(mesh, s if side > 0 else s + length, side * d, facing_street(side))
        self.platforms.append(Platform(s, length, side, d, depth, height))

    def along(self, kind: str | None, mesh: Mesh, s: float, d: float) -> None:
        """Drape a mesh that runs along x from 0; kind: of clutter, or None."""
        self.site.drape(moved(mesh, s, d, KERB), kind)

    def house(self, start: float, length: float, side: int, d: float, depth: float, height: float, **how: bool) -> None:
        """A building from `start` along the street, its front `d` metres from the middle line and facing it."""
        mesh, windows = buildings.building(self.rng, self.palette, length, depth, height, **how)
        for part, kind in ((mesh, None), *((window, "shop window") for window in windows)):
            self.site.build(part, start if side > 0 else start + length, side * d, facing_street(side), kind)

    def within(self, block: Block) -> float:
        """Somewhere in a block, near the middle of the street where that is possible."""
        return float(self.rng.uniform(*np.clip((-20, 30), block.start, block.stop)))

    def anywhere(self, block: Block) -> float:
        return float(self.rng.uniform(block.start, block.stop))

    def paved(self, s: float, d: float, crossing: float = 0.0) -> bool:
        """Whether (s, d) is off the roadway, and farther than `crossing` metres from each zebra crossing."""
        street = self.street
        return not street.on_road(s, d) and all(abs(s - c) > crossing for c in street.crossings)
