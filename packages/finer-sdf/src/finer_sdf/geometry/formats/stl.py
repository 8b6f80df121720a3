"""Read STL, binary or text: triangles without shared corners."""

import codecs
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_core.io.meshes.writer import STL_OFFSET
from finer_core.io.text import counted, notes_of, number, text_lines
from finer_sdf.geometry.polygons import PolygonTable
from finer_sdf.geometry.raw import RawShape, Room

_HEAD = 84
"""Bytes before the first record: a free text of 80, and the number of records."""
_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(path: Path, room: Room) -> RawShape:
    """Read an .stl file; whether it is text is told by what it holds, for the word `solid` begins many a binary one."""
    with path.open("rb") as file:
        start = file.read(1024)
    if start.removeprefix(codecs.BOM_UTF8).lstrip()[:5].lower() == b"solid" and b"\0" not in start:
        return _read_text(path, room)
    return _read_binary(path, room)


def _read_binary(path: Path, room: Room) -> RawShape:
    size = path.stat().st_size
    if size < _HEAD:
        raise InputError(f"it has {size} bytes, less than the header; it may be cut short, or of another format")
    declared = int(np.fromfile(path, dtype="<u4", count=1, offset=_HEAD - 4)[0])
    present, rest = divmod(size - _HEAD, _RECORD.itemsize)
    said = f"its header declares {counted(declared, 'triangle')} but {present} are there"
    if declared > present:
        raise InputError(f"{said}; it was cut short, or is of another format")
    # A tail of whole records is rather a wrong count than a tail.
    count = declared if rest else present
    room.claim(faces=count)
    records = np.fromfile(path, dtype=_RECORD, count=count, offset=_HEAD)
    after = counted(size - _HEAD - declared * _RECORD.itemsize, "byte")
    offset = _offset(path)
    notes = notes_of(
        {
            f"added the offset {' '.join(f'{value:.12g}' for value in offset)} of its header": offset.any(),
            f"left out {after} after its last triangle": rest,
            f"{said}; read all": count > declared,
            "left out the attributes of its triangles, which may be colors": records["attribute"].any(),
        }
    )
    corners = records["corners"].astype(np.float64).reshape(-1, 3)
    corners += offset
    return RawShape(vertices=corners, faces=np.arange(3 * count).reshape(-1, 3), notes=tuple(notes))


def _offset(path: Path) -> np.ndarray:
    """Return what the header of a file says is to be added to its corners, (3,); 0 if it says nothing."""
    with path.open("rb") as file:
        head = file.read(_HEAD - 4).decode("latin-1").rstrip("\0")
    words = head.removeprefix(STL_OFFSET).split() if head.startswith(STL_OFFSET) else []
    return np.array([number(word, where="its header") for word in words[:3]] if len(words) == 3 else [0.0] * 3)


def _read_text(path: Path, room: Room) -> RawShape:
    table, ended = PolygonTable(room), False
    for where, line in text_lines(path, claim=table.claim):
        words = line.split()
        word = words[0].lower() if words else ""
        ended = word == "endsolid" or (ended and word not in ("solid", "facet", "vertex"))
        if word == "vertex":
            if len(words) < 4 or not table.sizes:
                raise InputError(f"{where}: {line.strip()[:40]!r} needs 3 numbers within a facet; it may be cut short")
            table.vertices.extend([number(text, where=where) for text in words[1:4]])
            table.corners.append(len(table.corners))
            table.sizes[-1] += 1
        elif word == "facet":
            table.sizes.append(0)
    if table.sizes and not ended:
        raise InputError("it ends without `endsolid`; it was cut short, copy it again")
    return table.shape()
