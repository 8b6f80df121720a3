"""Draw points that are uniform over a mesh's area."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finer_core.errors import InputError
from finer_core.shapes import Int
from finer_sdf.geometry.shapes import Mesh, Points, unit_vectors


@dataclass(frozen=True, kw_only=True)
class SurfaceSamples:
    """Hold points of a surface.

    Attributes:
        points: (n, 3).
        normals: (n, 3), of the face each lies on, of length 1.
        faces: (n,) the faces.
        weights: (n, 3) of the face's corners, which add up to 1.
    """

    points: Points
    normals: Points
    faces: Int[np.ndarray, " points"]
    weights: Points


def sample_surface(mesh: Mesh, *, count: int, seed: int | Sequence[int]) -> SurfaceSamples:
    """Draw independent points, uniform over the area.

    Args:
        mesh: With at least one face that is not degenerate.
        count: How many.
        seed: Seed of the draw, or several numbers that make one. Trailing zeros do not count: (5, 0) draws what 5 does.

    Raises:
        InputError: If the mesh has no area.
    """
    vectors = mesh.face_vectors()
    areas = np.linalg.norm(vectors, axis=1)
    cumulative = np.cumsum(areas)
    if not cumulative[-1] > 0:
        raise InputError("the mesh has no area: all its faces are degenerate")
    random = np.random.default_rng(seed)
    faces = np.searchsorted(cumulative, random.random(count) * cumulative[-1], side="right")
    faces = np.minimum(faces, np.flatnonzero(areas)[-1])  # rounding may reach the end
    u, v = random.random((2, count, 1))
    beyond = u + v > 1  # the other half of the parallelogram, folded back
    u, v = np.where(beyond, 1 - u, u), np.where(beyond, 1 - v, v)
    corners = mesh.vertices[mesh.faces[faces]]
    points = corners[:, 0] + u * (corners[:, 1] - corners[:, 0]) + v * (corners[:, 2] - corners[:, 0])
    weights = np.concatenate([1 - u - v, u, v], axis=1)
    return SurfaceSamples(points=points, normals=unit_vectors(vectors[faces]), faces=faces, weights=weights)
