"""Normals of vertices from the triangles around them."""

import numpy as np

from finer_core.shapes import Float, Int, Real


def vertex_normals(
    vertices: Real[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> Float[np.ndarray, "vertices 3"]:
    """Return unit vertex normals (n, 3), the mean of the faces' by area; 0 at vertices of no area.

    Args:
        vertices: (n, 3).
        faces: (m, 3), counter-clockwise seen from outside.

    Example:
        >>> import numpy as np
        >>> vertex_normals(np.eye(3), np.array([[0, 1, 2]])).round(3).tolist()[0]
        [0.577, 0.577, 0.577]
    """
    across = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
    normals = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(normals, faces[:, corner], across)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), np.finfo(float).tiny)
