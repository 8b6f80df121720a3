"""Compare methods on several signals, from Python: a row a fit."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from finer_core.errors import DivergenceError, InputError
from finer_core.networks.config import find_method
from finer_core.progress import ProgressOption, reporting

Result = Mapping[str, Any] | Exception
"""The figures of a fit, or the error that ended it."""
Methods = str | Sequence[str] | Mapping[str, str | nn.Module | Mapping[str, Any]]
"""Names of methods; or by a name for the rows: a method, a module of one's own, or settings of `fit`."""


def compare(
    signals: Mapping[str, Any],
    methods: Methods,
    metrics_of: Callable[[Any, dict[str, Any]], Mapping[str, Any] | None],
    *,
    row_of: Callable[[str, str, Result], dict[str, Any]],
    task: str,
    progress: ProgressOption = False,
) -> list[dict[str, Any]]:
    """Fit every method to every signal; a fit that fails is a row as well.

    Args:
        signals: What is fitted, by name.
        methods: See `Methods`. Every fit of a module is one of a copy.
        metrics_of: Fits to a signal by settings of `fit` and returns the figures; None if the fit was interrupted,
            which ends the comparison with the rows of the fits that are finished.
        row_of: Makes a row of signal, method and result.
        task: What the methods must have values for.
        progress: False, True for a bar on stderr, or a function of (fits done, fits, {}).

    Raises:
        InputError: For an unknown method, or one that is not for the task, before the first fit.
    """
    if not isinstance(methods, Mapping):
        methods = {name: name for name in ([methods] if isinstance(methods, str) else methods)}
    given = {name: _settings(method) for name, method in methods.items()}
    for settings in given.values():
        if "method" in settings:
            find_method(settings["method"]).for_task(task)
    rows: list[dict[str, Any]] = []
    with reporting("benchmark", unit="fit", progress=progress) as tell:
        for name, signal in signals.items():
            for method, settings in given.items():
                try:
                    result: Result | None = metrics_of(signal, copy.deepcopy(settings))
                except (InputError, DivergenceError) as error:
                    result = error
                if result is None:
                    return rows
                rows.append(row_of(name, method, result))
                tell(len(rows), len(signals) * len(methods))
    return rows


def _settings(method: str | nn.Module | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(method, Mapping):
        return dict(method)
    return {"network": method} if isinstance(method, nn.Module) else {"method": method}
