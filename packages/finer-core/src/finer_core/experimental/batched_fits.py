"""Train many small networks side by side: each fit is its own, the computing is shared.

    run_together(fits, update_of(fits))

Each fit keeps its network, optimisers, guard, log and checkpoint, goes back by itself when it diverges, and drops out
when it is done. What each asks for at a time is computed for all of them in one go: on a CPU the pieces and the
optimisers of all networks are dealt out to the cores, elsewhere the networks are stacked (see `stacked`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from torch import Tensor

from finer_core.errors import DivergenceError, InputError, Interrupted
from finer_core.experimental.stacked import accumulate_gradients_stacked
from finer_core.parallel import parallel_map
from finer_core.training.accumulate import accumulate_gradients_of_many
from finer_core.training.log_point import LogPoint
from finer_core.training.loop import Fit
from finer_core.training.objective import SquaredErrorObjective
from finer_core.training.optimizers.build import each
from finer_core.training.optimizers.muon import Muon, step_muons
from finer_core.training.squared_error import SquaredError
from finer_core.training.state import TrainState

Update = Callable[[Mapping[int, int]], Mapping[int, Tensor]]
"""Do the update {number of the fit: step} of several fits and return {number of the fit: detached loss}."""


def run_together(
    fits: Sequence[Fit], update: Update, *, states: Sequence[TrainState | None] | None = None
) -> list[LogPoint | DivergenceError | InputError]:
    """Run fits in lockstep, each from its beginning or its state to its last step.

    What a fit becomes does not depend on the others, beyond the rounding of `update`. A fit that diverges for good, or
    whose state is of another fit, does not stop the others. The global random state is shared, so the objectives must
    not draw from it.

    Args:
        fits: The fits; they may differ in length, schedule, rates, guard.
        update: From `update_of`.
        states: Where each goes on from; None for the beginning.

    Returns:
        A fit: its last log point, its seconds being those of all together, or the error that ended it.

    Raises:
        Interrupted: If `should_stop` of any said so; those whose `should_stop` did not are finished first.
    """
    courses = [fit.course(state) for fit, state in zip(fits, states or [None] * len(fits), strict=True)]
    losses: Mapping[int, Tensor | None] = dict.fromkeys(range(len(fits)))
    ends: dict[int, LogPoint | DivergenceError | InputError] = {}
    interrupted: Interrupted | None = None
    while losses:
        steps: dict[int, int] = {}
        for number, loss in losses.items():
            try:
                steps[number] = courses[number].send(loss)
            except StopIteration as end:
                ends[number] = end.value
            except (DivergenceError, InputError) as error:
                ends[number] = error
            except Interrupted as stopped:
                interrupted = stopped
        losses = update(steps) if steps else {}
    if interrupted is not None:
        raise interrupted
    return [ends[number] for number in range(len(fits))]


def update_of(fits: Sequence[Fit], *, stacked: bool | None = None) -> Update:
    """Return the function that does an update of any of the fits at once.

    Args:
        fits: Fits whose objectives are `SquaredErrorObjective`s; to be stacked, their networks must be of one kind.
        stacked: Whether to stack the networks; None to do so everywhere but on a CPU. There, stacking saves nothing,
            while separate pieces keep a resumed fit exact: its bits depend on no other fit.
    """
    if stacked is None:
        stacked = any(parameter.device.type != "cpu" for fit in fits for parameter in fit.network.parameters())

    def update(steps: Mapping[int, int]) -> Mapping[int, Tensor]:
        members = [fits[number] for number in steps]
        for fit in members:
            fit.clear_gradients()
        losses = (_stacked if stacked else _in_threads)(members, list(steps.values()))
        return {number: loss.detach() for number, loss in zip(steps, losses, strict=True)}

    return update


def _stacked(fits: Sequence[Fit], steps: Sequence[int]) -> list[Tensor]:
    networks = [fit.network for fit in fits]
    losses = accumulate_gradients_stacked(networks, [_objective(fit) for fit in fits], steps)
    for fit in fits:
        fit.clip_gradients()
    step_muons([optimizer for fit in fits for optimizer in fit.optimizers if isinstance(optimizer, Muon)])
    for fit in fits:
        each([o for o in fit.optimizers if not isinstance(o, Muon)], lambda optimizer: optimizer.step())
    return losses


def _in_threads(fits: Sequence[Fit], steps: Sequence[int]) -> list[Tensor]:
    batches = []
    for fit, step in zip(fits, steps, strict=True):
        objective = _objective(fit)
        pieces, count = objective.pieces(step)
        batches.append((fit.network, pieces, SquaredError(fit.network, objective, count=count)))
    losses = accumulate_gradients_of_many(batches)

    def finish(fit: Fit) -> None:
        fit.clip_gradients()
        each(fit.optimizers, lambda optimizer: optimizer.step())

    parallel_map(finish, fits)
    return losses


def _objective(fit: Fit) -> SquaredErrorObjective:
    return cast(SquaredErrorObjective, fit.objective)
