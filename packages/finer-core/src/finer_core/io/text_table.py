"""Tables of numbers in text files, whatever stands between the numbers and whatever their commas mean."""

import re
from array import array
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from finer_core.errors import InputError
from finer_core.io.text import number, text_lines

_QUOTED = re.compile(r"""(["'])([^"'\s]+)\1""")
_UNIT = re.compile(r"\s*(\[[^\]]*\]|\([^)]*\))")
_LONGEST_HEAD = 1 << 16
"""Characters; no line that names columns has as many, and to look for names takes ten times as long as for numbers."""


@dataclass(kw_only=True)
class TextTable:
    """Hold a table, also while it is read.

    Attributes:
        columns: Numbers of every row.
        numbers: All of them, row by row.
        names: Of the columns, in lower case and without units; empty if no first line has them.
        commas: What commas do: "decimal" or "separate"; "" if there are none.
        points: Whether a number has a decimal point.
        declared: How many rows a first line of one whole number says there are; None without one.
    """

    columns: int = 0
    numbers: "array[float]" = field(default_factory=lambda: array("d"))
    names: list[str] = field(default_factory=list)
    commas: Literal["", "decimal", "separate"] = ""
    points: bool = False
    declared: int | None = None

    @property
    def values(self) -> np.ndarray:
        """Return the numbers as they stand, (rows, columns) float64."""
        return np.frombuffer(self.numbers or array("d")).reshape(-1, self.columns or 1)

    def add(self, row: str, *, where: str, widths: Collection[int]) -> None:
        """Append a row; the arguments are those of `read_text_table`, and `where` names the place."""
        words = self._words(row, where=where, widths=widths)
        if not self.columns:
            self.columns = len(words)
            if row[-1] in ",;":  # its last fields are empty: their names are those of no columns
                self.names = self.names[: len(words)]
        if len(words) != self.columns:
            found = f"{len(words)} column{'s' * (len(words) != 1)}"
            raise InputError(f"{where} has {found}, those above have {self.columns}; it may be cut short")
        try:
            if not row.isascii() or "_" in row:  # which Python's numbers may have, and no other's
                raise ValueError
            self.numbers.extend(list(map(float, words)))
        except ValueError:
            self.numbers.extend([number(word, where=where) for word in words])

    def _words(self, row: str, *, where: str, widths: Collection[int]) -> list[str]:
        """Return a row's numbers, with a point in each that needs one."""
        self.points |= "." in row
        if "," in row and not self.commas:
            self.commas = "decimal" if _are_decimal_commas(row, widths) else "separate"
        if self.commas != "decimal" and ";" not in row:
            return _fields(row, ",") if "," in row else row.split()
        words = _fields(row, ";")
        if self.commas == "decimal" and (self.points or max(word.count(",") for word in words) > 1):
            raise InputError(f"{where}: {row[:40]!r} has commas between and within numbers; write decimal points")
        return [word.replace(",", ".") for word in words]


def _fields(row: str, separator: str) -> list[str]:
    """Return the words of all fields; "" for one without, which would shift those after it, unless it is a last one."""
    return [word for part in row.rstrip(f"{separator} \t").split(separator) for word in part.split() or [""]]


def _are_decimal_commas(row: str, widths: Collection[int]) -> bool:
    """Tell by a row with commas; where the number of columns is open, commas before blanks, and points, separate."""
    words = row.split()
    if ";" in row:
        return True
    if not widths and (len(words) == 1 or "." in row or re.search(r",(\s|$)", row)):
        return False
    return len(words) in (widths or [len(words)]) and max(word.strip(",").count(",") for word in words) == 1


def read_text_table(
    path: Path,
    *,
    claim: Callable[[int], None] = lambda rows: None,
    widths: Collection[int] = (),
    needed: Collection[str] = (),
) -> TextTable:
    """Read rows of numbers between blanks, commas or semicolons.

    Empty lines and what follows a # or // are left out. A first line may name the columns; units in brackets are no
    part of a name. Where names are needed, a first line of one whole number says how many rows follow. Decimal commas
    are told from commas that separate by the first row that has some.

    Args:
        path: The file.
        claim: Called with the number of rows now and then; refuses what does not fit.
        widths: How many columns a table without names may have; any number if empty.
        needed: Names without which a first line names no columns; with some, it may be a comment. Where it does not
            have a name a column, it is not taken for names, but for a hint that these come first and in this order.

    Returns:
        The table; one without rows if there are none.

    Raises:
        InputError: If a word is no number, rows differ in length, commas do both, or a first line neither has a name a
            column nor the needed ones first.
    """
    table, is_comment = TextTable(), False
    for where, line in text_lines(path, claim=lambda: claim(len(table.values))):
        row, *comment = re.split("#|//", line, maxsplit=1)
        row = row.strip()
        head = row or " ".join(comment if needed else [])
        may_name = not (table.columns or table.names) and 0 < len(head) < _LONGEST_HEAD
        if may_name and (names := _names_in(head, needed)):
            table.names, widths, is_comment = names, (len(names),) if needed else widths, not row
        elif needed and not table.columns and table.declared is None and row.isascii() and row.isdecimal():
            table.declared = int(row)
        elif row:
            plain = _QUOTED.sub(r"\2", row) if '"' in row or "'" in row else row
            is_first = not table.columns
            table.add(plain, where=where, widths=widths)
            if is_first and table.names and (missing := [name for name in needed if name not in table.names]):
                raise InputError(f"{where} has no number for {', '.join(missing)}; it may be cut short")
            if is_first and needed and table.names and len(table.names) != table.columns:
                _check_order(table, needed, is_comment=is_comment, where=where)
                table.names = []
    claim(len(table.values))
    return table


def _check_order(table: TextTable, needed: Collection[str], *, is_comment: bool, where: str) -> None:
    """Refuse a row for which a first line of more or fewer names than columns says another order than the usual one.

    A comment may be a sentence that has the names within.
    """
    names = [name for name in table.names if name in needed] if is_comment else table.names[: len(needed)]
    if names != list(needed):
        named = f"{len(table.names)} ({', '.join(table.names)[:80]})"
        raise InputError(
            f"{where} has {table.columns} column{'s' * (table.columns != 1)}, a line above names {named}; which are "
            f"{' '.join(needed)} cannot be told, give every column one name and no other"
        )


def _names_in(line: str, needed: Collection[str]) -> list[str]:
    """Return the column names, without units, that a line holds, if it does: one of a field, else one of a word."""
    plain = _UNIT.sub("", line.strip()).rstrip(",; \t")
    fields, words = (
        [re.sub(r"[\[(].*", "", name).strip("\"' ").lower() for name in re.split(separator, plain)]
        for separator in (r"[,;\t]" if re.search(r"[,;\t]", plain) else r"\s+", r"[\s,;]+")
    )
    if needed:
        return next((names for names in (fields, words) if set(needed) <= set(names)), [])
    return fields if re.fullmatch(r"(?!(nan|inf|infinity)$)[a-z_]\w*", words[0]) else []
