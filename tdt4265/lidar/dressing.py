"""Dressing a street: what stands along it and where."""

from __future__ import annotations

import itertools

import numpy as np

from . import buildings, furniture, plants
from .ground import SIDES, Grounds, ground, markings
from .shapes import Palette
from .site import Placer, Site, facing_street
from .street import Block, Street


class Dresser(Placer):
    """Fills a street's blocks, its kerbs and pavements, and closes the view."""

    # ---- blocks: each `front` metres from the middle line outwards, on a side (+1 left, -1 right)

    def block(self, block: Block, side: int) -> None:
        fill = {
            "terrace": self._terrace,
            "houses": self._houses,
            "park": self._park,
            "square": self._square,
            "lot": self._lot,
            "lawn": self._lawn,
        }[block.kind]
        fill(block, side, self.street.front(side))

    def _terrace(self, block: Block, side: int, front: float) -> None:
        """Buildings wall to wall, some gaps; bushes and a fence in front where they stand back."""
        rng = self.rng
        s = block.start + rng.uniform(0, 1.5)
        while block.stop - s > 7:
            rest = block.stop - s
            length = rest if rest < 16 else rng.uniform(9, min(30, rest))
            height = float(np.clip(self.tall * rng.uniform(0.6, 1.4), 4, 25))
            gabled = rng.random() < 0.5
            self.house(s, length, side, front + block.setback, rng.uniform(9, 14), height, gabled=gabled)
            s += length + (rng.uniform(3, 10) if rng.random() < 0.2 else 0.0)
        if block.setback > 3.2 and rng.random() < 0.4:
            self._platform(block, side, front + rng.uniform(0.9, block.setback - 2.2), block.setback)
        if block.setback > 2.5:
            self._edge(block, side, front + 0.3)
            for at in np.arange(block.start + 3, block.stop - 3, 9):
                if rng.random() < 0.6:
                    self.bush(at, side * (front + rng.uniform(1, block.setback - 0.7)))

    def _edge(self, block: Block, side: int, d: float) -> None:
        """What bounds a garden: hedge, fence, wall or nothing, with gaps for drives."""
        rng = self.rng
        kind = rng.choice(["hedge", "fence", "wall", "none"], p=[0.3, 0.27, 0.2, 0.23])
        s = block.start + 1
        while block.stop - s > 4:
            length = min(block.stop - s, rng.uniform(6, 16))
            if kind == "hedge":
                density = 35.0 if abs(s) > 40 else 120.0
                hedge = plants.hedge(rng, self.season, length - 3, rng.uniform(0.9, 1.9), density=density)
                self.along("hedge", hedge, s, side * (d + 0.4))
            elif kind == "fence":
                self.along("fence", furniture.fence(rng, self.palette, length - 3), s, side * d)
            elif kind == "wall":
                self.along(None, furniture.wall(rng, self.palette, length - 3, rng.uniform(0.5, 1.8)), s, side * d)
            s += length

    def _houses(self, block: Block, side: int, front: float) -> None:
        """Detached houses with drives and gardens."""
        rng, setback = self.rng, block.setback
        s = block.start + rng.uniform(1, 4)
        while block.stop - s > 10:
            length, d = rng.uniform(8, 13), front + setback * rng.uniform(0.8, 1.3)
            self.house(s, length, side, d, rng.uniform(7, 10), rng.uniform(3, 6.5), gabled=True, houses=True)
            self._parking_place(s + length + 1.8, side * (front + setback + 1), -side * np.pi / 2, trailer=0.3)
            if rng.random() < 0.6:
                bins = furniture.recycling(rng, self.palette)
                self.thing("bin", bins, s + length + 0.3, side * (front + 0.8), facing_street(side))
            if rng.random() < 0.7:
                self.tree(s + rng.uniform(0, length), side * (front + rng.uniform(1.2, max(1.5, setback - 1))))
            self.bush(s + rng.uniform(0, length), side * (front + rng.uniform(0.8, setback)))
            self.tree(s + rng.uniform(0, length), side * (front + setback + 18))
            s += length + rng.uniform(4, 9)
        self._edge(block, side, front + 0.2)
        for at in np.arange(block.start, block.stop, 8):
            self.tree(at, side * (front + rng.uniform(30, 55)))

    def _park(self, block: Block, side: int, front: float) -> None:
        """Trees, bushes, benches; behind them a line of trees."""
        rng, length = self.rng, block.stop - block.start
        for _ in range(int(length * rng.uniform(0.18, 0.42))):
            self.tree(self.anywhere(block), side * (front + rng.uniform(2, block.setback)))
        for _ in range(int(length * 0.12)):
            self.bush(self.anywhere(block), side * (front + rng.uniform(2, 0.6 * block.setback)))
        for at in np.arange(block.start, block.stop, 5.5):
            self.tree(at + rng.uniform(-2, 2), side * (front + block.setback + rng.uniform(0, 15)))
        for _ in range(int(rng.integers(2, 7))):
            self.bench(self.anywhere(block), side * (front + rng.uniform(1.0, 8)), side)
        if rng.random() < 0.5:
            self._edge(block, side, front + 0.2)
        if rng.random() < 0.3:
            at = self.within(block)
            self.site.stand(furniture.column(rng, self.palette), at, side * (front + rng.uniform(4, 12)))
        if rng.random() < 0.3:
            self.site.stand(furniture.playground(rng, self.palette), self.anywhere(block), side * (front + 10))

    def _square(self, block: Block, side: int, front: float) -> None:
        """A paved place before a terrace, with trees and furniture, perhaps a monument."""
        rng, length, setback = self.rng, block.stop - block.start, block.setback
        self._terrace(block, side, front)
        for _ in range(int(length * 0.05) + 1):
            self.tree(self.anywhere(block), side * (front + rng.uniform(3, setback - 3)))
        for _ in range(int(length * 0.25)):
            s, d = self.anywhere(block), side * (front + rng.uniform(1, setback - 2))
            kind = rng.integers(5)
            if kind < 2:
                self.bench(s, d, side)
            elif kind == 2:
                self.thing("planter", furniture.planter(rng, self.palette, self.season), s, d)
            else:
                self._box_of_the_street(s, d, side)
        for _ in range(int(rng.poisson(1.0))):
            self._cafe(self.within(block), side * (front + rng.uniform(2, min(8, setback - 3))), side)
        if rng.random() < 0.5:
            self._platform(block, side, front + rng.uniform(2, min(6, setback - 5)), setback)
        if rng.random() < 0.5:
            self.site.stand(furniture.column(rng, self.palette), self.within(block), side * (front + 0.5 * setback))
        for _ in range(int(rng.integers(1, 3))):
            self.rack(self.within(block), side * (front + rng.uniform(1.5, 6)))

    def _lot(self, block: Block, side: int, front: float) -> None:
        """A car park before a terrace."""
        self._terrace(block, side, front)
        rows = (front + 4.5,) if block.setback < 20 else (front + 4.5, front + 14.5)
        for s in np.arange(block.start + 2, block.stop - 2, 2.7):
            for d in rows:
                heading = float(self.rng.choice([-1, 1]) * np.pi / 2)
                self._parking_place(float(s), side * d, heading, trailer=0.05)
        if self.rng.random() < 0.6:
            self._edge(block, side, front + 0.3)

    def _lawn(self, block: Block, side: int, front: float) -> None:
        """Grass with a row of trees and bushes, before a terrace."""
        rng, length = self.rng, block.stop - block.start
        self._terrace(block._replace(setback=block.setback + 2.5), side, front)
        for s in np.arange(block.start + 2, block.stop, rng.uniform(5, 10)):
            self.tree(s, side * (front + rng.uniform(2, 5)))
        for _ in range(int(length * 0.06)):
            self.bush(self.anywhere(block), side * (front + rng.uniform(1, 0.7 * block.setback)))
        if self.street.kind == "arterial" and rng.random() < 0.4:
            rail = furniture.guard_rail(self.palette, min(length, 60))
            self.along("railing", rail, block.start, side * (front + 0.2))
        elif rng.random() < 0.35:
            self._edge(block, side, front + 0.3)
        if self.street.kind == "campus":
            for _ in range(int(rng.integers(1, 3))):
                self.rack(self.within(block), side * (front + rng.uniform(0.8, 5)))

    def _parking_place(self, s: float, d: float, heading: float, trailer: float) -> None:
        """For a car, or with the chance `trailer` taken by one."""
        if self.rng.random() < trailer:
            self.thing("trailer", furniture.trailer(self.rng, self.palette), s, d, heading)
        else:
            self.lots.append((s, d, heading))

    def _platform(self, block: Block, side: int, near: float, setback: float) -> None:
        """A landing with steps before a building or on a square, near the sensor where the block reaches so far."""
        rng = self.rng
        length, height = rng.uniform(4, 11), rng.uniform(0.32, 1.2)
        depth = min(rng.uniform(1.6, 4.0), self.street.front(side) + setback - near)
        start = np.clip(rng.normal(0, 7) - length / 2, block.start + 1, block.stop - length - 1)
        if start > block.start and depth > 1.2:
            self.platform(float(start), near + 0.32 * (height // 0.16), side, length, depth, height)

    def _cafe(self, s: float, d: float, side: int) -> None:
        rng = self.rng
        self.thing("cafe", furniture.cafe(rng, self.palette, int(rng.integers(2, 6))), s, d, facing_street(side))
        if rng.random() < 0.6:
            self.thing("sign board", furniture.sign_board(rng, self.palette), s + rng.uniform(-2, 2), d - side * 1.2)

    def _box_of_the_street(self, s: float, d: float, side: int) -> None:
        """A distribution box, a ticket machine, a litter bin."""
        kind, make = (("cabinet", furniture.cabinet), ("bin", furniture.litter_bin))[self.rng.integers(2)]
        self.thing(kind, make(self.rng, self.palette), s, d, facing_street(side))

    # ---- furniture

    def furniture(self) -> None:
        """Lamps, signs, lights, verge trees, bollards, a shelter, racks, along the kerbs."""
        rng, street = self.rng, self.street
        for side in SIDES:
            self._lamps(side)
            self._avenue(side)
            self._signs(side)
            if rng.random() < 0.3:
                self._bollards(side)
            self._cabinets(side)
            if rng.random() < 0.45 and street.pavement[side < 0] > 2.2:
                self._planters(side)
            if rng.random() < 0.4:
                self._stop(side)
            for _ in range(int(rng.poisson(0.5))):
                self.rack(rng.uniform(-30, 35), side * (street.front(side) + rng.choice([0.2, -0.8])))
            for _ in range(int(rng.poisson(1.0))):
                s = rng.uniform(-30, 35)
                if self.paved(s, side * (street.front(side) - 0.6)):
                    self.bench(s, side * (street.front(side) - 0.45), side)
            if rng.random() < 0.35:
                self._railing(side)
            if rng.random() < 0.3 and street.pavement[side < 0] > 2.6:
                self._cafe(rng.uniform(-20, 22), side * (street.front(side) - 0.9), side)
            if rng.random() < 0.35:
                self._kerb_trailer(side)
        if street.junctions and street.crossings and rng.random() < 0.6:
            self._traffic_lights(street.crossings[0])

    def _lamps(self, side: int) -> None:
        spacing, kerb = self.rng.uniform(18, 32), self.street.kerb(side)
        d = kerb + 0.45 if self.rng.random() < 0.5 else self.street.front(side) - 0.3
        for s in np.arange(-80 + self.rng.uniform(0, spacing), 80, spacing):
            if self.paved(s, side * (kerb + 0.5)):
                self.site.stand(self.lamp, s, side * d, np.pi if side > 0 else 0.0)

    def _avenue(self, side: int) -> None:
        """A row of trees on the verge, or on some broad pavements."""
        rng, kerb, verge = self.rng, self.street.kerb(side), self.street.verge[side < 0]
        if verge <= 1.1 and (rng.random() >= 0.25 or self.street.pavement[side < 0] <= 2.8):
            return
        spacing = rng.uniform(7, 13)
        for s in np.arange(-60 + rng.uniform(0, spacing), 70, spacing):
            if self.paved(s, side * (kerb + 0.7), crossing=3.5):
                self.tree(s, side * (kerb + max(0.7, verge / 2)))

    def _signs(self, side: int) -> None:
        """Signs that face the traffic on their side."""
        rng, d = self.rng, side * (self.street.kerb(side) + 0.4)
        for _ in range(int(rng.integers(2, 7))):
            s = rng.uniform(-35, 45)
            if self.paved(s, d):
                heading = (0.0 if side < 0 else np.pi) + rng.normal(0, 0.15)
                self.site.stand(furniture.sign_post(rng, self.palette), s, d, heading)

    def _bollards(self, side: int) -> None:
        kerb, post = self.street.kerb(side), furniture.bollard(self.rng, self.palette)
        for s in np.arange(-20, 25, self.rng.uniform(1.8, 4)):
            if self.paved(s, side * (kerb + 0.3), crossing=2.0):
                self.thing("bollard", post, s, side * (kerb + 0.35))

    def _cabinets(self, side: int) -> None:
        rng, front = self.rng, self.street.front(side)
        for _ in range(int(rng.integers(1, 7))):
            s = rng.uniform(-28, 35)
            if self.paved(s, side * (front - 0.4)):
                self._box_of_the_street(s, side * (front - 0.35), side)

    def _planters(self, side: int) -> None:
        rng, kerb = self.rng, self.street.kerb(side)
        start, gap = rng.uniform(-20, 10), rng.uniform(2.5, 5)
        mesh = furniture.planter(rng, self.palette, self.season)
        for s in start + gap * np.arange(rng.integers(2, 6)):
            if self.paved(s, side * (kerb + 1), crossing=3):
                self.thing("planter", mesh, s, side * (kerb + 0.9))

    def _railing(self, side: int) -> None:
        """Between pavement and road."""
        rng, kerb = self.rng, self.street.kerb(side)
        s, length = rng.uniform(-25, 18), rng.uniform(4, 14)
        if all(self.paved(at, side * (kerb + 0.3), crossing=2.2) for at in np.arange(s, s + length, 0.7)):
            self.along("railing", furniture.railing(rng, self.palette, length), s, side * (kerb + 0.3))

    def _kerb_trailer(self, side: int) -> None:
        """A trailer among the parked cars."""
        street, s = self.street, float(self.rng.uniform(-25, 28))
        parking = street.parking[side < 0]
        if parking and street.is_open(s, 5.0):
            mesh = furniture.trailer(self.rng, self.palette)
            self.thing("trailer", mesh, s, side * (street.kerb(side) - parking / 2), facing_street(side))
            self.parked.append((side, s))

    def _stop(self, side: int) -> None:
        """A bus shelter at the back of the pavement."""
        street, s = self.street, self.rng.uniform(-18, 22)
        if not self.paved(s, side * (street.kerb(side) + 1), crossing=8):
            return
        d = street.front(side) - 1.4 if street.pavement[side < 0] > 3 else street.front(side) + 0.2
        mesh = furniture.shelter(self.rng, self.palette)
        # A shelter runs along x from its origin: on the right it is turned round.
        self.site.stand(mesh, s if side > 0 else s + 4, side * d, facing_street(side))
        self.seats.append((s + (1.5 if side > 0 else 2.5), side * (d + 1.2), -side * np.pi / 2))
        self.stops.append((s + 2, side * (d - 0.9), side))

    def _traffic_lights(self, crossing: float) -> None:
        for side in SIDES:
            post = furniture.traffic_light(self.rng, self.palette)
            heading = 0.0 if side < 0 else np.pi
            self.site.stand(post, crossing - side * 2.6, side * (self.street.kerb(side) + 0.5), heading)

    # ---- what closes the view

    def backdrop(self) -> None:
        """Tree lines and houses far off, also at the street's and the side streets' ends."""
        for junction, side in itertools.product(self.street.junctions, SIDES):
            if junction.leaves(side):
                for d in np.arange(45, 90, 8):
                    beside = self.rng.choice([-1, 1]) * (junction.half + self.rng.uniform(2, 5))
                    self.tree(junction.at + beside, side * d)
        for end in (-1, 1):
            self._street_end(end)
        for side in SIDES:
            self._skyline(side)

    def _street_end(self, end: int) -> None:
        rng = self.rng
        wooded = rng.random() < 0.5
        for d in np.arange(-40, 41, 6.5):
            # Behind the road's end, or beside the road.
            nearest = 175 if abs(d) < self.street.front(1) + 3 else 130
            if wooded or rng.random() < 0.5:
                self.tree(end * rng.uniform(nearest, 197), d + rng.uniform(-2, 2), 1.4)
        if not wooded:
            length, height = rng.uniform(15, 30), rng.uniform(5, 15)
            mesh, _ = buildings.building(rng, self.palette, length, 10, height, gabled=True, far=True)
            self.site.build(mesh, end * 190, end * 12, -end * np.pi / 2)

    def _skyline(self, side: int) -> None:
        rng = self.rng
        for s in np.arange(-180, 181, 14):
            self.tree(s + rng.uniform(-3, 3), side * rng.uniform(60, 90), 1.5)
        for _ in range(5):
            start, length, d, height = (
                rng.uniform(-150, 130),
                rng.uniform(10, 25),
                rng.uniform(58, 72),
                rng.uniform(5, 18),
            )
            self.house(start, length, side, d, 10, height, gabled=rng.random() < 0.7, far=True)


def dress(
    rng: np.random.Generator, street: Street, palette: Palette, path: tuple[float, float]
) -> tuple[Site, Dresser]:
    """The site with all that stands still, and the dresser, who knows where one sits, waits and parks.

    path: from where to where (s) the sensor drives.
    """
    site = Site(street)
    materials = Grounds.random(rng, palette)
    site.drape(ground(street, materials, rng))
    site.drape(markings(street, materials, rng))
    dresser = Dresser(rng, street, palette, site, path)
    for side in SIDES:
        for block in street.blocks[side]:
            dresser.block(block, side)
    dresser.furniture()
    dresser.backdrop()
    return site, dresser
