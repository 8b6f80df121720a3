"""The kernel as an operator: products with vectors without ever forming it, for its top eigenpairs."""

from typing import Protocol

import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_ntk.kernel.jacobian import jacobian_rows, product
from finer_ntk.kernel.linear_layers import Factors, find_linear_maps, layer_factors
from finer_ntk.kernel.row_function import RowFunction, Rule, as_rule, left_is_exact


class KernelOperator(Protocol):
    """A symmetric n x n kernel, summed over output channels, known by its products."""

    size: int
    dtype: torch.dtype
    device: torch.device

    def times(self, vectors: Tensor) -> Tensor:
        """Return K v, (n, k), of vectors (n, k)."""
        ...

    def diagonal(self) -> Tensor:
        """Return K_ii, (n,)."""
        ...


def kernel_operator(
    function: RowFunction, coords: Tensor, *, rule: Rule = "published", memory: int = 4 * 10**9
) -> KernelOperator:
    """Return the kernel on `coords` as an operator.

    Args:
        function: The function.
        coords: (n, in_features).
        rule: "published" or "exact"; the operator is symmetric.
        memory: Bytes it may take. Where the factors of the linear maps fit they are kept, and a product costs two
            matrix products a map; else every product is a backward and a forward pass in pieces.

    Raises:
        InputError: For the rule "training", whose kernel is not symmetric.
    """
    as_rule(rule)
    if rule == "training":
        raise InputError(
            "the rule 'training' gives a kernel that is not symmetric and has no real eigenvalues to ask for"
        )
    exact = left_is_exact(rule)
    channels = function.channels(coords)
    maps = find_linear_maps(function, coords)
    itemsize = function.dtype.itemsize
    if not isinstance(maps, str):
        numbers = sum(map_.fan_in + channels * map_.fan_out for map_ in maps)
        width = max(map_.fan_in + map_.fan_out for map_ in maps)
        parts = 2 if any(value.is_complex() for value in function.params.values()) else 1
        kept = parts * len(coords) * itemsize * numbers
        if kept + 6 * len(coords) * itemsize * width <= memory:
            return _FactorOperator(function, coords, exact=exact, rows=max(1, min(len(coords), 4096)))
    rows = max(1, memory // (8 * itemsize * (64 + 16 * int(function.count**0.5))))
    return _PassOperator(function, coords, rule=rule, rows=min(rows, len(coords)), channels=channels)


class _FactorOperator:
    """K v = sum over maps and channels of Re[g_i . (U conj(a_i))], U = sum_j v_j conj(g_j) a_j^T."""

    def __init__(self, function: RowFunction, coords: Tensor, *, exact: bool, rows: int) -> None:
        self.size, self.dtype, self.device = len(coords), function.dtype, coords.device
        pieces = [layer_factors(function, part, exact=exact) for part in coords.split(rows)]
        self._factors = [_joined([piece[i] for piece in pieces]) for i in range(len(pieces[0]))]

    def times(self, vectors: Tensor) -> Tensor:
        return torch.stack([self._times(vector) for vector in vectors.unbind(1)], dim=1)

    def _times(self, vector: Tensor) -> Tensor:
        total = torch.zeros_like(vector)
        for layer in self._factors:
            for signals in layer.signals:
                weighted = (signals * vector[:, None]).conj()
                moved = torch.zeros_like(signals)
                if layer.map.weight is not None:
                    moved += layer.inputs.conj() @ (weighted.mT @ layer.inputs).mT
                if layer.map.bias is not None:
                    moved += weighted.sum(0)
                share = (signals * moved).sum(-1)
                total += share.real if share.is_complex() else share
        return total

    def diagonal(self) -> Tensor:
        total = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for layer in self._factors:
            inputs = 0.0 if layer.map.weight is None else layer.inputs.abs().square().sum(-1)
            bias = 0.0 if layer.map.bias is None else 1.0
            total += (inputs + bias) * layer.signals.abs().square().sum((0, 2))
        return total


def _joined(pieces: list[Factors]) -> Factors:
    return Factors(
        map=pieces[0].map,
        inputs=torch.cat([piece.inputs for piece in pieces]),
        signals=torch.cat([piece.signals for piece in pieces], dim=1),
    )


class _PassOperator:
    """K v by one backward and one forward-mode pass a channel."""

    def __init__(self, function: RowFunction, coords: Tensor, *, rule: Rule, rows: int, channels: int) -> None:
        self.size, self.dtype, self.device = len(coords), function.dtype, coords.device
        self._function, self._coords, self._rule, self._rows, self._channels = function, coords, rule, rows, channels

    def times(self, vectors: Tensor) -> Tensor:
        return torch.stack([self._times(vector) for vector in vectors.unbind(1)], dim=1)

    def _times(self, vector: Tensor) -> Tensor:
        total = torch.zeros_like(vector)
        for channel in range(self._channels):
            spread = torch.zeros(self.size, self._channels, dtype=self.dtype, device=self.device)
            spread[:, channel] = vector
            moved = product(self._function, self._coords, self._coords, spread, rule=self._rule, rows=self._rows)
            total += moved[:, channel]
        return total

    def diagonal(self) -> Tensor:
        rows = max(1, min(self._rows, 2**26 // (self._function.count * self._channels)))
        exact = left_is_exact(self._rule)
        parts = [
            jacobian_rows(self._function, part, exact=exact).square().sum((1, 2)).to(self.dtype)
            for part in self._coords.split(rows)
        ]
        return torch.cat(parts)
