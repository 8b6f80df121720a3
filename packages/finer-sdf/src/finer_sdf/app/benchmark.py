"""Compare methods on shapes: one run folder each, and one table in three formats."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finer_core.app import benchmark as benchmark_table
from finer_core.app.sharing import BenchmarkFit, rows_of_fits
from finer_core.benchmark import Result
from finer_core.distributed.sharing import Sharing
from finer_core.errors import DivergenceError, InputError
from finer_sdf.app.experiment import resume_run, start_run
from finer_sdf.benchmarking import COLUMNS, row_of
from finer_sdf.config import SdfConfig
from finer_sdf.formats import SUFFIXES
from finer_sdf.published import SOURCE


@dataclass(frozen=True, kw_only=True)
class BenchmarkPlan:
    """Hold what is compared and how.

    Attributes:
        shapes: Files.
        settings: One per method.
        out: Folder of the tables and of a run folder for each fit.
        resume: Keep what is finished, go on with what is not.
        overwrite: Replace what is there.
        quiet: No progress.
        sharing: Who computes.
    """

    shapes: Sequence[Path]
    settings: Sequence[SdfConfig]
    out: Path
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False
    sharing: Sharing = field(default_factory=Sharing)


def shapes_in(folder: str, *, limit: int | None) -> list[Path]:
    """Return the shape files of a folder by name, or the one file named.

    Raises:
        InputError: If there is none.
    """
    path = Path(folder)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)[:limit]
    if not found:
        raise InputError(f"{folder}: holds no shapes ({' '.join(SUFFIXES)})")
    return found


@benchmark_table.alone_in_folder
def run_benchmark(plan: BenchmarkPlan) -> list[dict[str, Any]]:
    """Fit every method to every shape; return the table's rows and write it after each fit.

    A fit that fails is a row with its error: one bad file does not lose the others.

    Raises:
        InputError: If the folder holds an earlier benchmark and neither `resume` nor `overwrite` is set.
    """
    benchmark_table.refuse_earlier_benchmark(plan.out, resume=plan.resume, overwrite=plan.overwrite)
    rows: list[dict[str, Any]] = []
    names = run_names(plan.shapes, [settings.method for settings in plan.settings])
    fits = [
        BenchmarkFit(shape, shape.name, settings, plan.out / names[shape, settings.method])
        for shape in plan.shapes
        for settings in plan.settings
    ]
    for rows in rows_of_fits(_row, plan, fits):
        markdown = markdown_table(rows)
        benchmark_table.write_tables(plan.out, rows, columns=COLUMNS, markdown=markdown, source=SOURCE)
    return rows


def run_names(shapes: Sequence[Path], methods: Sequence[str]) -> dict[tuple[Path, str], str]:
    """Return the name of the run folder of every shape and method: no two the same.

    It is STEM-METHOD, and where that names two fits, as of `a.obj` and `a.ply`, NAME-METHOD: `a.obj-finer`.

    Raises:
        InputError: If a method is given twice.
    """
    for method in methods:
        if methods.count(method) > 1:
            raise InputError(f"--methods names {method} twice; name each once")
    fits = [(shape, method) for shape in shapes for method in methods]
    stems = Counter(f"{shape.stem}-{method}".lower() for shape, method in fits)
    return {
        (shape, method): f"{shape.stem if stems[f'{shape.stem}-{method}'.lower()] == 1 else shape.name}-{method}"
        for shape, method in fits
    }


def _row(plan: BenchmarkPlan, fit: BenchmarkFit) -> dict[str, Any]:
    if not plan.quiet:
        print(f"{fit.label}, {fit.settings.method}: {fit.out}", file=sys.stderr)
    result: Result
    try:
        result = _figures(plan, fit)
    except (InputError, DivergenceError) as error:
        result = error
    return row_of(fit.label, fit.settings.method, result)


def _figures(plan: BenchmarkPlan, fit: BenchmarkFit) -> Mapping[str, Any]:
    habits: dict[str, Any] = {"signal": str(fit.signal), "quiet": plan.quiet, "tensorboard": False}
    return benchmark_table.figures_of_run(
        fit.out,
        resume=plan.resume,
        overwrite=plan.overwrite,
        go_on=lambda: resume_run(fit.out, given={}, **habits),
        start=lambda mode: start_run(fit.out, settings=fit.settings, mode=mode, **habits),
    )


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table, with the source of the published figures."""
    head = ["shape", "method", "Chamfer L2 sum", "excess", "IoU", "RMS to", "RMS from", "seconds", "published", "IoU"]
    return benchmark_table.markdown_table(rows, columns=COLUMNS, headings=head, shown=_shown, source=SOURCE)


def _shown(name: str, value: float) -> str:
    if name == "seconds":
        return f"{value:.0f}"
    return f"{value:.4f}" if name.endswith("iou") else f"{value:.3e}"


def json_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as one JSON object."""
    return benchmark_table.json_table(rows, source=SOURCE)
