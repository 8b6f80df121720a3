"""Which kernels compute an activation in one pass over memory, forward and backward, in place of PyTorch's six.

On a CPU they are C (`cpu`), once the user let a compiler build them; on an NVIDIA GPU they
are Triton's for the sine family (`triton_sine`), where that is installed. Others on other
devices are `torch.compile`'s, which take some 20 seconds the first time and so are off until asked for.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol, overload

import torch
from torch import Tensor

from finer_core.activations._kernels.cpu import forget_kernels, native_kernels
from finer_core.activations.formulas import FinerFormula, RealFormula
from finer_core.c_library import allow_building, building_is_allowed
from finer_core.schema import check_flag

_log = logging.getLogger(__name__)
_choice: bool | None = None


class Kernels(Protocol):
    """The value and the derivative of a formula, where no graph is recorded."""

    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""
        ...

    def vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        """Return the gradient with respect to `z`, given `grad` with respect to f(z)."""
        ...


class RealKernels(Kernels, Protocol):
    """Those of a real formula, which has a slope."""

    def value_and_slope(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz."""
        ...

    def value_and_slope_(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz, and use up z."""
        ...


def fuse_activations(choice: bool | None) -> None:
    """Choose the kernels of the activations, for the whole process.

    Results of different kernels agree to rounding, not bit for bit. PyTorch does not compile the complex wavelets.

    Args:
        choice: True for fused ones wherever something can be compiled, by the machine's C compiler too; False for
            PyTorch's operations; None, which is how it begins, for those that are there at once, on a CPU or an NVIDIA
            GPU: on a CPU, where they were built before or FINER_KERNELS=build allows it.

    Raises:
        InputError: If it is something else.

    Example:
        >>> from finer_core.activations import fuse_activations
        >>> fuse_activations(False)  # PyTorch's operations
        >>> fuse_activations(None)  # as it begins
    """
    global _choice
    if choice is not None:
        check_flag(choice, what="choice")
    if choice:
        allow_building()
        forget_kernels()
    _choice = None if choice is None else bool(choice)


def fusion_choice() -> bool | None:
    """Return what `fuse_activations` was last given here, for processes that are to compute the same bits."""
    return _choice


@contextmanager
def fusion_kept() -> Iterator[None]:
    """Let a block choose kernels for itself: at its end the choice is what it was, and so is whether to build some.

    Example:
        >>> from finer_core.activations import fuse_activations, fusion_kept
        >>> with fusion_kept():
        ...     fuse_activations(False)
    """
    before, allowed = _choice, building_is_allowed()
    try:
        yield
    finally:
        fuse_activations(before)
        allow_building(allowed)


@overload
def kernels_for(formula: RealFormula | None, *tensors: Tensor) -> RealKernels | None: ...
@overload
def kernels_for(formula: Any, *tensors: Tensor) -> Kernels | None: ...
def kernels_for(formula: Any, *tensors: Tensor) -> Kernels | None:
    """Return the fused kernels of a formula for some tensors; None for PyTorch's operations.

    Args:
        formula: A formula; None has no kernels.
        *tensors: Its argument, and whatever else its kernel is called with.
    """
    if _choice is False or formula is None or torch.compiler.is_compiling():
        return None
    if _is_cpu(tensors[0].device):
        # Not even built under a dispatch mode, whose tensors may have no memory to judge the kernels by.
        kernels = None if torch._C._len_torch_dispatch_stack() else native_kernels(formula)
        return kernels if kernels and kernels.serves(*tensors) else None
    if not isinstance(formula, RealFormula):
        return None
    if compiles_on(tensors[0].device):
        return _compiled(formula)
    written = _triton_kernels(formula) if tensors[0].is_cuda and type(tensors[0]) in _PLAIN else None
    return written if written and written.serves(*tensors) else None


_PLAIN = (Tensor, torch.nn.Parameter)


def _triton_kernels(formula: RealFormula) -> Any:
    """Return a formula's Triton kernels; None where it has none, or Triton does not work."""
    module = _triton_module()
    return module and module.triton_kernels(formula)


@lru_cache(maxsize=1)
def _triton_module() -> Any:
    """Return the module of the kernels if one of them gives what it should."""
    try:
        from finer_core.activations._kernels import triton_sine

        z = torch.linspace(-1, 1, 96, dtype=torch.float32, device="cuda")  # all that the kernels serve
        kernels = triton_sine.triton_kernels(_EXAMPLE)
        right = kernels is not None and torch.allclose(kernels.value(z), _EXAMPLE.value(z), atol=1e-5)
    except ImportError:
        return None
    except Exception as error:  # as for `torch.compile`, whose kernels come from the same stack
        _log.warning("Triton is not used: %s", str(error).strip().partition("\n")[0] or repr(error))
        return None
    return triton_sine if right else None


def compiles_on(device: torch.device) -> bool:
    """Return whether `torch.compile` was asked for, and works, on a device other than the CPU."""
    return bool(_choice) and not _is_cpu(device) and _can_compile(device.type)


_EXAMPLE = FinerFormula(30.0)


def _is_cpu(device: torch.device) -> bool:
    return device.type == "cpu"


class _Compiled:
    """Kernels by `torch.compile`."""

    def __init__(self, formula: RealFormula) -> None:
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

        self.value: Callable[[Tensor], Tensor] = torch.compile(value, dynamic=True)
        self._vjp = [torch.compile(function, dynamic=True) for function in (held, exact)]
        self._both = [torch.compile(function, dynamic=True) for function in (both_held, both_exact)]

    def vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        return self._vjp[exact](z, grad)

    def value_and_slope(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        return self._both[exact](z)

    value_and_slope_ = value_and_slope


@lru_cache(maxsize=64)
def _compiled(formula: RealFormula) -> _Compiled:
    return _Compiled(formula)


@lru_cache(maxsize=4)
def _can_compile(device: str) -> bool:
    """Compile one kernel, which is the only honest way to know."""
    z = torch.linspace(-1, 1, 96, device=device).reshape(32, 3)
    try:
        with torch.no_grad():
            return bool(torch.allclose(_compiled(_EXAMPLE).value(z), _EXAMPLE.value(z), atol=1e-5))
    except Exception as error:  # the compiler stack raises whatever it likes, from missing g++ to missing headers
        _log.warning("nothing is compiled: %s", str(error).strip().partition("\n")[0] or repr(error))
        return False
