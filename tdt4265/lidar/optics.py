"""How surfaces answer light: the laser's return, and daylight in the near infrared, where they are seen."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from .scene import World
from .tracing import Hits, Tracer

PIXEL = 2 * np.pi / 1024  # radians; detail finer than this averages out
# Exponents of the cosine: rough surfaces send light back even at grazing angles, blades and leaves above all.
ROUGHNESS, LEAF_ROUGHNESS = 0.3, 0.15
# Gloss, after real cars: the coat takes most of the diffuse light and mirrors the rest; flakes below it, and panels
# that bend, spread a part of that over a wider lobe.
COAT_DIFFUSE, COAT_HIGHLIGHT, HIGHLIGHT_EXPONENT = 0.25, 1.2, 30
FLAKES, FLAKES_EXPONENT = 0.8, 3
COAT_DAYLIGHT, COAT_MIRROR = 0.3, 0.2
WINDOW_MIRROR = 0.35  # the coats of buildings' windows, which keep the heat in, send back much of the near infrared
GROUND_LIGHT = 0.29  # share of the daylight on the ground that it sends up again (grass and paving: bright in infrared)
ROOM, CABIN = 4.0, 1.0  # metres that the inside of a building and of a road user is deep


class Optics:
    """The surfaces and the daylight of one world."""

    def __init__(self, world: World):
        self.world = world
        self.grain = np.random.default_rng([world.cloud_seed, 0]).standard_normal((48, 48, 48)).astype(np.float32)
        self.of_reflectivity = self._column("reflectivity")
        self.of_retroreflection = self._column("retroreflection")
        self.of_dropout = self._column("dropout")
        self.of_grain, self.of_grain_size = self._column("grain"), self._column("grain_size")
        self.is_gloss, self.is_pane = self._column("gloss") > 0, self._column("pane") > 0
        self.is_translucent = self._column("translucent") > 0

    def _column(self, name: str) -> np.ndarray:
        """One property of all materials, float32 [materials]."""
        return np.array([getattr(material, name) for material in self.world.materials], np.float32)

    def reflectivity(self, hits: Hits, centres: np.ndarray) -> np.ndarray:
        """Diffuse reflectivity at each hit, float32 [N]: its material's, with the grain that a pixel leaves of it.

        centres: float32 [users, 3]; road users carry their grain with them.
        """
        local = hits.point.copy()
        carried = hits.user >= 0
        local[carried] -= centres[hits.user[carried]]
        # Courses of stone, boards, slats: most surfaces vary more upwards than along.
        size = self.of_grain_size[hits.material]
        local *= np.array([1, 1, 2], np.float32) / size[:, None]
        grain = np.zeros(len(local), np.float32)
        for frequency, weight in ((0.37, 0.5), (1.0, 1.0), (2.6, 1.0)):
            weight = weight / (1 + PIXEL * hits.distance * frequency / size)
            grain += weight * map_coordinates(self.grain, local.T * frequency, order=1, mode="grid-wrap")
        # Linear interpolation between lattice points keeps about 0.55 of the lattice's standard deviation.
        grain /= 0.55 * 1.5
        return self.of_reflectivity[hits.material] * np.clip(1 + self.of_grain[hits.material] * grain, 0.1, 3)

    def returned(self, reflectivity: np.ndarray, hits: Hits) -> np.ndarray:
        """Share of the laser's light that each hit sends back, float32 [N]: 1 for a white surface at right angles."""
        cosine = hits.cosine
        rough = reflectivity * cosine ** np.where(self.is_translucent[hits.material], LEAF_ROUGHNESS, ROUGHNESS)
        coated = reflectivity * (COAT_DIFFUSE * cosine + FLAKES * cosine**FLAKES_EXPONENT)
        coated += COAT_HIGHLIGHT * cosine**HIGHLIGHT_EXPONENT
        # Most of the light goes through a pane: it stays dark even where it faces the sensor.
        coated = np.where(self.is_pane[hits.material], np.minimum(coated, 0.012), coated)
        plain = np.where(self.is_gloss[hits.material], coated, rough)
        return plain + self.of_retroreflection[hits.material] * cosine

    def inside(self, hits: Hits) -> np.ndarray:
        """How far behind each hit (metres, float32 [N]) light that a pane let through meets something."""
        depth = np.zeros(len(hits.point), np.float32)
        panes = np.flatnonzero(self.is_pane[hits.material])
        things = map_coordinates(self.grain, hits.point[panes].T * 2, order=0, mode="grid-wrap")
        depth[panes] = np.where(hits.user[panes] >= 0, CABIN, ROOM) * np.clip(0.5 + 0.3 * things, 0.05, 1)
        return depth

    def daylight(self, reflectivity: np.ndarray, hits: Hits, casters: list[Tracer]) -> np.ndarray:
        """Near-infrared daylight that each hit sends to the sensor, float32 [N].

        casters: what throws shadows. Surfaces are lit by the sun, by the sky they see, and from below by the ground,
        without which upright ones (people above all) would be far darker than real ones are.
        """
        world, upward = self.world, hits.normal[:, 2]
        leaf = self.is_translucent[hits.material]
        open_sky = np.where(leaf, 0.8, 0.5 + 0.5 * upward)
        from_below = GROUND_LIGHT * self._on_the_ground() * (0.5 - 0.5 * upward)
        sunshine = self._sunshine(hits, leaf, casters)
        diffuse = reflectivity * (world.sunlight * sunshine + world.skylight * open_sky + from_below)
        gloss = np.flatnonzero(self.is_gloss[hits.material])
        diffuse[gloss] = COAT_DAYLIGHT * diffuse[gloss] + self._mirrored(hits, gloss)
        return diffuse

    def _on_the_ground(self) -> float:
        return self.world.sunlight * max(float(self.world.sun[2]), 0.0) + self.world.skylight

    def _sunshine(self, hits: Hits, leaf: np.ndarray, casters: list[Tracer]) -> np.ndarray:
        """Share of the sun's full strength that falls on each hit, shadows taken out."""
        sun = np.asarray(self.world.sun, np.float32)
        towards = hits.normal @ sun
        # Leaves and blades let about half of the light through, and are too small to have one normal.
        towards = np.where(leaf, 0.5 + 0.2 * np.abs(towards), np.maximum(towards, 0))
        shines = sun[2] > 0 and self.world.sunlight > 0
        lit = np.flatnonzero(towards > 0) if shines else np.empty(0, int)
        start = hits.point[lit] + 0.02 * hits.normal[lit] + 0.02 * sun
        rays = np.repeat(sun[None], len(lit), axis=0)
        dark = np.zeros(len(lit), bool)
        for caster in casters:
            dark |= caster.blocked(start, rays)
        sunshine = np.zeros(len(towards), np.float32)
        sunshine[lit] = towards[lit] * np.where(dark, np.where(leaf[lit], 0.75, 0.0), 1.0)
        return sunshine

    def _mirrored(self, hits: Hits, which: np.ndarray) -> np.ndarray:
        """What glossy surfaces mirror: the sky above, the street below (Schlick's approximation of Fresnel)."""
        view, normal = hits.view[which], hits.normal[which]
        cosine = hits.cosine[which]
        away = view + 2 * cosine[:, None] * normal
        street = 0.8 * GROUND_LIGHT * self._on_the_ground()
        seen = np.where(away[:, 2] > 0.05, self._clear_sky(away), street)
        window = self.is_pane[hits.material[which]] & (hits.user[which] < 0)
        least = np.where(window, WINDOW_MIRROR, COAT_MIRROR)
        return (least + (1 - least) * (1 - cosine) ** 5) * seen

    def _clear_sky(self, directions: np.ndarray, clouds: float | np.ndarray = 0.5) -> np.ndarray:
        """Brightness of the sky in directions [N, 3]; clouds: their share in each."""
        world = self.world
        glow = np.exp((directions @ np.asarray(world.sun, np.float32) - 1) * 12) * world.sunlight
        haze = np.exp(-np.maximum(directions[:, 2], 0) * 5)
        return (world.skylight + 0.45 * world.sunlight) * (0.5 + 0.3 * haze + 0.6 * clouds) + 0.5 * glow

    def sky(self, rays: np.ndarray) -> np.ndarray:
        """Brightness of the sky along rays float32 [N, 3] that meet nothing: clouds on a plane high above."""
        flat = rays[:, :2] / (np.maximum(rays[:, 2:], 0) + 0.12)
        cover = np.zeros(len(rays), np.float32)
        for octave in range(5):
            where = np.vstack([flat.T * 1.3 * 2**octave + 7 * octave, np.full(len(rays), 3.5 * octave)])
            cover += map_coordinates(self.grain, where, order=1, mode="grid-wrap") / 1.6**octave
        return self._clear_sky(rays, np.clip(0.5 + 0.4 * cover + (self.world.clouds - 0.5), 0, 1))
