"""Three ways to a block of the kernel: each prepares the rows of a side once, and combines two sides."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from finer_ntk.kernel.cost_model import Path
from finer_ntk.kernel.functional_model import Derivative, RowFunction, left_is_exact, right_is_exact
from finer_ntk.kernel.jacobian import contract, fused_backward, jacobian_rows, push_forward
from finer_ntk.kernel.layerwise import factor_kernel, layer_factors


def _of_products(function: RowFunction, one: Tensor, two: Tensor, *, output: str, derivative: Derivative) -> Tensor:
    """Return columns of the full kernel, each the product with a unit vector; the slowest way, which always fits."""
    full = torch.stack(list(_columns(function, one, two, derivative=derivative)), dim=1)  # (n1, n2, c, c)
    if output == "full":
        return full
    per_channel = full.diagonal(dim1=2, dim2=3)
    return per_channel.sum(-1) if output == "trace" else per_channel


def _columns(function: RowFunction, one: Tensor, two: Tensor, *, derivative: Derivative) -> Iterator[Tensor]:
    push = push_forward(function, one, exact=left_is_exact(derivative))
    for row in two.split(1):
        out = function(function.params, row, exact=False)
        parts = []
        for unit in torch.eye(out.shape[1], dtype=out.dtype, device=out.device):
            gradient = fused_backward(function, row, unit[None], exact=right_is_exact(derivative))
            parts.append(push(gradient))
        yield torch.stack(parts, dim=-1)


PREPARE: dict[Path, Callable[..., Any]] = {
    "layers": layer_factors,
    "jacobian": jacobian_rows,
    "products": lambda function, coords, *, exact: coords,
}
"""Functions of (function, coords, exact): what a path needs of the rows of one side."""
COMBINE: dict[Path, Callable[..., Tensor]] = {
    "layers": lambda function, one, two, *, output, derivative: factor_kernel(one, two, output=output),
    "jacobian": lambda function, one, two, *, output, derivative: contract(one, two, output=output),
    "products": _of_products,
}
"""Functions of (function, one, two, output, derivative): a block of two prepared sides."""
