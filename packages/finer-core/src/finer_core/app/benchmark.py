"""What the benchmark commands share: the rule of resuming, and one table in three formats.

A row is a mapping by column name; a fit that failed has its reason under "error" instead of figures.
"""

import csv
import functools
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from finer_core.app.folder_lock import lock_folder
from finer_core.app.run_folder import Mode, RunFolder
from finer_core.errors import InputError
from finer_core.io.files import write_json, write_text

Row = Mapping[str, Any]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class HasFolder(Protocol):
    """A plan of a benchmark that says where its tables go."""

    @property
    def out(self) -> Path:
        """Return the folder."""
        ...


Plan = TypeVar("Plan", bound=HasFolder)


def alone_in_folder(
    benchmark: Callable[Concatenate[Plan, Arguments], Result],
) -> Callable[Concatenate[Plan, Arguments], Result]:
    """Decorate a function of a plan: it runs while no other job writes tables into the plan's folder."""

    @functools.wraps(benchmark)
    def locked(plan: Plan, *arguments: Arguments.args, **more: Arguments.kwargs) -> Result:
        try:
            plan.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{plan.out}: cannot make the folder ({error.strerror or error})") from error
        lock = lock_folder(plan.out)
        try:
            return benchmark(plan, *arguments, **more)
        finally:
            del lock

    return locked


def refuse_earlier_benchmark(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise InputError for a folder that holds an earlier benchmark, unless it is to be gone on with or replaced.

    Args:
        out: Folder of the tables.
        resume: Whether to go on.
        overwrite: Whether to replace.
    """
    if (out / "benchmark.json").exists() and not (resume or overwrite):
        raise InputError(f"{out}: holds a benchmark; use --resume to go on, --overwrite to replace it")


def figures_of_run(
    out: Path,
    *,
    resume: bool,
    overwrite: bool,
    go_on: Callable[[], Mapping[str, Any]],
    start: Callable[[Mode], Mapping[str, Any]],
) -> Mapping[str, Any]:
    """Return a fit's figures: those of a finished run, of one that is gone on with, or of a new one.

    Args:
        out: The run folder.
        resume: Keep what is finished, go on with what is begun.
        overwrite: Replace what is there.
        go_on: Goes on with the run in the folder.
        start: Starts a run, given how the folder is to be opened.
    """
    run = RunFolder(out)
    if resume and run.metrics.is_file():
        return run.read_metrics()
    if resume and run.config.is_file():
        return go_on()
    return start("overwrite" if overwrite else "new")


def csv_table(rows: Sequence[Row], *, columns: Sequence[str]) -> str:
    """Return the rows as CSV, with a last column `error`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=[*columns, "error"], restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown_lines(
    rows: Sequence[Row], *, columns: Sequence[str], headings: Sequence[str], shown: Callable[[str, float], str]
) -> list[str]:
    """Return the rows as the lines of a Markdown table; a failed fit says why in its third column.

    Args:
        rows: The rows.
        columns: Their names, in order.
        headings: What the columns are called.
        shown: Writes a number, given the column's name.
    """
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    for row in rows:
        cells = [_cell(row.get(name), name, shown) for name in columns]
        if row.get("error"):
            cells[2] = f"failed: {row['error']}".replace("|", "/")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def markdown_table(
    rows: Sequence[Row],
    *,
    columns: Sequence[str],
    headings: Sequence[str],
    shown: Callable[[str, float], str],
    source: str,
) -> str:
    """Return the rows as a Markdown table, with the source of the published figures; see `markdown_lines`."""
    lines = markdown_lines(rows, columns=columns, headings=headings, shown=shown)
    return "\n".join([*lines, "", f"Published figures: {source}.", ""])


def json_table(rows: Sequence[Row], *, source: str, **more: Any) -> str:
    """Return the rows, their source and whatever `more` there is as one JSON object."""
    return json.dumps({"published_source": source, "rows": list(rows), **more})


def write_tables(
    out: Path, rows: Sequence[Row], *, columns: Sequence[str], markdown: str, source: str, **more: Any
) -> None:
    """Write `benchmark.json`, `benchmark.csv` and `benchmark.md` into a folder, which is made if need be.

    Args:
        out: The folder.
        rows: The rows so far.
        columns: Their names, in order.
        markdown: The Markdown page.
        source: Where the published figures are from.
        **more: Further content of the JSON file.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "benchmark.json", {"published_source": source, "rows": list(rows), **more})
    write_text(out / "benchmark.csv", csv_table(rows, columns=columns))
    write_text(out / "benchmark.md", markdown)


def _cell(value: Any, name: str, shown: Callable[[str, float], str]) -> str:
    if value is None:
        return "-"
    return shown(name, value) if isinstance(value, float) else str(value)
