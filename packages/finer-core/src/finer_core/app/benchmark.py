"""The command `benchmark` of an application: every method fitted to every input, a run folder each, and one table."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from finer_core.app.benchmark_table import FILES, BenchmarkTable
from finer_core.app.config_file import given_settings
from finer_core.app.fit_command import run_mode
from finer_core.app.folder_lock import lock_folder
from finer_core.app.run_folder import Habits, Mode, RunFolder
from finer_core.app.sharing import BenchmarkFit, Row, rows_of_fits, sharing_of
from finer_core.benchmark import Check, Result, row_with_seed
from finer_core.config import merge_settings
from finer_core.distributed.sharing import Sharing
from finer_core.errors import InputError, error_of_one_fit
from finer_core.io.files import folder_name, printable
from finer_core.networks.config import find_method
from finer_core.schema import check_entries
from finer_core.seeds import different_seeds


class BenchmarkInput(NamedTuple):
    """Name what is fitted, and what its run folders may be called: the first of `names` that no other input takes."""

    signal: Any
    names: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Say what an application compares; workers import its functions.

    Attributes:
        application: Its command, e.g. "finer-image".
        task: What its methods must have values for.
        config: Class of its settings.
        experiment: Its `Experiment`.
        row_of: Makes a row of a fit and its figures, or the error that ended it.
        table: How the rows are written.
        kept: What rows take from `metrics.json`, and its types: that of a run that is kept may have been changed.
        check: Refuses settings that no fit can have, before the first one.
    """

    application: str
    task: str
    config: type[Any]
    experiment: Any
    row_of: Callable[[BenchmarkFit, Result], Row]
    table: BenchmarkTable
    kept: Mapping[str, Any]
    check: Check


@dataclass(frozen=True, kw_only=True)
class BenchmarkPlan:
    """Hold how the fits of a benchmark are made.

    Attributes:
        out: Folder of the tables and of a run folder for each fit.
        mode: "resume" keeps what is finished and goes on with what is not.
        given: Settings that the user named; a run that is gone on with must have them.
        quiet: No progress.
        are_seeds_given: Whether the user named the seeds as well.
        sharing: Who computes.
    """

    out: Path
    mode: Mode = "new"
    given: Mapping[str, Any] = field(default_factory=dict)
    quiet: bool = False
    are_seeds_given: bool = False
    sharing: Sharing = field(default_factory=Sharing)


def compare_methods(benchmark: Benchmark, inputs: Sequence[BenchmarkInput], arguments: argparse.Namespace) -> None:
    """Fit every method of a command line to every input, with every seed; print the table.

    Raises:
        InputError: For wrong input, before the first fit; or after the table, if none of the fits succeeded.
    """
    mode = run_mode(arguments)
    given = given_settings(arguments, benchmark.config)
    seeds = _seeds_of(arguments)
    methods = list(dict.fromkeys(arguments.methods))
    for method in methods:
        find_method(method, task=benchmark.task)
    settings = [
        merge_settings(benchmark.config, {**given, "method": method}, {"seed": seed})
        for method in methods
        for seed in seeds or (None,)
    ]
    for each in settings:
        benchmark.check(each)
    plan = BenchmarkPlan(
        out=Path(arguments.out),
        mode=mode,
        given=given,
        quiet=arguments.quiet,
        are_seeds_given=bool(seeds),
        sharing=sharing_of(arguments, application=benchmark.application),
    )
    with plan.sharing.threads_here():
        rows = run_benchmark(benchmark, plan, fits_of(inputs, settings, out=plan.out))
    print(benchmark.table.json(rows) if arguments.json else benchmark.table.markdown(rows))
    if rows and all(row.get("error") for row in rows):
        raise InputError(f"{printable(plan.out)}: none of the fits ({len(rows)}) succeeded; the table has their errors")


def _seeds_of(arguments: argparse.Namespace) -> list[int]:
    """Return what --seeds names; nothing where it is not given."""
    if arguments.seeds is None:
        return []
    if arguments.seed is not None:
        raise InputError("--seed and --seeds both say what fits are drawn from; give one of them")
    return different_seeds(arguments.seeds)


def run_benchmark(benchmark: Benchmark, plan: BenchmarkPlan, fits: Sequence[BenchmarkFit]) -> list[Row]:
    """Make all fits, while no other job writes into the folder; return the table's rows.

    A fit that fails is a row with its error: one bad input does not lose the others. The table is written after each.

    Raises:
        InputError: If the folder cannot be made, or holds an earlier benchmark that is neither to be gone on with nor
            replaced.
    """
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{plan.out}: cannot make the folder ({error.strerror or error})") from error
    lock = lock_folder(plan.out)
    for name in FILES:
        if os.path.isdir(plan.out / name):
            raise InputError(f"{plan.out / name}: a folder is where a file of the benchmark belongs; move it away")
    if plan.mode == "new" and (plan.out / "benchmark.json").exists():
        raise InputError(f"{plan.out}: holds a benchmark; use --resume to go on, --overwrite to replace it")
    rows: list[Row] = []
    for rows in rows_of_fits(partial(_row_of_fit, benchmark), plan, fits):
        benchmark.table.write(plan.out, rows)
    del lock  # an error keeps it, by its traceback: `is_at_work` asks for it
    return rows


def _row_of_fit(benchmark: Benchmark, plan: BenchmarkPlan, fit: BenchmarkFit) -> Row:
    if not plan.quiet:
        print(f"{printable(fit.label)}, {fit.settings.method}: {printable(fit.out)}", file=sys.stderr)
    seed = fit.settings.seed
    try:
        figures = _figures_of_fit(benchmark, plan, fit)
        row = benchmark.row_of(fit, figures)
        seed = figures.get("seed", seed)  # of a run that is kept, where none was asked for
    except Exception as error:
        row = benchmark.row_of(fit, error_of_one_fit(error))
    return row_with_seed(row, seed)


def _figures_of_fit(benchmark: Benchmark, plan: BenchmarkPlan, fit: BenchmarkFit) -> Mapping[str, Any]:
    signal, habits, run = str(fit.signal), Habits(quiet=plan.quiet), RunFolder(fit.out)
    if plan.mode == "resume" and run.config.is_file():
        given = {**plan.given, "method": fit.settings.method}
        if plan.are_seeds_given:
            given["seed"] = fit.settings.seed
        if run.metrics.is_file():
            figures: Mapping[str, Any] = benchmark.experiment.finished(fit.out, signal=signal, given=given)
            kinds = {"seed": int, "seconds": float, **benchmark.kept}
            here = {name: kind for name, kind in kinds.items() if name in figures}  # an older version may have had less
            check_entries(figures, here, what=str(run.metrics))
            return figures
        return benchmark.experiment.resume(fit.out, signal=signal, given=given, habits=habits)
    start = benchmark.experiment.start
    return start(fit.out, settings=fit.settings, signal=signal, mode=plan.mode, habits=habits)


def fits_of(inputs: Sequence[BenchmarkInput], settings: Sequence[Any], *, out: Path) -> list[BenchmarkFit]:
    """Return the fits of all inputs by all settings, which differ in method or seed, no two in one folder."""
    names = [[folder_name(name) for name in each.names] for each in inputs]
    labels = folder_labels(names, [each.method for each in settings])
    several = len({each.seed for each in settings}) > 1
    return [
        BenchmarkFit(each.signal, label, chosen, _folder_of_fit(out / f"{label}-{chosen.method}", chosen.seed, several))
        for each, label in zip(inputs, labels, strict=True)
        for chosen in settings
    ]


def _folder_of_fit(folder: Path, seed: int, several: bool) -> Path:
    """Return the folder of a fit with one of several seeds, or with the only one.

    There is one for every seed: a fit that was made when it was the only one, or one of several, is where it was. No
    method's name ends as a folder of a seed does.
    """
    of_seed = folder.with_name(f"{folder.name}-seed-{seed}")
    if os.path.isfile(RunFolder(of_seed).config):  # and not of pathlib, which raises for a name that is too long
        return of_seed
    return folder if not several or _seed_in(folder) == seed else of_seed


def _seed_in(folder: Path) -> Any:
    """Return the seed of the run in a folder; None if there is none that says one."""
    try:
        return RunFolder(folder).read_config()["settings"]["seed"]
    except (InputError, LookupError, TypeError):
        return None


def folder_labels(names: Sequence[Sequence[str]], methods: Sequence[str]) -> list[str]:
    """Return a label for each input so that no two of LABEL-METHOD are the same, whatever the case of their letters.

    Inputs that would share a folder all take their next name: of `a.obj` and `a.ply`, the name with its suffix. Where
    names do not suffice, later inputs get a number: "lego", "lego-2".
    """
    chosen = [0] * len(names)
    while True:
        labels = [each[number] for each, number in zip(names, chosen, strict=True)]
        count = Counter(folder for label in labels for folder in _folders(label, methods))
        shared = [
            place
            for place, label in enumerate(labels)
            if chosen[place] + 1 < len(names[place]) and any(count[folder] > 1 for folder in _folders(label, methods))
        ]
        if not shared:
            break
        for place in shared:
            chosen[place] += 1
    taken: set[str] = set()
    for place, label in enumerate(labels):
        number = 1
        while taken & _folders(labels[place], methods):
            number += 1
            labels[place] = f"{label}-{number}"
        taken |= _folders(labels[place], methods)
    return labels


def _folders(label: str, methods: Sequence[str]) -> set[str]:
    return {f"{label}-{method}".casefold() for method in methods}


def files_in(
    folder: str,
    *,
    suffixes: Sequence[str],
    what: str,
    limit: int | None,
    is_input: Callable[[Path], bool] = Path.is_file,
) -> list[BenchmarkInput]:
    """Return the inputs in a folder by name, hidden ones left out, or the one that is named itself.

    Args:
        folder: The folder, or an input.
        suffixes: That an input's name may have.
        what: The inputs, in the plural, for the messages.
        limit: Most that are returned; None for all.
        is_input: Says whether what has such a name can be one.

    Raises:
        InputError: If there is none, the folder cannot be listed, or the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit must be at least 1, got {limit}")
    path = Path(folder)
    try:
        if is_input(path):
            found = [path]
        elif not path.is_dir():
            raise InputError(f"{folder}: no such folder; check the spelling")
        else:
            listed = sorted(each for each in path.iterdir() if each.suffix.lower() in suffixes and each.name[0] != ".")
            found = [each for each in listed if is_input(each)][:limit]
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror or error}); check the path") from error
    if not found:
        raise InputError(f"{folder}: holds no {what}; give a folder with files of {' '.join(suffixes)}")
    return [BenchmarkInput(each, (each.stem, each.name)) for each in found]
