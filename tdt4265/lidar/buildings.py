"""Buildings: facades of windows with reveals, frames and bars; shops, ledges, roofs and balconies. Metres."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from .scene import Mesh
from .shapes import Palette, box, boxes, copies, join, loft, moved, quads
from .shops import display

SHOP_WIDTH, SHOP_SILL, SHOP_HEIGHT = 0.86, 0.12, 0.72  # of a shop window, as shares of its bay and of its floor


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


# Reflectivity from and to, and how much it varies over how many metres.
_WALLS = {
    "wood": ((0.3, 0.75), 0.12, 0.15),
    "plaster": ((0.4, 0.8), 0.06, 0.6),
    "brick": ((0.3, 0.5), 0.3, 0.25),
    "stone": ((0.25, 0.5), 0.28, 0.2),
    "concrete": ((0.25, 0.5), 0.1, 0.8),
}


def facade_style(rng: np.random.Generator, palette: Palette, houses: bool = False) -> FacadeStyle:
    """A random style: brick, stone, plaster, wood or concrete with its windows."""
    kind = str(rng.choice(["wood", "plaster", "brick"] if houses else list(_WALLS)))
    bright, grain, size = _WALLS[kind]
    reflectivity = rng.uniform(*bright)
    bay = rng.uniform(2.6, 5.0)
    floor = rng.uniform(2.6, 3.1) if houses else rng.uniform(2.9, 3.9)
    dropout = float(rng.uniform(0.15, 0.4))
    return FacadeStyle(
        floor,
        bay,
        window=(bay * rng.uniform(0.28, 0.6), floor * rng.uniform(0.38, 0.62)),
        sill=floor * rng.uniform(0.22, 0.3),
        reveal=rng.uniform(0.03, 0.25),
        bars=(int(rng.integers(0, 4)), int(rng.integers(0, 4))),
        wall=palette.add(f"{kind} wall", reflectivity, grain=grain, grain_size=size),
        frame=palette.add("window frame", rng.choice([0.7, 0.25]) * rng.uniform(0.8, 1.2), grain=0.05),
        glass=palette.add(
            "glass", rng.uniform(0.1, 0.5), dropout=dropout, grain=0.5, grain_size=0.5, gloss=True, pane=True
        ),
        trim=palette.add("trim", rng.uniform(0.3, 0.75)),
        base=palette.add("plinth", reflectivity * rng.uniform(0.6, 1.1), grain=0.3, grain_size=0.4),
        shops=not houses and rng.random() < 0.45,
        ledges=rng.random() < 0.6,
    )


# -------------------------------------------------------------------------------------------- facades


def _upright(left, right, low, high, y) -> list[tuple[float, float, float]]:
    """A rectangle in the plane y, corners counter-clockwise seen from -y."""
    return [(left, y, low), (right, y, low), (right, y, high), (left, y, high)]


def _window(
    style: FacadeStyle, width: float, height: float, window: tuple[float, float], sill: float, bars: tuple[int, int],
    glazed: bool = True,
) -> Mesh:
    """One cell of a facade in the plane y = 0 (x along, z up, outside towards -y): wall, reveal, glass, frame, bars."""
    left, right = (width - window[0]) / 2, (width + window[0]) / 2
    top = min(sill + window[1], height - 0.05)
    wall = [
        _upright(0, left, 0, height, 0),
        _upright(right, width, 0, height, 0),
        _upright(left, right, 0, sill, 0),
        _upright(left, right, top, height, 0),
    ]
    deep = style.reveal
    if deep:
        opening = [(left, sill), (right, sill), (right, top), (left, top), (left, sill)]
        for (x0, z0), (x1, z1) in itertools.pairwise(opening):
            wall.append([(x0, 0, z0), (x0, deep, z0), (x1, deep, z1), (x1, 0, z1)])
    frame = _frame(left, right, sill, top, deep - 0.04, bars)
    glass = [_upright(left, right, sill, top, deep)] if glazed else []
    materials = [style.wall] * len(wall) + [style.frame] * len(frame) + [style.glass] * len(glass)
    return quads(np.array(wall + frame + glass), np.array(materials))


def _frame(left: float, right: float, low: float, high: float, y: float, bars: tuple[int, int]) -> list:
    """A window's frame and its glazing bars, upright and across, as quads in the plane y."""
    thick, thin = 0.075, 0.03
    frame = [
        _upright(left, left + thick, low, high, y),
        _upright(right - thick, right, low, high, y),
        _upright(left, right, low, low + thick, y),
        _upright(left, right, high - thick, high, y),
    ]
    frame += [_upright(x - thin, x + thin, low, high, y) for x in np.linspace(left, right, bars[0] + 2)[1:-1]]
    frame += [_upright(left, right, z - thin, z + thin, y) for z in np.linspace(low, high, bars[1] + 2)[1:-1]]
    return frame


def grid(style: FacadeStyle, length: float, height: float) -> tuple[int, int]:
    """How many bays and floors a facade has."""
    return max(1, round(length / style.bay)), max(1, round(height / style.floor))


def facade(
    rng: np.random.Generator, style: FacadeStyle, length: float, height: float, displays: np.ndarray | None = None
) -> Mesh:
    """A wall with windows from (0, 0, 0) along +x; outside is towards -y. The lowest floor may be shops.

    displays: bool [bays], shop windows that let the view through to what `shops.display` makes; None: no window does.
    """
    bays, floors = grid(style, length, height)
    wide, high = length / bays, height / floors
    displays = np.zeros(bays, bool) if displays is None else displays
    window = (min(style.window[0], 0.85 * wide), style.window[1])
    column, row = np.meshgrid(np.arange(bays), np.arange(floors))
    offsets = np.stack([column * wide, 0 * column, row * high], -1)
    blind = rng.random(column.shape) < 0.04
    upper = row >= style.shops
    parts = [copies(_window(style, wide, high, window, style.sill, style.bars), offsets[upper & ~blind])]
    if (upper & blind).any():
        parts.append(copies(quads([_upright(0, wide, 0, high, 0)], style.wall), offsets[upper & blind]))
    if style.shops:
        size, sill = (SHOP_WIDTH * wide, SHOP_HEIGHT * high), SHOP_SILL * high
        for which, glazed in ((~displays, True), (displays, False)):
            if which.any():
                parts.append(copies(_window(style, wide, high, size, sill, (1, 0), glazed), offsets[0][which]))
        parts.append(box((length, 0.12, 0.5), style.trim, (length / 2, -0.06, high - 0.2)))
    else:
        at = (rng.choice(bays, max(1, bays // 6), replace=False) + 0.5) * wide
        parts.append(boxes((1.15, 0.1, 2.2), np.stack([at, 0 * at - 0.03, 0 * at + 1.1], 1), style.trim))  # doors
    return join(parts + _relief(rng, style, length, height, np.arange(style.shops + 1, floors) * high))


def _relief(
    rng: np.random.Generator, style: FacadeStyle, length: float, height: float, storeys: np.ndarray
) -> list[Mesh]:
    """What stands out from a facade: plinth, cornice, downpipes, ledges at the storeys' heights."""
    middle = length / 2
    parts = [
        box((length, 0.1, 0.7), style.base, (middle, -0.02, 0.1)),
        box((length + 0.3, 0.5, 0.35), style.trim, (middle, 0.0, height + 0.15)),
    ]
    if style.ledges and len(storeys):
        centers = np.stack([0 * storeys + middle, 0 * storeys - 0.05, storeys], 1)
        parts.append(boxes((length, 0.14, 0.12), centers, style.trim))
    for at in np.arange(rng.uniform(0, 12), length, 13):
        parts.append(box((0.1, 0.1, height), style.trim, (at, -0.06, height / 2)))
    return parts


# ------------------------------------------------------------------------------------------ buildings


def building(
    rng: np.random.Generator,
    palette: Palette,
    length: float,
    depth: float,
    height: float,
    *,
    gabled: bool,
    houses: bool = False,
    far: bool = False,
) -> tuple[Mesh, list[Mesh]]:
    """A building with its front along x from 0 to `length` in y = 0, facing -y, `depth` metres deep; and what is on
    display in its shop windows, a mesh for each of those that show something.

    far: seen from afar and from the front alone: no reveals and bars, which would be finer than a pixel, open gables.
    """
    style = facade_style(rng, palette, houses)
    if far:
        style = replace(style, reveal=0.0, bars=(0, 0))
    bays, floors = grid(style, length, height)
    displays = rng.random(bays) < (0.0 if far or not style.shops else 0.6)
    parts = [facade(rng, style, length, height, displays)]
    if not far:
        end = facade(rng, style, depth, height)
        parts += [moved(end, length, 0, 0, np.pi / 2), moved(end, 0, depth, 0, -np.pi / 2)]
    parts.append(box((length, depth, 2.0), style.base, (length / 2, depth / 2, -1.0)))  # stands in a slope
    roof = palette.add("roof", rng.uniform(0.12, 0.45), grain=0.2)
    if gabled:
        parts += _gabled_roof(rng, length, depth, height, roof, style.base)
    else:
        parts.append(box((length, depth, 0.2), roof, (length / 2, depth / 2, height)))
    if not houses and rng.random() < 0.25:
        parts += _balconies(rng, palette, style, length, height)
    return join(parts), _displays(rng, palette, length / bays, height / floors, style.reveal, np.flatnonzero(displays))


def _displays(rng, palette: Palette, wide: float, high: float, reveal: float, bays: np.ndarray) -> list[Mesh]:
    """What is on display in the shop windows of the given bays."""
    low, width = SHOP_SILL * high, SHOP_WIDTH * wide
    inside = [display(rng, palette, width, low, low + SHOP_HEIGHT * high) for _ in bays]
    return [moved(mesh, (bay + 0.5) * wide - width / 2, reveal) for mesh, bay in zip(inside, bays, strict=True)]


def _gabled_roof(
    rng: np.random.Generator, length: float, depth: float, height: float, roof: int, chimney: int
) -> list[Mesh]:
    rise, eaves = depth * rng.uniform(0.25, 0.5), 0.4
    section = np.array([(-eaves, height - 0.05), (depth / 2, height + rise), (depth + eaves, height - 0.05)])
    ends = [np.column_stack([np.full(3, x), section]) for x in (-0.3, length + 0.3)]
    parts = [loft(np.stack(ends), roof)]
    if rng.random() < 0.6:
        at = (length * rng.uniform(0.2, 0.8), depth / 2, height + rise)
        parts.append(box((0.7, 0.7, 1.6), chimney, at))
    return parts


def _balconies(
    rng: np.random.Generator, palette: Palette, style: FacadeStyle, length: float, height: float
) -> list[Mesh]:
    """A balcony at every third bay of every storey."""
    rail = palette.add("balcony", rng.uniform(0.2, 0.6), dropout=0.2)
    floors = max(1, round(height / style.floor))
    along, up = np.meshgrid(np.arange(style.bay, length - style.bay, 3 * style.bay), np.arange(1, floors))
    if not along.size:
        return []
    at = np.stack([along.ravel(), 0 * along.ravel(), up.ravel() * height / floors], 1)
    wide = 0.8 * style.bay
    return [
        boxes((wide, 1.1, 0.12), at + np.array([0, -0.55, 0]), style.trim),
        boxes((wide, 0.05, 0.95), at + np.array([0, -1.08, 0.5]), rail),
    ]
