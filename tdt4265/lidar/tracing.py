"""Ray casting: which triangle a ray meets first, and whether anything lies on its way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from .scene import Mesh


class Tracer:
    """Triangles ready for ray casting, by Intel's Embree."""

    def __init__(self, mesh: Mesh):
        self.materials = np.asarray(mesh.materials)
        vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32)
        corners = vertices[faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self.normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        self.scene = EmbreeScene()
        # Embree's wrapper copies number by number, so the shorter of both forms is the faster one.
        if len(vertices) < 2 * len(faces):
            TriangleMesh(self.scene, vertices, faces)
        else:
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


@dataclass(frozen=True)
class Hits:
    """What rays meet, one entry for each ray that meets something.

    ray: int [N], its index among all rays. view: float32 [N, 3], its direction. distance: float32 [N], metres.
    point, normal: float32 [N, 3], in world coordinates, the normal turned towards the sensor.
    material: int [N]. user: int [N], the road user it belongs to, or -1.
    """

    ray: np.ndarray
    view: np.ndarray
    distance: np.ndarray
    point: np.ndarray
    normal: np.ndarray
    material: np.ndarray
    user: np.ndarray

    @property
    def cosine(self) -> np.ndarray:
        """Of the angle between each ray and the surface's normal, 0..1: float32 [N]."""
        return -(self.normal * self.view).sum(1)
