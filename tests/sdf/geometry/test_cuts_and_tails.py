"""What stands before, after or in the place of a format's records: read as it is meant, said, or refused."""

import io
import json
import re

import numpy as np
import pytest
import trimesh

from finer_sdf.geometry.reader import read_shape
from tests.sdf.geometry.test_shape_formats import BOX, CORNERS, QUADS, figures, off, ply, refusal, saved

SOLID = trimesh.creation.box((3, 2, 1))


def sphere(count: int = 200) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def rows(table: np.ndarray) -> str:
    return "".join(" ".join(f"{value:.5f}" for value in row) + "\n" for row in table)


def test_a_byte_order_mark_before_a_ply_file(tmp_path):
    assert figures(saved(tmp_path / "a.ply", b"\xef\xbb\xbf" + ply(CORNERS, QUADS))) == (6, 22)


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\r\r\n", b" \n"])
@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_line_ends_of_the_header_of_a_ply_file(tmp_path, end, kind):
    head, word, rest = ply(CORNERS, QUADS, kind=kind).partition(b"end_header\n")
    text = (head + word).replace(b"\n", end) + (rest.replace(b"\n", end) if kind == "ascii" else rest)
    assert figures(saved(tmp_path / "a.ply", text)) == (6, 22)


@pytest.mark.parametrize("tail", ["\nmade by a program\n", "\x1a", "\n\n"])
def test_text_after_a_text_stl(tmp_path, tail):
    path = saved(tmp_path / "a.stl", SOLID.export(file_type="stl_ascii") + tail)
    assert figures(path) == (6, 22)


def test_a_second_solid_that_breaks_off_is_not_a_tail(tmp_path):
    text = SOLID.export(file_type="stl_ascii")
    assert "cut short" in refusal(saved(tmp_path / "a.stl", f"{text}\nsolid b\n{text[200:600]}"))


def test_lines_after_the_last_face_of_an_off_file_are_said(tmp_path):
    path = saved(tmp_path / "a.off", off(CORNERS, QUADS) + "3 0 1 2\n\n# no line\n3 1 2 3\n")
    assert read_shape(path).notes == ("left out 2 lines after its last face",)


def test_bytes_after_a_glb_file_are_said(tmp_path):
    path = saved(tmp_path / "a.glb", SOLID.export(file_type="glb") + b"12345678")
    assert "left out 8 bytes after its end" in read_shape(path).notes


@pytest.mark.parametrize("end", ["f 2 4 8 ", "f 2 4 8"])
def test_an_obj_file_that_ends_before_the_last_corner(tmp_path, end):
    assert "breaks off" in refusal(saved(tmp_path / "a.obj", BOX[: BOX.rindex("f 2")] + end))


def test_a_shorter_last_face_is_whole_with_its_line_end_or_among_faces_of_many_sizes(tmp_path):
    triangle = BOX[: BOX.rindex("f 2")] + "f 2 4 8"
    assert len(read_shape(saved(tmp_path / "a.obj", triangle + "\n")).shape.faces) == 11
    assert len(read_shape(saved(tmp_path / "a.obj", triangle.replace("f 1 3 4 2", "f 1 3 4"))).shape.faces) == 10


def test_a_row_of_a_cloud_that_breaks_off_is_named(tmp_path):
    text = rows(sphere())
    assert "line 200 has 2 columns, those above have 3" in refusal(saved(tmp_path / "a.xyz", text[:-10]))


@pytest.mark.parametrize("suffix", [".npz", ".ply"])
def test_colors_in_the_place_of_normals_are_said_in_every_format(tmp_path, suffix):
    points, colors = sphere(), np.random.default_rng(1).integers(0, 256, (200, 3))
    if suffix == ".npz":
        file = io.BytesIO()
        np.savez(file, points=points, normals=colors.astype(float))
        path = saved(tmp_path / "a.npz", file.getvalue())
    else:
        names = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
        head = f"ply\nformat ascii 1.0\nelement vertex 200\n{names}end_header\n"
        path = saved(tmp_path / "a.ply", head + rows(np.hstack([points, colors])))
    assert any("as colors are" in note for note in read_shape(path).notes)


def test_colors_are_not_seen_in_directions(tmp_path):
    corner = np.abs(sphere())
    for number, normals in enumerate((7 * corner, sphere() * np.linspace(0.1, 2, 200)[:, None])):
        np.savez(tmp_path / f"{number}.npz", points=corner, normals=normals)
        assert not any("colors" in note for note in read_shape(tmp_path / f"{number}.npz").notes)


@pytest.mark.parametrize(
    "odd", [{"rotation": [0, 0, 0, 0]}, {"scale": [1e308, 1e308, 1]}, {"matrix": [float("nan")] * 16}]
)
def test_nodes_placed_by_no_numbers_are_refused_without_a_warning(tmp_path, odd):
    gltf = trimesh.exchange.gltf.export_gltf(trimesh.Scene(SOLID), merge_buffers=True, embed_buffers=True)
    data = json.loads(gltf["model.gltf"])
    data["nodes"] = [{"mesh": 0, **odd}]
    data["scenes"] = [{"nodes": [0]}]
    assert re.search("not finite|too far out|zero norm", refusal(saved(tmp_path / "a.gltf", json.dumps(data))))
