"""One autograd function for every activation: it saves the pre-activation and nothing else.

Plain autograd keeps up to four tensors per activation; recomputing from the pre-activation keeps one. On a CPU
the recomputation is free in practice, because the matrix products dominate.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from finer_core.activations.fusion import fused_value, fused_vjp
from finer_core.activations.rules import derivatives_are_exact


class Formula(Protocol):
    """An element-wise function with the derivative rules that autograd needs.

    `exact` chooses between the true derivative and the published rule that holds the FINER factor constant.
    `value` always runs without a graph and may therefore reuse buffers; `vjp` and `jvp` must be built from
    differentiable operations, because higher derivatives differentiate through them.
    """

    def value(self, z: Tensor) -> Tensor:
        """Return f(z), same shape as `z`."""
        ...

    def vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        """Return the gradient with respect to `z`, given `grad` with respect to f(z)."""
        ...

    def jvp(self, z: Tensor, tangent: Tensor, *, exact: bool) -> Tensor:
        """Return the directional derivative of f at `z` along `tangent`."""
        ...


class _Pointwise(torch.autograd.Function):
    generate_vmap_rule = True  # torch.func (vmap, jacrev, jacfwd) works through every activation

    @staticmethod
    def forward(z: Tensor, formula: Formula, exact: bool) -> Tensor:
        return (fused_value(formula) or formula.value)(z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Formula, bool], output: Tensor) -> None:
        z, ctx.formula, ctx.exact = inputs
        ctx.save_for_backward(z)
        ctx.save_for_forward(z)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (z,) = ctx.saved_tensors
        fused = fused_vjp(ctx.formula, exact=ctx.exact)
        grad = fused(z, grad_outputs[0]) if fused else ctx.formula.vjp(z, grad_outputs[0], exact=ctx.exact)
        return grad, None, None

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        (z,) = ctx.saved_tensors
        return ctx.formula.jvp(z, grad_inputs[0], exact=ctx.exact)


def apply_formula(z: Tensor, formula: Formula, *, scale_req_grad: bool = False) -> Tensor:
    """Evaluate `formula` at `z` so that only `z` is kept for the backward pass.

    Half-precision input is evaluated in float32 and cast back: a phase omega z reaches tens of radians, and
    bfloat16 resolves only 8 bits of it.

    Args:
        z: Pre-activation, any shape, real or (for the wavelets) complex.
        formula: The activation.
        scale_req_grad: Differentiate through the FINER factor; also on inside `exact_derivatives`.

    Returns:
        f(z), the shape of `z`.
    """
    exact = scale_req_grad or derivatives_are_exact()
    if z.dtype in (torch.float16, torch.bfloat16):
        out = _Pointwise.apply(z.float(), formula, exact)
        return out if out.is_complex() else out.to(z.dtype)  # there is no half-precision complex type to return to
    return _Pointwise.apply(z, formula, exact)
