"""Learning-rate schedules as pure functions: factor = schedule(step, steps), so resuming needs no state."""

import math
from collections.abc import Callable

from finer_core.errors import InputError
from finer_core.schema import check_within
from finer_core.training_config import SCHEDULES

Schedule = Callable[[int, int], float]
"""Return the factor on the initial rate for update `step` (0-based) of `steps`."""


def schedule_of(name: str | None) -> Schedule:
    """Return the schedule of a name: "linear", "cosine", "cosine-squared" (after a warm-up) or "exponential".

    Args:
        name: One of `finer_core.training_config.SCHEDULES`.

    Raises:
        InputError: For another name.

    Example:
        >>> from finer_core.training import schedule_of
        >>> schedule_of("exponential")(50, 100) == 0.1**0.5
        True
    """
    known: dict[str | None, Callable[[], Schedule]] = {
        "linear": warmup_linear,
        "cosine": warmup_cosine,
        "cosine-squared": lambda: warmup_cosine(power=2),
        "exponential": exponential_decay,
    }
    if name not in known:
        raise InputError(f"unknown schedule {name!r} (known: {', '.join(SCHEDULES)})")
    return known[name]()


def exponential_decay(*, final_factor: float = 0.1) -> Schedule:
    """Return final_factor^(step/steps), the papers' image schedule.

    Args:
        final_factor: Factor that the last step nears, positive.

    Raises:
        InputError: If `final_factor` is not positive.

    Example:
        >>> from finer_core.training import exponential_decay
        >>> exponential_decay(final_factor=0.1)(100, 100)
        0.1
    """
    check_within(final_factor, "(0, inf)", what="final_factor")
    return lambda step, steps: final_factor ** min(step / steps, 1.0)


def warmup_linear(*, warmup: float = 0.02) -> Schedule:
    """Return a linear rise over the first share `warmup` of the steps, times a straight line from 1 down to 0.

    Args:
        warmup: Share of the steps, in [0, 1).

    Raises:
        InputError: If `warmup` is outside [0, 1).

    Example:
        >>> from finer_core.training import warmup_linear
        >>> schedule = warmup_linear(warmup=0.1)
        >>> schedule(4, 100), schedule(50, 100)
        (0.48, 0.5)
    """
    return _warmed_up(lambda share: 1 - share, warmup)


def warmup_cosine(*, warmup: float = 0.02, power: float = 1.0) -> Schedule:
    """Return a linear rise over the first share `warmup` of the steps, times half a cosine down to 0, to a power.

    Formula: ((1 + cos(pi step / steps)) / 2)^power. A power of 2 keeps the early rates and has more steps at low ones.

    Args:
        warmup: Share of the steps, in [0, 1).
        power: Positive.

    Raises:
        InputError: If `warmup` is outside [0, 1), or `power` not positive.

    Example:
        >>> from finer_core.training import warmup_cosine
        >>> round(warmup_cosine(warmup=0.1)(50, 100), 6)
        0.5
    """
    check_within(power, "(0, inf)", what="power")
    return _warmed_up(lambda share: (0.5 * (1 + math.cos(math.pi * share))) ** power, warmup)


def _warmed_up(decay: Callable[[float], float], warmup: float) -> Schedule:
    """Return `decay` of the share of the steps that is over, times the rise."""
    check_within(warmup, "[0, 1)", what="warmup")

    def factor(step: int, steps: int) -> float:
        rise = min(1.0, (step + 1) / (warmup * steps)) if warmup > 0 else 1.0
        return rise * decay(min(step / steps, 1.0))

    return factor
