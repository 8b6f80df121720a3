"""What a surface is here: a triangle mesh or an oriented point cloud, in the user's own coordinates and units."""

from dataclasses import dataclass

import numpy as np

from finer_core.errors import InputError
from finer_core.shapes import Float, Int

Points = Float[np.ndarray, "points 3"]
Vertices = Float[np.ndarray, "vertices 3"]
Faces = Int[np.ndarray, "faces 3"]
"""Tables of coordinates, and of the vertices of triangles."""


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Hold a triangle mesh.

    Attributes:
        vertices: (n, 3) float64.
        faces: (m, 3) int64, indices of vertices; counter-clockwise seen from outside.

    Example:
        >>> import numpy as np
        >>> from finer_sdf import Mesh
        >>> Mesh(vertices=np.eye(3), faces=np.array([[0, 1, 2]])).bounds.tolist()
        [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """

    vertices: Vertices
    faces: Faces

    def __post_init__(self) -> None:
        _check_table("vertices", self.vertices, np.float64)
        _check_table("faces", self.faces, np.int64)

    @property
    def triangles(self) -> Float[np.ndarray, "faces 3 3"]:
        """Return the corners of every face, (m, 3, 3)."""
        return self.vertices[self.faces]

    @property
    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """Return the lowest and highest corner of the box around the vertices that faces use, (2, 3)."""
        is_used = np.zeros(len(self.vertices), dtype=bool)
        is_used[self.faces] = True  # far less work than numpy.unique
        return bounds_of(self.vertices[is_used])

    def face_vectors(self) -> Float[np.ndarray, "faces 3"]:
        """Return half the cross product of two edges, (m, 3): the outward normal times the area."""
        corners = self.triangles
        return 0.5 * np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])

    def face_areas(self) -> Float[np.ndarray, " faces"]:
        """Return the area of every face, (m,)."""
        return np.linalg.norm(self.face_vectors(), axis=1)

    def area(self) -> float:
        """Return the area of the surface."""
        return float(self.face_areas().sum())

    def volume(self) -> float:
        """Return the signed volume: positive for a closed mesh whose faces look outwards."""
        corners = self.triangles - self.bounds.mean(axis=0)
        return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


@dataclass(frozen=True, kw_only=True)
class PointCloud:
    """Hold an oriented point cloud.

    Attributes:
        points: (n, 3) float64.
        normals: (n, 3) float64, outward, of length 1 (a zero normal stays zero: its direction is unknown).
        noise: Standard deviation of the points from the surface; 0 where they are taken to lie on it.

    Example:
        >>> import numpy as np
        >>> from finer_sdf import PointCloud
        >>> directions = np.random.default_rng(0).normal(size=(100, 3))
        >>> directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        >>> PointCloud(points=3.0 * directions, normals=directions).bounds.shape
        (2, 3)
    """

    points: Points
    normals: Points
    noise: float = 0.0

    def __post_init__(self) -> None:
        _check_table("points", self.points, np.float64)
        _check_table("normals", self.normals, np.float64)
        if self.points.shape != self.normals.shape:
            raise ValueError(f"points {self.points.shape} and normals {self.normals.shape} differ in shape")

    @property
    def bounds(self) -> np.ndarray:
        """Return the lowest and highest corner of the box around the points, (2, 3)."""
        return bounds_of(self.points)


Shape = Mesh | PointCloud


def bounds_of(points: Points) -> Float[np.ndarray, "2 3"]:
    """Return the lowest and highest corner of the box around points (n, 3), as (2, 3)."""
    if len(points) == 0:
        raise InputError("an empty set of points has no bounding box")
    return np.stack([points.min(axis=0), points.max(axis=0)])


def unit_vectors(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return vectors (n, 3) divided by their length; zero ones stay zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def _check_table(name: str, table: np.ndarray, dtype: type) -> None:
    if table.ndim != 2 or table.shape[1] != 3 or table.dtype != dtype:
        raise ValueError(f"{name} must be (n, 3) {np.dtype(dtype)}, got {table.shape} {table.dtype}")
