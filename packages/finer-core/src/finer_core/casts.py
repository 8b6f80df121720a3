"""The precision that layers compute in: what `double()` does to complex ones, and what `torch.autocast` may not do."""

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.errors import InputError

Module = TypeVar("Module", bound=nn.Module)


def check_complex_parts(dtype: torch.dtype) -> None:
    """Raise TypeError for a type that complex layers cannot have the parts of."""
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(f"a network that is complex inside computes in float32 or float64, not in {dtype}")


class PairwiseCasts(nn.Module):
    """Move complex parameters with the real ones, where PyTorch leaves them as they are, or takes their real part.

    A base class of layers, before the others.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Do to every parameter what PyTorch asks for."""

        def apply(tensor: Tensor) -> Tensor:
            if not tensor.is_complex():
                return fn(tensor)
            pairs = fn(torch.view_as_real(tensor))
            check_complex_parts(pairs.dtype)
            return torch.view_as_complex(pairs)

        return super()._apply(apply, recurse)


def autocasts(device: str) -> bool:
    """Return whether `torch.autocast` is on for a type of device."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


@contextmanager
def without_autocast() -> Iterator[None]:
    """Let nothing in a block, or in a function that this decorates, be cast by `torch.autocast`."""
    with ExitStack() as modes:
        for device in ("cpu", "cuda"):
            if autocasts(device):
                modes.enter_context(torch.autocast(device, enabled=False))
        yield


def keeps_precision(forward: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """Make a module's `forward` compute as it does without `torch.autocast`, in the type of its parameters.

    A phase omega z reaches tens of radians, of which bfloat16 keeps 8 bits: a network that was trained in float32 would
    give another signal under autocast. What is half precision because of it is brought back before it goes in.

    Args:
        forward: Method (module, input) that uses `module.weight`, `module.frequencies` or other floating-point tensors.

    Returns:
        The method; its result has the type that it has without autocast.
    """

    @functools.wraps(forward)
    def kept(module: Any, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"expected a tensor, got {type(x).__name__}; torch.as_tensor makes one of an array")
        device = x.device.type
        if not autocasts(device):
            return forward(module, x)
        with torch.autocast(device, enabled=False):
            return forward(module, x.to(_own_type(module)) if x.dtype in _HALVES else x)

    return with_own_code(kept)


def with_own_code(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a copy of a function that `torch.compile` counts by itself.

    PyTorch compiles a piece of code for eight kinds of modules, and then no more: classes that inherit one `forward`
    would use that up together.
    """
    assert isinstance(function, FunctionType)
    anew = FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    return functools.update_wrapper(anew, function)


def widened(x: Tensor) -> Tensor:
    """Return half-precision numbers in float32, and others as they are: what phases are computed from."""
    return x.float() if x.dtype in _HALVES else x


def as_array(x: Tensor) -> np.ndarray:
    """Return a tensor's numbers as an array; those of a type that NumPy has not, as bfloat16, in float32."""
    x = x.detach().cpu()
    return (x.float() if x.is_floating_point() and x.dtype not in _FLOATS_OF_NUMPY else x).numpy()


def in_own_type(module: Callable[..., Any], *inputs: Tensor, call: Callable[..., Any] | None = None) -> Any:
    """Return what a module of another type of numbers makes of coordinates, in their type.

    A module of half precision computes in single precision then, with its own weights: coordinates need the digits.

    Args:
        module: A module that computes in one type, or a function, which is called as it is.
        *inputs: Coordinates, all of one type; those of half precision are given as they are.
        call: Called with the module and the inputs; None calls the module.

    Returns:
        A tensor, or a tuple of tensors, as the module returns it.

    Raises:
        InputError: If the module is of half precision and cannot be copied.
    """
    given = inputs[0].dtype
    if not isinstance(module, nn.Module) or given in _HALVES or not given.is_floating_point:
        return _called(module, inputs, call)
    tensors = (*module.parameters(), *module.buffers())
    kinds = {each.real.dtype for each in tensors if each.is_floating_point() or each.is_complex()}
    if len(kinds) != 1 or given in kinds:
        return _called(module, inputs, call)  # of several types: one of the user's, which knows what it does
    own = kinds.pop()
    if own in _HALVES:
        module, own = in_single_precision(module), torch.float32
    found = _called(module, tuple(each.to(own) for each in inputs), call)
    return tuple(each.to(given) for each in found) if isinstance(found, tuple) else found.to(given)


def _called(module: Callable[..., Any], inputs: tuple[Tensor, ...], call: Callable[..., Any] | None) -> Any:
    return module(*inputs) if call is None else call(module, *inputs)


def in_single_precision(module: nn.Module) -> nn.Module:
    """Return a module of half precision anew, its tensors in float32: with a graph to the module's own.

    A copy, because several threads may call the module; itself, if it has none of half precision.

    Raises:
        InputError: If it cannot be copied.
    """
    halves = _halves_in(module)
    if not halves:
        return module
    memo = {id(each): widened(each) for each in (*module.parameters(), *module.buffers())}
    single = module
    reason: Exception | None = None
    try:
        single = copy.deepcopy(module, memo)
    except Exception as error:  # whatever the user's modules raise
        reason = error
    if _halves_in(single):  # also those of code that was scripted, which copies its tensors by itself
        kind = str(halves[0].dtype).removeprefix("torch.")
        raise InputError(
            f"the model computes in {kind}, which has too few digits for coordinates; call .float() on it first"
        ) from reason
    return single


def _halves_in(module: nn.Module) -> list[Tensor]:
    return [each for each in (*module.parameters(), *module.buffers()) if each.dtype in _HALVES]


def home_of(module: nn.Module) -> Tensor:
    """Return an empty tensor on a module's device and of the real type that it is given coordinates in.

    Raises:
        InputError: If that is the device meta, on which nothing is computed.
    """
    # Of a wavelet network in pairs of real numbers, as it is exported, the weights are buffers.
    for each in (*module.parameters(), *module.buffers()):
        if each.is_floating_point() or each.is_complex():
            if each.is_meta:
                raise InputError(f"{type(module).__name__} is on the device meta, without numbers; load it again")
            return widened(torch.empty(0, dtype=each.real.dtype, device=each.device))
    return torch.empty(0)


def without_halves(module: Module) -> Module:
    """Return a module, changed in place so that what is of half precision in it is of single precision."""
    return module.float() if _halves_in(module) else module


def refuse_masked(values: Any, *, what: str) -> None:
    """Raise InputError for masked numbers of NumPy's, in an array or in lists: a plain array has no mask."""
    if _has_masked(values):
        is_array = isinstance(values, np.ma.MaskedArray)
        found = f"{np.ma.count_masked(values)} of {values.size} numbers are masked" if is_array else "some are masked"
        raise InputError(f"{what}: {found}; leave their rows out, as in x[~numpy.ma.getmaskarray(x).any(axis=-1)].data")


def _has_masked(values: Any) -> bool:
    if isinstance(values, list | tuple):
        return any(map(_has_masked, values))
    return isinstance(values, np.ma.MaskedArray) and bool(np.ma.is_masked(values))


def check_real(x: Tensor, *, what: str) -> None:
    """Raise InputError for a tensor of complex numbers or of truth values; `what` names it in the message."""
    if x.dtype == torch.bool or x.is_complex():
        raise InputError(f"{what} must be real numbers, got dtype {x.dtype}")


def check_module(value: Any, *, what: str = "network", others: str = "") -> None:
    """Raise InputError for what is no module, such as its class or its state.

    Args:
        value: What a program gave.
        what: What it is, for the message.
        others: What may be given too, for the message, with " or " at its end.
    """
    if isinstance(value, nn.Module):
        return
    name = getattr(value, "__name__", "")
    made = f"the class {name}; make one, as by {name}(...)"
    got = made if isinstance(value, type) else f"one of type {type(value).__name__}"
    raise InputError(f"{what} must be {others}a torch module, got {got}")


def real_numbers(values: Any, *, what: str) -> np.ndarray:
    """Return what a program gave as an array of real numbers.

    Raises:
        InputError: If it is something else, or some of it is masked.
    """
    refuse_masked(values, what=what)
    try:
        table = as_array(values) if isinstance(values, Tensor) else np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # of several lengths, or of tensors on another device
        raise InputError(f"{what} cannot be read as an array ({error})") from None
    if table.dtype.kind not in "fiu":
        raise InputError(f"{what} must be real numbers, got dtype {table.dtype}")
    return for_tensors(table)


def for_tensors(table: np.ndarray) -> np.ndarray:
    """Return an array as tensors are made of it: forwards in memory, not read-only, of numbers that PyTorch has.

    Numbers of more than 64 bits, of which it has none, become double precision.
    """
    kind = np.dtype(np.float64) if table.dtype == np.longdouble else table.dtype.newbyteorder("=")
    found = np.asarray(table, dtype=kind, order="C")
    return found if found.flags.writeable else found.copy()


_FLOATS_OF_NUMPY = (torch.float16, torch.float32, torch.float64)
_HALVES = (torch.float16, torch.bfloat16)


def _own_type(module: nn.Module) -> torch.dtype:
    """Return the real type that a module computes in; PyTorch's default where it has no tensors."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_complex():
            return tensor.real.dtype
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()
