"""Budgets in seconds: the length of a fit from the speed of its first steps, chosen once, before it begins."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from finer_core.training.loop import Fit
from finer_core.training.optimizers.build import set_learning_rates

_MEASURED_FRACTION, _MOST_MEASURING = 0.05, 60.0
"""Of the time that a fit may take, how much measuring its speed may, and at most how many seconds."""
MEASURING_RATE = 1e-6
"""Factor on the rates of steps that are only measured: their network is thrown away, and has to stay finite."""
_WARM_STEPS = 2
"""Steps that are not counted: caches, threads and kernels are made in them."""
_WARM_STEPS_ON_A_DEVICE = 12
"""The same elsewhere than on a CPU: a step is recorded after three plain ones, and SOAP's first renewal is compiled."""
_CYCLE = 3
"""Steps after which a fit's cost repeats: SOAP renews its bases so often."""


class StepCost(NamedTuple):
    """What a step costs, in seconds: `fixed` (the optimizer's own work), and `per_row` for each row of its batch."""

    fixed: float
    per_row: float

    def seconds(self, rows: float) -> float:
        """Return the seconds of a step of `rows` rows."""
        return self.fixed + self.per_row * rows


def seconds_per_step(fit: Fit, *, within: float) -> float:
    """Measure a fit's mean time per step, at rates near 0; its network is not to be used afterwards.

    Args:
        fit: A fit that has not begun.
        within: Seconds that this should take; at least three steps are made, whatever they cost.

    Returns:
        Seconds, of whole cycles of three steps where these fit into the time.
    """
    set_learning_rates(fit.optimizers, factor=MEASURING_RATE)
    started = time.monotonic()
    on_cpu = next(fit.network.parameters()).device.type == "cpu"
    warm = _WARM_STEPS if on_cpu else _WARM_STEPS_ON_A_DEVICE
    for step in range(warm):
        float(fit.update(step))
    began, done = time.monotonic(), 0
    while True:
        float(fit.update(warm + done))  # waits for the device
        done += 1
        now = time.monotonic()
        per_step = (now - began) / done
        ahead = _CYCLE if done % _CYCLE == 0 else 1
        if now + ahead * per_step - started > within and (done % _CYCLE == 0 or _CYCLE * per_step > within):
            return per_step


def step_cost(fit_of: Callable[[int], Fit], rows: Sequence[int], *, within: float) -> StepCost:
    """Measure what steps cost by two sizes of a batch."""
    return cost_of([seconds_per_step(fit_of(count), within=within / len(rows)) for count in rows], rows)


def cost_of(times: Sequence[float], rows: Sequence[int]) -> StepCost:
    """Return what steps cost, of one that was measured, or of two.

    Args:
        times: The seconds of a step.
        rows: Of its batch; the second more than the first.
    """
    if len(rows) == 1:
        return StepCost(0.0, times[0] / rows[0])
    slope = max(0.0, (times[1] - times[0]) / (rows[1] - rows[0]))
    return StepCost(max(0.0, times[0] - slope * rows[0]), slope)


def measuring_seconds(seconds: float) -> float:
    """Return how many seconds of a budget are for measuring: a twentieth, and a minute at most.

    Example:
        >>> measuring_seconds(20.0), measuring_seconds(86400.0)
        (1.0, 60.0)
    """
    return min(_MEASURED_FRACTION * seconds, _MOST_MEASURING)


def steps_within(seconds: float, fit: Fit) -> int:
    """Return how many steps of one cost fit into a budget, measuring included; at least one."""
    measuring = measuring_seconds(seconds)
    return max(1, int((seconds - measuring) / seconds_per_step(fit, within=measuring)))


def largest_within(seconds: float, seconds_of: Callable[[float], float], *, low: float, high: float) -> float:
    """Return the largest argument in [low, high] of a rising function that stays within `seconds`; `low` at least.

    Args:
        seconds: The budget.
        seconds_of: What an argument costs; it may rise in steps.
        low: Smallest answer.
        high: Largest answer.
    """
    for _ in range(60):
        middle = (low * high) ** 0.5
        if seconds_of(middle) <= seconds:
            low = middle
        else:
            high = middle
    return low
