"""Compare methods on several signals, from Python: a row a fit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from finer_core.errors import DivergenceError, InputError
from finer_core.networks.config import find_method
from finer_core.progress import ProgressOption, reporting

Result = Mapping[str, Any] | Exception
"""The figures of a fit, or the error that ended it."""


def compare(
    signals: Mapping[str, Any],
    methods: str | Sequence[str],
    metrics_of: Callable[[Any, str], Mapping[str, Any] | None],
    *,
    row_of: Callable[[str, str, Result], dict[str, Any]],
    task: str,
    progress: ProgressOption = False,
) -> list[dict[str, Any]]:
    """Fit every method to every signal; a fit that fails is a row as well.

    Args:
        signals: What is fitted, by name.
        methods: Names of methods.
        metrics_of: Fits a method to a signal and returns its figures; None if the fit was interrupted, which ends the
            comparison with the rows of the fits that are finished.
        row_of: Makes a row of signal, method and result.
        task: What the methods must have values for.
        progress: False, True for a line on stderr, or a function of (fits done, fits, {}).

    Raises:
        InputError: For an unknown method, or one that is not for the task, before the first fit.
    """
    methods = [methods] if isinstance(methods, str) else list(methods)
    for method in methods:
        find_method(method).for_task(task)
    rows: list[dict[str, Any]] = []
    with reporting("benchmark", unit="fit", progress=progress) as tell:
        for name, signal in signals.items():
            for method in methods:
                try:
                    result: Result | None = metrics_of(signal, method)
                except (InputError, DivergenceError) as error:
                    result = error
                if result is None:
                    return rows
                rows.append(row_of(name, method, result))
                tell(len(rows), len(signals) * len(methods))
    return rows
