"""Compare methods on scenes: one run folder each, and one table in three formats."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finer_core.app import benchmark as benchmark_table
from finer_core.app.sharing import BenchmarkFit, rows_of_fits
from finer_core.benchmark import Result
from finer_core.distributed.sharing import Sharing
from finer_core.errors import DivergenceError, InputError
from finer_nerf.app.experiment import resume_run, start_run
from finer_nerf.benchmarking import COLUMNS, row_of
from finer_nerf.config import NerfConfig, scene_name
from finer_nerf.published import SOURCE


@dataclass(frozen=True, kw_only=True)
class BenchmarkPlan:
    """Hold what is compared and how.

    Attributes:
        scenes: Folders or files, or the built-in scene's name.
        settings: One per method.
        out: Folder of the tables and of a run folder for each training.
        resume: Keep what is finished, go on with what is not.
        overwrite: Replace what is there.
        quiet: No progress.
        sharing: Who computes.
    """

    scenes: Sequence[str]
    settings: Sequence[NerfConfig]
    out: Path
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False
    sharing: Sharing = field(default_factory=Sharing)


@benchmark_table.alone_in_folder
def run_benchmark(plan: BenchmarkPlan) -> list[dict[str, Any]]:
    """Train every method on every scene; return the table's rows and write it after each training.

    A training that fails is a row with its error: one bad scene does not lose the others.

    Raises:
        InputError: If the folder holds an earlier benchmark and neither `resume` nor `overwrite` is set.
    """
    benchmark_table.refuse_earlier_benchmark(plan.out, resume=plan.resume, overwrite=plan.overwrite)
    rows: list[dict[str, Any]] = []
    fits = [
        BenchmarkFit(scene, label, settings, plan.out / f"{label}-{settings.method}")
        for scene, label in zip(plan.scenes, labels_of(plan.scenes), strict=True)
        for settings in plan.settings
    ]
    for rows in rows_of_fits(_row, plan, fits):
        markdown = markdown_table(rows)
        benchmark_table.write_tables(plan.out, rows, columns=COLUMNS, markdown=markdown, source=SOURCE)
    return rows


def labels_of(scenes: Sequence[str]) -> list[str]:
    """Return a name for each scene, of its own also where letters' case does not count: "s", "s-2" ..."""
    labels: list[str] = []
    for scene in scenes:
        name, number = scene_name(scene), 1
        label = name
        while label.casefold() in map(str.casefold, labels):
            number += 1
            label = f"{name}-{number}"
        labels.append(label)
    return labels


def _row(plan: BenchmarkPlan, fit: BenchmarkFit) -> dict[str, Any]:
    if not plan.quiet:
        print(f"{fit.label}, {fit.settings.method}: {fit.out}", file=sys.stderr)
    result: Result
    try:
        result = _figures(plan, fit)
    except (InputError, DivergenceError, RuntimeError) as error:
        result = error
    return row_of(fit.label, fit.settings.method, result, published_as=scene_name(fit.signal))


def _figures(plan: BenchmarkPlan, fit: BenchmarkFit) -> Mapping[str, Any]:
    habits = {"signal": fit.signal, "quiet": plan.quiet, "tensorboard": False}
    return benchmark_table.figures_of_run(
        fit.out,
        resume=plan.resume,
        overwrite=plan.overwrite,
        go_on=lambda: resume_run(fit.out, given={}, **habits),
        start=lambda mode: start_run(fit.out, settings=fit.settings, mode=mode, **habits),
    )


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table, with the source of the published figures."""
    head = [
        "scene", "method", "PSNR (dB)", "SSIM", "LPIPS", "background", "views", "size", "seconds", "parameters",
        "published",
    ]  # fmt: skip
    return benchmark_table.markdown_table(rows, columns=COLUMNS, headings=head, shown=_shown, source=SOURCE)


def _shown(name: str, value: float) -> str:
    if name == "seconds":
        return f"{value:.0f}"
    return f"{value:.4f}" if name in ("ssim", "lpips") else f"{value:.2f}"


def json_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as one JSON object."""
    return benchmark_table.json_table(rows, source=SOURCE)
