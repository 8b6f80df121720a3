"""Plan a fit that may take so many seconds: its length follows from the speed of its first steps."""

import dataclasses
import math
from collections.abc import Callable

from finer_core.training import Fit
from finer_core.training.budget import cost_of, largest_within, measuring_seconds, step_cost
from finer_core.training.own_code import OwnCode, network_of
from finer_core.training_config import refuse_two_lengths
from finer_image.config import ImageConfig
from finer_image.io.raster import Raster
from finer_image.presets.lengths import SMALLEST_BATCH, Length, batch_asked_for, length_of
from finer_image.presets.methods import rules_of
from finer_image.training.build import build_fit
from finer_image.training.plan import FitPlan, plan_fit

_LARGEST_TIMED = 8192
"""Pixels of the larger batch that is timed; larger ones cost in proportion."""
_MOST_PASSES = 1e6
_FEWEST_SOAP_STEPS = 250
"""Steps of SOAP below which Adam, whose steps cost a half, gets further in the same time."""
_SECOND_MEASURING = 0.25
"""Of the time that measuring SOAP's steps took, what Adam's may."""
SharedTime = Callable[[FitPlan, float], float]
"""Returns the seconds of a step of a plan that several processes make together, measured within so many seconds."""


def plan_timed_fit(
    settings: ImageConfig, image: Raster, *, shared_time: SharedTime | None = None, own: OwnCode | None = None
) -> FitPlan:
    """Decide everything about a fit as `plan_fit` does, its length by `settings.seconds` if that is given.

    The first steps of fits with a small and a large batch are timed and thrown away; the seconds that this takes
    belong to the budget. Those of Adam, where it is chosen, are timed for a quarter as long. The length is then a
    number like any other, so that a resumed fit ends in the same bits.

    Args:
        settings: As given.
        image: The image.
        shared_time: Measures the steps of several processes that share the fit; None for one process.
        own: The user's own module or activation, of which copies are timed.

    Raises:
        InputError: As `plan_fit`.
    """
    own, shared = own or OwnCode(), shared_time is not None
    if settings.seconds is None:
        return plan_fit(settings, image, shared=shared, own=own.described)
    refuse_two_lengths(settings)
    measuring = measuring_seconds(settings.seconds)
    left = settings.seconds - measuring
    passes, steps = _longest(left, settings, image, own, shared_time, measuring=measuring)
    short = passes * math.sqrt(image.pixels_with_data) < rules_of(settings.method).short_passes
    is_free = settings.optimizer is None and settings.matrix_learning_rate is None and settings.preset == "fast"
    if is_free and (short or steps < _FEWEST_SOAP_STEPS):
        settings = dataclasses.replace(settings, optimizer="adam")
        measuring *= _SECOND_MEASURING
        passes, _ = _longest(left - measuring, settings, image, own, shared_time, measuring=measuring)
    return plan_fit(settings, image, shared=shared, passes=passes, own=own.described)


def _longest(
    seconds: float,
    settings: ImageConfig,
    image: Raster,
    own: OwnCode,
    shared_time: SharedTime | None,
    *,
    measuring: float,
) -> tuple[float, int]:
    """Return the passes and the steps that fit into so many seconds, by steps that are measured in others."""
    untimed = dataclasses.replace(settings, seconds=None)
    pixels = image.pixels_with_data

    def trial_of(batch: int) -> FitPlan:
        trial = dataclasses.replace(untimed, steps=1000, batch_pixels=batch)
        return plan_fit(trial, image, shared=shared_time is not None, own=own.described)

    def fit_of(batch: int) -> Fit:
        trial = trial_of(batch)
        return build_fit(trial, network_of(trial, own=own.copied()), image)

    batch, method = batch_asked_for(settings), settings.method
    hidden_features = trial_of(1).network.hidden_features  # the same for every batch

    def length(passes: float) -> Length:
        return length_of(
            image.height,
            image.width,
            passes=passes,
            missing=image.missing,
            batch_pixels=batch,
            method=method,
            hidden_features=hidden_features,
        )

    given = length(1.0).batch_pixels or pixels
    rows = [min(SMALLEST_BATCH, pixels), min(_LARGEST_TIMED, pixels)]
    is_fixed = settings.batch_pixels is not None or settings.preset == "paper" or rows[0] == rows[1]
    sizes = [given] if is_fixed else rows
    if shared_time is None:
        cost = step_cost(fit_of, sizes, within=measuring)
    else:
        cost = cost_of([shared_time(trial_of(size), measuring / len(sizes)) for size in sizes], sizes)

    def seconds_of(passes: float) -> float:
        steps = length(passes).steps
        return steps * cost.seconds(min(pixels, passes * pixels / steps))

    passes = largest_within(seconds, seconds_of, low=1 / pixels, high=_MOST_PASSES)
    return passes, length(passes).steps
