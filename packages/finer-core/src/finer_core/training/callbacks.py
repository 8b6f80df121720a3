"""What looks on at a fit that was started from Python, and may stop it."""

from collections.abc import Callable, Sequence
from inspect import getattr_static, isfunction
from typing import Any

from torch import Tensor

from finer_core.training.history import LogEntry

HOOKS = ("on_start", "on_step", "on_log", "on_end", "should_stop")


class Callback:
    """Look on at a fit: a base class whose methods do nothing, to be overridden as needed.

    Any object with some of these methods does as well. They must change nothing that the fit computes with.

    Example:
        >>> from finer_core.training import Callback, LogEntry
        >>> class StopAt(Callback):
        ...     def __init__(self, psnr):
        ...         self.psnr, self.is_reached = psnr, False
        ...
        ...     def on_log(self, entry):
        ...         self.is_reached = entry.metrics["psnr"] >= self.psnr
        ...
        ...     def should_stop(self):
        ...         return self.is_reached
        >>> callback = StopAt(30.0)
        >>> callback.on_log(
        ...     LogEntry(step=10, loss=1e-4, learning_rate=1e-3, seconds=2.0, rollbacks=0, metrics={"psnr": 40.0})
        ... )
        >>> callback.should_stop()
        True
    """

    def on_start(self, step: int, steps: int) -> None:
        """Begin; `step` updates of `steps` are done already, by the fit that this one goes on with."""

    def on_step(self, step: int, loss: Tensor) -> None:
        """Take the loss of an update, the `step`-th; a scalar that the next update may overwrite.

        Turning it into a number makes a GPU wait.
        """

    def on_log(self, entry: LogEntry) -> None:
        """Take the entry of a log interval."""

    def on_end(self) -> None:
        """End, however the fit ended, once it has begun."""

    def should_stop(self) -> bool:
        """Return whether the fit should stop before its next update; it then ends with its best state so far."""
        return False


def hooks_of(callbacks: Sequence[Any], name: str) -> list[Callable[..., Any]]:
    """Return one method of all callbacks that have it, in their order.

    Args:
        callbacks: `Callback`s, or objects with some of its methods.
        name: One of `HOOKS`.

    Raises:
        TypeError: If it is no list, or an object is a class with methods of its objects, or has none of the methods.
    """
    if not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks must be a list, got {callbacks!r}")
    for callback in callbacks:
        if isinstance(callback, type) and any(isfunction(getattr_static(callback, hook, None)) for hook in HOOKS):
            made = callback.__name__
            raise TypeError(f"callback {made} is a class; give one of it, as {made}(...)")
        if not any(callable(getattr(callback, hook, None)) for hook in HOOKS):
            raise TypeError(f"callback {callback!r} has none of the methods {', '.join(HOOKS)}")
    return [method for callback in callbacks if callable(method := getattr(callback, name, None))]
