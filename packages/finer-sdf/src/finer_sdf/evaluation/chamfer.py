"""Distances between two sets of surface samples: the Chamfer figures of the papers, and the noise they stand on."""

from dataclasses import dataclass
from math import pi

import numpy as np
from pykdtree.kdtree import KDTree

from finer_core.shapes import Float
from finer_sdf.geometry.clouds.curve import along_a_curve

_PIECE = 1 << 17
"""Points asked at once."""


@dataclass(frozen=True, kw_only=True)
class Chamfer:
    """Hold both Chamfer figures of two sets of samples.

    Attributes:
        l2_sum: Mean squared nearest distance one way plus the other way.
        l1: Mean nearest distance, averaged over both ways.
    """

    l2_sum: float
    l1: float


def chamfer_of_samples(first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "m 3"]) -> Chamfer:
    """Measure two sets of points against each other.

    Formula: l2_sum = mean_x min_y |x - y|^2 + mean_y min_x |x - y|^2 (what BACON and FINER call Chamfer distance:
    squared, added, not halved); l1 = (mean_x min_y |x - y| + mean_y min_x |x - y|) / 2.

    Args:
        first: (n, 3).
        second: (m, 3).
    """
    to_second, to_first = nearest_distances(first, second), nearest_distances(second, first)
    return Chamfer(
        l2_sum=float(np.mean(to_second**2)) + float(np.mean(to_first**2)),
        l1=float(np.mean(to_second) + np.mean(to_first)) / 2,
    )


def nearest_distances(points: Float[np.ndarray, "n 3"], others: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, " n"]:
    """Return the distance of each of points (n, 3) to the nearest of others (m, 3), (n,)."""
    tree = KDTree(np.ascontiguousarray(others, dtype=np.float64))
    order, found = along_a_curve(points), np.empty(len(points))
    for piece in (order[i : i + _PIECE] for i in range(0, len(points), _PIECE)):
        found[piece] = tree.query(np.ascontiguousarray(points[piece], dtype=np.float64), k=1)[0]
    return found


def sampling_floor(*, area: float, samples: int) -> float:
    """Return the `l2_sum` that two independent samplings of one and the same surface have.

    Formula: 2 A / (pi n): the mean squared distance to the nearest of n points of density n / A on a surface is
    A / (pi n), and both ways are added. Published figures for the Stanford shapes are within a few times of it.

    Args:
        area: A, in the units of the points, squared.
        samples: n, points on each side.
    """
    return 2 * area / (pi * samples)
