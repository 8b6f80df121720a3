"""Plan a fit that may take so many seconds: its length follows from the speed of its first steps."""

import dataclasses
from collections.abc import Callable
from typing import Any

from finer_core.training.budget import steps_within
from finer_core.training.own_code import OwnCode
from finer_core.training_config import refuse_two_lengths
from finer_sdf.config import SdfConfig
from finer_sdf.geometry import LoadedShape
from finer_sdf.training.build import assembled_fit
from finer_sdf.training.plan import FitPlan, plan_fit

_TIMED_SAMPLES = 20_000
"""Exact distances that are computed for the steps that are timed: what a step costs does not depend on their number."""


def plan_timed_fit(
    settings: SdfConfig,
    loaded: LoadedShape,
    *,
    shared_steps: Callable[[float, FitPlan], int] | None = None,
    own: OwnCode | None = None,
) -> FitPlan:
    """Decide everything about a fit as `plan_fit` does, its length by `settings.seconds` if that is given.

    The first steps are timed and thrown away; the seconds that this takes belong to the budget, those of the exact
    distances before training do not. The length is then a number like any other, so that a resumed fit ends in the
    same bits.

    Args:
        settings: As given.
        loaded: The surface.
        shared_steps: Returns how many steps of a plan fit into a budget, by those that several processes make
            together; None for one process.
        own: The user's own module or activation, of which copies are timed.

    Raises:
        InputError: As `plan_fit`.
    """
    own = own or OwnCode()
    about: dict[str, Any] = {"colors": loaded.colors, "shared": shared_steps is not None, "own": own.described}
    if settings.seconds is None:
        return plan_fit(settings, loaded.shape, **about)
    refuse_two_lengths(settings)
    untimed = dataclasses.replace(settings, seconds=None)
    plan = plan_fit(untimed, loaded.shape, **about)
    samples = plan.settings.samples and min(plan.settings.samples, _TIMED_SAMPLES)
    trial = dataclasses.replace(plan, settings=dataclasses.replace(plan.settings, samples=samples, target_rms=None))
    if shared_steps:
        steps = shared_steps(settings.seconds, trial)
    else:
        with assembled_fit(trial, loaded, own=own.copied()) as (_, fit):  # which is thrown away
            steps = steps_within(settings.seconds, fit)
    chosen = plan_fit(dataclasses.replace(untimed, steps=steps), loaded.shape, **about)
    return dataclasses.replace(chosen, settings=dataclasses.replace(chosen.settings, seconds=settings.seconds))
