"""Parse point files: text tables and NumPy archives."""

import warnings
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_sdf.shapes.raw_shape import RawShape, index_table, number_table


def parse_xyz_file(path: Path) -> RawShape:
    """Read a text table of 3 columns (a point) or 6 (a point and its normal), split by blanks or commas.

    Empty lines and what follows a # are left out.

    Raises:
        InputError: If there are no rows, or they have another number of columns.
        Exception: Whatever numpy raises for text that is no table of numbers.
    """
    with path.open(encoding="utf-8-sig") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty table is named below
        table = np.loadtxt((line.replace(",", " ") for line in file), dtype=np.float64, comments="#", ndmin=2)
    if table.size == 0:
        raise InputError("it holds no points")
    columns = table.shape[1]
    if columns not in (3, 6):
        raise InputError(f"its rows have {columns} numbers; give x y z, or x y z and the normal nx ny nz")
    normals = np.ascontiguousarray(table[:, 3:]) if columns == 6 else None
    return RawShape(vertices=np.ascontiguousarray(table[:, :3]), normals=normals)


def parse_npz_file(path: Path) -> RawShape:
    """Read arrays `points` and, if there, `normals`; or `vertices` and `faces` of a mesh. Nothing is unpickled.

    Raises:
        InputError: If the arrays are missing, or of another shape or kind.
        Exception: Whatever numpy raises for a file that is no archive.
    """
    archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise InputError("it is a single array, not an archive; write it with numpy.savez")
    with archive:
        names = set(archive.files)
        if {"vertices", "faces"} <= names:
            return RawShape(
                vertices=number_table("vertices", archive["vertices"]), faces=index_table("faces", archive["faces"])
            )
        if "points" not in names:
            found = ", ".join(sorted(names)) or "none"
            raise InputError(f"it needs an array `points`, or `vertices` and `faces`; its arrays: {found}")
        points = number_table("points", archive["points"])
        normals = number_table("normals", archive["normals"]) if "normals" in names else None
    if normals is not None and len(normals) != len(points):
        raise InputError(f"it holds {len(points)} points but {len(normals)} normals")
    return RawShape(vertices=points, normals=normals)
