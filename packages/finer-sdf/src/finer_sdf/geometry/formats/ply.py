"""Read PLY, text or binary: elements of any properties, of which positions, normals, colors and polygons are kept."""

import codecs
import dataclasses
import struct
from array import array
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from finer_core.errors import InputError
from finer_core.io.text import LINES_A_CLAIM, counted, numbers
from finer_sdf.geometry.formats.pictures import neighbor, read_texture, reason_for
from finer_sdf.geometry.polygons import with_polygons, with_textured_polygons
from finer_sdf.geometry.raw import COLOR, RawShape, Room, check_indices, cut_short, points_of, standard_name
from finer_sdf.geometry.textures import NO_TEXTURE, Texture

_TYPES = {"char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I", "float": "f", "double": "d"}
_TYPES |= {np.dtype(kind).name: kind for kind in _TYPES.values()}
"""Names of types, and the letters that both struct and NumPy have for them."""
_FORMATS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST_HEADER = 1 << 16
_LONGEST_FIRST = 1 << 22
"""Bytes of the first row that are looked at to learn how long its lists are."""
_CORNERS = ("vertex_indices", "vertex_index")
_PLACES = (("texture_u", "texture_v"), ("s", "t"), ("u", "v"))
"""Names of a vertex's place in a texture."""


class _Property(NamedTuple):
    """Describe a value of every row; `counter` is the type of the count before it if it is a list, else None."""

    name: str
    kind: str
    counter: str | None


class _Element(NamedTuple):
    """Describe a table: its name, how many rows it declares, and its properties."""

    name: str
    rows: int
    properties: list[_Property]


class _Table(NamedTuple):
    """Hold an element: `values` of each plain property (n,), and `lists` as (flat values, lengths (n,))."""

    values: dict[str, np.ndarray]
    lists: dict[str, tuple[np.ndarray, np.ndarray]]


_NONE = _Table(values={}, lists={})


def read_ply(path: Path, room: Room) -> RawShape:
    """Read the polygons of a .ply file; without any, its points and their normals."""
    with path.open("rb") as file:
        is_text, order, elements, pictures = _header(file)
        declared = {element.name: element.rows for element in elements}
        if declared.get("tristrips"):
            raise InputError("its triangles are stored as strips, which are not read; convert them to faces")
        room.claim(faces=declared.get("face", 0), points=declared.get("vertex", 0))
        content = _numbers_of(file, room) if is_text else file
        tables = {e.name: _rows(content, _in_doubles(e) if is_text else e, order, room) for e in elements}
        left = -content.tell() + content.seek(0, 2)
    if left and is_text:
        raise InputError(f"it holds {left // 8} numbers more than its header declares; it may be corrupt")
    notes = (f"left out {counted(left, 'byte')} after its last row",) if left else ()
    kinds = {p.name: p.kind for element in elements if element.name == "vertex" for p in element.properties}
    vertices = {name: _of_kind(kinds[name], values) for name, values in tables.get("vertex", _NONE).values.items()}
    missing = [axis for axis in "xyz" if axis not in map(standard_name, vertices)]
    if missing:
        raise InputError(f"its vertices have no {' and no '.join(missing)}; a surface in space needs x, y and z")
    shape = points_of(vertices, notes=notes)
    if not declared.get("face"):
        return shape
    lists = tables["face"].lists if "face" in tables else {}
    if "face" in tables and {*map(standard_name, tables["face"].values)} >= {*COLOR} and shape.colors is None:
        shape = dataclasses.replace(shape, notes=(*notes, "left out the colors of its faces"))
    polygons = next((lists[name] for name in _CORNERS if name in lists), None)
    if polygons is None:
        raise InputError(f"its faces have no list {' or '.join(_CORNERS)}")
    corners, sizes = map(_whole, polygons)
    check_indices(corners, count=len(shape.vertices), sizes=sizes)
    places = _places(vertices, lists, corners, sizes)
    if pictures and places is not None:
        files = [(path.parent, name) for name in pictures]
        numbers = tables["face"].values.get("texnumber", np.zeros(len(sizes)))
        return _textured(shape, corners, sizes, numbers=numbers, places=places, files=files, room=room)
    if pictures:
        shape = _noted(shape, "left out its texture: neither its corners nor its vertices have places in it")
    elif "texcoord" in lists:
        shape = _noted(shape, "left out its texture: no line `comment TextureFile` of its header names a picture")
    return with_polygons(shape, corners, sizes)


def _textured(
    shape: RawShape,
    corners: np.ndarray,
    sizes: np.ndarray,
    *,
    numbers: np.ndarray,
    places: np.ndarray,
    files: list[tuple[Path, str]],
    room: Room,
) -> RawShape:
    """Return polygons with those pictures whose numbers (p,) they have; one that cannot be read is left out."""
    is_known = (numbers >= 0) & (numbers < len(files))
    used, rank = np.unique(numbers[is_known].astype(np.int64), return_inverse=True)
    if not len(used):
        shape = _noted(shape, f"left out its texture: no face has a texnumber from 0 to {len(files) - 1}")
        return with_polygons(shape, corners, sizes)
    textures, kept = list[Texture](), np.full(len(used), NO_TEXTURE)
    for place, number in enumerate(used):
        try:
            textures.append(read_texture(neighbor(*files[number]), room))
            kept[place] = len(textures) - 1
        except (InputError, OSError) as error:
            whose = "its" if len(used) == 1 else "a"
            shape = _noted(shape, f"left out {whose} texture: {reason_for(error)}")
    if not textures:
        return with_polygons(shape, corners, sizes)
    if shape.colors is not None:  # a scan often has its colors in both
        shape = _noted(dataclasses.replace(shape, colors=None), "left out the colors of its vertices: it has a texture")
    if others := int((~is_known).sum()):
        shape = _noted(shape, f"read {counted(others, 'face')} as white, without the number of a texture")
    of_face = np.full(len(sizes), NO_TEXTURE)
    of_face[is_known] = kept[rank]
    return with_textured_polygons(shape, corners, sizes, textures=tuple(textures), numbers=of_face, places=places)


def _noted(shape: RawShape, note: str) -> RawShape:
    return dataclasses.replace(shape, notes=(*shape.notes, note))


def _places(
    vertices: dict[str, np.ndarray],
    lists: dict[str, tuple[np.ndarray, np.ndarray]],
    corners: np.ndarray,
    sizes: np.ndarray,
) -> np.ndarray | None:
    """Return where corners (c,) lie in their textures, (c, 2), from the upper left: PLY counts from the lower left.

    The places of their polygon are taken, NaN where it has none, or else those of their vertex; None without either.
    """
    pair = next((pair for pair in _PLACES if vertices.keys() >= set(pair)), None)
    values, lengths = lists.get("texcoord", (np.empty(0), np.zeros(len(sizes))))
    is_whole = (sizes > 0) & (_whole(lengths) == 2 * sizes)
    if is_whole.any():
        places = np.full((len(corners), 2), np.nan)
        places[np.repeat(is_whole, sizes)] = values[np.repeat(is_whole, _whole(lengths))].reshape(-1, 2)
    elif pair is not None:
        places = np.stack([vertices[name] for name in pair], axis=1).astype(np.float64)[corners]
    else:
        return None
    return places * [1, -1] + [0, 1]


def _header(file: BufferedReader) -> tuple[bool, str, list[_Element], list[str]]:
    """Return whether text follows, the byte order, the elements that have properties, and the pictures it names."""
    written, elements, pictures = None, list[_Element](), list[str]()
    end = file.peek(9).removeprefix(codecs.BOM_UTF8)[3:6]
    is_old = end.startswith(b"\r") and b"\n" not in end  # "\r\r\n" is what comes of "\r\n" written as text
    for number in range(_LONGEST_HEADER):
        line = _line_of(file, is_old=is_old).removeprefix(b"" if number else codecs.BOM_UTF8)
        words = line.decode("latin-1").split()
        if (number == 0 and words != ["ply"]) or not line or file.tell() > _LONGEST_HEADER:
            raise InputError("its header does not begin with `ply` and end with `end_header`; it is of another format")
        match words:
            case ["format", ("ascii" | "binary_little_endian" | "binary_big_endian") as name, *_]:
                written = name
            case ["element", name, count] if count.isdecimal() and len(count) < 16:
                elements.append(_Element(name, int(count), []))
            case ["property", "list", counter, kind, name] if elements and counter in _TYPES and kind in _TYPES:
                elements[-1].properties.append(_Property(name, _TYPES[kind], _TYPES[counter]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1].properties.append(_Property(name, _TYPES[kind], None))
            case ["end_header"]:
                break
            case ["comment", "TextureFile", _, *_]:
                pictures.append(line.decode("utf-8", "replace").split(maxsplit=2)[2].strip())
            case [] | ["ply" | "comment" | "obj_info", *_]:
                pass
            case _:
                raise InputError(f"line {number + 1} of its header is not understood: {' '.join(words)[:60]!r}")
    if written is None:
        raise InputError("its header names no format")
    if len({element.name for element in elements}) < len(elements):
        raise InputError("its header declares an element twice")
    return written == "ascii", _FORMATS[written], [element for element in elements if element.properties], pictures


def _line_of(file: BufferedReader, *, is_old: bool) -> bytes:
    """Return the next line of a header; in old files, as the format was first described, a carriage return ends it."""
    if not is_old:
        return file.readline(_LONGEST_HEADER)
    start = file.tell()
    line, end, _ = file.read(_LONGEST_HEADER).partition(b"\r")
    file.seek(start + len(line + end))
    return line + end


def _in_doubles(element: _Element) -> _Element:
    """Return an element as the numbers of a text file are held."""
    return element._replace(properties=[p._replace(kind="d", counter=p.counter and "d") for p in element.properties])


def _of_kind(kind: str, values: np.ndarray) -> np.ndarray:
    """Return numbers that were held as doubles as what they were declared, which tells the range of colors.

    Where they do not fit, as of text whose header is wrong, they are left as they are.
    """
    if kind in "fd" or values.dtype.kind != "f":
        return values
    limits = np.iinfo(kind)
    fits = (values == np.floor(values)).all() and values.min(initial=0) >= limits.min
    return values.astype(kind) if fits and values.max(initial=0) <= limits.max else values


def _numbers_of(file: BinaryIO, room: Room) -> BinaryIO:
    """Return the numbers of a text file as a binary file of doubles; line ends mean no more than blanks."""
    start = file.tell()
    room.claim(text=2 * (file.seek(0, 2) - start))  # the text, and 8 bytes for every number
    file.seek(start)
    return BytesIO(numbers(file.read().decode("latin-1"), where="its data").tobytes())


def _rows(file: BinaryIO, element: _Element, order: str, room: Room) -> _Table:
    """Read the rows of an element: at once where all lists are as long as those of the first row, else one by one."""
    start, count = file.tell(), element.rows
    left = file.seek(0, 2) - start
    file.seek(start)
    lengths = dict[str, int]()
    if any(p.counter for p in element.properties):
        first = _walk(file.read(min(left, _LONGEST_FIRST)), element._replace(rows=min(1, count)), order, Room())[0]
        lengths = {name: int(sizes.sum()) for name, (_, sizes) in first.lists.items()}
        file.seek(start)
    row = _row_type(element, order, lengths)
    if row.itemsize * count <= left:
        rows = np.frombuffer(file.read(row.itemsize * count), dtype=row)
        if all((rows[f"{name}#"] == length).all() for name, length in lengths.items()):
            values = {p.name: rows[p.name] for p in element.properties if p.counter is None}
            return _Table(values=values, lists={name: (rows[name].ravel(), rows[f"{name}#"]) for name in lengths})
        file.seek(start)
    elif not lengths:
        raise cut_short(f"{count} rows of {element.name!r}", left // row.itemsize)
    room.claim(faces=count if element.name == "face" else 0, text=left)
    table, end = _walk(file.read(), element, order, room)
    file.seek(start + end)
    return table


def _row_type(element: _Element, order: str, lengths: dict[str, int]) -> np.dtype:
    """Return the type of a row whose lists have these lengths; the count of the list `a` is the field `a#`."""
    fields = list[tuple[str, str, tuple[int, ...]]]()
    for p in element.properties:
        if p.counter is not None:
            fields.append((f"{p.name}#", order + p.counter, ()))
        fields.append((p.name, order + p.kind, (lengths[p.name],) if p.counter else ()))
    return np.dtype(fields)


def _walk(data: bytes, element: _Element, order: str, room: Room) -> tuple[_Table, int]:
    """Read rows one by one; return them and where they end."""
    values = {p.name: array("d") for p in element.properties if p.counter is None}
    lists = {p.name: (array("d"), array("q")) for p in element.properties if p.counter is not None}
    at = 0
    for done in range(element.rows):
        try:
            for p in element.properties:
                length = 1
                if p.counter is not None:
                    (length,) = struct.unpack_from(order + p.counter, data, at)
                    if not 0 <= length < 2**32 or length != int(length):
                        raise InputError(f"a list of {length:g} items is none; it may be corrupt")
                    length = int(length)
                    at += struct.calcsize(order + p.counter)
                    lists[p.name][1].append(length)
                flat = values[p.name] if p.counter is None else lists[p.name][0]
                flat.extend(struct.unpack_from(f"{order}{length}{p.kind}", data, at))
                at += length * struct.calcsize(order + p.kind)
        except (struct.error, OverflowError):
            raise cut_short(f"{element.rows} rows of {element.name!r}", done) from None
        if done % LINES_A_CLAIM == 0:
            room.claim(faces=sum(len(flat) - 2 * len(sizes) for flat, sizes in lists.values()), text=len(data))
    columns = {name: np.array(column, dtype=np.float64) for name, column in values.items()}
    return _Table(values=columns, lists={name: (np.array(flat), np.array(n)) for name, (flat, n) in lists.items()}), at


def _whole(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f" and not ((np.abs(values) < 2**53) & (values == np.floor(values))).all():
        raise InputError("its faces name vertices by numbers that are not whole")
    return np.ascontiguousarray(values, dtype=np.int64)
