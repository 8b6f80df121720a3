"""The general paths, for any function torch.func takes: contraction of Jacobian rows, and NTK-vector products."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import vjp, vmap

from finer_core.shapes import Float, Shaped
from finer_ntk.kernel.functional_model import Derivative, Params, RowFunction, left_is_exact, right_is_exact


def jacobian_rows(
    function: RowFunction, coords: Shaped[Tensor, "n in_features"], *, exact: bool
) -> Float[Tensor, "n outputs parameters"]:
    """Return the Jacobian with respect to all parameters, row by row.

    Args:
        function: The function.
        coords: (n, in_features).
        exact: See `RowFunction`.

    Returns:
        (n, out_features, number of real parameters); a complex parameter gives its real and its imaginary part.
    """

    def one_row(row: Tensor) -> Tensor:
        out, pull = vjp(lambda params: function(params, row[None], exact=exact)[0], function.params)[:2]
        (grads,) = vmap(pull)(torch.eye(out.shape[0], dtype=out.dtype, device=out.device))
        parts = [torch.view_as_real(grad) if grad.is_complex() else grad for grad in grads.values()]
        # reshape, because a parameter may have no axes (a learnt omega), or no elements
        return torch.cat([part.reshape(len(part), part.shape[1:].numel()) for part in parts], dim=1)

    return vmap(one_row)(coords)


def contract(
    left: Float[Tensor, "n1 outputs parameters"], right: Float[Tensor, "n2 outputs parameters"], *, output: str
) -> Float[Tensor, "n1 n2 ..."]:
    """Return the kernel of two sets of Jacobian rows (n1, c, p) and (n2, c, p); see `factor_kernel` for the shapes."""
    if output == "trace":
        return left.flatten(1) @ right.flatten(1).T
    if output == "per_channel":
        return (left.transpose(0, 1) @ right.permute(1, 2, 0)).permute(1, 2, 0)
    if output == "full":
        return torch.einsum("nap,mbp->nmab", left, right)
    raise ValueError(f"output must be trace, per_channel or full, got {output!r}")


def fused_backward(
    function: RowFunction,
    coords: Shaped[Tensor, "n in_features"],
    cotangents: Float[Tensor, "n outputs"],
    *,
    exact: bool,
) -> dict[str, Tensor]:
    """Return J^T v: the gradient of sum(v * f(coords)) with respect to the parameters.

    Args:
        function: The function.
        coords: (n, in_features).
        cotangents: v, (n, out_features).
        exact: See `RowFunction`.
    """
    pull = vjp(lambda params: function(params, coords, exact=exact), function.params)[1]
    return pull(cotangents)[0]


Push = Callable[[Params], Tensor]
"""Maps u, like the parameters, to J u, (n, out_features): how the outputs move when the parameters move along u."""


def backward_and_push(
    function: RowFunction,
    coords: Shaped[Tensor, "n in_features"],
    cotangents: Float[Tensor, "n outputs"],
    *,
    exact: bool,
) -> tuple[dict[str, Tensor], Push]:
    """Return J^T v as `fused_backward` does, and what makes J u of any u, from one pass over the rows.

    J u is the derivative of the linear map v -> J^T v, so that both have the same J. In forward mode it might have
    another one: code under `torch.no_grad`, and a backward pass of somebody's own, count in reverse mode alone.

    Args:
        function: The function.
        coords: (n, in_features).
        cotangents: v, (n, out_features).
        exact: See `RowFunction`.
    """
    pull = vjp(lambda params: function(params, coords, exact=exact), function.params)[1]
    gradients, push = vjp(lambda v: pull(v)[0], cotangents)[:2]
    return gradients, lambda tangents: push(dict(tangents))[0]


def push_forward(function: RowFunction, coords: Shaped[Tensor, "n in_features"], *, exact: bool) -> Push:
    """Return what makes J u of any u, without the passes over the rows that each J u of its own would take."""
    out, pull = vjp(lambda params: function(params, coords, exact=exact), function.params)[:2]
    push = vjp(lambda v: pull(v)[0], torch.zeros_like(out))[1]
    return lambda tangents: push(dict(tangents))[0]


def product(
    function: RowFunction,
    left: Shaped[Tensor, "n1 in_features"],
    right: Shaped[Tensor, "n2 in_features"],
    vector: Float[Tensor, "n2 outputs"],
    *,
    derivative: Derivative,
    rows: int | None = None,
) -> Float[Tensor, "n1 outputs"]:
    """Return the full kernel times a vector, K(left, right) v = J_left (J_right^T v), without forming K.

    Args:
        function: The function.
        left: (n1, in_features).
        right: (n2, in_features).
        vector: v, (n2, out_features).
        derivative: See `Derivative`.
        rows: Rows a pass, to bound memory; None for all at once.

    Returns:
        (n1, out_features).
    """
    rows = rows or max(len(left), len(right))
    if left is right and len(left) <= rows and left_is_exact(derivative) == right_is_exact(derivative):
        gradients, push = backward_and_push(function, left, vector, exact=left_is_exact(derivative))
        return push(gradients)
    total: dict[str, Tensor] = {}
    for coords, part in zip(right.split(rows), vector.split(rows), strict=True):
        found = fused_backward(function, coords, part, exact=right_is_exact(derivative))
        total = {name: value + total[name] for name, value in found.items()} if total else found
    pushed = [push_forward(function, coords, exact=left_is_exact(derivative))(total) for coords in left.split(rows)]
    return torch.cat(pushed)
