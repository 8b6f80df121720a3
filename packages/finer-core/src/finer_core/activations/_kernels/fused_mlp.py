"""Linear maps and their activations as one function, for training: fewer passes over memory, and one node of the graph.

Where only first derivatives are asked for, nobody sees what lies between the layers: the memory of what one layer has
done with serves the next (`finer_core.activations.buffers`).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from finer_core.activations import buffers as spare
from finer_core.activations._kernels.chunked import in_chunks
from finer_core.activations._kernels.dispatch import kernels_for
from finer_core.activations.derivative_mode import is_first_order_only, refuse_second_derivative
from finer_core.activations.formulas import RealFormula
from finer_core.casts import autocasts


class FusedLayer(NamedTuple):
    """f(x W^T + b).

    Attributes:
        weight: W, (out_features, in_features), real.
        bias: b, (out_features,), or None.
        formula: f; None for the identity.
        exact: Whether the FINER factor is differentiated too.
        backward_dtype: What the factors of the backward products are rounded to; None for nothing.
    """

    weight: Tensor
    bias: Tensor | None
    formula: RealFormula | None = None
    exact: bool = False
    backward_dtype: torch.dtype | None = None


def is_hooked(module: nn.Module) -> bool:
    """Return whether somebody asked to be told when the module is called."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def joins(x: Tensor) -> bool:
    """Return whether `fused_mlp` may stand for linear maps and activations of `x` here."""
    return (
        not torch.compiler.is_compiling()
        and is_first_order_only()
        and torch.is_grad_enabled()
        and x.dtype in (torch.float32, torch.float64)
        and not autocasts(x.device.type)
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()  # whose tensors are not for `buffers` to keep
    )


def fused_mlp(x: Tensor, maps: Sequence[FusedLayer]) -> Tensor:
    """Return f_n(.. f_1(x W_1^T + b_1) .. W_n^T + b_n), which can be differentiated once.

    Args:
        x: (..., in_features), real.
        maps: At least one, each taking what the one before it gives, all of the type of `x`.

    Returns:
        (..., out_features). For the backward pass it keeps each map's input, and one tensor of an activation's size.
    """
    rows = x.reshape(-1, x.shape[-1])
    tensors = [tensor for each in maps for tensor in (each.weight, each.bias)]
    value: Tensor = _ActivatedMaps.apply(rows, [each[2:] for each in maps], *tensors)
    return value.view(*x.shape[:-1], maps[-1].weight.shape[0])


def evaluate(x: Tensor, maps: Sequence[FusedLayer]) -> tuple[Tensor, "Kept"]:
    """Return what the maps give, and what `fused_backward` needs; call it where no graph is recorded.

    Args:
        x: (rows, in_features), contiguous.
        maps: As for `fused_mlp`.
    """
    kept = Kept([], [each.backward_dtype for each in maps])
    for each in maps:
        value, slope = _map(x, each)
        kept.tensors.extend((x, each.weight, slope))
        x = value
    return x, kept


class Kept(NamedTuple):
    """What the derivative of a run of maps is made of.

    Attributes:
        tensors: Each map's input, weight, and slope (None of the identity).
        dtypes: What the factors of each map's backward products are rounded to, if anything.
    """

    tensors: list[Tensor | None]
    dtypes: list[torch.dtype | None]


def fused_backward(
    grad: Tensor, kept: Kept, *, wants: Sequence[bool], wants_x: bool = False, sums: Sequence[Tensor | None] = ()
) -> tuple[Tensor | None, list[Tensor | None]]:
    """Return the gradients of sum(grad * value) of what `evaluate` gave, whose memory is used up.

    Args:
        grad: (rows, out_features).
        kept: What `evaluate` kept.
        wants: Whether the gradient of each map's weight, and bias, is wanted: two a map.
        wants_x: Whether that of the input is.
        sums: Tensors that the gradients are added to, in the order of `wants`; None for a new one, or nothing at all.

    Returns:
        The gradient of the input, and those of weights and biases (None where it is not wanted).
    """
    grads: list[Tensor | None] = list(sums) or [None] * len(wants)
    is_ours = False
    for i in reversed(range(len(kept.dtypes))):
        x, weight, slope = kept.tensors[3 * i : 3 * i + 3]
        assert x is not None and weight is not None
        if slope is not None:
            above, grad = grad, slope.mul_(grad)
            _done(above, is_ours)
            is_ours = True
        low = None if (dtype := kept.dtypes[i]) is None else _rounded(grad, dtype)
        if wants[2 * i] and low is not None:
            grads[2 * i] = _rounded_times(low.t(), x, add_to=grads[2 * i])
        elif wants[2 * i]:
            grads[2 * i] = _of_weight(grad, x, add_to=grads[2 * i])
        if wants[2 * i + 1]:
            of_bias, before = grad.sum(0), grads[2 * i + 1]
            grads[2 * i + 1] = of_bias if before is None else before.add_(of_bias)
        below = None
        if i > 0 or wants_x:
            below = spare.empty_like(x)
            below = _times(grad, weight, out=below) if low is None else _rounded_times(low, weight, out=below)
            _done(x, i > 0)
        if low is not None:
            spare.give_back(low)
        _done(grad, is_ours)
        if below is None:
            return None, grads
        grad, is_ours = below, True
    return grad, grads


class _ActivatedMaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, functions: Sequence[tuple[Any, ...]], *tensors: Tensor) -> Tensor:
        with torch.no_grad():
            maps = [FusedLayer(w, b, *f) for w, b, f in zip(tensors[::2], tensors[1::2], functions, strict=True)]
            value, kept = evaluate(x, maps)
        ctx.save_for_backward(*kept.tensors)
        ctx.dtypes = kept.dtypes
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        refuse_second_derivative()
        kept = Kept(ctx.saved_tensors, ctx.dtypes)  # a second pass finds the slopes changed, and says so
        wants_x, _, *wants = ctx.needs_input_grad
        of_x, grads = fused_backward(grad_outputs[0], kept, wants=wants, wants_x=wants_x)
        return of_x, None, *grads


def _map(x: Tensor, this: FusedLayer) -> tuple[Tensor, Tensor | None]:
    """Return a map's value and its slope."""
    weight, bias, formula, exact, _ = this
    z = spare.empty(x.shape[0], weight.shape[0], dtype=x.dtype, device=x.device)
    if bias is None:
        torch.mm(x, weight.t(), out=z)
    else:
        torch.addmm(bias, x, weight.t(), out=z)
    if formula is None:
        return z, None
    if kernels := kernels_for(formula, z):
        return kernels.value_and_slope_(z, exact=exact)
    value, slope = in_chunks(partial(formula.value_and_slope, exact=exact), z)
    spare.give_back(z)
    return value, slope


def _times(a: Tensor, b: Tensor, *, out: Tensor | None = None, add_to: Tensor | None = None) -> Tensor:
    """Return a b, in `out` or added to `add_to`: the product takes the sum in for nothing; autocast rounds neither."""
    if add_to is not None:
        return add_to.addmm_(a, b)
    return torch.mm(a, b, out=a.new_empty(a.shape[0], b.shape[1]) if out is None else out)


def _rounded_times(a: Tensor, b: Tensor, *, out: Tensor | None = None, add_to: Tensor | None = None) -> Tensor:
    """Return `rounded_product(a, b)` in the type of `b`; in `out`, or added to `add_to`."""
    factor = _rounded(b, a.dtype)
    product = None if _keeps_sums(a, b.dtype) else spare.empty(len(a), b.shape[1], dtype=a.dtype, device=a.device)
    found = rounded_product(a, factor, dtype=b.dtype) if product is None else torch.mm(a, factor, out=product)
    result = add_to.add_(found) if add_to is not None else found.to(b.dtype) if out is None else out.copy_(found)
    for finished in (factor, product):
        if finished is not None:
            spare.give_back(finished)
    return result


def _rounded(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor in another type, in memory that may be given back."""
    return spare.empty(*tensor.shape, dtype=dtype, device=tensor.device).copy_(tensor)


def rounded_product(a: Tensor, b: Tensor, *, dtype: torch.dtype) -> Tensor:
    """Return a b in `dtype`, of factors in another type: on an NVIDIA GPU as it was summed up, not rounded before.

    Args:
        a: (n, k).
        b: (k, m), of the type of `a`.
        dtype: Of the result.
    """
    return torch.mm(a, b, out_dtype=dtype) if _keeps_sums(a, dtype) else (a @ b).to(dtype)


def _keeps_sums(a: Tensor, dtype: torch.dtype) -> bool:
    """Return whether products of half-precision factors come in float32, which PyTorch 2.8 was the first to do."""
    return a.is_cuda and dtype == torch.float32 and hasattr(torch.ops.aten.mm, "dtype")


def _of_weight(grad: Tensor, x: Tensor, *, add_to: Tensor | None) -> Tensor:
    """Return grad^T x, in new memory or added to `add_to`."""
    if x.shape[1] > _NARROW:
        return _times(grad.t(), x, add_to=add_to)
    # Products with a few columns are slow, those with a few rows are not: 0.6 and 0.07 ms for 1024 coordinates.
    product = _times(x.t(), grad).t()
    return product.contiguous() if add_to is None else add_to.add_(product)


_NARROW = 48
"""Columns up to which a product is made as its transpose."""


def _done(tensor: Tensor, is_ours: bool) -> None:
    if is_ours:
        spare.give_back(tensor)
