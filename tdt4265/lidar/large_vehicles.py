"""How buses and lorries are built: origin on the ground below the middle, front along +x, metres."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .cars import DELIVERY_VAN, SIDES, Fittings, assemble_car, random_fittings, random_paint, wheel
from .scene import Mesh
from .shapes import Palette, box, disc, join, loft, moved, quads

# ---------------------------------------------------------------------------------------------- buses

BUS_WIDTH = 2.55
BELLOWS = 1.1  # metres between the bodies of an articulated bus
MAX_BEND = np.radians(25.0)
# The bodies' lengths from the front backwards, in metres, and how often a bus is of that kind.
BUS_BODIES = {(12.0,): 0.5, (9.5,): 0.08, (14.0,): 0.12, (9.6, 7.3): 0.22, (9.6, 5.6, 6.6): 0.08}


@dataclass(frozen=True)
class BusLook:
    """Materials and heights (metres) of one bus, the same for all its bodies."""

    paint: int
    skirt: int
    bellows: int
    sign: int
    height: float
    belt: float  # the side windows' lower edge
    top: float  # and their upper one
    bay: float  # a window's length
    fittings: Fittings


def make_bus(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A city bus of 9.5 to 24 m, the long ones of two or three bodies with bellows between, which may be bent."""
    bodies = list(BUS_BODIES)[rng.choice(len(BUS_BODIES), p=list(BUS_BODIES.values()))]
    look = _bus_look(rng, palette)
    # A bent bus leaves a stop at the kerb: its rear is still to the right, and nothing of it is in the other lane.
    bend = rng.uniform(0.3, 1) * MAX_BEND if rng.random() < 0.3 else 0.0
    parts = []
    # Each body is built with its front end at the origin, and hung on the one before.
    x, y, heading = (sum(bodies) + BELLOWS * (len(bodies) - 1)) / 2, 0.0, 0.0
    for k, length in enumerate(bodies):
        body = _bus_body(rng, length, look, first=k == 0, last=k == len(bodies) - 1)
        parts.append(moved(body, x, y, 0, heading))
        x, y = x - length * np.cos(heading), y - length * np.sin(heading)
        if k < len(bodies) - 1:
            parts.append(_bellows(np.array([x, y]), heading, bend, look))
            middle = heading + bend / 2
            x, y, heading = x - BELLOWS * np.cos(middle), y - BELLOWS * np.sin(middle), heading + bend
            bend *= -0.5
    return join(parts)


def _bus_look(rng: np.random.Generator, palette: Palette) -> BusLook:
    """Colours and proportions; the skirt is often of another colour than the body."""
    height = rng.uniform(2.95, 3.3)
    paint = palette.add("bus paint", rng.choice([0.25, 0.5, 0.8]) * rng.uniform(0.8, 1.2), grain=0.05, gloss=True)
    other = palette.add("bus skirt paint", rng.uniform(0.07, 0.8), gloss=True)
    return BusLook(
        paint,
        paint if rng.random() < 0.4 else other,
        palette.add("bellows", rng.uniform(0.06, 0.2)),
        palette.add("destination sign", rng.uniform(0.06, 0.3)),
        height,
        rng.uniform(1.0, 1.35),
        height - rng.uniform(0.4, 0.65),
        rng.uniform(1.2, 1.8),
        random_fittings(rng, palette, "bus"),
    )


def _bus_body(rng: np.random.Generator, length: float, look: BusLook, first: bool, last: bool) -> Mesh:
    """One body from x = 0 (its front) back to -length."""
    parts = [_bus_shell(length, look, first, last), _bus_side_windows(length, look, first)]
    parts += _bus_wheels(length, look, first, last)
    if rng.random() < 0.8:  # batteries, heating or gas bottles on the roof
        parts.append(
            box((rng.uniform(0.3, 0.75) * length, 1.8, 0.3), look.paint, (-0.5 * length, 0, look.height + 0.1))
        )
    if first:
        parts += _bus_front(look)
    if last:
        parts += _bus_rear(length, look)
    return join(parts)


def _bus_shell(length: float, look: BusLook, first: bool, last: bool) -> Mesh:
    """Sides with a skirt of another colour, a roof with rounded edges, ends drawn in where they are the bus's own."""
    w, height = BUS_WIDTH / 2, look.height
    y = np.array([-1, -1, -1, -0.88, 0.88, 1, 1, 1]) * w
    z = np.array([0.3, 0.95, height - 0.2, height, height, height - 0.2, 0.95, 0.3])
    front, rear = (0.9 if first else 1.0), (0.94 if last else 1.0)
    stations = ((-length, rear), (-length + 0.12, 1.0), (-0.35, 1.0), (0.0, front))
    sections = np.stack([np.stack([np.full(8, x), y * narrow, z], 1) for x, narrow in stations])
    skin = loft(sections, look.paint)
    start, stop = -length + (0.12 if last else 0), -0.35 if first else 0.0
    skirts = [_side_pane(start, stop, side * (w + 0.008), 0.3, 0.95) for side in SIDES]
    return join([skin, quads(np.array(skirts), look.skirt)])


def _side_pane(rear: float, front: float, y: float, low: float, high: float) -> list[tuple[float, float, float]]:
    return [(rear, y, low), (front, y, low), (front, y, high), (rear, y, high)]


def _end_pane(x: float, half: float, low: float, high: float, back: float = 0.0) -> list[tuple[float, float, float]]:
    """A pane across, `half` metres to either side; its upper edge lies `back` metres behind the lower one."""
    return [(x, -half, low), (x, half, low), (x - back, half, high), (x - back, -half, high)]


def _bus_side_windows(length: float, look: BusLook, first: bool) -> Mesh:
    """A band of windows either side, and doors on the right: panes down to the floor."""
    stop = -0.45 if first else -0.3
    bays = max(2, int((length - 0.7) / look.bay))
    edges = np.linspace(-length + 0.25, stop, bays + 1)
    doors = {bays - 1, bays // 2} if first else {bays // 2}
    panes = []
    for bay, (rear, front) in enumerate(itertools.pairwise(edges)):
        for side in SIDES:
            y, door = side * (BUS_WIDTH / 2 + 0.014), side < 0 and bay in doors
            if door:  # two leaves, with a post between them
                middle = (rear + front) / 2
                panes += [
                    _side_pane(a, b, y, 0.42, look.top)
                    for a, b in ((rear + 0.06, middle - 0.03), (middle + 0.03, front - 0.06))
                ]
            else:
                panes.append(_side_pane(rear + 0.03, front - 0.03, y, look.belt, look.top))
    return quads(np.array(panes), look.fittings.glass)


def _bus_wheels(length: float, look: BusLook, first: bool, last: bool) -> list[Mesh]:
    """Axles: the front one of the first body, and one towards the rear of each, in dark arches."""
    axles = [-2.7] if first else []
    if not first or last:
        axles.append(-length + (3.3 if first else 0.45 * length))
    else:
        axles.append(-length + 1.8)
    parts, y, radius = [], BUS_WIDTH / 2, 0.48
    for x in axles:
        for side in SIDES:
            at = (x, side * (y + 0.011), radius + 0.1)
            parts.append(disc(radius + 0.08, look.fittings.dark, at, sides=14))
            parts.append(wheel(x, side * (y - 0.12), radius, 0.28, look.fittings))
    return parts


def _bus_front(look: BusLook) -> list[Mesh]:
    """Windscreen, destination sign, lamps, mirrors on arms, plate."""
    fittings, w = look.fittings, BUS_WIDTH / 2
    parts = [
        quads(np.array([_end_pane(0.012, 0.86 * w, 0.95, look.top + 0.05)]), fittings.glass),
        box((0.03, 1.8, 0.28), look.sign, (0.01, 0, look.height - 0.22)),
        box((0.03, 0.52, 0.12), fittings.plate, (0.01, 0, 0.5)),
        box((0.05, 1.7 * w, 0.14), fittings.dark, (0.0, 0, 0.38)),
    ]
    for side in SIDES:
        parts.append(box((0.04, 0.34, 0.2), fittings.lamp, (0.005, side * 0.7 * w, 0.68)))
        parts.append(box((0.34, 0.06, 0.06), fittings.dark, (0.1, side * (w - 0.02), look.height - 0.35)))
        parts.append(box((0.12, 0.26, 0.45), fittings.dark, (0.24, side * (w + 0.06), look.height - 0.62)))
    return parts


def _bus_rear(length: float, look: BusLook) -> list[Mesh]:
    """Rear window, engine grille, lamps, plate, line number."""
    fittings, w, x = look.fittings, BUS_WIDTH / 2, -length
    parts = [
        quads(np.array([_end_pane(x - 0.012, 0.72 * w, 1.6, look.top)]), fittings.glass),
        box((0.03, 1.2 * w, 0.5), fittings.dark, (x, 0, 0.95)),
        box((0.03, 0.45, 0.25), look.sign, (x - 0.005, 0.3 * w, look.height - 0.25)),
        box((0.03, 0.52, 0.12), fittings.plate, (x - 0.01, 0, 0.55)),
    ]
    parts += [box((0.04, 0.15, 0.55), fittings.tail, (x, side * 0.85 * w, 1.05)) for side in SIDES]
    return parts


def _bellows(at: np.ndarray, heading: float, bend: float, look: BusLook) -> Mesh:
    """Folds between two bodies: narrow and wide frames in turn, turned further from one to the next."""
    share = np.linspace(0, 1, 9)
    w, height = BUS_WIDTH / 2, look.height
    wide = np.where(np.arange(9) % 2, 0.97, 0.87)
    ahead = heading + bend / 2
    middle = at - BELLOWS * share[:, None] * np.array([np.cos(ahead), np.sin(ahead)])
    turn = heading + bend * share
    across = np.stack([-np.sin(turn), np.cos(turn)], 1) * (wide * w)[:, None]
    frame = ((-1, 0.4), (-1, height - 0.1), (1, height - 0.1), (1, 0.4))
    sections = np.empty((9, 4, 3))
    for corner, (side, z) in enumerate(frame):
        sections[:, corner, :2] = middle + side * across
        sections[:, corner, 2] = z - (z > 1) * 0.1 * (1 - wide)
    return loft(sections, look.bellows)


# --------------------------------------------------------------------------------------------- lorries


def make_truck(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A lorry with a box, a tipper's bed or a flatbed, a long one with a trailer, or a delivery van."""
    kind = str(rng.choice(["box", "tipper", "flatbed", "trailer", "van"], p=[0.4, 0.15, 0.1, 0.1, 0.25]))
    if kind == "van":
        return assemble_car(rng, palette, DELIVERY_VAN, panelled=True)
    length = rng.uniform(11.5, 14.0) if kind == "trailer" else rng.uniform(6.0, 9.5)
    fittings, paint = random_fittings(rng, palette, "truck"), random_paint(rng, palette, "cab paint")
    cab_height = rng.uniform(2.5, 3.2)
    cab_rear, bed = length / 2 - 1.95, length - 2.1
    parts = _cab(length / 2, cab_rear, cab_height, paint, fittings)
    parts += _load(rng, palette, kind, bed, -length / 2 + bed / 2)
    parts += _chassis(length, kind, fittings)
    return join(parts)


def _cab(front: float, rear: float, height: float, paint: int, fittings: Fittings) -> list[Mesh]:
    """A driver's cab over the front axle: its side profile drawn across, panes, lamps, mirrors, bumper."""
    w = 1.18
    profile = np.array(
        [(rear, 0.5), (front, 0.5), (front, 1.4), (front - 0.18, height - 0.1), (front - 0.4, height), (rear, height)]
    )
    sides = np.repeat(profile[None, :, [0, 0, 1]], 2, axis=0)
    sides[0, :, 1], sides[1, :, 1] = w, -w
    panes = [_end_pane(front + 0.015, 0.86 * w, 1.5, height - 0.3, back=0.16)]
    for side in SIDES:
        y = side * (w + 0.012)
        pane = _side_pane(rear + 0.6, front - 0.2, y, 1.5, height - 0.35)
        pane[2] = (front - 0.32, y, height - 0.35)
        panes.append(pane)
    parts = [
        loft(sides, paint),
        quads(np.array(panes), fittings.glass),
        box((0.06, 2 * w, 0.3), fittings.dark, (front, 0, 0.5)),
        box((0.03, 1.5, 0.35), fittings.dark, (front + 0.005, 0, 1.1)),
        box((0.03, 0.52, 0.12), fittings.plate, (front + 0.04, 0, 0.5)),
    ]
    for side in SIDES:
        parts.append(box((0.05, 0.35, 0.2), fittings.lamp, (front + 0.02, side * (w - 0.35), 0.78)))
        parts.append(box((0.1, 0.22, 0.55), fittings.dark, (front - 0.1, side * (w + 0.16), 2.1)))
    return parts


def _load(rng: np.random.Generator, palette: Palette, kind: str, bed: float, middle: float) -> list[Mesh]:
    """What stands on the chassis, `bed` metres long about x = `middle`, with a reflecting line along it."""
    body = palette.add("truck body paint", rng.uniform(0.25, 0.9), grain=0.15, grain_size=0.4, gloss=kind != "tipper")
    stripe = palette.add("reflective marking", 0.6, retroreflection=4.0)
    parts = [box((0.9 * bed, 0.02, 0.06), stripe, (middle, side * 1.235, 1.08)) for side in SIDES]
    if kind in ("box", "trailer"):
        tall = rng.uniform(2.3, 2.8)
        frame = palette.add("box frame", rng.uniform(0.2, 0.6), gloss=True)
        parts.append(box((bed, 2.45, tall), body, (middle, 0, 1.0 + tall / 2)))
        for x in (middle - bed / 2, middle + bed / 2):  # edges of the box
            parts += [box((0.1, 0.1, tall + 0.02), frame, (x, side * 1.2, 1.0 + tall / 2)) for side in SIDES]
        return parts
    rails = 0.35 if kind == "flatbed" else rng.uniform(0.9, 1.4)
    parts += _open_bed(bed, middle, rails, body)
    load = palette.add("load", rng.uniform(0.2, 0.8), grain=0.3, grain_size=0.2)
    high = rng.uniform(0.5, 1.2) if kind == "flatbed" else rails * rng.uniform(0.3, 1.0)
    parts.append(box((rng.uniform(0.5, 0.9) * bed, 2.1, high), load, (middle, 0, 1.1 + high / 2)))
    return parts


def _open_bed(bed: float, middle: float, rails: float, body: int) -> list[Mesh]:
    """A floor with low walls around it."""
    ends = [box((0.06, 2.45, rails), body, (middle + end * bed / 2, 0, 1.0 + rails / 2)) for end in SIDES]
    walls = [box((bed, 0.06, rails), body, (middle, side * 1.2, 1.0 + rails / 2)) for side in SIDES]
    return [box((bed, 2.45, 0.12), body, (middle, 0, 1.0)), *ends, *walls]


def _chassis(length: float, kind: str, fittings: Fittings) -> list[Mesh]:
    """The frame, the wheels (two or three axles, four under a trailer), underrun bars and tail lamps."""
    front, rear = length / 2, -length / 2
    axles = [front - 1.3, rear + 1.5]
    if length > 8:
        axles.append(rear + 2.8)
    if kind == "trailer":
        axles.append(front - 4.2)
    parts = [box((length - 0.3, 0.9, 0.3), fittings.dark, (-0.1, 0, 0.85))]
    parts += [wheel(x, side * 1.07, 0.48, 0.3, fittings) for x in axles for side in SIDES]
    for side in SIDES:
        parts.append(box((0.04, 0.35, 0.14), fittings.tail, (rear - 0.01, side * 0.95, 0.85)))
        parts.append(box((0.3 * length, 0.03, 0.35), fittings.dark, (0.08 * length, side * 1.15, 0.65)))
    parts.append(box((0.03, 0.52, 0.12), fittings.plate, (rear - 0.02, 0, 0.7)))
    return parts
