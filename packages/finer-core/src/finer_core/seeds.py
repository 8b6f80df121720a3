"""The seeds that fits are repeated with, and what figures are over them; needs no PyTorch."""

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

from finer_core.errors import InputError
from finer_core.schema import fits, plain, shown

SPREAD = "the sample standard deviation over seeds"
"""What the spread of a figure is, in words, as tables say it."""


def whole_seeds(seeds: Any) -> list[int]:
    """Return seeds as a list.

    Args:
        seeds: A list, a tuple, a range or an array.

    Raises:
        InputError: If it is something else, or one of them is no integer that a generator takes.
    """
    if not isinstance(seeds, Iterable) or isinstance(seeds, str | bytes):
        raise InputError(f"seeds must be a list of integers, got {shown(seeds)[:100]}")
    found = [plain(seed) for seed in seeds]
    for seed in found:
        if not fits(seed, int):
            raise InputError(f"a seed must be an integer below 2^63, got {shown(seed)[:100]}")
    return found


def different_seeds(seeds: Any) -> list[int]:
    """Return the seeds that fits are repeated with as a list.

    Args:
        seeds: A list, a tuple, a range or an array.

    Raises:
        InputError: If it is something else, empty, or a seed is no integer, negative, or given twice.

    Example:
        >>> from finer_core.seeds import different_seeds
        >>> different_seeds(range(3))
        [0, 1, 2]
    """
    found = whole_seeds(seeds)
    if not found or len(set(found)) < len(found) or min(found) < 0:
        given = " ".join(map(str, found))[:100] or "none"
        raise InputError(f"--seeds must be different numbers of at least 0, got {given}")
    return found


def mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return a figure's mean over seeds and its spread, the sample standard deviation over seeds.

    Args:
        values: The figure, a value a seed.

    Returns:
        The mean, None of no values; and the spread, None of less than two.

    Example:
        >>> from finer_core.seeds import mean_and_spread
        >>> mean_and_spread([30.0, 32.0, 34.0])
        (32.0, 2.0)
    """
    if not values:
        return None, None
    return fmean(values), stdev(values) if len(values) > 1 else None
