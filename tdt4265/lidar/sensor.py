"""The sensor: a world as a rotating 128-beam LiDAR sees it, a panorama of intensity, ambient light and range.

A frame is taken at one instant (a real turn takes 0.1 s). Row 0 looks 22.5 degrees up, row 127 as far down, both a
little higher in a clip whose sensor is tilted. Column 512 looks ahead and columns run clockwise: the picture reads as a
person would see it, and columns 0 and 1023 are neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from scipy.ndimage import map_coordinates

from .scene import Mesh, World

ROWS, COLUMNS = 128, 1024
FIELD_OF_VIEW = np.radians(45.0)
MAX_RANGE = 300.0  # metres; what lies farther is sky

# One clip's sensor and exposure, where World.noise doesn't say otherwise.
NOISE = {
    "intensity": 0.078,  # standard deviation as a share of the picture's bright end; where nothing returns, 0.6 of it
    "ambient": 0.07,  # the same in the dark; brighter pixels have less
    "row": 0.007,  # relative differences between the beams' gains
    "dropout": 0.0008,  # share of rays lost for no reason
    "sensitivity": 1.0,  # photons a white surface at 1 m returns, relative to this sensor's
    "falloff": 65.0,  # metres at which the reported intensity has sunk to a half
    "tilt": 0.0,  # degrees by which all beams look farther up
    "pitch": 0.0,  # degrees, nose down is positive
    "roll": 0.0,  # degrees
    "low": 5.0,  # percentile of intensity and of ambient light that is shown as black
    "high": 90.0,  # percentile that is shown as BRIGHT_END
    "near": 4.5,  # the same of the ranges
    "far": 93.5,
}
BRIGHT_END = 0.9  # of white
DETECTION = 1.3e-5  # a return is found where reflectivity / range^2 exceeds this (10 % at 88 m)
FADING = 0.5  # standard deviation of the logarithm of a return's strength
RESPONSE, AMBIENT_RESPONSE = 0.7, 0.6  # exponents by which the photon counts are compressed
ROUGH, SMOOTH = 0.15, 1.0  # exponents of the cosine: rough surfaces send light back even at grazing angles
SMOOTH_SURFACES = ("paint", "glass", "plastic")
GLASS = 0.3  # dropout from which a surface is glass: what goes through it may come back from inside
INSIDE = 0.5  # share of that which does
ROOM, CABIN = 4.0, 1.0  # metres that the inside of a building and of a road user is deep
PIXEL = 2 * np.pi / COLUMNS  # radians
TRANSLUCENT = ("leaf", "leaves", "foliage", "grass", "bush", "hedge", "needle")


@dataclass(frozen=True)
class Frame:
    """One turn of the sensor.

    image: uint8 [128, 1024, 3]: intensity, ambient, range.
    users: int32 [128, 1024]: index into `World.users` of what each ray meets, -1 for none.
    unhidden: int32 [128, 1024]: what `users` would be if the street weren't there.
    range: float32 [128, 1024]: metres to the first surface without noise, inf where there is none.
    """

    image: np.ndarray
    users: np.ndarray
    unhidden: np.ndarray
    range: np.ndarray


def random_noise(rng: np.random.Generator) -> dict:
    """Sensor and exposure of one clip, around `NOISE`: for `World.noise`."""
    return {
        "intensity": NOISE["intensity"] * rng.uniform(0.6, 1.5),
        "ambient": NOISE["ambient"] * rng.uniform(0.6, 1.4),
        "row": NOISE["row"] * rng.uniform(0.3, 2.0),
        "dropout": NOISE["dropout"] * rng.uniform(0.2, 3.0),
        "sensitivity": float(np.exp(rng.normal(0, 0.25))),
        "falloff": NOISE["falloff"] * float(np.exp(rng.normal(0, 0.25))),
        "tilt": rng.uniform(0.3, 2.5),  # the real horizon lies near row 64 to 72
        "pitch": rng.normal(0, 0.5),
        "roll": rng.normal(0, 0.4),
        "low": NOISE["low"] + rng.uniform(-1, 1),
        "high": NOISE["high"] + rng.uniform(-2, 2),
        "near": NOISE["near"] + rng.uniform(-1.5, 1.5),
        "far": NOISE["far"] + rng.uniform(-1.5, 1.5),
    }


def beams(heading: float = 0.0, tilt: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Unit vectors float32 [128, 1024, 3] of all rays; angles in radians."""
    elevation = tilt + FIELD_OF_VIEW * (0.5 - (np.arange(ROWS) + 0.5) / ROWS)
    azimuth = np.pi - 2 * np.pi * (np.arange(COLUMNS) + 0.5) / COLUMNS
    rays = np.empty((ROWS, COLUMNS, 3))
    rays[..., 0] = np.cos(elevation)[:, None] * np.cos(azimuth)
    rays[..., 1] = np.cos(elevation)[:, None] * np.sin(azimuth)
    rays[..., 2] = np.sin(elevation)[:, None]
    cp, sp, cr, sr, ch, sh = (f(a) for a in (pitch, roll, heading) for f in (np.cos, np.sin))
    turn = np.array([[ch, -sh, 0], [sh, ch, 0], [0, 0, 1]])
    nose = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    lean = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return (rays @ (turn @ nose @ lean).T).astype(np.float32)


class Tracer:
    """Triangles ready for ray casting."""

    def __init__(self, mesh: Mesh):
        self.materials = np.asarray(mesh.materials)
        corners = np.asarray(mesh.vertices, np.float32)[np.asarray(mesh.faces, np.int64)]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self.normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        self.scene = EmbreeScene()
        TriangleMesh(self.scene, corners)

    def nearest(self, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance float32 [N] (inf where nothing is met) and face int64 [N] (-1) along rays [N, 3] from origin [3]."""
        origins = np.repeat(origin[None].astype(np.float32), len(rays), axis=0)
        hit = self.scene.run(origins, rays, output=1)
        face = hit["primID"].astype(np.int64)
        return np.where(face >= 0, hit["tfar"], np.inf).astype(np.float32), face

    def blocked(self, origins: np.ndarray, rays: np.ndarray) -> np.ndarray:
        """Whether anything lies on rays [N, 3] from origins [N, 3]: bool [N]."""
        return self.scene.run(origins, rays, query="OCCLUDED") >= 0


class Sensor:
    """Renders frames of one clip. The street's triangles are prepared once, the road users' at each frame.

    Raises ValueError when a mesh names a material the world lacks.
    """

    def __init__(self, world: World):
        self.world = world
        self.noise = {**NOISE, **world.noise}
        self.street = Tracer(world.static)
        clip = np.random.default_rng([world.cloud_seed, 0])
        self.grain = clip.standard_normal((48, 48, 48)).astype(np.float32)
        self.gains = 1 + self.noise["row"] * clip.standard_normal((2, ROWS, 1))
        self.materials = {
            name: np.array([getattr(m, name) for m in world.materials], np.float32)
            for name in ("reflectivity", "retroreflection", "dropout", "grain", "grain_size")
        }
        self.exponent = np.array(
            [SMOOTH if any(word in m.name for word in SMOOTH_SURFACES) else ROUGH for m in world.materials]
        )
        self.translucent = np.array([any(word in m.name for word in TRANSLUCENT) for m in world.materials])
        if self.street.materials.max(initial=-1) >= len(world.materials):
            last = self.street.materials.max()
            raise ValueError(f"the street has material {last}, the world only {len(world.materials)} of them")

    def pose(self, t: float) -> np.ndarray:
        """x, y, z, heading at time t, between the points of `World.sensor_path`."""
        path = np.array(self.world.sensor_path, float)
        path[:, 3] = np.unwrap(path[:, 3])
        return np.array([np.interp(t * 10, np.arange(len(path)), column) for column in path.T])

    def render(self, t: float, rng: np.random.Generator) -> Frame:
        """The frame at time t (seconds); all of its noise comes from rng."""
        pose, noise = self.pose(t), self.noise
        rays = beams(pose[3], *np.radians([noise["tilt"], noise["pitch"], noise["roll"]])).reshape(-1, 3)
        moving, owner, centres = self._road_users(t)
        distance, face = self.street.nearest(pose[:3], rays)
        users, unhidden = np.full((2, len(rays)), -1, np.int32)
        material = self.street.materials[face]
        normal = self.street.normals[face]
        if moving is not None:
            near, near_face = moving.nearest(pose[:3], rays)
            met, front = near < MAX_RANGE, near < distance
            unhidden[met] = owner[near_face[met]]
            distance[front] = near[front]
            users[front] = owner[near_face[front]]
            material[front] = moving.materials[near_face[front]]
            normal[front] = moving.normals[near_face[front]]
        distance[distance > MAX_RANGE] = np.inf
        hit = np.isfinite(distance)
        users[~hit] = -1

        material, normal, view, reach = material[hit], normal[hit], rays[hit], distance[hit]
        point = pose[:3].astype(np.float32) + reach[:, None] * view
        facing = -(normal * view).sum(1)
        normal = normal * np.sign(facing)[:, None]  # surfaces have two sides: the one that is seen counts
        reflectivity = self._reflectivity(material, point, reach, users[hit], centres)

        depth = self._inside(material, point, users[hit])
        signal, found, through = self._laser(reflectivity, np.abs(facing), reach, material, rng)
        intensity = np.zeros(len(rays))
        intensity[hit] = signal**RESPONSE
        bright = np.percentile(intensity, noise["high"])
        counted = np.sqrt(0.35 + 0.65 * np.clip(2.5 * intensity / bright, 0, 1))
        intensity += rng.normal(0, 1, len(rays)) * counted * noise["intensity"] * bright
        shown = np.zeros((ROWS, COLUMNS))
        shown[hit.reshape(shown.shape)] = np.where(
            found, np.maximum(reach + depth * through + rng.normal(0, 0.02, len(reach)), 0.1), 0
        )

        ambient = self._sky(rays, ~hit)
        ambient[hit] = self._daylight(reflectivity, normal, point, material, moving)
        ambient **= AMBIENT_RESPONSE
        bright = np.percentile(ambient, noise["high"])
        ambient += rng.normal(0, 1, len(rays)) * noise["ambient"] * bright * (1 - 0.7 * np.clip(ambient / bright, 0, 1))

        low, high = noise["low"], noise["high"]
        picture = [
            expose(intensity.reshape(ROWS, COLUMNS) * self.gains[0], low, high),
            expose(ambient.reshape(ROWS, COLUMNS) * self.gains[1], low, high),
            expose(shown, noise["near"], noise["far"], measured=shown > 0),
        ]
        maps = (values.reshape(ROWS, COLUMNS) for values in (users, unhidden, distance))
        return Frame(np.stack(picture, axis=2), *maps)

    def _road_users(self, t: float) -> tuple[Tracer | None, np.ndarray, np.ndarray]:
        """All road users at time t as one Tracer, the user of each of its faces, and each user's centre [users, 3]."""
        meshes, centres = [], np.zeros((len(self.world.users), 3), np.float32)
        for index, user in enumerate(self.world.users):
            mesh = user.mesh(t)
            if mesh is not None and len(mesh.faces):
                meshes.append((index, mesh))
                centres[index] = mesh.vertices.mean(0)
        if not meshes:
            return None, np.empty(0, np.int32), centres
        owner = np.repeat([i for i, _ in meshes], [len(m.faces) for _, m in meshes]).astype(np.int32)
        starts = np.cumsum([0] + [len(m.vertices) for _, m in meshes[:-1]])
        together = Mesh(
            np.concatenate([m.vertices for _, m in meshes]),
            np.concatenate([m.faces + start for (_, m), start in zip(meshes, starts, strict=True)]),
            np.concatenate([m.materials for _, m in meshes]),
        )
        return Tracer(together), owner, centres

    def _reflectivity(self, material, point, reach, user, centres) -> np.ndarray:
        """Reflectivity at each hit: the material's, with its grain as far as a pixel doesn't average it out.

        Road users carry their grain with them.
        """
        local = point.copy()
        local[user >= 0] -= centres[user[user >= 0]]
        # Courses of stone, boards, slats: most surfaces vary more upwards than along.
        size = self.materials["grain_size"][material]
        local *= np.array([1, 1, 2], np.float32) / size[:, None]
        grain = np.zeros(len(point), np.float32)
        for frequency, weight in ((0.37, 0.5), (1.0, 1.0), (2.6, 1.0)):
            weight = weight / (1 + PIXEL * reach * frequency / size)
            grain += weight * map_coordinates(self.grain, local.T * frequency, order=1, mode="grid-wrap")
        # Linear interpolation between lattice points keeps about 0.55 of the lattice's standard deviation.
        grain /= 0.55 * 1.5
        return self.materials["reflectivity"][material] * np.clip(
            1 + self.materials["grain"][material] * grain, 0.1, 3
        )

    def _inside(self, material, point, user) -> np.ndarray:
        """How far behind each hit light that the surface lets through meets something, in a room or a car."""
        depth = np.zeros(len(point))
        glass = np.flatnonzero(self.materials["dropout"][material] >= GLASS)
        things = map_coordinates(self.grain, point[glass].T * 2, order=0, mode="grid-wrap")
        depth[glass] = np.where(user[glass] >= 0, CABIN, ROOM) * np.clip(0.5 + 0.3 * things, 0.05, 1)
        return depth

    def _laser(self, reflectivity, cosine, reach, material, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reported intensity of each hit, whether it gives a range, and whether light went through the surface."""
        noise = self.noise
        returned = reflectivity * cosine ** self.exponent[material]
        returned += self.materials["retroreflection"][material] * cosine
        strength = noise["sensitivity"] * returned / np.maximum(reach, 1) ** 2
        found = strength * np.exp(rng.normal(0, FADING, len(reach))) > DETECTION
        found &= rng.random(len(reach)) >= noise["dropout"]
        dropout = self.materials["dropout"][material]
        through = rng.random(len(reach)) < dropout
        back = (dropout >= GLASS) & (rng.random(len(reach)) < INSIDE)
        signal = returned / (1 + (reach / noise["falloff"]) ** 2)
        # The less a surface sends back at all (glass), the less of the light that is lost still counts.
        return np.where(through, signal * (1 - dropout), signal), found & (~through | back), through

    def _daylight(self, reflectivity, normal, point, material, moving) -> np.ndarray:
        """Near-infrared daylight sent back by each hit: sun with shadows, and the sky it sees."""
        world = self.world
        sun = np.asarray(world.sun, np.float32)
        towards = (normal * sun).sum(1)
        # Leaves and blades let about half of the light through, and are too small to have one normal.
        leaf = self.translucent[material]
        towards = np.where(leaf, 0.5 + 0.2 * np.abs(towards), np.maximum(towards, 0))
        lit = np.flatnonzero(towards > 0) if sun[2] > 0 and world.sunlight > 0 else np.empty(0, int)
        start = point[lit] + 0.02 * normal[lit] + 0.02 * sun
        rays = np.repeat(sun[None], len(lit), axis=0)
        dark = self.street.blocked(start, rays)
        if moving is not None:
            dark |= moving.blocked(start, rays)
        sunshine = np.zeros(len(point))
        sunshine[lit] = towards[lit] * np.where(dark, np.where(leaf[lit], 0.6, 0.0), 1.0)
        open_sky = np.where(leaf, 0.9, 0.5 + 0.5 * normal[:, 2])
        return reflectivity * (world.sunlight * sunshine + world.skylight * open_sky)

    def _sky(self, rays, seen) -> np.ndarray:
        """Brightness of the sky, float64 [N], along the rays where it is seen; 0 elsewhere."""
        world = self.world
        light = np.zeros(len(rays))
        if not seen.any():
            return light
        view = rays[seen].astype(float)
        flat = view[:, :2] / (np.maximum(view[:, 2:], 0) + 0.12)  # clouds lie on a plane high above
        cover = np.zeros(len(view))
        for octave in range(5):
            where = np.vstack([flat.T * 1.3 * 2**octave + 7 * octave, np.full(len(view), 3.5 * octave)])
            cover += map_coordinates(self.grain, where, order=1, mode="grid-wrap") / 1.6**octave
        cover = np.clip(0.5 + 0.4 * cover + (world.clouds - 0.5), 0, 1)
        strength = world.skylight + 0.45 * world.sunlight
        glow = np.exp((view @ np.asarray(world.sun, float) - 1) * 12) * world.sunlight
        haze = np.exp(-np.maximum(view[:, 2], 0) * 5)
        light[seen] = strength * (0.5 + 0.3 * haze + 0.6 * cover) + 0.5 * glow
        return light


def expose(channel: np.ndarray, low: float, high: float, measured: np.ndarray | None = None) -> np.ndarray:
    """8-bit picture of a channel [H, W], linear: the percentile `low` becomes black, `high` becomes 0.9 of white.

    measured: bool [H, W], the pixels that hold a measurement; the others don't count and become 0.
    """
    counted = channel if measured is None else channel[measured]
    black, bright = np.percentile(counted, [low, high]) if counted.size else (0.0, 1.0)
    shown = (channel - black) * (BRIGHT_END / max(bright - black, 1e-9))
    if measured is not None:
        shown = np.where(measured, shown, 0)
    return np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
