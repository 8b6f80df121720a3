"""Connect a fit to its checkpoint, its progress line and those who listen; from a command as from Python."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from finer_core.progress import Progress
from finer_core.training.history import LogEntry
from finer_core.training.loop import Fit
from finer_core.training.state import TrainState, blaming


def _ignore(*_: object) -> None:
    return None


@contextmanager
def connected(
    fit: Fit,
    *,
    name: str,
    figure: Callable[[float], str],
    state: TrainState | None,
    checkpoint: Path | None,
    quiet: bool,
    on_log: Callable[[LogEntry], None],
    on_step: Callable[[int, Tensor], None] = _ignore,
    on_notice: Callable[[str], None] = _ignore,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Set a fit's checkpoint and hooks for the length of a block, which runs it from `state`.

    Args:
        fit: The fit.
        name: What the progress line calls the work.
        figure: Makes the progress line's figure of a step's loss.
        state: Where the block runs the fit from; None for the beginning.
        checkpoint: File that the state goes to.
        quiet: Show no progress.
        on_log: Called with each log point.
        on_step: Called with each update's number and loss.
        on_notice: Called with what happened to the fit, in words, which the progress line shows too.
        should_stop: Asked before every step.

    Raises:
        InputError: If the state is of another fit.
    """
    progress = Progress(name, total=fit.steps, quiet=quiet, done=state.step if state else 0)
    begun = state is None

    def step_done(step: int, steps: int, loss: Tensor) -> None:
        nonlocal begun
        begun = True
        progress.total = steps
        progress.update(step, lambda: figure(float(loss)))
        on_step(step, loss)

    def noticed(text: str) -> None:
        progress.note(text)
        on_notice(text)

    fit.checkpoint, fit.should_stop = checkpoint, should_stop
    fit.on_step, fit.on_log, fit.on_notice = step_done, on_log, noticed
    try:
        with blaming(checkpoint or "the checkpoint", begun=lambda: begun or not fit.takes_state):
            yield
    finally:
        progress.close()
