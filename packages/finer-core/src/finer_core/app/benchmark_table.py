"""The table of a benchmark command, in three formats.

A row is a mapping by column name; a fit that failed has its reason under "error" instead of figures.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finer_core.io.files import json_text, write_json, write_text

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class BenchmarkTable:
    """Say how the rows of an application's benchmarks are written.

    Attributes:
        headings: What the columns are called, by their names, in order.
        source: Where the published figures are from.
        shown: Writes a number, given its column's name.
        means_of: Makes rows of means of all rows, which stand below them; None for none.
        mean_headings: As `headings`, of the means.
    """

    headings: Mapping[str, str]
    source: str
    shown: Callable[[str, float], str]
    means_of: Callable[[Sequence[Row]], list[dict[str, Any]]] | None = None
    mean_headings: Mapping[str, str] = field(default_factory=dict)

    def content(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the rows, their source and their means as plain data."""
        means = {} if self.means_of is None else {"means": self.means_of(rows)}
        return {"published_source": self.source, "rows": list(rows), **means}

    def json(self, rows: Sequence[Row]) -> str:
        """Return the content as one JSON object."""
        return json_text(self.content(rows), indent=None)

    def csv(self, rows: Sequence[Row]) -> str:
        """Return the rows as CSV, with a last column `error`."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=[*self.headings, "error"], restval="")
        writer.writeheader()
        writer.writerows(rows)
        return _encodable(text.getvalue())

    def markdown(self, rows: Sequence[Row]) -> str:
        """Return rows and means as Markdown tables, with the source of the published figures."""
        lines = self._lines(rows, self.headings)
        if self.means_of is not None:
            lines += ["", *self._lines(self.means_of(rows), self.mean_headings)]
        return _encodable("\n".join([*lines, "", f"Published figures: {self.source}.", ""]))

    def write(self, out: Path, rows: Sequence[Row]) -> None:
        """Write `benchmark.json`, `benchmark.csv` and `benchmark.md` into a folder."""
        write_json(out / "benchmark.json", self.content(rows))
        write_text(out / "benchmark.csv", self.csv(rows))
        write_text(out / "benchmark.md", self.markdown(rows))

    def _lines(self, rows: Sequence[Row], headings: Mapping[str, str]) -> list[str]:
        """Return the lines of a Markdown table; a failed fit says why in its third column."""
        lines = ["| " + " | ".join(headings.values()) + " |", "|" + " --- |" * len(headings)]
        for row in rows:
            cells = [self._cell(name, row.get(name)) for name in headings]
            if row.get("error"):
                cells[2] = f"failed: {row['error']}".replace("|", "/")
            lines.append("| " + " | ".join(cells) + " |")
        return lines

    def _cell(self, name: str, value: Any) -> str:
        if value is None:
            return "-"
        return self.shown(name, value) if isinstance(value, float) else str(value)


def _encodable(text: str) -> str:
    """Return a text whose file names, which need not be UTF-8, every file and terminal takes."""
    return text.encode("utf-8", "backslashreplace").decode()
