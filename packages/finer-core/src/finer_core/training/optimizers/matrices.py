"""What the optimizers of matrices can update, and what they share: checks and arithmetic."""

from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from finer_core.errors import InputError
from finer_core.schema import check_within, shown


def check_matrices(optimizer: Optimizer, *, complex_too: bool = False) -> None:
    """Raise ValueError for a parameter of the optimizer that is not a matrix, or complex where only real ones are."""
    kind = "matrices" if complex_too else "real matrices"
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.ndim != 2 or (parameter.is_complex() and not complex_too):
                raise ValueError(
                    f"{type(optimizer).__name__} updates {kind}, got {tuple(parameter.shape)} of "
                    f"{parameter.dtype}; give other parameters to Adam"
                )


def check_betas(betas: Any) -> None:
    """Raise InputError unless they are two decays of running means."""
    if not isinstance(betas, list | tuple) or len(betas) != 2:
        raise InputError(f"betas must be two numbers, got {shown(betas)[:100]}")
    for beta in betas:
        check_within(beta, "[0, 1)", what="betas")


def squared_modulus(values: Tensor) -> Tensor:
    """Return |x|^2, real; of real values in their own place."""
    return values.abs().square_() if values.is_complex() else values.square_()
