"""The empirical kernel: as a matrix (`empirical`), as an operator (`operator`), by three paths that agree."""

from finer_ntk.kernel.empirical import empirical_ntk
from finer_ntk.kernel.jacobian import product
from finer_ntk.kernel.operator import KernelOperator, kernel_operator
from finer_ntk.kernel.row_function import RULES, RowFunction, Rule, as_row_function, as_rule

__all__ = [
    "RULES",
    "KernelOperator",
    "RowFunction",
    "Rule",
    "as_row_function",
    "as_rule",
    "empirical_ntk",
    "kernel_operator",
    "product",
]
