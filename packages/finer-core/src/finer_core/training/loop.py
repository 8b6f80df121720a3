"""The one fit loop: images, distance fields and radiance fields all train through it.

Steps come in stretches of `log_every`. At the end of each the guard judges the stretch, a log line is written, the
state is copied in memory, and now and then that copy goes to disk. An interruption writes the last copy, so a resumed
fit replays the same stretches as an uninterrupted one, and on a CPU ends in the same bits. The best state is kept
beside the last one: a fit that loses ground goes back to it, and one that ends worse, or diverges for good, has it.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from finer_core.errors import DivergenceError, InputError, Interrupted
from finer_core.schema import check_within
from finer_core.training.checkpoint import saving, write_state
from finer_core.training.cuda_graph import graphed_step
from finer_core.training.ema import apply_averages
from finer_core.training.guard import DivergenceGuard, Setback, is_worse
from finer_core.training.history import LogEntry
from finer_core.training.objective import Objective
from finer_core.training.optimizers.build import check_optimizers, set_learning_rates, step_optimizer
from finer_core.training.schedules import Schedule
from finer_core.training.state import TrainState, put_read_state, put_state, take_state
from finer_core.training.timed_length import TimedLength


def _ignore(*_: object) -> None:
    return None


@dataclass(kw_only=True)
class Fit:
    """Fit a network to an objective.

    Args:
        network: Changed in place.
        objective: What to minimize.
        optimizers: From `build_optimizers`.
        schedule: Factor on every initial rate, by step.
        steps: Updates in all.
        log_every: Length of a stretch, in steps. Part of the result: the guard acts at its ends.
        max_grad_norm: Clip the norm of all gradients together; None for no clipping.
        guard: Its settings count: every run judges by a guard of its own, which then stands here.
        checkpoint: File that the state goes to; None for none.
        checkpoint_seconds: Least time between two writes of it.
        on_step: Called after every update with (step, steps, detached loss); must not change anything.
        on_log: Called with each `LogEntry` after it was accepted.
        on_notice: Called with a line for the user when the guard goes back, or the best state is restored.
        should_stop: Asked before every update; True interrupts.
        length: Chooses `steps` from the time of the first ones, once; None keeps them.
        on_length: Called with the steps that `length` chose.
        is_reached: Asked with each `LogEntry`; True ends the fit there, and must follow from the network alone.
        uses_graph: Whether a step that can be recorded as a CUDA graph is.
        about: Plain data that its checkpoints hold beside the state, such as what is fitted to what.

    Example:
        >>> from finer_core import build_network, grid_coords
        >>> from finer_core.training import Fit, StatelessObjective, build_optimizers, exponential_decay
        >>> class Flat(StatelessObjective):
        ...     def backward(self, network, step):
        ...         (loss := network(grid_coords(4, 4)).square().mean()).backward()
        ...         return loss.detach()
        >>> network = build_network("finer", in_features=2, out_features=1)
        >>> rest = {"schedule": exponential_decay(), "steps": 20, "log_every": 10}
        >>> optimizers = build_optimizers(network, learning_rate=1e-3)
        >>> Fit(network=network, objective=Flat(), optimizers=optimizers, **rest).run().step
        20
    """

    network: nn.Module
    objective: Objective
    optimizers: list[Optimizer]
    schedule: Schedule
    steps: int
    log_every: int
    max_grad_norm: float | None = None
    guard: DivergenceGuard = field(default_factory=DivergenceGuard)
    checkpoint: Path | None = None
    checkpoint_seconds: float = 30.0
    on_step: Callable[[int, int, Tensor], None] = _ignore
    on_log: Callable[[LogEntry], None] = _ignore
    on_notice: Callable[[str], None] = _ignore
    should_stop: Callable[[], bool] = lambda: False
    length: TimedLength | None = None
    on_length: Callable[[int], None] = _ignore
    is_reached: Callable[[LogEntry], bool] = lambda point: False
    uses_graph: bool = True
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("steps", "log_every"):
            check_within(getattr(self, name), "[1, inf)", what=name, is_whole=True)
        check_within(self.checkpoint_seconds, "[0, inf]", what="checkpoint_seconds")
        check_optimizers(self.network, self.optimizers, max_grad_norm=self.max_grad_norm)
        self.takes_state = False  # and True where a state that was given is at fault for what is raised
        self._best: TrainState | None = None
        parts = (self.network, self.objective, self.optimizers)
        self._graphed = graphed_step(*parts, max_grad_norm=self.max_grad_norm) if self.uses_graph else None

    def run(self, state: TrainState | None = None) -> LogEntry:
        """Run from the beginning, or from a state read by `read_state`, to the last step.

        Returns:
            The last log point.

        Raises:
            Interrupted: If `should_stop` said so.
            DivergenceError: If the loss is bad, the guard has no rollbacks left, and the fit has learned nothing.
            CollectiveError: If another process of the same fit is gone; the checkpoint, if it has a file, is written.
            InputError: If `state` is of another fit.
        """
        self.guard = self.guard.fresh()
        first = self._copy(step=0, loss=math.nan, seconds=0.0)
        if state is not None:
            self.takes_state = True
            self._restore(state)
            self.takes_state = False
        good = state or first
        best = self._best = good.best or good
        seconds_before = good.loop["seconds"]
        point = self._point(good.step, good.loop["loss"], seconds_before, is_reached=good.loop["is_reached"])
        started = written = time.monotonic()
        while good.step < self.steps and not point.is_reached:
            end = min(self.steps, (good.step // self.log_every + 1) * self.log_every)
            loss, least = self._stretch(good, end)
            seconds = seconds_before + time.monotonic() - started
            if self.guard.is_bad(loss, steps=end - good.step, least=least):
                if not self._undo(loss, good, best):
                    good, point = best, replace(point, rollbacks=self.guard.rollbacks, ended_early=True)
                    break
                good = self._copy(step=good.step, loss=good.loop["loss"], seconds=seconds, best=good.best)
                continue
            is_chosen = self.length is not None and good.step < self.length.after <= end
            if self.length and is_chosen:
                per_step = (seconds - good.loop["seconds"]) / (end - good.step)
                with saving(good, self.checkpoint):
                    self.steps = self.length.steps(done=end, seconds=seconds, seconds_per_step=per_step)
                self.on_length(self.steps)
            self.guard.accept(loss, step=end, least=least)
            setback = self.guard.setback_of(step=end, steps=self.steps)
            point = self._point(end, loss, seconds, is_reached=False)
            if setback is None:
                with saving(good, self.checkpoint):
                    point = replace(point, is_reached=self.is_reached(point))
            else:
                self._go_back(first if setback == "dead" else best, setback, step=end)
                point = replace(point, rollbacks=self.guard.rollbacks)
            before = None if self.guard.is_lowest and setback is None else best
            with saving(good, self.checkpoint):
                good = self._copy(step=end, loss=loss, seconds=seconds, best=before, is_reached=point.is_reached)
            best = self._best = before or good
            self.on_log(point)
            is_kept = end >= self.steps or point.is_reached or is_chosen
            if self.checkpoint and (is_kept or time.monotonic() - written >= self.checkpoint_seconds):
                write_state(good, self.checkpoint)
                written = time.monotonic()
        has_lost = is_worse(good.loop["loss"], than=best.loop["loss"])  # by itself too: the smoothed loss lags
        if self.guard.has_ended_worse and has_lost and not point.is_reached:
            self._put(best)
            self.on_notice(f"the fit was best after {best.step} of {self.steps} steps: that state is kept")
        if not point.is_reached:  # it is the weights that reached it
            apply_averages(self.optimizers)
        return point

    def keep_best(self) -> int:
        """Give the network its best state so far after an interruption, and return the step that it is of.

        Before the end of the first log interval there is none but the beginning; the network then stays as it is.
        """
        if self._best is None or self._best.step == 0:
            return 0
        self._put(self._best)
        apply_averages(self.optimizers)
        return self._best.step

    def _stretch(self, good: TrainState, end: int) -> tuple[float, float]:
        """Do the updates up to `end` and return their mean and least loss; on request, save `good` and stop."""
        total = least = None
        for step in range(good.step, end):
            if self.should_stop():
                if self.checkpoint:
                    write_state(good, self.checkpoint)
                raise Interrupted(good.step)
            factor = float(self.schedule(step, self.steps)) * self.guard.factor(step, self.steps)
            set_learning_rates(self.optimizers, factor=factor)
            with saving(good, self.checkpoint):
                loss = self.update(step)
            # Of losses in half precision no more than some hundred would count.
            wide = torch.promote_types(loss.dtype, torch.float32)
            total = loss.to(wide, copy=True) if total is None else total.add_(loss)
            least = loss.clone() if least is None else torch.minimum(least, loss, out=least)
            self.on_step(step + 1, self.steps, loss)
        assert total is not None and least is not None
        return float(total) / (end - good.step), float(least)  # the only place that waits for the device

    def update(self, step: int) -> Tensor:
        """Do one update at the rates as they are, and return its detached loss, which the next one may overwrite."""
        if self._graphed is not None:
            return self._graphed(step)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss = self.objective.backward(self.network, step)
        if self.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_grad_norm)
        self.takes_state = True
        for optimizer in self.optimizers:
            step_optimizer(optimizer)
        self.takes_state = False
        return loss.detach()

    def _undo(self, loss: float, good: TrainState, best: TrainState) -> bool:
        """Go back to `good`, or to `best` if that was in vain; return False where the fit has to end with `best`."""
        state = best if self.guard.undone_step == good.step else good
        if self.guard.roll_back(step=good.step):
            self._put(state)
            return True
        what = self.guard.surrender(loss, step=good.step)
        if not self.guard.has_learned:
            raise DivergenceError(f"{what}; lower the learning rate")
        self._put(best)
        self.on_notice(f"{what}: the fit ends with its best state, of step {best.step} of {self.steps}")
        return False

    def _go_back(self, state: TrainState, setback: Setback, *, step: int) -> None:
        """Go on from an earlier state, at lower rates; no step is made again, so that a fit keeps its length."""
        what = self.guard.reason(setback)
        self.guard.roll_back(setback, step=step)
        self._put(state)
        going_on = f"since step {state.step}; going on from there, rates times {self.guard.rate:.3g}"
        self.on_notice(f"step {step} of {self.steps}: {what} {going_on}")

    def _put(self, state: TrainState, put: Callable[..., None] = put_state) -> None:
        put(state, self.network, self.optimizers, self.objective)
        if self._graphed:
            self._graphed.forget()

    def _copy(
        self, *, step: int, loss: float, seconds: float, best: TrainState | None = None, is_reached: bool = False
    ) -> TrainState:
        loop = {"guard": self.guard.state_dict(), "loss": loss, "seconds": seconds, "steps": self.steps}
        loop |= {"is_reached": is_reached, **({"about": dict(self.about)} if self.about else {})}
        state = take_state(self.network, self.optimizers, self.objective, step=step, loop=loop)
        return replace(state, best=best and replace(best, best=None))

    def _restore(self, state: TrainState) -> None:
        if self.length:
            self.steps = state.loop["steps"]
        if state.loop["steps"] != self.steps:
            raise InputError(f"the checkpoint is of a fit of {state.loop['steps']} steps, this one has {self.steps}")
        self._put(state, put_read_state)
        self.guard.load_state_dict(state.loop["guard"])

    def _point(self, step: int, loss: float, seconds: float, *, is_reached: bool) -> LogEntry:
        rate = float(self.optimizers[0].param_groups[0]["lr"])
        rest: dict[str, Any] = {"steps": self.steps, "learning_rate": rate, "rollbacks": self.guard.rollbacks}
        return LogEntry(step=step, loss=loss, seconds=seconds, is_reached=is_reached, **rest)
