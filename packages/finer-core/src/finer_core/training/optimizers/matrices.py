"""What the optimisers of matrices can update, and what they share."""

from torch import Tensor
from torch.optim import Optimizer


def check_matrices(optimizer: Optimizer, *, complex_too: bool = False) -> None:
    """Raise ValueError for a parameter of the optimiser that is not a matrix, or complex where only real ones are."""
    kind = "matrices" if complex_too else "real matrices"
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.ndim != 2 or (parameter.is_complex() and not complex_too):
                raise ValueError(
                    f"{type(optimizer).__name__} updates {kind}, got {tuple(parameter.shape)} of "
                    f"{parameter.dtype}; give other parameters to Adam"
                )


def squared_modulus(values: Tensor) -> Tensor:
    """Return |x|^2, real; of real values in their own place."""
    return values.abs().square_() if values.is_complex() else values.square_()
