"""Fuse each activation's element-wise work into one compiled kernel forward and one backward.

PyTorch runs sin(omega (|z| + 1) z) as five passes over memory and its gradient as seven; `torch.compile` makes one of
each. On a CPU this needs a C++ compiler and takes some 20 seconds the first time, so it is off until asked for. A fit
whose network is one function (`finer_core.activations.maps`) may gain nothing by it; docs/speed.md has figures.
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from finer_core.activations.real import FinerFormula, RealFormula

_log = logging.getLogger(__name__)
_enabled = False


def fuse_activations(enabled: bool) -> bool:
    """Switch the fused kernels of the real activations on or off, for the whole process.

    Results agree with the unfused ones to rounding, not bit for bit. The complex wavelets are never fused: the compiler
    does not take complex numbers.

    Args:
        enabled: Whether to use them.

    Returns:
        Whether they are on now: False if asked for where nothing can be compiled (no C++ compiler), with a log line.
    """
    global _enabled
    _enabled = enabled and _can_compile()
    return _enabled


def fused_value(formula: Any) -> Callable[[Tensor], Tensor] | None:
    """Return the compiled value of a formula, or None where it is not fused."""
    return _compiled(formula)[0] if _enabled and isinstance(formula, RealFormula) else None


def fused_vjp(formula: Any, *, exact: bool) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return the compiled gradient of a formula, or None where it is not fused or a graph is being recorded."""
    if not _enabled or not isinstance(formula, RealFormula) or torch.is_grad_enabled():
        return None
    return _compiled(formula)[2 if exact else 1]


def fused_value_and_slope(formula: RealFormula, *, exact: bool) -> Callable[[Tensor], tuple[Tensor, Tensor]] | None:
    """Return the compiled value and slope of a formula, or None where it is not fused."""
    return _compiled(formula)[4 if exact else 3] if _enabled else None


@lru_cache(maxsize=64)
def _compiled(formula: Any) -> tuple[Callable[..., Any], ...]:
    def value(z: Tensor) -> Tensor:
        return formula.value(z)

    def held(z: Tensor, grad: Tensor) -> Tensor:
        return formula.vjp(z, grad, exact=False)

    def exact(z: Tensor, grad: Tensor) -> Tensor:
        return formula.vjp(z, grad, exact=True)

    def both_held(z: Tensor) -> tuple[Tensor, Tensor]:
        return formula.value_and_slope(z, exact=False)

    def both_exact(z: Tensor) -> tuple[Tensor, Tensor]:
        return formula.value_and_slope(z, exact=True)

    functions: tuple[Callable[..., Any], ...] = (value, held, exact, both_held, both_exact)
    return tuple(torch.compile(function, dynamic=True) for function in functions)


@lru_cache(maxsize=1)
def _can_compile() -> bool:
    """Compile one kernel, which is the only honest way to know."""
    z = torch.linspace(-1, 1, 96).reshape(32, 3)
    formula = FinerFormula(30.0)
    try:
        with torch.no_grad():
            fused = _compiled(formula)[0](z)
    except Exception as error:  # the compiler stack raises whatever it likes, from missing g++ to missing headers
        _log.warning("activations stay unfused: %s", str(error).strip().partition("\n")[0] or repr(error))
        return False
    return bool(torch.allclose(fused, formula.value(z), atol=1e-5))
