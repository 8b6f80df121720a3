"""Run a fit inside a run folder: checkpoint, log files, progress, and going on from where it stopped."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from finer_core.app.run_folder import Habits, RunFolder
from finer_core.distributed.team import Team
from finer_core.training.checkpoint import read_state
from finer_core.training.connection import connected
from finer_core.training.history import LogEntry
from finer_core.training.loop import Fit
from finer_core.training.metric_logger import JsonlLogger, MetricLogger, TensorBoardLogger
from finer_core.training.state import TrainState, blaming
from finer_core.training.timed_length import TimedLength


def run_session(
    fit: Fit,
    run: RunFolder,
    *,
    name: str,
    metrics_of: Callable[[float], Mapping[str, float]] = lambda loss: {},
    figure: Callable[[float], str],
    habits: Habits,
    should_stop: Callable[[], bool] = lambda: False,
) -> LogEntry:
    """Run a fit to its end, connected to its run folder.

    Args:
        fit: The fit; its checkpoint and callbacks are set here.
        run: Where checkpoint and logs go.
        name: What the progress line calls the work.
        metrics_of: Makes of a stretch's loss what else its log line says.
        figure: Makes the progress line's figure of a step's loss.
        habits: How; the other processes of its team call `follow_session`.
        should_stop: Asked before every step.

    Returns:
        The last stretch.

    Raises:
        Interrupted: If `should_stop` said so.
        DivergenceError: If the fit diverged for good.
    """
    team = habits.team
    with team.agreed():
        state = read_state(run.checkpoint) if habits.resume and run.checkpoint.is_file() else None
    if not team.ranks.is_alone:
        team.broadcast(run.checkpoint.read_bytes() if state else b"")
        _let_first_decide(fit, team)
    begun = state.step if state else 0
    log: list[MetricLogger] = [JsonlLogger(run.metrics_log, keep_until=begun)]
    if habits.tensorboard:
        log.append(TensorBoardLogger(run.tensorboard, keep_until=begun))

    def on_log(entry: LogEntry) -> None:
        line = replace(entry, metrics=metrics_of(entry.loss)).line()
        for logger in log:
            logger.log(entry.step, line)

    try:
        with connected(
            fit,
            name=name,
            figure=figure,
            state=state,
            checkpoint=run.checkpoint,
            quiet=habits.quiet,
            on_log=on_log,
            should_stop=should_stop,
        ):
            return fit.run(state)
    finally:
        for logger in log:
            logger.close()


def follow_session(fit: Fit, team: Team, *, should_stop: Callable[[], bool]) -> LogEntry:
    """Run the same fit beside the first process, which keeps the run folder and sends the checkpoint to go on from.

    Returns:
        The last stretch.

    Raises:
        Interrupted: If `should_stop` said so.
        DivergenceError: If the fit diverged for good.
        ToldByFirst: If the first process cannot read its checkpoint.
    """
    with team.agreed():
        pass  # the first process reads its checkpoint
    content = team.broadcast()
    _let_first_decide(fit, team)
    fit.should_stop = should_stop
    begun = not content

    def on_step(step: int, steps: int, loss: Tensor) -> None:
        nonlocal begun
        begun = True

    fit.on_step = on_step
    with blaming("the checkpoint", begun=lambda: begun or not fit.takes_state):
        return fit.run(_state_of(content) if content else None)


def _let_first_decide(fit: Fit, team: Team) -> None:
    """Let all processes end a fit where the first one would: by its clock, and by its rounding of a figure."""
    is_reached = fit.is_reached

    def decided(point: LogEntry) -> bool:
        return bool(team.broadcast(b"yes" if team.ranks.is_first and is_reached(point) else b""))

    fit.is_reached = decided
    if fit.length is not None:
        fit.length = _LengthByFirst(seconds=fit.length.seconds, after=fit.length.after, team=team)


@dataclass(frozen=True, kw_only=True)
class _LengthByFirst(TimedLength):
    """Choose the length by the first process's clock, in all processes."""

    team: Team = field(default_factory=Team)

    def steps(self, *, done: int, seconds: float, seconds_per_step: float) -> int:
        chosen = super().steps(done=done, seconds=seconds, seconds_per_step=seconds_per_step)
        return int(self.team.broadcast(str(chosen).encode()))


def _state_of(content: bytes) -> TrainState:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        path.write_bytes(content)
        return read_state(path)
