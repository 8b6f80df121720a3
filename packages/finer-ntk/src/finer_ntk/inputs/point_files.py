"""Read points from files: NumPy arrays, archives of them, and text tables."""

import os
import re
import zipfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from finer_core.errors import InputError
from finer_core.resources import check_room

_LONGEST_LINE = 1 << 24
_COPIES = 4
"""Arrays of a file's numbers that reading holds at once: as stored, in double precision, checked, as a tensor."""
_SPATIAL = 3
_ADVICE = "give fewer points"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Hold what a file says.

    Attributes:
        points: (n, coordinates), or (n,) for one coordinate; real numbers.
        target: A signal at the points, (n,) or (n, channels), or None.
        notes: What was taken for something or left out, a sentence each.
    """

    points: np.ndarray
    target: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def read_table(path: str, *, memory: int | None = None) -> Table:
    """Read a file of points.

    Args:
        path: The file; its suffix chooses the format.
        memory: Bytes that the process may take; None for no limit.

    Raises:
        InputError: If it is missing, of another format or cut, has no room, or holds other things than real numbers.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"{path}: points are read from {', '.join(FORMATS)}")
    try:
        table = FORMATS[suffix](path, memory)
        for array_ in (table.points, table.target):
            if array_ is not None and array_.dtype.kind not in "biuf":
                raise InputError(f"{array_.dtype} values, not real numbers")
    except OSError as error:
        raise InputError(f"{path}: cannot be read as points ({error.strerror or error})") from error
    except Exception as error:  # a damaged file makes NumPy and zipfile raise anything
        raise InputError(f"{path}: cannot be read as points ({error})") from error
    return table


def _check_size(count: int, memory: int | None) -> None:
    """Refuse numbers that there is no room for."""
    check_room(8 * _COPIES * count, memory, what=f"reading {count} numbers", advice=_ADVICE)


def _read_npy(path: str, memory: int | None) -> Table:
    points = np.load(path, allow_pickle=False, mmap_mode="r")  # maps no more than the file has
    _check_size(points.size, memory)
    return Table(points=points)


def _read_npz(path: str, memory: int | None) -> Table:
    with zipfile.ZipFile(path) as packed:  # a small one may hold anything
        _check_size(sum(entry.file_size for entry in packed.infolist()) // 8, memory or _MOST_BYTES)
    with np.load(path, allow_pickle=False) as file:
        if "points" not in file:
            raise InputError(f"it needs an array 'points'; its arrays: {', '.join(file.files)[:80] or 'none'}")
        return Table(points=file["points"], target=file.get("target"))


_MOST_BYTES = 8 * 10**9
"""What the arrays of an archive may take where no limit is given."""


def _read_text(path: str, memory: int | None) -> Table:
    """Read rows of numbers between blanks, commas or semicolons.

    Empty lines and what follows a # or // are left out, and so is a first line of names. Decimal commas are told from
    commas that separate.
    """
    _check_size(os.path.getsize(path) // 2, memory)
    rows = _Rows(path)
    numbers = array("d")
    for words in rows:
        numbers.extend(words)
    if not numbers:
        raise InputError("no points in it")
    table = np.frombuffer(numbers).reshape(-1, rows.width)
    notes = []
    if rows.commas == "decimal":
        notes.append("its commas are read as decimal commas")
    elif rows.commas == "separate" and not rows.points and (table == np.floor(table)).all():
        notes.append(f"its commas are read as between {rows.width} whole numbers a row, not as decimal commas")
    return Table(points=table, notes=tuple(notes))


def _read_xyz(path: str, memory: int | None) -> Table:
    """Read a cloud: what follows the position, a normal or a colour, is left out."""
    table = _read_text(path, memory)
    if table.points.shape[1] <= _SPATIAL:
        return table
    left = f"left out its columns 4 to {table.points.shape[1]}"
    return Table(points=table.points[:, :_SPATIAL], notes=(*table.notes, left))


class _Rows:
    """Iterate over the rows of a text table, as numbers.

    Args:
        path: The file.

    Attributes:
        width: Numbers of every row.
        commas: What they do: "decimal" or "separate"; "" if there are none.
        points: Whether a number has a decimal point.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.width = 0
        self.commas: Literal["", "decimal", "separate"] = ""
        self.points = False

    def __iter__(self) -> Iterator[list[float]]:
        with open(self._path, encoding="utf-8-sig") as file:
            count, headed = 0, False
            while line := file.readline(_LONGEST_LINE):
                count += 1
                row = re.split("#|//", line, maxsplit=1)[0].strip()
                if not row:
                    continue
                if not self.width and not headed and re.match(r"[\"']?[a-zA-Z_]\w*[\"']?\s*([,;\s]|$)", row):
                    headed = not re.match(r"(nan|inf|infinity)\b", row, re.IGNORECASE)
                    if headed:
                        continue
                yield self._numbers(row, f"line {count}")

    def _numbers(self, row: str, where: str) -> list[float]:
        words = self._words(row, where)
        try:
            numbers = [float(word.strip("\"'")) for word in words]
        except ValueError as error:
            raise InputError(f"{where}: {str(error)[:100]}") from None
        self.width = self.width or len(numbers)
        if len(numbers) != self.width:
            raise InputError(f"{where} is a row of {len(numbers)}, those above are of {self.width}; was it cut?")
        return numbers

    def _words(self, row: str, where: str) -> list[str]:
        """Return a row's numbers, with a point in each that needs one."""
        self.points |= "." in row
        if ";" in row:
            between, commas = row.split(";"), "decimal" if "," in row else ""
        elif "," in row and "." not in row and re.search(r"\s", row) and not re.search(r",(\s|$)", row):
            between, commas = row.split(), "decimal"
        elif "," in row:
            between, commas = row.removesuffix(",").replace(",", " ").split(), "separate"
        else:
            between, commas = row.split(), ""
        mixed = {self.commas, commas} >= {"decimal", "separate"}
        if mixed or ("decimal" in (self.commas, commas) and self.points):
            raise InputError(f"{where}: {row[:40]!r} has commas between and within numbers; write decimal points")
        self.commas = self.commas or commas  # type: ignore[assignment]
        return [word.strip().replace(",", ".") for word in between]


FORMATS: dict[str, Callable[[str, int | None], Table]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_text,
    ".txt": _read_text,
    ".xyz": _read_xyz,
}
"""Readers by suffix; each refuses what there is no room for as soon as it knows how much that is."""
