"""Compare methods on several signals, from Python: a row a fit."""

import copy
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn

from finer_core.config import config_with
from finer_core.distributed.sharing import Sharing, found_from_anywhere, shared_results
from finer_core.errors import InputError, error_of_one_fit
from finer_core.networks.config import find_method
from finer_core.progress import ProgressOption, reporting
from finer_core.seeds import different_seeds

Result = Mapping[str, Any] | Exception
"""The figures of a fit, or the error that ended it."""
Methods = str | Sequence[str] | Mapping[str, str | nn.Module | Mapping[str, Any]]
"""Names of methods; or by a name for the rows: a method, a module of one's own, or settings of `fit`."""
Check = Callable[[Any], None]
"""Raises InputError for settings that no fit can have, whatever the signal."""
MetricsOf = Callable[[Any, dict[str, Any]], Mapping[str, Any] | None]
"""Fits to a signal by arguments of `fit` and returns the figures; None if the fit was interrupted."""

_OF_THIS_PROCESS = ("callbacks", "checkpoint", "resume", "progress")
"""Arguments of `fit` that mean something in this process only, or for one fit."""


class Comparison(NamedTuple):
    """Name a fit: of which signal, by which method, with which seed; None for that of the method's settings."""

    signal: str
    method: str
    seed: int | None

    def __str__(self) -> str:
        return ", ".join([self.signal, self.method, *([] if self.seed is None else [f"seed {self.seed}"])])


class _Sent(NamedTuple):
    """Hold a fit as it is sent to a worker: a signal's bytes are one object, however many methods are fitted to it."""

    name: Comparison
    signal: bytes
    settings: bytes


def compare(
    signals: Mapping[str, Any],
    methods: Methods,
    metrics_of: MetricsOf,
    *,
    row_of: Callable[[str, str, Result], dict[str, Any]],
    task: str,
    config: Any = None,
    check: Check | None = None,
    overrides: Mapping[str, Any] | None = None,
    seeds: Sequence[int] | None = None,
    sharing: Sharing | None = None,
    progress: ProgressOption = False,
) -> list[dict[str, Any]]:
    """Fit every method to every signal, here or on workers; a fit that fails is a row as well.

    Args:
        signals: What is fitted, by name.
        methods: See `Methods`. Every fit of a module is one of a copy.
        metrics_of: See `MetricsOf`; None ends the comparison with the rows of the fits that are finished. Workers
            import it, and call it again where one dies.
        row_of: Makes a row of signal, method and result.
        task: What the methods must have values for.
        config: Settings of every fit, which its arguments replace; None if they are not checked.
        check: Refuses settings that no fit can have, before the first one; the network of a module is the method's.
        overrides: Arguments of `fit` for all; a method's settings come before them.
        seeds: Fits every method with each; None for the seed of its settings.
        sharing: Who computes; None for this process.
        progress: False, True for a bar on stderr, or a function of (fits done, fits, {}).

    Returns:
        The rows, which say their seed, signal by signal, whoever was first.

    Raises:
        InputError: For signals without names, an unknown method, or one that is not for the task, or a setting that no
            fit of a method can have, or for seeds beside a seed, or that are not different; or if workers are asked for
            and cannot be had, or something cannot be sent to them, before the first fit; or if a worker cannot read it.
        CollectiveError: If the scheduler is gone, or a fit's workers die again and again.
    """
    sharing = sharing or Sharing()
    _check_named(signals)
    if not isinstance(methods, Mapping):
        methods = {name: name for name in ([methods] if isinstance(methods, str) else methods)}
    given = {name: {**(overrides or {}), **_settings(method)} for name, method in methods.items()}
    repeated = [None] if seeds is None else different_seeds(seeds)
    for settings in given.values():
        if seeds is not None and "seed" in settings:
            raise InputError("seed= and seeds= both say what fits are drawn from; give one of them")
        if "method" in settings:
            find_method(settings["method"], task=task)
        for seed in repeated if config is not None else ():
            whole = _whole_settings(_with_seed(settings, seed), config=config)
            if check is not None:
                check(whole)
    names = [Comparison(signal, method, seed) for signal in signals for method in given for seed in repeated]
    results = _results_of_workers(metrics_of, signals, given, names, sharing) if sharing.is_on else None
    rows: dict[int, dict[str, Any]] = {}
    with reporting("benchmark", unit="fit", progress=progress) as tell, sharing.threads_here():
        for place, result in results or _results_here(metrics_of, signals, given, names):
            if result is None:
                break
            name = names[place]
            own = given[name.method].get("seed", getattr(config, "seed", None))
            seed = own if name.seed is None else name.seed
            rows[place] = row_with_seed(row_of(name.signal, name.method, result), seed)
            tell(len(rows), len(names))
    return [rows[place] for place in sorted(rows)]


def row_with_seed(row: Mapping[str, Any], seed: int | None) -> dict[str, Any]:
    """Return the row of a fit with its seed, which stands behind the signal and the method."""
    columns = list(row.items())
    return dict([*columns[:2], ("seed", seed), *columns[2:]])


def _check_named(signals: Any) -> None:
    if not isinstance(signals, Mapping):
        is_path = isinstance(signals, str | os.PathLike)
        got = repr(str(signals))[:80] if is_path else f"one of type {type(signals).__name__}"
        raise InputError(f'what is fitted must be given by name, as in {{"name": "file"}}, got {got}')


def _settings(method: str | nn.Module | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(method, Mapping):
        return dict(method)
    return {"network": method} if isinstance(method, nn.Module) else {"method": method}


def _with_seed(settings: Mapping[str, Any], seed: int | None) -> dict[str, Any]:
    return dict(settings) if seed is None else {**settings, "seed": seed}


def _whole_settings(settings: Mapping[str, Any], *, config: Any) -> Any:
    """Return the settings of a fit with these arguments; InputError if it would refuse one."""
    named = {name: value for name, value in settings.items() if name not in ("activation", *_OF_THIS_PROCESS)}
    network = named.pop("network", None)
    if isinstance(network, Mapping):
        named["network"] = dict(network)
    elif network is not None:
        named["network"] = {}
    return config_with(type(config), config, named)


def _results_here(
    metrics_of: MetricsOf,
    signals: Mapping[str, Any],
    given: Mapping[str, Mapping[str, Any]],
    names: Sequence[Comparison],
) -> Iterator[tuple[int, Result | None]]:
    for place, name in enumerate(names):
        settings = _with_seed(given[name.method], name.seed)
        if "network" in settings:  # a module is trained in place; callbacks are the caller's own, and stay so
            settings["network"] = copy.deepcopy(settings["network"])
        yield place, _result(metrics_of, signals[name.signal], settings)


def _result(metrics_of: MetricsOf, signal: Any, settings: dict[str, Any]) -> Result | None:
    try:
        return metrics_of(signal, settings)
    except Exception as error:
        return error_of_one_fit(error)


def _results_of_workers(
    metrics_of: MetricsOf,
    signals: Mapping[str, Any],
    given: Mapping[str, Mapping[str, Any]],
    names: Sequence[Comparison],
    sharing: Sharing,
) -> Iterator[tuple[int, Result | None]]:
    """Return the results of workers as they come; what cannot be sent is refused now."""
    for settings in given.values():
        for argument in _OF_THIS_PROCESS:
            if settings.get(argument):
                raise InputError(f"{argument}= cannot be shared with workers; leave it out, or workers= and scheduler=")
    packed = {method: _packed_settings(metrics_of, method, settings, sharing) for method, settings in given.items()}
    contents = {name: _packed(found_from_anywhere(signal), repr(name), sharing) for name, signal in signals.items()}
    fits = [_Sent(name, contents[name.signal], packed[name.method]) for name in names]
    return _received(fits, sharing)


def _received(fits: Sequence[_Sent], sharing: Sharing) -> Iterator[tuple[int, Result | None]]:
    advice = "call benchmark again; the command benchmark, in a folder, keeps what is finished"
    try:
        yield from shared_results(
            _result_on_worker, fits, sharing=sharing, name_of=lambda fit: str(fit.name), advice=advice
        )
    except KeyboardInterrupt:  # raised while this process waits: what is finished is returned, as in a sequence
        return


def _packed_settings(metrics_of: MetricsOf, method: str, settings: Mapping[str, Any], sharing: Sharing) -> bytes:
    for argument, value in settings.items():
        _packed(value, f"{argument}= of {method!r}", sharing)
    return _packed((metrics_of, dict(settings)), repr(method), sharing)


def _packed(value: Any, name: str, sharing: Sharing) -> bytes:
    """Return a value as bytes, with the code that workers could not import: functions of the caller's own program."""
    from finer_core.distributed.by_dask import packed

    try:
        return packed(value, extra=sharing.extra)
    except InputError:
        raise
    except Exception as error:  # whatever a class of the caller's own raises
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{name} cannot be sent to workers ({reason}); leave out workers= and scheduler=, or what it holds open"
        ) from error


def _result_on_worker(fit: _Sent) -> Result | None:
    try:
        (metrics_of, settings), signal = pickle.loads(fit.settings), pickle.loads(fit.signal)
    except Exception as error:
        raise InputError(
            f"{fit.name}: a worker cannot read what it was sent ({type(error).__name__}: {error}); "
            "install the same packages there, with the module that it is from"
        ) from error
    return _result(metrics_of, signal, _with_seed(settings, fit.name.seed))
