"""The table of a benchmark command, in three formats.

A row is a mapping by column name, of a fit; one that failed has its reason under "error" instead of figures. Where a
method was fitted to an input with several seeds, the table has their means and spreads.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from finer_core.io.files import json_text, write_text
from finer_core.io.text import markdown_table
from finer_core.seeds import SPREAD, mean_and_spread

Row = Mapping[str, Any]
FILES = ("benchmark.json", "benchmark.csv", "benchmark.md")


@dataclass(frozen=True, kw_only=True)
class BenchmarkTable:
    """Say how the rows of an application's benchmarks are written.

    Attributes:
        headings: What the columns are called, by their names, in order; the first two say the input and the method.
        figures: Columns that means are taken of.
        source: Where the published figures are from.
        shown: Writes a number, given its column's name.
        of_method: Columns that a method has whatever the input.
    """

    headings: Mapping[str, str]
    figures: Sequence[str]
    source: str
    shown: Callable[[str, float], str]
    of_method: Sequence[str] = ()

    def content(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the rows, their source, their means over seeds where there are several, and over inputs."""
        groups = self._groups(rows)
        over_seeds = {"over_seeds": [self._over_seeds(group) for group in groups]} if _are_several(groups) else {}
        return {"published_source": self.source, "rows": list(rows), **over_seeds, "means": self._means(groups)}

    def json(self, rows: Sequence[Row]) -> str:
        """Return the content as one JSON object."""
        return json_text(self.content(rows), indent=None)

    def csv(self, rows: Sequence[Row]) -> str:
        """Return the rows, or their means over several seeds with their spreads, as CSV with a last column `error`."""
        groups, columns = self._groups(rows), list(self.headings)
        if _are_several(groups):
            columns += [*(f"{name}_spread" for name in self.figures), "seeds"]
            over_seeds = [self._over_seeds(group) for group in groups]
            rows = [{name: value for name, value in row.items() if name != "left_out"} for row in over_seeds]
        else:
            columns.insert(2, "seed")
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=[*columns, "error"], restval="")
        writer.writeheader()
        writer.writerows(rows)
        return _encodable(text.getvalue())

    def markdown(self, rows: Sequence[Row]) -> str:
        """Return rows, or their means over several seeds, and means over inputs as Markdown, with their source."""
        groups, headings = self._groups(rows), dict(self.headings)
        several = _are_several(groups)
        if several:
            headings["seeds"] = "seeds"
            rows = [self._over_seeds(group) for group in groups]
        means = self._means(groups)
        lines = [*self._lines(rows, headings), "", *self._lines(means, self._mean_headings())]
        averaged = [*rows, *means] if several else means
        if left_out := [part for row in averaged for part in self._left_out(row)]:
            told = "Left out of a mean, because their figure is infinite or there is none"
            lines += ["", f"{told}: {'; '.join(left_out)}."]
        if several:
            lines += ["", f"Means over seeds; in parentheses the spread, {SPREAD}."]
        return _encodable("\n".join([*lines, "", f"Published figures: {self.source}.", ""]))

    def write(self, out: Path, rows: Sequence[Row]) -> None:
        """Write `benchmark.json`, `benchmark.csv` and `benchmark.md` into a folder."""
        for name, text in zip(
            FILES, (json_text(self.content(rows)) + "\n", self.csv(rows), self.markdown(rows)), strict=True
        ):
            write_text(out / name, text)

    def _groups(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Return the rows by input and method, a row a seed."""
        of_input, of_method, *_ = self.headings
        groups: dict[tuple[Any, Any], list[Row]] = {}
        for row in rows:
            groups.setdefault((row[of_input], row[of_method]), []).append(row)
        return list(groups.values())

    def _over_seeds(self, group: Sequence[Row]) -> dict[str, Any]:
        """Return a row of the means over the seeds with which a method could be fitted to an input.

        How many of these lack a figure that others have is under "left_out".
        """
        fitted, failed = _parted(group)
        first = (fitted or failed)[0]
        row: dict[str, Any] = {name: first.get(name) for name in self.headings}
        for name in self.figures:
            values = [each[name] for each in fitted if each.get(name) is not None]
            row[name], row[f"{name}_spread"] = mean_and_spread(values)
            _tell_left_out(row, name, len(fitted) - len(values), of=len(fitted))
        row["seeds"] = len(fitted)
        if failed:
            row["error"] = f"{len(failed)} of {len(group)} seeds failed: {failed[0]['error']}"
        return row

    def _means(self, groups: Sequence[Sequence[Row]]) -> list[dict[str, Any]]:
        """Return each method's means over the inputs that have the figure with every seed; spreads are of such means.

        So the means of two seeds are over the same inputs, and do not differ by what was fitted. How many inputs lack a
        figure that others have is under "left_out".
        """
        of_input, of_method, *_ = self.headings
        seeds = max((len(group) for group in groups), default=0)
        means = []
        for method in dict.fromkeys(group[0][of_method] for group in groups):
            own = [group for group in groups if group[0][of_method] == method]
            whole = [group for group in own if len(group) == seeds and not _parted(group)[1]]
            mean: dict[str, Any] = {of_method: method, f"{of_input}s": len(whole)}
            for name in self.figures:
                known = [[row.get(name) for row in group] for group in whole]
                whole_rows = [values for values in known if None not in values]
                by_seed = zip(*whole_rows, strict=True)
                mean[name], spread = mean_and_spread([fmean(values) for values in by_seed])
                _tell_left_out(mean, name, len(known) - len(whole_rows), of=len(known))
                if seeds > 1:
                    mean[f"{name}_spread"] = spread
            means.append(mean | {name: own[0][0][name] for name in self.of_method})
        return means

    def _left_out(self, row: Row) -> list[str]:
        """Return in words which figures some seeds, or some inputs, of a row's means lack."""
        of_input, of_method, *_ = self.headings
        is_of_one = of_input in row
        whose = f"{row[of_method]} of {row[of_input]}" if is_of_one else row[of_method]
        counted = "seeds" if is_of_one else f"{of_input}s"
        return [
            f"{whose}, {self.headings[name]}, {count} of {row[counted]} {counted}"
            for name, count in row.get("left_out", {}).items()
        ]

    def _mean_headings(self) -> dict[str, str]:
        of_input, of_method, *_ = self.headings
        return {
            of_method: self.headings[of_method],
            f"{of_input}s": f"{of_input}s",
            **{name: f"mean {self.headings[name]}" for name in self.figures},
            **{name: self.headings[name] for name in self.of_method},
        }

    def _lines(self, rows: Sequence[Row], headings: Mapping[str, str]) -> list[str]:
        """Return the lines of a Markdown table; a fit that failed says why in its third column, some in the last."""
        lines = []
        for row in rows:
            cells = [self._cell(row, name) for name in headings]
            if error := str(row.get("error", "")):
                if row.get("seeds"):
                    cells[-1] += f" ({error})"
                else:
                    cells[2] = f"failed: {error}"
            lines.append(cells)
        return markdown_table(list(headings.values()), lines)

    def _cell(self, row: Row, name: str) -> str:
        value, spread = row.get(name), row.get(f"{name}_spread")
        if value is None:
            return "-"
        text = self.shown(name, value) if isinstance(value, float) else str(value)
        return text if spread is None else f"{text} ({self.shown(name, spread)})"


def _are_several(groups: Sequence[Sequence[Row]]) -> bool:
    """Return whether there are several seeds."""
    return any(len(group) > 1 for group in groups)


def _parted(group: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows of fits, and of those that failed."""
    return [row for row in group if not row.get("error")], [row for row in group if row.get("error")]


def _tell_left_out(row: dict[str, Any], name: str, count: int, *, of: int) -> None:
    """Say in a row of means how many values lack a figure, if others have it."""
    if 0 < count < of:
        row["left_out"] = {**row.get("left_out", {}), name: count}


def _encodable(text: str) -> str:
    """Return a text whose file names, which need not be UTF-8, every file and terminal takes."""
    return text.encode("utf-8", "backslashreplace").decode()
