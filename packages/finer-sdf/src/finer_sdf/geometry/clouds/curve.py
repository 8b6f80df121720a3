"""An order of points in which neighbors are close: searches of a tree then find what they need in the cache."""

import numpy as np

from finer_core.shapes import Float, Int

_BITS = 5


def along_a_curve(points: Float[np.ndarray, "points 3"]) -> Int[np.ndarray, " points"]:
    """Return an order of points (n, 3): Morton's curve through 32^3 cells of the box around them."""
    if len(points) == 0:
        return np.zeros(0, dtype=np.int64)
    with np.errstate(all="ignore"):  # what is not finite has any place
        low = points.min(axis=0)
        side = float((points.max(axis=0) - low).max()) or 1.0
        cells = ((points - low) * (2**_BITS / side)).astype(np.int64).clip(0, 2**_BITS - 1)
    key = np.zeros(len(points), dtype=np.int64)
    for bit in range(_BITS):
        for axis in range(3):
            key |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return np.argsort(key)
