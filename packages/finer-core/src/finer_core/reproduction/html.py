"""A comparison as one HTML file: the table, the curves and the pictures side by side; opens without a network."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finer_core.io.figures import figure_bytes, subplots
from finer_core.io.report import Report
from finer_core.reproduction.record import Record
from finer_core.reproduction.render import HEADINGS, cells_of_row, label_of, remarks_of, shown_rows
from finer_core.reproduction.summary import value_of
from finer_core.reproduction.table import Table


def html_page(
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    records: Mapping[str, Record],
    pictures: Mapping[str, bytes],
    *,
    shown: str,
    scaled: Sequence[str],
    notes: Sequence[str],
) -> str:
    """Return the page.

    Args:
        table: What was published.
        rows: Of `summary_rows`.
        records: By digest.
        pictures: PNG files of some of them.
        shown: What they show.
        scaled: In what the run is not as published.
        notes: What was left aside.
    """
    body = shown_rows(rows)
    page = Report(f"{table.name}: {table.title}")
    if scaled:
        page.html(f"<p><strong>{_text(label_of(scaled))}</strong></p>")
    page.html(_table(HEADINGS, [cells_of_row(table, row) for row in body]))
    remarks = [*remarks_of(table, body), *(f"Left aside: {note}" for note in notes)]
    page.html("<ul>" + "".join(f"<li>{_text(remark)}</li>" for remark in remarks) + "</ul>")
    for name in dict.fromkeys(record.input for record in records.values()):
        there = {digest: record for digest, record in records.items() if record.input == name}
        first = {record.row: digest for digest, record in reversed(there.items())}  # one seed a row is shown
        page.heading(name)
        pictured = [digest for digest in first.values() if digest in pictures]
        if pictured:
            captions = [_caption(table, there[digest]) for digest in pictured]
            page.figures(zip(captions, (pictures[digest] for digest in pictured), strict=True), pixelated=True)
            page.html(f"<p class=note>{_text(shown)}</p>" if shown else "")
        page.figures(_curves(table, [there[digest] for digest in first.values()]))
    page.heading("Runs")
    page.html(_table(_RUN, [_run(record) for record in records.values()]))
    return page.page()


def _caption(table: Table, record: Record) -> str:
    """Return what stands under a picture: its row and seed, and what the table's first metric says of it."""
    metric = table.metrics[0]
    value = value_of(record, metric.name)
    figure = "" if value is None else f", {metric.heading} {value / metric.factor:.{metric.digits}f} {metric.unit}"
    return f"{record.row}, seed {record.seed}{figure}".rstrip()


_RUN = ("row", "input", "seed", "seconds", "parameters", "finer-core", "torch", "processor", "threads", "date", "data")


def _run(record: Record) -> list[str]:
    hardware = record.hardware.get("gpu") or record.hardware.get("processor", "")
    packages = [record.versions.get(name, "") for name in ("finer-core", "torch")]
    threads = record.hardware.get("threads", "")
    numbers = [record.seed, f"{record.seconds:.1f}", record.parameters]
    last = [hardware, threads, record.date, record.data_sha256[:12]]
    return [record.row, record.input, *map(str, [*numbers, *packages, *last])]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [("th", headings), *(("td", row) for row in rows)]
    return "<table>" + "".join(f"<tr>{_cells(kind, cells)}</tr>" for kind, cells in lines) + "</table>"


def _cells(kind: str, cells: Sequence[str]) -> str:
    return "".join(f"<{kind}>{_text(cell)}</{kind}>" for cell in cells)


def _curves(table: Table, records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return a figure of the curves of the table's first metric that has some, with its caption; or nothing."""
    names = [metric.name.partition("@")[0] for metric in table.metrics]
    for name in (*names, "psnr", "loss", "ln_eigenvalue"):
        drawn = [record for record in records if len(record.curve.get(name, ())) > 1]
        if not drawn:
            continue
        figure, ((axes,),) = subplots(figsize=(6.4, 2.8))
        for record in drawn:
            pairs = [pair for pair in zip(record.curve["step"], record.curve[name], strict=False) if None not in pair]
            axes.plot([step for step, _ in pairs], [value for _, value in pairs], linewidth=1.2, label=record.row)
        axes.set(xlabel="step", ylabel=name)
        axes.legend(fontsize=8)
        return [(name, figure_bytes(figure, kind="svg").decode())]
    return []


def _text(value: object) -> str:
    return html.escape(str(value))
