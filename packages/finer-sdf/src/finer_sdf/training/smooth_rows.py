"""Sparse rows of a function on the nodes of a grid: its values, slopes and second differences."""

from itertools import product

import numpy as np
from scipy import ndimage, sparse

from finer_core.shapes import Bool, Float, Int
from finer_sdf.normalization import BOX_HALF_SIDE

PLACE = 2.0**-40
"""Points closer than this, in box units, are at one place."""
_CORNERS = np.array(list(product((0, 1), repeat=3)))


def _cells(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first node of the cells that points of the box lie in, and where in them, (n, 3) each."""
    place = (points + BOX_HALF_SIDE) * ((count - 1) / (2 * BOX_HALF_SIDE))
    first = np.clip(np.floor(place).astype(np.int64), 0, count - 2)
    return first, place - first


def nodes_around(points: Float[np.ndarray, "points 3"], count: int) -> Bool[np.ndarray, "{count} {count} {count}"]:
    """Return which nodes of a grid of `count` points per axis are corners of a cell that holds a point, (n, n, n)."""
    first, _ = _cells(points, count)
    found = np.zeros((count, count, count), dtype=bool)
    for corner in _CORNERS:
        found[tuple((first + corner).T)] = True
    return found


def dilated(nodes: Bool[np.ndarray, "n n n"], times: int) -> Bool[np.ndarray, "n n n"]:
    """Return nodes and those next to them, over corners too."""
    found: np.ndarray = ndimage.binary_dilation(nodes, structure=np.ones((3, 3, 3), dtype=bool), iterations=times)
    return found


def interpolation_rows(
    points: Float[np.ndarray, "points 3"], index: Int[np.ndarray, "n n n"], *, along: int | None = None
) -> sparse.csr_matrix:
    """Return the trilinear interpolation at points as a matrix over the nodes, or its slope along an axis.

    Args:
        points: (n, 3) in the box, all corners of whose cells are numbered.
        index: (k, k, k) the number of each node, -1 for those left out.
        along: The axis; None for the value.
    """
    count = index.shape[0]
    first, share = _cells(points, count)
    columns, values = np.empty((len(points), 8), dtype=np.int64), np.empty((len(points), 8))
    for number, corner in enumerate(_CORNERS):
        columns[:, number] = index[tuple((first + corner).T)]
        parts = np.where(corner, share, 1 - share)
        if along is not None:
            parts[:, along] = (2 * corner[along] - 1) * ((count - 1) / (2 * BOX_HALF_SIDE))
        values[:, number] = parts.prod(axis=1)
    return _rows(columns, values, index)


def hessian_rows(index: Int[np.ndarray, "n n n"]) -> sparse.csr_matrix:
    """Return all second differences between numbered nodes as a matrix, the mixed ones times the root of 2.

    The sum of their squares is that of the Hessian's entries.
    """
    count = index.shape[0]
    padded = np.pad(index, 1, constant_values=-1)
    nodes = np.argwhere(index >= 0) + 1
    axes = np.eye(3, dtype=np.int64)
    stencils: list[tuple[tuple[np.ndarray, ...], tuple[float, ...]]] = [
        ((-axes[i], 0 * axes[i], axes[i]), (1.0, -2.0, 1.0)) for i in range(3)
    ]
    root = np.sqrt(2.0)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        stencils.append(((0 * axes[i], axes[i], axes[j], axes[i] + axes[j]), (root, -root, -root, root)))
    found = []
    for offsets, weights in stencils:
        columns = np.stack([padded[tuple((nodes + offset).T)] for offset in offsets], axis=1)
        columns = columns[(columns >= 0).all(axis=1)]
        scaled = np.asarray(weights) * ((count - 1) / (2 * BOX_HALF_SIDE)) ** 2
        found.append(_rows(columns, np.broadcast_to(scaled, columns.shape), index))
    return sparse.vstack(found).tocsr()


def _rows(columns: np.ndarray, values: np.ndarray, index: np.ndarray) -> sparse.csr_matrix:
    rows = np.repeat(np.arange(len(columns)), columns.shape[1])
    shape = (len(columns), int(index.max()) + 1)
    return sparse.csr_matrix((values.ravel(), (rows, columns.ravel())), shape=shape)
