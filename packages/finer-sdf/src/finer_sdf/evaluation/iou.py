"""Intersection over union of the insides of two meshes, on a grid of points."""

from functools import partial

import numpy as np

from finer_core.shapes import Bool, Float
from finer_sdf.geometry import Mesh
from finer_sdf.geometry.mesh_distance import MeshDistance

PUBLISHED_BOX = np.array([[-1.0] * 3, [1.0] * 3])
"""Box of the published figure, though the shapes fill only [-0.45, 0.45]^3 of it."""
RESOLUTION = 128
_CLOSE = 1e-6
"""Nearer than this to the surface, as a share of the largest coordinate, a side is asked for from farther away."""
_BLOCK = 4
"""Points an axis of a block, which has one side where the surface is farther than its corners."""


def joint_box(first: Mesh, second: Mesh) -> Float[np.ndarray, "2 3"]:
    """Return the box around both meshes, (2, 3)."""
    low = np.minimum(first.bounds[0], second.bounds[0])
    return np.stack([low, np.maximum(first.bounds[1], second.bounds[1])])


def occupancy(
    mesh: Mesh, *, box: Float[np.ndarray, "2 3"], resolution: int = RESOLUTION, distance: MeshDistance | None = None
) -> Bool[np.ndarray, "{resolution} {resolution} {resolution}"]:
    """Return which points of a grid are inside a mesh: where its winding number is above 1/2.

    Args:
        mesh: Closed or not.
        box: (2, 3) lowest and highest corner.
        resolution: Points an axis, both ends included.
        distance: The mesh's, where the caller has it already.

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
    distance = distance or MeshDistance(mesh)
    close = _CLOSE * float(np.abs(mesh.bounds).max())
    sides = partial(_sides_by_blocks, close=close) if distance.is_closed else _sides
    for start in range(0, len(windows[0]), _BLOCK):  # slab by slab: bounded memory
        slab = [windows[0][start : start + _BLOCK], *windows[1:]]
        parts = [axis[window] for axis, window in zip(axes, slab, strict=True)]
        inside[np.ix_(*slab)] = sides(parts, distance)
    _settle_close_points(inside, axes, distance, close=close)
    return inside


def _sides(axes: list[np.ndarray], distance: MeshDistance) -> np.ndarray:
    """Return which points of the grid of some axes are inside."""
    return distance.inside(_grid(axes)).reshape([len(axis) for axis in axes])


def _sides_by_blocks(axes: list[np.ndarray], distance: MeshDistance, *, close: float) -> np.ndarray:
    """Return the same of a surface without an open edge, asking for one point of a block that is far from it."""
    starts = [np.arange(0, len(axis), _BLOCK) for axis in axes]
    low = _grid([axis[start] for axis, start in zip(axes, starts, strict=True)])
    high = _grid([axis[np.minimum(start + _BLOCK, len(axis)) - 1] for axis, start in zip(axes, starts, strict=True)])
    centers, reach = (low + high) / 2, np.linalg.norm(high - low, axis=1) / 2
    # Well beyond its corners: next to the surface a winding number is rounded.
    far = distance.nearest(centers).distance > 1.01 * reach + close
    known = np.zeros(len(centers), dtype=bool)
    if far.any():
        known[far] = distance.inside(centers[far])

    def of_points(values: np.ndarray) -> np.ndarray:
        spread = values.reshape([len(start) for start in starts])
        for i, axis in enumerate(axes):
            spread = np.repeat(spread, _BLOCK, axis=i).take(np.arange(len(axis)), axis=i)
        return spread

    found, asked = of_points(known), ~of_points(far)
    if asked.any():
        points = np.stack([axis[index] for axis, index in zip(axes, np.nonzero(asked), strict=True)], axis=1)
        found[asked] = distance.inside(points)
    return found


def _grid(axes: list[np.ndarray]) -> np.ndarray:
    """Return the points of a grid (n, 3), x slowest."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def iou_of(
    first: Mesh,
    second: Mesh,
    *,
    box: Float[np.ndarray, "2 3"],
    resolution: int = RESOLUTION,
    distances: tuple[MeshDistance | None, MeshDistance | None] = (None, None),
) -> float | None:
    """Return the points of a grid that are inside both meshes, by those inside either; see `occupancy`.

    Args:
        first: Closed or not.
        second: Closed or not.
        box: (2, 3) lowest and highest corner.
        resolution: Points an axis, both ends included.
        distances: The meshes', where the caller has them already.

    Returns:
        The share; None where no point is inside either: such a grid tells nothing of the insides.
    """
    a, b = (
        occupancy(mesh, box=box, resolution=resolution, distance=distance)
        for mesh, distance in zip((first, second), distances, strict=True)
    )
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else None


def _settle_close_points(inside: np.ndarray, axes: list[np.ndarray], distance: MeshDistance, *, close: float) -> None:
    """Correct, in place, the points that are too close to the surface for the winding number.

    libigl computes it in single precision, so that within about 3e-8 the side is a matter of chance. The nearest
    point of the surface is known in double precision: going on along the line from it, to a safe distance, stays on the
    same side. Such a point has a neighbor on the other side, unless the shape is thinner there than the grid, so only
    points next to a change of side are looked at. A point exactly on the surface has no side; it keeps what it has.
    """
    index = np.argwhere(_next_to_a_change(inside))
    if len(index) == 0:
        return
    points = np.stack([axis[index[:, i]] for i, axis in enumerate(axes)], axis=1)
    near = distance.nearest(points)
    doubtful = (near.distance < close) & (near.distance > 0)
    if doubtful.any():
        outwards = (points - near.points)[doubtful] / near.distance[doubtful, None]
        inside[tuple(index[doubtful].T)] = distance.inside(near.points[doubtful] + close * outwards)


def _next_to_a_change(inside: np.ndarray) -> np.ndarray:
    """Return which points have one of their six neighbors on the other side; beyond the grid is outside."""
    padded = np.pad(inside, 1)
    change = np.zeros_like(inside)
    for axis in range(3):
        for start in (0, 2):
            window = [slice(1, -1)] * 3
            window[axis] = slice(start, start + inside.shape[axis])
            change |= inside != padded[tuple(window)]
    return change
