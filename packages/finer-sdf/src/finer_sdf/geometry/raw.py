"""What a file holds, before anything is repaired, and the checks and limits that every source shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from finer_core.errors import InputError
from finer_core.io.text import counted
from finer_core.resources import check_room
from finer_core.shapes import Int, Shaped
from finer_sdf.geometry.textures import TextureMap

PROCESS_BYTES = 450_000_000
"""What Python, PyTorch and the geometry libraries take by themselves."""
BYTES_A_FACE = 750
"""What reading and cleaning take at their peak per face, with its edges and its share of the vertices."""
_BYTES_A_VERTEX = 100
"""Likewise per vertex beyond the one for two faces that a closed mesh has."""
_BYTES_A_POINT = 450
"""Likewise per point of a cloud."""
_BYTES_A_BARE_POINT = 1500
"""Likewise per point whose normal is estimated from its neighbors."""
SMOOTH_SURFACE_BYTES = 1_500_000_000
"""What the smooth surface of a noisy cloud takes, whatever its size."""
_LARGEST = 1e60
"""Coordinates beyond it have areas and volumes that double precision does not."""
_FAR = 1e-7
"""If nine tenths of all vertices lie within this share of the extent, the rest hides them from any network."""
_LONELY = 0.01
"""Likewise, but worth only a note."""


@dataclass(frozen=True, kw_only=True)
class RawShape:
    """Hold the tables of a file.

    Attributes:
        vertices: (n, 3) float64.
        faces: (m, 3) int64, or None if the file has no faces.
        normals: (n, 3) float64, or None if the file has none for its vertices.
        colors: (n, 3) float32 in [0, 1], sRGB, or None if the file has none for its vertices.
        texture: Pictures on its faces; None if the file has none.
        notes: What the reader left out or took for something, a sentence each.
    """

    vertices: np.ndarray
    faces: np.ndarray | None = None
    normals: np.ndarray | None = None
    colors: np.ndarray | None = None
    texture: TextureMap | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Room:
    """Refuse a surface before the memory that it needs is taken.

    Attributes:
        memory: Bytes that the process may use; None for no limit.
        pictures: Bytes of each picture of it that is in memory already, and stays.
    """

    memory: int | None = None
    pictures: list[int] = field(default_factory=list)

    def claim(self, *, faces: int = 0, points: int = 0, bare_points: int = 0, text: int = 0) -> None:
        """Refuse what does not fit; called with counts as soon as a reader knows them.

        Args:
            faces: Triangles so far, or as a header declares them.
            points: Vertices.
            bare_points: Points whose normals are to be estimated.
            text: Bytes of a file that is held as a whole.
        """
        more = max(0, points - faces // 2) * (_BYTES_A_VERTEX if faces else _BYTES_A_POINT)
        needed = faces * BYTES_A_FACE + more + bare_points * _BYTES_A_BARE_POINT + 2 * text
        needed += sum(self.pictures)
        counts = ((faces, "faces"), (points or bare_points, "points"), (text, "bytes of data"))
        what = next((f"reading {count} {name}" for count, name in counts if count), "reading it")
        check_room(needed, self.memory, what=what, advice="give a coarser shape", process=PROCESS_BYTES)


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
    shares = None if colors is None else color_table(colors)
    return RawShape(
        vertices=points.astype(np.float64),
        normals=None if normals is None else normals.astype(np.float64),
        colors=shares,
        notes=(*notes, NO_COLORS) if colors is not None and shares is None else tuple(notes),
    )


NO_COLORS = "left out its colors: some are not finite"


def color_table(values: np.ndarray) -> np.ndarray | None:
    """Return colors (n, 3) as float32 in [0, 1], shares of a largest value; what is beyond that is clipped.

    Of integers of 8 bits and unsigned ones of 16 it is that of their type. Colors fill the range of no other type:
    there it is the first of 1 (for floats alone), 255 and 65535 that none is above. Floats with fractions may be above
    1 or 255 by what light or interpolation adds, up to twice as much: 1.02 0.5 0.2 are shares of 1.

    None if some are not finite: a surface can be fitted without colors.
    """
    largest = float(values.max(initial=0))
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            return None
        over = 2 if (values != np.floor(values)).any() else 1
        full = next((limit for limit in (1, 255) if largest <= over * limit), 65535)
    else:
        full = np.iinfo(values.dtype).max
        if values.dtype not in (np.int8, np.uint8, np.uint16):
            full = next((limit for limit in (255, 65535) if largest <= limit < full), full)
    return np.clip((values / full).astype(np.float32), 0, 1)


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


def without_unknown(raw: RawShape) -> RawShape:
    """Leave out points of a cloud that are not finite, as depth cameras write them where they saw nothing.

    Normals that are not finite become zero, which stands for an unknown one. A cloud of nothing else stays as it is.
    """
    known = np.isfinite(raw.vertices).all(axis=1)
    if (raw.faces is not None and len(raw.faces)) or not known.any():
        return raw
    notes = list(raw.notes)
    if lost := int((~known).sum()):
        normals, colors = (None if table is None else table[known] for table in (raw.normals, raw.colors))
        raw = replace(raw, vertices=raw.vertices[known], normals=normals, colors=colors)
        notes.append(f"left out {lost} of {counted(len(known), 'point')}: they are not finite")
    if raw.normals is not None and (blank := ~np.isfinite(raw.normals).all(axis=1)).any():
        raw = replace(raw, normals=np.where(blank[:, None], 0.0, raw.normals))
        notes.append(f"took {counted(int(blank.sum()), 'normal')} for zero: they are not finite")
    return replace(raw, notes=tuple(notes))


def check_coordinates(what: str, table: np.ndarray, *, corners: np.ndarray | None = None) -> None:
    """Refuse vertices (n, 3) that are not finite, or so far out that their areas and volumes are no numbers.

    Of those that no corner of a face uses, where corners are given, nothing is asked.
    """
    if corners is not None and not np.isfinite(table).all():
        is_used = np.zeros(len(table), dtype=bool)
        is_used[corners] = True
        table = np.where(is_used[:, None], table, 0.0)
    check_finite(what, table)
    size = np.abs(table).max(axis=1, initial=0.0)
    if beyond := int((size > _LARGEST).sum()):
        raise InputError(
            f"{beyond} of {len(table)} {what} are too far out to compute with; the farthest is "
            f"{row_text(table, int(size.argmax()))}; coordinates must be within {_LARGEST:g}"
        )


def check_spread(what: str, table: np.ndarray) -> tuple[str, ...]:
    """Refuse vertices (n, 3), n > 0, of too small an extent, and those of which a few hide all others.

    Returns a note if a few vertices lie so far from the others that little of the box is left for those.
    """
    extent = float(np.ptp(table, axis=0).max())
    if 0 < extent < 1 / _LARGEST:
        raise InputError(f"its extent of {extent:g} is too small to compute with; scale it up")
    distance = np.abs(table - np.median(table, axis=0)).max(axis=1)
    typical, farthest = float(np.quantile(distance, 0.9)), int(distance.argmax())
    if not 0 < typical < _LONELY * extent:
        return ()
    found = f"nine tenths of its {what} lie within {typical:.3g} of their middle, but {row_text(table, farthest)} is"
    if typical < _FAR * extent:
        raise InputError(f"{found} too far away, {distance[farthest]:.3g}, to see both; remove what is far out")
    return (f"{found} {distance[farthest]:.3g} away; if that is a mistake, remove it",)


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
