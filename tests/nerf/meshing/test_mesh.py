"""Colored meshes: in place, outwards, colored, and readable by others."""

import dataclasses

import numpy as np
import pytest
import trimesh

from finer_core.errors import InputError
from finer_core.io.glb import UPRIGHT, srgb_from_linear
from finer_core.io.usd import USD_SUFFIXES
from finer_core.resources import PROCESS_BYTES
from finer_nerf.app.cli import main
from finer_nerf.meshing import ColoredMesh, default_level, extract_mesh
from tests import usd_meshes
from tests.nerf.models import BALL, ball_model

LEVEL = BALL - np.log(default_level(bound=1.0)) / 200
"""Radius at which the ball's density, exp(200 (0.5 - r)), is at the default level."""


@pytest.fixture(scope="module")
def mesh():
    return extract_mesh(ball_model(), resolution=64)


def test_vertices_lie_on_the_level_set_in_the_inputs_units(mesh):
    radius = np.linalg.norm(mesh.vertices, axis=1) * 0.8  # the frame's scale
    assert np.abs(radius - LEVEL).max() < 1e-3
    assert np.abs(mesh.vertices.mean(axis=0)).max() < 1e-3


def test_faces_are_closed_and_outwards(mesh):
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4 / 3 * np.pi * (LEVEL / 0.8) ** 3, rel=0.01)


def test_colors_are_those_of_the_field(mesh):
    in_box = ball_model().frame.to_box(mesh.vertices)
    assert np.abs(mesh.colors - (in_box + 1) / 2 * 255).max() <= 1


def test_a_level_is_a_density_in_the_scenes_own_units():
    mesh = extract_mesh(ball_model(scale=0.1), resolution=64, level=2.0)
    radius = np.linalg.norm(mesh.vertices, axis=1) * 0.1
    assert np.abs(radius - (BALL - np.log(2.0 / 0.1) / 200)).max() < 1e-3  # a unit of the scene is 0.1 of the box


def test_small_parts_are_left_out():
    model = ball_model()
    model.grid.occupied[0, 0, 0] = True
    plain = model.field.log_density
    model.field.log_density = lambda x: plain(x).maximum(  # type: ignore[method-assign]
        200 * (0.03 - (x + 0.97).norm(dim=-1, keepdim=True)).clamp(-0.1, 0.03)
    )
    whole = extract_mesh(model, resolution=64, min_component=0.0)
    assert len(trimesh.Trimesh(whole.vertices, whole.faces).split(only_watertight=False)) == 2
    cleaned = extract_mesh(model, resolution=64, min_component=0.01)
    assert len(trimesh.Trimesh(cleaned.vertices, cleaned.faces).split(only_watertight=False)) == 1
    assert cleaned.faces.max() == len(cleaned.vertices) - 1 == len(cleaned.colors) - 1


def test_a_simplified_mesh_has_the_faces_asked_for_and_colors_of_its_own_vertices():
    pytest.importorskip("fast_simplification", reason="the extra finer-nerf[simplify] is not installed")
    model = ball_model()
    few = model.mesh(resolution=64, simplify=500)
    assert len(few.faces) == 500 and few.is_watertight
    radius = np.linalg.norm(few.vertices, axis=1) * 0.8
    # The arrow above a triangle of edges e is e^2 / 6r at most.
    assert np.abs(radius - LEVEL).max() < (few.edges_unique_length.max() * 0.8) ** 2 / (6 * LEVEL)
    in_box = model.frame.to_box(np.asarray(few.vertices))
    assert np.abs(few.visual.vertex_colors[:, :3] - (in_box + 1) / 2 * 255).max() <= 1


def test_simplifying_keeps_to_the_memory(monkeypatch):
    pytest.importorskip("fast_simplification", reason="the extra finer-nerf[simplify] is not installed")
    monkeypatch.setattr("finer_core.io.meshes.simplify._BYTES_A_FACE", 10**6)
    assert len(ball_model().mesh(resolution=64, memory="1GB").faces) > 500
    with pytest.raises(
        InputError, match=r"--simplify of \d+ faces needs about \d+ MB of memory, .*; lower --resolution"
    ):
        ball_model().mesh(resolution=64, simplify=500, memory="1GB")


def test_without_the_library_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setattr("finer_core.io.meshes.simplify.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'--simplify needs .*: pip install "finer-nerf\[simplify\]"'):
        ball_model().mesh(resolution=16, simplify=100)


def test_a_number_of_faces_that_is_not_reached_is_told(tmp_path, capsys, monkeypatch):
    pytest.importorskip("fast_simplification", reason="the extra finer-nerf[simplify] is not installed")
    monkeypatch.setattr("finer_nerf.app.commands.NerfModel.load", lambda path, *, device: ball_model())
    monkeypatch.setattr("finer_nerf.meshing.extract.simplified", lambda vertices, faces, **_: (vertices, faces))
    options = ["--resolution", "16", "--simplify", "20", "--quiet", "--out", str(tmp_path / "m.ply")]
    assert main(["mesh", "ball.safetensors", *options]) == 0
    assert " faces, none fewer without turning some over, colored: " in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["obj", "stl"])
def test_the_command_writes_other_formats_of_few_faces(tmp_path, capsys, monkeypatch, suffix):
    pytest.importorskip("fast_simplification", reason="the extra finer-nerf[simplify] is not installed")
    monkeypatch.setattr("finer_nerf.app.commands.NerfModel.load", lambda path, *, device: ball_model())
    out = tmp_path / "shape"
    options = ["--format", suffix, "--resolution", "32", "--simplify", "300", "--min-component", "0.5", "--quiet"]
    assert main(["mesh", "ball.safetensors", "--out", str(out), *options]) == 0
    assert f"300 faces, colored: {out}" in capsys.readouterr().out
    found = trimesh.load(out, file_type=suffix)
    assert len(found.faces) == 300
    if suffix == "obj":
        assert np.ptp(found.visual.vertex_colors[:, 0]) > 50


def scene_coordinates(points: np.ndarray) -> np.ndarray:
    """Turn y up back to z up."""
    return points @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_others_read_it(mesh, tmp_path, suffix):
    mesh.write(tmp_path / f"m{suffix}")
    (read,) = trimesh.load_scene(tmp_path / f"m{suffix}", process=False).geometry.values()
    np.testing.assert_allclose(read.vertices, mesh.vertices, atol=1e-6)
    np.testing.assert_allclose(read.vertex_normals, mesh.normals, atol=1e-6)
    assert len(read.faces) == len(mesh.faces)
    if suffix == ".ply":
        np.testing.assert_array_equal(np.asarray(read.visual.vertex_colors)[:, :3], mesh.colors)
        return
    linear = read.visual.vertex_attributes["color"]
    np.testing.assert_allclose(255 * srgb_from_linear(linear[:, :3]), mesh.colors, atol=1e-3)
    assert read.visual.material.metallicFactor == 0 and read.visual.material.doubleSided


def test_normals_look_outwards_in_the_scene(mesh):
    outwards = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    assert (mesh.normals * outwards).sum(axis=1).min() > 0.99


@pytest.mark.parametrize(
    ("up", "turned"),
    [("z", [0, 2, 1]), ("y", [0, 1, 2]), ("-y", [0, 1, 2])],
)
def test_a_marked_cube_stands_upright_in_a_glb(tmp_path, up, turned):
    box = trimesh.creation.box((1.0, 2.0, 3.0))
    marks = np.where(box.vertices > 0, 255, 0).astype(np.uint8)  # red +x, green +y, blue +z
    tables = {"vertices": np.array(box.vertices), "faces": np.array(box.faces), "colors": marks}
    cube = ColoredMesh(**tables, normals=np.array(box.vertex_normals))
    notes = cube.write(tmp_path / "cube.glb", up=up)
    assert notes == (() if up == "y" else (f"y is up in .glb files: its node turns the mesh's {up} there",))
    back = trimesh.load_scene(tmp_path / "cube.glb", process=False)
    (stored,) = back.geometry.values()
    colors = np.rint(stored.visual.vertex_attributes["color"][:, :3])
    (read,) = back.dump()
    assert read.volume == pytest.approx(6.0)  # not mirrored
    np.testing.assert_allclose(read.extents, np.array([1.0, 2.0, 3.0])[turned])
    at_top = colors[read.vertices[:, 1] > 0, "xyz".index(up[-1])]
    assert len(at_top) == 4 and (at_top == (0 if up[0] == "-" else 1)).all()
    assert (colors[read.vertices[:, 0] > 0, 0] == 1).all()  # x stays


@pytest.mark.parametrize("suffix", USD_SUFFIXES)
@pytest.mark.parametrize("up", ["z", "y", "-y"])
@pytest.mark.parametrize("far", [0.0, 5.4e6])
def test_usd_is_the_same_mesh_upright_in_its_place(mesh, tmp_path, suffix, up, far):
    pytest.importorskip("pxr", reason="the extra finer-nerf[usd] is not installed")
    moved = dataclasses.replace(mesh, vertices=mesh.vertices + [far, -far, far / 2])
    notes = " ".join(moved.write(tmp_path / f"m{suffix}", up=up))
    assert (f"y is up in {suffix} files" in notes) == (up != "y") and ("its transform adds it" in notes) == bool(far)
    back = usd_meshes.read(tmp_path / f"m{suffix}")
    expected = moved.vertices @ np.array(UPRIGHT[up]).T
    np.testing.assert_allclose(back.placed, expected, rtol=0, atol=1e-6 + far * 2**-51)
    np.testing.assert_array_equal(back.faces, mesh.faces)
    np.testing.assert_allclose(back.normals, mesh.normals, atol=1e-6)
    np.testing.assert_allclose(255 * srgb_from_linear(back.colors), mesh.colors, atol=1e-3)


def test_usd_without_its_library_is_refused_by_the_line_that_installs_it(mesh, tmp_path, monkeypatch):
    monkeypatch.setattr("finer_core.io.usd.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'm\.usdc: .* pip install "finer-nerf\[usd\]"'):
        mesh.write(tmp_path / "m.usdc")


def test_memory_is_refused_before_the_mesh_is_made(mesh):
    room = PROCESS_BYTES + 5 * 66**3
    with pytest.raises(InputError, match=rf"a mesh of {len(mesh.vertices)} vertices needs"):
        extract_mesh(ball_model(), resolution=64, memory=room + 10)
    assert len(extract_mesh(ball_model(), resolution=64, memory=room + 400 * len(mesh.vertices)).faces)


def placed_in_world(shape: trimesh.Scene | trimesh.Trimesh) -> np.ndarray:
    return shape.to_geometry().vertices if isinstance(shape, trimesh.Scene) else shape.vertices


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
@pytest.mark.parametrize("far", [0.0, 5.4e6, 1e9])
def test_a_mesh_far_from_the_origin_keeps_its_shape(mesh, tmp_path, suffix, far):
    moved = dataclasses.replace(mesh, vertices=mesh.vertices + [far, -far, far / 2])
    notes = " ".join(moved.write(tmp_path / f"m{suffix}"))
    assert ("its node adds it" in notes) == bool(far and suffix == ".glb")
    assert ("turns the mesh's z" in notes) == (suffix == ".glb")
    read = placed_in_world(trimesh.load(tmp_path / f"m{suffix}", process=False))
    read = scene_coordinates(read) if suffix == ".glb" else read
    # float32 at the mesh's own size, and float64 at its place; single precision there is off by 0.25 and by 32.
    np.testing.assert_allclose(read, moved.vertices, rtol=0, atol=1e-6 + far * 2**-51)


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="no surface"):
        extract_mesh(ball_model(empty=True), resolution=32)
    with pytest.raises(InputError, match=r"1e\+06|1000000"):
        extract_mesh(ball_model(), resolution=32, level=1e6)
    with pytest.raises(InputError, match="--level"):
        extract_mesh(ball_model(), resolution=32, level=-1.0)
    with pytest.raises(InputError, match="1024"):
        extract_mesh(ball_model(), resolution=1024, memory=10**9)
    with pytest.raises(InputError, match=r"--min-component must be .* got 2"):
        extract_mesh(ball_model(), resolution=32, min_component=2.0)
    with pytest.raises(InputError, match=r"known: \.ply \.obj"):
        extract_mesh(ball_model(), resolution=32).write(tmp_path / "m.png")
