"""Who drives: the sensor's own path, vehicles and riders, and where they go. People on foot: `pedestrians.py`.

Each clip has a cast, drawn at random, which says on which kind of street it plays and about how many of each class are
to be seen at a time. The chances are such that a whole set has the real dataset's shares (`check.py` measures them).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import road_users as ru
from .dressing import Dresser
from .people import make_body
from .scene import Mesh, RoadUser
from .shapes import Palette
from .street import FAR_JUNCTION, Junction, Street
from .vehicles import make_bicycle, make_bus, make_car, make_motorcycle, make_scooter, make_truck

REACH = 46.0  # metres within which moving cars count as seen
SIGHT = 50.0  # metres of street either way in which those on foot, and what stands, are seen
FOLLOWED = 0.15  # share of the moving cars that another one follows closely
STANDS_IN_LINE = 7.0  # metres from car to car in a queue


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
    riders: float
    bicycles: int  # standing about, not in a rack
    scooters: int  # likewise
    buses: int
    trucks: int
    motorcycles: int
    apart: bool
    crowd: int  # how many people stand or walk in one crowd, beside `persons`


@dataclass(frozen=True)
class Custom:
    """What is usual on a kind of street: its chance, and how many cars, persons and riders a frame shows on average."""

    chance: float
    cars: float
    persons: float
    riders: float
    moving: float  # share of its cars


CUSTOMS = {
    "street": Custom(0.28, 7.6, 6.0, 1.1, 0.82),
    "arterial": Custom(0.22, 9.3, 3.7, 1.0, 0.9),
    "residential": Custom(0.16, 6.3, 4.2, 0.8, 0.7),
    "campus": Custom(0.14, 5.9, 6.0, 1.2, 0.75),
    "square": Custom(0.10, 3.9, 10.2, 1.1, 0.8),
    "park": Custom(0.10, 4.4, 6.6, 1.1, 0.8),
}
# Few clips have a crowd: the chance of one, its smallest and its largest size. Half of the persons in the real val
# split stand close together, hardly any in its train split.
CROWDED, CROWD = 0.08, (10, 85)
# Of vehicles that few clips show: how many a clip has on average. Val has more of the rare ones, or their AP would rest
# on a handful.
RARE = {
    "train": {"buses": 0.46, "trucks": 0.14, "motorcycles": 0.07},
    "val": {"buses": 0.7, "trucks": 0.6, "motorcycles": 0.1},
}


def draw_cast(rng: np.random.Generator, split: str) -> Cast:
    """A random cast; split: "train" or "val"."""
    kinds = list(CUSTOMS)
    kind = str(rng.choice(kinds, p=[CUSTOMS[k].chance for k in kinds]))
    usual = CUSTOMS[kind]
    rare = {name: int(rng.poisson(mean)) for name, mean in RARE[split].items()}
    return Cast(
        street=kind,
        speed=0.0 if rng.random() < 0.3 else rng.uniform(2.0, 10.0),
        cars=usual.cars * rng.gamma(4.0, 0.25),
        persons=usual.persons * rng.gamma(2.0, 0.5),
        riders=usual.riders * rng.gamma(2.0, 0.5),
        bicycles=int(rng.poisson(0.9)),
        scooters=int(rng.poisson(1.3)),
        apart=bool(rng.random() < 0.4),
        crowd=round(float(np.exp(rng.uniform(*np.log(CROWD))))) if rng.random() < CROWDED else 0,
        **rare,
    )


def drive(cast: Cast, seconds: float) -> np.ndarray:
    """How far along the street the sensor is at times 0, 0.1, ... for whole `seconds`, at least one: float64 [T].

    In metres, halfway at 0: the street is peopled around the sensor's way.
    """
    time = np.arange(10 * max(int(np.ceil(seconds)), 1) + 1) / 10
    return cast.speed * (time - time[-1] / 2)


class Traffic:
    """Fills the street with vehicles and riders; positions are street coordinates, times those of the frames."""

    def __init__(self, rng, street: Street, dresser: Dresser, palette: Palette, cast: Cast, own: np.ndarray) -> None:
        self.rng, self.street, self.dresser, self.palette, self.cast = rng, street, dresser, palette, cast
        self.own = own
        self.time = np.arange(len(own)) / 10
        self.own_lane = street.own_lane
        self.middle = float(own.mean())
        self.stretch = 1 + float(np.ptp(own)) / (2 * SIGHT)  # as many more users as the sensor sees of the street
        self.users: list[RoadUser] = []
        # Traffic stands at the crossing ahead and people cross, or it flows and they do not.
        self.stands = cast.speed == 0 and any(5 < c < 30 for c in street.crossings) and rng.random() < 0.8
        self.taken: dict[object, list[tuple[float, float]]] = {}  # lane -> [(s at the start, half length)]
        self.arrivals: dict[object, tuple[float, float]] = {}  # side street -> its pace, when the next one arrives
        # Who drives in a lane keeps its pace, so that nobody catches up with another. Lanes: offset and speed along s.
        self.lanes = {("against", k): ((k + 0.5) * street.lane, -self._pace()) for k in range(street.lanes)}
        self.lanes |= {("along", k): (-(k + 0.5) * street.lane, self._pace()) for k in range(street.lanes - 1)}
        if cast.speed > 0:
            self.lanes["own"] = (self.own_lane, cast.speed)
        self.path = self._sensor_path()

    def _sensor_path(self) -> np.ndarray:
        """The sensor looks in any direction: where the street leads is no matter of its columns."""
        motion = self.street.motion(self.own, self.own_lane, self.rng.uniform(0, 2 * np.pi))
        height = self.street.height(self.own, self.own_lane) + self.rng.uniform(2.15, 2.26)
        return np.stack([motion.poses[:, 0], motion.poses[:, 1], height, motion.poses[:, 3]], 1)

    # ---- places

    def book(self, lane: object, s: float, half: float) -> bool:
        """Whether a stretch of a lane was still free; it is taken now."""
        booked = self.taken.setdefault(lane, [])
        if any(abs(s - other) < half + reach + 1.2 for other, reach in booked):
            return False
        booked.append((s, half))
        return True

    def _near(self, spread: float) -> float:
        """A distance along the street, near the sensor's path."""
        return float(self.rng.choice(self.own) + self.rng.normal(0, spread))

    def add(self, category: int, shape: Mesh, s, d, heading) -> None:
        self.users.append(ru.Vehicle(category, shape, self.street.motion(s + 0 * self.time, d, heading)))

    def add_car(self, s, d, heading) -> None:
        self.add(ru.CAR, make_car(self.rng, self.palette), s, d, heading)

    # ---- vehicles

    def vehicles(self) -> None:
        cast, rng = self.cast, self.rng
        self.book("own", self.own[0], 3.2)  # the car that carries the sensor
        for side, s in self.dresser.parked:
            self.book(("kerb", side), s, 2.4)
        for category, make, count in ((ru.BUS, make_bus, cast.buses), (ru.TRUCK, make_truck, cast.trucks)):
            for _ in range(count):
                self._large(category, make(self.rng, self.palette))
        for _ in range(cast.motorcycles):
            self._motorcycle()
        moving = cast.cars * CUSTOMS[cast.street].moving
        # Nobody drives along the street while people cross near the sensor, so cars can cross it.
        through = [j for j in self.street.junctions if all(j.arms)] if self.stands else []
        arms = [j for j in self.street.junctions if any(j.arms) and j not in through]
        arriving = rng.poisson(0.42 * moving) if arms else 0
        for _ in range(arriving):
            junction = arms[rng.integers(len(arms))]
            self._arrive(ru.CAR, make_car(rng, self.palette), junction, self._arm(junction))
        left = max(moving - arriving, 0.0)
        for junction in through:
            self._cross_flow(junction, left / len(through))
        if not self.stands:
            self._flow(left)
        self._stand(round((cast.cars - moving) * self.stretch))

    def _stand(self, wanted: int) -> None:
        """Cars that stand: parked, in lots, or in a queue; the nearer a place, the likelier it is taken."""
        rng, slots = self.rng, self._standing_slots()
        distance = np.array([np.hypot(s - self.middle, d - self.own_lane) for _, s, d, _ in slots])
        chance = np.exp(-distance / 35)
        order = rng.choice(len(slots), len(slots), replace=False, p=chance / chance.sum()) if slots else []
        for i in order:
            lane, s, d, heading = slots[i]
            if wanted > 0 and self.book(lane, s, 2.4):
                self.add_car(s, d, heading + rng.normal(0, 0.03))
                wanted -= 1

    def _standing_slots(self) -> list[tuple[object, float, float, float]]:
        """Places for standing cars: (lane, s, d, heading)."""
        slots = self._kerb_slots()
        slots += [(("lot", round(s, 1), round(d, 1)), s, d, heading) for s, d, heading in self.dresser.lots]
        if self.cast.speed == 0:
            slots += self._queue_slots()
        slots += self._oncoming_queue_slots() if self.stands else []
        return [slot for slot in slots if abs(slot[1] - self.middle) < self.stretch * SIGHT]

    def _kerb_slots(self) -> list:
        rng, street = self.rng, self.street
        slots = []
        for side in (1, -1):
            width = street.parking[side < 0]
            if width:
                d = side * (street.kerb(side) - width / 2)
                for s in np.arange(-75 + rng.uniform(0, 5), 75, rng.uniform(5.7, 6.4)):
                    if self.street.is_open(s, 5.0):
                        slots.append((("kerb", side), s, d, 0.0 if side < 0 else np.pi))
        return slots

    def _queue_slots(self) -> list:
        """Before and behind the sensor's own car."""
        slots = []
        gap = self.rng.uniform(6.6, 7.4)
        for k in range(1, 6):
            slots.append(("own", -gap * k, self.own_lane, 0.0))
            clear = all(not 3 < c < gap * k + 4 for c in self.street.crossings)
            if clear and self.street.is_open(gap * k, 3.0):
                slots.append(("own", gap * k, self.own_lane, 0.0))
        return slots

    def _oncoming_queue_slots(self) -> list:
        """Beyond the crossing, facing the sensor."""
        street = self.street
        limit = max([j.at + j.half + 3 for j in street.junctions if j.at < FAR_JUNCTION[0]], default=0) + 4
        limit = max([limit, *[c + 5 for c in street.crossings if c > 0]])
        return [
            (("against", lane), limit + STANDS_IN_LINE * k, (lane + 0.5) * street.lane, np.pi)
            for lane in range(street.lanes)
            for k in range(5)
            if street.is_open(limit + STANDS_IN_LINE * k, 3.0)
        ]

    def _flow(self, wanted: float) -> None:
        """Moving cars along the street, `wanted` of them in reach on average."""
        rng = self.rng
        for key, (d, speed) in self.lanes.items():
            spacing = max(25.0, 6.0 + 2.0 * abs(speed))
            # Relative to the sensor where that keeps pace, close before and behind it; else past all of its way.
            keeps = key == "own"
            chance = min(1.0, (1.3 if keeps else 1.0) * wanted / len(self.lanes) * spacing / (2 * REACH))
            chance /= 1 + FOLLOWED
            reach = 1.5 * REACH + (0 if keeps else np.abs(self.own).max() + abs(speed) * self.time[-1])
            for s in np.arange(-reach, reach, spacing):
                start = s + rng.uniform(-6.0, 6.0) + (self.own[0] if keeps else 0.0)
                if rng.random() < chance and self.book(key, start, 2.4):
                    self.add_car(start + speed * self.time, d, 0.0 if speed > 0 else np.pi)
                    behind = start - np.sign(speed) * rng.uniform(7.5, 11.0)
                    if rng.random() < FOLLOWED and self.book(key, behind, 2.4):
                        self.add_car(behind + speed * self.time, d, 0.0 if speed > 0 else np.pi)

    def _pace(self) -> float:
        """Of a lane's traffic, m/s: most flows, some crawls, and it stands where people cross."""
        if self.stands:
            return 0.0
        return self.rng.uniform(4.0, 12.0) if self.rng.random() < 0.8 else self.rng.uniform(0.5, 3.0)

    def _cross_flow(self, junction: Junction, wanted: float) -> None:
        """Moving cars along the side street, straight on across the junction: seen from the side."""
        rng = self.rng
        for direction, offset in ((1, 0.45), (-1, -0.45)):
            speed = rng.uniform(3, 9)
            if ("arm", junction.at, -direction) in self.taken:
                continue  # a bus waits there to come out
            for start in np.arange(-REACH - speed * self.time[-1], REACH, 14.0):
                if rng.random() < wanted * 14.0 / (4 * REACH):
                    d = direction * (start + rng.uniform(-2, 2) + speed * self.time)
                    self.add_car(junction.at + offset * junction.half, d, direction * np.pi / 2)

    def _large(self, category: int, shape: Mesh) -> None:
        """A bus or a truck: ahead or behind in the lane, oncoming, crossing, or standing at the kerb."""
        rng, street, time = self.rng, self.street, self.time
        half = float(np.abs(shape.vertices[:, 0]).max())
        kinds = {"lane": 0.25, "oncoming": 0.42, "kerb": 0.07, "cross": 0.26}
        if category == ru.TRUCK:
            kinds = {"lane": 0.42, "oncoming": 0.5, "kerb": 0.08, "cross": 0.0}
        kind = rng.choice(list(kinds), p=list(kinds.values()))
        crossing = [j for j in street.junctions if any(j.arms) and abs(j.at) < FAR_JUNCTION[0]]
        if self.stands and rng.random() < 0.6:
            kind = "cross"
        close = rng.random() < 0.1
        if kind == "cross" and crossing:
            junction = crossing[rng.integers(len(crossing))]
            self._arrive(category, shape, junction, self._arm(junction))
            return
        for _ in range(10):  # until there is room
            far = half + (3.0 if close else rng.uniform(*((45.0, 125.0) if category == ru.BUS else (18.0, 58.0))))
            if kind == "lane" and self.cast.speed > 0:
                lane, heading, (d, speed) = "own", 0.0, self.lanes["own"]
                start = rng.choice([-1, 1]) * far + self.own[0]
            elif kind == "kerb" and street.parking[0] > 0:
                lane, heading, d, speed = ("kerb", 1), np.pi, street.kerb(1) - 1.4, 0.0
                start = self.middle + rng.choice([-1, 1]) * (rng.uniform(0, 15) if close else far)
            else:
                lane, heading = ("against", 0), np.pi
                d, speed = self.lanes[lane]
                when = rng.uniform(0, time[-1])  # it is so far away then, before or behind, or alongside
                ahead = rng.uniform(-4, 18) if close else rng.choice([-1, 1], p=[0.3, 0.7]) * far
                start = np.interp(when, time, self.own) + ahead - speed * when
            if self.book(lane, start, half + 1.0):
                self.add(category, shape, start + speed * time, d, heading)
                return

    def _arm(self, junction: Junction) -> int:
        """One of the sides to which a side street leaves."""
        left, right = junction.arms
        return 1 if left and (not right or self.rng.random() < 0.5) else -1

    def _arrive(self, category: int, shape: Mesh, junction: Junction, side: int) -> None:
        """Down a side street to its mouth, there to wait behind who is there: seen from the side, or three-quarters."""
        rng, arm = self.rng, ("arm", junction.at, side)
        half = float(np.abs(shape.vertices[:, 0]).max())
        queue = self.taken.setdefault(arm, [])
        pace, arrives = self.arrivals.get(arm, (rng.uniform(2.5, 6.5), rng.uniform(0.0, 0.8) * self.time[-1]))
        self.arrivals[arm] = (pace, arrives + rng.uniform(1.0, 5.0))
        stops = self.street.kerb(side) + 1.5 + half + sum(2 * ahead + 1.5 for _, ahead in queue)
        queue.append((junction.at, half))
        d = stops + pace * np.maximum(arrives - self.time, 0.0)
        self.add(category, shape, junction.at - side * 0.45 * junction.half, side * d, -side * np.pi / 2)

    def _motorcycle(self) -> None:
        rng, street = self.rng, self.street
        shape = make_motorcycle(rng, self.palette)
        if rng.random() < 0.4:  # standing at the kerb
            side = int(rng.choice([-1, 1]))
            s = self._near(20.0)
            self.add(ru.MOTORCYCLE, shape, s, side * (street.kerb(side) + 0.8), rng.uniform(0, 2 * np.pi))
            return
        speed = max(self.cast.speed, rng.uniform(2, 7))
        s = self._near(25.0) - speed * (self.time - self.time[-1] / 2)
        self._mounted(ru.MOTORCYCLE, shape, s, street.lane * 0.35, np.pi, apart=True)

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
        count = int(cast.riders * 1.3 * self.stretch + rng.random())
        for k in range(count):
            scooter = rng.random() < 0.2
            shape = (make_scooter if scooter else make_bicycle)(rng, self.palette)
            side, direction = int(rng.choice([-1, 1])), int(rng.choice([-1, 1]))
            # Beside the sensor there is room on the road only where there is a cycle lane.
            on_road = rng.random() < 0.7 and (side > 0 or street.cycle > 0)
            if on_road:
                direction = -side
                d = side * (street.lanes * street.lane + (street.cycle / 2 if street.cycle else -0.2))
            else:
                d = side * (street.front(side) - street.pavement[side < 0] * rng.uniform(0.25, 0.6))
            speed = 0.0 if rng.random() < 0.1 and not on_road else rng.uniform(2.5, 6.3)
            when = self.time[-1] * (k + rng.random()) / count
            ahead = rng.choice([-1, 1]) * (5 + abs(rng.normal(0, 32)))
            s = np.interp(when, self.time, self.own) + ahead + direction * speed * (self.time - when)
            category = ru.SCOOTER if scooter else ru.BICYCLE
            sway = 0.1 * np.sin(self.time + k)
            self._mounted(category, shape, s, d + sway, 0.0 if direction > 0 else np.pi, cast.apart)

    # ---- standing bicycles and scooters

    def standing(self) -> None:
        """Bicycles and scooters left singly or in pairs on the pavement, near the sensor's path."""
        rng, street, cast = self.rng, self.street, self.cast
        for category, left, make, reach in (
            (ru.BICYCLE, round(cast.bicycles * self.stretch), make_bicycle, 19.0),
            (ru.SCOOTER, round(cast.scooters * self.stretch), make_scooter, 12.0),
        ):
            while left > 0:
                side = int(rng.choice([-1, 1]))
                s = self._near(reach)
                if not self.street.is_open(s, 1.5):
                    s += 5
                d = side * (street.kerb(side) + rng.uniform(0.3, min(2.5, street.pavement[side < 0])))
                # Bicycles lean against walls and racks, mostly seen from the side; scooters are left anyhow.
                heading = rng.uniform(0, 2 * np.pi) if category == ru.SCOOTER else rng.normal(np.pi / 2, 0.6)
                for k in range(min(left, 1 + (rng.random() < 0.3))):
                    aside = 0.55 * k
                    place = (s + aside * abs(np.sin(heading)), d + aside * np.cos(heading))
                    self.add(category, make(rng, self.palette), *place, heading)
                    left -= 1
