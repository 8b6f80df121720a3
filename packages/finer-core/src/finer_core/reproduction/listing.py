"""What can be reproduced, as text: every table with its data, settings and published values."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from finer_core.io.files import json_text
from finer_core.io.text import markdown_table
from finer_core.reproduction.table import PROVENANCE, Metric, Row, Table


def listing(tables: Iterable[Table], *, format: str = "md") -> str:
    """Return a description of tables.

    Args:
        tables: Which.
        format: "json" for all of it as data; whatever else for Markdown.
    """
    if format == "json":
        return json_text({"provenance": PROVENANCE, "tables": [_as_data(table) for table in tables]}) + "\n"
    pages = ["\n".join(_lines(table)) for table in tables]
    tags = [f"- [{tag}]: {meaning}" for tag, meaning in PROVENANCE.items()]
    return "\n\n".join([*pages, "\n".join(["Where values were read:", "", *tags])]) + "\n"


def _lines(table: Table) -> list[str]:
    inputs = ", ".join(table.inputs) if len(table.inputs) <= 8 else f"{table.inputs[0]} to {table.inputs[-1]}"
    lines = [f"## {table.name}: {table.title}", "", f"- source: {table.source} [{table.provenance}]"]
    lines += [f"- data: {table.data} ({inputs})", f"- protocol: {_settings(table.settings) or 'that of preset paper'}"]
    lines += [f"- not comparable however it is run: {table.different}"] if table.different else []
    lines += [f"- {note}" for note in table.notes]
    headings = ("row", "method", "settings", "published")
    rows = [
        [row.label, row.method or "not here", _settings(row.settings) or "published ones", _values(table, row)]
        for row in table.rows
    ]
    return [*lines, "", *markdown_table(headings, rows)]


def _values(table: Table, row: Row) -> str:
    parts = []
    for metric in table.metrics:
        values = row.published.get(metric.name, {})
        if values:
            shown = ", ".join(f"{place} {_number(value, metric)}" for place, value in values.items())
            parts.append(f"{metric.heading}{f' ({metric.unit})' if metric.unit else ''}: {shown}")
    tag = f" [{row.provenance}]" if row.provenance and parts else ""
    return "; ".join(parts) + tag if parts else "none seen"


def _number(value: float, metric: Metric) -> str:
    return f"{value / metric.factor:.{metric.digits}f}"


def _settings(settings: Any) -> str:
    flat = {**{name: value for name, value in settings.items() if name != "network"}, **settings.get("network", {})}
    return ", ".join(f"{name} {value}" for name, value in flat.items())


def _as_data(table: Table) -> dict[str, Any]:
    rows = [{**asdict(row), "provenance": table.provenance_of(row)} for row in table.rows]
    names = ("name", "title", "source", "data", "inputs", "settings", "different", "notes")
    return {**{name: getattr(table, name) for name in names}, "rows": rows}
