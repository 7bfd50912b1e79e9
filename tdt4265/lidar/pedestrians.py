"""People on foot: single, in groups and in crowds, near and far, walking, waiting, sitting, crossing the street."""

from __future__ import annotations

import numpy as np

from . import road_users as ru
from .dressing import Dresser
from .people import make_body
from .scene import RoadUser
from .shapes import Palette
from .street import Street
from .traffic import Cast, Traffic

CLOSE = (2.2, 8.0)  # metres from the sensor: people there reach below the image's lower edge
ELBOW_ROOM = 0.62  # metres from one person of a crowd to the next


def populate(
    rng: np.random.Generator, street: Street, dresser: Dresser, palette: Palette, cast: Cast, own: np.ndarray
) -> tuple[np.ndarray, list[RoadUser]]:
    """The sensor's path [T, 4] and all road users of the clip; `own` is what `drive` gave."""
    scene = Population(rng, street, dresser, palette, cast, own)
    # A stream of chance for each part: what one draws does not change the others.
    parts = (scene.vehicles, scene.riders, scene.standing, scene.persons)
    for part, stream in zip(parts, rng.spawn(len(parts)), strict=True):
        scene.rng = stream
        part()
    return scene.path, scene.users


class Population(Traffic):
    """Traffic and people on foot."""

    def persons(self) -> None:
        rng = self.rng
        wanted = self.cast.persons * self.stretch
        self._gather()
        chances = {"walk": 0.47, "wait": 0.12, "stroll": 0.16, "sit": 0.03, "cross": 0.6, "close": 0.15, "steps": 0.1}
        kinds, p = list(chances), np.array(list(chances.values()))
        tries = 0
        while wanted > 0.3 and tries < 200:
            tries += 1
            wanted -= getattr(self, f"_{rng.choice(kinds, p=p / p.sum())}")()

    def _person(self, s, d, heading, lift: float = 0.0, **how) -> None:
        rng = self.rng
        body = make_body(rng, self.palette, child=rng.random() < 0.03)
        arms = tuple(rng.uniform(0.8, 2.0, 2) * (rng.random(2) < 0.2))
        motion = self.street.motion(s + 0 * self.time, d, heading, lift)
        stride, phase, swing = rng.uniform(1.2, 1.5), rng.uniform(0, 6.3), rng.uniform(0.3, 1.1)
        self.users.append(ru.Person(ru.PERSON, body, motion, stride, phase, arms=arms, swing=swing, **how))

    def _walk(self) -> float:
        """One to three people along a pavement."""
        rng, street = self.rng, self.street
        side, direction = int(rng.choice([-1, 1])), int(rng.choice([-1, 1]))
        count = int(rng.choice([1, 2, 3], p=[0.6, 0.32, 0.08]))
        speed = rng.uniform(1.0, 1.8)
        middle = float(rng.choice(self.own)) + rng.choice([-1, 1]) * rng.uniform(18, 75)
        base = street.kerb(side) + street.verge[side < 0] + rng.uniform(0.5, max(0.6, street.pavement[side < 0] - 0.6))
        for k in range(count):
            s = middle + rng.normal(0, 0.2) + direction * speed * (self.time - self.time[-1] / 2)
            self._person(s, side * (base + 0.6 * k), 0.0 if direction > 0 else np.pi)
        return count * 0.9

    def _wait(self) -> float:
        """A group that stands: at a stop, at a crossing, or in talk on the pavement."""
        rng, street = self.rng, self.street
        near = [p for p in self.dresser.stops if abs(p[0] - self.middle) < 45]
        corners = [
            (c, side * (street.kerb(side) + 0.8), side)
            for c in street.crossings
            for side in (1, -1)
            if abs(c - self.middle) < 45
        ]
        places = near + corners
        if places and rng.random() < 0.6:
            s, d, side = places[rng.integers(len(places))]
        else:
            side = int(rng.choice([-1, 1]))
            s, d = self._near(55), side * (street.front(side) - 0.6)
        count = int(rng.choice([1, 2, 3, 4, 6, 9], p=[0.36, 0.28, 0.18, 0.09, 0.06, 0.03]))
        for k in range(count):
            facing = -side * np.pi / 2 + rng.normal(0, 0.9)
            spread = (0.75 * k + rng.normal(0, 0.15), rng.normal(0, 0.35))
            self._person(s + spread[0], d + side * abs(spread[1]), facing)
        return count * 0.85

    def _stroll(self) -> float:
        """Across an open place: a square, a park, a lawn."""
        rng, street = self.rng, self.street
        places = [
            (side, *block)
            for side in (1, -1)
            for block in street.blocks[side]
            if block[2] in ("square", "park", "lawn")
            and block[3] > 6
            and block[0] < self.middle + 45
            and block[1] > self.middle - 45
        ]
        if not places:
            return 0.0
        side, start, stop, _, setback = places[rng.integers(len(places))]
        s = np.clip(self._near(52), start, stop)
        d = side * (street.front(side) + rng.uniform(0.5, min(setback - 2, 30)))
        angle, speed = rng.uniform(0, 2 * np.pi), rng.choice([0.0, rng.uniform(0.9, 1.6)], p=[0.25, 0.75])
        along = speed * (self.time - self.time[-1] / 2)
        if (side * (d + along * np.sin(angle)) < street.front(side)).any():
            angle = 0.2 * np.sin(angle)  # along the street rather than across it
            d += side * 2.0
        self._person(s + along * np.cos(angle), d + along * np.sin(angle), angle)
        return 0.85

    def _close(self) -> float:
        """One to three people beside the sensor, at the kerb or on the pavement. The image's lower edge cuts them."""
        rng, street = self.rng, self.street
        side, direction = self._higher_side(), int(rng.choice([-1, 1]))
        speed = 0.0 if rng.random() < 0.5 else rng.uniform(0.8, 1.6)
        when = rng.uniform(0, self.time[-1])
        s = np.interp(when, self.time, self.own) + rng.normal(0, 2.5) + direction * speed * (self.time - when)
        beyond = max((b.setback - 2 for b in street.blocks[side] if b.start < np.mean(s) < b.stop), default=0.0)
        d = rng.uniform(street.kerb(side) + 0.3, street.front(side) + np.clip(beyond, 0, 4))
        heading = (0.0 if direction > 0 else np.pi) if speed else rng.uniform(0, 2 * np.pi)
        placed = 0
        for k in range(int(rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15]))):
            place = s + rng.normal(0, 0.15), side * (d + 0.6 * k)
            away = self._distances(*place).min()
            if CLOSE[0] < away < CLOSE[1]:
                self._person(*place, heading)
                placed += 1
        return 0.85 * placed

    def _higher_side(self) -> int:
        """Usually the higher side of a sloping street, where near people are visible from head to knee."""
        left, right = self.street.bank
        return int((1 if left > right else -1) * self.rng.choice([1, -1], p=[0.9, 0.1]))

    def _steps(self) -> float:
        """One to four people on a landing above the street."""
        rng = self.rng
        places = self.dresser.platforms
        away = np.array([abs(p.start + p.length / 2 - self.middle) for p in places])
        if not places or away.min() > 30:
            return 0.0
        chance = np.exp(-away / 6)
        place = places[rng.choice(len(places), p=chance / chance.sum())]
        count = int(rng.choice([1, 2, 3, 4], p=[0.4, 0.3, 0.2, 0.1]))
        start = place.start + rng.uniform(0.3, max(0.4, place.length - 0.3 - 0.7 * count))
        for k in range(count):
            d = place.side * (place.near + rng.uniform(0.15, min(1.6, place.depth - 0.2)))
            self._person(start + 0.7 * k, d, -place.side * np.pi / 2 + rng.normal(0, 0.8), lift=place.height)
        return 0.85 * count

    def _gather(self) -> None:
        """The cast's crowd: it stands or walks together at a stop, at a crossing, along a facade or on a square."""
        rng, count = self.rng, self.cast.crowd
        if not count:
            return
        s, d, side, depth = self._gathering_place()
        rows = max(1, round(depth / ELBOW_ROOM))
        speed = rng.uniform(0.7, 1.4) if rng.random() < 0.3 else 0.0
        heading = rng.choice([0.0, np.pi]) if speed else -side * np.pi / 2
        along = np.cos(heading) * speed * (self.time - self.time[-1] / 2)
        cells = int(1.3 * count)  # some stay empty
        for cell in rng.choice(cells, count, replace=False):
            place = s + ELBOW_ROOM * (cell // rows - cells / rows / 2) + rng.normal(0, 0.12)
            off = d + side * (ELBOW_ROOM * (cell % rows) + rng.normal(0, 0.12))
            if self._distances(place + along, off).min() > CLOSE[0]:
                self._person(place + along, off, heading + (0.0 if speed else rng.normal(0, 0.9)))

    def _gathering_place(self) -> tuple[float, float, int, float]:
        """A place for the crowd: s of its middle, d of the edge nearest to the street, its side, its depth."""
        rng, street = self.rng, self.street
        side = self._higher_side()
        s = float(rng.choice(self.own)) + rng.choice([-1, 1]) * rng.uniform(8, 40)
        stops = [stop for stop in self.dresser.stops if abs(stop[0] - self.middle) < 30]
        squares = [
            (s, side, block[3])
            for side in (1, -1)
            for block in street.blocks[side]
            if block[2] in ("square", "park", "lawn") and block[3] > 8 and block[0] < s < block[1]
        ]
        kind = rng.choice(["stop", "crossing", "facade", "square"], p=[0.3, 0.2, 0.25, 0.25])
        if kind == "stop" and stops:
            s, _, side = stops[rng.integers(len(stops))]
            depth = min(max(street.front(side) - street.kerb(side) - 1.6, 1.2), 3.0)
            return s, side * (street.kerb(side) + 0.4), side, depth
        inside = street.front(side) - street.kerb(side)
        near = [c for c in street.crossings if abs(c - self.middle) < 30]
        if kind == "crossing" and near:
            return near[rng.integers(len(near))], side * (street.kerb(side) + 0.4), side, min(inside - 0.5, 3.0)
        if kind == "square" and squares:
            s, side, setback = squares[rng.integers(len(squares))]
            depth = rng.uniform(3, min(7, setback - 4))
            return s, side * (street.front(side) + rng.uniform(0.5, setback - depth - 1)), side, depth
        depth = min(rng.uniform(1.0, 2.5), inside - 0.4)
        return s, side * (street.front(side) - 0.3 - depth), side, depth

    def _distances(self, s, d) -> np.ndarray:
        """Metres from the sensor to what is at (s, d), at times 0, 0.1, ...: float64 [T]."""
        at = self.street.motion(s + 0 * self.time, d, 0.0).poses[:, :2]
        return np.hypot(*(at - self.path[:, :2]).T)

    def _sit(self) -> float:
        seats = [p for p in self.dresser.seats if abs(p[0] - self.middle) < 35]
        if not seats:
            return 0.0
        s, d, heading = seats[self.rng.integers(len(seats))]
        if not self.book("seats", s, 0.1):
            return 0.0
        self._person(s + self.rng.uniform(-0.5, 0.5), d, heading, sitting=True)
        return 0.8

    def _cross(self) -> float:
        """On foot over the street: on a zebra crossing while traffic stands, else wherever no vehicle comes."""
        rng, street = self.rng, self.street
        ahead = [c for c in street.crossings if 5 < c < 30]
        for _ in range(8):
            if self.stands:
                s = ahead[rng.integers(len(ahead))] + rng.uniform(-1.4, 1.4)
            else:
                s = float(rng.choice(self.own)) + rng.choice([-1, 1]) * rng.uniform(11, 16.5)
            direction, speed = rng.choice([-1, 1]), rng.uniform(1.0, 1.8)
            start = -street.kerb(-1) - 1 if direction > 0 else street.kerb(1) + 1
            d = start + direction * speed * (self.time - rng.uniform(-4, self.time[-1]))
            if self._is_free(s + 0 * self.time, d):
                self._person(s, d, direction * np.pi / 2)
                return 0.8
        return 0.0

    def _is_free(self, s: np.ndarray, d: np.ndarray) -> bool:
        """Whether somebody on foot at (s, d) [T] is never run over, nor comes close to the sensor."""
        at = self.street.motion(s, d, 0.0).poses[:, :2]
        if self._distances(s, d).min() < 7.0:
            return False
        rooms = {ru.CAR: 4.5, ru.TRUCK: 8.0, ru.BUS: 9.0}
        return all(
            np.hypot(*(at - user.motion.poses[:, :2]).T).min() > rooms[user.category]
            for user in self.users
            if user.category in rooms
        )
