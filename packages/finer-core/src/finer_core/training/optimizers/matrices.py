"""What the optimizers of matrices can update, and what they share: checks and arithmetic."""

from typing import Any

from torch import Tensor

from finer_core.errors import InputError
from finer_core.schema import check_within, shown
from finer_core.training.optimizers.eager import EagerOptimizer


class MatrixOptimizer(EagerOptimizer):
    """An `EagerOptimizer` of matrices alone. What it does is said by its groups, so that copies and states have it."""

    _takes_complex = False

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own.

        Raises:
            ValueError: For a parameter that is not a matrix of a kind taken.
            InputError: For a setting that cannot be used.
        """
        super().add_param_group(param_group)
        try:
            self._check_group(param_group)
        except ValueError:  # as an InputError is
            self.param_groups.pop()
            raise

    def _check_group(self, group: dict[str, Any]) -> None:
        kind = "matrices" if self._takes_complex else "real matrices"
        for parameter in group["params"]:
            if parameter.ndim != 2 or (parameter.is_complex() and not self._takes_complex):
                raise ValueError(
                    f"{type(self).__name__} updates {kind}, got {tuple(parameter.shape)} of "
                    f"{parameter.dtype}; give other parameters to Adam"
                )
        self._check_settings(group)

    def _check_settings(self, group: dict[str, Any]) -> None:
        """Raise InputError for a setting of a group that cannot be used."""
        raise NotImplementedError


def check_betas(betas: Any) -> None:
    """Raise InputError unless they are two decays of running means."""
    if not isinstance(betas, list | tuple) or len(betas) != 2:
        raise InputError(f"betas must be two numbers, got {shown(betas)[:100]}")
    for beta in betas:
        check_within(beta, "[0, 1)", what="betas")


def squared_modulus(values: Tensor) -> Tensor:
    """Return |x|^2, real; of real values in their own place."""
    return values.abs().square_() if values.is_complex() else values.square_()
