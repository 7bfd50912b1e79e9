"""How two-wheelers are built: origin on the ground below the middle, front along +x, metres."""

from __future__ import annotations

import numpy as np

from .scene import Mesh
from .shapes import Palette, box, disc, ellipsoid, join, ring, tube, tubes, wheel_shape

SIDES = (-1, 1)  # right, left

# ------------------------------------------------------------------------------------------- bicycles


def make_bicycle(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A bicycle of tubes: a straight or a step-through frame, spokes, mudguards, often something to carry with."""
    paint = palette.add("bicycle paint", rng.uniform(0.06, 0.85), gloss=True)
    rubber = palette.add("bicycle tyre", rng.uniform(0.05, 0.2))
    metal = palette.add("spokes", rng.uniform(0.3, 0.6), dropout=0.1, gloss=True)
    red = palette.add("reflector", 0.5, retroreflection=6.0, gloss=True)
    radius = rng.uniform(0.32, 0.36)
    rear, front = np.array([-0.52, 0, radius]), np.array([0.54, 0, radius])
    parts = [_bicycle_wheel(rng, hub, radius, (rubber, metal, red)) for hub in (rear, front)]
    parts += _bicycle_frame(rng, rear, front, paint)
    parts += _bicycle_seats_and_bars(rng, paint, metal, rubber)
    if rng.random() < 0.75:
        parts += [_mudguard(hub, radius, paint) for hub in (rear, front)]
    parts.append(box((0.03, 0.07, 0.07), red, (-0.68, 0, 0.68)))
    parts += _bicycle_luggage(rng, palette)
    return join(parts)


def _bicycle_wheel(rng: np.random.Generator, hub: np.ndarray, radius: float, materials: tuple[int, int, int]) -> Mesh:
    """Tyre, eight spokes (four pipes across) and a reflector. materials: rubber, metal, reflector."""
    rubber, metal, red = materials
    angle = np.arange(4) * np.pi / 4 + rng.uniform(0, 1)
    spoke = (radius - 0.02) * np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1)
    return join(
        [
            ring(radius - 0.02, 0.045, rubber, hub, 14),
            tubes(np.stack([hub - spoke, hub + spoke], 1), 0.007, metal, 3),
            disc(0.05, red, hub + np.array([0.2, 0.02, 0]), sides=6),
        ]
    )


def _mudguard(hub: np.ndarray, radius: float, paint: int) -> Mesh:
    arc = np.linspace(0.1, np.pi - 0.5, 5)
    return tube(hub + (radius + 0.03) * np.stack([np.cos(arc), 0 * arc, np.sin(arc)], 1), 0.025, paint, 3)


def _bicycle_frame(rng: np.random.Generator, rear: np.ndarray, front: np.ndarray, paint: int) -> list[Mesh]:
    pedals, seat, head = (-0.08, 0, 0.3), (-0.22, 0, 0.88), (0.36, 0, 0.86)
    step_through = rng.random() < 0.4
    upper = ((-0.15, 0, 0.6), head) if step_through else (seat, head)
    lines = [(seat, pedals), (pedals, head), (rear, pedals), (rear, (-0.2, 0, 0.75)), (head, front), upper]
    parts = [tubes(np.array(lines), rng.uniform(0.02, 0.028), paint, 5)]
    if rng.random() < 0.15:  # an electric bicycle's battery
        parts.append(tube(np.array([(0.02, 0, 0.42), (0.28, 0, 0.74)]), 0.055, paint, 6, caps=True))
    return parts


def _bicycle_seats_and_bars(rng: np.random.Generator, paint: int, metal: int, rubber: int) -> list[Mesh]:
    """Saddle, handlebar (straight or swept back), pedals with the chain wheel, a luggage rack."""
    height, back = rng.uniform(0.98, 1.12), rng.choice([0.0, 0.1, 0.18])
    bar = np.array([(0.3 - back, -0.28, height), (0.32, 0, height), (0.3 - back, 0.28, height)])
    return [
        tube(np.array([(0.36, 0, 0.86), bar[1]]), 0.024, paint, 5),
        tube(bar, 0.02, metal, 4),
        box((0.26, 0.16, 0.07), rubber, (-0.25, 0, 0.95)),
        box((0.3, 0.14, 0.04), metal, (-0.5, 0, 0.76)),
        disc(0.1, metal, (-0.08, -0.06, 0.3), sides=8),
        box((0.17, 0.28, 0.025), rubber, (-0.08, 0, 0.3)),
    ]


def _bicycle_luggage(rng: np.random.Generator, palette: Palette) -> list[Mesh]:
    """A basket in front, panniers or a child's seat behind: each on some bicycles."""
    parts = []
    if rng.random() < 0.25:
        basket = palette.add("basket", rng.uniform(0.1, 0.6), dropout=0.1)
        parts.append(box((0.28, 0.36, 0.26), basket, (0.58, 0, 0.86)))
    behind = rng.random()
    if behind < 0.2:
        bag = palette.add("pannier", rng.uniform(0.08, 0.8))
        parts += [box((0.32, 0.14, 0.33), bag, (-0.5, side * 0.16, 0.58)) for side in SIDES]
    elif behind < 0.28:
        seat = palette.add("child seat plastic", rng.uniform(0.06, 0.7), gloss=True)
        parts += [box((0.3, 0.28, 0.08), seat, (-0.48, 0, 0.84)), box((0.08, 0.3, 0.42), seat, (-0.63, 0, 1.05))]
    return parts


# -------------------------------------------------------------------------------------- kick-scooters


def make_scooter(rng: np.random.Generator, palette: Palette) -> Mesh:
    """An electric kick-scooter: deck, stem, handlebar, two small wheels, reflectors."""
    shell = palette.add("scooter paint", rng.uniform(0.06, 0.85), gloss=True)
    # Hired scooters have a stem in the company's colour over a dark deck; others are of one colour.
    deck = shell if rng.random() < 0.5 else palette.add("scooter deck", rng.uniform(0.05, 0.3))
    dark = palette.add("scooter rubber", rng.uniform(0.05, 0.12))
    red = palette.add("reflector", 0.5, retroreflection=5.0, gloss=True)
    top, width = rng.uniform(1.08, 1.2), rng.uniform(0.15, 0.2)
    parts = [
        box((0.78, width, 0.07), deck, (-0.02, 0, 0.15)),
        box((0.7, 0.9 * width, 0.012), dark, (-0.02, 0, 0.192)),
        box((0.2, 0.08, 0.04), deck, (-0.42, 0, 0.27)),
        box((0.02, 0.06, 0.05), red, (-0.52, 0, 0.24)),
        *_scooter_stem(rng, top, (shell, dark, red)),
    ]
    radius = rng.uniform(0.1, 0.115)
    parts += [wheel_shape(radius, 0.055, dark, (x, 0, radius), 10) for x in (-0.44, 0.5)]
    return join(parts)


def _scooter_stem(rng: np.random.Generator, top: float, materials: tuple[int, int, int]) -> list[Mesh]:
    """Stem, fork, handlebar with its display, sometimes a basket. materials: shell, dark, reflector."""
    shell, dark, red = materials
    thick = rng.uniform(0.9, 1.3)
    parts = [
        tube(
            np.array([(0.47, 0, 0.16), (0.4, 0, 0.62), (0.34, 0, top)]),
            thick * np.array([0.05, 0.036, 0.034]),
            shell,
            6,
        ),
        tube(np.array([(0.3, -0.22, top), (0.34, 0, top + 0.02), (0.3, 0.22, top)]), 0.024, dark, 4),
        box((0.09, 0.13, 0.09), dark, (0.36, 0, top + 0.02)),
        box((0.1, 0.1, 0.22), shell, (0.44, 0, 0.32)),
        box((0.02, 0.08, 0.12), red, (0.43, 0, 0.8)),
    ]
    if rng.random() < 0.12:
        parts.append(box((0.18, 0.26, 0.2), dark, (0.5, 0, 0.85)))
    return parts


# ---------------------------------------------------------------------------------------- motorcycles


def make_motorcycle(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A motorcycle, or (two in five) a motor scooter with a leg shield; some with a screen or a top box."""
    paint = palette.add("motorcycle paint", rng.choice([0.06, 0.3, 0.7]) * rng.uniform(0.8, 1.3), gloss=True)
    dark = palette.add("motorcycle rubber", 0.06)
    metal = palette.add("motorcycle metal", 0.5, grain=0.3, gloss=True)
    lamp = palette.add("motorcycle lamp", 0.4, retroreflection=3.0, gloss=True)
    plate = palette.add("plate", 0.7, retroreflection=8.0)
    build = _moped if rng.random() < 0.4 else _motorcycle
    parts = build(paint, dark, metal)
    parts += _handlebar(dark)
    parts.append(ellipsoid((0.08, 0.12, 0.1), lamp, (0.5, 0, 0.93), 6))
    parts.append(box((0.06, 0.14, 0.08), lamp, (-0.83, 0, 0.74)))
    parts.append(box((0.03, 0.18, 0.15), plate, (-0.88, 0, 0.56)))
    if rng.random() < 0.35:
        parts.append(box((0.3, 0.42, 0.34), dark, (-0.83, 0, 1.02)))  # a top box
    if rng.random() < 0.4:
        pane = palette.add("windscreen glass", 0.06, dropout=0.5, gloss=True, pane=True)
        parts.append(disc(0.2, pane, (0.46, 0, 1.14), axis=0, sides=8))
    return join(parts)


def _motorcycle(paint: int, dark: int, metal: int) -> list[Mesh]:
    """Two large wheels, tank, engine, seat, fork, exhaust."""
    radius, half_base = 0.31, 0.71
    parts = []
    for hub in ((-half_base, 0, radius), (half_base, 0, radius)):
        parts += [ring(radius - 0.06, 0.13, dark, hub, 14), disc(0.17, metal, hub, sides=10)]
        parts.append(box((0.42, 0.15, 0.05), paint, np.add(hub, (0, 0, radius + 0.03))))
    parts += [
        ellipsoid((0.36, 0.17, 0.16), paint, (0.12, 0, 0.82)),
        box((0.5, 0.3, 0.36), metal, (0.0, 0, 0.45)),
        box((0.9, 0.1, 0.1), metal, (-0.35, 0, 0.36)),
        box((0.75, 0.26, 0.12), dark, (-0.42, 0, 0.8)),
        box((0.35, 0.2, 0.22), paint, (-0.62, 0, 0.68)),
        tube(np.array([(0.1, -0.17, 0.3), (-0.8, -0.2, 0.4)]), 0.05, metal, 6, caps=True),
    ]
    fork = np.array([[(half_base, side * 0.1, radius), (0.39, side * 0.1, 0.93)] for side in SIDES])
    return [*parts, tubes(fork, 0.03, metal, 5)]


def _moped(paint: int, dark: int, metal: int) -> list[Mesh]:
    """Small wheels, a leg shield, a flat floor and a body below the seat."""
    radius = 0.24
    parts = [wheel_shape(radius, 0.11, dark, (x, 0, radius)) for x in (-0.62, 0.68)]
    parts += [disc(0.13, metal, (x, y, radius)) for x in (-0.62, 0.68) for y in (-0.06, 0.06)]
    parts += [
        box((0.5, 0.34, 0.09), paint, (0.1, 0, 0.34)),
        tube(np.array([(0.68, 0, radius), (0.56, 0, 0.55), (0.4, 0, 0.95)]), (0.07, 0.06, 0.05), paint, 6),
        tube(np.array([(0.36, 0, 0.34), (0.44, 0, 0.62), (0.42, 0, 0.92)]), (0.2, 0.22, 0.12), paint, 8, caps=True),
        ellipsoid((0.5, 0.2, 0.24), paint, (-0.45, 0, 0.55)),
        box((0.72, 0.28, 0.12), dark, (-0.38, 0, 0.78)),
        box((0.3, 0.13, 0.05), paint, (0.68, 0, 0.52)),
    ]
    return parts


def _handlebar(dark: int) -> list[Mesh]:
    """Grips and mirrors either side of the steering head."""
    parts = []
    for side in SIDES:
        parts.append(tube(np.array([(0.4, side * 0.02, 1.0), (0.27, side * 0.36, 1.08)]), 0.022, dark, 4))
        parts.append(tube(np.array([(0.33, side * 0.22, 1.05), (0.36, side * 0.3, 1.22)]), 0.012, dark, 3))
        parts.append(box((0.04, 0.13, 0.1), dark, (0.36, side * 0.31, 1.24)))
    return parts
