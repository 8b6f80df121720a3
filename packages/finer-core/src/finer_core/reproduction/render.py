"""A comparison as Markdown, CSV, JSON or LaTeX."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from finer_core.errors import InputError
from finer_core.io.files import json_text
from finer_core.io.text import markdown_table
from finer_core.reproduction.summary import COLUMNS
from finer_core.reproduction.table import MEAN, PROVENANCE, Table
from finer_core.reproduction.verdict import RULE

FORMATS = ("md", "csv", "json", "tex")
HEADINGS = ("row", "input", "metric", "published", "ours", "spread", "difference", "tolerance", "verdict")


def rendered(
    format: str, table: Table, rows: Sequence[Mapping[str, Any]], *, scaled: Sequence[str], notes: Sequence[str]
) -> str:
    """Return a comparison in one of `FORMATS`.

    Args:
        format: Which.
        table: What was published.
        rows: Of `summary_rows`.
        scaled: In what the run is not as published.
        notes: What was left aside.

    Raises:
        InputError: For another format.
    """
    if format == "md":
        return _markdown(table, rows, scaled, notes)
    if format == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=[*COLUMNS, "scaled"])
        writer.writeheader()
        writer.writerows({**row, "scaled": "; ".join(scaled)} for row in rows)
        return text.getvalue()
    if format == "json":
        about = {"table": table.name, "title": table.title, "source": table.source, "data": table.data}
        content = {**about, "rule": RULE, "scaled": list(scaled), "notes": list(notes), "rows": list(rows)}
        return json_text(content) + "\n"
    if format == "tex":
        return _latex(table, rows, scaled)
    raise InputError(f"unknown format {format!r} (known: {', '.join(FORMATS)}, html)")


def shown_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows that people want to see: those with a published value, and of rows without any the means."""
    with_values = {row["row"] for row in rows if row["published"] is not None}
    with_means = {row["row"] for row in rows if row["input"] == MEAN}
    return [
        row
        for row in rows
        if row["published"] is not None
        or (row["row"] not in with_values and (row["input"] == MEAN or row["row"] not in with_means))
    ]


def cells_of_row(table: Table, row: Mapping[str, Any]) -> list[str]:
    """Return a row as text, in the order of `HEADINGS`."""
    metric = next(metric for metric in table.metrics if metric.name == row["metric"])

    def shown(value: float | None, sign: str = "") -> str:
        return "-" if value is None else format(value / metric.factor, f"{sign}.{metric.digits}f")

    unit = f" ({metric.unit})" if metric.unit else ""
    published = shown(row["published"]) + (f" [{row['provenance']}]" if row["provenance"] else "")
    return [
        str(row["row"]),
        str(row["input"]),
        metric.heading + unit,
        published,
        shown(row["ours"]),
        f"{shown(row['spread'])}, {row['seeds']} seeds" if row["spread"] is not None else "-",
        shown(row["difference"], "+"),
        shown(row["tolerance"]),
        str(row["verdict"]),
    ]


def label_of(scaled: Sequence[str]) -> str:
    """Return the line that a run stands under which is not as published; empty if it is."""
    return f"Not the published run ({'; '.join(scaled)})." if scaled else ""


def remarks_of(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what stands below a table: source, tags, rule, tolerances, notes."""
    tags = dict.fromkeys(row["provenance"] for row in rows if row["provenance"])
    labels = {row["row"] for row in rows}
    return [
        f"Published: {table.source}. Data: {table.data}.",
        *(f"[{tag}]: {PROVENANCE[tag]}." for tag in tags),
        f"Rule. {RULE}",
        *dict.fromkeys(f"Tolerance of {metric.heading.split(' at ')[0]}: {metric.reason}." for metric in table.metrics),
        *table.notes,
        *(f"{row.label}: {row.note}." for row in table.rows if row.note and row.label in labels),
    ]


def _markdown(table: Table, rows: Sequence[Mapping[str, Any]], scaled: Sequence[str], notes: Sequence[str]) -> str:
    body = shown_rows(rows)
    lines = [f"## {table.name}: {table.title}", ""]
    if scaled:
        lines += [f"**{label_of(scaled)}**", ""]
    lines += markdown_table(HEADINGS, [cells_of_row(table, row) for row in body])
    lines += ["", *(f"- {remark}" for remark in remarks_of(table, body)), *(f"- Left aside: {note}" for note in notes)]
    return "\n".join(lines) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}",
}  # fmt: skip


def latex(text: str) -> str:
    """Return text for LaTeX, whose letters mean themselves; what pdfTeX has no glyph for becomes a question mark."""
    plain = text.encode("ascii", "replace").decode()
    return "".join(_LATEX.get(letter, letter) for letter in plain)


def _latex(table: Table, rows: Sequence[Mapping[str, Any]], scaled: Sequence[str]) -> str:
    r"""Return a table for \usepackage{booktabs}; the verdict's reason is in the caption's terms, not in a column."""
    body = shown_rows(rows)
    headings = [*HEADINGS[:-1], "verdict"]
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}",
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{latex(table.title)}. {latex(label_of(scaled))} Published: {latex(table.source)}.}}",
        rf"\begin{{tabular}}{{lll{'r' * 5}l}}",
        r"\toprule",
        " & ".join(headings) + r" \\",
        r"\midrule",
    ]
    for row in body:
        cells = cells_of_row(table, row)
        cells[-1] = cells[-1].partition(" (")[0]
        lines.append(" & ".join(map(latex, cells)) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])
