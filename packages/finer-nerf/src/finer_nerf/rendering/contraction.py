"""The contraction of space of mip-NeRF 360: all that there is, in a ball of radius 2."""

import torch
from torch import Tensor

from finer_core.shapes import Float

BOUND = 2.0
"""Half the side of the box that holds contracted space."""
FARTHEST = 1000.0
"""Where rays end, in box units: what is farther is behind everything."""
_LINEAR = 2.0
"""Up to here samples are equally far apart, for rays begin anywhere in the unit ball and may cross it."""


def contract(points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
    """Return points of all space in the ball of radius 2.

    Formula: x for |x| <= 1, else (2 - 1 / |x|) x / |x| (Barron et al., CVPR 2022, equation 10).

    Args:
        points: (..., 3), in box units.

    Example:
        >>> contract(torch.tensor([[0.5, 0.0, 0.0], [0.0, 4.0, 0.0]])).tolist()
        [[0.5, 0.0, 0.0], [0.0, 1.75, 0.0]]
    """
    length = points.norm(dim=-1, keepdim=True).clamp_min(1.0)
    return points * ((2 - 1 / length) / length)


def expand(points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
    """Take back what `contract` did; points at a radius of 2 and beyond are brought to `FARTHEST`."""
    length = points.norm(dim=-1, keepdim=True)
    far = 1 / (2 - length).clamp_min(1 / FARTHEST)
    return torch.where(length > 1, points / length.clamp_min(1e-9) * far, points)


def density_factor(points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points"]:
    """Return the density of space per density of contracted space, (...), at points (..., 3) of all space.

    Formula: min(1, 1 / |x|^2), by which contraction shortens what leads away from the middle.
    """
    return 1 / points.square().sum(dim=-1).clamp_min(1.0)


def gradient_in_space(
    points: Float[Tensor, "points 3"], gradients: Float[Tensor, "points 3"]
) -> Float[Tensor, "points 3"]:
    """Return gradients with respect to points of all space from those with respect to contracted ones.

    Formula: J^T g, J = (2 - 1/r)/r (I - x x^T / r^2) + x x^T / r^4 outside the unit ball.

    Args:
        points: (n, 3), of all space.
        gradients: (n, 3), at the contracted points.
    """
    length = points.norm(dim=-1, keepdim=True).clamp_min(1.0)
    outwards = torch.nn.functional.normalize(points, dim=-1)
    along = (gradients * outwards).sum(dim=-1, keepdim=True) * outwards
    inside = points.norm(dim=-1, keepdim=True) <= 1
    return torch.where(inside, gradients, (2 - 1 / length) / length * (gradients - along) + along / length.square())


def depths_at(steps: Float[Tensor, "*samples"]) -> Float[Tensor, "*samples"]:
    """Return distances along a ray: equal up to 2, then equal in disparity.

    Formula: s for s <= 2, else 4 / (4 - s).

    Args:
        steps: s, from 0 to below 4.
    """
    return torch.where(steps <= _LINEAR, steps, _LINEAR**2 / (2 * _LINEAR - steps).clamp_min(_LINEAR**2 / FARTHEST))


def steps_at(depth: float) -> float:
    """Take back what `depths_at` did."""
    return depth if depth <= _LINEAR else 2 * _LINEAR - _LINEAR**2 / depth
