"""A clip's whole scene: a street, who is in it, and the weather."""

from __future__ import annotations

import numpy as np

from . import pedestrians, sensor, traffic
from .dressing import dress
from .scene import World
from .shapes import Palette
from .street import make_street


def make_world(clip: int, split: str = "train", seed: int = 0, seconds: float = 10.0) -> World:
    """A random street with its traffic for `seconds`, the same for the same arguments.

    split: "train" or "val"; val has more of the rare classes (`traffic.RARE`).
    """
    rng = np.random.default_rng([seed, clip, {"train": 0, "val": 1}[split]])
    cast = traffic.draw_cast(rng, split)
    palette = Palette()
    street = make_street(rng, cast.street)
    own = traffic.drive(cast, seconds)
    site, dresser = dress(rng, street, palette, (own.min(), own.max()))
    path, users = pedestrians.populate(rng, street, dresser, palette, cast, own)
    elevation, azimuth = np.radians(rng.uniform(12, 55)), rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    clouds = float(rng.choice([rng.uniform(0, 0.3), rng.uniform(0.3, 0.8), 1.0], p=[0.4, 0.4, 0.2]))
    clutter, clutter_of_face = site.clutter()
    return World(
        palette.materials,
        site.mesh(),
        users,
        path,
        sun,
        sunlight=float(rng.uniform(0.7, 1.2) * (1 - 0.85 * (clouds == 1.0))),
        skylight=float(rng.uniform(0.25, 0.6)),
        clouds=clouds,
        cloud_seed=int(rng.integers(1 << 30)),
        noise=sensor.random_noise(rng),
        clutter=clutter,
        clutter_of_face=clutter_of_face,
    )
