"""Who is in the street: the sensor's own path, and road users of each class with where they go.

Each clip has a cast, which says how many of each class are to be seen at a time. Casts are scheduled, not drawn,
so that sixteen clips already have the classes in their due shares (the table in `check.py`), the rare ones among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import road_users as ru
from . import vehicles
from .people import make_body
from .scene import Mesh, RoadUser
from .shapes import Palette

if TYPE_CHECKING:
    from .dressing import Dresser
    from .street import Street


@dataclass(frozen=True)
class Cast:
    """About how many users of each class a frame shows, on which kind of street, seen from a sensor at `speed` m/s.

    apart: whether ridden bicycles and scooters are labelled beside their riders, or (as in many real clips) a
    rider's box holds both.
    """

    street: str
    speed: float
    cars: float
    persons: float
    riders: float = 0.0
    bicycles: int = 0  # standing about, not in a rack
    scooters: int = 0  # likewise
    buses: int = 0
    trucks: int = 0
    motorcycles: int = 0
    apart: bool = False


CASTS = {
    "train": (
        Cast("park", 0.0, 2, 4, bicycles=1, scooters=2, apart=True),
        Cast("street", 0.0, 9, 4, riders=2.5, apart=True),
        Cast("arterial", 4.0, 10, 2, riders=1, buses=1, apart=True),
        Cast("square", 0.5, 1.5, 7, riders=1, scooters=2, apart=True),
        Cast("residential", 0.0, 8, 3, riders=1, trucks=1),
        Cast("street", 1.5, 7, 4, riders=2, buses=1, apart=True),
        Cast("campus", 0.0, 5, 4, riders=1, bicycles=2, apart=True),
        Cast("residential", 4.0, 6, 1.5, motorcycles=1),
        Cast("arterial", 0.0, 12, 1, riders=1, buses=2),
        Cast("street", 2.5, 5, 4, riders=1.0, trucks=1, apart=True),
        Cast("campus", 0.0, 2, 5, riders=2, bicycles=1, scooters=1, apart=True),
        Cast("street", 0.0, 10, 3, riders=2, apart=True),
        Cast("residential", 2.5, 5, 2, bicycles=1),
        Cast("park", 1.0, 2, 3.5, riders=1, scooters=1, apart=True),
        Cast("street", 0.0, 8, 3, riders=1, buses=1, apart=True),
        Cast("arterial", 0.0, 8, 2, riders=1.5, motorcycles=1),
    ),
    "val": (
        Cast("street", 0.0, 7, 11, riders=2.5),
        Cast("arterial", 1.5, 9, 5, buses=1, bicycles=1, scooters=1),
        Cast("square", 0.0, 2, 20, riders=1.5, apart=True, motorcycles=1, trucks=1),
    ),
}

REACH = 27.0  # metres within which a user counts as seen


def drive(rng: np.random.Generator, cast: Cast, frames: int) -> np.ndarray:
    """How far along the street the sensor is at times 0, 0.1, ...: float64 [frames + 1], in metres, halfway at 0."""
    time = np.arange(frames + 1) / 10
    return cast.speed * rng.uniform(0.8, 1.2) * (time - time[-1] / 2)


def populate(
    rng: np.random.Generator, street: Street, dresser: Dresser, palette: Palette, cast: Cast, own: np.ndarray
) -> tuple[np.ndarray, list[RoadUser]]:
    """The sensor's path [T, 4] and all road users of the clip; `own` is what `drive` gave."""
    crowd = _Crowd(rng, street, dresser, palette, cast, own)
    # A stream of chance for each part: what one draws does not change the others.
    parts = (crowd.vehicles, crowd.riders, crowd.standing, crowd.persons)
    for part, stream in zip(parts, rng.spawn(len(parts)), strict=True):
        crowd.rng = stream
        part()
    return crowd.sensor_path(), crowd.users


class _Crowd:
    """Fills the street; positions are street coordinates, times those of the frames."""

    def __init__(self, rng, street: Street, dresser: Dresser, palette: Palette, cast: Cast, own: np.ndarray) -> None:
        self.rng, self.street, self.dresser, self.palette, self.cast, self.own = (
            rng,
            street,
            dresser,
            palette,
            cast,
            own,
        )
        self.time = np.arange(len(own)) / 10
        self.speed = speed = float(own[1] - own[0]) * 10
        self.own_lane = street.own_lane
        self.middle = float(own.mean())
        self.users: list[RoadUser] = []
        ahead = [c for c in street.crossings if 5 < c < 30]
        # Traffic stands at the crossing ahead and people cross, or it flows and they do not.
        self.stands = speed == 0 and bool(ahead) and rng.random() < 0.6
        self.taken: dict[object, list[tuple[float, float]]] = {}  # lane -> [(s at the start, half length)]

    def sensor_path(self) -> np.ndarray:
        motion = self.street.motion(self.own, self.own_lane, 0.0)
        height = self.street.height(self.own, self.own_lane) + self.rng.uniform(1.9, 2.1)
        return np.stack([motion.poses[:, 0], motion.poses[:, 1], height, motion.poses[:, 3]], 1)

    # ---- places

    def book(self, lane: object, s: float, half: float) -> bool:
        """Whether a stretch of a lane was still free; it is taken now."""
        booked = self.taken.setdefault(lane, [])
        if any(abs(s - other) < half + reach + 1.2 for other, reach in booked):
            return False
        booked.append((s, half))
        return True

    def _open(self, s: float, margin: float) -> bool:
        """Clear of crossings and side streets."""
        street = self.street
        return all(abs(s - c) > margin for c in street.crossings) and all(
            abs(s - j.at) > j.half + margin for j in street.junctions
        )

    def add(self, category: int, shape: Mesh, s, d, heading) -> None:
        self.users.append(ru.Vehicle(category, shape, self.street.motion(s + 0 * self.time, d, heading)))

    # ---- vehicles

    def vehicles(self) -> None:
        cast, rng = self.cast, self.rng
        self.book("own", self.own[0], 3.2)  # the car that carries the sensor
        for category, count, near in ((ru.BUS, cast.buses, 19.0), (ru.TRUCK, cast.trucks, 10.0)):
            for _ in range(count):
                self._large(category, near)
        for _ in range(cast.motorcycles):
            self._motorcycle()
        standing = self._standing_slots()
        flowing = {"arterial": 0.5, "street": 0.4, "residential": 0.15, "park": 0.5, "square": 0.4, "campus": 0.35}[
            cast.street
        ]
        if self.stands:
            flowing = 0.3 if self.street.junctions else 0.0
        moving = cast.cars * flowing * rng.uniform(0.8, 1.2)
        self._flow(moving)
        wanted = round((cast.cars - moving) * 1.25)
        distance = np.array([np.hypot(s - self.middle, d - self.own_lane) for _, s, d, _ in standing])
        if len(standing):
            # Most cars of a street stand behind one another, seen from the front or the back.
            in_line = np.array([lane == "own" or lane[0] in ("kerb", "against") for lane, *_ in standing])
            chance = np.exp(-distance / 9) * np.where(in_line, 1.0, 0.15)
            ahead = np.array([abs(s - self.middle) > 1.5 * abs(d - self.own_lane) for _, s, d, _ in standing])
            chance *= np.where(ahead, 1.0, 0.12)
            for i in rng.choice(
                len(standing), min(len(standing), 2 * wanted + 4), replace=False, p=chance / chance.sum()
            ):
                lane, s, d, heading = standing[i]
                if wanted > 0 and self.book(lane, s, 2.4):
                    self.add(ru.CAR, vehicles.make_car(rng, self.palette), s, d, heading + rng.normal(0, 0.03))
                    wanted -= 1

    def _standing_slots(self) -> list[tuple[object, float, float, float]]:
        """Places for standing cars: (lane, s, d, heading)."""
        rng, street = self.rng, self.street
        slots: list[tuple[object, float, float, float]] = []
        for side in (1, -1):
            width = street.parking[side < 0]
            if width:
                d = side * (street.kerb(side) - width / 2)
                for s in np.arange(-55 + rng.uniform(0, 5), 65, rng.uniform(5.7, 6.4)):
                    if self._open(s, 5.0):
                        slots.append((("kerb", side), s, d, 0.0 if side < 0 else np.pi))
        for s, d, heading in self.dresser.lots:
            slots.append((("lot", round(s, 1), round(d, 1)), s, d, heading))
        if self.speed == 0:
            for k in range(5):
                gap = rng.uniform(6.6, 7.4)
                slots.append(("own", -gap * (k + 1), self.own_lane, 0.0))
                clear = all(not 3 < c < gap * (k + 1) + 4 for c in street.crossings)
                if clear and self._open(gap * (k + 1), 3.0):
                    slots.append(("own", gap * (k + 1), self.own_lane, 0.0))
        if self.stands:
            for lane in range(street.lanes):
                limit = max([j.at + j.half + 3 for j in street.junctions], default=0) + 4
                limit = max([limit, *[c + 5 for c in street.crossings if c > 0]])
                for k in range(5):
                    slots.append((("against", lane), limit + 6.9 * k, (lane + 0.5) * street.lane, np.pi))
        else:
            for j in street.junctions:
                for side, arm in ((1, j.arms[0]), (-1, j.arms[1])):
                    for k in range(3 if arm else 0):
                        d = side * (street.kerb(side) + 5.5 + 6.8 * k)
                        slots.append((("arm", j.at, side), j.at + side * -0.45 * j.half, d, -side * np.pi / 2))
        return [slot for slot in slots if abs(slot[1] - self.middle) < REACH + 10]

    def _flow(self, wanted: float) -> None:
        """Moving cars, `wanted` of them in reach on average."""
        rng, street = self.rng, self.street
        lanes: list[tuple[object, float, float]] = []  # key, offset, direction
        if self.stands:
            crossing = [j for j in street.junctions if all(j.arms) and j.at > 0]
            for j in crossing[:1]:
                self._cross_flow(j, wanted)
            return
        lanes += [(("against", k), (k + 0.5) * street.lane, -1.0) for k in range(street.lanes)]
        lanes += [(("along", k), -(k + 0.5) * street.lane, 1.0) for k in range(street.lanes - 1)]
        if self.speed > 0:
            lanes.append(("own", self.own_lane, 1.0))
        for key, d, direction in lanes:
            fast = rng.uniform(2.5, 10.0) if rng.random() < 0.6 else rng.uniform(0.4, 2.0)
            speed = self.speed if key == "own" else direction * fast
            spacing = max(8.5, 5.5 + 0.9 * abs(speed))
            chance = min(1.0, wanted / len(lanes) * spacing / (2 * REACH))
            reach = REACH + abs(speed) * self.time[-1]
            for s in np.arange(-reach, reach, spacing):
                s = s + rng.uniform(-0.8, 0.8)
                if rng.random() < chance and self.book(key, s + self.own[0] * (key == "own"), 2.4):
                    start = s + (self.own[0] if key == "own" else 0.0)
                    self.add(
                        ru.CAR,
                        vehicles.make_car(rng, self.palette),
                        start + speed * self.time,
                        d,
                        0.0 if direction > 0 else np.pi,
                    )

    def _cross_flow(self, junction, wanted: float) -> None:
        rng = self.rng
        for direction, offset in ((1, 0.45), (-1, -0.45)):
            speed = rng.uniform(4, 9)
            for start in np.arange(-REACH - speed * self.time[-1], REACH, 14.0):
                if rng.random() < wanted * 14.0 / (4 * REACH):
                    d = direction * (start + rng.uniform(-2, 2) + speed * self.time)
                    self.add(
                        ru.CAR,
                        vehicles.make_car(rng, self.palette),
                        junction.at + offset * junction.half,
                        d,
                        direction * np.pi / 2,
                    )

    def _large(self, category: int, near: float) -> None:
        """A bus or a truck: in the queue, oncoming, standing at its stop or passing by."""
        rng, street = self.rng, self.street
        shape = (vehicles.make_bus if category == ru.BUS else vehicles.make_truck)(rng, self.palette)
        half = float(np.abs(shape.vertices[:, 0]).max())
        kind = rng.choice(["queue", "oncoming", "passing"], p=[0.65, 0.2, 0.15])
        if kind == "passing" and not self.stands:
            speed = rng.uniform(4, 8)
            start = speed * rng.uniform(2, self.time[-1]) + rng.uniform(0, 10)
            self.book(("against", 0), start, half + 8)
            self.add(category, shape, start - speed * self.time, 0.5 * street.lane, np.pi)
            return
        distance = near + half + rng.gamma(3.0, 0.2 * near)
        if kind == "queue":
            s = rng.choice([-1, 1], p=[0.4, 0.6]) * distance
            self.book("own", s + self.own[0], half)
            self.add(category, shape, s + self.own, self.own_lane, 0.0)
            return
        speed = 0.0 if self.stands else rng.uniform(0.3, 2.5)
        s = distance + self.middle + speed * self.time[-1] / 2
        self.book(("against", 0), s, half + 10 * speed)
        self.add(category, shape, s - speed * self.time, 0.5 * street.lane, np.pi)

    def _motorcycle(self) -> None:
        rng, street = self.rng, self.street
        shape = vehicles.make_motorcycle(rng, self.palette)
        if rng.random() < 0.4:  # standing at the kerb
            side = int(rng.choice([-1, 1]))
            s = self.middle + rng.uniform(-10, 14)
            self.add(ru.MOTORCYCLE, shape, s, side * (street.kerb(side) + 0.8), rng.uniform(0, 2 * np.pi))
            return
        speed = max(self.speed, rng.uniform(2, 5))
        s = self.middle + rng.uniform(-6, 6) - speed * (self.time - self.time[-1] / 2)
        d = street.lane * 0.35
        self._mounted(ru.MOTORCYCLE, shape, s, d, np.pi, apart=True)

    # ---- riders

    def _mounted(self, category: int, shape: Mesh, s, d, heading, apart: bool) -> None:
        """A vehicle with its rider: two users, or one that holds both."""
        rng = self.rng
        motion = self.street.motion(s, d, heading)
        body = make_body(rng, self.palette, helmet=category == ru.MOTORCYCLE or rng.random() < 0.6)
        kind, seat, lean, at = {
            ru.BICYCLE: ("bicycle", 0.98, rng.uniform(0.1, 0.5), -0.22),
            ru.SCOOTER: ("scooter", 1.08, 0.06, -0.05),
            ru.MOTORCYCLE: ("motorcycle", 0.9, rng.uniform(0.05, 0.3), -0.3),
        }[category]
        rider = ru.Rider(ru.RIDER, body, motion, seat, lean, at, kind, None if apart else shape, rng.uniform(0, 6.3))
        if apart:
            self.users.append(ru.Vehicle(category, shape, motion))
        self.users.append(rider)

    def riders(self) -> None:
        rng, street, cast = self.rng, self.street, self.cast
        count = int(cast.riders * 1.3 + rng.random())
        for k in range(count):
            scooter = cast.scooters > 0 and rng.random() < 0.35
            shape = (vehicles.make_scooter if scooter else vehicles.make_bicycle)(rng, self.palette)
            side, direction = int(rng.choice([-1, 1])), int(rng.choice([-1, 1]))
            # Beside the sensor there is room on the road only where there is a cycle lane.
            on_road = rng.random() < 0.85 and (side > 0 or street.cycle > 0)
            if on_road:
                direction = -side
                d = side * (street.lanes * street.lane + (street.cycle / 2 if street.cycle else -0.2))
            else:
                d = side * (street.front(side) - street.pavement[side < 0] * rng.uniform(0.25, 0.6))
            speed = rng.uniform(2.5, 5.5)
            if rng.random() < 0.2 and not on_road:
                speed = 0.0
            if direction > 0:
                speed = max(speed, min(self.speed, 6.0))
            when = self.time[-1] * (k + rng.random()) / count  # when it is at the sensor
            s = np.interp(when, self.time, self.own) + rng.normal(0, 17) + direction * speed * (self.time - when)
            category = ru.SCOOTER if scooter else ru.BICYCLE
            self._mounted(
                category, shape, s, d + 0.1 * np.sin(self.time + k), 0.0 if direction > 0 else np.pi, cast.apart
            )

    # ---- standing bicycles and scooters

    def standing(self) -> None:
        """Bicycles and scooters left singly or in pairs on the pavement, near the sensor's path."""
        rng, street, cast = self.rng, self.street, self.cast
        for category, count, make, reach in (
            (ru.BICYCLE, cast.bicycles, vehicles.make_bicycle, 9.0),
            (ru.SCOOTER, cast.scooters, vehicles.make_scooter, 5.0),
        ):
            stretch = 1 + abs(self.own[-1] - self.own[0]) / (2 * reach)
            left = round(count * stretch)
            while left > 0:
                side = int(rng.choice([-1, 1], p=[0.3, 0.7]))
                s = self.middle + rng.uniform(-1, 1) * reach * stretch
                if not self._open(s, 1.5):
                    s += 5
                d = side * (street.kerb(side) + rng.uniform(0.3, min(2.5, street.pavement[side < 0])))
                if np.hypot(d - self.own_lane, s - np.clip(s, self.own.min(), self.own.max())) < 4.8:
                    d += side * 2.0
                heading = np.arctan2(self.own_lane - d, self.middle - s) + rng.normal(0, 0.25) + rng.choice([0, np.pi])
                if category == ru.BICYCLE:
                    heading += rng.uniform(0.0, 0.7)
                for k in range(min(left, 1 + (rng.random() < 0.45))):
                    offset = 0.55 * k
                    self.add(
                        category,
                        make(rng, self.palette),
                        s + offset * abs(np.sin(heading)),
                        d + offset * np.cos(heading),
                        heading,
                    )
                    left -= 1

    # ---- people on foot

    def persons(self) -> None:
        rng = self.rng
        wanted = self.cast.persons * 0.95
        chances = {"walk": 0.5, "wait": 0.2, "stroll": 0.2, "sit": 0.06, "cross": 0.25 if self.stands else 0.0}
        kinds, p = list(chances), np.array(list(chances.values()))
        tries = 0
        while wanted > 0.3 and tries < 200:
            tries += 1
            wanted -= getattr(self, f"_{rng.choice(kinds, p=p / p.sum())}")()

    def _person(self, s, d, heading, **how) -> None:
        rng = self.rng
        child = rng.random() < 0.06
        body = make_body(rng, self.palette, child=child)
        arms = tuple(rng.uniform(0.8, 2.0, 2) * (rng.random(2) < 0.2))
        self.users.append(
            ru.Person(
                ru.PERSON,
                body,
                self.street.motion(s + 0 * self.time, d, heading),
                rng.uniform(1.2, 1.5),
                rng.uniform(0, 6.3),
                arms=arms,
                swing=rng.uniform(0.4, 1.3),
                **how,
            )
        )

    def _near(self, spread: float) -> float:
        """A distance along the street, near the sensor's path."""
        return float(self.rng.choice(self.own) + self.rng.normal(0, spread))

    def _walk(self) -> float:
        """One to three people along a pavement."""
        rng, street = self.rng, self.street
        side, direction = int(rng.choice([-1, 1])), int(rng.choice([-1, 1]))
        count = int(rng.choice([1, 2, 3], p=[0.6, 0.32, 0.08]))
        speed = rng.uniform(1.0, 1.8)
        middle = self._near(18.0)
        base = street.kerb(side) + street.verge[side < 0] + rng.uniform(0.5, max(0.6, street.pavement[side < 0] - 0.6))
        for k in range(count):
            s = middle + rng.normal(0, 0.2) + direction * speed * (self.time - self.time[-1] / 2)
            self._person(s, side * (base + 0.6 * k), 0.0 if direction > 0 else np.pi)
        return count * 0.9

    def _wait(self) -> float:
        """A group that stands: at a stop, at a crossing, or in talk on the pavement."""
        rng, street = self.rng, self.street
        near = [p for p in self.dresser.stops if abs(p[0] - self.middle) < 30]
        corners = [
            (c, side * (street.kerb(side) + 0.8), side)
            for c in street.crossings
            for side in (1, -1)
            if abs(c - self.middle) < 25
        ]
        places = near + corners
        if places and rng.random() < 0.75:
            s, d, side = places[rng.integers(len(places))]
        else:
            side = int(rng.choice([-1, 1]))
            s, d = self._near(12), side * (street.front(side) - 0.6)
        count = int(rng.choice([1, 2, 3, 4], p=[0.4, 0.3, 0.2, 0.1]))
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
            and block[0] < self.middle + 22
            and block[1] > self.middle - 22
        ]
        if not places:
            return 0.0
        side, start, stop, _, setback = places[rng.integers(len(places))]
        s = np.clip(self._near(10), start, stop)
        d = side * (street.front(side) + rng.uniform(0.5, min(setback - 2, 14)))
        angle, speed = rng.uniform(0, 2 * np.pi), rng.choice([0.0, rng.uniform(0.9, 1.6)], p=[0.25, 0.75])
        along = speed * (self.time - self.time[-1] / 2)
        if (side * (d + along * np.sin(angle)) < street.front(side)).any():
            angle = 0.2 * np.sin(angle)  # along the street rather than across it
            d += side * 2.0
        self._person(s + along * np.cos(angle), d + along * np.sin(angle), angle)
        return 0.85

    def _sit(self) -> float:
        seats = [p for p in self.dresser.seats if abs(p[0] - self.middle) < 20]
        if not seats:
            return 0.0
        s, d, heading = seats[self.rng.integers(len(seats))]
        if not self.book("seats", s, 0.1):
            return 0.0
        self._person(s + self.rng.uniform(-0.5, 0.5), d, heading, sitting=True)
        return 0.8

    def _cross(self) -> float:
        """Over a zebra crossing while traffic stands."""
        rng, street = self.rng, self.street
        ahead = [c for c in street.crossings if 5 < c < 30]
        c = ahead[rng.integers(len(ahead))]
        direction, speed = rng.choice([-1, 1]), rng.uniform(1.0, 1.7)
        start = -street.kerb(-1) - 1 if direction > 0 else street.kerb(1) + 1
        begin = rng.uniform(-4, 8)
        d = start + direction * speed * (self.time - begin)
        self._person(c + rng.uniform(-1.4, 1.4), d, direction * np.pi / 2)
        return 0.8
