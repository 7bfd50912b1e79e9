"""How people are built: a body of a random size, and clothes, hair, hats and bags of very different looks.

Seen at 865 nm people differ from what the eye sees: most dyes are transparent there, so that cloth is bright, black
jackets often included; a dark one is the exception.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .road_users import PARTS, Body
from .scene import Mesh
from .shapes import Palette, box, circle, cylinder, ellipsoid, join, loft, moved

SIDES = ((1, "l"), (-1, "r"))


@dataclass(frozen=True)
class Outfit:
    """What someone wears. Lengths in metres; girth: how far clothes stand off, as a factor.

    hem: how far the upper garment reaches below the hips; flare: its width there, as a factor.
    """

    jacket: int
    trousers: int
    sleeves: int  # material of the forearms: the jacket's or skin
    shins: int  # material below the knee: the trousers' or skin
    shoes: int
    skin: int
    hem: float
    flare: float
    girth: float


def make_body(rng: np.random.Generator, palette: Palette, *, helmet: bool = False, child: bool = False) -> Body:
    """A human of random build, clothes and luggage; adults are 1.72 m tall on average."""
    scale = rng.uniform(0.62, 0.85) if child else float(np.clip(rng.normal(0.975, 0.05), 0.84, 1.12))
    outfit = _outfit(rng, palette, scale)
    girth = outfit.girth * scale
    shoulder_half = 0.17 * girth + 0.025
    parts: dict[str, list[Mesh]] = {name: [] for name in PARTS}
    parts["torso"] = [_torso(scale, girth, outfit), *_luggage(rng, palette, scale, girth)]
    parts["head"] = _head(rng, palette, scale, outfit.skin, helmet)
    arm_out, leg_out = rng.uniform(0.03, 0.16), rng.uniform(0.0, 0.05)
    for side, name in SIDES:
        thigh, shin = _leg(scale, girth, outfit)
        arm, forearm = _arm(scale, girth, outfit)
        if not helmet and rng.random() < 0.1:
            forearm = join([forearm, _carried(rng, palette, scale, side)])
        for part, mesh, slant in (
            ("thigh", thigh, leg_out),
            ("shin", shin, leg_out),
            ("arm", arm, arm_out),
            ("forearm", forearm, arm_out / 3),
        ):
            parts[f"{part}_{name}"] = [_spread(mesh, side * slant)]
    shapes = [join(parts[name]) for name in PARTS]
    return Body(
        join(shapes),
        np.repeat(np.arange(len(PARTS)), [len(m.vertices) for m in shapes]),
        hip_height=0.925 * scale,
        shoulder=0.5 * scale,
        neck=0.53 * scale,
        thigh=0.45 * scale,
        upper_arm=0.29 * scale,
        hip_half=0.085 * scale,
        shoulder_half=shoulder_half,
        arm_out=arm_out,
        leg_out=leg_out,
        forearm=0.26 * scale,
        shin=0.44 * scale,
        head=_head_size(scale),
    )


def _spread(limb: Mesh, slant: float) -> Mesh:
    """A limb that hangs outward from its joint, by `slant` metres per metre."""
    vertices = limb.vertices.copy()
    vertices[:, 1] -= np.float32(slant) * vertices[:, 2]
    return Mesh(vertices, limb.faces, limb.materials)


# -------------------------------------------------------------------------------------------- clothes


def _outfit(rng: np.random.Generator, palette: Palette, scale: float) -> Outfit:
    """Random clothes: short and long jackets, coats, skirts, some bare arms and legs."""
    jacket = palette.add("jacket", _jacket_reflectivity(rng), grain=rng.choice([0.1, 0.2, 0.35]), grain_size=0.12)
    trousers = palette.add("trousers", _trouser_reflectivity(rng), grain=0.2, grain_size=0.12)
    skin = palette.add("skin", rng.uniform(0.5, 0.75))
    # A short jacket, a long one, a coat, a skirt or dress: (hem, flare), metres and a factor.
    short, long, coat, dress = (0.1, 1.04), (0.2, 1.1), (rng.uniform(0.35, 0.6), 1.25), (rng.uniform(0.35, 0.55), 1.45)
    hem, flare = (short, long, coat, dress)[rng.choice(4, p=[0.36, 0.34, 0.2, 0.1])]
    return Outfit(
        jacket,
        trousers,
        sleeves=skin if rng.random() < 0.12 else jacket,
        shins=skin if rng.random() < 0.08 else trousers,
        shoes=palette.add("shoes", rng.uniform(0.05, 0.8)),
        skin=skin,
        hem=hem * scale,
        flare=flare,
        girth=rng.uniform(0.85, 1.12),
    )


def _jacket_reflectivity(rng: np.random.Generator) -> float:
    return rng.choice([rng.uniform(0.06, 0.25), rng.uniform(0.35, 0.65), rng.uniform(0.65, 0.95)], p=[0.15, 0.15, 0.7])


def _trouser_reflectivity(rng: np.random.Generator) -> float:
    return rng.choice([rng.uniform(0.06, 0.25), rng.uniform(0.5, 0.9)], p=[1 / 3, 2 / 3])


def _torso(scale: float, girth: float, outfit: Outfit) -> Mesh:
    """The upper garment, from its hem over hips, waist, chest and shoulders to the neck."""
    height, depth = 0.56 * scale, 0.13 * girth
    hips = 0.177 * girth
    heights = (-outfit.hem, -0.4 * outfit.hem, 0.0, 0.4 * height, 0.8 * height, 0.98 * height, 1.06 * height)
    widths = (hips * outfit.flare, hips * 1.08, hips, 0.15 * girth, 0.175 * girth, 0.15 * girth, 0.06 * girth)
    depths = (depth * outfit.flare, depth * 1.08, depth, 0.9 * depth, depth, 0.75 * depth, 0.4 * depth)
    sizes = np.array([depths, widths, np.ones(7)], np.float32).T
    sections = circle(8) * sizes[:, None]
    sections[..., 2] += np.array(heights, np.float32)[:, None]
    return loft(sections, outfit.jacket)


def _limb(length: float, top: float, bottom: float, material: int, depth: float = 1.0) -> Mesh:
    """A tapered six-sided limb that hangs down from its joint, rounded off above it."""
    radii = np.array([bottom, 0.55 * top + 0.45 * bottom, top, 0.45 * top], np.float32)
    sections = circle(6) * radii[:, None, None] * np.array([depth, 1, 1], np.float32)
    sections[..., 2] -= np.array([length, 0.5 * length, 0, -0.6 * top], np.float32)[:, None]
    return loft(sections, material)


def _leg(scale: float, girth: float, outfit: Outfit) -> tuple[Mesh, Mesh]:
    """Thigh and shin (with the shoe), each hanging from its joint."""
    radius = 0.085 * girth
    thigh = _limb(0.45 * scale, 1.08 * radius, 0.8 * radius, outfit.trousers, 1.15)
    shin = _limb(0.45 * scale, 0.78 * radius, 0.55 * radius, outfit.shins)
    shoe = box((0.27 * scale, 0.1 * scale, 0.09), outfit.shoes, (0.06 * scale, 0, -0.45 * scale + 0.02))
    return thigh, join([shin, shoe])


def _arm(scale: float, girth: float, outfit: Outfit) -> tuple[Mesh, Mesh]:
    """Upper arm and forearm (with the hand), each hanging from its joint."""
    arm = _limb(0.3 * scale, 0.06 * girth, 0.052 * girth, outfit.jacket)
    bare = outfit.sleeves == outfit.skin
    forearm = _limb(0.26 * scale, (0.042 if bare else 0.05) * girth, (0.03 if bare else 0.042) * girth, outfit.sleeves)
    hand = ellipsoid((0.045, 0.03, 0.075), outfit.skin, (0, 0, -0.3 * scale), 6)
    return arm, join([forearm, hand])


# ----------------------------------------------------------------------------- heads, luggage


def _head_size(scale: float) -> float:
    """Children's heads are large for their bodies."""
    return 0.6 + 0.4 * scale


def _head(rng: np.random.Generator, palette: Palette, scale: float, skin: int, helmet: bool) -> list[Mesh]:
    """Neck, face and what is on it: a helmet, hair short or long, a cap, a woollen hat, a hood."""
    size = _head_size(scale)
    parts = [cylinder(0.055 * scale, 0.1 * scale, skin, 6), ellipsoid((0.1, 0.08, 0.125), skin, (0.02, 0, 0.185))]
    if helmet:
        shell = palette.add("helmet plastic", rng.uniform(0.06, 0.9), gloss=True)
        parts.append(ellipsoid((0.145, 0.115, 0.1), shell, (0.0, 0, 0.25)))
        return [moved(join(parts), scale=size)]
    hair = palette.add("hair", rng.uniform(0.2, 0.8), grain=0.2)
    look = rng.choice(["short", "long", "hat", "cap", "hood", "bald"], p=[0.36, 0.22, 0.16, 0.1, 0.1, 0.06])
    if look in ("short", "long", "cap"):
        parts.append(ellipsoid((0.108, 0.09, 0.105), hair, (-0.015, 0, 0.215)))
    if look == "long":
        parts.append(ellipsoid((0.06, 0.1, 0.19), hair, (-0.075, 0, 0.11)))
    if look in ("hat", "cap"):
        wool = palette.add("hat", _jacket_reflectivity(rng), grain=0.2)
        parts.append(ellipsoid((0.115, 0.1, 0.09 if look == "cap" else 0.115), wool, (-0.01, 0, 0.25)))
        if look == "cap":
            parts.append(box((0.1, 0.14, 0.02), wool, (0.13, 0, 0.245)))
    if look == "hood":
        cloth = palette.add("hood", _jacket_reflectivity(rng), grain=0.2)
        parts.append(ellipsoid((0.13, 0.125, 0.17), cloth, (-0.035, 0, 0.18)))
    return [moved(join(parts), scale=size)]


def _luggage(rng: np.random.Generator, palette: Palette, scale: float, girth: float) -> list[Mesh]:
    """What the torso carries: a backpack, a shoulder bag, reflecting bands."""
    parts = []
    behind = -0.12 * girth
    kind = rng.random()
    if kind < 0.3:
        size = np.array([0.19, 0.31, 0.46]) * rng.uniform(0.8, 1.15)
        pack = palette.add("backpack", _jacket_reflectivity(rng), grain=0.2)
        parts.append(box(size * scale, pack, (behind - size[0] * 0.4 * scale, 0, 0.32 * scale)))
    elif kind < 0.48:
        bag = palette.add("shoulder bag", _jacket_reflectivity(rng), grain=0.2)
        side = rng.choice([-1, 1])
        size = (rng.uniform(0.25, 0.4), 0.12, rng.uniform(0.2, 0.32))
        parts.append(box(size, bag, (-0.03, side * (0.165 * girth + 0.02), rng.uniform(-0.1, 0.1))))
    if rng.random() < 0.15:
        band = palette.add("reflective band", 0.7, retroreflection=float(rng.uniform(2, 6)))
        level = rng.uniform(0.1, 0.4) * scale
        ring = circle(8) * np.array([0.137, 0.18, 1], np.float32) * np.float32(girth)
        parts.append(loft(ring + np.array([[[0, 0, level]], [[0, 0, level + 0.06]]], np.float32), band))
    return parts


def _carried(rng: np.random.Generator, palette: Palette, scale: float, side: int) -> Mesh:
    """A bag in the hand."""
    bag = palette.add("bag", rng.uniform(0.1, 0.95), grain=0.2)
    height = rng.uniform(0.25, 0.4)
    return box((rng.uniform(0.22, 0.36), 0.14, height), bag, (0, side * 0.06, -0.32 * scale - height / 2))
