"""Tell a solid's outside from the walls within it, which closed parts have where they overlap."""

from dataclasses import dataclass

import numpy as np

from finer_core.shapes import Bool, Float
from finer_sdf.geometry import Mesh, unit_vectors
from finer_sdf.geometry.mesh_distance import MeshDistance
from finer_sdf.geometry.surface_sampling import sample_surface

_OFFSET = 1e-5
"""How far beside a wall its sides are asked for, in units of the box, or of a mesh that reaches farther from the
origin: libigl answers in single precision."""
_PROBE = 4096
"""Points that decide whether faces are looked at."""
_SHARE = 2e-3
"""Less of an area is no wall: beside a concave edge, as far as the offset goes, both sides of a face are inside."""
_ROUNDS = 6
"""How often a face that is inside only in part is quartered."""
_CORNERS = np.array([[8, 1, 1], [1, 8, 1], [1, 1, 8], [10 / 3] * 3]) / 10
"""Where a face is asked, in barycentric coordinates: near its corners, and in its middle."""


@dataclass(frozen=True, kw_only=True)
class Outside:
    """Hold what of a mesh bounds its solid.

    Attributes:
        mesh: The whole mesh.
        surface: The mesh without inner walls; the mesh itself where it has none.
        distance: To that surface, with the winding numbers of the whole mesh.
        share: Share of the mesh's area that lies inside, 0 where there are no walls.
    """

    mesh: Mesh
    surface: Mesh
    distance: MeshDistance
    share: float


def outside_of(mesh: Mesh) -> Outside:
    """Leave out the inner walls of a mesh: where both sides of it are inside, by a winding number above 1/2.

    Faces that are inside in part are cut into smaller ones, and those go by their middles.

    Args:
        mesh: In box coordinates.
    """
    distance, offset = MeshDistance(mesh), _OFFSET * max(1.0, float(np.abs(mesh.bounds).max()))
    probe = sample_surface(mesh, count=_PROBE, seed=0)
    share = float(_inner(probe.points, offset * probe.normals, distance).mean())
    if not _SHARE <= share < 1:
        return Outside(mesh=mesh, surface=mesh, distance=distance, share=0.0)
    triangles, kept = mesh.triangles, []
    for round_ in range(_ROUNDS + 1):
        normals = np.repeat(unit_vectors(np.cross(*np.moveaxis(np.diff(triangles, axis=1), 1, 0))), 4, axis=0)
        points = np.einsum("ca,mad->mcd", _CORNERS, triangles).reshape(-1, 3)
        inner = _inner(points, offset * normals, distance).reshape(-1, 4)
        doubtful = inner.any(axis=1) & ~inner.all(axis=1) & (round_ < _ROUNDS)
        kept.append(triangles[~doubtful & ~inner[:, 3]])
        triangles = _quartered(triangles[doubtful])
        if not len(triangles):
            break
    corners = np.concatenate(kept).reshape(-1, 3)
    surface = Mesh(vertices=corners, faces=np.arange(len(corners)).reshape(-1, 3))
    return Outside(
        mesh=mesh,
        surface=surface,
        distance=MeshDistance(mesh, surface=surface),
        share=1 - surface.area() / mesh.area(),
    )


def _inner(
    points: Float[np.ndarray, "points 3"], aside: Float[np.ndarray, "points 3"], distance: MeshDistance
) -> Bool[np.ndarray, " points"]:
    """Return which points of a surface (n, 3) have both their sides inside."""
    inner = distance.inside(points + aside)
    above = np.flatnonzero(inner)  # few, as a rule: only they are asked for their other side
    if len(above):
        inner[above] = distance.inside(points[above] - aside[above])
    return inner


def _quartered(triangles: Float[np.ndarray, "triangles 3 3"]) -> Float[np.ndarray, "quarters 3 3"]:
    """Cut triangles (m, 3, 3) at the middles of their sides, into (4 m, 3, 3)."""
    a, b, c = np.moveaxis(triangles, 1, 0)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([np.stack(part, axis=1) for part in parts])
