"""Road users of all eight classes: how each is built, and how it moves.

A user is built once, in its own coordinates (origin on the ground below its middle, front along +x), and set into the
world at every time by its `Motion`; limbs swing with the distance travelled, so feet do not slide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scene import Mesh
from .shapes import Palette, box, cylinder, disc, ellipsoid, join, loft, moved, quads, ring, tube

CAR, TRUCK, BUS, MOTORCYCLE, BICYCLE, SCOOTER, PERSON, RIDER = range(1, 9)
VISIBLE_RANGE = 110.0  # metres; farther users are less than a pixel wide


@dataclass(frozen=True)
class Motion:
    """Where a user is at times 0, 0.1, 0.2, ... seconds.

    poses: float64 [T, 5], x, y, z (of the ground below), heading, slope (rise per metre ahead).
    travel: float64 [T], metres travelled since the start.
    """

    poses: np.ndarray
    travel: np.ndarray

    def at(self, t: float) -> tuple[np.ndarray, float]:
        """Pose [5] and travel at time t, between the samples linearly."""
        i = float(np.clip(t * 10, 0, len(self.poses) - 1))
        k = min(int(i), len(self.poses) - 2) if len(self.poses) > 1 else 0
        f = i - k
        if f == 0:
            return self.poses[k], float(self.travel[k])
        step = self.poses[k + 1] - self.poses[k]
        step[3] = (step[3] + np.pi) % (2 * np.pi) - np.pi
        return self.poses[k] + f * step, float(self.travel[k] + f * (self.travel[k + 1] - self.travel[k]))


def placed(mesh: Mesh, pose: np.ndarray) -> Mesh:
    """The mesh at a pose; it is sheared, not turned, along the slope: walls of a bus stay upright enough."""
    x, y, z, heading, slope = pose
    c, s = np.cos(heading), np.sin(heading)
    frame = np.array([[c, s, slope], [-s, c, 0], [0, 0, 1]], np.float32)
    return Mesh(mesh.vertices @ frame + np.array([x, y, z], np.float32), mesh.faces, mesh.materials)


@dataclass
class Vehicle:
    """A rigid user: car, truck, bus, motorcycle, a standing bicycle or scooter."""

    category: int
    shape: Mesh
    motion: Motion

    def mesh(self, t: float) -> Mesh | None:
        pose, _ = self.motion.at(t)
        return placed(self.shape, pose) if np.hypot(pose[0], pose[1]) < VISIBLE_RANGE else None


# The parts of a body, in the order of `Body.part`: each turns in the sagittal plane about its joint.
PARTS = ("torso", "head", "thigh_l", "thigh_r", "shin_l", "shin_r", "arm_l", "arm_r", "forearm_l", "forearm_r")


@dataclass
class Body:
    """A jointed human: vertices relative to each part's joint, joints relative to the parent's, for a pose by angles.

    part: int [V], index into PARTS. hips, shoulders, knees, elbows: joint positions, metres; shoulder and neck
    above the hips.
    """

    shape: Mesh
    part: np.ndarray
    hip_height: float
    shoulder: float  # above the hip
    neck: float
    thigh: float
    upper_arm: float
    hip_half: float
    shoulder_half: float

    def pose(self, angles: np.ndarray, lift: float) -> Mesh:
        """The body with the parts turned by `angles` [10] (radians from upright, forward positive); hips at `lift`."""
        sin, cos = np.sin(angles), np.cos(angles)
        joints = np.zeros((len(PARTS), 3), np.float32)
        joints[:, 2] = lift
        torso = np.array([sin[0], 0, cos[0]])
        joints[1] += self.neck * torso
        for left, side in ((0, 1), (1, -1)):
            joints[2 + left, 1] = side * self.hip_half
            joints[4 + left] = joints[2 + left] + self.thigh * np.array([sin[2 + left], 0, -cos[2 + left]])
            joints[6 + left] += self.shoulder * torso + np.array([0, side * self.shoulder_half, 0])
            arm = np.array([sin[6 + left], 0, -cos[6 + left]])
            joints[8 + left] = joints[6 + left] + self.upper_arm * arm
        # Torso and head stand on their joint (+x forward when tipped), limbs hang from theirs.
        sign = np.where(np.arange(len(PARTS)) < 2, 1.0, -1.0).astype(np.float32)
        s, c = (sin * sign)[self.part].astype(np.float32), cos[self.part].astype(np.float32)
        v = self.shape.vertices
        turned = np.stack([v[:, 0] * c + v[:, 2] * s, v[:, 1], v[:, 2] * c - v[:, 0] * s], 1)
        return Mesh(turned + joints[self.part], self.shape.faces, self.shape.materials)


@dataclass
class Person:
    """A human on foot: walking where the motion moves, else standing or sitting."""

    category: int
    body: Body
    motion: Motion
    stride: float = 1.4  # metres a full cycle of both legs
    phase: float = 0.0
    sitting: bool = False
    arms: tuple[float, float] = (0.0, 0.0)  # added to the forearms: carrying, phoning
    swing: float = 1.0  # how far the arms swing

    def mesh(self, t: float) -> Mesh | None:
        pose, travel = self.motion.at(t)
        if np.hypot(pose[0], pose[1]) > VISIBLE_RANGE:
            return None
        speed = np.gradient(self.motion.travel)[min(int(t * 10), len(self.motion.travel) - 1)] * 10
        walking = float(np.clip(speed / 1.0, 0, 1))
        cycle = 2 * np.pi * (travel / self.stride) + self.phase
        angles = np.zeros(len(PARTS))
        if self.sitting:
            angles[[2, 3]], angles[[4, 5]] = 1.45, 0.1
            angles[[6, 7]], angles[[8, 9]] = 0.3, 1.1
            return placed(self.body.pose(angles, 0.5), pose)
        legs = 0.31 * walking * np.sin(cycle + np.array([0, np.pi]))
        angles[0] = 0.06 * walking
        angles[2:4] = legs + 0.04
        bend = 0.75 * walking * np.clip(np.sin(cycle + np.array([0, np.pi]) + 1.9), 0, None) + 0.05
        angles[4:6] = angles[2:4] - bend
        angles[6:8] = -0.7 * self.swing * legs + 0.04
        angles[8:10] = angles[6:8] + 0.25 + np.array(self.arms)
        # The hips sink so that the standing foot stays on the ground.
        sink = self.body.hip_height * (1 - np.cos(np.abs(legs).max()))
        return placed(self.body.pose(angles, self.body.hip_height - 0.7 * sink), pose)


@dataclass
class Rider:
    """A human on a bicycle, scooter or motorcycle. With `mount` the vehicle is part of the user (and of its box)."""

    category: int
    body: Body
    motion: Motion
    seat: float
    lean: float
    position: float = 0.0  # of the hips ahead of the vehicle's middle, metres
    kind: str = "bicycle"
    mount: Mesh | None = None
    phase: float = 0.0

    def mesh(self, t: float) -> Mesh | None:
        pose, travel = self.motion.at(t)
        if np.hypot(pose[0], pose[1]) > VISIBLE_RANGE:
            return None
        angles = np.zeros(len(PARTS))
        angles[0], angles[1] = self.lean, 0.4 * self.lean
        reach = 0.75 + 0.5 * self.lean
        angles[6:8], angles[8:10] = reach, reach + 0.35
        if self.kind == "bicycle":
            turn = 2 * np.pi * travel / 4.5 + self.phase + np.array([0, np.pi])
            knee = 0.85 + 0.35 * np.sin(turn)
            angles[2:4], angles[4:6] = knee, knee - 1.0 + 0.3 * np.cos(turn)
        elif self.kind == "motorcycle":
            angles[2:4], angles[4:6] = 1.15, -0.35
        else:  # standing on a kick-scooter, one foot behind the other
            angles[2:4], angles[4:6] = (0.12, -0.12), (0.02, -0.2)
        body = self.body.pose(angles, self.seat)
        body.vertices[:, 0] += self.position
        return placed(join([body, self.mount]), pose)


# ---------------------------------------------------------------------------------------------- people


def _limb(length: float, top: float, bottom: float, material: int, depth: float = 1.0) -> Mesh:
    """A tapered six-sided limb that hangs down from its joint."""
    angle = 2 * np.pi * np.arange(6) / 6
    ring6 = np.stack([depth * np.cos(angle), np.sin(angle), 0 * angle], 1)
    sections = [
        ring6 * bottom + (0, 0, -length),
        ring6 * (0.55 * top + 0.45 * bottom) + (0, 0, -0.5 * length),
        ring6 * top,
    ]
    return loft(np.stack(sections), material)


def _torso(height: float, hip: float, waist: float, chest: float, depth: float, material: int, skirt: float) -> Mesh:
    angle = 2 * np.pi * np.arange(8) / 8
    ring8 = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    heights = (-skirt, 0.0, 0.4 * height, 0.8 * height, 0.98 * height, 1.06 * height)
    widths = (hip * 1.08, hip, waist, chest, 0.85 * chest, 0.35 * chest)
    depths = (0.95 * depth, depth, 0.85 * depth, depth, 0.75 * depth, 0.4 * depth)
    return loft(
        np.stack([ring8 * (d, w, 1) + (0, 0, z) for z, w, d in zip(heights, widths, depths, strict=True)]), material
    )


# Near-infrared light reaches through many dyes: dark clothes are often bright, which is why clothes vary so much.
def _cloth(rng: np.random.Generator, palette: Palette, name: str) -> int:
    return palette.add(
        name,
        rng.choice([rng.uniform(0.06, 0.25), rng.uniform(0.25, 0.6), rng.uniform(0.6, 0.9)]),
        grain=0.2,
        grain_size=0.12,
    )


def make_body(rng: np.random.Generator, palette: Palette, *, helmet: bool = False, child: bool = False) -> Body:
    """A human of random build and clothes, bareheaded, with hair or helmet, sometimes with a bag or a reflector."""
    scale = rng.uniform(0.6, 0.85) if child else rng.normal(1.0, 0.05)
    girth = rng.uniform(0.88, 1.22)
    hip_height, trunk = 0.92 * scale, 0.56 * scale
    jacket, trousers = _cloth(rng, palette, "jacket"), _cloth(rng, palette, "trousers")
    skin = palette.add("skin", rng.uniform(0.4, 0.6))
    shoes = palette.add("shoes", rng.uniform(0.05, 0.7))
    hair = palette.add("hair", rng.uniform(0.08, 0.5))
    skirt = rng.choice([0.1, 0.15, 0.35, 0.5], p=[0.4, 0.3, 0.2, 0.1]) * scale
    wide = 0.17 * scale * girth
    parts: dict[str, list[Mesh]] = {name: [] for name in PARTS}
    parts["torso"].append(
        _torso(trunk, 0.155 * scale * girth, 0.145 * scale * girth, wide, 0.125 * scale * girth, jacket, skirt)
    )
    head = parts["head"]
    head.append(cylinder(0.055 * scale, 0.1 * scale, skin, 6))
    head.append(ellipsoid((0.1, 0.08, 0.125), skin, (0.02, 0, 0.19)))
    if helmet:
        head.append(ellipsoid((0.145, 0.115, 0.1), palette.add("helmet", rng.uniform(0.2, 0.9)), (0.0, 0, 0.26)))
    elif rng.random() < 0.85:
        head.append(ellipsoid((0.108, 0.09, 0.115), hair, (-0.015, 0, 0.225)))
    thigh, shin = 0.45 * scale, 0.45 * scale
    legs = 0.085 * scale * girth
    for side, name in ((1, "l"), (-1, "r")):
        bare = rng.random() < 0.08
        parts[f"thigh_{name}"].append(_limb(thigh, legs * 1.08, legs * 0.8, trousers, 1.15))
        shin_parts = [_limb(shin, legs * 0.75, legs * 0.5, skin if bare else trousers)]
        shin_parts.append(box((0.27 * scale, 0.1 * scale, 0.09), shoes, (0.06 * scale, 0, -shin + 0.02)))
        parts[f"shin_{name}"] += shin_parts
        parts[f"arm_{name}"].append(_limb(0.3 * scale, 0.058 * scale, 0.048 * scale, jacket))
        forearm = [_limb(0.26 * scale, 0.047 * scale, 0.038 * scale, jacket)]
        forearm.append(ellipsoid((0.045, 0.03, 0.07), skin, (0, 0, -0.3 * scale), 6))
        if not helmet and rng.random() < 0.08:
            bag = palette.add("bag", rng.uniform(0.1, 0.9), grain=0.2)
            forearm.append(box((0.3, 0.13, 0.32), bag, (0, side * 0.06, -0.3 * scale - 0.22)))
        parts[f"forearm_{name}"] += forearm
    if rng.random() < 0.3:
        pack = palette.add("backpack", rng.uniform(0.08, 0.8))
        parts["torso"].append(box((0.17, 0.3, 0.45), pack, (-0.19 * scale, 0, 0.33 * scale)))
    if rng.random() < 0.15:
        band = palette.add("reflective band", 0.7, retroreflection=float(rng.uniform(2, 6)))
        parts["torso"].append(
            box((0.29 * scale * girth, 0.43 * scale * girth, 0.05), band, (0, 0, rng.uniform(0.1, 0.4) * scale))
        )
    shapes = [join(parts[name]) for name in PARTS]
    part = np.concatenate([np.full(len(m.vertices), i) for i, m in enumerate(shapes)])
    return Body(
        join(shapes), part, hip_height, 0.5 * scale, 0.53 * scale, thigh, 0.29 * scale, 0.08 * scale, wide + 0.022
    )


# -------------------------------------------------------------------------------------------- vehicles


def _wheel(x: float, y: float, radius: float, width: float, tyre: int, rim: int) -> Mesh:
    side = np.sign(y)
    hub = moved(cylinder(radius, width, tyre, 14), z=-width / 2)
    v = hub.vertices  # lay the cylinder on its side: its axis along y
    hub = Mesh(np.stack([v[:, 0], v[:, 2], v[:, 1]], 1), hub.faces[:, ::-1], hub.materials)
    outside = side * (width / 2 + 0.004)
    rims = [
        disc(0.62 * radius, rim, (0, outside, 0), sides=10),
        disc(0.2 * radius, tyre, (0, outside + side * 0.004, 0), sides=6),
    ]
    return moved(join([hub, *rims]), x, y, radius)


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


CAR_FORMS = {
    "hatchback": CarForm(4.0, 1.74, 1.48, 0.24, 0.02, 0.92, 0.75, 0.4),
    "small": CarForm(3.6, 1.66, 1.52, 0.2, 0.02, 0.95, 0.7, 0.25),
    "saloon": CarForm(4.65, 1.82, 1.45, 0.26, 0.14, 0.92, 0.8, 0.75),
    "estate": CarForm(4.7, 1.83, 1.5, 0.25, 0.02, 0.93, 0.8, 0.45),
    "suv": CarForm(4.55, 1.88, 1.7, 0.24, 0.02, 1.05, 0.65, 0.35),
    "people carrier": CarForm(4.5, 1.82, 1.68, 0.19, 0.02, 1.0, 0.95, 0.3),
    "van": CarForm(5.2, 1.98, 2.1, 0.17, 0.0, 1.15, 0.75, 0.08),
}


def make_car(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A car or van: body with wheel arches, cabin with pillars and glass, wheels, lights, plates, mirrors."""
    name = str(rng.choice(list(CAR_FORMS), p=[0.24, 0.1, 0.12, 0.22, 0.17, 0.07, 0.08]))
    form = CAR_FORMS[name]
    stretch = rng.normal(1, 0.03, 3)
    length, width, height = np.array([form.length, form.width, form.height]) * stretch
    # White, silver, grey, red look bright in the near infrared; black paint hardly answers at all.
    paint = palette.add(
        "paint",
        rng.choice([0.8, 0.6, 0.4, 0.2, 0.07], p=[0.26, 0.2, 0.18, 0.14, 0.22]) * rng.uniform(0.8, 1.2),
        grain=0.05,
        dropout=0.02,
    )
    glass = palette.add("car glass", rng.uniform(0.02, 0.06), dropout=float(rng.uniform(0.3, 0.8)), grain=0.4)
    dark = palette.add("plastic", rng.uniform(0.04, 0.12))
    tyre, rim = palette.add("tyre", 0.06), palette.add("rim", rng.uniform(0.15, 0.6), grain=0.5, grain_size=0.06)
    plate = palette.add("plate", 0.7, retroreflection=float(rng.uniform(5, 12)))
    lamp = palette.add("headlight", 0.4, retroreflection=float(rng.uniform(0.5, 3)))
    tail = palette.add("tail light", 0.5, retroreflection=float(rng.uniform(2, 8)))
    half, belt, floor = length / 2, form.belt * stretch[2], 0.22
    front_of_cabin = half - form.bonnet * length
    back_of_cabin = -half + form.boot * length + 0.05
    hood = belt - (0.06 if name != "van" else 0.0)
    # Sections along x: (x, half width, bottom, top of the side, top in the middle).
    w = width / 2
    stations = [
        (-half, 0.8 * w, 0.34, 0.62, 0.66),
        (-half + 0.1, 0.95 * w, 0.26, belt - 0.16, belt - 0.1),
        (back_of_cabin + 0.12, w, floor, belt - 0.02, belt),
        (0.0, w, floor - 0.02, belt - 0.02, belt),
        (front_of_cabin, w, floor, hood - 0.04, hood),
        (half - 0.35, 0.97 * w, floor, hood - 0.16, hood - 0.11),
        (half - 0.08, 0.86 * w, 0.28, 0.62, 0.7),
        (half, 0.72 * w, 0.34, 0.52, 0.56),
    ]
    sections = [
        [
            (x, -0.93 * a, b),
            (x, -a, b + 0.14),
            (x, -a, 0.5 * (b + c)),
            (x, -0.94 * a, c),
            (x, -0.55 * a, d),
            (x, 0.55 * a, d),
            (x, 0.94 * a, c),
            (x, a, 0.5 * (b + c)),
            (x, a, b + 0.14),
            (x, 0.93 * a, b),
        ]
        for x, a, b, c, d in stations
    ]
    parts = [loft(np.array(sections), paint)]
    # Cabin: a stump of a pyramid from the belt to the roof.
    roof_front, roof_back = front_of_cabin - form.front_slope, back_of_cabin + form.rear_slope
    roof_w = (0.78 if name != "van" else 0.9) * w
    low = np.array(
        [[back_of_cabin, -0.93 * w], [front_of_cabin, -0.93 * w], [front_of_cabin, 0.93 * w], [back_of_cabin, 0.93 * w]]
    )
    high = np.array([[roof_back, -roof_w], [roof_front, -roof_w], [roof_front, roof_w], [roof_back, roof_w]])
    shoulder = 0.97 * high
    rings = [
        np.c_[low, np.full(4, belt - 0.03)],
        np.c_[high, np.full(4, height - 0.07)],
        np.c_[shoulder, np.full(4, height)],
    ]
    parts.append(loft(np.stack(rings), paint))
    parts += _car_windows(low, high, belt, height, glass, name == "van" and rng.random() < 0.75)
    radius = 0.31 if form.height < 1.6 else 0.35
    axle = 0.3 * length
    for x in (-axle, axle + 0.04 * length):
        for side in (-1, 1):
            parts.append(disc(radius + 0.05, dark, (x, side * (w + 0.003), radius + 0.05), sides=14))
            parts.append(_wheel(x, side * (w - 0.08), radius, 0.19, tyre, rim))
    for side in (-1, 1):
        parts.append(
            box(
                (0.12, 0.16, 0.14),
                dark if rng.random() < 0.4 else paint,
                (front_of_cabin - 0.35, side * (w + 0.08), belt + 0.06),
            )
        )
        parts.append(box((0.24, 0.34, 0.13), lamp, (half - 0.17, side * (0.72 * w - 0.06), 0.64)))
        parts.append(box((0.08, 0.16, 0.22), tail, (-half + 0.08, side * (0.86 * w - 0.06), belt - 0.22)))
    parts.append(box((0.03, 0.52, 0.115), plate, (half + 0.005, 0, 0.45)))
    parts.append(box((0.03, 0.52, 0.115), plate, (-half - 0.005, 0, rng.choice([0.52, 0.64]))))
    parts.append(box((0.04, 0.9 * w, 0.16), dark, (half - 0.02, 0, 0.62)))  # grille
    if rng.random() < 0.25:
        for side in (-1, 1):  # roof rails
            parts.append(box((1.6, 0.04, 0.05), dark, (-0.4, side * 0.9 * roof_w, height + 0.04)))
    return join(parts)


def _car_windows(
    low: np.ndarray, high: np.ndarray, belt: float, height: float, glass: int, panelled: bool
) -> list[Mesh]:
    """Panes just outside the four faces of the cabin; a panel van has none behind the doors."""
    bottom, top = np.c_[low, np.full(4, belt - 0.03)], np.c_[high, np.full(4, height - 0.07)]

    def pane(i: int, j: int, u0: float, u1: float) -> np.ndarray:
        def point(u, v):
            return (1 - v) * ((1 - u) * bottom[i] + u * bottom[j]) + v * ((1 - u) * top[i] + u * top[j])

        corners = np.array([point(u0, 0.1), point(u1, 0.1), point(u1, 0.93), point(u0, 0.93)])
        out = np.cross(corners[1] - corners[0], corners[3] - corners[0])
        return corners + 0.012 * out / np.linalg.norm(out)

    panes = [pane(1, 2, 0.05, 0.95)]
    sides = [(0.72, 0.97)] if panelled else [(0.03, 0.2), (0.24, 0.58), (0.62, 0.97)]
    for u0, u1 in sides:
        panes += [pane(0, 1, u0, u1), pane(2, 3, 1 - u1, 1 - u0)]
    if not panelled:
        panes.append(pane(3, 0, 0.08, 0.92))
    return [quads(np.array(panes), glass)]


def make_bus(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A city bus, 9 to 18 m, with window bands, doors, a destination sign and lights."""
    length, width, height = rng.choice([9.5, 12.0, 12.0, 18.0]), 2.55, rng.uniform(2.95, 3.3)
    paint = palette.add("bus paint", rng.uniform(0.25, 0.85), grain=0.1, grain_size=0.5)
    skirt = palette.add("bus skirt", rng.uniform(0.1, 0.7))
    glass = palette.add("bus glass", 0.05, dropout=float(rng.uniform(0.4, 0.85)), grain=0.5)
    sign = palette.add("destination sign", 0.1)
    tyre, rim = palette.add("tyre", 0.06), palette.add("rim", 0.5)
    tail = palette.add("bus lights", 0.5, retroreflection=5.0)
    plate = palette.add("plate", 0.7, retroreflection=8.0)
    x, w = length / 2, width / 2
    parts = [
        box((length, width, 0.85), skirt, (0, 0, 0.3 + 0.425)),
        box((length, width, height - 1.15), paint, (0, 0, 1.15 + (height - 1.15) / 2)),
        box((0.6 * length, 1.7, 0.3), paint, (-0.1 * length, 0, height + 0.1)),
    ]
    top = height - 0.55
    bays = int(length / 1.5)
    edges = np.linspace(-x + 0.35, x - 0.25, bays + 1)
    doors = {bays - 1, bays // 2}
    panes = []
    for k, (a, b) in enumerate(zip(edges[:-1] + 0.05, edges[1:] - 0.05, strict=True)):
        for side in (-1, 1):
            low = 0.4 if side < 0 and k in doors else 1.2
            panes.append(
                [
                    [a, side * (w + 0.01), low],
                    [b, side * (w + 0.01), low],
                    [b, side * (w + 0.01), top],
                    [a, side * (w + 0.01), top],
                ]
            )
    panes.append(
        [[x + 0.01, -w + 0.12, 0.95], [x + 0.01, w - 0.12, 0.95], [x + 0.01, w - 0.12, top], [x + 0.01, -w + 0.12, top]]
    )
    panes.append(
        [[-x - 0.01, -w + 0.3, 1.5], [-x - 0.01, w - 0.3, 1.5], [-x - 0.01, w - 0.3, top], [-x - 0.01, -w + 0.3, top]]
    )
    parts.append(quads(np.array(panes), glass))
    parts.append(box((0.03, 1.8, 0.3), sign, (x + 0.01, 0, height - 0.25)))
    for side in (-1, 1):
        for at in (-0.28 * length, 0.3 * length):
            parts.append(_wheel(at, side * (w - 0.12), 0.48, 0.28, tyre, rim))
        parts.append(box((0.04, 0.3, 0.2), tail, (x, side * (w - 0.3), 0.7)))
        parts.append(box((0.04, 0.15, 0.5), tail, (-x, side * (w - 0.15), 1.0)))
        parts.append(box((0.1, 0.3, 0.4), sign, (x + 0.25, side * (w + 0.15), 2.3)))
    for end in (-1, 1):
        parts.append(box((0.03, 0.52, 0.12), plate, (end * (x + 0.01), 0, 0.55)))
    return join(parts)


def make_truck(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A lorry: cab with glass, and a box, a tipper's bed or a flatbed with a load behind it."""
    length, width = rng.uniform(6.0, 9.5), 2.45
    cab_length, cab_height = 1.9, rng.uniform(2.6, 3.2)
    paint = palette.add("cab paint", rng.uniform(0.2, 0.85))
    load = palette.add("truck body", rng.uniform(0.3, 0.9), grain=0.15, grain_size=0.4)
    dark, glass = palette.add("chassis", 0.07), palette.add("truck glass", 0.05, dropout=0.6)
    tyre, rim = palette.add("tyre", 0.06), palette.add("rim", 0.4)
    tail = palette.add("truck lights", 0.5, retroreflection=6.0)
    stripe = palette.add("reflective marking", 0.6, retroreflection=4.0)
    x, w = length / 2, width / 2
    cab_back = x - cab_length
    profile = np.array(
        [
            [cab_back, 0.5],
            [x, 0.5],
            [x, 1.4],
            [x - 0.18, cab_height - 0.1],
            [x - 0.4, cab_height],
            [cab_back, cab_height],
        ]
    )
    parts = [loft(np.stack([np.c_[profile[:, 0], np.full(6, y), profile[:, 1]] for y in (w - 0.05, -w + 0.05)]), paint)]
    parts.append(box((length - 0.2, 0.9, 0.3), dark, (0, 0, 0.85)))
    bed = cab_back - 0.15 + x
    middle = -x + bed / 2
    kind = rng.choice(["box", "tipper", "flatbed"], p=[0.75, 0.15, 0.1])
    tall = {"box": rng.uniform(2.4, 3.0), "tipper": rng.uniform(0.9, 1.4), "flatbed": 0.35}[kind]
    parts.append(box((bed, width, tall), load, (middle, 0, 1.0 + tall / 2)))
    if kind == "flatbed":
        parts.append(
            box((0.6 * bed, 1.9, rng.uniform(0.6, 1.4)), palette.add("load", rng.uniform(0.2, 0.7)), (middle, 0, 1.8))
        )
    panes = [
        [
            [x + 0.015, -w + 0.2, 1.5],
            [x + 0.015, w - 0.2, 1.5],
            [x - 0.15, w - 0.25, cab_height - 0.3],
            [x - 0.15, -w + 0.25, cab_height - 0.3],
        ]
    ]
    for side in (-1, 1):
        y = side * (w - 0.04)
        panes.append(
            [
                [cab_back + 0.5, y, 1.55],
                [x - 0.2, y, 1.5],
                [x - 0.35, y, cab_height - 0.35],
                [cab_back + 0.5, y, cab_height - 0.35],
            ]
        )
    parts.append(quads(np.array(panes), glass))
    for side in (-1, 1):
        for at in (x - 1.0, -x + 1.2, -x + 2.3)[: 3 if length > 8 else 2]:
            parts.append(_wheel(at, side * (w - 0.15), 0.48, 0.3, tyre, rim))
        parts.append(box((0.04, 0.35, 0.14), tail, (-x - 0.01, side * (w - 0.25), 0.85)))
        parts.append(box((bed * 0.9, 0.02, 0.06), stripe, (middle, side * (w + 0.005), 1.05)))
        parts.append(box((0.08, 0.25, 0.5), dark, (x - 0.1, side * (w + 0.15), 2.1)))
        parts.append(
            box((0.05, 0.35, 0.2), palette.add("headlight", 0.4, retroreflection=1.5), (x, side * (w - 0.4), 0.75))
        )
    parts.append(box((0.03, 0.52, 0.12), palette.add("plate", 0.7, retroreflection=8.0), (x + 0.01, 0, 0.55)))
    return join(parts)


def make_bicycle(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A bicycle of tubes: wheels with spokes, frame, handlebar, saddle, mudguards, sometimes a basket or panniers."""
    frame = palette.add("bicycle frame", rng.uniform(0.1, 0.8))
    rubber = palette.add("bicycle tyre", rng.uniform(0.08, 0.2))
    metal = palette.add("spokes", rng.uniform(0.3, 0.6), dropout=0.1)
    red = palette.add("reflector", 0.5, retroreflection=6.0)
    r = rng.uniform(0.32, 0.36)
    rear, front, bottom = (-0.52, 0, r), (0.54, 0, r), (-0.08, 0, 0.3)
    seat, head, bar = (-0.22, 0, 0.88), (0.36, 0, 0.86), (0.3, 0, rng.uniform(0.98, 1.12))
    parts = []
    for hub in (rear, front):
        parts.append(ring(r - 0.02, 0.045, rubber, hub, 14))
        for a in np.arange(4) * np.pi / 4:
            along = (r - 0.02) * np.array([np.cos(a), 0, np.sin(a)])
            parts.append(tube(np.array([hub - along, hub + along]), 0.007, metal, 3))
        arc = np.linspace(0.1, np.pi - 0.5, 5)
        guard = np.array(hub) + (r + 0.03) * np.stack([np.cos(arc), 0 * arc, np.sin(arc)], 1)
        parts.append(tube(guard, 0.025, frame, 3))
        parts.append(disc(0.05, red, (hub[0] + 0.2, 0.02, hub[2]), sides=6))
    lines = [(seat, bottom), (bottom, head), (rear, bottom), (rear, (-0.2, 0, 0.75)), (head, front), (head, bar)]
    lines.append((seat, head) if rng.random() < 0.6 else ((-0.15, 0, 0.6), head))
    parts += [tube(np.array(line), 0.024, frame, 5) for line in lines]
    parts.append(tube(np.array([(bar[0] - 0.1, -0.27, bar[2]), bar, (bar[0] - 0.1, 0.27, bar[2])]), 0.02, metal, 4))
    parts.append(box((0.26, 0.16, 0.07), rubber, (-0.25, 0, 0.95)))
    parts.append(box((0.3, 0.14, 0.04), metal, (-0.5, 0, 0.76)))
    parts.append(disc(0.1, metal, (bottom[0], -0.06, bottom[2]), sides=8))
    parts.append(box((0.17, 0.28, 0.025), rubber, bottom))
    parts.append(box((0.03, 0.07, 0.07), red, (-0.68, 0, 0.68)))
    if rng.random() < 0.25:
        parts.append(
            box((0.28, 0.36, 0.26), palette.add("basket", rng.uniform(0.1, 0.6), dropout=0.1), (0.58, 0, 0.86))
        )
    if rng.random() < 0.2:
        bag = palette.add("pannier", rng.uniform(0.08, 0.7))
        parts += [box((0.32, 0.14, 0.33), bag, (-0.5, side * 0.16, 0.58)) for side in (-1, 1)]
    return join(parts)


def make_scooter(rng: np.random.Generator, palette: Palette) -> Mesh:
    """An electric kick-scooter: deck, stem, handlebar, two small wheels, reflectors."""
    shell = palette.add("scooter", rng.uniform(0.15, 0.8))
    dark = palette.add("scooter rubber", rng.uniform(0.05, 0.12))
    red = palette.add("reflector", 0.5, retroreflection=5.0)
    top = rng.uniform(1.08, 1.2)
    stem = np.array([(0.47, 0, 0.16), (0.4, 0, 0.62), (0.34, 0, top)])
    parts = [
        box((0.78, 0.17, 0.07), shell, (-0.02, 0, 0.15)),
        box((0.7, 0.15, 0.012), dark, (-0.02, 0, 0.192)),
        tube(stem, (0.05, 0.036, 0.034), shell, 6),
        tube(np.array([(0.3, -0.21, top), (0.34, 0, top + 0.02), (0.3, 0.21, top)]), 0.024, dark, 4),
        box((0.09, 0.13, 0.09), dark, (0.36, 0, top + 0.02)),
        box((0.2, 0.08, 0.04), shell, (-0.42, 0, 0.27)),
        box((0.1, 0.1, 0.22), shell, (0.44, 0, 0.32)),
        box((0.02, 0.06, 0.05), red, (-0.52, 0, 0.24)),
        box((0.02, 0.08, 0.12), red, (0.43, 0, 0.8)),
    ]
    parts += [ring(0.085, 0.05, dark, (x, 0, 0.11), 10) for x in (-0.44, 0.5)]
    parts += [disc(0.07, dark, (x, 0, 0.11), sides=8) for x in (-0.44, 0.5)]
    return join(parts)


def make_motorcycle(rng: np.random.Generator, palette: Palette) -> Mesh:
    """A motorcycle or moped: tank, engine, seat, fork, mudguards, exhaust, lights and a plate."""
    paint = palette.add("motorcycle paint", rng.uniform(0.1, 0.8))
    dark, metal = palette.add("motorcycle dark", 0.06), palette.add("motorcycle metal", 0.5, grain=0.3)
    lamp = palette.add("motorcycle lamp", 0.4, retroreflection=3.0)
    plate = palette.add("plate", 0.7, retroreflection=8.0)
    r, wheelbase = 0.31, 1.42
    rear, front = np.array([-wheelbase / 2, 0, r]), np.array([wheelbase / 2, 0, r])
    head = np.add(front, (-0.32, 0, 0.62))
    parts = []
    for hub in (rear, front):
        parts += [ring(r - 0.06, 0.13, dark, hub, 14), disc(0.17, metal, hub, sides=10)]
        parts.append(box((0.42, 0.15, 0.05), paint, np.add(hub, (0, 0, r + 0.03))))
    parts.append(ellipsoid((0.36, 0.17, 0.16), paint, (0.12, 0, 0.82)))
    parts.append(box((0.5, 0.3, 0.36), metal, (0.0, 0, 0.45)))
    parts.append(box((0.75, 0.26, 0.12), dark, (-0.42, 0, 0.8)))
    parts.append(box((0.35, 0.2, 0.22), paint, (-0.62, 0, 0.68)))
    for side in (-1, 1):
        parts.append(tube(np.add([front, head], (0, side * 0.1, 0)), 0.03, metal, 5))
        parts.append(
            tube(
                np.array([np.add(head, (0, side * 0.02, 0.08)), np.add(head, (-0.12, side * 0.36, 0.16))]),
                0.022,
                dark,
                4,
            )
        )
        parts.append(box((0.04, 0.12, 0.09), dark, np.add(head, (-0.02, side * 0.3, 0.3))))
    parts.append(tube(np.array([(0.1, -0.17, 0.3), (-0.8, -0.2, 0.4)]), 0.05, metal, 6))
    parts.append(ellipsoid((0.08, 0.12, 0.1), lamp, np.add(head, (0.1, 0, 0.0)), 6))
    parts.append(box((0.06, 0.14, 0.08), lamp, (-0.83, 0, 0.74)))
    parts.append(box((0.03, 0.18, 0.15), plate, (-0.88, 0, 0.56)))
    if rng.random() < 0.4:
        parts.append(box((0.3, 0.42, 0.34), dark, (-0.85, 0, 1.02)))  # a top box
    return join(parts)
