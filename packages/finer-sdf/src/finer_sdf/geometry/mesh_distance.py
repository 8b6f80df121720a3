"""Exact distances to a triangle mesh, by libigl: nearest points from a tree, signs from winding numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import igl
import numpy as np

from finer_core.shapes import Bool, Float, Shaped
from finer_sdf.geometry import Mesh
from finer_sdf.geometry.clouds.curve import along_a_curve
from finer_sdf.geometry.edges import Edges
from finer_sdf.geometry.shapes import Points

PIECE = 1 << 17
"""Points per call: bounds the memory, and lets progress be shown."""


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """Hold the nearest surface points.

    Attributes:
        distance: (n,), not negative.
        faces: (n,) index of the face that holds the nearest point.
        points: (n, 3) the nearest points.
    """

    distance: Float[np.ndarray, " points"]
    faces: Shaped[np.ndarray, " points"]  # libigl counts in long long, no int64 to jaxtyping
    points: Points


class MeshDistance:
    """Answer distance questions about one mesh; the search tree is built once.

    Args:
        mesh: At least one face; need not be closed, and faces may be degenerate.
        surface: What nearest points are on, where that is not the whole mesh.
    """

    def __init__(self, mesh: Mesh, *, surface: Mesh | None = None) -> None:
        used, faces = np.unique(mesh.faces, return_inverse=True)
        self._vertices = np.ascontiguousarray(mesh.vertices[used])
        self._faces = np.ascontiguousarray(faces.reshape(-1, 3).astype(np.int64))
        self._winding = igl.FastWindingNumberBVH()
        self._winding.init(self._vertices, self._faces)
        self._is_whole = surface is None
        if surface is not None:
            self._vertices, self._faces = surface.vertices, surface.faces
        self._tree = igl.AABB()
        self._tree.init(self._vertices, self._faces)

    @cached_property
    def is_closed(self) -> bool:
        """Return whether all that is nearer than the nearest surface point is on one side.

        Faces that leave no edge open have whole winding numbers, which change at the surface alone.
        """
        return self._is_whole and not Edges.of(self._faces).balance.any()

    def nearest(self, points: Points) -> Nearest:
        """Return the nearest surface point of each of points (n, 3), float64."""
        count = len(points)
        squared, faces, near = np.empty(count), np.empty(count, dtype=np.longlong), np.empty((count, 3))
        for index, piece in _pieces(points):
            squared[index], faces[index], near[index] = self._tree.squared_distance(self._vertices, self._faces, piece)
        return Nearest(distance=np.sqrt(squared), faces=faces, points=near)

    def winding_number(self, points: Points) -> Float[np.ndarray, " points"]:
        """Return the generalized winding number at points (n, 3): about 1 inside, 0 outside, between near holes."""
        found = np.empty(len(points))
        for index, piece in _pieces(points):
            found[index] = self._winding.winding_number(piece)
        return found

    def inside(self, points: Points) -> Bool[np.ndarray, " points"]:
        """Return whether points (n, 3) are inside: winding number above 1/2.

        libigl's fast winding number works in single precision: within 1e-7 of the mesh's size from the surface the
        side is chance.
        """
        return self.winding_number(points) > 0.5

    def signed_distance(self, points: Points) -> Float[np.ndarray, " points"]:
        """Return the distance of points (n, 3), negative inside."""
        distance = self.nearest(points).distance
        return np.where(self.inside(points), -distance, distance)


def _pieces(points: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield a piece's places among the points, and the piece (m, 3), in an order that saves half of the time."""
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise ValueError(f"points must be (n, 3) with n > 0, got {points.shape}")
    order = along_a_curve(points)
    for start in range(0, len(points), PIECE):
        index = order[start : start + PIECE]
        yield index, np.ascontiguousarray(points[index], dtype=np.float64)
