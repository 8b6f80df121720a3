"""What a fitted distance is outside of the box that it was fitted in."""

import torch
from torch import Tensor

from finer_sdf.normalization import BOX_HALF_SIDE, Field


def beyond_box(field: Field, coords: Tensor) -> Tensor:
    """Return a field's value in its box, and outside a continuous lower bound of the distance.

    Formula: f(x) = sqrt(max(f(c), 0)^2 + |x - c|^2) + min(f(c), 0), with c the point of the box nearest to x. The
    surface lies in the box, which is convex, so the way from x to any of its points y makes an angle of at least 90
    degrees at c: |x - y|^2 >= |x - c|^2 + |c - y|^2. The distance itself is at most f(c) + |x - c|, less than sqrt(2)
    times the bound. A network knows nothing out there: its own answers are arbitrary.

    Args:
        field: Maps coords (..., 3) in [-0.5, 0.5]^3 to distances (..., 1).
        coords: (..., 3), anywhere.

    Returns:
        (..., 1), with a graph; in the box the field's own bits.

    Example:
        >>> import torch
        >>> ball = lambda x: x.norm(dim=-1, keepdim=True) - 0.3
        >>> [round(float(beyond_box(ball, torch.tensor([x, 0.0, 0.0]))), 4) for x in (0.4, 0.5, 0.9)]
        [0.1, 0.2, 0.4472]
    """
    nearest = coords.clamp(-BOX_HALF_SIDE, BOX_HALF_SIDE)
    values = field(nearest)
    squared = (coords - nearest).square().sum(dim=-1, keepdim=True)
    is_outside = squared > 0
    # The root of 1 where it is not used: the derivative of the root of 0 would be infinite.
    away = torch.where(is_outside, values.clamp(min=0).square() + squared, 1.0).sqrt() + values.clamp(max=0)
    return torch.where(is_outside, away, values)
