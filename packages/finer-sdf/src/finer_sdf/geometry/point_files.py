"""Read points: text tables, and NumPy archives of points or meshes."""

import math
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_sdf.geometry.colors import color_table
from finer_sdf.geometry.limits import Room
from finer_sdf.geometry.raw import RawShape, counted, index_table, number_table
from finer_sdf.geometry.text import LINES_A_CLAIM, text_lines

_POSITION, _NORMAL, _COLOR = ("x", "y", "z"), ("nx", "ny", "nz"), ("red", "green", "blue")
_OTHER_NAMES = {f"{word}{axis}": f"n{axis}" for word in ("normal", "normal_", "n_") for axis in "xyz"}
_OTHER_NAMES |= {"r": "red", "g": "green", "b": "blue"}
_WIDTHS = (3, 6, 9)
"""Columns whose meaning can be told without their names."""
_ADVICE = "name the columns in a first line, such as x y z nx ny nz"


def read_xyz(path: Path, room: Room) -> RawShape:
    """Read a text table of points: x y z, then perhaps a normal, a colour, or both.

    Numbers stand between blanks, commas or semicolons; decimal commas are told from commas that separate. Empty lines
    and what follows a # or // are left out. A first line may name the columns; without one, three more columns are the
    normal unless they look like a colour.

    Raises:
        InputError: If there are no rows, their columns cannot be told, or there is no room.
        Exception: Whatever numpy raises for text that is no table of numbers.
    """
    rows = _Rows(path, room)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty table is named below
        table = np.loadtxt(rows, dtype=np.float64, comments=None, ndmin=2)
    if table.size == 0:
        raise InputError("it holds no points")
    width = table.shape[1]
    named = len(rows.names) == width
    names = rows.names if named else _names_of_columns(table)
    if rows.commas == " " and not named and width >= 6 and _may_be_split_numbers(table):
        raise InputError(
            f"its rows are {width} whole numbers between commas: points with a colour, or decimal commas? "
            f"Write decimal points, or {_ADVICE}"
        )
    notes = []
    if rows.commas == ".":
        notes.append("its commas are read as decimal commas")
    if "red" in names and not named:
        first = names.index("red") + 1
        notes.append(
            f"its columns {first} to {first + 2} look like colours, not normals; taken for them (if they are normals, "
            f"{_ADVICE})"
        )
    elif left := [name for name in names if name not in _POSITION + _NORMAL + _COLOR]:
        notes.append(f"left out its columns {', '.join(left)[:60]}")
    points, normals, colors = (
        np.ascontiguousarray(table[:, [names.index(name) for name in wanted]]) if set(wanted) <= set(names) else None
        for wanted in (_POSITION, _NORMAL, _COLOR)
    )
    assert points is not None
    shades = None if colors is None else color_table(colors)
    return RawShape(vertices=points, normals=normals, colors=shades, notes=tuple(notes))


class _Rows:
    """Iterate over the rows of a table, with a point in every number and blanks between them.

    Args:
        path: The file.
        room: Refuses what does not fit.

    Attributes:
        names: Of the columns, if a first line has them.
        commas: What took the place of commas: "." of decimal ones, " " of those that separate, "" if there are none.
    """

    def __init__(self, path: Path, room: Room) -> None:
        self._path, self._room = path, room
        self.names: list[str] = []
        self.commas = ""

    def __iter__(self) -> Iterator[str]:
        done = width = 0
        for count, line in text_lines(self._path):
            row, *comment = re.split("#|//", line, maxsplit=1)
            row = row.strip()
            if not done and not self.names and (names := _names_in(row or "".join(comment))):
                self.names = names
            elif row:
                row = self._plain(row, count)
                numbers = len(row.split())
                width = width or numbers
                if numbers != width:
                    raise InputError(
                        f"line {count} has {counted(numbers, 'column')}, those above have {width}; it may be cut short"
                    )
                yield row
                done += 1
                if done % LINES_A_CLAIM == 0:
                    self._room.claim(points=done)
        self._room.claim(points=done)

    def _plain(self, row: str, count: int) -> str:
        if ";" in row:
            self.commas = "." if "," in row else self.commas
            return row.replace(",", ".").replace(";", " ")
        if "," not in row:
            return row
        widths = (len(self.names),) if self.names else _WIDTHS
        self.commas = self.commas or _meaning_of_commas(row, count, widths=widths)
        return row.replace(",", self.commas)


def _meaning_of_commas(row: str, count: int, *, widths: tuple[int, ...]) -> str:
    """Return " " if commas separate numbers, "." if they are decimal commas, by which gives a width that rows have."""
    words = row.split()
    numbers = len(row.replace(",", " ").split())
    if max(word.strip(",").count(",") for word in words) != 1 or len(words) not in widths:
        return " "
    if numbers in widths and any(word != word.strip(",") for word in words):
        raise InputError(f"line {count}: {row[:40]!r} has commas between and within numbers; write decimal points")
    return "."


def _names_in(line: str) -> list[str]:
    """Return the column names that a line holds, if it does."""
    words = [re.sub(r"[\[(].*", "", word).strip("\"'").lower() for word in re.split(r"[\s,;]+", line.strip())]
    names = [_OTHER_NAMES.get(word, word) for word in words]
    return names if set(_POSITION) <= set(names) else []


def _names_of_columns(table: np.ndarray) -> list[str]:
    """Tell the columns of a table by their number and content."""
    width = table.shape[1]
    if width not in _WIDTHS:
        raise InputError(f"its rows have {width} numbers; give x y z, or x y z and the normal nx ny nz, or {_ADVICE}")
    names = list(_POSITION)
    for start in range(3, width, 3):
        names += ["red", "green", "blue"] if _looks_like_colours(table[:, start : start + 3]) else _NORMAL
    if width == 9 and len(set(names)) < 9:
        raise InputError(f"its rows have 9 numbers, and which are the normals cannot be told; {_ADVICE}")
    return names


def _looks_like_colours(table: np.ndarray) -> bool:
    """Return whether columns (n, 3) are never negative and not of length 1, as no closed surface's normals are."""
    lengths = np.linalg.norm(table, axis=1)
    directions = np.abs(lengths - 1) < 0.01
    return bool((table >= 0).all() and lengths.any() and directions.mean() < 0.9)


def _may_be_split_numbers(table: np.ndarray) -> bool:
    """Return whether all numbers are whole and the last columns are no normals: halves of numbers, perhaps."""
    lengths = np.linalg.norm(table[:, 3:6], axis=1)
    return bool((table == np.floor(table)).all() and (np.abs(lengths - 1) >= 0.01).any() and lengths.any())


def read_npz(path: Path, room: Room) -> RawShape:
    """Read arrays `points` and, if there, `normals`; or `vertices` and `faces` of a mesh. Nothing is unpickled.

    Raises:
        InputError: If the arrays are missing, or of another shape or kind, or there is no room.
        Exception: Whatever numpy raises for a file that is no archive.
    """
    with path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise InputError("it is a single array, not an archive; write it with numpy.savez")
        with zipfile.ZipFile(file):  # says what is wrong with it; numpy would take it for a pickle
            file.seek(0)
        archive = np.load(file, allow_pickle=False)
        names = set(archive.files)
        is_mesh = {"vertices", "faces"} <= names
        if not is_mesh and "points" not in names:
            found = ", ".join(sorted(names))[:80] or "none"
            raise InputError(f"it needs an array `points`, or `vertices` and `faces`; its arrays: {found}")
        rows = {name: _rows_of(archive, name) for name in ("vertices", "faces", "points") if name in names}
        if is_mesh:
            room.claim(faces=rows["faces"], points=rows["vertices"])
            vertices, faces = number_table("vertices", archive["vertices"]), index_table("faces", archive["faces"])
            return RawShape(vertices=vertices, faces=faces)
        room.claim(points=rows["points"])
        points = number_table("points", archive["points"])
        if "normals" not in names:
            return RawShape(vertices=points)
        if _rows_of(archive, "normals") != len(points):
            raise InputError(f"it holds {len(points)} points but {_rows_of(archive, 'normals')} normals")
        return RawShape(vertices=points, normals=number_table("normals", archive["normals"]))


def _rows_of(archive: np.lib.npyio.NpzFile, name: str) -> int:
    """Return how many rows of three an array has, from its header: what it takes is known before it is read."""
    assert archive.zip is not None
    with archive.zip.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, _ = read(file)
    rows: int = shape[0] if len(shape) == 2 and shape[1] <= 3 else math.prod(shape) // 3
    return rows
