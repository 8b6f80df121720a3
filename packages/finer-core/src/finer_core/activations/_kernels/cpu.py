"""Activations in C: one pass over memory in place of six or more, on a CPU, in single precision.

Where it is allowed (`finer_core.c_library`), the machine's C compiler makes a formula's kernels when they are first
wanted, in a third of a second (a second for the wavelets), and the user's cache keeps them. Without them everything
goes on in PyTorch's operations.
"""

import ctypes
import logging
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from finer_core.activations import buffers as spare
from finer_core.activations._kernels.chunked import SMALLEST, is_plain
from finer_core.activations.formulas import (
    FinerFormula,
    GaussFormula,
    NormalizedGaussFinerFormula,
    OfFinerSine,
    RealFormula,
    RealWireFormula,
    SineFormula,
)
from finer_core.activations.wavelets import WireFinerFormula, WireFormula
from finer_core.c_library import CannotBuild, c_library, digest_of
from finer_core.parallel import parallel_map, worker_count

_log = logging.getLogger(__name__)


class _Parameters(ctypes.Structure):
    """What the formulas in C are made of.

    omega_0, omega_w and scale are the formulas' own. held: 1 holds the FINER factor constant in the slope, 2 does not.
    floor and gain: a bell b becomes gain (b - floor).
    """

    _fields_ = [(name, ctypes.c_float) for name in ("omega_0", "held", "omega_w", "scale", "floor", "gain")]


class _Kernels:
    """Call the functions of a library with tensors, large ones shared out to the cores."""

    _arguments: ClassVar[dict[str, int]]
    """The library's functions, and how many tensors each takes."""

    def __init__(self, library: ctypes.CDLL, parameters: dict[str, float]) -> None:
        self._functions = {name: self._function(library, name) for name in self._arguments}
        self._parameters = tuple(_Parameters(**{**parameters, "held": held}) for held in (1, 2))

    def _function(self, library: ctypes.CDLL, name: str) -> Callable[..., None]:
        function: Any = getattr(library, name)
        tensors = [ctypes.c_void_p] * self._arguments[name]
        function.argtypes = (_Parameters, ctypes.c_int64, ctypes.c_int, *tensors)
        function.restype = None
        return function

    def vjp(self, z: Tensor, grad: Tensor, *, exact: bool) -> Tensor:
        """Return the gradient with respect to `z`, of its type, given `grad` with respect to f(z)."""
        gradient = spare.empty_like(z)
        self._run("gradient", exact, z, grad, gradient)
        return gradient

    def _run(self, name: str, exact: bool, *tensors: Tensor) -> None:
        function, parameters = self._functions[name], self._parameters[exact]
        size, is_complex = tensors[0].numel(), tensors[0].is_complex()
        if size < SMALLEST or worker_count() == 1:
            function(parameters, size, is_complex, *(tensor.data_ptr() for tensor in tensors))
            return
        share = -(-size // worker_count())

        def work(start: int) -> None:
            pointers = (tensor.data_ptr() + tensor.element_size() * start for tensor in tensors)
            function(parameters, min(share, size - start), is_complex, *pointers)

        parallel_map(work, range(0, size, share))


class NativeKernels(_Kernels):
    """Give the value and the derivative of a real formula, by `real.c`."""

    _arguments: ClassVar = {"value": 2, "value_and_slope": 3, "gradient": 3}

    def serves(self, *tensors: Tensor) -> bool:
        """Return whether the kernels can be called with tensors: contiguous float32 numbers in the CPU's memory."""
        return all(tensor.dtype == torch.float32 for tensor in tensors) and is_plain(*tensors)

    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""
        value = spare.empty_like(z)
        self._run("value", False, z, value)
        return value

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


class NativeWavelets(_Kernels):
    """Give the value and the derivative of a complex formula, by `wavelets.c`."""

    _arguments: ClassVar = {"value": 2, "gradient": 3}

    def serves(self, z: Tensor, *others: Tensor) -> bool:
        """Return whether the kernels can be called with contiguous single-precision numbers, `others` complex."""
        if z.dtype not in (torch.float32, torch.complex64) or any(t.dtype != torch.complex64 for t in others):
            return False
        return is_plain(z, *others)

    def value(self, z: Tensor) -> Tensor:
        """Return f(z), complex."""
        value = spare.empty(*z.shape, dtype=torch.complex64, device=z.device)
        self._run("value", False, z, value)
        return value


class _Recipe(NamedTuple):
    """How a formula is computed: the file, the function in it, and its parameters."""

    kind: type[NativeKernels] | type[NativeWavelets]
    function: str
    parameters: dict[str, float]

    def kernels(self, library: ctypes.CDLL) -> NativeKernels | NativeWavelets:
        return self.kind(library, self.parameters)


def _recipe(formula: Any) -> _Recipe | None:
    def real(function: str, **parameters: float) -> _Recipe:
        return _Recipe(NativeKernels, function, parameters)

    match formula:
        case SineFormula(omega_0):
            return real("sine", omega_0=omega_0)
        case FinerFormula(omega_0):
            return real("finer", omega_0=omega_0)
        case GaussFormula(scale):
            return real("gauss", scale=scale)
        case RealWireFormula(omega_w, scale):
            return real("real_wire", omega_w=omega_w, scale=scale)
        case OfFinerSine(GaussFormula(scale), omega_0):
            return real("gauss_finer", omega_0=omega_0, scale=scale, gain=1)
        case NormalizedGaussFinerFormula(scale, omega_0):
            floor = math.exp(-(scale**2))
            return real("gauss_finer", omega_0=omega_0, scale=scale, floor=floor, gain=1 / (1 - floor))
        case OfFinerSine(RealWireFormula(omega_w, scale), omega_0):
            return real("real_wire_finer", omega_0=omega_0, omega_w=omega_w, scale=scale)
        case WireFormula(omega_0, scale):
            return _Recipe(NativeWavelets, "gabor", {"omega_w": omega_0, "scale": scale})
        case WireFinerFormula(omega_0, omega_w, scale, factor):
            function = "gabor_of_parts" if factor == "separate" else "gabor_of_modulus"
            return _Recipe(NativeWavelets, function, {"omega_0": omega_0, "omega_w": omega_w, "scale": scale})
    return None


@lru_cache(maxsize=256)
def native_kernels(formula: Any) -> NativeKernels | NativeWavelets | None:
    """Return the kernels of a formula, or None where there are none, with a log line if they cannot be built.

    Args:
        formula: One of `finer_core.activations.formulas` or `finer_core.activations.wavelets`.
    """
    recipe = _recipe(formula)
    library = _library(recipe.function) if recipe else None
    return recipe.kernels(library) if recipe and library else None


def kernel_of(formula: Any) -> tuple[str, str] | None:
    """Return which compiled function computes a formula, and the digest of its library; None where none does."""
    recipe = _recipe(formula)
    library = _library(recipe.function) if recipe else None
    return (recipe.function, digest_of(library)) if recipe and library else None


_EXAMPLES: dict[str, Any] = {
    "sine": SineFormula(3.0),
    "finer": FinerFormula(3.0),
    "gauss": GaussFormula(2.0),
    "real_wire": RealWireFormula(3.0, 1.5),
    "gauss_finer": NormalizedGaussFinerFormula(1.5, 2.0),
    "real_wire_finer": OfFinerSine(RealWireFormula(3.0, 1.5), 2.0),
    "gabor": WireFormula(3.0, 1.5),
    "gabor_of_parts": WireFinerFormula(2.0, 3.0, 1.5, "separate"),
    "gabor_of_modulus": WireFinerFormula(2.0, 3.0, 1.5, "modulus"),
}
"""A formula of each function, to judge by what a compiler made of it."""


@lru_cache(maxsize=16)
def _library(function: str) -> ctypes.CDLL | None:
    """Return the kernels of one of the functions, where they can be built and compute it."""
    example = _EXAMPLES[function]
    recipe = _recipe(example)
    assert recipe is not None
    file = "real.c" if recipe.kind is NativeKernels else "wavelets.c"
    try:
        library = c_library(Path(__file__).with_name(file), defines={"FUNCTION": function})
    except CannotBuild as error:
        _log.info("activations stay unfused: %s", error)
        return None
    if not _agree(recipe.kernels(library), example):
        _log.warning("activations stay unfused: the C compiler made something else of %s", function)
        return None
    return library


def forget_kernels() -> None:
    """Look again for kernels that were not to be had, when they are next wanted."""
    native_kernels.cache_clear()
    _library.cache_clear()


@torch.no_grad()
def _agree(kernels: NativeKernels | NativeWavelets, formula: Any) -> bool:
    """Compare with the formula in double precision, which is the only honest way to know what a compiler made."""
    is_real = isinstance(formula, RealFormula)
    # Of the kernels' own kind, whatever PyTorch's default device and type are.
    z, grad = (torch.linspace(*ends, 97, dtype=torch.float32, device="cpu") for ends in ((-1, 1), (1, -2)))
    if not is_real:
        z, grad = torch.complex(z, z.flip(0) / 2), torch.complex(grad, grad.square())
    double = torch.float64 if is_real else torch.complex128
    pairs = [(kernels.value(z), formula.value(z.to(double)))]
    for exact in (False, True):
        pairs.append((kernels.vjp(z, grad, exact=exact), formula.vjp(z.to(double), grad.to(double), exact=exact)))
        if isinstance(kernels, NativeKernels):
            both = kernels.value_and_slope(z, exact=exact), formula.value_and_slope(z.to(double), exact=exact)
            pairs.extend(zip(*both, strict=True))
    return all(torch.allclose(ours.to(double), wanted, rtol=1e-5, atol=1e-5) for ours, wanted in pairs)
