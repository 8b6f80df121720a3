"""Read points: text tables, and NumPy archives of points or meshes."""

from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_core.io.arrays import map_array, read_arrays
from finer_core.io.files import printable
from finer_core.io.text_table import read_text_table
from finer_sdf.geometry.raw import COLOR, NORMAL, POSITION, RawShape, Room, number_table, points_of, standard_name

_WIDTHS = (3, 6, 9)
"""Columns whose meaning can be told without their names."""
_ARRAYS = (("vertices", "faces"), ("points", "normals"), ("points",))
_ADVICE = "name the columns in a first line, such as x y z nx ny nz"
_ARRAY_ADVICE = "write `points` and `normals` with numpy.savez"


def read_xyz(path: Path, room: Room) -> RawShape:
    """Read a text table of points: x y z, then perhaps a normal, a color, or both.

    Numbers stand between blanks, commas or semicolons; decimal commas are told from commas that separate. Empty lines
    and what follows a # or // are left out. A first line may name the columns; without one, three more columns are the
    normal unless they look like a color. It may also be the number of points.
    """
    read = read_text_table(path, claim=lambda rows: room.claim(points=rows), widths=_WIDTHS, needed=POSITION)
    table, width = read.values, read.columns
    if table.size == 0:
        raise InputError("it holds no points")
    named = len(read.names) == width
    names, notes = ([standard_name(name) for name in read.names], []) if named else _told_columns(table)
    split, last = read.commas == "separate" and not named and width >= 6, table[:, 3:6]
    # Whole numbers, the last of which are no normals: halves of numbers, perhaps.
    if split and (table == np.floor(table)).all() and not _directions(last).all() and last.any():
        raise InputError(
            f"its rows are {width} whole numbers between commas: points with a color, or decimal commas? "
            f"Write decimal points, or {_ADVICE}"
        )
    if read.declared not in (None, len(table)):
        advice = "it may be cut short" if (read.declared or 0) > len(table) else "leave that line out if all are meant"
        raise InputError(f"its first line says {read.declared} points, and {len(table)} follow; {advice}")
    if read.commas == "decimal":
        notes.insert(0, "its commas are read as decimal commas")
    if named and (left := [name for name in names if name not in POSITION + NORMAL + COLOR]):
        notes.append(f"left out its columns {', '.join(left)[:60]}")
    return points_of(dict(zip(names[::-1], table.T[::-1], strict=True)), notes=notes)  # of equal names, the first


def _told_columns(table: np.ndarray, *, advice: str = _ADVICE) -> tuple[list[str], list[str]]:
    """Tell the columns of a table by their number and content; return their names, and notes of what is not certain."""
    width = table.shape[1]
    if width not in _WIDTHS:
        raise InputError(f"its rows have {width} numbers; give x y z, or x y z and the normal nx ny nz, or {advice}")
    names = list(POSITION)
    for start in range(3, width, 3):
        part = table[:, start : start + 3]
        # Never negative and not of length 1, as no closed surface's normals are.
        names += COLOR if (part >= 0).all() and part.any() and _directions(part).mean() < 0.9 else NORMAL
    if width == 9 and len(set(names)) < 9:
        raise InputError(f"its rows have 9 numbers, and which are the normals cannot be told; {advice}")
    last, notes = table[:, 3:6], []
    if "red" in names:
        first = names.index("red") + 1
        notes.append(
            f"its columns {first} to {first + 2} look like colors, not normals; taken for them (if they are normals, "
            f"{advice})"
        )
    elif width == 6 and (~_directions(last) & last.any(axis=1)).sum() > 0.1 * last.any(axis=1).sum():
        notes.append(f"its columns 4 to 6 are taken as normals, though not of length 1; if they are not, {advice}")
    return names, notes


def _directions(table: np.ndarray) -> np.ndarray:
    """Return which rows (n, 3) have length 1 to a hundredth."""
    return np.abs(np.linalg.norm(table, axis=1) - 1) < 0.01


def read_npy(path: Path, room: Room) -> RawShape:
    """Read an array of points (n, 3); of 6 or 9 columns, which are told as those of a text table."""
    array = read_arrays(path, wanted=(("points",),), claim=lambda size: room.claim(text=size // 2))["points"]
    parts = np.split(array, array.shape[1] // 3, axis=1) if array.ndim == 2 and array.shape[1] in _WIDTHS else [array]
    table = np.hstack([number_table("points", part) for part in parts])
    room.claim(points=len(table))
    names, notes = _told_columns(table, advice=_ARRAY_ADVICE)
    return points_of(dict(zip(names, table.T, strict=True)), notes=notes)


def read_npz(path: Path, room: Room) -> RawShape:
    """Read arrays `points` and, if there, `normals`; or `vertices` and `faces` of a mesh."""
    tables = read_arrays(path, wanted=_ARRAYS, claim=lambda size: room.claim(text=size // 2))  # held once
    others = sorted({*map_array(path).files} - {*tables})
    notes = (f"left out its arrays {printable(', '.join(others)[:60])}",) if others else ()
    if "faces" in tables:
        vertices = number_table("vertices", tables["vertices"])
        faces = number_table("faces", tables["faces"], dtype=np.int64)
        room.claim(faces=len(faces), points=len(vertices))
        return RawShape(vertices=vertices, faces=faces, notes=notes)
    points = number_table("points", tables["points"])
    room.claim(points=len(points))
    normals = number_table("normals", tables["normals"]) if "normals" in tables else None
    if normals is not None and len(normals) != len(points):
        raise InputError(f"it holds {len(points)} points but {len(normals)} normals")
    return RawShape(vertices=points, normals=normals, notes=notes)
