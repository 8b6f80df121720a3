"""One `finer-ntk sweep`: kernels of many settings, or of a sequence of models, beside each other."""

import csv
import dataclasses
import io
import itertools
import json
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.app.run_folder import Mode, RunFolder
from finer_core.distributed.interruption import interruptible
from finer_core.errors import InputError, Interrupted
from finer_core.io.files import json_text, write_text
from finer_core.io.partial_files import remove_partial_files
from finer_core.io.report import Report
from finer_core.io.text import markdown_table
from finer_core.networks.config import option_names
from finer_core.progress import Progress
from finer_core.resources import PROCESS_BYTES
from finer_core.schema import fits
from finer_ntk import plots as figures
from finer_ntk.analysis import alignments, measure
from finer_ntk.app.arrays import write_arrays, write_npz
from finer_ntk.app.runs import (
    as_lists,
    common_figures,
    end_report,
    keep_figure,
    log_points,
    open_run,
    shown_eigenvalues,
    shown_figures,
    tell,
    working_memory,
)
from finer_ntk.config import SweepSettings
from finer_ntk.inputs.networks import Subject, given_points, load_subject, subject_at_start
from finer_ntk.inputs.points import Points, grid_points
from finer_ntk.kernel import as_derivative
from finer_ntk.spectrum.eigen import check_room_for_all

_SIZES = ("hidden_features", "hidden_layers")
_SHOWN = ("effective_rank", "diagonal_energy", "largest_eigenvalue_share")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Say which kernel is one of the sweep: a setting, or a model file."""

    name: str
    settings: SweepSettings
    model: str | None


def run_sweep(
    out: Path, *, settings: SweepSettings, models: Sequence[str], mode: Mode, quiet: bool, tensorboard: bool
) -> dict[str, Any]:
    """Compute, write, report; return the figures, one row an entry.

    Raises:
        InputError: Before anything was written, for any wrong input.
    """
    entries = entries_of(settings, models)
    points = given_points(settings) or (
        load_subject(settings, model=models[0]).points if models else grid_points("1024")
    )
    check_room_for_all(len(points.coords), settings.memory, process=PROCESS_BYTES)
    subjects = [_subject(entry, points, seed=settings.seed) for entry in entries]  # all, so that a wrong one shows now
    tell(points, quiet=quiet)
    run, config = open_run(
        out, subjects[0], settings, command="sweep", signal=None, files=models, points=points.what, mode=mode
    )
    rows, kernels, values, seconds = _measure(run, entries, points, settings, quiet=quiet)
    started = time.monotonic()
    rows = _with_alignment(rows, kernels, sequence=bool(models))
    _write_tables(run, rows)
    series = [{key: row[key] for key in ("effective_rank", "diagonal_energy")} for row in rows]
    log_points(run, series, tensorboard=tensorboard)
    seconds += time.monotonic() - started
    metrics = {
        **common_figures(subjects[0], settings, points=len(points.coords), seconds=seconds, steps=0),
        "method": [row["method"] for row in rows],
        "parameters": [row["parameters"] for row in rows],
        "effective_rank": [row["effective_rank"] for row in rows],
        "top_eigenvalues": [shown_eigenvalues(value) for value in values],
        "diagonal_energy": [row["diagonal_energy"] for row in rows],
        "rows": rows,
    }
    _report(run, config, rows, kernels, values, points)
    run.write_metrics(metrics)
    return run.read_metrics()


def entries_of(settings: SweepSettings, models: Sequence[str]) -> list[Entry]:
    """Return the product of methods and option lists, or one entry a model file.

    An option that a method does not have is left out for it, so that methods can be swept together.

    Raises:
        InputError: If both models and options were given, or no method has an option.
    """
    lists = as_lists(settings.network)
    if models:
        if lists:
            raise InputError(
                f"--{next(iter(lists)).replace('_', '-')} draws networks, model files are drawn already; give one"
            )
        return [Entry(name=model, settings=settings, model=model) for model in models]
    for name in lists:
        if not any(name in (*_SIZES, *option_names(method)) for method in settings.methods):
            raise InputError(f"--{name.replace('_', '-')}: none of the methods {', '.join(settings.methods)} has it")
    entries = []
    for method in settings.methods:
        own = {name: values for name, values in lists.items() if name in (*_SIZES, *option_names(method))}
        for combination in itertools.product(*own.values()):
            options = dict(zip(own, combination, strict=True))
            varied = [f"{name} {value}" for name, value in options.items() if len(own[name]) > 1]
            name = ", ".join([method, *varied])
            entry = dataclasses.replace(settings, method=method, network=options)
            entries.append(Entry(name=name, settings=entry, model=None))
    return entries


def _subject(entry: Entry, points: Points, *, seed: int) -> Subject:
    settings = dataclasses.replace(entry.settings, seed=seed)
    if entry.model is not None:
        subject = load_subject(settings, model=entry.model)
        if subject.points.sha256() != points.sha256():
            raise InputError(f"{entry.model}: its points differ ({subject.points.what}); choose common ones by --grid")
        return subject
    return subject_at_start(settings, points=points)


def _measure(
    run: RunFolder, entries: Sequence[Entry], points: Points, settings: SweepSettings, *, quiet: bool
) -> tuple[list[dict[str, Any]], list[np.ndarray], list[np.ndarray], float]:
    """Return rows, first seed's kernels and eigenvalues, and the seconds; what an interrupted run left is taken."""
    kept = run.checkpoint.parent
    kept.mkdir(exist_ok=True)
    remove_partial_files(kept)
    rows, kernels, spectra, total = [], [], [], 0.0
    progress = Progress("sweep", total=len(entries), unit="kernel", quiet=quiet)
    with interruptible() as should_stop:
        for number, entry in enumerate(entries):
            path = kept / f"entry-{number:03d}.npz"
            if not path.is_file():
                if should_stop():
                    raise Interrupted(number)
                started = time.monotonic()
                row, kernel, values = _measure_one(entry, points, settings)
                arrays = {"row": np.array(json_text(row)), "kernel": kernel, "eigenvalues": values}
                write_npz(path, {**arrays, "seconds": np.array(time.monotonic() - started)})
            row, kernel, values, seconds = _kept(path, len(points.coords))
            total += seconds
            rows.append(row)
            kernels.append(kernel)
            spectra.append(values)
            progress.update(number + 1, lambda: f"effective rank {rows[-1]['effective_rank']:.2f}")
    progress.close()
    return rows, kernels, spectra, total


def _kept(path: Path, count: int) -> tuple[dict[str, Any], np.ndarray, np.ndarray, float]:
    """Return what was measured of one kernel, and in how many seconds."""
    try:
        with np.load(path, allow_pickle=False) as file:
            row, kernel, values = json.loads(str(file["row"])), file["kernel"], file["eigenvalues"]
            seconds = float(file["seconds"])
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        EOFError,
        RecursionError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(f"{path}: damaged ({error}); remove it to compute this kernel again") from error
    kinds = {kernel.dtype.kind, values.dtype.kind}
    named = fits(row, Mapping[str, Any]) and {"name", "method", "parameters", "network", *_SHOWN} <= set(row)
    shapes_fit = kernel.shape == (count, count) and values.shape == (count,) and 0 <= seconds < float("inf")
    if not shapes_fit or kinds != {"f"} or not named:
        raise InputError(f"{path}: not a kernel of this sweep; remove it to compute it again")
    return row, kernel, values, seconds


def _measure_one(
    entry: Entry, points: Points, settings: SweepSettings
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    seeds = range(settings.seed, settings.seed + (1 if entry.model else settings.seeds))
    subjects = [_subject(entry, points, seed=seed) for seed in seeds]
    return measure(
        entry.name,
        [subject.network for subject in subjects],
        subjects[0].coords,
        points.target,
        derivative=as_derivative(settings.derivative),
        memory=working_memory(settings.memory),
    )


def _with_alignment(
    rows: Sequence[Mapping[str, Any]], kernels: Sequence[np.ndarray], *, sequence: bool
) -> list[dict[str, Any]]:
    """Add each kernel's alignment with the first and, for a sequence of models, with the one before."""
    return [
        {**row, **alignments([kernels[0], *kernels[: index + 1]], sequence=sequence)} for index, row in enumerate(rows)
    ]


def _write_tables(run: RunFolder, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write table.md and table.csv of the plain figures."""
    names = [key for key, value in rows[0].items() if not isinstance(value, list | Mapping)]
    lines = [["" if row[key] is None else _cell(row[key]) for key in names] for row in rows]
    write_text(run.path / "table.md", "\n".join(markdown_table(names, lines)) + "\n")
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([names, *lines])
    write_text(run.path / "table.csv", table.getvalue())


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _report(
    run: RunFolder,
    config: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    kernels: Sequence[np.ndarray],
    spectra: Sequence[np.ndarray],
    points: Points,
) -> None:
    names = [str(row["name"]) for row in rows]
    drawn = {
        "kernels": figures.draw_kernels(dict(zip(names, kernels, strict=True)), normalize=True),
        "eigenvalues": figures.draw_eigenvalues(dict(zip(names, spectra, strict=True))),
        "trends": figures.draw_trends(rows, _SHOWN),
    }
    arrays = {f"kernel_{index}": kernel for index, kernel in enumerate(kernels)}
    arrays |= {f"eigenvalues_{index}": values for index, values in enumerate(spectra)}
    write_arrays(run.path / "sweep", {**arrays, "names": np.array(names), "points": points.coords.numpy()})
    page = Report(
        "Kernels compared", note=f"finer-ntk {config['versions']['finer-ntk']}, {config['started']}, {points.what}"
    )
    for name, figure in drawn.items():
        page.heading(name)
        page.figures([(name, keep_figure(run, name, figure))])
    page.heading("Figures")
    for row in rows:
        shown = shown_figures({key: value for key, value in row.items() if key != "network"})
        page.table(shown, folded=str(row["name"]))
    end_report(page, run, config, config["settings"])
