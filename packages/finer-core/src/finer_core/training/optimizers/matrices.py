"""What the optimisers of matrices can update."""

from torch.optim import Optimizer


def check_matrices(optimizer: Optimizer) -> None:
    """Raise ValueError for a parameter of the optimiser that is not a real matrix."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.ndim != 2 or parameter.is_complex():
                raise ValueError(
                    f"{type(optimizer).__name__} updates real matrices, got {tuple(parameter.shape)} of "
                    f"{parameter.dtype}; give other parameters to Adam"
                )
