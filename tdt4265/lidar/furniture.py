"""What stands along a street besides buildings and plants: poles, signs, walls, fences, shelters, racks, planters.

Each stands on the origin (what runs along a boundary: along x from 0), metres.
"""

from __future__ import annotations

import numpy as np

from .plants import Season, bush
from .scene import Mesh
from .shapes import (
    Palette,
    box,
    boxes,
    copies,
    cylinder,
    disc,
    ellipsoid,
    join,
    moved,
    quads,
    ring,
    tube,
    tubes,
    wheel_shape,
)  # fmt: skip

# --------------------------------------------------------------------------------------- at the kerb


def lamp_post(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A lamp whose arm reaches out towards +y."""
    metal = palette.add("lamp post", rng.uniform(0.2, 0.6))
    height, arm = rng.uniform(4.0, 9.0), rng.uniform(0.4, 2.2)
    line = np.array([[0, 0, 0], [0, 0, height - 0.4], [0, 0.3 * arm, height], [0, arm, height + 0.1]])
    return join(
        [
            tube(line, (0.1, 0.07, 0.05, 0.05), metal, 7),
            cylinder(0.14, 0.9, metal, 8),
            box((0.3, 0.7, 0.12), metal, (0, arm + 0.3, height + 0.1)),
        ]
    )


def sign_post(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A pole with one or two retroreflecting signs that face -x."""
    metal = palette.add("sign pole", rng.uniform(0.3, 0.6))
    face = palette.add("sign", 0.6, retroreflection=float(rng.uniform(3, 12)))
    back = palette.add("sign back", 0.45)
    height = rng.uniform(2.4, 3.2)
    parts = [cylinder(0.035, height, metal, 6)]
    z = height - 0.35
    for _ in range(int(rng.integers(1, 3))):
        kind = rng.choice(["round", "triangle", "square", "plate"])
        if kind in ("round", "triangle"):
            sides = 12 if kind == "round" else 3
            parts += [disc(0.32, face, (-0.05, 0, z), 0, sides), disc(0.32, back, (-0.03, 0, z), 0, sides)]
        else:
            size = (0.02, 0.6, 0.6) if kind == "square" else (0.02, rng.uniform(0.7, 1.5), 0.35)
            parts += [box(size, face, (-0.05, 0, z)), box(size, back, (-0.025, 0, z))]
        z -= 0.7
    return join(parts)


def traffic_light(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A post with three lenses that face -x."""
    dark = palette.add("traffic light", rng.uniform(0.06, 0.2))
    lens = palette.add("lens", 0.3, retroreflection=2.0, gloss=True)
    parts = [
        cylinder(0.07, 3.4, dark, 8),
        box((0.25, 0.35, 1.0), dark, (-0.15, 0, 2.9)),
        box((0.03, 0.9, 1.3), dark, (-0.1, 0, 2.9)),
    ]
    parts += [disc(0.11, lens, (-0.29, 0, 2.6 + 0.3 * k), 0, 8) for k in range(3)]
    return join(parts)


# ------------------------------------------------------------------------------------ boundaries


def wall(rng: np.random.Generator, palette: Palette, length: float, height: float) -> Mesh:
    """A garden wall along x from 0, of pieces so that it follows the ground."""
    stone = palette.add("garden wall", rng.uniform(0.2, 0.6), grain=0.22, grain_size=0.15)
    coping = palette.add("coping", rng.uniform(0.3, 0.6))
    n = max(1, int(length / 3))
    piece = length / n
    one = join(
        [
            box((piece, 0.3, height + 0.5), stone, (piece / 2, 0, height / 2 - 0.25)),
            box((piece, 0.4, 0.1), coping, (piece / 2, 0, height + 0.05)),
        ]
    )
    return copies(one, np.arange(n)[:, None] * np.array([piece, 0, 0]))


def fence(rng: np.random.Generator, palette: Palette, length: float) -> Mesh:
    """A fence along x from 0: palings or railings."""
    paint = palette.add("fence", rng.choice([0.7, 0.3, 0.12]) * rng.uniform(0.8, 1.1))
    height, gap = rng.uniform(0.8, 1.5), rng.uniform(0.16, 0.3)
    board = rng.choice([0.03, 0.09])
    x = np.linspace(0, length, max(2, int(length / gap)))
    pales = boxes((board, 0.03, height), np.stack([x, 0 * x, 0 * x + height / 2], 1), paint)
    spans = max(1, int(length / 2.5))
    piece = length / spans
    rails = [box((piece, 0.04, 0.06), paint, (piece / 2, 0, z)) for z in (0.25, height - 0.15)]
    post = box((0.1, 0.1, height + 0.1), paint, (0, 0, height / 2))
    return join([pales, copies(join([*rails, post]), piece * np.arange(spans)[:, None] * np.array([1, 0, 0]))])


def guard_rail(palette: Palette, length: float) -> Mesh:
    """A crash barrier along x from 0."""
    steel = palette.add("guard rail", 0.5, gloss=True)
    n = max(1, int(length / 2))
    piece = length / n
    one = join([box((piece, 0.06, 0.3), steel, (piece / 2, 0, 0.6)), box((0.1, 0.1, 0.7), steel, (0, 0.08, 0.35))])
    return copies(one, np.arange(n)[:, None] * np.array([piece, 0, 0]))


# ---------------------------------------------------------------------------------- on the pavement


def bicycle_rack(rng: np.random.Generator, palette: Palette, places: int, bicycles: list[Mesh]) -> Mesh:
    """Hoops along x, half empty to full of bicycles: scenery, never labelled."""
    metal = palette.add("rack", 0.5, gloss=True)
    along = 0.65 * np.arange(places)
    hoop = np.array([(0, -0.4, 0), (0, -0.4, 0.75), (0, 0.4, 0.75), (0, 0.4, 0)])
    parts = [tubes(hoop + along[:, None, None] * np.array([1, 0, 0]), 0.03, metal, 5)]
    for x in along[rng.random(places) < rng.uniform(0.5, 1.0)]:
        turn = np.pi / 2 * rng.choice([-1, 1]) + rng.normal(0, 0.1)
        parts.append(moved(bicycles[rng.integers(len(bicycles))], x + 0.2, rng.normal(0, 0.1), 0, turn))
    return join(parts)


def shelter(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A bus shelter along x, open towards -y: glass walls, posts, roof, bench, a poster."""
    length, depth, height = rng.uniform(3.0, 5.0), 1.5, 2.45
    glass = palette.add("shelter glass", 0.06, dropout=float(rng.uniform(0.3, 0.6)), gloss=True, pane=True)
    metal, bench = palette.add("shelter", rng.uniform(0.15, 0.5)), palette.add("bench", rng.uniform(0.3, 0.6))
    poster = palette.add("poster", rng.uniform(0.3, 0.8), grain=0.5, grain_size=0.3)
    parts = [box((length + 0.3, depth + 0.4, 0.15), metal, (length / 2, depth / 2 - 0.1, height))]
    parts.append(box((length, 0.02, 1.9), glass, (length / 2, depth, 1.2)))
    parts += [
        box((0.02, depth - 0.3, 1.9), glass, (0, depth / 2 + 0.1, 1.2)),
        box((0.1, depth - 0.3, 1.8), poster, (length, depth / 2 + 0.1, 1.2)),
    ]
    parts += [box((0.08, 0.08, height), metal, (x, depth, height / 2)) for x in np.linspace(0, length, 4)]
    parts.append(box((length - 0.8, 0.4, 0.08), bench, (length / 2, depth - 0.35, 0.48)))
    return join(parts)


def planter(rng: np.random.Generator, palette: Palette, plants: Season) -> Mesh:
    """A bowl or a box of stone with a bush in it."""
    stone = palette.add("planter", rng.uniform(0.3, 0.6), grain=0.2)
    width = rng.uniform(0.35, 0.7)
    heap = bush(rng, plants, 2.0 * width, 0.7, 90)
    if rng.random() < 0.5:
        bowl = join([cylinder(0.3 * width, 0.35, stone), moved(cylinder((0.3 * width, width), 0.4, stone), z=0.35)])
        return join([bowl, moved(heap, z=0.65)])
    return join([box((2 * width, 2 * width, 0.6), stone, (0, 0, 0.3)), moved(heap, z=0.5)])


def bollard(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A post, some with a reflecting band."""
    stone = palette.add("bollard", rng.choice([0.12, 0.5]))
    height = rng.uniform(0.5, 1.0)
    band = palette.add("bollard band", 0.6, retroreflection=float(rng.choice([0.0, 3.0])))
    return join([cylinder((0.13, 0.1), height, stone, 8), moved(cylinder(0.125, 0.08, band, 8), z=0.75 * height)])


def bench(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A bench along x, its back towards +y."""
    wood, iron = palette.add("bench wood", rng.uniform(0.25, 0.6)), palette.add("bench iron", 0.1)
    slats = boxes((1.7, 0.09, 0.04), np.array([(0, -0.15 + 0.12 * k, 0.45) for k in range(4)]), wood)
    back = boxes((1.7, 0.03, 0.1), np.array([(0, 0.27, 0.6 + 0.15 * k) for k in range(2)]), wood)
    legs = boxes((0.06, 0.45, 0.45), np.array([(x, 0.02, 0.22) for x in (-0.7, 0.7)]), iron)
    return join([slats, back, legs])


def litter_bin(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A round bin."""
    return cylinder(rng.uniform(0.2, 0.3), rng.uniform(0.7, 1.1), palette.add("bin", rng.uniform(0.08, 0.5)), 8)


def cabinet(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A distribution box, a ticket machine, a poster column: something solid beside the pavement."""
    grey = palette.add("cabinet", rng.uniform(0.25, 0.6))
    if rng.random() < 0.3:
        return join(
            [
                cylinder(0.55, 2.8, palette.add("posters", rng.uniform(0.3, 0.7), grain=0.5, grain_size=0.4), 12),
                moved(cylinder(0.65, 0.15, grey, 12), z=2.8),
            ]
        )
    return box((rng.uniform(0.4, 1.4), 0.4, rng.uniform(0.9, 1.6)), grey, (0, 0, 0.6))


def column(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A stone column or a monument on a plinth."""
    stone = palette.add("monument", rng.uniform(0.3, 0.6), grain=0.2, grain_size=0.15)
    width = rng.uniform(0.9, 1.6)
    height = rng.uniform(3.0, 11.0)
    parts = [
        box((1.8 * width, 1.8 * width, 0.4), stone, (0, 0, 0.2)),
        box((1.3 * width, 1.3 * width, 1.0), stone, (0, 0, 0.8)),
    ]
    if rng.random() < 0.6:
        parts.append(moved(cylinder((0.42 * width, 0.36 * width), height, stone, 12), z=1.3))
    else:
        parts += [
            moved(cylinder((0.3, 0.25), 1.2, stone, 8), z=1.3),
            moved(ellipsoid((0.3, 0.4, 0.7), stone), z=2.9),
            moved(ellipsoid((0.16, 0.14, 0.2), stone), z=3.7),
        ]
    return join(parts)


def playground(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A swing frame and hoop: thin bars against the sky."""
    paint = palette.add("playground", rng.uniform(0.2, 0.7))
    frame = [np.array([[x, -0.8, 0], [x, 0, 2.3], [x, 0.8, 0]]) for x in (0, 3)]
    parts = [tube(line, 0.05, paint, 5) for line in frame]
    parts.append(tube(np.array([[0, 0, 2.3], [3, 0, 2.3]]), 0.05, paint, 5))
    parts.append(moved(ring(0.8, 0.08, paint, (0, 0, 0.8), 12), 4.5))
    return join(parts)


# ------------------------------------------------------------------ easily mistaken for a road user


def railing(rng: np.random.Generator, palette: Palette, length: float) -> Mesh:
    """A railing of pipes along x from 0, as beside crossings and on steps; some have bars, some two rails."""
    metal = palette.add("railing", rng.choice([0.12, 0.35, 0.6]) * rng.uniform(0.8, 1.2), gloss=rng.random() < 0.5)
    height, spans = rng.uniform(0.9, 1.15), max(1, round(length / 1.8))
    posts = length / spans * np.arange(spans + 1)
    uprights = np.array([(0, 0, 0), (0, 0, height)]) + posts[:, None, None] * np.array([1, 0, 0])
    levels = (height, 0.15) if (barred := rng.random() < 0.6) else (height, 0.55 * height)
    rails = np.array([[(0, 0, z), (length, 0, z)] for z in levels])
    parts = [tubes(uprights, 0.03, metal, 5), tubes(rails, 0.028, metal, 5)]
    if barred:
        x = np.arange(0.13, length, 0.14)
        parts.append(boxes((0.02, 0.02, height - 0.15), np.stack([x, 0 * x, 0 * x + 0.5 * height + 0.07], 1), metal))
    return join(parts)


def trailer(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A parked trailer: a box, a covered or an open bed on two wheels, its drawbar towards +x."""
    paint = palette.add("trailer paint", rng.choice([0.2, 0.5, 0.8]) * rng.uniform(0.8, 1.15), grain=0.2, gloss=True)
    cover = palette.add("tarpaulin", rng.uniform(0.3, 0.85), grain=0.15)
    dark, tyre = palette.add("trailer frame", rng.uniform(0.08, 0.4)), palette.add("tyre", rng.uniform(0.05, 0.09))
    lamp = palette.add("trailer lamp", 0.4, retroreflection=4.0, gloss=True)
    length, width = rng.uniform(1.9, 3.4), rng.uniform(1.2, 1.7)
    kind = rng.choice(["box", "covered", "open"], p=[0.35, 0.3, 0.35])
    walls = {"box": rng.uniform(1.2, 1.7), "covered": rng.uniform(0.7, 1.2), "open": rng.uniform(0.3, 0.5)}[kind]
    bar = np.array([(length / 2, 0, 0.45), (length / 2 + 1.1, 0, 0.42)])
    parts = [
        box((length, width, 0.12), dark, (0, 0, 0.5)),
        tube(bar, 0.05, dark, 5),
        moved(cylinder(0.04, 0.42, dark, 5), length / 2 + 1),
        *(wheel_shape(0.29, 0.17, tyre, (-0.1, side * (width / 2 + 0.1), 0.29), 12) for side in (-1, 1)),
        *(box((0.04, 0.25, 0.12), lamp, (-length / 2 - 0.03, side * 0.4 * width, 0.5)) for side in (-1, 1)),
    ]
    if kind == "box":
        return join([*parts, box((length, width, walls), paint, (0, 0, 0.56 + walls / 2))])
    sides = [box((length, 0.04, walls), paint, (0, side * width / 2, 0.56 + walls / 2)) for side in (-1, 1)]
    ends = [box((0.04, width, walls), paint, (end * length / 2, 0, 0.56 + walls / 2)) for end in (-1, 1)]
    if kind == "covered":
        ends.append(box((length, width, 0.2), cover, (0, 0, 0.6 + walls)))
    return join([*parts, *sides, *ends])


def cafe(rng: np.random.Generator, palette: Palette, tables: int) -> Mesh:
    """Tables with chairs along x, some below a parasol, nobody there."""
    wood, metal = palette.add("cafe table", rng.uniform(0.25, 0.8)), palette.add("cafe chair", rng.uniform(0.1, 0.6))
    cloth = palette.add("parasol", rng.uniform(0.4, 0.9))
    closed, parasols = rng.random() < 0.5, rng.random() < 0.6
    parts = []
    for k in range(tables):
        x, y = 1.9 * k + rng.normal(0, 0.1), rng.normal(0, 0.15)
        parts += [moved(cylinder(0.38, 0.04, wood, 10), x, y, 0.71), moved(cylinder(0.05, 0.72, metal, 6), x, y)]
        for angle in rng.uniform(0, 6.3) + np.pi * np.arange(rng.integers(2, 5)) / 2:
            parts.append(moved(_chair(metal), x + 0.62 * np.cos(angle), y + 0.62 * np.sin(angle), 0, angle))
        if parasols and k % 2 == 0:
            parts.append(moved(cylinder(0.025, 2.4, metal, 5), x, y))
            shape = ((0.12, 0.05), 1.3, 1.05) if closed else ((1.3, 0.1), 0.45, 2.0)
            parts.append(moved(cylinder(shape[0], shape[1], cloth, 8), x, y, shape[2]))
    return join(parts)


def _chair(material: int) -> Mesh:
    """A chair whose back is towards +x."""
    legs = boxes((0.03, 0.03, 0.45), np.array([(x, y, 0.225) for x in (-0.18, 0.18) for y in (-0.18, 0.18)]), material)
    seat, back = box((0.42, 0.42, 0.04), material, (0, 0, 0.46)), box((0.03, 0.4, 0.42), material, (0.2, 0, 0.69))
    return join([legs, seat, back])


def sign_board(rng: np.random.Generator, palette: Palette) -> Mesh:
    """An advertising board of two leaning panels, which face -x and +x."""
    face = palette.add("sign board", rng.uniform(0.2, 0.8), grain=0.5, grain_size=0.2)
    height, half = rng.uniform(0.8, 1.3), rng.uniform(0.25, 0.4)
    panels = [[(0.25 * end, -half, 0), (0.25 * end, half, 0), (0.03 * end, half, height), (0.03 * end, -half, height)]
              for end in (-1, 1)]  # fmt: skip
    return quads(np.array(panels), face)


def recycling(rng: np.random.Generator, palette: Palette) -> Mesh:
    """Two to five wheeled bins or containers in a row along x."""
    parts, x = [], 0.0
    container = rng.random() < 0.3
    for _ in range(int(rng.integers(2, 6))):
        paint = palette.add("container", rng.uniform(0.08, 0.6), grain=0.15)
        size = np.array([1.35, 0.95, 1.15] if container else [0.58, 0.7, 1.02]) * rng.normal(1, 0.04, 3)
        parts.append(box(size, paint, (x + size[0] / 2, rng.normal(0, 0.06), 0.08 + size[2] / 2)))
        parts.append(box((size[0] * 1.04, size[1] * 1.06, 0.07), paint, (x + size[0] / 2, 0, 0.1 + size[2])))
        x += size[0] + rng.uniform(0.03, 0.2)
    return join(parts)


def platform(rng: np.random.Generator, palette: Palette, length: float, depth: float, height: float) -> Mesh:
    """A landing along x from 0, with steps down towards -y; people stand on it."""
    stone = palette.add("steps", rng.uniform(0.3, 0.65), grain=0.15)
    steps = max(2, round(height / 0.16))
    parts = [box((length, depth, height + 0.3), stone, (length / 2, depth / 2, height / 2 - 0.15))]
    for k in range(1, steps):
        tread, low = 0.32 * k, height * (1 - k / steps)
        parts.append(box((length, tread, low + 0.3), stone, (length / 2, -tread / 2, low / 2 - 0.15)))
    if rng.random() < 0.5:
        parts.append(moved(railing(rng, palette, depth), length, 0, height, np.pi / 2))
    return join(parts)
