"""Intersection over union of the insides of two meshes, on a grid of points."""

from dataclasses import dataclass

import numpy as np

from finer_sdf.mesh_distance import MeshDistance
from finer_sdf.shapes import Mesh

PUBLISHED_BOX = np.array([[-1.0] * 3, [1.0] * 3])
"""Box of the published figure, though the shapes fill only [-0.45, 0.45]^3 of it."""
RESOLUTION = 128


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Count grid points.

    Attributes:
        both: Inside both.
        either: Inside at least one.
        first: Inside the first.
        second: Inside the second.
    """

    both: int
    either: int
    first: int
    second: int

    @property
    def iou(self) -> float:
        """Return both / either; 1 where nothing is inside either, because then they agree everywhere."""
        return self.both / self.either if self.either else 1.0


def joint_box(first: Mesh, second: Mesh) -> np.ndarray:
    """Return the box around both meshes, (2, 3)."""
    low = np.minimum(first.bounds[0], second.bounds[0])
    return np.stack([low, np.maximum(first.bounds[1], second.bounds[1])])


def occupancy(mesh: Mesh, *, box: np.ndarray, resolution: int = RESOLUTION) -> np.ndarray:
    """Return which points of a grid are inside a mesh: where its winding number is above 1/2.

    Args:
        mesh: Closed or not.
        box: (2, 3) lowest and highest corner.
        resolution: Points an axis, both ends included.

    Returns:
        (resolution, resolution, resolution) bool, x slowest.
    """
    axes = [np.linspace(box[0, i], box[1, i], resolution) for i in range(3)]
    inside = np.zeros((resolution,) * 3, dtype=bool)
    # Points beyond the mesh's own box are outside it; not asking saves most of the published box.
    windows = [
        np.flatnonzero((axis >= low) & (axis <= high)) for axis, low, high in zip(axes, *mesh.bounds, strict=True)
    ]
    if min(len(window) for window in windows) == 0:
        return inside
    distance = MeshDistance(mesh)
    y, z = np.meshgrid(axes[1][windows[1]], axes[2][windows[2]], indexing="ij")
    for i in windows[0]:  # plane by plane: bounded memory
        points = np.stack([np.full(y.size, axes[0][i]), y.ravel(), z.ravel()], axis=1)
        inside[np.ix_([i], windows[1], windows[2])] = distance.inside(points).reshape(1, *y.shape)
    return inside


def overlap(first: Mesh, second: Mesh, *, box: np.ndarray, resolution: int = RESOLUTION) -> Overlap:
    """Compare the insides of two meshes over a box; see `occupancy`."""
    a, b = occupancy(first, box=box, resolution=resolution), occupancy(second, box=box, resolution=resolution)
    return Overlap(both=int((a & b).sum()), either=int((a | b).sum()), first=int(a.sum()), second=int(b.sum()))
