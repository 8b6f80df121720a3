"""The empirical kernel: as a matrix (`empirical`), as an operator (`operator`), by three paths that agree."""

from finer_ntk.kernel.empirical import empirical_ntk
from finer_ntk.kernel.functional_model import (
    Derivative,
    RowFunction,
    as_coords,
    as_derivative,
    as_row_function,
)
from finer_ntk.kernel.jacobian import product
from finer_ntk.kernel.operator import NtkOperator, ntk_operator

__all__ = [
    "Derivative",
    "NtkOperator",
    "RowFunction",
    "as_coords",
    "as_derivative",
    "as_row_function",
    "empirical_ntk",
    "ntk_operator",
    "product",
]
