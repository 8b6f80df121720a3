"""Read Wavefront OBJ: the positions and colors of vertices, and the polygons that index them."""

import dataclasses
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_core.io.text import LINES_A_CLAIM, LONGEST_LINE, integer, number, text_lines
from finer_sdf.geometry.colors import color_table
from finer_sdf.geometry.limits import Room
from finer_sdf.geometry.polygons import polygon_mesh
from finer_sdf.geometry.raw import RawShape

_OTHER_FORMS = {"l": "lines", "p": "points", "curv": "curves", "surf": "free-form surfaces"}


def read_obj(path: Path, room: Room) -> RawShape:
    """Read all objects of an .obj file as one; without faces, its points and their normals.

    A negative index counts back from the vertices above its line. What is neither `v`, `vn` nor `f` is left out, and
    of a corner such as 3/1/2 all but the position.

    Raises:
        InputError: If a line cannot be understood, or there is no room.
    """
    vertices, normals, colors, corners, sizes = array("d"), array("d"), array("d"), array("q"), array("q")
    tables = {"v": vertices, "vn": normals}
    line, count, more = "", 0, set[str]()
    for count, line in _joined_lines(path):
        if count % LINES_A_CLAIM == 0:
            room.claim(faces=len(corners) - 2 * len(sizes), points=len(vertices) // 3)
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0] in tables:
            where = f"line {count}"
            if len(words) < 4:
                raise InputError(f"{where}: {' '.join(words)[:40]!r} needs 3 numbers; it may be cut short")
            tables[words[0]].extend([number(word, where=where) for word in words[1:4]])
            if words[0] == "v" and len(words) == 7:  # x y z red green blue
                colors.extend([number(word, where=where) for word in words[4:]])
        elif words[0] in ("f", "fo"):
            corners.extend(_corners(words[1:], vertices=len(vertices) // 3, line=count))
            sizes.append(len(words) - 1)
        elif words[0] in _OTHER_FORMS:
            more.add(_OTHER_FORMS[words[0]])
    _check_last(line, count, sizes)
    room.claim(faces=len(corners) - 2 * len(sizes), points=len(vertices) // 3)
    points, directions = (np.frombuffer(table or array("d")).reshape(-1, 3) for table in (vertices, normals))
    painted = np.frombuffer(colors).reshape(-1, 3) if colors and len(colors) == len(vertices) else None
    shades = None if painted is None else color_table(painted)
    if sizes:
        mesh = polygon_mesh(points, np.frombuffer(corners, dtype=np.int64), np.frombuffer(sizes, dtype=np.int64))
        notes = (f"left out its {' and '.join(sorted(more))}",) if more else ()
        return dataclasses.replace(mesh, colors=shades, notes=notes + mesh.notes)
    return RawShape(vertices=points, normals=directions if len(directions) == len(points) else None, colors=shades)


def _joined_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield lines as `text_lines` does, those that end in a backslash together with the next."""
    head, start = "", 0
    for count, line in text_lines(path):
        if line.rstrip().endswith("\\") and len(head) < LONGEST_LINE:
            head, start = head + line.rstrip()[:-1] + " ", start or count
            continue
        yield (start or count), head + line
        head, start = "", 0
    if head:
        yield start, head


def _corners(words: list[str], *, vertices: int, line: int) -> list[int]:
    """Return the vertices, counted from 0, that the corners of a face name where `vertices` are above it."""
    where = f"line {line}"
    if len(words) < 3:
        raise InputError(f"{where}: a face needs 3 corners, got {len(words)}; it may be cut short")
    indices = []
    for word in words:
        index = integer(word.split("/", 1)[0], where=where)
        if index == 0 or index < -vertices:
            raise InputError(
                f"{where}: a face names vertex {index}, which does not exist; vertices count from 1, "
                f"or from -1 backwards, and {vertices} are above this line"
            )
        indices.append(index - 1 if index > 0 else vertices + index)
    return indices


def _check_last(line: str, count: int, sizes: "array[int]") -> None:
    """Refuse a last line that breaks off within a face: in a corner, or before the corners that all others have."""
    words = line.split()
    if words[:1] != ["f"] or line.endswith("\n"):
        return
    fewer = len(set(sizes[:-1])) == 1 and sizes[-1] < sizes[0]
    if fewer or len({word.count("/") for word in words[1:]}) > 1:
        raise InputError(f"line {count}: {' '.join(words)[:40]!r} breaks off; it was cut short, copy it again")
