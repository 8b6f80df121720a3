"""Files of points that a model is asked about, and of its answers."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import check_output_path, output_path
from finer_sdf.formats import POINT_SUFFIXES
from finer_sdf.geometry.raw import Room, check_finite
from finer_sdf.geometry.reader import named, read_raw

if TYPE_CHECKING:
    from finer_sdf.point_query import PointQuery

COLUMNS = (
    *("x", "y", "z", "distance", "normal_x", "normal_y", "normal_z"),
    *("nearest_x", "nearest_y", "nearest_z", "residual"),
)
"""Of a table of answers."""
ANSWER_SUFFIXES = (".csv", ".npz")


def read_points(path: str | os.PathLike[str], *, memory: int | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read points: a text table (.csv .txt .xyz), an array (.npy), or the points or vertices of a shape file.

    Args:
        path: The file; its suffix chooses the format.
        memory: Bytes that the process may use; None for no limit.

    Returns:
        Points (n, 3) float64 as they stand in the file, and what was left out or taken for something, a sentence each.

    Raises:
        InputError: One line with the file and the reason.
    """
    path = Path(path)
    with named(path):
        raw = read_raw(path, Room(memory=memory), known=POINT_SUFFIXES)
        if not len(raw.vertices):
            raise InputError("it holds no points")
        check_finite("points", raw.vertices)
    return raw.vertices, raw.notes


def check_answer_path(path: str | os.PathLike[str]) -> None:
    """Refuse a file that no answers can be written to, before any work; InputError if so."""
    suffix = Path(path).suffix.lower()
    if suffix not in ANSWER_SUFFIXES:
        raise InputError(
            f"{path}: answers are written as {' or '.join(ANSWER_SUFFIXES)}, not {suffix or 'no suffix'!r}"
        )
    check_output_path(path)


def write_answers(path: str | os.PathLike[str], points: np.ndarray, found: "PointQuery") -> None:
    """Write points and what a model says of them: a table (.csv) or the arrays of `PointQuery` and `points` (.npz).

    Raises:
        InputError: If the path is of neither, or cannot be written to.
    """
    check_answer_path(path)
    with output_path(path) as temporary:
        if Path(path).suffix.lower() == ".csv":
            with temporary.open("w", encoding="ascii") as file:
                print_answers(file, points, found)
        else:
            arrays = {name: getattr(found, name) for name in ("distance", "normal", "nearest", "residual")}
            with temporary.open("wb") as archive:
                np.savez(archive, points=points, **arrays)


def print_answers(file: TextIO, points: np.ndarray, found: "PointQuery") -> None:
    """Write the table of points (n, 3) and answers to an open text file, a line a point."""
    table = np.column_stack([points, found.distance, found.normal, found.nearest, found.residual])
    np.savetxt(file, table, fmt="%.12g", delimiter=",", header=",".join(COLUMNS), comments="")
