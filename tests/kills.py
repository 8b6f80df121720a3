"""Runs that are stopped at a step of choice in this process: what a kill leaves behind, without a process for it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from finer_core.training.metric_logger import JsonlLogger


class Killed(BaseException):
    """Nothing that runs may catch it, as nothing catches SIGKILL."""


@contextmanager
def killed_once_logged(step: int) -> Iterator[None]:
    """Stop what a block runs as soon as it has logged a step: its checkpoint then still is that of an earlier one."""

    def die() -> None:
        raise Killed

    with pytest.raises(Killed), once_logged(step, die):
        yield


@contextmanager
def signalled_once_logged(step: int, number: int) -> Iterator[None]:
    """Send this process a signal as soon as what a block runs has logged a step."""
    with once_logged(step, lambda: os.kill(os.getpid(), number)):
        yield


@contextmanager
def once_logged(step: int, act: Callable[[], None]) -> Iterator[None]:
    """Call a function in a block right after the log line of a step is written, before its checkpoint is."""
    log: Callable[..., None] = JsonlLogger.log

    def log_and_act(self: JsonlLogger, at: int, metrics: Any) -> None:
        log(self, at, metrics)
        if at == step:
            act()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JsonlLogger, "log", log_and_act)
        yield
