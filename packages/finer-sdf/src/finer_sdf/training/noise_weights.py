"""How much points count for that lie more or less far off a surface: as much as their noise has long tails."""

import numpy as np
from scipy.special import gammaln

from finer_core.shapes import Float

_FREEDOMS = (2.0, 3.0, 4.0, 6.0, 10.0, 30.0, 100.0)
"""Degrees of freedom that are tried; the variance of 2 is infinite already, and 100 is as good as normal."""
_ROUNDS = 20


def noise_weights(distances: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """Return weights with which least squares are the likeliest fit to noise with long tails.

    Formula: of Student's t with n degrees of freedom and scale s, the likeliest for the distances r (Lange, Little and
    Taylor, 1989), w_i = c (n + 1) / (n + r_i^2 / s^2). c makes the mean second derivative of the sum of w r^2 / 2 that
    of least squares, so that a surface is as smooth as without weights. Normal noise has weights of about 1.

    Args:
        distances: (n,) of the points from the surface, signed.

    Returns:
        (n,), larger than 0.

    Example:
        >>> import numpy as np
        >>> noise_weights(np.array([-0.1, 0.2, -0.1, 0.1, -0.2, 4.0])).round(1)
        array([2.1, 1.6, 2.1, 2.1, 1.6, 0. ])
    """
    squares = distances**2
    if not squares.any():
        return np.ones(len(squares))
    best, found = -np.inf, np.ones(len(squares))
    for freedom in _FREEDOMS:
        scale = float(squares.mean())
        for _ in range(_ROUNDS):
            weights = (freedom + 1) / (freedom + squares / scale)
            scale = float((weights * squares).mean())
        ratio = squares / scale
        likelihood = float(
            gammaln((freedom + 1) / 2)
            - gammaln(freedom / 2)
            - np.log(freedom * scale) / 2
            - (freedom + 1) / 2 * np.log1p(ratio / freedom).mean()
        )
        if likelihood > best:
            bend = ((freedom + 1) * (freedom - ratio) / (freedom + ratio) ** 2).mean()
            best, found = likelihood, (freedom + 1) / (freedom + ratio) / float(bend)
    return found
