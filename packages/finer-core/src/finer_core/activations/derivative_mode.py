"""Which derivative the FINER factor (|z| + 1) gets, and whether second derivatives will be asked for.

FINER (CVPR 2024) holds the factor constant while back-propagating. That is the published *training rule*,
but it is not the derivative of the function, so anything that differentiates with respect to the coordinates
(normals, eikonal terms, Laplacians, exact kernels) must switch it off with `exact_derivatives`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch.autograd import forward_ad

_blocks = 0
"""`exact_derivatives` blocks that are open, in all threads."""
_lock = threading.Lock()
_some_are_open = False
"""Whether there are any, which is all that `torch.compile` watches where there are none."""
_EXACT: ContextVar[bool] = ContextVar("finer_exact_derivatives", default=False)
_FIRST: ContextVar[bool] = ContextVar("finer_first_derivatives_only", default=False)


class _Asked:
    """What this context asks for: `torch.compile` cannot call a context variable, but reads and watches an attribute.

    A function in C may be the getter of an attribute, and `torch.compile` then asks for the value at every call.
    """

    exact = property(_EXACT.get)
    """True inside an `exact_derivatives` block; elsewhere this object, which the variable takes for a default."""


_asked = _Asked()


@contextmanager
def exact_derivatives() -> Iterator[None]:
    """Make every activation evaluated inside the block carry its exact derivative.

    The choice is made when an activation runs *forward*; a graph built inside the block stays exact when it is
    differentiated later, and to every order. `finer_core.differential` uses this block, so its users need not.

    Example:
        >>> import torch
        >>> from finer_core.activations import exact_derivatives, finer
        >>> z = torch.tensor(0.5, requires_grad=True)
        >>> with exact_derivatives():
        ...     (slope,) = torch.autograd.grad(finer(z, omega_0=1.0), z)
        >>> bool(torch.isclose(slope, 2.0 * torch.cos(torch.tensor(0.75))))
        True
    """
    _count_blocks(+1)
    token = _EXACT.set(True)
    try:
        yield
    finally:
        _EXACT.reset(token)
        _count_blocks(-1)


def derivatives_are_exact() -> bool:
    """Return whether the caller is inside an `exact_derivatives` block.

    Example:
        >>> from finer_core.activations import derivatives_are_exact, exact_derivatives
        >>> with exact_derivatives():
        ...     derivatives_are_exact()
        True
        >>> derivatives_are_exact()
        False
    """
    return _some_are_open and _asked.exact is True


def _count_blocks(more: int) -> None:
    global _blocks, _some_are_open
    with _lock:
        _blocks += more
        _some_are_open = _blocks > 0


@contextmanager
def first_order_only() -> Iterator[None]:
    """Promise that what is evaluated inside the block is differentiated once, never twice.

    A real activation then keeps its slope for the backward pass in place of its pre-activation: as much memory, and the
    sine's phase is computed once instead of twice. A network, or a layer with its activation, is one function; hooks of
    layers and activations keep it from that. A second derivative, or a second pass over the same graph, raises
    RuntimeError, unless the value was computed inside `exact_derivatives`, which this does not touch.

    Example:
        >>> import torch
        >>> from finer_core.activations import finer, first_order_only
        >>> z = torch.tensor(0.0, requires_grad=True)
        >>> with first_order_only():
        ...     value = finer(z, omega_0=3.0)
        >>> value.backward()
        >>> z.grad
        tensor(3.)
    """
    token = _FIRST.set(True)
    try:
        yield
    finally:
        _FIRST.reset(token)


@contextmanager
def outside_derivative_blocks() -> Iterator[None]:
    """Let a block compute as outside of the caller's `exact_derivatives` and `first_order_only`."""
    exact, first = _EXACT.set(False), _FIRST.set(False)
    try:
        yield
    finally:
        _FIRST.reset(first)
        _EXACT.reset(exact)


def is_first_order_only() -> bool:
    """Return whether the caller is inside a `first_order_only` block, and in no `exact_derivatives` block."""
    return _FIRST.get() and not _EXACT.get()


def operations_are_recorded() -> bool:
    """Return whether operations are recorded here, for a backward pass or as forward derivatives, of any order.

    Where they are not, buffers may be used again: forward derivatives do not survive it, and the second one is 0.
    """
    return torch.is_grad_enabled() or forward_ad._current_level >= 0


def refuse_second_derivative() -> None:
    """Raise RuntimeError in a backward pass that records a graph, of what was promised to be differentiated once."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "a second derivative was asked for of an activation evaluated under first_order_only; "
            "use finer_core.differential for the derivatives in a loss"
        )
