"""Small triangle meshes of which all else is made: boxes, tubes, lofts, ellipsoids, and how to move and join them.

A shape's z axis points up and, where it has a front, the front points along +x. Materials are indices into a `Palette`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .scene import Material, Mesh

# Corners of a box as signs, and its six faces as quads seen from outside.
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32) / 2
_SIDES = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


class Palette:
    """The materials of one world: hands out an index for each."""

    def __init__(self) -> None:
        self.materials: list[Material] = []

    def add(self, name: str, reflectivity: float, **properties: float | bool) -> int:
        """Index of a new material (`scene.Material` explains the properties)."""
        self.materials.append(Material(name, float(np.clip(reflectivity, 0.01, 0.98)), **properties))
        return len(self.materials) - 1


def join(meshes: Iterable[Mesh | None]) -> Mesh:
    """One mesh of all the given ones; None counts as empty."""
    parts = [m for m in meshes if m is not None and len(m.faces)]
    if not parts:
        return Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros(0, np.int16))
    starts = np.cumsum([0] + [len(m.vertices) for m in parts[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in parts]).astype(np.float32, copy=False),
        np.concatenate([m.faces + s for m, s in zip(parts, starts, strict=True)]).astype(np.int32, copy=False),
        np.concatenate([m.materials for m in parts]),
    )


def moved(mesh: Mesh, x: float = 0.0, y: float = 0.0, z: float = 0.0, heading: float = 0.0, scale=1.0) -> Mesh:
    """The mesh scaled (one factor, or one an axis), turned about z by `heading`, then shifted."""
    c, s = np.cos(heading), np.sin(heading)
    rotation = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    vertices = (mesh.vertices * np.asarray(scale)) @ rotation + (x, y, z)
    return Mesh(vertices.astype(np.float32), mesh.faces, mesh.materials)


def copies(mesh: Mesh, offsets: np.ndarray) -> Mesh:
    """The mesh repeated at each offset [N, 3]."""
    n, v = len(offsets), len(mesh.vertices)
    vertices = (mesh.vertices[None] + np.asarray(offsets, np.float32)[:, None]).reshape(-1, 3)
    faces = (mesh.faces[None] + (np.arange(n, dtype=np.int32) * v)[:, None, None]).reshape(-1, 3)
    return Mesh(vertices, faces, np.tile(mesh.materials, n))


def quads(corners: np.ndarray, material: int | np.ndarray) -> Mesh:
    """Two triangles for each of the quads [Q, 4, 3], whose corners go round."""
    corners = np.asarray(corners, np.float32).reshape(-1, 4, 3)
    q = len(corners)
    first = 4 * np.arange(q, dtype=np.int32)[:, None]
    faces = np.concatenate([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])], 1).reshape(-1, 3)
    materials = np.repeat(np.broadcast_to(np.asarray(material, np.int16), q), 2)
    return Mesh(corners.reshape(-1, 3), faces.astype(np.int32), materials)


def box(size: Sequence[float], material: int, center: Sequence[float] = (0, 0, 0)) -> Mesh:
    """An upright box of the given lengths along x, y, z."""
    corners = _CORNERS * np.asarray(size, np.float32) + np.asarray(center, np.float32)
    return quads(corners[_SIDES], material)


def loft(sections: np.ndarray, material: int | np.ndarray, caps: bool = True) -> Mesh:
    """A skin over closed cross-sections [K, P, 3], one after the other; `material` is one, or one a span [K-1].

    Caps close the first and the last section (which should be convex).
    """
    sections = np.asarray(sections, np.float32)
    k, p = sections.shape[:2]
    turned = np.roll(sections, -1, axis=1)
    sides = np.stack([sections[:-1], turned[:-1], turned[1:], sections[1:]], 2).reshape(-1, 4, 3)
    material = np.broadcast_to(np.asarray(material, np.int16), k - 1)
    parts = [quads(sides, np.repeat(material, p))]
    if caps:
        parts += [fan(sections[0, ::-1], int(material[0])), fan(sections[-1], int(material[-1]))]
    return join(parts)


def fan(polygon: np.ndarray, material: int) -> Mesh:
    """A convex (or star-shaped about its first corner) polygon [P, 3] as triangles."""
    polygon = np.asarray(polygon, np.float32)
    n = len(polygon)
    faces = np.stack([np.zeros(n - 2), np.arange(1, n - 1), np.arange(2, n)], 1).astype(np.int32)
    return Mesh(polygon, faces, np.full(n - 2, material, np.int16))


def tube(points: np.ndarray, radii: float | Sequence[float], material: int, sides: int = 5, caps: bool = False) -> Mesh:
    """A pipe along points [K, 3]; `radii` one, or one a point."""
    points = np.asarray(points, np.float64)
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-12
    # The helper axis must not be parallel to the pipe anywhere; the one least along it on the whole is not.
    helper = np.eye(3)[np.argmin(np.abs(along).max(0))]
    across = np.cross(along, helper)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    other = np.cross(along, across)
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.cos(angle)[None, :, None] * across[:, None] + np.sin(angle)[None, :, None] * other[:, None]
    radii = np.broadcast_to(np.asarray(radii, float), len(points))
    return loft(points[:, None] + radii[:, None, None] * ring, material, caps)


def cylinder(radius: float | Sequence[float], height: float, material: int, sides: int = 10) -> Mesh:
    """An upright cylinder on z = 0, or a cone's stump where two radii (bottom, top) are given."""
    bottom, top = np.broadcast_to(np.asarray(radius, float), 2)
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    return loft(np.stack([ring * bottom, ring * top + (0, 0, height)]), material)


def ellipsoid(radii: Sequence[float], material: int, center: Sequence[float] = (0, 0, 0), sides: int = 8) -> Mesh:
    """An ellipsoid with half axes `radii`."""
    polar = np.linspace(0.12, np.pi - 0.12, max(4, sides // 2 + 1))
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.stack(
        np.broadcast_arrays(
            np.sin(polar)[:, None] * np.cos(angle), np.sin(polar)[:, None] * np.sin(angle), -np.cos(polar)[:, None]
        ),
        -1,
    )
    return loft(ring * np.asarray(radii) + np.asarray(center), material)


def disc(radius: float, material: int, center: Sequence[float], axis: int = 1, sides: int = 12) -> Mesh:
    """A flat disc, seen from either side, at right angles to the given axis (0 x, 1 y, 2 z)."""
    angle = 2 * np.pi * np.arange(sides) / sides
    points = np.zeros((sides, 3))
    points[:, (axis + 1) % 3], points[:, (axis + 2) % 3] = radius * np.cos(angle), radius * np.sin(angle)
    return fan(points + np.asarray(center), material)


def ring(radius: float, thickness: float, material: int, center: Sequence[float], sides: int = 16) -> Mesh:
    """A tyre: a hoop of square cross-section in the x-z plane about `center`."""
    angle = 2 * np.pi * np.arange(sides + 1) / sides
    spoke = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1)[:, None]
    section = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * thickness / 2
    points = spoke * (radius + section[None, :, :1]) + section[None, :, 1:] * np.array([0, 1, 0])
    return loft(points + np.asarray(center), material, caps=False)


def leaves(rng: np.random.Generator, points: np.ndarray, size: float, material: int | np.ndarray) -> Mesh:
    """A triangle of about the given size, turned at random, at each of the points [N, 3]: broken-up foliage."""
    n = len(points)
    corners = rng.normal(size=(n, 3, 3)) * (size * rng.uniform(0.5, 1.1, (n, 1, 1)) / 1.6)
    vertices = (np.asarray(points)[:, None] + corners).reshape(-1, 3).astype(np.float32)
    materials = np.broadcast_to(np.asarray(material, np.int16), n).copy()
    return Mesh(vertices, np.arange(3 * n, dtype=np.int32).reshape(n, 3), materials)
