"""One autograd function for every activation, which keeps one tensor for the backward pass.

Plain autograd keeps up to four tensors per activation. Here it is the pre-activation, from which every derivative can
be computed, or, where only first derivatives will be asked for, the slope.
"""

from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import forward_ad

from finer_core.activations._kernels.chunked import in_chunks
from finer_core.activations._kernels.dispatch import kernels_for
from finer_core.activations.derivative_mode import (
    derivatives_are_exact,
    is_first_order_only,
    operations_are_recorded,
    refuse_second_derivative,
)
from finer_core.activations.formulas import RealFormula, check_tensors
from finer_core.schema import check_flag

try:  # No public names do this; PyTorch 2.6 to 2.13 have these, and another one may not.
    from torch._C import _functorch as functorch
    from torch.autograd.forward_ad import _set_fwd_grad_enabled as keep_forward_derivatives
except ImportError:  # then everything works but forward derivatives
    functorch = keep_forward_derivatives = None  # type: ignore[assignment, misc]


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
    """Keep z: derivatives of every order."""

    generate_vmap_rule = True  # torch.func (vmap, jacrev, jacfwd) works through every activation

    @staticmethod
    def forward(z: Tensor, formula: Formula, exact: bool) -> Tensor:
        kernels = kernels_for(formula, z)
        with torch.no_grad():
            return kernels.value(z) if kernels else in_chunks(formula.value, z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Formula, bool], output: Tensor) -> None:
        z, ctx.formula, ctx.exact = inputs
        ctx.save_for_backward(z)
        ctx.save_for_forward(z)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (z,), grad = ctx.saved_tensors, grad_outputs[0]
        kernels = None if operations_are_recorded() else kernels_for(ctx.formula, z, grad)
        if kernels:
            return kernels.vjp(z, grad, exact=ctx.exact), None, None
        return in_chunks(partial(ctx.formula.vjp, exact=ctx.exact), z, grad), None, None

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        (z,) = ctx.saved_tensors
        if keep_forward_derivatives is None:
            raise RuntimeError(
                f"PyTorch {torch.__version__} has other names for forward derivatives than this finer-core knows; "
                "take reverse ones, as torch.func.jacrev, or a newer finer-core"
            )
        # PyTorch calls this with forward derivatives off, and `torch.func` then takes outer ones for 0.
        with keep_forward_derivatives(True):
            return ctx.formula.jvp(_without_inmost_tangent(z), grad_inputs[0], exact=ctx.exact)


def _without_inmost_tangent(z: Tensor) -> Tensor:
    """Return z without the tangent that a `jvp` is given beside it; those of outer derivatives stay."""
    if not functorch.is_batchedtensor(z):
        return forward_ad.unpack_dual(z).primal
    # PyTorch has no batching rule for it: it is done to what is in the batch.
    inside = _without_inmost_tangent(functorch.get_unwrapped(z))
    return functorch._add_batch_dim(inside, functorch.maybe_get_bdim(z), functorch.maybe_get_level(z))


class _FirstOrder(torch.autograd.Function):
    """Keep df/dz: one derivative, of a real formula.

    Without a `setup_context`, which `torch.func` would need: it adds 70 microseconds of Python to every call, while
    the other threads wait for the interpreter.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, formula: RealFormula, exact: bool) -> Tensor:
        kernels = kernels_for(formula, z)
        with torch.no_grad():
            if kernels:
                value, slope = kernels.value_and_slope(z, exact=exact)
            else:
                value, slope = in_chunks(partial(formula.value_and_slope, exact=exact), z)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        refuse_second_derivative()
        (slope,) = ctx.saved_tensors
        return in_chunks(torch.mul, grad_outputs[0], slope), None, None


class _Compiled(torch.autograd.Function):
    """Keep z, in the form that `torch.compile` takes into its graph: it refuses functions with a `jvp`."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, formula: Formula, exact: bool) -> Tensor:
        ctx.save_for_backward(z)
        ctx.formula, ctx.exact = formula, exact
        # A copy, which compiling removes: PyTorch 2.11 gives the result of an operation in place no gradient.
        return formula.value(z).clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (z,) = ctx.saved_tensors
        return ctx.formula.vjp(z, grad_outputs[0], exact=ctx.exact), None, None


def apply_formula(z: Tensor, formula: Formula, *, scale_req_grad: bool = False) -> Tensor:
    """Evaluate `formula` at `z` so that one tensor of z's size is kept for the backward pass.

    Half-precision input is evaluated in float32 and cast back: a phase omega z reaches tens of radians, and
    bfloat16 resolves only 8 bits of it.

    Args:
        z: Pre-activation, any shape, real or (for the wavelets) complex.
        formula: The activation.
        scale_req_grad: Differentiate through the FINER factor; also on inside `exact_derivatives`.

    Returns:
        f(z), the shape of `z`.

    Raises:
        InputError: If a constant of the formula is a parameter, which would not be trained, or many numbers, or
            `scale_req_grad` neither true nor false.

    Example:
        >>> import torch
        >>> from finer_core.activations import apply_formula
        >>> from finer_core.activations.formulas import SineFormula
        >>> apply_formula(torch.tensor([0.0, 0.5]), SineFormula(2.0))
        tensor([0.0000, 0.8415])
    """
    check_flag(scale_req_grad, what="scale_req_grad")
    exact = bool(scale_req_grad) or derivatives_are_exact()
    check_tensors(formula)
    if z.dtype in (torch.float16, torch.bfloat16):
        out = _apply(z.float(), formula, exact)
        return out if out.is_complex() else out.to(z.dtype)  # there is no half-precision complex type to return to
    if not (z.is_floating_point() or z.is_complex()):
        z = z.to(torch.get_default_dtype())  # as PyTorch's own functions do
    return _apply(z, formula, exact)


def _apply(z: Tensor, formula: Formula, exact: bool) -> Tensor:
    if torch.compiler.is_compiling():
        return _Compiled.apply(z, formula, exact)
    recorded = z.requires_grad and torch.is_grad_enabled()
    transformed = torch._C._are_functorch_transforms_active()
    if recorded and not transformed and isinstance(formula, RealFormula) and is_first_order_only():
        return _FirstOrder.apply(z, formula, exact)
    return _Pointwise.apply(z, formula, exact)
