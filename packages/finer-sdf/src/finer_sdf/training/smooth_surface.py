"""The smooth surface between the points of a noisy cloud, over its holes as well: a spline on grids, coarse to fine."""

from dataclasses import dataclass, replace

import igl
import numpy as np
from pykdtree.kdtree import KDTree
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg
from skimage.measure import marching_cubes

from finer_core.errors import InputError
from finer_sdf.geometry import Mesh, PointCloud
from finer_sdf.normalization import BOX_HALF_SIDE
from finer_sdf.training.noise_weights import noise_weights
from finer_sdf.training.smooth_rows import PLACE, dilated, hessian_rows, interpolation_rows, nodes_around

_WHOLE = (33, 65)
"""Grid points per axis of the grids that fill the box."""
_NARROW = (129, 257)
"""Likewise of those of which only what is near the points or the surface is solved for."""
_MOST_NODES = 600_000
"""A grid with more to solve for is not taken: memory goes as their number, some 3 kB each."""
_FINE_ENOUGH = 1.2
"""No grid is finer than the first whose cells are at most this many deviations of the noise."""
_SLOPE = 1.0
"""Distance, in deviations, by which an error of the slope weighs as much as one of the value."""
_FAR, _SURE = 0.05, 0.4
"""Nodes farther than this from all points, and whose winding number is this far from 1/2, are told their distance."""
_FAR_WEIGHT = 0.08
_MOST_NORMALS = 100_000
_ROUNDS, _TOLERANCE = 300, 1e-4
_WEIGHTINGS = 2
"""Solutions more of the finest grid, each with the weights that the one before gives the points."""
_NEIGHBORS = 16
_SUPPORT = 1 / 3
"""A part of the surface that has less than this share of the points that its area should have is none."""


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Hold what every grid is fitted to.

    Attributes:
        points: (n, 3).
        normals: (m, 3), at `places`, (m, 3).
        places: See there.
        areas: (m,) that each of the places stands for.
        deviation: Of the noise.
        weights: (n,) of the points, about 1.
    """

    points: np.ndarray
    places: np.ndarray
    normals: np.ndarray
    areas: np.ndarray
    deviation: float
    weights: np.ndarray


def smooth_surface(cloud: PointCloud) -> Mesh:
    """Return the zero level set of a smooth function that is small at the points and has their normals as its slope.

    Formula: f minimizes mean_i w_i f(p_i)^2 + g^2 mean_i |grad f(p_i) - n_i|^2 + l^4 / (A T) int |hess f|^2, with g
    and l the noise, A the area and T the thickness of the cloud (smooth signed distance, Calakli and Taubin, 2011), by
    conjugate gradients on grids of 33 to 257 points per axis, as fine as the noise asks for. The last term carries the
    surface's bend on over holes, which a harmonic function, as Poisson's, closes flat. Far from all points the coarse
    grids are told the distance to the nearest, with the sign of the winding number. On the last grid w_i is what
    `noise_weights` says of the distances f(p_i), before that 1.

    Args:
        cloud: In box coordinates, with its noise, which is positive.

    Returns:
        The mesh, without parts that hang on too few points.

    Raises:
        InputError: If there is no surface.
    """
    data = _data_of(cloud)
    values, told = np.empty(0), None
    for count in (*_WHOLE, *_NARROW):
        far = _far_distances(data, count, near_too=values.size == 0) if count in _WHOLE else None
        finer = _refined(values, data, count, far)
        if finer is None:
            break
        values, told = finer, far
        if 2 * BOX_HALF_SIDE / (count - 1) <= _FINE_ENOUGH * data.deviation:
            break
    for _ in range(_WEIGHTINGS):  # only now: what a coarse grid misses are no outliers
        data = replace(data, weights=noise_weights(_distances(values, data)))
        finer = _refined(values, data, len(values), told)
        if finer is None:
            break
        values = finer
    return _supported(zero_set(values), data)


def _data_of(cloud: PointCloud) -> _Data:
    kept = np.random.default_rng(0).permutation(len(cloud.points))[:_MOST_NORMALS]
    # libigl divides space until every point is alone.
    places, first = np.unique(np.round(cloud.points[kept] / PLACE) * PLACE, axis=0, return_index=True)
    order = np.random.default_rng(0).permutation(len(places))  # not by their place
    places, kept = np.ascontiguousarray(places[order]), kept[first[order]]
    # So many points of a surface of area 1.4 that the nearest 16 reach as far as four deviations of the noise: then
    # they lie in a disk, whose area they share.
    part = places[: max(500, int(0.45 / cloud.noise**2))]
    count = min(_NEIGHBORS, len(part))
    reach = KDTree(part).query(places, k=count)[0].reshape(len(places), -1)[:, -1]
    return _Data(
        points=cloud.points,
        places=places,
        normals=np.ascontiguousarray(cloud.normals[kept]),
        areas=np.pi * reach**2 / count * (len(part) / len(places)),
        deviation=cloud.noise,
        weights=np.ones(len(cloud.points)),
    )


def _distances(values: np.ndarray, data: _Data) -> np.ndarray:
    """Return a grid's function at the points, (n,)."""
    index = np.arange(values.size).reshape(values.shape)
    found: np.ndarray = interpolation_rows(data.points, index) @ values.ravel()
    return found


def _refined(
    values: np.ndarray, data: _Data, count: int, told: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray | None:
    """Return the function on a grid of `count` points per axis, from that on another one; None if it is too large.

    A grid that fills the box is given what its nodes are told, `_far_distances`.
    """
    if told is not None:
        weight, distance = told
        start = _upsampled(values, count) if values.size else distance
        everywhere = np.ones(start.shape, dtype=bool)
        return _solved(start, data, everywhere, everywhere, right=weight * distance, weight=weight)
    start = _upsampled(values, count)
    free = dilated(nodes_around(data.points, count) | _crossed(start), 1)
    if np.count_nonzero(free) > _MOST_NODES:
        return None
    return _solved(start, data, free, dilated(free, 1))  # which is smooth across the border of the two


def _far_distances(data: _Data, count: int, *, near_too: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return for every node the weight, 0 near the points, and the value of what it is told.

    Near the points the value has a sign where that is asked for: winding numbers take the longest there.
    """
    axis = np.linspace(-BOX_HALF_SIDE, BOX_HALF_SIDE, count)
    nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    distance = KDTree(data.places).query(nodes, k=1)[0]
    number, asked = np.full(len(nodes), 0.5), near_too | (distance > _FAR)
    number[asked] = igl.fast_winding_number(data.places, data.normals, data.areas, nodes[asked]).reshape(-1)
    told = (distance > _FAR) & (np.abs(number - 0.5) > _SURE)
    shape = (count, count, count)
    weight = np.where(told, _FAR_WEIGHT / count**3, 0.0)
    return weight.reshape(shape), np.where(number > 0.5, -distance, distance).reshape(shape)


def _upsampled(values: np.ndarray, count: int) -> np.ndarray:
    """Return a grid's function on one of twice as many cells, by cubic splines."""
    step = (values.shape[0] - 1) / (count - 1)
    found: np.ndarray = ndimage.affine_transform(
        values, np.full(3, step), output_shape=(count, count, count), order=3, mode="nearest"
    )
    return found


def _crossed(values: np.ndarray) -> np.ndarray:
    """Return the nodes with a neighbor of the other sign."""
    inside, found = values < 0, np.zeros(values.shape, dtype=bool)
    for axis in range(3):
        ahead, behind = (np.moveaxis(table, axis, 0) for table in (found, inside))
        changes = behind[1:] != behind[:-1]
        ahead[1:] |= changes
        ahead[:-1] |= changes
    return found


def _solved(
    start: np.ndarray,
    data: _Data,
    free: np.ndarray,
    known: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    right: np.ndarray | None = None,
) -> np.ndarray:
    """Return the function that minimizes the sum of squares over some nodes, and is `start` at the others."""
    cell = 2 * BOX_HALF_SIDE / (start.shape[0] - 1)
    index = np.full(start.shape, -1, dtype=np.int64)
    index[known] = np.arange(np.count_nonzero(known))
    rows = interpolation_rows(data.points, index)
    matrix = rows.T @ sparse.diags(data.weights / len(data.points)) @ rows
    sums = np.zeros(matrix.shape[0]) if right is None else right[known]
    slope = max(_SLOPE * data.deviation, cell) / np.sqrt(len(data.places))
    for axis in range(3):
        rows = interpolation_rows(data.places, index, along=axis) * slope
        matrix = matrix + rows.T @ rows
        sums = sums + rows.T @ (data.normals[:, axis] * slope)
    rows = hessian_rows(index)
    thickness, length = max(8 * data.deviation, 4 * cell), max(data.deviation, cell / 2)
    matrix = matrix + (length**4 * cell**3 / (data.areas.sum() * thickness)) * (rows.T @ rows)
    matrix = (matrix if weight is None else matrix + sparse.diags(weight[known])).tocsr()
    inner = free[known]
    if not inner.all():
        matrix = matrix[inner]
        sums = sums[inner] - matrix[:, ~inner] @ start[known][~inner]
        matrix = matrix[:, inner]
    scale = sparse.diags(1 / np.maximum(matrix.diagonal(), np.finfo(float).tiny))
    found = start.copy()
    found[free] = cg(matrix, sums, x0=start[free], rtol=_TOLERANCE, maxiter=_ROUNDS, M=scale)[0]
    return found


def zero_set(values: np.ndarray) -> Mesh:
    """Return where a function on the nodes of the box's grid, (n, n, n), changes its sign; InputError if nowhere."""
    if not values.min() < 0 < values.max():
        raise InputError("no surface can be seen among its points: they may be noise only, or too few")
    step = 2 * BOX_HALF_SIDE / (values.shape[0] - 1)
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(step,) * 3, gradient_direction="descent")
    return Mesh(vertices=vertices.astype(np.float64) - BOX_HALF_SIDE, faces=faces.astype(np.int64))


def _supported(mesh: Mesh, data: _Data) -> Mesh:
    """Return the mesh without connected parts that have too few points; all of it if none has enough."""
    part, first = igl.vertex_components(mesh.faces), mesh.faces[:, 0]
    areas = np.bincount(part[first], weights=mesh.face_areas())
    nearest = KDTree(mesh.vertices).query(data.points, k=1)[1].astype(np.int64)
    points = np.bincount(part[nearest], minlength=len(areas))
    kept = points >= _SUPPORT * areas * len(data.points) / data.areas.sum()
    kept &= points > 0
    return Mesh(vertices=mesh.vertices, faces=mesh.faces[kept[part[first]]]) if kept.any() else mesh
