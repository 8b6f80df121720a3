"""The density activation: an exponential with a bounded derivative."""

from typing import Any

import torch
from torch import Tensor

from finer_core.shapes import Float

_LARGEST_SLOPE = 15.0
"""The derivative is that of exp at 15 from there on, so one large output cannot ruin all weights (torch-ngp)."""


class _TruncatedExponential(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.exp(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad_outputs[0] * torch.exp(x.clamp(-_LARGEST_SLOPE, _LARGEST_SLOPE))


def truncated_exponential(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return exp(x), with the derivative exp(clip(x, -15, 15)).

    Formula: the density activation of torch-ngp, which FINER's radiance fields use. Below -15 and above 15 the
    derivative is not the function's own, on purpose.

    Args:
        x: Any shape.
    """
    return _TruncatedExponential.apply(x)
