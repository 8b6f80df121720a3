"""Real activations in C (`kernels.c`): one pass over memory in place of six, on a CPU, in float32.

The machine's C compiler makes a formula's kernels when they are first wanted, in a third of a second, and the user's
cache keeps them. Without a compiler everything goes on in PyTorch's operations.
"""

import ctypes
import logging
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from finer_core.activations import spare
from finer_core.activations.blocks import SMALLEST, is_plain
from finer_core.activations.real import (
    FinerFormula,
    GaussFormula,
    NormalisedGaussFinerFormula,
    OfFinerSine,
    RealFormula,
    RealWireFormula,
    SineFormula,
)
from finer_core.c_library import CannotBuild, c_library
from finer_core.threads import in_threads, worker_count

_log = logging.getLogger(__name__)


class _Parameters(ctypes.Structure):
    """What the formulas of `kernels.c` are made of.

    omega_0, omega_w and scale are the formulas' own. held: 1 holds the FINER factor constant in the slope, 2 does not.
    floor and gain: a bell b becomes gain (b - floor).
    """

    _fields_ = [(name, ctypes.c_float) for name in ("omega_0", "held", "omega_w", "scale", "floor", "gain")]


class NativeKernels:
    """Give the value and the derivative of a formula at contiguous float32 tensors on the CPU.

    Args:
        library: `kernels.c`, built for the formula's function.
        parameters: Its parameters by name.
    """

    def __init__(self, library: ctypes.CDLL, parameters: dict[str, float]) -> None:
        self._functions = {name: _function(library, name, of) for name, of in _TENSORS.items()}
        self._parameters = tuple(_Parameters(**{**parameters, "held": held}) for held in (1, 2))

    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""
        value = spare.empty_like(z)
        self._run("value", False, z, value)
        return value

    def vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        """Return grad * df/dz."""
        gradient = spare.empty_like(z)
        self._run("gradient", exact, z, grad, gradient)
        return gradient

    def value_and_slope(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z) and df/dz."""
        value, slope = spare.empty_like(z), spare.empty_like(z)
        self._run("value_and_slope", exact, z, value, slope)
        return value, slope

    def value_and_slope_(self, z: Tensor, *, exact: bool) -> tuple[Tensor, Tensor]:
        """Return f(z), and df/dz in the memory of z."""
        value = spare.empty_like(z)
        self._run("value_and_slope", exact, z, value, z)
        return value, z

    def _run(self, name: str, exact: bool, *tensors: Tensor) -> None:
        function, parameters = self._functions[name], self._parameters[exact]
        size, pointers = tensors[0].numel(), [tensor.data_ptr() for tensor in tensors]
        if size < SMALLEST or worker_count() == 1:
            function(parameters, size, *pointers)
            return
        share = -(-size // worker_count())

        def work(start: int) -> None:
            function(parameters, min(share, size - start), *(pointer + 4 * start for pointer in pointers))

        in_threads(work, range(0, size, share))


def serves(*tensors: Tensor) -> bool:
    """Return whether kernels can be called with tensors: theirs are contiguous numbers in the CPU's memory."""
    return all(tensor.dtype == torch.float32 for tensor in tensors) and is_plain(*tensors)


@lru_cache(maxsize=256)
def native_kernels(formula: RealFormula) -> NativeKernels | None:
    """Return the kernels of a formula, or None where there are none, with a log line if they cannot be built.

    Args:
        formula: One of `finer_core.activations.real`.
    """
    name, parameters = _function_and_parameters(formula)
    library = _library(name) if name else None
    return NativeKernels(library, parameters) if library else None


@lru_cache(maxsize=16)
def _library(function: str) -> ctypes.CDLL | None:
    """Return the kernels of one of the functions, where they can be built and compute it."""
    try:
        library = c_library(Path(__file__).with_name("kernels.c"), defines={"FUNCTION": function})
    except CannotBuild as error:
        _log.info("activations stay unfused: %s", error)
        return None
    example = _EXAMPLES[function]
    if not _agree(NativeKernels(library, _function_and_parameters(example)[1]), example):
        _log.warning("activations stay unfused: the C compiler made something else of %s", function)
        return None
    return library


_TENSORS = {"value": 2, "value_and_slope": 3, "gradient": 3}
"""The kernels, and how many tensors each is called with."""


def _function(library: ctypes.CDLL, name: str, tensors: int) -> Callable[..., None]:
    function: Any = getattr(library, name)
    function.argtypes = (_Parameters, ctypes.c_int64, *[ctypes.c_void_p] * tensors)
    function.restype = None
    return function


def _function_and_parameters(formula: RealFormula) -> tuple[str, dict[str, float]]:
    """Return a formula's function in `kernels.c`, or nothing, and its parameters."""
    match formula:
        case SineFormula(omega_0):
            return "sine", {"omega_0": omega_0}
        case FinerFormula(omega_0):
            return "finer", {"omega_0": omega_0}
        case GaussFormula(scale):
            return "gauss", {"scale": scale}
        case RealWireFormula(omega_w, scale):
            return "real_wire", {"omega_w": omega_w, "scale": scale}
        case OfFinerSine(GaussFormula(scale), omega_0):
            return "gauss_finer", {"omega_0": omega_0, "scale": scale, "gain": 1}
        case NormalisedGaussFinerFormula(scale, omega_0):
            floor = math.exp(-(scale**2))
            return "gauss_finer", {"omega_0": omega_0, "scale": scale, "floor": floor, "gain": 1 / (1 - floor)}
        case OfFinerSine(RealWireFormula(omega_w, scale), omega_0):
            return "real_wire_finer", {"omega_0": omega_0, "omega_w": omega_w, "scale": scale}
    return "", {}


_EXAMPLES: dict[str, RealFormula] = {
    "sine": SineFormula(3.0),
    "finer": FinerFormula(3.0),
    "gauss": GaussFormula(2.0),
    "real_wire": RealWireFormula(3.0, 1.5),
    "gauss_finer": NormalisedGaussFinerFormula(1.5, 2.0),
    "real_wire_finer": OfFinerSine(RealWireFormula(3.0, 1.5), 2.0),
}


def _agree(kernels: NativeKernels, formula: RealFormula) -> bool:
    """Compare with the formula in double precision, which is the only honest way to know what a compiler made."""
    z = torch.linspace(-1, 1, 97)
    with torch.no_grad():
        for exact in (False, True):
            ours = kernels.value_and_slope(z, exact=exact)
            wanted = formula.value_and_slope(z.double(), exact=exact)
            if not all(torch.allclose(a.double(), b, rtol=1e-5, atol=1e-5) for a, b in zip(ours, wanted, strict=True)):
                return False
    return True
