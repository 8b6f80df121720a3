"""What `double()`, `to(...)` and the like do to complex parameters: they are pairs of real numbers to them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def check_complex_parts(dtype: torch.dtype) -> None:
    """Raise TypeError for a type that complex layers cannot have the parts of."""
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(f"a network that is complex inside computes in float32 or float64, not in {dtype}")


class PairwiseCasts(nn.Module):
    """Move complex parameters with the real ones, where PyTorch leaves them as they are, or takes their real part.

    A base class of layers, before the others.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Do to every parameter what PyTorch asks for.

        Raises:
            TypeError: For a type that has no complex counterpart to compute with.
        """

        def apply(tensor: Tensor) -> Tensor:
            if not tensor.is_complex():
                return fn(tensor)
            pairs = fn(torch.view_as_real(tensor))
            check_complex_parts(pairs.dtype)
            return torch.view_as_complex(pairs)

        return super()._apply(apply, recurse)
