"""Exact derivatives of a field with respect to its coordinates, first and second order.

Every function takes the field as a callable and evaluates it itself, inside `exact_derivatives`, so the result is
the derivative of the *function* even when the network is trained by the rule that holds FINER's factor constant
(the autograd gradient of such a network is 0.5 to 0.75 times the true one). Rows are taken to be independent:
output row i depends on coordinate row i only, as in every network here.

All results can be differentiated further when `create_graph=True`: an eikonal loss on `gradient` trains with exact
parameter gradients. They work inside `torch.no_grad` and `torch.inference_mode`.
`torch.autocast` rounds none of a network of this package; another field it computes, and derives, in half precision.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from finer_core.activations import exact_derivatives
from finer_core.casts import without_autocast
from finer_core.errors import InputError
from finer_core.schema import check_flag
from finer_core.shapes import Float

Field = Callable[[Tensor], Tensor]
"""Maps coords (..., in_features) to values (..., out_features)."""
Given = ParamSpec("Given")
Result = TypeVar("Result")


def _recorded(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let a function record derivatives whatever its caller has turned off."""

    @wraps(function)
    def recorded(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(False):
                return recorded(*args, **kwargs)
        with torch.enable_grad():
            return function(*args, **kwargs)

    return recorded


@_recorded
def value_and_gradient(
    field: Field, coords: Float[Tensor, "*points d"], *, create_graph: bool = False
) -> tuple[Float[Tensor, "*points 1"], Float[Tensor, "*points d"]]:
    """Evaluate a scalar field and its gradient in one pass.

    Formula: grad f = (df/dx_1, ..., df/dx_d).

    Args:
        field: Maps (..., d) to (..., 1).
        coords: (..., d), real.
        create_graph: Keep the graph, to train on the gradient or differentiate again.

    Returns:
        Values (..., 1) and gradient (..., d). Without `create_graph` both are detached.

    Raises:
        ValueError: If the field has more than one output (use `jacobian`), or none.
        InputError: If coords are no tensor, or create_graph is neither True nor False.

    Example:
        >>> import torch
        >>> from finer_core.differential import value_and_gradient
        >>> values, gradient = value_and_gradient(lambda x: (x**2).sum(-1, keepdim=True), torch.tensor([[1.0, 2.0]]))
        >>> values.tolist(), gradient.tolist()
        ([[5.0]], [[2.0, 4.0]])
    """
    x, values = _evaluate(field, coords, create_graph=create_graph)
    if values.shape[-1] != 1:
        raise ValueError(f"gradient needs a field with one output, got shape {tuple(values.shape)}; use jacobian")
    grad = _gradient_of(values[..., 0], x, create_graph=create_graph)
    return (values, grad) if create_graph else (values.detach(), grad)


def gradient(
    field: Field, coords: Float[Tensor, "*points d"], *, create_graph: bool = False
) -> Float[Tensor, "*points d"]:
    """Return the gradient (..., d) of a scalar field, as `value_and_gradient` does with the values beside it.

    Args:
        field: Maps (..., d) to (..., 1).
        coords: (..., d), real.
        create_graph: Keep the graph, to train on the gradient or differentiate again.

    Raises:
        ValueError: If the field has more than one output (use `jacobian`), or none.
        InputError: If coords are no tensor, or create_graph is neither True nor False.

    Example:
        >>> import torch
        >>> from finer_core import build_network
        >>> from finer_core.differential import gradient
        >>> network = build_network("finer", in_features=3, out_features=1, hidden_features=16)
        >>> normals = gradient(network, torch.rand(5, 3))
        >>> eikonal = (gradient(network, torch.rand(5, 3), create_graph=True).norm(dim=-1) - 1).square().mean()
        >>> normals.shape, eikonal.requires_grad
        (torch.Size([5, 3]), True)
    """
    return value_and_gradient(field, coords, create_graph=create_graph)[1]


@_recorded
def jacobian(
    field: Field, coords: Float[Tensor, "*points d"], *, create_graph: bool = False
) -> Float[Tensor, "*points m d"]:
    """Return the Jacobian of a field of any number of outputs.

    Formula: J_ij = df_i/dx_j.

    Args:
        field: Maps (..., d) to (..., m).
        coords: (..., d), real.
        create_graph: Keep the graph.

    Returns:
        (..., m, d).

    Raises:
        ValueError: If the field has no output.
        InputError: If coords are no tensor, or create_graph is neither True nor False.

    Example:
        >>> import torch
        >>> from finer_core.differential import jacobian
        >>> jacobian(lambda x: torch.stack([x[..., 0] * x[..., 1], x[..., 0]], dim=-1), torch.tensor([2.0, 3.0]))
        tensor([[3., 2.],
                [1., 0.]])
    """
    x, values = _evaluate(field, coords, create_graph=create_graph)
    rows = [
        _gradient_of(values[..., i], x, create_graph=create_graph, retain_graph=True) for i in range(values.shape[-1])
    ]
    return torch.stack(rows, dim=-2)


@_recorded
def divergence(
    field: Field, coords: Float[Tensor, "*points d"], *, create_graph: bool = False
) -> Float[Tensor, "*points"]:
    """Return the divergence of a vector field.

    Formula: div f = sum_i df_i/dx_i.

    Args:
        field: Maps (..., d) to (..., d).
        coords: (..., d), real.
        create_graph: Keep the graph.

    Returns:
        (...), one value a point.

    Raises:
        ValueError: If the field has not as many outputs as coordinates.
        InputError: If coords are no tensor, or create_graph is neither True nor False.

    Example:
        >>> import torch
        >>> from finer_core.differential import divergence
        >>> divergence(lambda x: x**2, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([ 6., 14.])
    """
    x, values = _evaluate(field, coords, create_graph=create_graph)
    if values.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"divergence needs as many outputs as coordinates, got outputs {tuple(values.shape)} "
            f"for coords {tuple(x.shape)}"
        )
    return _trace_of_derivative(values, x, create_graph=create_graph)


@_recorded
def laplacian(
    field: Field, coords: Float[Tensor, "*points d"], *, create_graph: bool = False
) -> Float[Tensor, "*points m"]:
    """Return the Laplacian of each output.

    Formula: lap f = sum_j d^2 f / dx_j^2.

    Args:
        field: Maps (..., d) to (..., m).
        coords: (..., d), real.
        create_graph: Keep the graph.

    Returns:
        (..., m).

    Raises:
        ValueError: If the field has no output.
        InputError: If coords are no tensor, or create_graph is neither True nor False.

    Example:
        >>> import torch
        >>> from finer_core.differential import laplacian
        >>> laplacian(lambda x: (x**3).sum(-1, keepdim=True), torch.tensor([[1.0, 2.0]]))
        tensor([[18.]])
    """
    x, values = _evaluate(field, coords, create_graph=create_graph)
    per_output = [
        _trace_of_derivative(_gradient_of(values[..., i], x, create_graph=True), x, create_graph=create_graph)
        for i in range(values.shape[-1])
    ]
    return torch.stack(per_output, dim=-1)


def _evaluate(field: Field, coords: Tensor, *, create_graph: bool) -> tuple[Tensor, Tensor]:
    """Return coordinates that carry a gradient, and the field's values there with exact derivatives."""
    check_flag(create_graph, what="create_graph")
    if not isinstance(coords, Tensor):
        raise InputError(f"coords must be a tensor, got {type(coords).__name__}; torch.as_tensor makes one")
    if not coords.is_floating_point():
        raise ValueError(f"coords must be floating point, got {coords.dtype} of shape {tuple(coords.shape)}")
    with exact_derivatives():
        kept = coords.clone() if coords.is_inference() else coords
        x = kept if kept.requires_grad else kept.detach().requires_grad_(True)
        values = field(x)
    if not values.ndim or not values.shape[-1]:
        raise ValueError(f"a field needs at least one output, as in (..., 1), got shape {tuple(values.shape)}")
    if values.is_inference():
        raise ValueError(
            "the field computes under torch.inference_mode, which leaves no derivatives; take that out of it"
        )
    return x, values


@without_autocast()
def _gradient_of(
    values: Float[Tensor, "*points"],
    x: Float[Tensor, "*points d"],
    *,
    create_graph: bool,
    retain_graph: bool | None = None,
) -> Float[Tensor, "*points d"]:
    """Return d values / d x row by row; zero where `values` does not depend on `x`."""
    if not values.requires_grad:
        return torch.zeros_like(x)
    (grad,) = torch.autograd.grad(
        values.sum(), x, create_graph=create_graph, retain_graph=retain_graph, allow_unused=True
    )
    return torch.zeros_like(x) if grad is None else grad


def _trace_of_derivative(
    vectors: Float[Tensor, "*points d"], x: Float[Tensor, "*points d"], *, create_graph: bool
) -> Float[Tensor, "*points"]:
    """Return sum_j d vectors_j / d x_j."""
    total = torch.zeros_like(x[..., 0])
    for j in range(x.shape[-1]):
        row = _gradient_of(vectors[..., j], x, create_graph=create_graph, retain_graph=True)
        total = total + row[..., j]
    return total
