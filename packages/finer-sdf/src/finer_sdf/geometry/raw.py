"""What a file holds, before anything is repaired, and the checks that every source shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from finer_core.errors import InputError
from finer_core.shapes import Int, Shaped
from finer_sdf.geometry.colors import color_table


@dataclass(frozen=True, kw_only=True)
class RawShape:
    """Hold the tables of a file.

    Attributes:
        vertices: (n, 3) float64.
        faces: (m, 3) int64, or None if the file has no faces.
        normals: (n, 3) float64, or None if the file has none for its vertices.
        colors: (n, 3) float32 in [0, 1], sRGB, or None if the file has none for its vertices.
        notes: What the reader left out or took for something, a sentence each.
    """

    vertices: np.ndarray
    faces: np.ndarray | None = None
    normals: np.ndarray | None = None
    colors: np.ndarray | None = None
    notes: tuple[str, ...] = ()


POSITION, NORMAL, COLOR = ("x", "y", "z"), ("nx", "ny", "nz"), ("red", "green", "blue")
"""Names of columns."""
_OTHER_NAMES = {f"{word}{axis}": f"n{axis}" for word in ("normal", "normal_", "n_") for axis in "xyz"}
_OTHER_NAMES |= {f"{word}{color}": color for word in ("diffuse_", "color_", "vertex_") for color in COLOR}
_OTHER_NAMES |= {"r": "red", "g": "green", "b": "blue"}


def standard_name(column: str) -> str:
    """Return the name that a column is known by here, whatever its file calls it."""
    name = column.lower()
    return _OTHER_NAMES.get(name, name)


def points_of(columns: Mapping[str, np.ndarray], *, notes: Sequence[str] = ()) -> RawShape:
    """Return points by the names of their columns (n,), with normals and colors where these have all three.

    Of two columns for one thing, the one with the standard name is taken.
    """
    columns = {standard_name(name): column for name, column in columns.items()} | {
        name: columns[name] for name in POSITION + NORMAL + COLOR if name in columns
    }
    points, normals, colors = (
        np.stack([columns[name] for name in names], axis=1) if columns.keys() >= set(names) else None
        for names in (POSITION, NORMAL, COLOR)
    )
    assert points is not None
    return RawShape(
        vertices=points.astype(np.float64),
        normals=None if normals is None else normals.astype(np.float64),
        colors=None if colors is None else color_table(colors),
        notes=tuple(notes),
    )


def number_table(what: str, table: np.ndarray, *, dtype: type = np.float64) -> np.ndarray:
    """Return a table of real numbers, or of integers for int64, as (n, 3) of that type; InputError if it is none."""
    kinds, wanted = ("iu", "integers") if dtype is np.int64 else ("fiu", "real numbers")
    if table.ndim != 2 or table.shape[1] != 3:
        raise InputError(f"{what} must be a table of 3 columns, got shape {table.shape}")
    if table.dtype.kind not in kinds:
        raise InputError(f"{what} must be {wanted}, got dtype {table.dtype}")
    return np.ascontiguousarray(table, dtype=dtype)


def check_finite(what: str, table: np.ndarray) -> None:
    """Refuse NaN and infinities in a table (n, 3), naming how many rows have some and the first of them."""
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(bad):
        raise InputError(f"{len(bad)} of {len(table)} {what} are not finite; the first is {row_text(table, bad[0])}")


def check_indices(corners: np.ndarray, *, count: int, sizes: np.ndarray | None = None) -> None:
    """Refuse faces that name vertices outside of 0 ... count - 1, naming how many and the first of them.

    Args:
        corners: (m, 3) triangles; or (c,) the corners of polygons in a row.
        count: How many vertices there are.
        sizes: (m,) how many corners each polygon has.
    """
    outside = (corners < 0) | (corners >= count)
    if not outside.any():
        return
    owner = np.repeat(np.arange(len(corners)), 3) if sizes is None else np.repeat(np.arange(len(sizes)), sizes)
    bad = np.unique(owner[outside.ravel()])
    first = ", ".join(str(index) for index in corners.ravel()[owner == bad[0]][:8])
    raise InputError(
        f"{len(bad)} of {int(owner[-1]) + 1} faces name vertices that do not exist; "
        f"the first is number {bad[0]} ({first}), and there are {count} vertices"
    )


def row_text(table: np.ndarray, index: int) -> str:
    """Return the number and the values of a row, for messages."""
    return f"number {index} ({', '.join(f'{value:g}' for value in table[index])})"


def first_of_equals(rows: Shaped[np.ndarray, "rows 3"]) -> tuple[Int[np.ndarray, " sets"], Int[np.ndarray, " rows"]]:
    """Return the index of the first of every set of equal rows (m, 3), and the number of each row's set, (m,)."""
    order = np.lexsort((rows + 0).T)  # -0 is at the place of 0; stable: equal rows stay in the order of the file
    new = np.append(True, (np.diff(rows[order], axis=0) != 0).any(axis=1))
    number = np.empty(len(rows), dtype=np.int64)
    number[order] = np.cumsum(new) - 1
    return order[new], number


def cut_short(declared: str, found: object) -> InputError:
    """Return the error for a file that holds less than it declares."""
    return InputError(f"it declares {declared} but holds {found}; it was cut short, copy it again")


def counted(count: int, one: str, many: str = "") -> str:
    """Return "1 face" or "3 faces"; the plural is `one` with an s, or `many`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
