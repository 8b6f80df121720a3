"""Where Gaussian envelopes end, so that no product of them is a subnormal number.

Those lie between the smallest normal number and zero, and Intel's processors compute with them dozens of times slower.
At its published scale a Gaussian network is full of them: whole steps took that much longer.
"""

import torch
from torch import Tensor

_SMALLEST = {dtype: torch.finfo(dtype).tiny ** 0.5 for dtype in (torch.float32, torch.bfloat16, torch.float64)}
"""By type, 1.1e-19 for float32. Not of float16, whose subnormal numbers are ones to compute with."""


def without_tail(size: Tensor) -> Tensor:
    """Return an envelope with 0 in the place of values below the root of the smallest normal number; differentiable.

    Args:
        size: Values of an envelope, not negative.
    """
    smallest = _SMALLEST.get(size.dtype)
    return size if smallest is None else torch.threshold(size, smallest, 0.0)


def without_tail_(size: Tensor) -> Tensor:
    """Do what `without_tail` does in the memory of `size`, where no graph is recorded."""
    smallest = _SMALLEST.get(size.dtype)
    return size if smallest is None else torch.threshold_(size, smallest, 0.0)
