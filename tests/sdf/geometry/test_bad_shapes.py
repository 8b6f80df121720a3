"""Nothing that is no surface is read as one, and one line says why."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import trimesh

from finer_core.errors import InputError
from finer_sdf.geometry.reader import read_shape

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 8
NO_FACES = (
    "ply\nformat ascii 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
)


def refusal(path) -> str:
    """Read a file that must be refused; return the message, checked for form."""
    with warnings.catch_warnings(record=True) as leaked, pytest.raises(InputError) as caught:
        warnings.simplefilter("always")
        read_shape(path)
    message = str(caught.value)
    assert not leaked
    assert "\n" not in message and message.startswith(str(path)) and len(message) < 500
    return message


def saved(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def saved_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def exported(suffix: str, **options) -> bytes:
    content = trimesh.creation.icosphere(subdivisions=2).export(file_type=suffix, **options)
    return content if isinstance(content, bytes) else content.encode()


def test_missing_folder_and_unknown_format(tmp_path):
    assert "no such file" in refusal(tmp_path / "nothing.ply")
    (tmp_path / "shapes.ply").mkdir()
    assert "is a folder" in refusal(tmp_path / "shapes.ply")
    message = refusal(saved(tmp_path / "a.blend", b"BLENDER"))
    assert "'.blend'" in message and ".ply .obj .stl .off .glb .gltf .xyz .npz .npy" in message
    assert "''" in refusal(saved(tmp_path / "shape", b"x"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.ply")
    assert "not a regular file" in refusal(tmp_path / "pipe.ply")


@pytest.mark.parametrize("suffix", ["ply", "obj", "stl", "off", "glb", "gltf", "xyz", "npz", "npy"])
def test_empty_files_pictures_and_prose(tmp_path, suffix):
    assert "0 bytes" in refusal(saved(tmp_path / f"empty.{suffix}", b""))
    assert "another format" in refusal(saved(tmp_path / f"picture.{suffix}", PNG))
    refusal(saved(tmp_path / f"prose.{suffix}", "It was a dark and stormy night.\nThe rain fell in torrents.\n"))


@pytest.mark.parametrize("suffix", ["ply", "stl", "off", "glb"])
@pytest.mark.parametrize("part", [0.2, 0.6, 0.99])
def test_files_cut_short(tmp_path, suffix, part):
    content = exported(suffix)
    refusal(saved(tmp_path / f"cut.{suffix}", content[: int(len(content) * part)]))


@pytest.mark.parametrize("part", [0.2, 0.5, 0.7, 0.99])
def test_text_ply_cut_short(tmp_path, part):
    content = exported("ply", encoding="ascii")
    refusal(saved(tmp_path / "cut.ply", content[: int(len(content) * part)]))


def test_text_ply_with_words_among_the_numbers(tmp_path):
    content = exported("ply", encoding="ascii").replace(b"0.85065079", b"zero", 1)
    assert b"zero" in content
    refusal(saved(tmp_path / "words.ply", content))


def test_obj_cut_within_a_vertex(tmp_path):
    assert "line 3" in refusal(saved(tmp_path / "cut.obj", "v 0 0 0\nv 1 0 0\nv 0 1\n"))


def test_triangle_strips_are_not_taken_for_points(tmp_path):
    head = NO_FACES.format(20).replace(
        "end_header", "element tristrips 1\nproperty list int int vertex_indices\nend_header"
    )
    rows = "\n".join(f"{n} {n * n} {n % 3}" for n in range(20))
    assert "strips" in refusal(saved(tmp_path / "strips.ply", f"{head}{rows}\n5 0 1 2 3 4\n"))


def test_a_mesh_of_nothing(tmp_path):
    assert "no triangles" in refusal(saved(tmp_path / "a.stl", bytes(84)))
    assert "no triangles" in refusal(saved(tmp_path / "a.ply", NO_FACES.format(0)))
    assert "no triangles" in refusal(saved(tmp_path / "a.obj", "# nothing\n"))
    message = refusal(saved_npz(tmp_path / "a.npz", vertices=np.zeros((0, 3)), faces=np.zeros((0, 3), int)))
    assert "no triangles" in message


@pytest.mark.parametrize("suffix", ["obj", "off", "glb"])
def test_a_mesh_format_without_faces_and_normals(tmp_path, suffix):
    points = trimesh.creation.icosphere(subdivisions=2).vertices
    if suffix == "glb":
        trimesh.PointCloud(points).export(tmp_path / "a.glb")
    else:
        rows = "".join(("v " if suffix == "obj" else "") + "{} {} {}\n".format(*row) for row in points.tolist())
        saved(tmp_path / f"a.{suffix}", (f"OFF\n{len(points)} 0 0\n" if suffix == "off" else "") + rows)
    assert "has no faces (only 162 vertices without normals)" in refusal(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vertices_that_are_not_finite(tmp_path, value):
    made = trimesh.creation.icosphere(subdivisions=1)
    vertices = np.array(made.vertices)
    vertices[[5, 20], 1] = value
    message = refusal(saved_npz(tmp_path / "a.npz", vertices=vertices, faces=made.faces))
    assert "2 of 42 vertices are not finite; the first is number 5 (" in message and str(value) in message
    saved(tmp_path / "a.obj", "v 0 0 0\nv 1 0 nan\nv 0 1 0\nf 1 2 3\n")
    assert "1 of 3 vertices are not finite; the first is number 1 (1, 0, nan)" in refusal(tmp_path / "a.obj")


def test_points_of_which_none_is_finite(tmp_path):
    message = refusal(saved_npz(tmp_path / "a.npz", points=np.full((9, 3), np.nan)))
    assert "9 of 9 points are not finite; the first is number 0 (nan, nan, nan)" in message


def test_faces_of_vertices_that_do_not_exist(tmp_path):
    vertices = np.eye(4, 3)
    for face in ([0, 1, 4], [0, -1, 2]):
        path = saved_npz(tmp_path / "a.npz", vertices=vertices, faces=np.array([[0, 1, 2], face]))
        assert f"1 of 2 faces name vertices that do not exist; the first is number 1 ({face[0]}" in refusal(path)
    refusal(saved(tmp_path / "a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n"))


def test_shapes_without_extent_or_area(tmp_path):
    faces = np.array([[0, 1, 2], [1, 2, 3]])
    path = saved_npz(tmp_path / "a.npz", vertices=np.full((4, 3), 2.5), faces=faces)
    assert "no extent" in refusal(path)
    path = saved_npz(tmp_path / "b.npz", vertices=np.outer(np.arange(4), [0.1, 0.2, 0.7]), faces=faces)
    assert "none of its faces has an area" in refusal(path)
    path = saved_npz(tmp_path / "c.npz", vertices=np.eye(4, 3), faces=np.array([[0, 0, 1], [2, 3, 2]]))
    assert "none of its faces has an area" in refusal(path)
    assert "no extent" in refusal(saved_npz(tmp_path / "d.npz", points=np.full((40, 3), 2.5)))


def test_too_few_points(tmp_path):
    points = np.random.default_rng(0).normal(size=(15, 3))
    assert "3 points and no faces" in refusal(saved_npz(tmp_path / "a.npz", points=points[:3], normals=points[:3]))
    assert "1 point and no faces" in refusal(saved(tmp_path / "a.xyz", "1 2 3 0 0 1\n"))
    message = refusal(saved_npz(tmp_path / "b.npz", points=np.repeat(points, 4, axis=0)))
    assert "15 different points" in message and "16" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# only a comment\n", "no points"),
        ("1 2\n3 4\n", "2 numbers"),
        ("1 2 3 0.5\n", "4 numbers"),
        ("1 2 3 0 0 1 255 255\n", "8 numbers"),
        ("1 2 3 0 0 1 0 1 0\n", "9 numbers"),
        ("1 2 3\n1 2 3 4 5 6\n", "line 2 has 6 columns"),
        ("8\n\nC 0 0 0\n", "line 3: 'C' is not a number"),
        (b"\xff\xfe1\x002\x00", "cannot be read as .xyz"),
    ],
)
def test_tables_of_something_else(tmp_path, text, words):
    assert words in refusal(saved(tmp_path / "a.xyz", text))


def test_archives_of_something_else(tmp_path):
    points = np.random.default_rng(0).normal(size=(30, 3))
    message = refusal(saved_npz(tmp_path / "a.npz", xyz=points, color=points))
    assert "`points`" in message and "color, xyz" in message
    assert "shape (30, 2)" in refusal(saved_npz(tmp_path / "a.npz", points=points[:, :2]))
    assert "complex128" in refusal(saved_npz(tmp_path / "a.npz", points=points + 0j))
    assert "30 points but 29 normals" in refusal(saved_npz(tmp_path / "a.npz", points=points, normals=points[1:]))
    assert "integers" in refusal(saved_npz(tmp_path / "a.npz", vertices=points, faces=np.ones((2, 3))))
    assert "(2, 4)" in refusal(saved_npz(tmp_path / "a.npz", vertices=points, faces=np.ones((2, 4), int)))
    np.save(tmp_path / "b.npy", points)
    assert "single array" in refusal((tmp_path / "b.npy").rename(tmp_path / "b.npz"))


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    path = saved_npz(tmp_path / "trap.npz", points=np.array([Trap()], dtype=object))
    assert "cannot be read as .npz" in refusal(path)
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_may_not_be_opened(tmp_path, monkeypatch):
    from pathlib import Path

    path = saved(tmp_path / "secret.ply", b"ply\n")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # chmod does not stop an administrator
    assert "Permission denied" in refusal(path)


def test_the_parser_writes_nothing_to_the_terminal(tmp_path):
    """In a process of its own, without pytest's handling of logs and warnings."""
    text = "mtllib missing.mtl\nusemtl paint\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"
    saved(tmp_path / "a.obj", text)
    saved(tmp_path / "b.ply", exported("ply", encoding="ascii").replace(b"0.85065079", b"zero", 1))
    code = (
        "import sys\nfrom finer_sdf.geometry.reader import read_shape\n"
        "read_shape(sys.argv[1])\n"
        "try:\n    read_shape(sys.argv[2])\nexcept ValueError:\n    pass\nelse:\n    sys.exit(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, tmp_path / "a.obj", tmp_path / "b.ply"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
