"""Read the Object File Format, .off: counted vertices, then counted polygons."""

import re
from collections.abc import Iterator
from pathlib import Path

from finer_core.errors import InputError
from finer_core.io.text import counted, integer, notes_of, number, text_lines
from finer_sdf.geometry.polygons import PolygonTable
from finer_sdf.geometry.raw import RawShape, Room, cut_short

_HEADER = re.compile(r"(?:ST)?C?N?(4?)(n?)OFF\b|(?:ST)?C?N?OFF(?=\d)")


def read_off(path: Path, room: Room) -> RawShape:
    """Read an .off file, also with colors, normals or texture coordinates, which are left out.

    The counts may stand on the line of the word OFF, even without a blank between them.
    """
    table = PolygonTable(room)
    rows = _rows(path, table)
    where, first = next(rows, ("", ""))
    header = _HEADER.match(first)
    if not header or "BINARY" in first:
        raise InputError("it does not begin with OFF in text form; it may be binary, or of another format")
    if header[1] or header[2]:
        raise InputError("its vertices have other than 3 dimensions; give a surface in space")
    rest = first[header.end() :].strip()
    where, counts = (where, rest) if rest else next(rows, (where, ""))
    declared = [integer(word, where=where) for word in counts.split()[:2]]
    if len(declared) < 2 or min(declared) < 0:
        raise InputError(f"{where}: {counts[:40]!r} are not the numbers of vertices and faces")
    room.claim(faces=declared[1], points=declared[0])
    has_colors = "C" in header[0]  # or without a word: three more numbers of a vertex, or some of a face
    for done in range(declared[0]):
        where, row = next(rows, ("", ""))
        words = row.split()
        if len(words) < 3:
            raise cut_short(f"{declared[0]} vertices", _found(done, where))
        table.vertices.extend([number(word, where=where) for word in words[:3]])
        has_colors |= len(words) >= 6 and header[0] == "OFF"
    for done in range(declared[1]):
        where, row = next(rows, ("", ""))
        words = row.split()
        size = integer(words[0], where=where) if words else 0
        if len(words) <= size or not words:
            raise cut_short(f"{declared[1]} faces", _found(done, where))
        if size < 3:
            raise InputError(f"{where}: a face needs 3 corners, got {size}")
        table.corners.extend([integer(word, where=where) for word in words[1 : size + 1]])
        table.sizes.append(size)
        has_colors |= len(words) > size + 1
    left = sum(1 for _ in rows)
    notes = {f"left out {counted(left, 'line')} after its last face": left, "left out its colors": has_colors}
    return table.shape(notes=tuple(notes_of(notes)))


def _rows(path: Path, table: PolygonTable) -> Iterator[tuple[str, str]]:
    """Yield where it is, and the text, of every line that holds more than a comment."""
    for where, line in text_lines(path, claim=table.claim):
        row = line.split("#", 1)[0].strip()
        if row:
            yield where, row


def _found(done: int, where: str) -> str:
    return f"{done}; {where} is too short" if where else str(done)
