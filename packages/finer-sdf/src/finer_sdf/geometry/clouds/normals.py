"""Estimate normals of a point cloud that has none, and orient them consistently and outwards."""

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from finer_core.errors import InputError
from finer_core.shapes import Float, Int
from finer_sdf.geometry.clouds.noise import Noise
from finer_sdf.geometry.shapes import Points

LEAST_POINTS = 16
"""Fewer points do not show a surface."""
NEIGHBORS = 16
_PIECE = 1 << 16
_WIDE, _DEVIATIONS = 64, 2.0
"""Neighbors that a normal is estimated from in a noisy cloud, and how far they reach, in deviations of the noise.

Wider ones reach through fingers and ears to their other side; what the direction of a narrow one lacks, a smooth
surface makes up for, as it does not for a wrong side."""
_MOST_ASKED = 60_000
"""Points of a noisy cloud whose normals are estimated; the others take that of the nearest."""


def estimate_normals(points: Points) -> Points:
    """Return the outward unit normals of the surface that points lie on.

    Direction: the axis of least spread of a point's 16 nearest, itself included. Side: carried from point to point
    along the minimum spanning tree of the neighbor graph, with an edge the cheaper the more parallel its two normals
    are (Hoppe et al., "Surface reconstruction from unorganized points", 1992); every connected part of the graph by
    itself. A part then looks outwards if it encloses a positive volume. So a cavity, whose normals should point into
    it, looks into the solid: a cloud does not tell a cavity from a solid inside another.

    Args:
        points: (n, 3) float64, finite, at least 16 different ones.

    Returns:
        (n, 3) float64 of length 1. Points at one place share their normal.

    Raises:
        InputError: If there are too few points.
    """
    places, which = np.unique(points, axis=0, return_inverse=True)
    if len(places) < LEAST_POINTS:
        raise InputError(f"it has {len(places)} different points; normals can be estimated from {LEAST_POINTS} or more")
    distances, near = _nearest(places)
    normals = _looking_outwards(places, _planes(places, places, near)[0], distances, near)
    return normals[which.ravel()]


def estimate_noisy_normals(points: Points, *, noise: Noise) -> Points:
    """Return the outward unit normals of the surface that noisy points lie about.

    As `estimate_normals`, but directions come from 64 points that reach as far as two deviations of the noise, at
    least: a random part of the cloud, of which so many lie in that radius. Sides are carried between the same points,
    moved onto the planes of their neighborhoods.

    Args:
        points: (n, 3) float64, all different.
        noise: Of the points.
    """
    # pi r^2 holds r^2 pi / spacing^2 points of the whole.
    inside = np.pi * max(1.0, _DEVIATIONS * noise.deviation / noise.spacing) ** 2
    count = int(np.clip(len(points) * _WIDE / inside, min(len(points), 2000), len(points)))
    part = points[np.random.default_rng(0).permutation(len(points))[:count]]
    asked = part[:_MOST_ASKED]
    near = cKDTree(part).query(asked, k=min(_WIDE, count), workers=-1)[1]
    normals, moved = _planes(part, asked, near)
    normals = _looking_outwards(moved, normals, *_nearest(moved))
    return normals[cKDTree(moved).query(points, workers=-1)[1]]


def judge_normals(points: Points, normals: Points) -> tuple[float, float]:
    """Return about the volume that an oriented point cloud encloses, and how many of its normals disagree.

    The volume is negative if its normals look inwards; the other is the share of those that are more than 120 degrees
    from that of the nearest point.

    Formula of the volume: the divergence theorem, V = 1/3 sum A_i n_i . (p_i - c), with c the mean point and A_i the
    area that a point stands for, pi r^2 / (k - 1) with r the distance of its k-th nearest point, k = 16, itself the
    first. The sum uses all points, so that some wrong normals do not matter; c in the middle makes the sign right also
    for open clouds that bend around it.

    Args:
        points: (n, 3) float64.
        normals: (n, 3) float64 of length 1 or 0.
    """
    distances, near = _nearest(points)
    volume = _volume_terms(points, normals, distances, np.zeros(len(points), dtype=np.int64)).sum()
    return float(volume), float((np.einsum("ni,ni->n", normals, normals[near[:, 1]]) < -0.5).mean())


def _nearest(points: Points) -> tuple[Float[np.ndarray, "points k"], Int[np.ndarray, "points k"]]:
    """Return distances to and indices of the nearest points (n, k), the point itself first."""
    distances, near = cKDTree(points).query(points, k=np.arange(1, min(NEIGHBORS, len(points)) + 1), workers=-1)
    return distances, near


def _planes(points: np.ndarray, asked: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the normals of the planes through neighborhoods (m, k), and the asked points (m, 3) moved onto them."""
    normals, moved = np.empty_like(asked), np.empty_like(asked)
    for start in range(0, len(asked), _PIECE // 4):
        rows = slice(start, start + _PIECE // 4)
        part = points[near[rows]]
        middle = part.mean(axis=1)
        part = part - middle[:, None]
        _, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", part, part))
        normals[rows] = axes[:, :, 0]
        off = np.einsum("ni,ni->n", asked[rows] - middle, normals[rows])
        moved[rows] = asked[rows] - off[:, None] * normals[rows]
    return normals, moved


def _looking_outwards(points: np.ndarray, normals: np.ndarray, distances: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return normals turned alike within every part of the graph of neighbors (n, k), and each part outwards."""
    parts, signs = _carried_signs(normals, near)
    normals = normals * signs[:, None]
    volumes = _volume_terms(points, normals, distances, parts)
    return np.where((np.bincount(parts, weights=volumes) < 0)[parts, None], -normals, normals)


def _carried_signs(normals: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for every point the part of the graph it is in, and the sign that agrees with its part's other signs."""
    count, neighbors = near.shape
    start = np.repeat(np.arange(count), neighbors - 1)
    end = near[:, 1:].ravel()
    # 2 instead of 1: an edge of weight 0 would be no edge.
    weight = 2 - np.abs(np.einsum("ni,ni->n", normals[start], normals[end]))
    tree = minimum_spanning_tree(csr_matrix((weight, (start, end)), shape=(count, count))).tocoo()
    number, parts = connected_components(tree, directed=False)
    roots = np.unique(parts, return_index=True)[1]
    # One more node that touches every root makes a single tree, for a single search.
    rows, columns = np.append(tree.row, np.full(number, count)), np.append(tree.col, roots)
    joined = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(count + 1, count + 1))
    parent = breadth_first_order(joined, count, directed=False)[1]
    parent[count] = count
    padded = np.vstack([normals, np.zeros(3)])
    signs = np.where(np.einsum("ni,ni->n", padded, padded[parent]) < 0, -1.0, 1.0)
    while (parent != count).any():  # halves the way to the root every time, instead of walking it
        signs *= signs[parent]
        parent = parent[parent]
    return parts, signs[:count]


def _volume_terms(points: np.ndarray, normals: np.ndarray, distances: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return the share of every point in the volume of its part."""
    sizes = np.bincount(parts)
    centers = np.stack([np.bincount(parts, weights=axis) / sizes for axis in points.T], axis=1)
    areas = np.pi * distances[:, -1] ** 2 / (distances.shape[1] - 1)
    return areas * np.einsum("ni,ni->n", normals, points - centers[parts]) / 3
