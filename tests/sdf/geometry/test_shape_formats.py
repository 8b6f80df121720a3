"""Every format is read as it is meant, or refused with the reason: indices, polygons, blanks, cuts, tails."""

import re
import struct

import numpy as np
import pytest
import trimesh

from finer_core.errors import InputError
from finer_sdf.geometry import Mesh
from finer_sdf.geometry.reader import load_shape, read_shape

CORNERS = [(x, y, z) for z in (0, 1) for y in (0, 2) for x in (0, 3)]
QUADS = [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]
"""A box of 3 x 2 x 1: volume 6, area 22."""
OUTLINE = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
"""An L of three squares: as a prism of height 1, volume 3 and area 14."""


def prism(outline: list[tuple[float, float]]) -> tuple[list[tuple[float, float, float]], list[tuple[int, ...]]]:
    """Return the corners and polygons of a prism of height 1 over a polygon."""
    count = len(outline)
    corners = [(x, y, z) for z in (0, 1) for x, y in outline]
    sides = [(i, (i + 1) % count, (i + 1) % count + count, i + count) for i in range(count)]
    return corners, [tuple(range(count))[::-1], tuple(range(count, 2 * count)), *sides]


def obj(corners, polygons, *, first: int = 1) -> str:
    vertices = "".join(f"v {x} {y} {z}\n" for x, y, z in corners)
    return vertices + "".join(f"f {' '.join(str(i + first) for i in polygon)}\n" for polygon in polygons)


def off(corners, polygons) -> str:
    vertices = "".join(f"{x} {y} {z}\n" for x, y, z in corners)
    faces = "".join(f"{len(polygon)} {' '.join(map(str, polygon))}\n" for polygon in polygons)
    return f"OFF\n{len(corners)} {len(polygons)} 0\n{vertices}{faces}"


def ply(corners, polygons, *, kind: str = "ascii", scalar: bool = False) -> bytes:
    """Return a PLY file; with `scalar`, a number stands before and a byte after the corners of each face."""
    head = f"ply\nformat {kind} 1.0\ncomment made here\nelement vertex {len(corners)}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz") + f"element face {len(polygons)}\n"
    head += "property float quality\n" * scalar + "property list uchar int vertex_index\n"
    head += "property uchar red\n" * scalar + "end_header\n"
    if kind == "ascii":
        rows = [" ".join(map(str, corner)) for corner in corners]
        rows += ["0.5 " * scalar + " ".join(map(str, (len(p), *p))) + " 7" * scalar for p in polygons]
        return (head + "\n".join(rows) + "\n").encode()
    order = "<" if "little" in kind else ">"
    body = b"".join(struct.pack(order + "3f", *corner) for corner in corners)
    for polygon in polygons:
        body += struct.pack(order + "f", 0.5) * scalar + struct.pack(
            order + f"B{len(polygon)}i", len(polygon), *polygon
        )
        body += b"\7" * scalar
    return head.encode() + body


def saved(path, content: str | bytes):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def figures(path) -> tuple[float, float]:
    """Return volume and area of a mesh file that needs no repair."""
    loaded = read_shape(path)
    assert isinstance(loaded.shape, Mesh)
    assert not [note for note in loaded.notes if not {"merged", "parts;", "colors"} & {*note.split()}], loaded.notes
    return pytest.approx(loaded.shape.volume(), abs=1e-6), pytest.approx(loaded.shape.area(), abs=1e-6)


def refusal(path, **options) -> str:
    with pytest.raises(InputError) as caught:
        load_shape(path, **options)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) <= 300
    return message.removeprefix(f"{path}: ")


BOX = obj(CORNERS, QUADS)
RELATIVE = "".join(
    obj([(x + 10 * block, y, z) for x, y, z in CORNERS], [[i - 8 for i in quad] for quad in QUADS], first=0)
    for block in (0, 1)
)


@pytest.mark.parametrize(
    "text",
    [
        BOX.replace("v ", "v\t"),
        BOX.replace(" ", "\t"),
        "\ufeff" + BOX,
        BOX.replace("\n", "\r\n"),
        BOX.replace("\n", "\r"),
        BOX.replace("f 1 3", "f 1 \\\n3").replace("v 3 0 0", "v 3 \\\r\n 0 0"),
        re.sub(r"(?<=f )(\d)", r"\1/1/9", BOX).replace("f", "vt 0 0\nvn 0 0 1\nusemtl \xe9\nf", 1),
        BOX.replace("\n", " 0.5 0.2 0.1\n", 8),
        BOX.replace("f", "# of C:\\models\\\nf").replace("v 3 0 0\n", "v 3 0 0 # a corner\\\n"),
        BOX.replace("f", "o C:\\boxes\\\nusemtl red\\\ng all\\\nf"),
    ],
    ids=["tab", "tabs", "bom", "crlf", "cr", "continued", "textured", "colored", "path in comment", "path in name"],
)
def test_obj_text_in_its_variants(tmp_path, text):
    assert figures(saved(tmp_path / "a.obj", text)) == (6, 22)


@pytest.mark.parametrize(
    "line",
    [
        "mtllib C:\\colors\\",
        "maplib C:\\maps\\",
        "call C:\\more\\",
        "s off\\",
        "bevel on\\",
        "ctech cparm 0.1\\",
        "\\",
        "x\\",
    ],
)
def test_a_backslash_after_words_of_an_obj_file_takes_no_face_away(tmp_path, line):
    loaded = read_shape(saved(tmp_path / "a.obj", BOX.replace("f", f"{line}\nf", 1)))
    assert isinstance(loaded.shape, Mesh)
    assert (loaded.shape.volume(), loaded.shape.area()) == pytest.approx((6, 22), abs=1e-6), loaded.notes


@pytest.mark.parametrize("blank", [" ", "\t"])
def test_obj_indices_count_back_from_where_they_stand(tmp_path, blank):
    path = saved(tmp_path / "a.obj", RELATIVE.replace("v ", f"v{blank}"))
    assert figures(path) == (12, 44)
    assert read_shape(path).shape.bounds.tolist() == [[0, 0, 0], [13, 2, 1]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (obj(CORNERS, QUADS, first=0), ("line 9", "vertex 0")),
        (BOX + "f 1 2 9\n", ("do not exist", "(0, 1, 8)", "8 vertices")),
        (BOX + "f 1 2 -9\n", ("line 15", "vertex -9")),
        (BOX + "f 1 2.5 3\n", ("line 15", "'2.5'")),
        (BOX + "f 1 2 99999999999999999999\n", ("line 15", "too large")),
        (BOX.replace("v 3 0", "v 3,5 0", 1), ("line 2", "'3,5'", "points")),
        (BOX.replace("v 3 0 0", "v 3 0"), ("line 2", "3 numbers")),
        (BOX[:-5], ("line 14", "3 corners")),
        (BOX + "f 2/1 4/1 8", ("line 15", "breaks off")),
    ],
)
def test_obj_lines_that_mean_nothing_are_named(tmp_path, text, words):
    message = refusal(saved(tmp_path / "a.obj", text))
    assert all(word in message for word in words), message


def test_obj_forms_that_are_left_out_are_said(tmp_path):
    assert read_shape(saved(tmp_path / "a.obj", BOX + "l 1 2\np 3\n")).notes == ("left out its lines and points",)
    assert read_shape(saved(tmp_path / "a.obj", BOX + "call b.obj\n")).notes == ("left out its called files",)
    corners = "".join(f"v {x} {y} {z}\nvn 0 0 1\n" for x, y, z in np.eye(4, 3) * 3)
    loaded = read_shape(saved(tmp_path / "a.obj", corners + "p 1\nsurf 0 1 0 1 1 2 3 4\n"))
    assert "left out its free-form surfaces" in loaded.notes


WRITERS = {
    "obj": (obj, "obj"),
    "off": (off, "off"),
    "ply": (ply, "ply"),
    "little": (lambda *shape: ply(*shape, kind="binary_little_endian"), "ply"),
    "big": (lambda *shape: ply(*shape, kind="binary_big_endian"), "ply"),
    "text with scalars": (lambda *shape: ply(*shape, scalar=True), "ply"),
    "binary with scalars": (lambda *shape: ply(*shape, kind="binary_big_endian", scalar=True), "ply"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_polygon_that_is_not_convex_is_covered_and_no_more(tmp_path, writer):
    write, suffix = WRITERS[writer]
    for turn in range(len(OUTLINE)):
        corners, polygons = prism(OUTLINE[turn:] + OUTLINE[:turn])
        assert figures(saved(tmp_path / f"a.{suffix}", write(corners, polygons))) == (3, 14)


@pytest.mark.parametrize("writer", WRITERS)
def test_regular_polygons(tmp_path, writer):
    write, suffix = WRITERS[writer]
    angles = 2 * np.pi * np.arange(5) / 5
    outline = [(2 * float(np.cos(a)), 2 * float(np.sin(a))) for a in angles]
    floor, side = 2.5 * 4 * np.sin(2 * np.pi / 5), 4 * np.sin(np.pi / 5)
    volume, area = figures(saved(tmp_path / f"a.{suffix}", write(*prism(outline))))
    assert (floor, 2 * floor + 5 * side) == (volume, area)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("OFF\n", "OFF"),
        lambda text: text.replace("OFF\n", "OFF # made here\n\n"),
        lambda text: "# made here\n" + text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("OFF", "COFF").replace(" 0\n", " 0 255 128 0 255\n").replace(" 255 128 0 255", "", 1),
        lambda text: text[:-1] + " 0.5 0.5 0.1\n",
    ],
    ids=["glued", "comment", "crlf", "bom", "colors", "face color"],
)
def test_off_in_its_variants(tmp_path, change):
    assert figures(saved(tmp_path / "a.off", change(off(CORNERS, QUADS)))) == (6, 22)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("OFF BINARY\n8 6 0\n", "binary"),
        ("4OFF\n8 6 0\n", "dimensions"),
        ("OFF\n8\n", "numbers of vertices"),
        (off(CORNERS, [*QUADS, (0, 1, 8)]), "do not exist"),
        (off(CORNERS, [*QUADS, (0, 1)]), "3 corners"),
    ],
)
def test_off_files_of_another_kind(tmp_path, text, words):
    assert words in refusal(saved(tmp_path / "a.off", text))


@pytest.mark.parametrize("writer", [writer for writer in WRITERS if writer != "obj"])
@pytest.mark.parametrize("rows", [1, 4, 7])
def test_a_file_cut_within_its_polygons_is_refused(tmp_path, writer, rows):
    write, suffix = WRITERS[writer]
    content = write(*prism(OUTLINE))
    content = content if isinstance(content, bytes) else content.encode()
    lost = 7 * rows if b"\n" in content[-20:] else 9 * rows
    assert "cut short" in refusal(saved(tmp_path / f"a.{suffix}", content[:-lost]))


def test_ply_files_that_declare_too_little_or_nonsense(tmp_path):
    path = tmp_path / "a.ply"
    assert "3 numbers more" in refusal(saved(path, ply(CORNERS, QUADS) + b"1 2 3\n"))
    notes = read_shape(saved(path, ply(CORNERS, QUADS, kind="binary_little_endian") + b"tail")).notes
    assert notes == ("left out 4 bytes after its last row",)
    flat = b"ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nend_header\n1\n2\n3\n4\n"
    assert "no y and no z" in refusal(saved(path, flat))
    for kind in ("ascii", "binary_little_endian"):
        huge = ply(CORNERS, QUADS, kind=kind).replace(b"face 6", b"face 999999999999")
        assert "cut short" in refusal(saved(path, huge))
        assert "--memory" in refusal(path, memory=10**10)
    negative = ply(CORNERS, QUADS).replace(b"\n4 ", b"\n-4 ")
    assert "list of -4 items" in refusal(saved(path, negative))


def test_a_polygon_that_crosses_itself_is_said(tmp_path):
    flat = [(0, 0, 0), (4, 0, 0), (4, 3, 0), (1, -1, 0), (2, -1, 0), (0, 3, 0)]
    notes = read_shape(saved(tmp_path / "a.obj", obj(flat, [range(6)]))).notes
    assert "1 polygon crosses itself; cut as a fan" in notes
    bow = [(0, 0, 0), (4, 4, 0), (4, 0, 0), (0, 3, 0)]
    assert "1 polygon crosses itself; cut as a fan" in read_shape(saved(tmp_path / "b.obj", obj(bow, [range(4)]))).notes


def test_corners_on_a_line_leave_no_hole(tmp_path):
    """An edge that a neighbor has divided belongs to a polygon with three corners on a line."""
    outline = [(0, 0), (1, 0), (2, 0), (2, 2), (0, 2)]
    assert figures(saved(tmp_path / "a.obj", obj(*prism(outline)))) == (4, 16)


def test_a_large_polygon_takes_no_long_time_or_is_refused(tmp_path):
    angles = 2 * np.pi * np.arange(400) / 400
    radius = np.where(np.arange(400) % 2, 1.0, 0.5)
    star = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    area = 0.5 * abs(np.sum(star[:, 0] * np.roll(star[:, 1], -1) - star[:, 1] * np.roll(star[:, 0], -1)))
    assert figures(saved(tmp_path / "a.obj", obj(*prism(star.tolist()))))[0] == area
    zigzag = [(x, x % 2, 0) for x in range(10_001)] + [(0, -9, 0)]
    assert "10002 corners" in refusal(saved(tmp_path / "b.obj", obj(zigzag, [range(10_002)])))


def stl(*, count: int | None = None, header: bytes = b"") -> bytes:
    content = trimesh.creation.box((3, 2, 1)).export(file_type="stl")
    return header.ljust(80, b"\0") + struct.pack("<I", 12 if count is None else count) + content[84:]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (stl(header=b"solid binary all the same"), None),
        (stl(header=b"solid") + b"tail", "left out 4 bytes"),
        (stl() + bytes(428), "left out 428 bytes"),
        (stl() + bytes(50), "declares 12 triangles but 13 are there"),
        (stl(count=0), "declares 0 triangles but 12 are there"),
        (stl(count=5), "declares 5 triangles but 12 are there"),
    ],
)
def test_binary_stl_with_a_tail_or_a_wrong_count(tmp_path, content, note):
    loaded = read_shape(saved(tmp_path / "a.stl", content))
    assert (loaded.shape.volume(), loaded.shape.area()) == (6, 22)
    assert note is None or note in loaded.notes[0]


def test_stl_cut_short(tmp_path):
    for content in (stl(count=13), stl(count=2**32 - 1), stl()[:-20]):
        assert "12 are there" in (m := refusal(saved(tmp_path / "a.stl", content))) or "11 are there" in m
    text = trimesh.creation.box((3, 2, 1)).export(file_type="stl_ascii")
    for variant in (text, "\ufeff" + text, text.replace("\n", "\r\n"), text.upper()):
        loaded = read_shape(saved(tmp_path / "a.stl", variant))
        assert (loaded.shape.volume(), loaded.shape.area()) == (6, 22)
    for part in (0.3, 0.6, 0.95):
        assert "cut short" in refusal(saved(tmp_path / "a.stl", text[: int(part * len(text))]))


def test_text_in_utf_16_is_named(tmp_path):
    assert "UTF-16" in refusal(saved(tmp_path / "a.obj", BOX.encode("utf-16")))


@pytest.mark.parametrize("suffix", ["ply", "obj", "stl", "off", "glb", "npz", "ascii.ply", "ascii.stl"])
def test_memory_is_refused_from_what_a_file_declares(tmp_path, suffix, monkeypatch):
    """A limit just under what the faces take refuses them in every format, before anything is cleaned."""
    from finer_sdf.geometry import raw, reader

    made, path = trimesh.creation.icosphere(subdivisions=2), tmp_path / f"a.{suffix}"
    if suffix == "npz":
        np.savez(path, vertices=made.vertices, faces=made.faces)
    elif suffix == "ascii.ply":
        path.write_bytes(made.export(file_type="ply", encoding="ascii"))
    elif suffix == "ascii.stl":
        path.write_text(made.export(file_type="stl_ascii"))
    else:
        made.export(path)
    needed = raw.PROCESS_BYTES + 320 * raw.BYTES_A_FACE
    room_for_the_text = 4 * path.stat().st_size if "ascii" in suffix else 0
    assert len(load_shape(path, memory=needed + 20_000 + room_for_the_text).shape.faces) == 320
    monkeypatch.setattr(reader, "clean", lambda *_, **__: pytest.fail("cleaned"))
    assert "--memory" in refusal(path, memory=needed - 1)


def test_memory_of_points(tmp_path):
    points = np.random.default_rng(0).normal(size=(70_000, 3))
    np.savetxt(tmp_path / "a.xyz", points, fmt="%.3f")
    np.savez(tmp_path / "a.npz", points=points)
    for name in ("a.xyz", "a.npz"):
        assert "--memory" in refusal(tmp_path / name, memory=500_000_000)
