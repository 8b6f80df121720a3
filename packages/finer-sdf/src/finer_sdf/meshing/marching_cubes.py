"""Triangulate the zero level set in bricks of cells, and weld the bricks along the grid edges that vertices lie on.

scikit-image decides which triangles a cell has. Where a vertex lies is computed here, in double precision and from the
two values of its grid edge alone, so it does not depend on the brick it was found in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from skimage.measure import marching_cubes

from finer_core.shapes import Bool, Float, Int

BRICK = 64
"""Cells along the side of a brick."""

_SMALLEST, _LARGEST = 0.01, 8.0
"""Magnitudes, in cells, that scikit-image is shown. It works with absolute tolerances of 1e-7 and returns positions
only; between these bounds a vertex is at least 1e-3 of a cell away from the ends of its edge, which names the edge."""
_ON_EDGE = 5e-4
"""A coordinate nearer to an integer than this is one: what rounding to float32 can do, and less than 1e-3."""
_AT_POINT = 1e-9
"""A vertex nearer to a grid point than this many cells is at it, and the same for all edges that end there."""

_KINDS = 5
"""What a vertex's key names besides a grid point: an edge from it along x, y or z, the point, the cell above it."""
_POINT, _CELL = 3, 4


@dataclass(frozen=True, kw_only=True)
class Triangles:
    """Hold triangles whose vertices are named by where they lie.

    Attributes:
        keys: (n,) int64, equal for the same vertex of the grid.
        positions: (n, 3) float64 in units of grid indices.
        faces: (m, 3) into both; counter-clockwise seen from where the values are positive.
    """

    keys: Int[np.ndarray, " vertices"]
    positions: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]


def triangulate(
    values: Float[np.ndarray, "a b c"],
    *,
    cells: Bool[np.ndarray, "a-1 b-1 c-1"] | None = None,
    first: Int[np.ndarray, "3"],
    resolution: int,
    step: float,
) -> Triangles | None:
    """Triangulate the zero level set in one brick.

    Formula: a vertex on the grid edge between values f0 and f1 lies f0 / (f0 - f1) of the way along it. Values of zero
    count as inside.

    Args:
        values: (a, b, c) float32 at the grid points; ignored where no cell asks for them.
        cells: (a-1, b-1, c-1), the cells wanted; None for all.
        first: Grid index (3,) of the first point.
        resolution: Grid points along each axis of the whole grid.
        step: Side of a cell in the unit of the values.

    Returns:
        The triangles, or None if there are none.
    """
    crossed = _crossed(values <= 0)
    if cells is not None:
        crossed &= cells
    if not crossed.any():
        return None
    shown = np.nan_to_num(values / np.float32(step), nan=_LARGEST)
    shown = np.where(shown > 0, shown.clip(_SMALLEST, _LARGEST), shown.clip(-_LARGEST, -_SMALLEST))
    mask = np.zeros(values.shape, dtype=bool)
    mask[1:, 1:, 1:] = crossed  # scikit-image asks at a cell's far corner
    vertices, faces, _, _ = marching_cubes(shown, 0.0, gradient_direction="descent", mask=mask)
    keys, positions = _exact(vertices.astype(np.float64), values, first=first, resolution=resolution)
    return Triangles(keys=keys, positions=positions, faces=faces)


def weld(parts: Sequence[Triangles]) -> Triangles:
    """Join the bricks' triangles: every vertex once, in the order of the keys; no triangle without three of them."""
    keys = np.concatenate([part.keys for part in parts])
    unique, first, where = np.unique(keys, return_index=True, return_inverse=True)
    del keys
    faces = np.empty((sum(len(part.faces) for part in parts), 3), dtype=np.int64)
    vertices = filled = 0
    for part in parts:
        faces[filled : filled + len(part.faces)] = where[part.faces + vertices]
        vertices += len(part.keys)
        filled += len(part.faces)
    del where
    a, b, c = faces.T
    distinct = (a != b) & (b != c) & (c != a)
    if not distinct.all():  # vertices met at a grid point
        faces = faces[distinct]
        used = np.zeros(len(unique), dtype=bool)
        used[faces] = True
        unique, first, faces = unique[used], first[used], (np.cumsum(used) - 1)[faces]
    positions = np.concatenate([part.positions for part in parts])[first]
    return Triangles(keys=unique, positions=positions, faces=faces)


def _crossed(inside: Bool[np.ndarray, "a b c"]) -> Bool[np.ndarray, "a-1 b-1 c-1"]:
    """Return which cells have corners of both kinds."""
    any_inside = np.zeros(tuple(n - 1 for n in inside.shape), dtype=bool)
    all_inside = ~any_inside
    for corner in product((0, 1), repeat=3):
        at_corner = inside[tuple(slice(i, i + n) for i, n in zip(corner, any_inside.shape, strict=True))]
        any_inside |= at_corner
        all_inside &= at_corner
    return any_inside & ~all_inside


def _exact(
    vertices: np.ndarray, values: np.ndarray, *, first: np.ndarray, resolution: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys and the exact positions of the vertices (n, 3) of a brick, which scikit-image has approximately.

    A vertex with one fractional coordinate lies on an edge; one with three, inside a cell whose case needs it.
    """
    fractional = np.abs(vertices - np.rint(vertices)) > _ON_EDGE
    on_edge = fractional.sum(axis=1) == 1
    low = np.where(fractional, np.floor(vertices), np.rint(vertices)).astype(np.int64)
    kind = np.where(on_edge, fractional.argmax(axis=1), _CELL)
    positions = vertices + first

    edges = np.flatnonzero(on_edge)
    axis, start = kind[edges], low[edges]
    end = start.copy()
    end[np.arange(len(edges)), axis] += 1
    at_start, at_end = (values[tuple(point.T)].astype(np.float64) for point in (start, end))
    share = at_start / (at_start - at_end)
    positions[edges] = start + first
    positions[edges, axis] += share
    for point, reached in ((start, share < _AT_POINT), (end, share > 1 - _AT_POINT)):
        low[edges[reached]], kind[edges[reached]] = point[reached], _POINT
        positions[edges[reached]] = point[reached] + first
    keys = np.ravel_multi_index((low + first).T, (resolution,) * 3) * _KINDS + kind
    return keys, positions
