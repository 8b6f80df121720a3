"""One fit of a command on several processes: the first leads and keeps the run folder, the others do their parts."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

from finer_core.app.session import follow_session
from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.team import Team
from finer_core.training.budget import MEASURING_RATE
from finer_core.training.loop import Fit
from finer_core.training.optimizers.build import set_learning_rates

Made = TypeVar("Made")
Measured = TypeVar("Measured")
Assemble = Callable[[GradientReducer], AbstractContextManager[tuple[Made, Fit]]]
"""Puts a fit together, for the length of a block, and what else is wanted of it; gradients are added up as is given."""


@contextmanager
def shared_fit(
    team: Team, assemble: Assemble[Made], *, should_stop: Callable[[], bool]
) -> Iterator[tuple[Made, Fit, Callable[[], bool]]]:
    """Put a fit together in every process, or in none, for the length of a block that runs it; then the processes part.

    Args:
        team: The processes that share the fit.
        assemble: What to do here; it may exchange nothing.
        should_stop: Whether this process was asked to stop.

    Yields:
        What was put together, the fit, and whether any process was asked to stop: all get the same answer.

    Raises:
        InputError: In the first process, if the fit cannot be put together in one of them.
        ToldByFirst: In the others.
    """
    with _assembled(team, assemble, should_stop=should_stop) as (made, fit, gradient_sum):
        yield made, fit, gradient_sum.should_stop
    team.leave()


def help_fit(team: Team, assemble: Assemble[object]) -> None:
    """Do this process's part of a fit that the first one leads by `shared_fit` and a session.

    Raises:
        ToldByFirst: If any process cannot begin.
        Interrupted: If any process was asked to stop.
        DivergenceError: If the fit diverged for good.
        CollectiveError: If another process is gone.
    """
    with team.interruptible() as asked, shared_fit(team, assemble, should_stop=asked) as (_, fit, should_stop):
        follow_session(fit, team, should_stop=should_stop)


def shared_measurement(team: Team, assemble: Assemble[object], measure: Callable[[Fit], Measured]) -> Measured:
    """Return what the first steps of a fit show that all processes make and throw away.

    The first process calls this when it has told the others to call `help_timing`; they listen again afterwards.

    Args:
        team: The processes that will share the fit.
        assemble: Puts a fit together that has not begun.
        measure: Makes steps of it, and returns what is to be known.

    Raises:
        InputError: If the fit cannot be put together in one of the processes.
        CollectiveError: If another process is gone.
    """
    is_measured = False
    with _assembled(team, assemble, should_stop=lambda: is_measured) as (_, fit, gradient_sum):
        found = measure(fit)
        is_measured = True
        while not gradient_sum.should_stop():
            fit.update(0)
    team.expect_listeners()
    return found


def help_timing(team: Team, assemble: Assemble[object]) -> None:
    """Make the steps that the first process measures by `shared_measurement`, until it has seen enough.

    Raises:
        ToldByFirst: If the fit cannot be put together in one of the processes.
        CollectiveError: If another process is gone.
    """
    with _assembled(team, assemble, should_stop=lambda: False) as (_, fit, gradient_sum):
        set_learning_rates(fit.optimizers, factor=MEASURING_RATE)
        for step in itertools.count():  # one after the other, for their samples are made ahead
            if gradient_sum.should_stop():
                break
            fit.update(step)


@contextmanager
def _assembled(
    team: Team, assemble: Assemble[Made], *, should_stop: Callable[[], bool]
) -> Iterator[tuple[Made, Fit, GradientReducer]]:
    gradient_sum = GradientReducer(team.ranks, asked_to_stop=should_stop)
    with ExitStack() as assembled:
        with team.agreed():
            made, fit = assembled.enter_context(assemble(gradient_sum))
        yield made, fit, gradient_sum
