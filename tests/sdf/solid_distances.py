"""Exact signed distances of the solids that the built-in shape is made of."""

import numpy as np

from finer_sdf.geometry.primitives import RoundedBox, Solid


def distance_to(solid: Solid, points: np.ndarray) -> np.ndarray:
    """Return the exact signed distance at points (n, 3), as (n,).

    Formula: of a rounded box, with q = |p| - half in its axes, |max(q, 0)| + min(max_i q_i, 0) - radius (the first two
    terms are the distance to the box, and growing a convex body by a ball takes the ball's radius off its distance); of
    a torus, |(|(x, y)| - major, z)| - minor in its axes.
    """
    local = (points - solid.center) @ solid.axes
    if isinstance(solid, RoundedBox):
        beyond = np.abs(local) - np.array(solid.half)
        inside = np.minimum(beyond.max(axis=1), 0)
        return np.linalg.norm(np.maximum(beyond, 0), axis=1) + inside - solid.radius
    return np.hypot(np.hypot(local[:, 0], local[:, 1]) - solid.major, local[:, 2]) - solid.minor
