"""Mesh files: the same triangles come back, in every format, at every scale; nothing half-written stays."""

import signal

import numpy as np
import pytest
import trimesh

from finer_core.app.mesh_options import FORMATS
from finer_core.errors import InputError
from finer_core.io.glb import UPRIGHT, srgb_from_linear
from finer_core.io.meshes import writer
from finer_core.io.meshes.writer import SUFFIXES as KNOWN
from finer_core.io.usd import USD_SUFFIXES
from finer_sdf.geometry import Mesh
from finer_sdf.geometry.reader import read_shape
from finer_sdf.meshing import extract_mesh
from tests import usd_meshes
from tests.sdf.distance_fields import sphere

SUFFIXES = [".ply", ".obj", ".stl", ".off", ".glb"]


def write_mesh(path, mesh, **options):
    return writer.write_mesh(path, mesh.vertices, mesh.faces, package="finer-sdf", **options)


def check_mesh_path(path):
    return writer.check_mesh_path(path, package="finer-sdf")


@pytest.fixture(scope="module")
def ball():
    return extract_mesh(sphere(), resolution=24).mesh


def read(path):
    scene = trimesh.load_scene(str(path), process=False)
    (mesh,) = scene.geometry.values()  # as stored: a mesh made of the scene would compute its own normals
    return mesh


def colors_of(mesh):
    """Return the sRGB colors of a mesh that was read; in .glb they are linear floats, beside a material."""
    if mesh.visual.kind == "texture":
        linear = mesh.visual.vertex_attributes["color"][:, :3]
        return np.rint(255 * srgb_from_linear(linear)).astype(np.uint8)
    return mesh.visual.vertex_colors[:, :3]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PLY", ".Obj"])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 3e3])
def test_triangles_come_back(tmp_path, ball, suffix, scale):
    mesh = Mesh(vertices=ball.vertices * scale, faces=ball.faces)
    path = tmp_path / f"mesh{suffix}"
    write_mesh(path, mesh)
    back = read(path)
    # .stl has no indices
    np.testing.assert_allclose(back.vertices[back.faces], mesh.triangles, rtol=0, atol=1e-6 * scale)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".off"])
def test_a_shape_far_from_the_origin_keeps_its_form(tmp_path, ball, suffix):
    offset = np.array([691234.5, 5334567.25, 512.0])  # metres of a map projection
    write_mesh(tmp_path / f"mesh{suffix}", Mesh(vertices=ball.vertices + offset, faces=ball.faces))
    np.testing.assert_allclose(read(tmp_path / f"mesh{suffix}").vertices - offset, ball.vertices, atol=2e-9)


@pytest.mark.parametrize("suffix", [".stl", ".glb"])
def test_single_precision_far_from_the_origin_has_an_offset_that_is_said(tmp_path, ball, suffix):
    far = ball.vertices + [691234.5, 5334567.25, 512.0]
    (note,) = write_mesh(tmp_path / f"mesh{suffix}", Mesh(vertices=far, faces=ball.faces))
    offset = np.array([691234.5, 5334567.2, 512.0])  # its middle in tenths, for the shape is 0.6 wide
    assert "less the offset 691234.5 5334567.2 512;" in note and "precision" in note
    back = trimesh.load_scene(str(tmp_path / f"mesh{suffix}"), process=False).to_mesh()
    if suffix == ".stl":
        header = (tmp_path / "mesh.stl").read_bytes()[:80]
        assert header.startswith(b"finer: add 691234.5 5334567.2 512 ")
        back.apply_translation(offset)
    np.testing.assert_allclose(back.vertices[back.faces], far[ball.faces], rtol=0, atol=1e-7)
    loaded = read_shape(tmp_path / f"mesh{suffix}")
    np.testing.assert_allclose(loaded.shape.bounds, [far.min(axis=0), far.max(axis=0)], rtol=0, atol=1e-7)
    assert ("added the offset 691234.5 5334567.2 512 of its header" in loaded.notes) == (suffix == ".stl")


def test_an_offset_is_read_from_a_header_that_another_program_filled_up(tmp_path, ball):
    write_mesh(tmp_path / "mesh.stl", ball)
    content = (tmp_path / "mesh.stl").read_bytes()
    (tmp_path / "mesh.stl").write_bytes(b"finer: add 1 2 3".ljust(80, b"\0") + content[80:])
    np.testing.assert_allclose(read_shape(tmp_path / "mesh.stl").shape.bounds, ball.bounds + [1, 2, 3], atol=1e-6)


@pytest.mark.parametrize("words", ["", "1 2", "1 2 3 4"])
def test_another_header_moves_nothing(tmp_path, ball, words):
    write_mesh(tmp_path / "mesh.stl", ball)
    content = (tmp_path / "mesh.stl").read_bytes()
    (tmp_path / "mesh.stl").write_bytes(f"finer: add {words}".encode().ljust(80) + content[80:])
    np.testing.assert_allclose(read_shape(tmp_path / "mesh.stl").shape.bounds, ball.bounds, atol=1e-6)


def test_near_the_origin_nothing_is_moved_or_said(tmp_path, ball):
    for suffix in SUFFIXES:
        assert write_mesh(tmp_path / f"mesh{suffix}", ball) == ()
    assert (tmp_path / "mesh.stl").read_bytes()[:9] != b"finer: ad"


@pytest.mark.parametrize("scale", [1e-45, 1e45])
def test_sizes_that_single_precision_has_not(tmp_path, ball, scale):
    mesh = Mesh(vertices=ball.vertices * scale, faces=ball.faces)
    for suffix in (".stl", ".glb"):
        with pytest.raises(InputError, match=r"single precision holds no shape .* use \.ply"):
            write_mesh(tmp_path / f"mesh{suffix}", mesh)
    for suffix in (".ply", ".obj", ".off"):
        write_mesh(tmp_path / f"mesh{suffix}", mesh)
        np.testing.assert_allclose(read(tmp_path / f"mesh{suffix}").vertices, mesh.vertices, rtol=0, atol=1e-6 * scale)


def test_a_ply_near_the_origin_is_single_precision(tmp_path, ball):
    write_mesh(tmp_path / "mesh.ply", ball)
    header, _, data = (tmp_path / "mesh.ply").read_bytes().partition(b"end_header\n")
    assert b"format binary_little_endian" in header and b"property float x" in header
    assert len(data) == 12 * len(ball.vertices) + 13 * len(ball.faces)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_normals_and_colors_come_back(tmp_path, ball, suffix):
    normals = ball.vertices / np.linalg.norm(ball.vertices, axis=1, keepdims=True)  # faces would give others, by 1e-3
    colors = np.random.default_rng(0).integers(0, 256, size=ball.vertices.shape, dtype=np.uint8)
    write_mesh(tmp_path / f"mesh{suffix}", ball, normals=normals, colors=colors)
    back = read(tmp_path / f"mesh{suffix}")
    np.testing.assert_allclose(back.vertex_normals, normals, atol=1e-6)
    np.testing.assert_array_equal(colors_of(back), colors)


@pytest.mark.parametrize(("up", "axes"), [("y", [0, 1, 2]), ("z", [0, 2, 1]), ("x", [1, 0, 2]), ("-y", [0, 1, 2])])
@pytest.mark.parametrize("far", [0.0, 5e6])
def test_a_marked_cube_stands_upright_in_a_glb(tmp_path, up, axes, far):
    box = trimesh.creation.box((1.0, 2.0, 3.0))
    box.vertices += [far, -far, far / 2]
    marks = np.where(box.vertices > box.vertices.mean(axis=0), 255, 0).astype(np.uint8)  # red +x, green +y, blue +z
    cube = Mesh(vertices=np.array(box.vertices), faces=np.array(box.faces, dtype=np.int64))
    notes = write_mesh(tmp_path / "cube.glb", cube, normals=np.array(box.vertex_normals), colors=marks, up=up)
    assert any("y is up" in note for note in notes) == (up != "y")
    back = trimesh.load_scene(tmp_path / "cube.glb", process=False)
    colors = colors_of(*back.geometry.values())
    (mesh,) = back.dump()  # placed by its node, which costs trimesh the colors
    assert mesh.volume == pytest.approx(6.0, rel=1e-6)  # not mirrored
    np.testing.assert_allclose(mesh.extents, np.array([1.0, 2.0, 3.0])[axes], rtol=1e-6)
    middle = mesh.vertices.mean(axis=0)
    top = colors[mesh.vertices[:, 1] > middle[1]]
    assert len(top) == 4 and (top[:, "xyz".index(up[-1])] == (0 if up[0] == "-" else 255)).all()
    material = mesh.visual.material
    assert material.metallicFactor == 0 and 0.5 < material.roughnessFactor <= 1 and material.doubleSided
    assert np.abs(middle).max() == pytest.approx(far, abs=1e-9)


@pytest.mark.parametrize("suffix", USD_SUFFIXES)
@pytest.mark.parametrize("far", [0.0, 691234.5])
@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_usd_stands_upright_in_its_place_and_has_normals_and_colors(tmp_path, ball, suffix, far, up):
    pytest.importorskip("pxr", reason="the extra finer-sdf[usd] is not installed")
    normals = ball.vertices / np.linalg.norm(ball.vertices, axis=1, keepdims=True)
    colors = np.random.default_rng(0).integers(0, 256, size=ball.vertices.shape, dtype=np.uint8)
    moved = Mesh(vertices=ball.vertices + [far, 10 * far, 0], faces=ball.faces)
    path = tmp_path / f"mesh{suffix}"
    notes = write_mesh(path, moved, normals=normals, colors=colors, up=up)
    assert any(f"y is up in {suffix} files" in note for note in notes) == (up != "y")
    assert any("its transform adds it" in note for note in notes) == bool(far)
    back = usd_meshes.read(path)
    np.testing.assert_allclose(back.placed, moved.vertices @ np.array(UPRIGHT[up]).T, rtol=0, atol=1e-7)
    np.testing.assert_array_equal(back.faces, ball.faces)
    np.testing.assert_allclose(back.normals, normals, atol=1e-6)
    np.testing.assert_array_equal(np.rint(255 * srgb_from_linear(back.colors)), colors)


def test_usd_without_its_library_is_refused_by_the_line_that_installs_it(tmp_path, ball, monkeypatch):
    monkeypatch.setattr("finer_core.io.usd.find_spec", lambda name: None)
    for refused in (check_mesh_path, lambda path: write_mesh(path, ball)):
        with pytest.raises(InputError, match=r'mesh\.usda: .* pip install "finer-sdf\[usd\]"'):
            refused(tmp_path / "mesh.usda")
    assert list(tmp_path.iterdir()) == []


def test_the_command_s_formats_are_the_writer_s():
    assert {f".{name}" for name in FORMATS} == set(KNOWN)


@pytest.mark.parametrize("suffix", [".stl", ".off"])
def test_formats_without_colors_say_so(tmp_path, ball, suffix):
    (note,) = write_mesh(tmp_path / f"a{suffix}", ball, colors=np.zeros(ball.vertices.shape, dtype=np.uint8))
    assert note == f"{suffix} files hold no vertex colors; .ply .obj .glb .usd .usdc .usda .usdz do"
    assert write_mesh(tmp_path / f"b{suffix}", ball, normals=ball.vertices) == ()  # faces have normals anyway
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_colors_for_another_mesh_are_refused(tmp_path, ball):
    with pytest.raises(ValueError, match="vertex colors must be"):
        write_mesh(tmp_path / "a.ply", ball, colors=np.zeros((3, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", ["mesh.png", "mesh", "mesh.ply.gz"])
def test_unknown_suffixes_are_refused(tmp_path, ball, name):
    for refused in (check_mesh_path, lambda path: write_mesh(path, ball)):
        with pytest.raises(InputError, match=r"known: \.ply \.obj \.stl \.off \.glb \.usd \.usdc \.usda \.usdz\)"):
            refused(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_and_a_folder_as_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        check_mesh_path(tmp_path / "no" / "mesh.ply")
    (tmp_path / "folder.ply").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        check_mesh_path(tmp_path / "folder.ply")


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_a_writer_that_fails_leaves_the_old_file(tmp_path, ball, suffix, monkeypatch):
    path = tmp_path / f"mesh{suffix}"
    path.write_text("old")
    target = "finer_core.io.meshes.writer.write_ply" if suffix == ".ply" else "trimesh.Trimesh.export"

    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr(target, fail)
    with pytest.raises(InputError, match=r"mesh\.\w+: cannot be written \(disk full\)"):
        write_mesh(path, ball)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl", ".off", ".glb"])
def test_a_full_disk_is_named(tmp_path, ball, suffix):
    """A limit on the size of files stands for the disk: what the system says of either must reach the user."""
    resource = pytest.importorskip("resource")
    limits, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
        with pytest.raises(OSError, match=rf"File too large: .*mesh\{suffix}"):
            write_mesh(tmp_path / f"mesh{suffix}", ball)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)
    assert not list(tmp_path.iterdir())
