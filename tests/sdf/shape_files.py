"""Small surfaces in files."""

from pathlib import Path

import numpy as np
import trimesh

from finer_sdf.geometry import Mesh

SMALL = [
    *("--steps", "400", "--samples", "20000", "--batch-points", "1024", "--hidden-features", "64"),
    *("--first-bias-scale", "1", "--resolution", "40", "--eval-samples", "3000", "--quiet"),
]
"""A fit of three seconds; what it gives still is the shape, in one piece whatever the seed."""


def ellipsoid(*, subdivisions: int = 3) -> Mesh:
    """Return an ellipsoid of radii 3, 2 and 1.5 about (10, -4, 2)."""
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    vertices = np.asarray(ball.vertices) * [3, 2, 1.5] + [10, -4, 2]
    return Mesh(vertices=vertices.astype(np.float64), faces=np.asarray(ball.faces, dtype=np.int64))


def write_ellipsoid(path: Path) -> Path:
    """Write the ellipsoid as a mesh file."""
    mesh = ellipsoid()
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(path)
    return path


def write_cloud(path: Path, *, normals: bool = True, points: int = 4000) -> Path:
    """Write points of a sphere of radius 2 about (1, 2, 3), as text."""
    direction = np.random.default_rng(0).normal(size=(points, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    table = direction * 2 + [1, 2, 3]
    np.savetxt(path, np.hstack([table, direction]) if normals else table)
    return path
