"""Notice a diverging or decaying fit, and go back to a good state at a lower rate."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from finer_core.schema import check_within

_NATS = math.log(10) / 10
"""Of a decibel."""
_WORSE = 10**0.01
"""Factor on the best state's loss, 0.1 dB, from which on a fit ends with that state instead of its last one."""
_LEAST_INTERVALS, _LEAST_STEPS = 3, 25
"""Fewer log intervals, or steps, cannot tell a trend from noise, however short the fit."""
_SHORTEST_SPIKE = 4
"""Steps of an interval from which on a spike is undone: a step's loss is that of the weights before it, so an interval
of few steps has the loss of the state that the loop would go back to."""
_SETTINGS = {
    **dict.fromkeys(("rate_factor", "decay_factor", "dead_factor"), "(0, 1]"),
    **dict.fromkeys(("floor", "lost_decibels", "least_progress", "patience", "feeble_part"), "[0, inf]"),
    **{"max_rollbacks": "[0, inf)", "max_restarts": "[0, inf)", "spike_factor": "(1, inf]"},
}
"""The values that a guard's settings may have."""
Setback = Literal["spike", "decay", "dead"]
"""What went wrong: an interval far worse than the best, a slow loss of ground, a fit that never came off the ground."""


@dataclass(kw_only=True)
class DivergenceGuard:
    """Judge the mean loss of each log interval, by itself and against the trend.

    A spike is an interval whose loss is not finite, or exceeds `spike_factor` times the best so far, or `floor`
    times the first loss if that is more: the loop undoes it, and where one follows at once, goes back to the best
    state. A decay is a smoothed loss (half of it new at every interval, in decibels) that stays `lost_decibels`
    above the best smoothed one for `patience` of the fit: the loop goes back to the best state. A fit is dead when
    its smoothed loss is still above half of its first one, and has gained less than `least_progress` for as long,
    or above `feeble_part` of it for twice as long: the loop goes back to the initial weights. Each time all rates
    are multiplied by a factor, for good. Only spikes can end a fit, which then has its best state.

    A loss that may be zero or negative, such as a log-likelihood, has no decibels and no factors. From the first
    interval with a mean that is not positive, or with a step below zero, only what is not finite is a spike, there are
    no decays and dead starts, and smoothed losses are compared by their value.

    The first eleven attributes are settings, the others the state of one fit. A `Fit` judges by a `fresh` guard of
    these settings each time it is run, so that one guard serves many fits.

    Attributes:
        max_rollbacks: How many spikes are undone before giving up; 0 judges only whether a loss is finite.
        spike_factor: How much worse than the best an interval may be.
        floor: Part of the first loss below which all losses are alike: what is left of it is rounding.
        rate_factor: What a spike multiplies the rates by.
        lost_decibels: Ground that a fit may lose for a while.
        least_progress: Decibels that count as progress.
        patience: Fraction of the fit's steps for which it may lose ground, or make no progress at its beginning.
        decay_factor: What a decay multiplies the rates by.
        dead_factor: What a dead start multiplies the rates by.
        feeble_part: Part of the first loss above which a fit that stands still is begun anew a little later than a dead
            one. Signals with noise stop there too; of images none does.
        max_restarts: How many dead starts are believed; after them the signal is taken for one that is hard to learn.
        best: Lowest mean loss so far, of an interval or of 25 steps in several.
        level: Mean loss of the last steps, as `best` counts it.
        step: Where the last good interval ended.
        undone_step: Where the loop went back to for the last spike.
        rate: Product of all factors so far.
        rollbacks: How often the loop went back.
        setbacks: How many of these were decays or dead starts; `max_rollbacks` at most.
        restarts: How many of those were dead starts.
        first: Mean loss of the first interval.
        smoothed: Natural logarithm of the smoothed loss; where `is_signed`, the smoothed loss.
        lowest: Lowest value of it since the fit began, or began anew.
        lowest_before: Lowest value before it began anew.
        reference: Its value when the fit last made progress.
        waiting_since: When that was, or when the loop last went back.
        intervals: Log intervals since then.
        is_lowest: Whether the last interval gave the lowest value of all.
        risen_step: Where the rates begin to rise anew after a dead start.
        is_signed: Whether a loss was zero or negative.

    Raises:
        InputError: For a setting that is no number, or one that makes no sense.

    Example:
        >>> from finer_core.training import DivergenceGuard
        >>> guard = DivergenceGuard(spike_factor=10.0)
        >>> guard.accept(0.5, step=100)
        >>> guard.is_bad(0.6), guard.is_bad(7.0), guard.is_bad(float("nan"))
        (False, True, True)
    """

    max_rollbacks: int = 8
    spike_factor: float = 10.0
    floor: float = 1e-9
    rate_factor: float = 0.7
    lost_decibels: float = 1.0
    least_progress: float = 0.1
    patience: float = 0.05
    decay_factor: float = 0.5
    dead_factor: float = 1 / 6
    feeble_part: float = 0.5
    max_restarts: int = 2
    best: float = field(default=math.inf, init=False)
    level: float = field(default=math.nan, init=False)
    step: int = field(default=0, init=False)
    undone_step: int = field(default=0, init=False)
    rate: float = field(default=1.0, init=False)
    rollbacks: int = field(default=0, init=False)
    setbacks: int = field(default=0, init=False)
    restarts: int = field(default=0, init=False)
    first: float = field(default=math.nan, init=False)
    smoothed: float = field(default=math.nan, init=False)
    lowest: float = field(default=math.inf, init=False)
    lowest_before: float = field(default=math.inf, init=False)
    reference: float = field(default=math.inf, init=False)
    waiting_since: int = field(default=0, init=False)
    intervals: int = field(default=0, init=False)
    risen_step: int = field(default=0, init=False)
    is_lowest: bool = field(default=False, init=False)
    is_signed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for name, interval in _SETTINGS.items():
            is_whole = name in ("max_rollbacks", "max_restarts")
            check_within(getattr(self, name), interval, what=name, is_whole=is_whole)

    def fresh(self) -> "DivergenceGuard":
        """Return a guard of the same settings that has judged nothing yet."""
        guard = copy.copy(self)  # of a class of the user's own too, whatever its constructor takes
        guard.load_state_dict({each.name: each.default for each in fields(DivergenceGuard) if not each.init})
        return guard

    def is_bad(self, loss: float, *, steps: int = _SHORTEST_SPIKE, least: float = math.inf) -> bool:
        """Return whether an interval of so many steps, mean loss `loss` and least loss `least` must be undone."""
        if not math.isfinite(loss):
            return True
        if self.is_signed or least < 0:
            return False
        rounding = 0.0 if math.isnan(self.first) else self.floor * self.first
        is_judged = self.max_rollbacks > 0 and steps >= _SHORTEST_SPIKE
        return is_judged and loss > self.spike_factor * max(self.best, rounding)

    def accept(self, loss: float, *, step: int = 0, least: float = math.inf) -> None:
        """Remember a good interval that ended with `step` updates done, its least loss being `least`."""
        share = min(1.0, (step - self.step) / _LEAST_STEPS) if step > self.step else 1.0
        self.level = loss if math.isnan(self.level) else self.level + share * (loss - self.level)
        self.best, self.step = min(self.best, self.level), step
        if not math.isfinite(self.first):
            self.first = loss
        if not self.is_signed and (loss <= 0 or least < 0):
            self.is_signed = True
            for name in ("smoothed", "lowest", "lowest_before"):
                setattr(self, name, _exponential(getattr(self, name)))
        value = loss if self.is_signed else math.log(max(loss, 1e-300))
        self.smoothed = value if math.isnan(self.smoothed) else self.smoothed + 0.5 * (value - self.smoothed)
        self.intervals += 1
        self.is_lowest = self.smoothed < self._lowest_of_all
        self.lowest = min(self.lowest, self.smoothed)
        if not self.is_signed and self.smoothed < self.reference - self.least_progress * _NATS:
            self.reference, self.waiting_since, self.intervals = self.smoothed, step, 0

    def setback_of(self, *, step: int, steps: int) -> Setback | None:
        """Return what has gone wrong with the trend by `step` of `steps`, if anything."""
        waited = step - self.waiting_since
        is_long = self.intervals >= _LEAST_INTERVALS and waited >= max(_LEAST_STEPS, self.patience * steps)
        is_late = step > (1 - self.patience) * steps
        is_over = self.is_signed or self.setbacks >= self.max_rollbacks
        if not self.max_rollbacks or is_over or not is_long or is_late:
            return None
        is_feeble = self._stays_above(self.feeble_part) and waited >= 2 * self.patience * steps
        if (self.is_dead or is_feeble) and self.restarts < self.max_restarts:
            return "dead"
        if self.is_dead:
            return None
        return "decay" if self.smoothed > self.lowest + self.lost_decibels * _NATS else None

    @property
    def is_dead(self) -> bool:
        """Return whether the fit has not come off the ground yet."""
        return self._stays_above(0.5)

    def _stays_above(self, part: float) -> bool:
        return not self.is_signed and self.lowest > math.log(max(part * self.first, 1e-300))

    @property
    def has_learned(self) -> bool:
        """Return whether there is a state worth keeping in a fit that diverges again and again."""
        return self.max_rollbacks > 0 and self.best < (1.0 if self.is_signed else 0.5) * self.first

    def reason(self, setback: Setback) -> str:
        """Say what has gone wrong with the trend."""
        if setback == "decay":
            return f"the loss rose by {(self.smoothed - self.lowest) / _NATS:.1f} dB"
        return "the fit makes no progress"

    def surrender(self, loss: float, *, step: int) -> str:
        """Say that a loss after `step` updates is one spike too many."""
        best = f"(best {self.best:.4g})"
        return f"the loss became {loss:.4g} after step {step} {best} and {self.max_rollbacks} rollbacks did not help"

    def roll_back(self, setback: Setback = "spike", *, step: int = 0) -> bool:
        """Count a rollback and lower the rate; return False when there have been too many spikes.

        Args:
            setback: Why.
            step: Updates done; the trend is judged anew from there.
        """
        self.rollbacks += 1
        if setback == "spike":
            self.undone_step = step
            self.rate *= self.rate_factor
            return self.rollbacks - self.setbacks <= self.max_rollbacks
        self.setbacks += 1
        self.rate *= self.decay_factor if setback == "decay" else self.dead_factor
        self.waiting_since, self.intervals = step, 0
        self.smoothed = self.reference = self.lowest
        if setback == "dead":
            self.restarts += 1
            self.lowest_before = self._lowest_of_all
            self.risen_step, self.smoothed, self.lowest, self.reference = step, math.nan, math.inf, math.inf
        return True

    @property
    def has_ended_worse(self) -> bool:
        """Return whether the smoothed loss is more than 0.1 dB above the lowest."""
        lowest = self._lowest_of_all
        if self.is_signed:
            return self.max_rollbacks > 0 and is_worse(self.smoothed, than=lowest)
        return self.max_rollbacks > 0 and self.smoothed > lowest + 0.1 * _NATS

    @property
    def _lowest_of_all(self) -> float:
        return min(self.lowest, self.lowest_before)

    def factor(self, step: int, steps: int) -> float:
        """Return what every rate is multiplied by at `step`: it rises anew from where a dead fit was begun again."""
        rising = self.patience * steps
        if not self.risen_step or not rising:
            return self.rate
        return self.rate * min(1.0, (step + 1 - self.risen_step) / rising)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed fit needs."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        for name in _STATE:
            setattr(self, name, state[name])


_STATE = tuple(field.name for field in fields(DivergenceGuard) if not field.init)


def settings_of(guard: DivergenceGuard) -> dict[str, float]:
    """Return a guard's settings by name, without what it has judged."""
    return {field.name: getattr(guard, field.name) for field in fields(guard) if field.init}


def is_worse(loss: float, *, than: float) -> bool:
    """Return whether a loss is worse than another by 0.1 dB, or below zero by as much of it."""
    return loss > (than * _WORSE if than > 0 else than / _WORSE)


def _exponential(value: float) -> float:
    """Return exp(value); of what would be too large, nearly the largest number."""
    return math.exp(min(value, 709.0)) if math.isfinite(value) else value
