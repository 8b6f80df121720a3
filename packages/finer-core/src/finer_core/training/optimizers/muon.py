"""Muon with all matrices of one shape orthogonalized together, in the precision that the fit asks for."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from finer_core.errors import InputError
from finer_core.schema import check_within, shown
from finer_core.training.optimizers.eager import loss_of
from finer_core.training.optimizers.matrices import MatrixOptimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic whose iteration drives singular values towards 1 fastest (Jordan et al., 2024)."""
ITERATIONS = 5
"""Newton-Schulz iterations a step."""


def orthogonalize(matrices: Tensor, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Move every singular value of each matrix towards 1 by Newton-Schulz iterations.

    Formula: X <- a X + (b X X^T + c (X X^T)^2) X from X = G / |G|, with `COEFFICIENTS` (a, b, c) (Jordan et al., 2024,
    "Muon"). Singular values end between about 0.7 and 1.2, which trains as well as exactly 1.

    Args:
        matrices: (n, rows, columns), real.
        dtype: Of the products.

    Returns:
        (n, rows, columns), of `dtype`. A matrix of zeros stays one.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)).to(dtype)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(MatrixOptimizer):
    """Update matrices along their orthogonalized momentum (Jordan et al., 2024).

    The same rule as `torch.optim.Muon` without weight decay, whose products are in bfloat16 always: on a processor
    that only emulates bfloat16 they take twenty times as long as in single precision, longer than the whole rest
    of a training step. Here the caller decides, so that the arithmetic of a fit follows from its settings and not
    from its processor, and all matrices of one shape go together.

    Args:
        params: Real matrices.
        lr: Rate, times sqrt(max(1, rows / columns)) of a matrix.
        momentum: Decay of the running mean of gradients; the step looks ahead along it (Nesterov).
        dtype: Of the orthogonalization's products where the matrices are float32; None for their own. bfloat16
            magnifies the rounding of the gradients' sums to about 2^-8 of a step.

    Raises:
        ValueError: For a parameter that is not a real matrix.
        InputError: For a rate, momentum or type that cannot be used.

    Example:
        >>> import torch
        >>> from finer_core.training import Muon
        >>> network = torch.nn.Linear(8, 8, bias=False)
        >>> optimizer = Muon(network.parameters(), lr=1e-3)
        >>> network(torch.ones(4, 8)).square().mean().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float = 1e-3,
        momentum: float = 0.95,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "dtype": dtype})

    def _check_settings(self, group: dict[str, Any]) -> None:
        check_within(group["lr"], "[0, inf)", what="lr")
        check_within(group["momentum"], "[0, 1)", what="momentum")
        dtype = group["dtype"]
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise InputError(f"dtype must be a floating-point type of PyTorch's or None, got {shown(dtype)}")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every matrix that has a gradient."""
        loss = loss_of(closure)
        alike: dict[tuple[Any, ...], list[tuple[nn.Parameter, dict[str, Any], dict[str, Any]]]] = {}
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    is_lowered = group["dtype"] is not None and parameter.dtype == torch.float32
                    dtype = group["dtype"] if is_lowered else parameter.dtype
                    key = (parameter.shape, parameter.device, dtype)
                    alike.setdefault(key, []).append((parameter, self.state[parameter], group))
        for (*_, dtype), entries in alike.items():
            _update(entries, dtype=dtype)
        return loss


@torch.no_grad()
def _update(entries: Sequence[tuple[nn.Parameter, dict[str, Any], dict[str, Any]]], *, dtype: torch.dtype) -> None:
    """Update matrices of one shape, each given with its state and its group's settings."""
    ahead = []
    for parameter, state, group in entries:
        assert parameter.grad is not None
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        mean = state["momentum_buffer"].lerp_(parameter.grad, 1 - group["momentum"])
        ahead.append(parameter.grad.lerp(mean, group["momentum"]))
    steps = orthogonalize(torch.stack(ahead), dtype=dtype)
    rows, columns = entries[0][0].shape
    for (parameter, _, group), direction in zip(entries, steps, strict=True):
        rate = group["lr"] * math.sqrt(max(1.0, rows / max(1, columns)))
        if isinstance(rate, Tensor):  # on the device, where a recorded step reads it
            parameter.sub_(direction * rate)
        else:
            parameter.add_(direction, alpha=-rate)
