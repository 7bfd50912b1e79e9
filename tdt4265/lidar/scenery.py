"""What stands still along a street: buildings, plants, poles, signs, walls, fences, shelters, racks, planters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scene import Mesh
from .shapes import Palette, box, copies, cylinder, disc, ellipsoid, join, leaves, loft, moved, quads, ring, tube
from .two_wheelers import make_bicycle


@dataclass(frozen=True)
class FacadeStyle:
    """Measures of a facade in metres, and its materials."""

    floor: float
    bay: float
    window: tuple[float, float]  # width, height
    sill: float
    reveal: float  # how deep the window sits in the wall
    bars: tuple[int, int]  # glazing bars upright and across
    wall: int
    frame: int
    glass: int
    trim: int
    base: int  # material of the lowest metre
    shops: bool
    ledges: bool


def facade_style(rng: np.random.Generator, palette: Palette, houses: bool = False) -> FacadeStyle:
    """A random style: brick, stone, plaster, wood or concrete with its windows."""
    kind = (
        rng.choice(["wood", "plaster", "brick"])
        if houses
        else rng.choice(["brick", "stone", "plaster", "concrete", "wood"])
    )
    bright = {
        "wood": (0.3, 0.75),
        "plaster": (0.4, 0.8),
        "brick": (0.3, 0.5),
        "stone": (0.25, 0.5),
        "concrete": (0.25, 0.5),
    }
    texture = {
        "wood": (0.12, 0.15),
        "plaster": (0.06, 0.6),
        "brick": (0.3, 0.25),
        "stone": (0.28, 0.2),
        "concrete": (0.1, 0.8),
    }
    grain, size = texture[str(kind)]
    reflectivity = rng.uniform(*bright[str(kind)])
    wall = palette.add(f"{kind} wall", reflectivity, grain=grain, grain_size=size)
    bay = rng.uniform(2.0, 4.2)
    width = bay * rng.uniform(0.32, 0.68)
    floor = rng.uniform(2.6, 3.1) if houses else rng.uniform(2.9, 3.9)
    return FacadeStyle(
        floor,
        bay,
        (width, floor * rng.uniform(0.38, 0.62)),
        floor * rng.uniform(0.22, 0.3),
        rng.uniform(0.03, 0.25),
        (int(rng.integers(0, 4)), int(rng.integers(0, 4))),
        wall,
        palette.add("window frame", rng.choice([0.7, 0.25]) * rng.uniform(0.8, 1.2), grain=0.05),
        palette.add("glass", rng.uniform(0.04, 0.1), dropout=float(rng.uniform(0.2, 0.5)), grain=0.5, grain_size=0.5),
        palette.add("trim", rng.uniform(0.3, 0.75)),
        palette.add("plinth", reflectivity * rng.uniform(0.6, 1.1), grain=0.3, grain_size=0.4),
        not houses and rng.random() < 0.45,
        rng.random() < 0.6,
    )


def _window(
    style: FacadeStyle, width: float, height: float, window: tuple[float, float], sill: float, bars: tuple[int, int]
) -> Mesh:
    """One cell of a facade in the plane y = 0 (x along, z up, outside towards -y): wall, reveal, glass, frame, bars."""
    a, b, c, d = (width - window[0]) / 2, (width + window[0]) / 2, sill, min(sill + window[1], height - 0.05)
    deep = style.reveal

    def rect(u0, u1, v0, v1, y):
        return [[u0, y, v0], [u1, y, v0], [u1, y, v1], [u0, y, v1]]

    wall = [rect(0, a, 0, height, 0), rect(b, width, 0, height, 0), rect(a, b, 0, c, 0), rect(a, b, d, height, 0)]
    for (u0, v0), (u1, v1) in (((a, c), (b, c)), ((b, c), (b, d)), ((b, d), (a, d)), ((a, d), (a, c))):
        wall.append([[u0, 0, v0], [u0, deep, v0], [u1, deep, v1], [u1, 0, v1]])
    y, f = deep - 0.04, 0.075
    frame = [rect(a, a + f, c, d, y), rect(b - f, b, c, d, y), rect(a, b, c, c + f, y), rect(a, b, d - f, d, y)]
    frame += [rect(u - 0.03, u + 0.03, c, d, y) for u in np.linspace(a, b, bars[0] + 2)[1:-1]]
    frame += [rect(a, b, v - 0.03, v + 0.03, y) for v in np.linspace(c, d, bars[1] + 2)[1:-1]]
    return join(
        [
            quads(np.array(wall), style.wall),
            quads(np.array(frame), style.frame),
            quads(np.array([rect(a, b, c, d, deep)]), style.glass),
        ]
    )


def facade(rng: np.random.Generator, style: FacadeStyle, length: float, height: float) -> Mesh:
    """A wall with windows from (0, 0, 0) along +x; outside is towards -y. The lowest floor may be shops."""
    bays, floors = max(1, round(length / style.bay)), max(1, round(height / style.floor))
    wide, high = length / bays, height / floors
    window = (min(style.window[0], 0.85 * wide), style.window[1])
    cell = _window(style, wide, high, window, style.sill, style.bars)
    columns, rows = np.meshgrid(np.arange(bays), np.arange(floors))
    keep = rng.random(columns.shape) > 0.04
    first_floor = 1 if style.shops else 0
    keep_upper = keep & (rows >= first_floor)
    offsets = np.stack([columns * wide, 0 * columns, rows * high], -1)
    parts = [copies(cell, offsets[keep_upper])]
    blind = ~keep & (rows >= first_floor)
    blank = quads([[[0, 0, 0], [wide, 0, 0], [wide, 0, high], [0, 0, high]]], style.wall)
    if blind.any():
        parts.append(copies(blank, offsets[blind]))
    if style.shops:
        shop = _window(style, wide, high, (0.86 * wide, 0.72 * high), 0.12 * high, (1, 0))
        parts.append(copies(shop, offsets[0]))
        parts.append(box((length, 0.12, 0.5), style.trim, (length / 2, -0.06, high - 0.2)))
    else:
        for at in rng.choice(bays, max(1, bays // 6), replace=False):
            parts.append(box((1.15, 0.1, 2.2), style.trim, ((at + 0.5) * wide, -0.03, 1.1)))
    parts.append(box((length, 0.1, 0.7), style.base, (length / 2, -0.02, 0.1)))
    if style.ledges:
        for k in range(first_floor + 1, floors):
            parts.append(box((length, 0.14, 0.12), style.trim, (length / 2, -0.05, k * high)))
    parts.append(box((length + 0.3, 0.5, 0.35), style.trim, (length / 2, 0.0, height + 0.15)))
    for at in np.arange(rng.uniform(0, 12), length, 13):
        parts.append(box((0.1, 0.1, height), style.trim, (at, -0.06, height / 2)))  # downpipe
    return join(parts)


def building(
    rng: np.random.Generator,
    palette: Palette,
    length: float,
    depth: float,
    height: float,
    *,
    gabled: bool,
    houses: bool = False,
    ends: bool = True,
) -> Mesh:
    """A building with its front along x from 0 to `length` in y = 0, facing -y, `depth` metres deep.

    ends: its gables have windows too; without them they stay open, for what is seen from the front alone.
    """
    style = facade_style(rng, palette, houses)
    parts = [facade(rng, style, length, height)]
    if ends:
        end = facade(rng, style, depth, height)
        parts += [moved(end, length, 0, 0, np.pi / 2), moved(end, 0, depth, 0, -np.pi / 2)]
    parts.append(box((length, depth, 2.0), style.base, (length / 2, depth / 2, -1.0)))  # stands in a slope
    roof = palette.add("roof", rng.uniform(0.12, 0.45), grain=0.2)
    if gabled:
        rise = depth * rng.uniform(0.25, 0.5)
        eaves = 0.4
        low = height - 0.05
        ridge = height + rise
        section = np.array([[-eaves, low], [depth / 2, ridge], [depth + eaves, low]])
        parts.append(loft(np.stack([np.c_[np.full(3, x), section] for x in (-0.3, length + 0.3)]), roof))
        if rng.random() < 0.6:
            parts.append(box((0.7, 0.7, 1.6), style.base, (length * rng.uniform(0.2, 0.8), depth / 2, ridge)))
    else:
        parts.append(box((length, depth, 0.2), roof, (length / 2, depth / 2, height)))
    if not houses and rng.random() < 0.25:
        rail = palette.add("balcony", rng.uniform(0.2, 0.6), dropout=0.2)
        floors = max(1, round(height / style.floor))
        for k in range(1, floors):
            for at in np.arange(style.bay, length - style.bay, 3 * style.bay):
                z = k * height / floors
                parts.append(box((0.8 * style.bay, 1.1, 0.12), style.trim, (at, -0.55, z)))
                parts.append(box((0.8 * style.bay, 0.05, 0.95), rail, (at, -1.08, z + 0.5)))
    return join(parts)


# ------------------------------------------------------------------------------------------ vegetation


@dataclass(frozen=True)
class Season:
    """How much foliage there is (0 bare to 1 dense), and the materials of this clip's plants."""

    foliage: float
    leaf: tuple[int, ...]
    needle: int
    bark: int


def season(rng: np.random.Generator, palette: Palette) -> Season:
    foliage = float(rng.choice([0.0, 0.35, 0.8, 1.0], p=[0.06, 0.1, 0.34, 0.5]))
    bright = rng.uniform(0.42, 0.62)
    leaf = tuple(
        palette.add("leaves", bright * rng.uniform(0.8, 1.2), grain=0.35, grain_size=0.15, dropout=0.04)
        for _ in range(3)
    )
    return Season(
        foliage,
        leaf,
        palette.add("needle leaves", rng.uniform(0.35, 0.5), grain=0.35, dropout=0.05),
        palette.add("bark", rng.uniform(0.25, 0.55), grain=0.35, grain_size=0.1),
    )


def _branches(
    rng: np.random.Generator, base: np.ndarray, height: float, spread: float, bark: int, count: int
) -> tuple[list[Mesh], np.ndarray]:
    """Boughs out of the trunk with twigs; returns them and points along them, around which leaves grow."""
    parts, points = [], []
    for k in range(count):
        start = base + np.array([0, 0, height * rng.uniform(0.0, 0.55)])
        angle, tilt = 2.4 * k + rng.uniform(-0.5, 0.5), rng.uniform(0.35, 1.1)
        reach = spread * rng.uniform(0.7, 1.1)
        tip = start + reach * np.array([np.cos(angle) * np.sin(tilt), np.sin(angle) * np.sin(tilt), 1.2 * np.cos(tilt)])
        middle = 0.5 * (start + tip) + rng.normal(0, 0.08 * reach, 3)
        parts.append(tube(np.array([start, middle, tip]), (0.09, 0.05, 0.015), bark, 4))
        points += [middle, 0.5 * (middle + tip), tip]
        for _ in range(3):
            twig = middle + rng.uniform(0, 1) * (tip - middle)
            end = twig + rng.normal(0, 0.3, 3) * reach + (0, 0, 0.15 * reach)
            parts.append(tube(np.array([twig, end]), (0.035, 0.01), bark, 3))
            points.append(end)
    return parts, np.array(points)


def tree(
    rng: np.random.Generator,
    plants: Season,
    height: float,
    *,
    conifer: bool = False,
    budget: int = 900,
    leaf: float = 0.25,
) -> Mesh:
    """A tree on the origin: trunk, boughs, and `budget` leaves of size `leaf`, fewer in a bare season."""
    if conifer:
        trunk = tube(np.array([[0, 0, -0.3], [0, 0, 0.9 * height]]), (0.12 + 0.012 * height, 0.02), plants.bark, 6)
        z = height * (1 - np.sqrt(rng.random(budget)) * rng.uniform(0.88, 0.97))
        layer = 0.75 + 0.25 * np.cos(2 * np.pi * z / 0.8)
        radius = 0.25 * (height - z) * layer * np.sqrt(rng.uniform(0.3, 1, budget))
        angle = rng.uniform(0, 2 * np.pi, budget)
        points = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], 1)
        return join([trunk, leaves(rng, points, 1.5 * leaf, plants.needle)])
    stem = height * rng.uniform(0.18, 0.34)
    thick = rng.uniform(0.09, 0.16) + 0.014 * height
    lean = rng.normal(0, 0.02 * height, 2)
    crown = np.array([lean[0], lean[1], stem])
    line = np.array([[0, 0, -0.3], [0.2 * lean[0], 0.2 * lean[1], 0.5 * stem], crown, [*(1.5 * lean), 0.75 * height]])
    trunk = tube(line, (1.25 * thick, thick, 0.85 * thick, 0.2 * thick), plants.bark, 8)
    spread = (height - stem) * rng.uniform(0.3, 0.52)
    count = 7 + int(8 * (1 - plants.foliage))
    boughs, points = _branches(rng, crown, height - stem, spread, plants.bark, count)
    amount = int(budget * plants.foliage)
    if amount == 0:
        return join([trunk, *boughs])
    # Leaves grow in clumps around the boughs' ends and over an ellipsoid: crowns have holes and torn outlines.
    shell = rng.normal(size=(amount // 2, 3))
    shell *= (rng.uniform(0.6, 1.0, (len(shell), 1)) ** 0.5) / np.linalg.norm(shell, axis=1, keepdims=True)
    shell = shell * (1.15 * spread, 1.15 * spread, 0.56 * (height - stem)) + (
        lean[0],
        lean[1],
        stem + 0.55 * (height - stem),
    )
    holes = rng.normal(size=(4, 3)) * spread * 0.8 + shell.mean(0)
    far = np.min(np.linalg.norm(shell[:, None] - holes, axis=2), axis=1) > 0.3 * spread
    clumps = points[rng.integers(0, len(points), amount - len(shell))] + rng.normal(
        0, 0.19 * spread, (amount - len(shell), 3)
    )
    cloud = np.concatenate([shell[far], clumps])
    cloud = cloud[cloud[:, 2] > 0.75 * stem]
    return join([trunk, *boughs, leaves(rng, cloud, leaf, rng.choice(plants.leaf, len(cloud)))])


def bush(rng: np.random.Generator, plants: Season, width: float, height: float, budget: int = 260) -> Mesh:
    """A bush, rather round; in winter a heap of twigs."""
    n = int(budget * max(plants.foliage, 0.35))
    ball = rng.normal(size=(n, 3))
    ball *= rng.uniform(0.5, 1, (n, 1)) ** 0.4 / np.linalg.norm(ball, axis=1, keepdims=True)
    points = np.abs(ball * (1, 1, 1)) * np.sign(ball) * (width / 2, width / 2, height * 0.55) + (0, 0, 0.5 * height)
    points = points[points[:, 2] > 0.05]
    parts = [leaves(rng, points, 0.2, rng.choice(plants.leaf, len(points)))]
    if plants.foliage > 0.5:
        core = ellipsoid((0.36 * width, 0.36 * width, 0.42 * height), plants.leaf[0], (0, 0, 0.45 * height))
        parts.append(core)
    for _ in range(6):
        tip = rng.normal(0, 0.25 * width, 3) * (1, 1, 0) + (0, 0, height * rng.uniform(0.6, 1))
        parts.append(tube(np.array([[0, 0, 0], tip]), 0.02, plants.bark, 3))
    return join(parts)


def hedge(rng: np.random.Generator, plants: Season, length: float, height: float, width: float = 0.8) -> Mesh:
    """A clipped hedge along x from 0: a core with leaves all over it."""
    n = int(130 * length * height)
    points = rng.uniform((0, -width / 2, 0), (length, width / 2, height), (n, 3))
    axis = rng.integers(0, 3, n)  # push each point out to a face
    points[axis == 0, 1] = -width / 2
    points[axis == 1, 1] = width / 2
    points[axis == 2, 2] = height
    core = box((length, 0.75 * width, 0.9 * height), plants.leaf[1], (length / 2, 0, 0.45 * height))
    return join([core, leaves(rng, points, 0.17, rng.choice(plants.leaf, n))])


# ------------------------------------------------------------------------------------ street furniture


def lamp_post(rng: np.random.Generator, palette: Palette) -> Mesh:
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
    dark = palette.add("traffic light", rng.uniform(0.06, 0.2))
    lens = palette.add("lens", 0.3, retroreflection=2.0)
    parts = [
        cylinder(0.07, 3.4, dark, 8),
        box((0.25, 0.35, 1.0), dark, (-0.15, 0, 2.9)),
        box((0.03, 0.9, 1.3), dark, (-0.1, 0, 2.9)),
    ]
    parts += [disc(0.11, lens, (-0.29, 0, 2.6 + 0.3 * k), 0, 8) for k in range(3)]
    return join(parts)


def wall(palette: Palette, rng: np.random.Generator, length: float, height: float) -> Mesh:
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


def fence(palette: Palette, rng: np.random.Generator, length: float) -> Mesh:
    """A fence along x from 0: palings or railings."""
    paint = palette.add("fence", rng.choice([0.7, 0.3, 0.12]) * rng.uniform(0.8, 1.1))
    height, gap = rng.uniform(0.8, 1.5), rng.uniform(0.16, 0.3)
    board = rng.choice([0.03, 0.09])
    n = max(2, int(length / gap))
    pales = copies(
        box((board, 0.03, height), paint, (0, 0, height / 2)), np.linspace(0, length, n)[:, None] * np.array([1, 0, 0])
    )
    piece = length / max(1, int(length / 2.5))
    rails = join([box((piece, 0.04, 0.06), paint, (piece / 2, 0, z)) for z in (0.25, height - 0.15)])
    posts = box((0.1, 0.1, height + 0.1), paint, (0, 0, height / 2))
    along = np.arange(max(1, int(length / 2.5)))[:, None] * np.array([piece, 0, 0])
    return join([pales, copies(join([rails, posts]), along)])


def guard_rail(palette: Palette, length: float) -> Mesh:
    steel = palette.add("guard rail", 0.5)
    n = max(1, int(length / 2))
    piece = length / n
    one = join([box((piece, 0.06, 0.3), steel, (piece / 2, 0, 0.6)), box((0.1, 0.1, 0.7), steel, (0, 0.08, 0.35))])
    return copies(one, np.arange(n)[:, None] * np.array([piece, 0, 0]))


def bicycle_rack(rng: np.random.Generator, palette: Palette, places: int) -> Mesh:
    """Hoops along x with bicycles left in most of them: scenery, never labelled."""
    metal = palette.add("rack", 0.5)
    bicycles = [make_bicycle(rng, palette) for _ in range(2)]
    parts = []
    for k in range(places):
        x = 0.65 * k
        hoop = np.array([[x, -0.4, 0], [x, -0.4, 0.75], [x, 0.4, 0.75], [x, 0.4, 0]])
        parts.append(tube(hoop, 0.03, metal, 5))
        if rng.random() < 0.75:
            turn = np.pi / 2 * rng.choice([-1, 1]) + rng.normal(0, 0.1)
            parts.append(moved(bicycles[rng.integers(2)], x + 0.2, rng.normal(0, 0.1), 0, turn))
    return join(parts)


def shelter(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A bus shelter along x, open towards -y: glass walls, posts, roof, bench, a poster."""
    length, depth, height = rng.uniform(3.0, 5.0), 1.5, 2.45
    glass = palette.add("shelter glass", 0.06, dropout=float(rng.uniform(0.3, 0.6)))
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
    stone = palette.add("planter", rng.uniform(0.3, 0.6), grain=0.2)
    width = rng.uniform(0.35, 0.7)
    heap = bush(rng, plants, 2.0 * width, 0.7, 90)
    if rng.random() < 0.5:
        bowl = join([cylinder(0.3 * width, 0.35, stone), moved(cylinder((0.3 * width, width), 0.4, stone), z=0.35)])
        return join([bowl, moved(heap, z=0.65)])
    return join([box((2 * width, 2 * width, 0.6), stone, (0, 0, 0.3)), moved(heap, z=0.5)])


def bollard(rng: np.random.Generator, palette: Palette) -> Mesh:
    stone = palette.add("bollard", rng.choice([0.12, 0.5]))
    height = rng.uniform(0.5, 1.0)
    band = palette.add("bollard band", 0.6, retroreflection=float(rng.choice([0.0, 3.0])))
    return join([cylinder((0.13, 0.1), height, stone, 8), moved(cylinder(0.125, 0.08, band, 8), z=0.75 * height)])


def bench(rng: np.random.Generator, palette: Palette) -> Mesh:
    wood, iron = palette.add("bench wood", rng.uniform(0.25, 0.6)), palette.add("bench iron", 0.1)
    slats = [box((1.7, 0.09, 0.04), wood, (0, -0.15 + 0.12 * k, 0.45)) for k in range(4)]
    back = [box((1.7, 0.03, 0.1), wood, (0, 0.27, 0.6 + 0.15 * k)) for k in range(2)]
    legs = [box((0.06, 0.45, 0.45), iron, (x, 0.02, 0.22)) for x in (-0.7, 0.7)]
    return join([*slats, *back, *legs])


def litter_bin(rng: np.random.Generator, palette: Palette) -> Mesh:
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
