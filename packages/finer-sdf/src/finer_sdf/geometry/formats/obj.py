"""Read Wavefront OBJ: the positions and colors of vertices, the polygons that index them, and their materials."""

from array import array
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

from finer_core.errors import InputError
from finer_core.io.text import LONGEST_LINE, counted, integer, number, text_lines
from finer_sdf.geometry.formats.obj_materials import Materials, name_in
from finer_sdf.geometry.polygons import PolygonTable
from finer_sdf.geometry.raw import RawShape, Room
from finer_sdf.geometry.textures import NO_TEXTURE

_OTHER_FORMS = {"l": "lines", "p": "points", "curv": "curves", "surf": "free-form surfaces", "call": "called files"}
_OF_NUMBERS = {"v", "vn", "vt", "vp", "f", "fo", "l", "p", "curv", "curv2", "surf"}
_OF_NUMBERS |= {"deg", "bmat", "step", "parm", "trim", "hole", "scrv", "sp", "con"}
"""Lines that may go on below; in those of words and paths a backslash is a letter: of a folder on Windows, say."""


def read_obj(path: Path, room: Room) -> RawShape:
    """Read all objects of an .obj file as one; without faces, its points and their normals.

    A negative index counts back from the vertices above its line. Colors are those of the vertices, times the picture
    of each material, or its color where it has none and others differ: beside a picture many write a color that nobody
    means, and Blender passes it over too. The normals of corners are left out.
    """
    table, materials = PolygonTable(room), Materials()
    tables = {"v": table.vertices, "vn": table.normals}
    where, line, more, material, above = "", "", set[str](), "", 0
    for where, line in _joined_lines(path, table):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0] in tables:
            if len(words) < 4:
                raise InputError(f"{where}: {' '.join(words)[:40]!r} needs 3 numbers; it may be cut short")
            tables[words[0]].extend([number(word, where=where) for word in words[1:4]])
            if words[0] == "v" and len(words) in (7, 8):  # x y z red green blue, and perhaps alpha
                table.colors.extend([number(word, where=where) for word in words[4:7]])
        elif words[0] in ("f", "fo"):
            table.corners.extend(_corners(words[1:], vertices=len(table.vertices) // 3, where=where))
            table.sizes.append(len(words) - 1)
            table.materials.append(materials.number(material) if material else NO_TEXTURE)
            table.corner_places.extend(_corner_places(words[1:], places=len(table.places) // 2, where=where))
        elif words[0] == "vt":
            table.places.extend(_place(words[1:], where=where))
        elif words[0] == "mtllib":
            above = above if materials.textures else len(table.sizes)
            materials.read(path.parent, line.split(maxsplit=1)[1].strip() if len(words) > 1 else "", room)
        elif words[0] == "usemtl":
            material = name_in(line)
        elif words[0] in _OTHER_FORMS:
            more.add(_OTHER_FORMS[words[0]])
    _check_last(line, where, table.sizes)
    if not table.sizes:
        more.discard("points")  # which are what there is, then
    notes = (f"left out its {' and '.join(sorted(more))}",) if more else ()
    textures = tuple(materials.textures) if materials.differ(set(table.materials)) else ()
    if textures and above:
        notes = (*notes, f"{counted(above, 'face')} above its material library left without material")
    return table.shape(notes=(*notes, *materials.notes), textures=textures)


def _joined_lines(path: Path, table: PolygonTable) -> Iterator[tuple[str, str]]:
    """Yield lines as `text_lines` does, those of numbers alone that end in a backslash together with the next."""
    head, start = "", ""
    for where, line in text_lines(path, claim=table.claim):
        if line.rstrip().endswith("\\") and (head or _is_of_numbers(line)) and len(head) < LONGEST_LINE:
            head, start = head + line.rstrip()[:-1] + " ", start or where
            continue
        yield (start or where), head + line
        head, start = "", ""
    if head:
        yield start, head


def _is_of_numbers(line: str) -> bool:
    return line.split(maxsplit=1)[0] in _OF_NUMBERS and "#" not in line


def _corners(words: list[str], *, vertices: int, where: str) -> list[int]:
    """Return the vertices, counted from 0, that the corners of a face name where `vertices` are above it."""
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


def _place(words: list[str], *, where: str) -> tuple[float, float]:
    """Return where a `vt` line is in a texture, from its upper left corner: OBJ counts from the lower left one."""
    u, v = (number(word, where=where) for word in [*words[:2], "0", "0"][:2])
    return (u, 1 - v) if isfinite(u) and isfinite(v) else (0.0, 0.0)


def _corner_places(words: list[str], *, places: int, where: str) -> list[int]:
    """Return the places, counted from 0, that the corners of a face name, where `places` are above it; -1 for none."""
    found = []
    for word in words:
        _, _, rest = word.partition("/")
        text = rest.partition("/")[0]
        index = integer(text, where=where) if text else 0
        found.append(index - 1 if 0 < index <= places else places + index if -places <= index < 0 else -1)
    return found


def _check_last(line: str, where: str, sizes: "array[int]") -> None:
    """Refuse a last line that breaks off within a face: in a corner, or before the corners that all others have."""
    words = line.split()
    if words[:1] != ["f"] or line.endswith("\n"):
        return
    fewer = len(set(sizes[:-1])) == 1 and sizes[-1] < sizes[0]
    if fewer or len({word.count("/") for word in words[1:]}) > 1:
        raise InputError(f"{where}: {' '.join(words)[:40]!r} breaks off; it was cut short, copy it again")
