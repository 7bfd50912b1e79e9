"""The sensor: a world as a rotating 128-beam LiDAR sees it, a panorama of intensity, ambient light and range.

A frame is taken at one instant (a real turn takes 0.1 s). The beams cover 22.5 degrees: row 0 looks 11 degrees up, row
127 as far down, both a little higher in a clip whose sensor is tilted. So a pixel is 0.352 degrees wide and 0.176 high,
and images are stretched twofold upwards. Column 512 looks along the sensor's heading and columns run clockwise: the
image reads as a person would see it, and columns 0 and 1023 are neighbours.

A beam is as wide as its pixel, so five rays are averaged in each: its centre and its four corners, which it shares with
its neighbours.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from .optics import Optics
from .scene import HasKeypoints, Mesh, World
from .tracing import Hits, Tracer

ROWS, COLUMNS = 128, 1024
FIELD_OF_VIEW = np.radians(22.5)
MAX_RANGE = 300.0  # metres; what lies farther is sky

# One clip's sensor and exposure, where World.noise doesn't say otherwise.
NOISE = {
    "intensity": 0.078,  # standard deviation as a share of the image's bright end; where nothing returns, 0.6 of it
    "ambient": 0.07,  # the same in the dark; brighter pixels have less
    "dropout": 0.0008,  # share of rays lost for no reason
    "sensitivity": 1.0,  # photons a white surface at 1 m returns, relative to this sensor's
    "falloff": 65.0,  # metres at which the reported intensity has sunk to a half
    "tilt": 0.0,  # degrees by which all beams look farther up
    "pitch": 0.0,  # degrees, nose down is positive
    "roll": 0.0,  # degrees
    "low": 5.0,  # percentile of intensity and of ambient light that is shown as black
    "high": 90.0,  # percentile that is shown as BRIGHT_END
    "near": 11.0,  # the same of the ranges
    "far": 94.3,
}
BRIGHT_END = 0.9  # of white
DETECTION = 1.3e-5  # a return is found where reflectivity / range^2 exceeds this (10 % at 88 m)
FADING = 0.5  # standard deviation of the logarithm of a return's strength
RESPONSE, AMBIENT_RESPONSE = 0.9, 0.6  # exponents by which the photon counts are compressed
# Metres: a surface that is nearer than so much before a keypoint hides it, its own body's as well. Face, then limbs.
BODY = np.array([0.1] * 5 + [0.22] * 12)
CLUTTER_PIXELS = 20
INSIDE = 0.5  # share of the light through a pane that comes back from inside
EDGE, EDGE_LOSS = 1.1, 0.08  # a beam that meets ranges this factor apart gives none at all with this probability


def _beam_gains() -> np.ndarray:
    """Relative gain of each beam in intensity and in ambient light, float64 [2, 128, 1]: a constant of the sensor.

    Real beams come in fours, and differ by 3.5 to 4 % (standard deviation) in intensity, by 0.5 % in ambient light.
    """
    own = np.random.default_rng(128).standard_normal((2, ROWS))
    fours = np.tile([0.02, 0.01, -0.02, -0.045], ROWS // 4)
    return np.stack([1 + fours + 0.022 * own[0], 1 + 0.005 * own[1]])[..., None]


GAINS = _beam_gains()


@dataclass(frozen=True)
class Frame:
    """One turn of the sensor.

    image: uint8 [128, 1024, 3]: intensity, ambient, range.
    users: int32 [128, 1024]: index into `World.users` of what the middle of each pixel meets, -1 for none.
    unhidden: int32 [128, 1024]: what `users` would be if the street weren't there.
    range: float32 [128, 1024]: metres to the first surface without noise, inf where there is none.
    boxes: float64 [users, 4]: x1, y1, x2, y2 in pixels around all of each road user, hidden or not and beyond the
    image's edges too (x from -1024 to 2048); NaN for one that is not in the scene.
    distances: float64 [users]: metres from the sensor to the middle of each; NaN likewise.
    keypoints: of each human that is in the scene, by its index, float64 [17, 3]: x and y in pixels, x as in its box,
        and visibility as in COCO: 2, or 1 for a point that something hides, the human itself too.
    clutter: how many things of each kind of `World.clutter` are visible, in at least `CLUTTER_PIXELS` pixels each.
    """

    image: np.ndarray
    users: np.ndarray
    unhidden: np.ndarray
    range: np.ndarray
    boxes: np.ndarray
    distances: np.ndarray
    keypoints: dict[int, np.ndarray] = field(default_factory=dict)
    clutter: dict[str, int] = field(default_factory=dict)


def random_noise(rng: np.random.Generator) -> dict:
    """Sensor and exposure of one clip, around `NOISE`: for `World.noise`."""
    return {
        "intensity": NOISE["intensity"] * rng.uniform(0.6, 1.5),
        "ambient": NOISE["ambient"] * rng.uniform(0.6, 1.4),
        "dropout": NOISE["dropout"] * rng.uniform(0.2, 3.0),
        "sensitivity": float(np.exp(rng.normal(0, 0.25))),
        "falloff": NOISE["falloff"] * float(np.exp(rng.normal(0, 0.25))),
        "tilt": rng.uniform(0.1, 1.0),  # the real horizon lies near row 64 to 67
        "pitch": rng.normal(0, 0.6),  # the ground of the real clips is tilted by 1.2 to 1.5 degrees, median
        "roll": rng.normal(0, 0.6),
        "low": NOISE["low"] + rng.uniform(-1, 1),
        "high": NOISE["high"] + rng.uniform(-2, 2),
        "near": NOISE["near"] + rng.uniform(-1, 1),
        "far": NOISE["far"] + rng.uniform(-1.5, 1.5),
    }


def orientation(heading: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Rotation [3, 3] from the sensor's axes (ahead, left, up) to the world's; angles in radians."""
    cp, sp, cr, sr, ch, sh = (f(a) for a in (pitch, roll, heading) for f in (np.cos, np.sin))
    turn = np.array([[ch, -sh, 0], [sh, ch, 0], [0, 0, 1]])
    nose = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    lean = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return turn @ nose @ lean


def beams(turn: np.ndarray | None = None, tilt: float = 0.0, corners: bool = False) -> np.ndarray:
    """Unit vectors float32 [128, 1024, 3] through the pixels' centres, or [129, 1024, 3] through their corners.

    Corner (i, j) is the upper left one of pixel (i, j). turn: an `orientation`; tilt in radians.
    """
    rays = _upright_beams(float(tilt), corners)
    return (rays if turn is None else rays @ turn.T.astype(np.float32)).copy()


@lru_cache(maxsize=2)
def _upright_beams(tilt: float, corners: bool) -> np.ndarray:
    """`beams` of a sensor that stands level and looks along +x: the same for all frames of a clip."""
    shift = 0.0 if corners else 0.5
    elevation = tilt + FIELD_OF_VIEW * (0.5 - (np.arange(ROWS + corners) + shift) / ROWS)
    azimuth = np.pi - 2 * np.pi * (np.arange(COLUMNS) + shift) / COLUMNS
    rays = np.empty((len(elevation), COLUMNS, 3))
    rays[..., 0] = np.cos(elevation)[:, None] * np.cos(azimuth)
    rays[..., 1] = np.cos(elevation)[:, None] * np.sin(azimuth)
    rays[..., 2] = np.sin(elevation)[:, None]
    return rays.astype(np.float32)


def project(directions: np.ndarray, turn: np.ndarray, tilt: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Column (0 to 1024) and row, both in pixels, in which directions [N, 3] from the sensor are seen."""
    ahead, left, up = (directions @ turn).T
    column = (np.pi - np.arctan2(left, ahead)) / (2 * np.pi) * COLUMNS
    row = (0.5 - (np.arctan2(up, np.hypot(ahead, left)) - tilt) / FIELD_OF_VIEW) * ROWS
    return column, row


@dataclass(frozen=True)
class _Users:
    """The road users at one time: their triangles, whose each is, and where they are seen."""

    tracer: Tracer | None
    owner: np.ndarray  # int32 [faces], road user
    centres: np.ndarray  # float32 [users, 3]
    boxes: np.ndarray  # as in `Frame`


class Sensor:
    """Renders frames of one clip. The street's triangles are prepared once, the road users' at each frame.

    Raises ValueError when a mesh names a material the world lacks.
    """

    def __init__(self, world: World):
        self.world = world
        self.noise = {**NOISE, **world.noise}
        self.optics = Optics(world)
        self.street = Tracer(world.static)
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
        pose = self.pose(t)
        turn = orientation(pose[3], *np.radians([self.noise["pitch"], self.noise["roll"]]))
        tilt = np.radians(self.noise["tilt"])
        rays = np.concatenate([beams(turn, tilt, corners).reshape(-1, 3) for corners in (False, True)])
        users = self._road_users(t, pose, turn, tilt)
        distance, unhidden, clutter, hits = self._cast(pose[:3], rays, users)

        reflectivity = self.optics.reflectivity(hits, users.centres)
        intensity, shown = self._laser(reflectivity, hits, len(rays), rng)
        ambient = self._ambient(reflectivity, hits, rays, users.tracer, rng)
        low, high = self.noise["low"], self.noise["high"]
        image = [
            expose(intensity * GAINS[0], low, high),
            expose(ambient * GAINS[1], low, high),
            expose(shown, self.noise["near"], self.noise["far"], measured=shown > 0),
        ]
        seen = np.full(len(rays), -1, np.int32)
        seen[hits.ray] = hits.user
        seen, unhidden, distance = (
            values[: ROWS * COLUMNS].reshape(ROWS, COLUMNS) for values in (seen, unhidden, distance)
        )
        away = np.linalg.norm(users.centres - pose[:3], axis=1)
        away = np.where(np.isnan(users.boxes[:, 0]), np.nan, away)
        keypoints = self._keypoints(t, pose, turn, tilt, users.boxes, np.where(seen >= 0, distance, np.inf), seen)
        return Frame(np.stack(image, axis=2), seen, unhidden, distance, users.boxes, away, keypoints, clutter)

    def _keypoints(self, t, pose, turn, tilt, boxes, distance, seen) -> dict[int, np.ndarray]:
        """`Frame.keypoints`, of what each pixel's middle sees: distance and road user, [128, 1024] each."""
        found = {}
        for index, user in enumerate(self.world.users):
            points = user.keypoints(t) if isinstance(user, HasKeypoints) else None
            if points is None:
                continue
            away = points - pose[:3]
            x, y = project(away, turn, tilt)
            middle = (boxes[index, 0] + boxes[index, 2]) / 2
            x = middle + (x - middle + COLUMNS / 2) % COLUMNS - COLUMNS / 2
            reach = np.linalg.norm(away, axis=1)
            clear = np.zeros(len(x), bool)
            for row, column in itertools.product((-0.5, 0.5), repeat=2):  # the four pixels nearest to each point
                at = np.clip(y + row, 0, ROWS - 1).astype(int), np.floor(x + column).astype(int) % COLUMNS
                clear |= (seen[at] == index) & (distance[at] > reach - BODY)
            found[index] = np.stack([x, y, np.where(clear, 2, 1)], axis=1)
        return found

    def _road_users(self, t: float, pose: np.ndarray, turn: np.ndarray, tilt: float) -> _Users:
        count = len(self.world.users)
        centres, boxes = np.zeros((count, 3), np.float32), np.full((count, 4), np.nan)
        meshes = []
        for index, user in enumerate(self.world.users):
            mesh = user.mesh(t)
            if mesh is not None and len(mesh.faces):
                meshes.append((index, mesh))
                centres[index] = mesh.vertices.mean(0)
                boxes[index] = _box(mesh.vertices - pose[:3], centres[index] - pose[:3], turn, tilt)
        if not meshes:
            return _Users(None, np.empty(0, np.int32), centres, boxes)
        owner = np.repeat([i for i, _ in meshes], [len(m.faces) for _, m in meshes]).astype(np.int32)
        starts = np.cumsum([0] + [len(m.vertices) for _, m in meshes[:-1]])
        together = Mesh(
            np.concatenate([m.vertices for _, m in meshes]),
            np.concatenate([m.faces + start for (_, m), start in zip(meshes, starts, strict=True)]),
            np.concatenate([m.materials for _, m in meshes]),
        )
        return _Users(Tracer(together), owner, centres, boxes)

    def _cast(self, origin: np.ndarray, rays: np.ndarray, users: _Users) -> tuple[np.ndarray, np.ndarray, dict, Hits]:
        """For all rays: distance (inf where nothing is met) and road user without the street; visible clutter; hits."""
        distance, face = self.street.nearest(origin, rays)
        material, normal = self.street.materials[face], self.street.normals[face]
        user, unhidden = np.full((2, len(rays)), -1, np.int32)
        if users.tracer is not None:
            tried = _rays_near(users.boxes)
            near, near_face = users.tracer.nearest(origin, rays[tried])
            met = near < MAX_RANGE
            unhidden[tried[met]] = users.owner[near_face[met]]
            front = near < distance[tried]
            place, near_face = tried[front], near_face[front]
            distance[place], user[place] = near[front], users.owner[near_face]
            material[place], normal[place] = users.tracer.materials[near_face], users.tracer.normals[near_face]
        distance[distance > MAX_RANGE] = np.inf
        clutter = self._visible_clutter(np.where((user < 0) & np.isfinite(distance), face, -1)[: ROWS * COLUMNS])
        ray = np.flatnonzero(np.isfinite(distance))
        view, reach, normal = rays[ray], distance[ray], normal[ray]
        # Surfaces have two sides: the one that is seen counts.
        normal = normal * -np.sign((normal * view).sum(1, keepdims=True))
        point = origin.astype(np.float32) + reach[:, None] * view
        return distance, unhidden, clutter, Hits(ray, view, reach, point, normal, material[ray], user[ray])

    def _visible_clutter(self, face: np.ndarray) -> dict[str, int]:
        """`Frame.clutter`, of the street's face that the middle of each pixel meets (-1: none): int [N]."""
        if self.world.clutter_of_face is None:
            return {}
        thing = self.world.clutter_of_face[face[face >= 0]]
        pixels = np.bincount(thing[thing >= 0], minlength=len(self.world.clutter))
        visible = (self.world.clutter[index] for index in np.flatnonzero(pixels >= CLUTTER_PIXELS))
        return dict(sorted(Counter(visible).items()))

    def _laser(self, reflectivity: np.ndarray, hits: Hits, rays: int, rng) -> tuple[np.ndarray, np.ndarray]:
        """Reported intensity, and range in metres (0: none), both float [128, 1024]."""
        noise, optics = self.noise, self.optics
        returned = optics.returned(reflectivity, hits)
        signal, strength, reach, behind, dropout = np.zeros((5, rays), np.float32)
        signal[hits.ray] = returned / (1 + (hits.distance / noise["falloff"]) ** 2)
        strength[hits.ray] = returned / np.maximum(hits.distance, 1) ** 2
        reach[hits.ray], behind[hits.ray] = hits.distance, optics.inside(hits)
        dropout[hits.ray] = optics.of_dropout[hits.material]
        # Of a pixel's five rays the one with the strongest return decides its range.
        strengths = _samples(strength)
        best = strengths.argmax(0)[None]
        strongest, lost, inside = (
            np.take_along_axis(samples, best, 0)[0] for samples in (strengths, _samples(dropout), _samples(behind))
        )
        through = rng.random(lost.shape, np.float32) < lost

        # The less a surface sends back at all (glass), the less of the light that is lost still counts.
        intensity = (_average(signal) * np.where(through, 1 - lost, 1)) ** RESPONSE
        bright = np.percentile(intensity, noise["high"])
        counted = np.sqrt(0.35 + 0.65 * np.clip(2.5 * intensity / bright, 0, 1))
        intensity += rng.standard_normal(intensity.shape, np.float32) * counted * noise["intensity"] * bright

        reaches = _samples(reach)
        shown = np.take_along_axis(reaches, best, 0)[0] + inside * through
        back = ~through | ((inside > 0) & (rng.random(lost.shape, np.float32) < INSIDE))
        found = back & self._detected(strongest, reaches, rng)
        shown += rng.normal(0, 0.02, shown.shape)
        return intensity, np.where(found, np.maximum(shown, 0.1), 0)

    def _detected(self, strength: np.ndarray, reaches: np.ndarray, rng) -> np.ndarray:
        """Where returns are strong enough and not lost: bool [128, 1024], of each pixel's ranges [5, 128, 1024]."""
        fading = np.exp(FADING * rng.standard_normal(strength.shape, np.float32))
        edge = reaches.max(0) > EDGE * np.where(reaches > 0, reaches, np.inf).min(0)
        lost = self.noise["dropout"] + EDGE_LOSS * edge
        found = self.noise["sensitivity"] * strength * fading > DETECTION
        return found & (rng.random(strength.shape, np.float32) >= lost)

    def _ambient(self, reflectivity, hits: Hits, rays: np.ndarray, moving: Tracer | None, rng) -> np.ndarray:
        """Near-infrared light, compressed and noisy: float [128, 1024]."""
        light = np.zeros(len(rays), np.float32)
        casters = [self.street] if moving is None else [self.street, moving]
        light[hits.ray] = self.optics.daylight(reflectivity, hits, casters)
        nothing = np.ones(len(rays), bool)
        nothing[hits.ray] = False
        light[nothing] = self.optics.sky(rays[nothing])
        # Daylight comes through all of the aperture, the laser mostly along its axis.
        ambient = _average(light, centre=0.3) ** AMBIENT_RESPONSE
        bright = np.percentile(ambient, self.noise["high"])
        spread = self.noise["ambient"] * bright * (1 - 0.7 * np.clip(ambient / bright, 0, 1))
        return ambient + rng.standard_normal(ambient.shape, np.float32) * spread


def _box(vertices: np.ndarray, centre: np.ndarray, turn: np.ndarray, tilt: float) -> np.ndarray:
    """x1, y1, x2, y2 in pixels around vertices [N, 3] relative to the sensor; x runs on beyond the seam."""
    column, row = project(vertices, turn, tilt)
    middle = project(centre[None], turn, tilt)[0]
    column = middle + (column - middle + COLUMNS / 2) % COLUMNS - COLUMNS / 2
    return np.array([column.min(), row.min(), column.max(), row.max()])


def _rays_near(boxes: np.ndarray) -> np.ndarray:
    """Indices of the rays, centres and corners, that pass through or close by any of the boxes (as in `Frame`)."""
    near = np.zeros((ROWS + 1, COLUMNS), bool)
    for x1, y1, x2, y2 in boxes[~np.isnan(boxes[:, 0])]:
        rows = slice(max(int(y1) - 1, 0), max(int(y2) + 3, 0))
        near[rows, np.arange(int(np.floor(x1)) - 1, min(int(x2) + 3, int(x1) - 1 + COLUMNS)) % COLUMNS] = True
    return np.flatnonzero(np.concatenate([near[:ROWS].ravel(), near.ravel()]))


def _samples(values: np.ndarray) -> np.ndarray:
    """The five rays of each pixel, [5, 128, 1024], of values [N] of all centres and then all corners."""
    centre = values[: ROWS * COLUMNS].reshape(ROWS, COLUMNS)
    corner = values[ROWS * COLUMNS :].reshape(ROWS + 1, COLUMNS)
    right = np.roll(corner, -1, axis=1)
    return np.stack([centre, corner[:-1], corner[1:], right[:-1], right[1:]])


def _average(values: np.ndarray, centre: float = 0.5) -> np.ndarray:
    """Mean over each pixel, its centre weighing `centre` and its corners the rest: float [128, 1024]."""
    middle, *corners = _samples(values)
    return centre * middle + (1 - centre) / 4 * sum(corners)


def expose(channel: np.ndarray, low: float, high: float, measured: np.ndarray | None = None) -> np.ndarray:
    """8-bit image of a channel [H, W], linear: the percentile `low` becomes black, `high` becomes 0.9 of white.

    measured: bool [H, W], the pixels that hold a measurement; the others don't count and become 0.
    """
    counted = channel if measured is None else channel[measured]
    black, bright = np.percentile(counted, [low, high]) if counted.size else (0.0, 1.0)
    shown = (channel - black) * (BRIGHT_END / max(bright - black, 1e-9))
    if measured is not None:
        shown = np.where(measured, shown, 0)
    return np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
