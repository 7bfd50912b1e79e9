"""What a simulated clip consists of: materials, meshes, road users, a world. The street and its users
fill it in (`street.py`, `road_users.py`), the sensor reads it (`sensor.py`).

Coordinates are metres, right-handed, z up, the ground near z = 0; headings are radians counter-clockwise from +x; times
are seconds from the clip's start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class Material:
    """How a surface answers the laser and the near-infrared daylight (both at 865 nm, so one reflectivity serves both).

    reflectivity: diffuse share of light sent back, 0..1.
    retroreflection: extra return towards the sensor, in units of a white diffuse surface (plates, signs: 2 to 20).
    dropout: probability that a ray gets no return from the surface.
    grain: relative standard deviation of the reflectivity over the surface; grain_size: its scale in metres.
    gloss: a clear coat, polished metal or glass, which mirrors the laser and the surroundings.
    pane: glass with a room or a cabin behind it, from which light that went through (`dropout`) may come back.
    translucent: leaves and blades, which let about half of the light through and have no one normal.
    """

    name: str
    reflectivity: float
    retroreflection: float = 0.0
    dropout: float = 0.0
    grain: float = 0.1
    grain_size: float = 0.1
    gloss: bool = False
    pane: bool = False
    translucent: bool = False


@dataclass
class Mesh:
    """Triangles. vertices: float32 [V, 3]; faces: int32 [F, 3]; materials: int16 [F], into `World.materials`."""

    vertices: np.ndarray
    faces: np.ndarray
    materials: np.ndarray


class RoadUser(Protocol):
    """Something that moves, or could. `category`: 1..8 as in the dataset, 0 for what is never labelled."""

    category: int

    def mesh(self, t: float) -> Mesh | None:
        """The user's triangles in world coordinates at time t; None while it is not in the scene."""
        ...


@runtime_checkable
class HasKeypoints(Protocol):
    """A road user that is a human."""

    def keypoints(self, t: float) -> np.ndarray | None:
        """`road_users.KEYPOINTS` in world coordinates at time t, float [17, 3]; None while it is not in the scene."""
        ...


@dataclass
class World:
    """One clip: a street, its users, the sensor's path and the weather.

    sun: unit vector towards the sun; sunlight, skylight: its strength and that of the diffuse sky, about 1.
    clouds: 0 (clear) to 1 (overcast); cloud_seed: which clouds.
    clutter: the kind ("bench") of each thing that is never labelled but resembles a road user.
    clutter_of_face: int32 [F], the thing that each face of the street belongs to (index into `clutter`), or -1;
        None where there is no clutter.
    """

    materials: list[Material]
    static: Mesh
    users: list[RoadUser]
    sensor_path: np.ndarray  # float64 [T, 4]: x, y, z, heading at times 0, 0.1, 0.2, ... seconds
    sun: np.ndarray
    sunlight: float = 1.0
    skylight: float = 0.4
    clouds: float = 0.3
    cloud_seed: int = 0
    noise: dict = field(default_factory=dict)  # this clip's sensor noise levels, read by sensor.py
    clutter: list[str] = field(default_factory=list)
    clutter_of_face: np.ndarray | None = None
