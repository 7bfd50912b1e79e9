"""How cars and vans are built, and what they share with all vehicles: wheels, lamps, glass, plates.

Origin on the ground below the middle, front along +x, metres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .scene import Mesh
from .shapes import Palette, box, disc, join, loft, quads, wheel_shape

SIDES = (-1, 1)  # right, left


@dataclass(frozen=True)
class Fittings:
    """Material indices of what every vehicle has besides its paint."""

    dark: int  # plastic: bumpers, grille, wheel arches
    glass: int
    tyre: int
    rim: int
    lamp: int
    tail: int
    plate: int


def random_fittings(rng: np.random.Generator, palette: Palette, kind: str) -> Fittings:
    return Fittings(
        dark=palette.add(f"{kind} plastic", rng.uniform(0.05, 0.1), gloss=True),
        glass=palette.add(
            f"{kind} glass", 0.06, dropout=float(rng.uniform(0.15, 0.4)), grain=0.4, gloss=True, pane=True
        ),
        tyre=palette.add("tyre", rng.uniform(0.05, 0.09)),
        rim=palette.add("rim", rng.choice([0.55, 0.35, 0.08]), gloss=True),
        lamp=palette.add("headlamp", 0.4, retroreflection=1.5, gloss=True),
        tail=palette.add("tail lamp", 0.4, retroreflection=5.0, gloss=True),
        plate=palette.add("plate", 0.7, retroreflection=8.0),
    )


def random_paint(rng: np.random.Generator, palette: Palette, name: str = "paint") -> int:
    """White, silver, grey and red look bright in the near infrared; black paint hardly answers but for its gloss."""
    shade = rng.choice([0.8, 0.6, 0.4, 0.2, 0.07], p=[0.26, 0.2, 0.18, 0.14, 0.22])
    return palette.add(name, shade * rng.uniform(0.8, 1.2), grain=0.05, dropout=0.02, gloss=True)


def wheel(x: float, y: float, radius: float, width: float, fittings: Fittings) -> Mesh:
    """A wheel with its rim on the side away from the middle."""
    outside = np.sign(y) * (width / 2 + 0.004)
    return join(
        [
            wheel_shape(radius, width, fittings.tyre, (x, y, radius)),
            disc(0.66 * radius, fittings.rim, (x, y + outside, radius), sides=10),
            disc(0.2 * radius, fittings.tyre, (x, y + 2 * outside - np.sign(y) * width / 2, radius), sides=6),
        ]
    )


def _plates(front: float, rear: float, height: float, material: int) -> list[Mesh]:
    return [box((0.03, 0.52, 0.115), material, (x, 0, height)) for x in (front, rear)]


# ----------------------------------------------------------------------------------------------- cars


@dataclass(frozen=True)
class CarForm:
    """Side profile of a car in metres; bonnet and boot are shares of the length; belt: the windows' lower edge."""

    length: float
    width: float
    height: float
    bonnet: float
    boot: float
    belt: float
    front_slope: float  # run of the windscreen, metres
    rear_slope: float
    roof: float = 0.78  # the roof's width, as a share of the body's
    wheel: float = 0.31  # radius

    @property
    def cabin(self) -> tuple[float, float]:
        """Where the cabin's foot ends behind and in front: x."""
        return (self.boot - 0.5) * self.length + 0.03, (0.5 - self.bonnet) * self.length


CAR_FORMS = {
    "hatchback": CarForm(4.0, 1.74, 1.48, 0.24, 0.02, 0.92, 0.75, 0.4),
    "small": CarForm(3.6, 1.66, 1.52, 0.2, 0.02, 0.95, 0.7, 0.25),
    "saloon": CarForm(4.65, 1.82, 1.45, 0.26, 0.14, 0.92, 0.8, 0.75),
    "estate": CarForm(4.7, 1.83, 1.5, 0.25, 0.02, 0.93, 0.8, 0.45),
    "suv": CarForm(4.55, 1.88, 1.7, 0.24, 0.02, 1.05, 0.65, 0.35, wheel=0.35),
    "people carrier": CarForm(4.5, 1.82, 1.68, 0.19, 0.02, 1.0, 0.95, 0.3, wheel=0.33),
    "van": CarForm(5.2, 1.98, 2.1, 0.17, 0.0, 1.15, 0.75, 0.08, 0.9, 0.34),
}
_CAR_CHANCES = (0.24, 0.1, 0.12, 0.22, 0.17, 0.07, 0.08)
DELIVERY_VAN = CarForm(6.3, 2.1, 2.65, 0.13, 0.0, 1.3, 0.7, 0.05, 0.93, 0.36)


def make_car(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A car or a van of seven forms."""
    name = str(rng.choice(list(CAR_FORMS), p=_CAR_CHANCES))
    panelled = name == "van" and rng.random() < 0.75
    return assemble_car(rng, palette, CAR_FORMS[name], panelled)


def assemble_car(rng: np.random.Generator, palette: Palette, form: CarForm, panelled: bool) -> Mesh:
    """panelled: without windows behind the front doors."""
    length, width, height = np.array([form.length, form.width, form.height]) * rng.normal(1, 0.03, 3)
    form = replace(form, length=length, width=width, height=height)
    fittings, paint = random_fittings(rng, palette, "car"), random_paint(rng, palette)
    low, high = _cabin_corners(form)
    parts = [_car_body(form, paint), _car_cabin(form, low, high, paint)]
    parts.append(_car_windows(form, low, high, fittings.glass, panelled))
    parts += _car_wheels(form, fittings)
    parts += _car_ends(rng, form, fittings)
    parts += _car_extras(rng, palette, form, paint, fittings)
    return join(parts)


def _car_body(form: CarForm, paint: int) -> Mesh:
    """The body up to the belt: cross-sections from the rear bumper to the front one."""
    half, w, floor, belt = form.length / 2, form.width / 2, 0.22, form.belt
    back, front = form.cabin
    hood = belt - 0.09
    # x, half width, lower edge, shoulder, top in the middle
    stations = np.array(
        [
            (-half, 0.8 * w, 0.34, belt - 0.32, belt - 0.28),
            (-half + 0.1, 0.95 * w, 0.26, belt - 0.16, belt - 0.1),
            (back + 0.12, w, floor, belt - 0.02, belt),
            (0.0, w, floor - 0.02, belt - 0.02, belt),
            (front, w, floor, hood - 0.04, hood),
            (half - 0.35, 0.97 * w, floor, hood - 0.16, hood - 0.11),
            (half - 0.08, 0.86 * w, 0.28, 0.7 * hood, 0.79 * hood),
            (half, 0.72 * w, 0.34, 0.58 * hood, 0.63 * hood),
        ]
    )
    x, width, low, shoulder, top = stations.T
    # The right half of each section from below to the middle of the top; the left half mirrors it.
    share = np.array([0.93, 1.0, 1.0, 0.94, 0.55])
    levels = np.stack([low, low + 0.14, 0.5 * (low + shoulder), shoulder, top], 1)
    across = width[:, None] * share
    sections = np.empty((len(x), 10, 3))
    sections[..., 0] = x[:, None]
    sections[..., 1] = np.concatenate([-across, across[:, ::-1]], 1)
    sections[..., 2] = np.concatenate([levels, levels[:, ::-1]], 1)
    return loft(sections, paint)


def _cabin_corners(form: CarForm) -> tuple[np.ndarray, np.ndarray]:
    """The cabin's four corners at the belt and below the roof, right rear first, counter-clockwise: [4, 3] each."""
    (back, front), w = form.cabin, form.width / 2
    x, y = np.array([back, front, front, back]), np.array([-1, -1, 1, 1]) * w
    slope = np.array([form.rear_slope, -form.front_slope, -form.front_slope, form.rear_slope])
    low = np.stack([x, 0.93 * y, np.full(4, form.belt - 0.03)], 1)
    high = np.stack([x + slope, form.roof * y, np.full(4, form.height - 0.07)], 1)
    return low, high


def _car_cabin(form: CarForm, low: np.ndarray, high: np.ndarray, paint: int) -> Mesh:
    """A stump of a pyramid from the belt to the roof, whose edge is rounded a little."""
    roof = high * (0.97, 0.97, 1) + (0, 0, 0.07)
    return loft(np.stack([low, high, roof]), paint)


def _car_windows(form: CarForm, low: np.ndarray, high: np.ndarray, glass: int, panelled: bool) -> Mesh:
    """Panes just outside the four faces of the cabin, which shows between them as pillars."""
    side = [(0.72, 0.97)] if panelled else [(0.03, 0.2), (0.24, 0.58), (0.62, 0.97)]
    # From which corner to which, and from where to where along that edge.
    spans = [(1, 2, 0.05, 0.95)] + [(0, 1, a, b) for a, b in side] + [(2, 3, 1 - b, 1 - a) for a, b in side]
    if not panelled:
        spans.append((3, 0, 0.08, 0.92))
    return quads(np.array([_pane(low[[i, j]], high[[i, j]], a, b) for i, j, a, b in spans]), glass)


def _pane(low: np.ndarray, high: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Corners [4, 3] of a pane a finger outside the face between two lower and two upper corners [2, 3]."""
    along = np.array([start, stop, stop, start])[:, None]
    up = np.array([0.1, 0.1, 0.93, 0.93])[:, None]
    corners = (1 - up) * ((1 - along) * low[0] + along * low[1]) + up * ((1 - along) * high[0] + along * high[1])
    out = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    return corners + 0.012 * out / np.linalg.norm(out)


def _car_wheels(form: CarForm, fittings: Fittings) -> list[Mesh]:
    """Four wheels, each in a dark arch."""
    parts = []
    radius, w = form.wheel, form.width / 2
    for x in (-0.3 * form.length, 0.34 * form.length):
        for side in SIDES:
            parts.append(disc(radius + 0.05, fittings.dark, (x, side * (w + 0.003), radius + 0.05), sides=14))
            parts.append(wheel(x, side * (w - 0.08), radius, 0.19, fittings))
    return parts


def _car_ends(rng: np.random.Generator, form: CarForm, fittings: Fittings) -> list[Mesh]:
    """Lamps, plates, grille and bumpers."""
    half, w = form.length / 2, form.width / 2
    lamp_height = 0.75 * (form.belt - 0.09)
    parts = _plates(half + 0.005, -half - 0.005, rng.uniform(0.42, 0.6), fittings.plate)
    parts.append(box((0.04, 0.85 * w, rng.uniform(0.1, 0.24)), fittings.dark, (half - 0.01, 0, lamp_height - 0.06)))
    if rng.random() < 0.6:  # a bumper's dark lower half
        parts += [box((0.12, 1.4 * w, 0.14), fittings.dark, (end * (half - 0.05), 0, 0.36)) for end in SIDES]
    tall = rng.uniform(0.12, 0.3)
    for side in SIDES:
        parts.append(box((0.26, 0.34, 0.13), fittings.lamp, (half - 0.2, side * (0.74 * w - 0.06), lamp_height)))
        at = (-half + 0.07, side * (0.88 * w - 0.06), form.belt - 0.2 - 0.5 * tall)
        parts.append(box((0.1, 0.16, tall), fittings.tail, at))
    return parts


def _car_extras(
    rng: np.random.Generator, palette: Palette, form: CarForm, paint: int, fittings: Fittings
) -> list[Mesh]:
    """Mirrors, and on some cars roof rails, a roof box or a taxi's sign."""
    w, roof_half = form.width / 2, form.roof * form.width / 2
    mirror = fittings.dark if rng.random() < 0.4 else paint
    at = form.cabin[1] - 0.35
    parts = [box((0.12, 0.17, 0.14), mirror, (at, side * (w + 0.07), form.belt + 0.06)) for side in SIDES]
    rear, front = form.cabin[0] + form.rear_slope, form.cabin[1] - form.front_slope
    length, middle = front - rear, (front + rear) / 2  # of the roof
    extra = rng.random()
    if extra < 0.25:
        parts += [
            box((0.9 * length, 0.04, 0.05), fittings.dark, (middle, side * 0.9 * roof_half, form.height + 0.02))
            for side in SIDES
        ]
    elif extra < 0.3 and form.height < 1.6:
        parts.append(box((min(1.8, length), 0.75, 0.32), fittings.dark, (middle, 0, form.height + 0.16)))
    elif extra < 0.33:
        sign = palette.add("taxi sign plastic", 0.6, gloss=True)
        parts.append(box((0.12, 0.4, 0.13), sign, (middle, 0, form.height + 0.06)))
    return parts
