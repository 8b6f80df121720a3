"""Compare methods on scenes: one run folder each, and one table in three formats."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finer_core.errors import DivergenceError, InputError
from finer_core.files import write_json, write_text
from finer_core.run_folder import Mode, RunFolder
from finer_nerf.cli import scene_name
from finer_nerf.published_results import SOURCE, published_psnr
from finer_nerf.run import resume_run, start_run
from finer_nerf.settings import NerfSettings

COLUMNS = (
    "scene",
    "method",
    "psnr",
    "ssim",
    "lpips",
    "background",
    "views",
    "size",
    "seconds",
    "parameters",
    "published_psnr",
)


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
    """

    scenes: Sequence[str]
    settings: Sequence[NerfSettings]
    out: Path
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False


def run_benchmark(plan: BenchmarkPlan) -> list[dict[str, Any]]:
    """Train every method on every scene; return the table's rows and write it after each training.

    A training that fails is a row with its error: one bad scene does not lose the others.

    Raises:
        InputError: If the folder holds an earlier benchmark and neither `resume` nor `overwrite` is set, or if two
            scenes have one name.
    """
    table = plan.out / "benchmark.json"
    if table.exists() and not (plan.resume or plan.overwrite):
        raise InputError(f"{plan.out}: holds a benchmark; use --resume to go on, --overwrite to replace it")
    names = [scene_name(scene) for scene in plan.scenes]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two scenes are called {name!r}; their runs would share a folder")
    rows: list[dict[str, Any]] = []
    for scene in plan.scenes:
        for settings in plan.settings:
            rows.append(_row(plan, scene, settings))
            plan.out.mkdir(parents=True, exist_ok=True)
            write_json(table, {"published_source": SOURCE, "rows": rows})
            write_text(plan.out / "benchmark.csv", csv_table(rows))
            write_text(plan.out / "benchmark.md", markdown_table(rows))
    return rows


def _row(plan: BenchmarkPlan, scene: str, settings: NerfSettings) -> dict[str, Any]:
    name = scene_name(scene)
    out = plan.out / f"{name}-{settings.method}"
    if not plan.quiet:
        print(f"{name}, {settings.method}: {out}", file=sys.stderr)
    row: dict[str, Any] = {**dict.fromkeys(COLUMNS), "scene": name, "method": settings.method}
    try:
        figures = _figures(plan, scene, settings, out)
        row |= {column: figures[column] for column in COLUMNS if column in figures}
    except (InputError, DivergenceError, RuntimeError) as error:
        row["error"] = str(error)
    row["published_psnr"] = published_psnr(scene=name, method=settings.method)
    return row


def _figures(plan: BenchmarkPlan, scene: str, settings: NerfSettings, out: Path) -> Mapping[str, Any]:
    run = RunFolder(out)
    if plan.resume and run.metrics.is_file():
        return run.read_metrics()
    if plan.resume and run.config.is_file():
        return resume_run(out, signal=scene, given={}, quiet=plan.quiet, tensorboard=False)
    mode: Mode = "overwrite" if plan.overwrite else "new"
    return start_run(out, settings=settings, signal=scene, mode=mode, quiet=plan.quiet, tensorboard=False)


def csv_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=[*COLUMNS, "error"], restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table, with the source of the published figures."""
    head = [
        "scene", "method", "PSNR (dB)", "SSIM", "LPIPS", "background", "views", "size", "seconds", "parameters",
        "published",
    ]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = [_cell(name, row.get(name)) for name in COLUMNS]
        if row.get("error"):
            cells[2] = f"failed: {row['error']}".replace("|", "/")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"Published figures: {SOURCE}.", ""])


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    if name == "seconds":
        return f"{value:.0f}"
    return f"{value:.4f}" if name in ("ssim", "lpips") else f"{value:.2f}"


def json_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as one JSON object."""
    return json.dumps({"published_source": SOURCE, "rows": list(rows)})
