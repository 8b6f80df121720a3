"""Tell how noisy a point cloud is, from how thick it is at the scale at which it looks like a surface."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import chdtri

from finer_core.shapes import Float
from finer_sdf.geometry.shapes import Points

_ASKED = 1000
"""Points whose neighborhoods are looked at."""
_QUIET = 0.1
"""Share of neighborhoods whose residuals are below the one that is taken: where the surface bends, they are larger."""
_FLAT = 0.4
"""A neighborhood is a piece of surface once it is less than this times as thick as wide; a ball of noise has 1."""
_NEVER_FLAT = 0.6
"""A cloud whose flattest neighborhoods are still this thick lies about no surface, so nothing is said of its noise."""
_LEAST, _MOST = 16, 128
"""Neighbors at once; wider neighborhoods are those of a random half of the points, and so on."""
_TERMS = 6
"""Of a quadric."""
_LEAST_POINTS = 2000
_THICKER = 1.5
"""Once the ratio is this many times its least, neighborhoods hold several sheets; within noise it grows by less."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Hold how noisy a cloud is, in its units.

    Attributes:
        deviation: Standard deviation of the points from the surface, along its normal; 0 if there seems to be none.
        spacing: About the distance between neighbors, the root of the area that a point stands for.
    """

    deviation: float
    spacing: float

    @property
    def hides_the_surface(self) -> bool:
        """Return whether nearest neighbors show the noise and not the surface."""
        return self.deviation > 0.3 * self.spacing


def measure_noise(points: Points) -> Noise:
    """Estimate how far points lie off their surface.

    Formula: a quadric z = q(x, y) is fitted to the k nearest neighbors of each of 1000 points in the axes of their
    spread. Were all r normally distributed, sum r^2 would be so by chi^2 with k - 6 degrees of freedom; deviation =
    sqrt(S / C), S the sum that a tenth of the neighborhoods are below and C the chi^2 that a tenth is below, so that
    details that no quadric follows are not taken for noise. k doubles from 16 until the median thickness of the
    neighborhoods is 0.4 of their width: smaller ones lie within the noise, and larger ones are bent.

    Args:
        points: (n, 3), different ones, n > 15.
    """
    random = np.random.default_rng(0)
    asked = points[random.choice(len(points), min(len(points), _ASKED), replace=False)]
    rest, tree, count = points, cKDTree(points), _LEAST
    best, least, spacing = 0.0, np.inf, 0.0
    while True:
        distances, near = tree.query(asked, k=min(count, len(rest)))
        squares, ratios = _quadric_residuals(rest[near])
        ratio = float(np.median(ratios))
        share = len(points) / len(rest)
        if ratio < least:
            expected = float(chdtri(max(1, near.shape[1] - _TERMS), 1 - _QUIET))
            best, least = float(np.sqrt(np.quantile(squares, _QUIET) / expected)), ratio
            # Of a surface, pi r^2 holds so many points of the whole.
            spacing = float(np.median(distances[:, -1])) * float(np.sqrt(np.pi / (near.shape[1] * share)))
        if ratio < _FLAT or ratio > _THICKER * least or (count >= _MOST and len(rest) < _LEAST_POINTS):
            return Noise(deviation=best if least < _NEVER_FLAT else 0.0, spacing=spacing)
        if count < _MOST:
            count *= 2
        else:
            rest = rest[random.permutation(len(rest))[: len(rest) // 2]]
            tree = cKDTree(rest)


def _quadric_residuals(
    neighborhoods: Float[np.ndarray, "asked neighbors 3"],
) -> tuple[Float[np.ndarray, " asked"], Float[np.ndarray, " asked"]]:
    """Return of neighborhoods (m, k, 3) the sum of squares that a quadric leaves, and thickness over width, (m,)."""
    count = neighborhoods.shape[1]
    centered = neighborhoods - neighborhoods.mean(axis=1, keepdims=True)
    squares, axes = np.linalg.eigh(np.einsum("mki,mkj->mij", centered, centered) / count)
    length = np.sqrt(np.maximum(squares[:, 2], np.finfo(float).tiny))
    width = np.maximum(np.sqrt(np.maximum(squares[:, 1], 0)), 1e-6 * length)  # points on a line have none
    z, y, x = np.moveaxis(np.einsum("mki,mij->mkj", centered, axes) / length[:, None, None], 2, 0)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    normal = np.einsum("mka,mkb->mab", terms, terms) + 1e-9 * np.eye(6)
    factors = np.linalg.solve(normal, np.einsum("mka,mk->ma", terms, z)[..., None])[..., 0]
    residual = (z - np.einsum("mka,ma->mk", terms, factors)) * length[:, None]
    thickness = np.sqrt(np.maximum(squares[:, 0], 0))
    return (residual**2).sum(axis=1), thickness / width
