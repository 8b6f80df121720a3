"""The kernel as an operator: products with vectors without ever forming it, for its top eigenpairs."""

from abc import ABC, abstractmethod
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.casts import check_real, for_tensors, without_autocast
from finer_core.errors import InputError
from finer_core.resources import parse_memory
from finer_core.shapes import Float, Real
from finer_ntk.kernel.functional_model import (
    Call,
    Derivative,
    Params,
    RowFunction,
    as_coords,
    as_derivative,
    as_row_function,
    left_is_exact,
)
from finer_ntk.kernel.jacobian import jacobian_rows, product
from finer_ntk.kernel.layerwise import Factors, find_linear_maps, layer_factors


class NtkOperator(ABC):
    """Know a symmetric kernel, summed over output channels, by its products; `ntk_operator` makes one.

    Args:
        count: n.
        dtype: As below.
        device: As below.

    Attributes:
        shape: (n, n).
        dtype: The real type of the parameters, and of the products.
        device: Of the parameters.

    Example:
        >>> import numpy as np
        >>> from scipy.sparse.linalg import eigsh
        >>> from finer_core import build_network, published_config
        >>> from finer_ntk import line_grid, ntk_operator
        >>> config = published_config(method="finer", task="ntk", in_features=1, out_features=1, hidden_features=16)
        >>> operator = ntk_operator(build_network(config), line_grid(32).coords)
        >>> operator.matvec(np.ones(32)).shape, operator.diagonal().shape
        ((32,), torch.Size([32]))
        >>> eigsh(operator.to_scipy(), k=3, return_eigenvectors=False).shape
        (3,)
    """

    def __init__(self, count: int, *, dtype: torch.dtype, device: torch.device) -> None:
        self.shape, self.dtype, self.device = (count, count), dtype, device

    @overload
    def matvec(self, vectors: Tensor) -> Tensor: ...

    @overload
    def matvec(self, vectors: np.ndarray) -> np.ndarray: ...

    @without_autocast()
    def matvec(
        self, vectors: Real[Tensor | np.ndarray, "{self.shape[1]} ..."]
    ) -> Float[Tensor | np.ndarray, "{self.shape[0]} ..."]:
        """Return K v, of the kind that `vectors` is; arrays in double precision.

        Args:
            vectors: v, (n,), or (n, k) for several at once.

        Raises:
            InputError: If they are complex.
            ValueError: If they are of another length.
        """
        given = (
            vectors if isinstance(vectors, Tensor) else torch.as_tensor(for_tensors(np.asarray(vectors)), device="cpu")
        )
        check_real(given, what="vectors")
        moved = given.to(self.device, self.dtype)
        if moved.ndim not in (1, 2) or len(moved) != self.shape[1]:
            raise ValueError(f"a kernel of shape {self.shape} does not act on vectors {tuple(moved.shape)}")
        columns = moved[:, None] if moved.ndim == 1 else moved
        found = torch.stack([self._times(vector) for vector in columns.unbind(1)], dim=1).reshape(moved.shape)
        return found if isinstance(vectors, Tensor) else found.double().cpu().numpy()

    @abstractmethod
    def diagonal(self) -> Tensor:
        """Return K_ii, (n,)."""

    @abstractmethod
    def _times(self, vector: Tensor) -> Tensor:
        """Return K v, (n,), of one vector on the device and of the type."""

    def to_scipy(self) -> Any:
        """Return a `scipy.sparse.linalg.LinearOperator` of double precision, for SciPy's solvers."""
        from scipy.sparse.linalg import LinearOperator

        return LinearOperator(self.shape, matvec=self._flat, matmat=self.matvec, rmatvec=self._flat, dtype=np.float64)

    def _flat(self, vector: np.ndarray) -> np.ndarray:
        return self.matvec(vector.reshape(-1))  # SciPy may give a column


@torch.inference_mode(False)
@without_autocast()
def ntk_operator(
    model: nn.Module | Call,
    x: Tensor | np.ndarray,
    *,
    params: Params | None = None,
    derivative: Derivative = "published",
    memory: str | int = "4GB",
) -> NtkOperator:
    """Return the kernel of a network as an operator, never formed.

    Formula: K v = J (J^T v) with J the Jacobian of the outputs with respect to all parameters, a channel at a time.

    Args:
        model: A module, or a callable of parameters and coords; output row i depends on coordinate row i only.
        x: (n, in_features), a tensor or an array, in the model's coordinates; brought to its parameters' type.
        params: The parameters to differentiate at; None takes a module's own.
        derivative: "published" or "exact"; the operator is symmetric.
        memory: What it may take. Where the factors of the linear maps fit they are kept, and a product costs two
            matrix products a map; else every product is a backward pass, and the derivative of it, in pieces.

    Returns:
        The operator, n x n.

    Raises:
        InputError: For the derivative "training", whose kernel is not symmetric, or a parameter that is not finite.

    Example:
        >>> from finer_core import build_network, published_config
        >>> from finer_ntk import line_grid, ntk_operator
        >>> config = published_config(method="siren", task="ntk", in_features=1, out_features=1, hidden_features=16)
        >>> ntk_operator(build_network(config), line_grid(32).coords).shape
        (32, 32)
    """
    as_derivative(derivative)
    if derivative == "training":
        raise InputError(
            "the derivative 'training' gives a kernel that is not symmetric and has no real eigenvalues to ask for"
        )
    function, allowed = as_row_function(model, params), parse_memory(memory)
    coords = as_coords(x, function)
    exact = left_is_exact(derivative)
    channels = function.channels(coords)
    maps = find_linear_maps(function, coords)
    itemsize = function.dtype.itemsize
    if not isinstance(maps, str):
        numbers = sum(map_.fan_in + channels * map_.fan_out for map_ in maps)
        width = max(map_.fan_in + map_.fan_out for map_ in maps)
        parts = 2 if any(value.is_complex() for value in function.params.values()) else 1
        kept = parts * len(coords) * itemsize * numbers
        if kept + 6 * len(coords) * itemsize * width <= allowed:
            return _FactorOperator(function, coords, exact=exact, rows=max(1, min(len(coords), 4096)))
    rows = max(1, allowed // (8 * itemsize * (64 + 16 * int(function.count**0.5))))
    return _PassOperator(function, coords, derivative=derivative, rows=min(rows, len(coords)), channels=channels)


class _FactorOperator(NtkOperator):
    """K v = sum over maps and channels of Re[g_i . (U conj(a_i))], U = sum_j v_j conj(g_j) a_j^T."""

    def __init__(self, function: RowFunction, coords: Tensor, *, exact: bool, rows: int) -> None:
        super().__init__(len(coords), dtype=function.dtype, device=coords.device)
        pieces = [layer_factors(function, part, exact=exact) for part in coords.split(rows)]
        self._factors = [_joined([piece[i] for piece in pieces]) for i in range(len(pieces[0]))]

    def _times(self, vector: Float[Tensor, " {self.shape[1]}"]) -> Float[Tensor, " {self.shape[0]}"]:
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

    def diagonal(self) -> Float[Tensor, " {self.shape[0]}"]:
        total = torch.zeros(self.shape[0], dtype=self.dtype, device=self.device)
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


class _PassOperator(NtkOperator):
    """K v by a backward pass and the derivative of it a channel."""

    def __init__(
        self, function: RowFunction, coords: Tensor, *, derivative: Derivative, rows: int, channels: int
    ) -> None:
        super().__init__(len(coords), dtype=function.dtype, device=coords.device)
        self._function, self._coords, self._rows, self._channels = function, coords, rows, channels
        self._derivative = derivative

    def _times(self, vector: Float[Tensor, " {self.shape[1]}"]) -> Float[Tensor, " {self.shape[0]}"]:
        total = torch.zeros_like(vector)
        for channel in range(self._channels):
            spread = torch.zeros(self.shape[0], self._channels, dtype=self.dtype, device=self.device)
            spread[:, channel] = vector
            moved = product(
                self._function, self._coords, self._coords, spread, derivative=self._derivative, rows=self._rows
            )
            total += moved[:, channel]
        return total

    def diagonal(self) -> Float[Tensor, " {self.shape[0]}"]:
        rows = max(1, min(self._rows, 2**26 // (self._function.count * self._channels)))
        exact = left_is_exact(self._derivative)
        parts = [
            jacobian_rows(self._function, part, exact=exact).square().sum((1, 2)).to(self.dtype)
            for part in self._coords.split(rows)
        ]
        return torch.cat(parts)
