"""Read points from files: NumPy arrays, archives of them, and text tables."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from finer_core.errors import InputError
from finer_core.io.text_table import read_text_table
from finer_core.resources import check_room

_COPIES = 4
"""Arrays of a file's numbers that reading holds at once: as stored, in double precision, checked, as a tensor."""
_MOST_BYTES = 8 * 10**9
"""What the arrays of an archive may take where no limit is given."""
_SPATIAL = 3


class Table(NamedTuple):
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
        for array in (table.points, table.target):
            if array is not None and array.dtype.kind not in "biuf":
                raise InputError(f"{array.dtype} values, not real numbers")
    except Exception as error:  # a damaged file makes NumPy and zipfile raise anything
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as points ({reason})") from error
    return table


def _check_size(count: int, memory: int | None) -> None:
    """Refuse numbers that there is no room for."""
    check_room(8 * _COPIES * count, memory, what=f"reading {count} numbers", advice="give fewer points")


def _read_npy(path: str, memory: int | None) -> Table:
    points = np.load(path, allow_pickle=False, mmap_mode="r")  # maps no more than the file has
    _check_size(points.size, memory)
    return Table(points)


def _read_npz(path: str, memory: int | None) -> Table:
    with zipfile.ZipFile(path) as packed:  # a small one may hold anything
        _check_size(sum(entry.file_size for entry in packed.infolist()) // 8, memory or _MOST_BYTES)
    with np.load(path, allow_pickle=False) as file:
        if "points" not in file:
            raise InputError(f"it needs an array 'points'; its arrays: {', '.join(file.files)[:80] or 'none'}")
        return Table(file["points"], target=file.get("target"))


def _read_text(path: str, memory: int | None) -> Table:
    """Read a text table; a cloud (.xyz) without what follows the position, a normal or a colour."""
    _check_size(os.path.getsize(path) // 2, memory)
    read = read_text_table(Path(path))
    values, notes = read.values, []
    if not len(values):
        raise InputError("no points in it")
    if read.commas == "decimal":
        notes.append("its commas are read as decimal commas")
    elif read.commas == "separate" and not read.points and (values == np.floor(values)).all():
        notes.append(f"its commas are read as between {read.columns} whole numbers a row, not as decimal commas")
    if Path(path).suffix.lower() == ".xyz" and read.columns > _SPATIAL:
        notes.append(f"left out its columns 4 to {read.columns}")
        values = values[:, :_SPATIAL]
    return Table(values, notes=tuple(notes))


FORMATS: dict[str, Callable[[str, int | None], Table]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    **dict.fromkeys((".csv", ".txt", ".xyz"), _read_text),
}
"""Readers by suffix; each refuses what there is no room for as soon as it knows how much that is."""
