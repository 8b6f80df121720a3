"""Three ways to a block of the kernel: each prepares the rows of a side once, and combines two sides."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from finer_ntk.kernel.cost_model import Path
from finer_ntk.kernel.functional_model import Derivative, RowFunction, left_is_exact, right_is_exact
from finer_ntk.kernel.jacobian import contract, fused_backward, jacobian_rows, push_forward
from finer_ntk.kernel.layerwise import Factors, factor_kernel, layer_factors


class _Layers:
    @staticmethod
    def prepare(function: RowFunction, coords: Tensor, *, exact: bool) -> list[Factors]:
        return layer_factors(function, coords, exact=exact)

    @staticmethod
    def combine(
        function: RowFunction, one: list[Factors], two: list[Factors], *, output: str, derivative: Derivative
    ) -> Tensor:
        return factor_kernel(one, two, output=output)


class _Jacobian:
    @staticmethod
    def prepare(function: RowFunction, coords: Tensor, *, exact: bool) -> Tensor:
        return jacobian_rows(function, coords, exact=exact)

    @staticmethod
    def combine(function: RowFunction, one: Tensor, two: Tensor, *, output: str, derivative: Derivative) -> Tensor:
        return contract(one, two, output=output)


class _Products:
    """Columns of the full kernel, each the product with a unit vector; the slowest, and the one that always fits."""

    @staticmethod
    def prepare(function: RowFunction, coords: Tensor, *, exact: bool) -> Tensor:
        return coords

    @staticmethod
    def combine(function: RowFunction, one: Tensor, two: Tensor, *, output: str, derivative: Derivative) -> Tensor:
        columns = list(_columns(function, one, two, derivative=derivative))
        full = torch.stack(columns, dim=1)  # (n1, n2, c, c)
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


SIDES: dict[Path, Any] = {
    "layers": _Layers,
    "jacobian": _Jacobian,
    "products": _Products,
}
