"""Small triangle meshes of which all else is made: boxes, tubes, lofts, ellipsoids, and how to move and join them.

A shape's z axis points up and, where it has a front, the front points along +x. Materials are indices into a `Palette`.
A world is made of thousands of them, so what depends on a shape's make-up alone (which corners form its triangles, its
unit circle) is worked out once and shared: those arrays are read-only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from .scene import Material, Mesh

# Corners of a box as signs, and its six faces as quads seen from outside.
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32) / 2
_SIDES = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
_HALVES = np.array([0, 1, 2, 0, 2, 3], np.int32)  # a quad as two triangles
_BOX_FACES = _SIDES[:, _HALVES].reshape(-1, 3).astype(np.int32)


class Palette:
    """The materials of one world: hands out an index for each."""

    def __init__(self) -> None:
        self.materials: list[Material] = []

    def add(self, name: str, reflectivity: float, **properties: float | bool) -> int:
        """Index of a new material (`scene.Material` explains the properties)."""
        self.materials.append(Material(name, min(max(float(reflectivity), 0.01), 0.98), **properties))
        return len(self.materials) - 1


# ------------------------------------------------------------------------------- joining and moving


def join(meshes: Iterable[Mesh | None]) -> Mesh:
    """One mesh of all the given ones; None counts as empty."""
    parts = [m for m in meshes if m is not None and len(m.faces)]
    if not parts:
        return Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), np.zeros(0, np.int16))
    faces = np.concatenate([m.faces for m in parts])
    starts = np.cumsum([0] + [len(m.vertices) for m in parts[:-1]])
    faces += np.repeat(starts, [len(m.faces) for m in parts])[:, None].astype(np.int32)
    return Mesh(np.concatenate([m.vertices for m in parts]), faces, np.concatenate([m.materials for m in parts]))


def moved(mesh: Mesh, x: float = 0.0, y: float = 0.0, z: float = 0.0, heading: float = 0.0, scale=1.0) -> Mesh:
    """The mesh scaled (one factor, or one an axis), turned about z by `heading`, then shifted."""
    vertices = mesh.vertices
    if heading or np.ndim(scale) or scale != 1.0:
        c, s = np.cos(heading), np.sin(heading)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) * np.broadcast_to(scale, 3)[:, None]
        vertices = vertices @ turn.astype(np.float32)
    return Mesh(vertices + np.array([x, y, z], np.float32), mesh.faces, mesh.materials)


def copies(mesh: Mesh, offsets: np.ndarray) -> Mesh:
    """The mesh repeated at each offset [N, 3]."""
    n, v = len(offsets), len(mesh.vertices)
    vertices = (mesh.vertices[None] + np.asarray(offsets, np.float32)[:, None]).reshape(-1, 3)
    faces = (mesh.faces[None] + (np.arange(n, dtype=np.int32) * v)[:, None, None]).reshape(-1, 3)
    return Mesh(vertices, faces, np.tile(mesh.materials, n))


# ------------------------------------------------------------------------------------------- surfaces


def _materials(material: int | np.ndarray, each: int, count: int) -> np.ndarray:
    """int16 [count * each]: one material for all, or one for each run of `each` triangles."""
    if np.ndim(material):
        return np.repeat(np.asarray(material, np.int16), each)
    return np.full(count * each, material, np.int16)


@cache
def _quad_faces(count: int) -> np.ndarray:
    faces = (4 * np.arange(count, dtype=np.int32)[:, None] + _HALVES).reshape(-1, 3)
    faces.flags.writeable = False
    return faces


def quads(corners: np.ndarray, material: int | np.ndarray) -> Mesh:
    """Two triangles for each of the quads [Q, 4, 3], whose corners go round; `material` is one, or one a quad."""
    corners = np.asarray(corners, np.float32).reshape(-1, 3)
    count = len(corners) // 4
    return Mesh(corners, _quad_faces(count), _materials(material, 2, count))


def box(size: Sequence[float], material: int, center: Sequence[float] = (0, 0, 0)) -> Mesh:
    """An upright box of the given lengths along x, y, z."""
    vertices = _CORNERS * np.array(size, np.float32) + np.array(center, np.float32)
    return Mesh(vertices, _BOX_FACES, np.full(12, material, np.int16))


def boxes(sizes: np.ndarray, centers: np.ndarray, material: int) -> Mesh:
    """Upright boxes [N, 3] of one material at centres [N, 3]; either may be one for all."""
    sizes, centers = np.broadcast_arrays(np.atleast_2d(sizes), np.atleast_2d(centers))
    corners = _CORNERS * sizes[:, None] + centers[:, None]
    return quads(corners[:, _SIDES], material)


@cache
def _skin_faces(sections: int, corners: int, caps: bool) -> np.ndarray:
    """Triangles between neighbouring sections, whose corners are numbered one section after the other."""
    here = np.arange(corners, dtype=np.int32)
    around = np.stack([here, np.roll(here, -1), np.roll(here, -1) + corners, here + corners], 1)
    sides = around[:, _HALVES] + corners * np.arange(sections - 1, dtype=np.int32)[:, None, None]
    faces = [sides.reshape(-1, 3)]
    if caps:
        rest = here[1:-1]
        lid = np.stack([0 * rest, rest, rest + 1], 1)
        faces += [corners - 1 - lid, lid + corners * (sections - 1)]
    faces = np.concatenate(faces)
    faces.flags.writeable = False
    return faces


def loft(sections: np.ndarray, material: int | np.ndarray, caps: bool = True) -> Mesh:
    """A skin over closed cross-sections [K, P, 3], one after the other; `material` is one, or one a span [K-1].

    Caps close the first and the last section (which should be convex).
    """
    sections = np.asarray(sections, np.float32)
    k, p = sections.shape[:2]
    faces = _skin_faces(k, p, caps)
    if np.ndim(material):
        spans = np.asarray(material, np.int16)
        ends = [np.full(p - 2, spans[0]), np.full(p - 2, spans[-1])] if caps else []
        materials = np.concatenate([np.repeat(spans, 2 * p), *ends])
    else:
        materials = np.full(len(faces), material, np.int16)
    return Mesh(sections.reshape(-1, 3), faces, materials)


def fan(polygon: np.ndarray, material: int) -> Mesh:
    """A convex (or star-shaped about its first corner) polygon [P, 3] as triangles."""
    rest = np.arange(1, len(polygon) - 1, dtype=np.int32)
    return Mesh(
        np.asarray(polygon, np.float32), np.stack([0 * rest, rest, rest + 1], 1), np.full(len(rest), material, np.int16)
    )


@cache
def circle(sides: int) -> np.ndarray:
    """A unit circle's corners in the plane z = 0: float32 [sides, 3]."""
    angle = 2 * np.pi * np.arange(sides) / sides
    points = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1).astype(np.float32)
    points.flags.writeable = False
    return points


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`np.cross` without its overhead, which counts for a few vectors."""
    return a[..., [1, 2, 0]] * b[..., [2, 0, 1]] - a[..., [2, 0, 1]] * b[..., [1, 2, 0]]


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.sqrt((v * v).sum(-1, keepdims=True) + 1e-20)


def tubes(lines: np.ndarray, radii: float | Sequence[float], material: int, sides: int = 5, caps: bool = False) -> Mesh:
    """Pipes along lines [N, K, 3] of K points each; `radii` one, or one a point."""
    lines = np.asarray(lines, np.float32)
    n, k = lines.shape[:2]
    steps = _unit(lines[:, 1:] - lines[:, :-1])
    along = np.empty_like(lines)
    along[:, 0], along[:, -1] = steps[:, 0], steps[:, -1]
    along[:, 1:-1] = _unit(steps[:, 1:] + steps[:, :-1])
    # The helper axis must not be parallel to the pipe anywhere; the one least along it on the whole is not.
    helper = np.eye(3, dtype=np.float32)[np.abs(along).max(1).argmin(1)][:, None]
    across = _unit(_cross(along, np.broadcast_to(helper, lines.shape)))
    other = _cross(along, across)
    ring = circle(sides)[:, 0, None] * across[:, :, None] + circle(sides)[:, 1, None] * other[:, :, None]
    radius = np.asarray(radii, np.float32)
    sections = lines[:, :, None] + (radius[:, None, None] if radius.ndim else radius) * ring
    pattern = _skin_faces(k, sides, caps)
    starts = np.arange(n, dtype=np.int32)[:, None, None] * (k * sides)
    faces = (pattern + starts).reshape(-1, 3) if n > 1 else pattern
    return Mesh(sections.reshape(-1, 3), faces, np.full(len(faces), material, np.int16))


def tube(points: np.ndarray, radii: float | Sequence[float], material: int, sides: int = 5, caps: bool = False) -> Mesh:
    """A pipe along points [K, 3]; `radii` one, or one a point."""
    return tubes(np.asarray(points, np.float32)[None], radii, material, sides, caps)


def cylinder(radius: float | Sequence[float], height: float, material: int, sides: int = 10) -> Mesh:
    """An upright cylinder on z = 0, or a cone's stump where two radii (bottom, top) are given."""
    bottom, top = radius if np.ndim(radius) else (radius, radius)
    ring = circle(sides)
    return loft(np.stack([ring * bottom, ring * top + np.array([0, 0, height], np.float32)]), material)


@cache
def _ball(sides: int) -> np.ndarray:
    polar = np.linspace(0.12, np.pi - 0.12, max(4, sides // 2 + 1))[:, None, None]
    sections = (np.sin(polar) * circle(sides) - np.cos(polar) * np.array([0, 0, 1])).astype(np.float32)
    sections.flags.writeable = False
    return sections


def ellipsoid(radii: Sequence[float], material: int, center: Sequence[float] = (0, 0, 0), sides: int = 8) -> Mesh:
    """An ellipsoid with half axes `radii`."""
    return loft(_ball(sides) * np.array(radii, np.float32) + np.array(center, np.float32), material)


def disc(radius: float, material: int, center: Sequence[float], axis: int = 1, sides: int = 12) -> Mesh:
    """A flat disc, seen from either side, at right angles to the given axis (0 x, 1 y, 2 z)."""
    # A circle's x and y become the two axes after the given one.
    points = np.roll(circle(sides), axis + 1, axis=1)
    return fan(points * np.float32(radius) + np.array(center, np.float32), material)


def wheel_shape(radius: float, width: float, material: int, center: Sequence[float], sides: int = 14) -> Mesh:
    """A cylinder that lies on its side, its axis along y, about `center`."""
    rim = circle(sides)[:, [0, 2, 1]] * np.float32(radius) + np.array(center, np.float32)
    half = np.array([0, width / 2, 0], np.float32)
    return loft(np.stack([rim + half, rim - half]), material)


def ring(radius: float, thickness: float, material: int, center: Sequence[float], sides: int = 16) -> Mesh:
    """A tyre: a hoop of square cross-section in the x-z plane about `center`."""
    spoke = np.concatenate([circle(sides), circle(sides)[:1]])[:, None, [0, 2, 1]]
    section = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) * np.float32(thickness / 2)
    points = spoke * (radius + section[None, :, :1]) + section[None, :, 1:] * np.array([0, 1, 0], np.float32)
    return loft(points + np.array(center, np.float32), material, caps=False)


def leaves(rng: np.random.Generator, points: np.ndarray, size: float, material: int | np.ndarray) -> Mesh:
    """A triangle of about the given size, turned at random, at each of the points [N, 3]: broken-up foliage."""
    n = len(points)
    corners = rng.standard_normal((n, 3, 3), np.float32)
    corners *= (size / 1.6) * rng.uniform(0.5, 1.1, (n, 1, 1)).astype(np.float32)
    corners += np.asarray(points, np.float32)[:, None]
    return Mesh(corners.reshape(-1, 3), np.arange(3 * n, dtype=np.int32).reshape(n, 3), _materials(material, 1, n))
