"""A linear map and its activation as one function, for training: fewer passes over memory than the two by themselves.

Where only first derivatives are asked for, nobody sees the pre-activation. It is then computed times the frequency
factor, which the small weight matrix takes instead of the large result, and its memory is used again for the slope.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from finer_core.activations.blocks import in_blocks
from finer_core.activations.fusion import fused_value_and_slope
from finer_core.activations.real import RealFormula
from finer_core.activations.rules import only_first_derivatives, refuse_second_derivative


def joins(x: Tensor, weight: Tensor) -> bool:
    """Return whether `activated_linear` may stand for a linear map and an activation here.

    Args:
        x: Input.
        weight: (out_features, in_features).
    """
    return (
        only_first_derivatives()
        and torch.is_grad_enabled()
        and x.dtype == weight.dtype
        and weight.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled(weight.device.type)
        and not torch._C._are_functorch_transforms_active()
        and not torch.compiler.is_compiling()
    )


def activated_linear(x: Tensor, weight: Tensor, bias: Tensor | None, formula: RealFormula, *, exact: bool) -> Tensor:
    """Return f(x W^T + b), which can be differentiated once.

    Args:
        x: (..., in_features), real.
        weight: (out_features, in_features), real.
        bias: (out_features,), or None.
        formula: f.
        exact: Whether the FINER factor is differentiated too.

    Returns:
        (..., out_features). For the backward pass it keeps `x`, and one tensor of its own size.
    """
    rows = x.reshape(-1, x.shape[-1])
    value: Tensor = _ActivatedLinear.apply(rows, weight, bias, formula, exact)
    return value.view(*x.shape[:-1], weight.shape[0])


class _ActivatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, formula: RealFormula, exact: bool) -> Tensor:
        fused = fused_value_and_slope(formula, exact=exact)
        ctx.gain = 1.0 if fused else formula.gain
        scaled = weight if fused else weight * formula.gain
        with torch.no_grad():
            z = x @ scaled.t() if bias is None else torch.addmm(bias if fused else bias * formula.gain, x, scaled.t())
            split = partial(formula.value_and_slope_of_scaled_, exact=exact)
            value, slope = fused(z) if fused else in_blocks(split, z)
        ctx.save_for_backward(x, scaled, slope)
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        refuse_second_derivative()
        x, scaled, slope = ctx.saved_tensors
        grad = slope.mul_(grad_outputs[0])  # a second pass over the same graph finds it changed, and says so
        wants_x, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        return (
            grad @ scaled if wants_x else None,
            (grad.t() @ x).mul_(ctx.gain) if wants_weight else None,
            grad.sum(0).mul_(ctx.gain) if wants_bias else None,
            None,
            None,
        )
