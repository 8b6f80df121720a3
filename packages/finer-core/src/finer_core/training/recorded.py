"""Run a fit from Python: no folder, a history in place of log files, and Ctrl-C ends it with its best state."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from finer_core.distributed.interruption import interruptible
from finer_core.errors import InputError, Interrupted, shortened
from finer_core.io.files import check_output_path, given_path
from finer_core.progress import ProgressOption, checked_progress
from finer_core.schema import check_flag
from finer_core.training.callbacks import hooks_of
from finer_core.training.checkpoint import read_state
from finer_core.training.circumstances import CIRCUMSTANCES, circumstances_of, other_circumstances
from finer_core.training.connection import connected
from finer_core.training.history import LogEntry, TrainingHistory
from finer_core.training.loop import Fit
from finer_core.training.state import TrainState

logger = logging.getLogger(__name__)


def saved_state(checkpoint: str | os.PathLike[str] | None, *, resume: bool) -> TrainState | None:
    """Return the state that a fit goes on from, None for the beginning.

    Args:
        checkpoint: The file, or None.
        resume: Go on from the file, if there is one yet.

    Raises:
        InputError: If `resume` is neither true nor false, there is nothing named to resume from, the file is no
            checkpoint, or it exists and would be lost.

    Example:
        >>> from finer_core.training import saved_state
        >>> saved_state(None, resume=False) is None
        True
    """
    check_flag(resume, what="resume")
    if checkpoint is None:
        if resume:
            raise InputError("resume=True needs checkpoint=, the file to go on from")
        return None
    path = given_path(checkpoint)
    exists = os.path.exists(path)  # pathlib raises for a name that is too long
    if exists and not resume:
        raise InputError(f"{path}: already exists; go on from it by resume=True, remove it, or name another checkpoint")
    if exists:
        return read_state(path)
    check_output_path(path)
    return None


def run_recorded(
    fit: Fit,
    *,
    name: str,
    metrics_of: Callable[[float], Mapping[str, float]],
    figure: Callable[[float], str],
    state: TrainState | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    callbacks: Sequence[Any] = (),
    progress: ProgressOption = False,
) -> TrainingHistory:
    """Run a fit to its end, or until it is asked to stop; its network is then the best so far.

    Args:
        fit: The fit; its hooks are set here.
        name: What the progress line calls the work.
        metrics_of: Makes an entry's metrics of its loss.
        figure: Makes the progress line's figure of a step's loss.
        state: Where it goes on from, from `saved_state`. Other threads, kernels or PyTorch than it was begun with are
            logged as a warning.
        checkpoint: File that the state goes to.
        callbacks: `Callback`s, or objects with some of its methods.
        progress: False, True for a bar on stderr, or a function of (step, steps, metrics) for each entry.

    Returns:
        The entries of this call.

    Raises:
        DivergenceError: If the fit diverged for good.
        InputError: If the state is of another fit.
        TypeError: If a callback has none of the methods.

    Example:
        >>> import torch
        >>> from finer_core.training import Fit, StatelessObjective, build_optimizers, exponential_decay, run_recorded
        >>> class Nearer(StatelessObjective):
        ...     def backward(self, network, step):
        ...         loss = network(torch.ones(4, 2)).square().mean()
        ...         loss.backward()
        ...         return loss.detach()
        >>> network = torch.nn.Linear(2, 1)
        >>> optimizers = build_optimizers(network, learning_rate=1e-2)
        >>> rest = {"schedule": exponential_decay(), "steps": 20, "log_every": 10}
        >>> fit = Fit(network=network, objective=Nearer(), optimizers=optimizers, **rest)
        >>> history = run_recorded(fit, name="fit", metrics_of=lambda loss: {"root": loss**0.5}, figure=str)
        >>> history["step"].tolist(), sorted(history[-1].metrics)
        ([10, 20], ['root'])
    """
    progress = checked_progress(progress)
    hooks = {hook: hooks_of(callbacks, hook) for hook in ("on_step", "on_log", "should_stop")}
    history = TrainingHistory()

    def on_step(step: int, loss: Tensor) -> None:
        for hook in hooks["on_step"]:
            hook(step, loss)

    def on_log(plain: LogEntry) -> None:
        entry = replace(plain, metrics=dict(metrics_of(plain.loss)))
        history.append(entry)
        for hook in hooks["on_log"]:
            hook(entry)
        if callable(progress):
            progress(entry.step, entry.steps, {"loss": entry.loss, **entry.metrics})

    with ExitStack() as ends:
        for callback in callbacks:  # who has not begun does not end
            for hook in hooks_of([callback], "on_start"):
                hook(state.step if state else 0, fit.steps)
            for hook in hooks_of([callback], "on_end"):
                ends.callback(hook)
        asked = ends.enter_context(_ctrl_c())
        if checkpoint is not None:
            circumstances = circumstances_of(fit.network)
            about = (state.loop if state else {}).get("about")
            before = about.get(CIRCUMSTANCES) if isinstance(about, Mapping) else None
            for line in other_circumstances(before, circumstances):
                logger.warning("%s", shortened(f"{os.fspath(checkpoint)}: {line}"))
            began = before if isinstance(before, Mapping) else circumstances
            fit.about = {**fit.about, CIRCUMSTANCES: began}
        connection = connected(
            fit,
            name=name,
            figure=figure,
            state=state,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            quiet=progress is not True,
            on_log=on_log,
            on_step=on_step,
            on_notice=lambda text: logger.info("%s: %s", name, text),
            # All are asked each time: one may count how often.
            should_stop=lambda: any([asked(), *(hook() for hook in hooks["should_stop"])]),
        )
        try:
            with connection:
                history.ended_early = fit.run(state).ended_early
        except (Interrupted, KeyboardInterrupt) as stop:
            if asked() and isinstance(stop, KeyboardInterrupt):  # the second one
                raise
            history.interrupted = True
            logger.info("%s: stopped; the best state so far is of step %d", name, fit.keep_best())
        if history.ended_early:
            why = "the loss diverged again and again; it has its best state; lower the learning rate"
            logger.warning("%s: ended before its last step, because %s", name, why)
    return history


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C was pressed; a second one interrupts at once.

    A program that handles it in its own way keeps that.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    with interruptible(signals=(signal.SIGINT,)) as asked:
        yield asked
