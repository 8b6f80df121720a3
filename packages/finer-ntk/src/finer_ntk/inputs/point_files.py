"""Read points from files: NumPy arrays, archives of them, and text tables."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from finer_core.errors import InputError
from finer_core.io.text_table import read_text_table
from finer_core.resources import check_room
from finer_ntk.inputs.points import Points

_COPIES = 4
"""Arrays of a file's numbers that reading holds at once: as stored, in double precision, checked, as a tensor."""
_MOST_BYTES = 8 * 10**9
"""What the arrays of an archive may take where no limit is given."""
_SPATIAL = 3
_LARGEST = 1e15
"""Coordinates beyond it have phases whose squares, as FINER takes them, are no single-precision numbers."""


def file_points(path: str, *, memory: int | None = None) -> Points:
    """Read points from .npy (n, d), .npz (`points`, and `target` if wanted), or text with a point a line.

    Args:
        path: The file; its suffix chooses the format.
        memory: Bytes that the process may take; None for no limit.

    Raises:
        InputError: If it is missing, of another format or cut, has no room, or holds other things than finite points.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"{path}: points are read from {', '.join(FORMATS)}")
    try:
        stored, notes = FORMATS[suffix](path, memory)
        for table in stored.values():
            if table.dtype.kind not in "biuf":
                raise InputError(f"{table.dtype} values, not real numbers")
    except Exception as error:  # a damaged file makes NumPy and zipfile raise anything
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as points ({reason})") from error
    coords = np.array(stored["points"], dtype=np.float64)
    coords = coords[:, None] if coords.ndim == 1 else coords
    if coords.ndim != 2 or coords.shape[0] < 1 or coords.shape[1] < 1:
        raise InputError(f"{path}: expected points of shape (n, coordinates), got {coords.shape}")
    if not np.isfinite(coords).all():
        raise InputError(f"{path}: point {int(np.argwhere(~np.isfinite(coords))[0, 0])} holds NaN or infinity")
    largest = float(np.abs(coords).max())
    if largest > _LARGEST:
        raise InputError(f"{path}: a coordinate of {largest:g}; they must be within {_LARGEST:g}, mostly within 1")
    target = None
    if "target" in stored:
        target = np.array(stored["target"], dtype=np.float64)
        target = target.reshape(len(target), -1) if target.ndim else target.reshape(1, 1)
        if len(target) != len(coords) or not np.isfinite(target).all():
            raise InputError(f"{path}: a target of shape {target.shape} for {len(coords)} points, or not finite")
    what = f"{path}: {len(coords)} points"
    return Points(coords=torch.from_numpy(coords), shape=None, target=target, what=what, notes=tuple(notes))


def _check_size(count: int, memory: int | None) -> None:
    """Refuse numbers that there is no room for."""
    check_room(8 * _COPIES * count, memory, what=f"reading {count} numbers", advice="give fewer points")


_Stored = tuple[dict[str, np.ndarray], list[str]]
"""The arrays "points" and perhaps "target", and what was taken for something or left out, a sentence each."""


def _read_npy(path: str, memory: int | None) -> _Stored:
    points = np.load(path, allow_pickle=False, mmap_mode="r")  # maps no more than the file has
    _check_size(points.size, memory)
    return {"points": points}, []


def _read_npz(path: str, memory: int | None) -> _Stored:
    with zipfile.ZipFile(path) as packed:  # a small one may hold anything
        _check_size(sum(entry.file_size for entry in packed.infolist()) // 8, memory or _MOST_BYTES)
    with np.load(path, allow_pickle=False) as file:
        if "points" not in file:
            raise InputError(f"it needs an array 'points'; its arrays: {', '.join(file.files)[:80] or 'none'}")
        return {name: file[name] for name in ("points", "target") if name in file}, []


def _read_text(path: str, memory: int | None) -> _Stored:
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
    return {"points": values}, notes


FORMATS: dict[str, Callable[[str, int | None], _Stored]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    **dict.fromkeys((".csv", ".txt", ".xyz"), _read_text),
}
"""Readers by suffix; each refuses what there is no room for as soon as it knows how much that is."""
