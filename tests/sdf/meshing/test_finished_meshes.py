"""Meshes as they are handed over: exact normals, levels in the input's units, parts, fewer faces, formats."""

import tracemalloc

import numpy as np
import pytest
import torch
import trimesh
from torch import nn

from finer_core import resources
from finer_core.errors import InputError
from finer_core.io.meshes.parts import large_parts
from finer_core.io.meshes.simplify import simplify
from finer_sdf import Normalization, SdfModel
from finer_sdf.app.cli import main
from finer_sdf.geometry import Mesh
from finer_sdf.geometry.mesh_distance import MeshDistance
from finer_sdf.meshing import extract_mesh
from finer_sdf.meshing.surface_mesh import surface_mesh
from finer_sdf.meshing.vertex_normals import vertex_normals
from tests import usd_meshes
from tests.sdf.distance_fields import assert_closed, sphere, torus, union

PLACE = Normalization(scale=0.05, offset=(-0.5, 0.1, 0.0))
"""The box is 20 units wide."""


class Spheres(nn.Module):
    """Exact distances to a ball of radius 0.3 and, where there is room, to a small one."""

    def __init__(self, *, small: float = 0.0) -> None:
        super().__init__()
        self.small = small
        self.radius = nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        large = (x + 0.1).norm(dim=1, keepdim=True) - self.radius
        return torch.minimum(large, (x - 0.35).norm(dim=1, keepdim=True) - self.small) if self.small else large


def simplify_mesh(mesh, *, faces):
    vertices, left = simplify(mesh.vertices, mesh.faces, count=faces, extra="finer-sdf[simplify]")
    return Mesh(vertices=vertices, faces=left)


def model(*, small: float = 0.0) -> SdfModel:
    return SdfModel(network=Spheres(small=small), normalization=PLACE)


def test_normals_of_vertices_are_those_of_the_field():
    mesh = model().mesh(resolution=24)
    center = PLACE.to_input(np.full((1, 3), -0.1))
    exact = mesh.vertices - center
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    np.testing.assert_allclose(mesh.vertex_normals, exact, atol=1e-5)
    by_faces = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).vertex_normals
    assert np.abs(by_faces - exact).max() > 1e-3  # what the test is able to see


def test_a_vertex_without_a_gradient_has_the_normal_of_its_faces():
    mesh = extract_mesh(sphere(), resolution=16).mesh
    normals = vertex_normals(lambda x: 0 * x[:, :1], mesh)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-12)
    exact = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    assert (normals * exact).sum(axis=1).min() > 0.95


def test_a_level_is_a_distance_of_the_input():
    mesh = model().mesh(resolution=40, level=2.0)
    np.testing.assert_allclose(mesh.extents, 2 * (0.3 / 0.05 + 2.0), atol=0.05)
    with pytest.raises(
        InputError, match=r"no level set of 99 in its box \(values seen: -\d\.\d+ to 1\d\.\d+\); choose"
    ):
        model().mesh(resolution=9, level=99.0)


def test_small_parts_are_left_out_and_counted():
    found = model(small=0.06).extract(resolution=48, memory=4 * 10**9)
    whole = model(small=0.06).finish(found)
    assert (whole.parts, whole.left_out) == (2, 0) and "2 parts" in whole.title()
    vertices, faces, parts, left_out = large_parts(found.mesh.vertices, found.mesh.faces, share=0.2)
    mesh = Mesh(vertices=vertices, faces=faces)
    assert (parts, left_out) == (1, 1) and len(mesh.faces) < len(found.mesh.faces)
    assert_closed(mesh)
    alone = extract_mesh(Spheres(), resolution=48).mesh
    np.testing.assert_allclose(mesh.vertices, alone.vertices, atol=1e-6)
    assert large_parts(found.mesh.vertices, found.mesh.faces, share=1.0)[2] == 1  # the largest stays
    with pytest.raises(InputError, match=r"--min-component must be .* got 2"):
        large_parts(found.mesh.vertices, found.mesh.faces, share=2.0)


def test_a_simplified_mesh_has_the_faces_asked_for_and_the_same_place():
    pytest.importorskip("fast_simplification")
    mesh = extract_mesh(torus, resolution=64).mesh
    fewer = simplify_mesh(mesh, faces=2000)
    assert len(fewer.faces) == 2000 < len(mesh.faces) / 7
    assert_closed(fewer)
    assert fewer.volume() == pytest.approx(mesh.volume(), rel=5e-3)
    # The arrow above a triangle of edges e on a tube of radius r is e^2 / 6r; of 2000 equilateral ones e = 0.039.
    assert MeshDistance(mesh).nearest(fewer.vertices).distance.max() < 0.039**2 / (6 * 0.12)
    assert simplify_mesh(mesh, faces=len(mesh.faces)).vertices is mesh.vertices
    with pytest.raises(InputError, match="at least 4 faces, got 3"):
        simplify_mesh(mesh, faces=3)


def test_simplified_triangles_are_on_both_sides_of_the_surface():
    """Of f = (R_c^2 - |x|^2) / 2R over an equilateral triangle of edges e, the spread is 0.065 e^2 / 2R."""
    pytest.importorskip("fast_simplification")
    radius, faces = 0.3, 500
    few = simplify_mesh(extract_mesh(sphere(radius=radius), resolution=64).mesh, faces=faces)
    points, _ = trimesh.sample.sample_surface(trimesh.Trimesh(few.vertices, few.faces, process=False), 20_000, seed=0)
    off = np.linalg.norm(points, axis=1) - radius
    edge = np.sqrt(4 * np.pi * radius**2 / faces * 4 / np.sqrt(3))
    # Twice that, for they are uneven; as edges were collapsed, it is 2.5 times, and 0.001 of it beneath the surface.
    assert np.sqrt((off**2).mean()) < 2 * 0.065 * edge**2 / (2 * radius)


def test_what_is_flat_or_sharp_stays_as_it_is_simplified():
    pytest.importorskip("fast_simplification")
    box = trimesh.creation.box((1.0, 0.8, 0.6)).subdivide().subdivide().subdivide()
    few = simplify_mesh(Mesh(vertices=np.array(box.vertices), faces=np.array(box.faces, dtype=np.int64)), faces=100)
    assert len(few.faces) <= 100 and few.volume() == pytest.approx(0.48, rel=1e-9)
    np.testing.assert_allclose(few.bounds, [[-0.5, -0.4, -0.3], [0.5, 0.4, 0.3]], atol=1e-9)


def test_no_triangle_turns_over_as_vertices_move(monkeypatch):
    """Two wavy sheets, closer to each other than 300 triangles are to them: of some points the nearest is the other."""
    pytest.importorskip("fast_simplification")
    x, y = np.meshgrid(*[np.linspace(-0.5, 0.5, 80)] * 2, indexing="ij")
    sheet = np.stack([x, y, 0.1 * np.sin(8 * x) * np.cos(7 * y)], axis=-1).reshape(-1, 3)
    corner = np.arange(80 * 80).reshape(80, 80)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    two = Mesh(
        vertices=np.concatenate([sheet, sheet + [0, 0, 1e-3]]), faces=np.concatenate([faces, faces + len(sheet)])
    )
    moved = simplify_mesh(two, faces=300)
    monkeypatch.setattr("finer_core.io.meshes.simplify._settled", lambda kept, left, given: kept)
    before = simplify_mesh(two, faces=300)
    assert np.array_equal(moved.faces, before.faces) and np.abs(moved.vertices - before.vertices).max() > 1e-3
    assert (before.face_vectors() * moved.face_vectors()).sum(axis=1).min() > 0


def test_triangles_without_area_stay_finite_as_they_are_simplified():
    pytest.importorskip("fast_simplification")
    line, number = np.repeat(np.arange(30.0), 3).reshape(30, 3), np.arange(28)
    vertices, _ = simplify(line, np.stack([number, number + 1, number + 2], axis=1), count=4, extra="")
    assert np.isfinite(vertices).all()


def test_simplifying_takes_few_bytes_a_face(monkeypatch):
    pytest.importorskip("fast_simplification")
    monkeypatch.setattr("finer_core.io.meshes.simplify._FACES_AT_ONCE", 4096, raising=False)
    fine = trimesh.creation.icosphere(subdivisions=6)
    vertices, faces = np.array(fine.vertices), np.array(fine.faces, dtype=np.int64)
    tracemalloc.start()
    simplify(vertices, faces, count=len(faces) // 2, extra="")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 600 * len(faces)


def test_simplifying_keeps_to_the_memory():
    pytest.importorskip("fast_simplification")
    found = model().extract(resolution=96, memory=10**9)
    needed = resources.PROCESS_BYTES + 900 * len(found.mesh.faces)
    assert len(model().finish(found, simplify=500, memory=needed).mesh.faces) == 500
    with pytest.raises(
        InputError, match=r"--simplify of \d+ faces needs about \d+ MB of memory, .*; lower --resolution"
    ):
        model().finish(found, simplify=500, memory=needed - 1)


def test_a_number_of_faces_that_is_not_reached_is_told():
    pytest.importorskip("fast_simplification")

    def rough(x):
        return 0.01 * torch.sin(120 * x + 360 * x[:, [1, 2, 0]]).sum(1, keepdim=True)

    found = extract_mesh(rough, resolution=16)
    finished = surface_mesh(rough, found, simplify=20)
    left = len(finished.mesh.faces)
    assert left > 20 and finished.title().endswith(" faces, none fewer without turning some over")
    assert surface_mesh(rough, found, simplify=left).title().endswith(f"simplified from {len(found.mesh.faces)} faces")


def test_parts_that_vanish_are_told():
    pytest.importorskip("fast_simplification")
    found = model(small=0.02).extract(resolution=96, memory=4 * 10**9)
    assert model(small=0.02).finish(found).parts == 2
    few = model(small=0.02).finish(found, simplify=60)
    assert (few.parts, few.vanished) == (1, 1) and few.title().endswith(" faces, of 2 parts")


def test_simplifying_goes_on_to_few_faces():
    pytest.importorskip("fast_simplification")
    few = simplify_mesh(extract_mesh(union(torus, sphere(radius=0.1)), resolution=40).mesh, faces=60)
    assert len(few.faces) <= 60


def test_without_the_library_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setattr("finer_core.io.meshes.simplify.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'--simplify needs .*: pip install "finer-sdf\[simplify\]"'):
        model().mesh(resolution=16, simplify=100)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    from finer_core import build_network

    network = build_network("siren", task="sdf", in_features=3, out_features=1, hidden_features=8, first_omega_0=5.0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    SdfModel(network=network, normalization=PLACE).save(path)
    return path


def test_quiet_tells_no_notes_of_a_mesh(saved, tmp_path, capsys):
    level = str(float(np.median(SdfModel.load(saved)(PLACE.to_input(np.zeros((1, 3)))))))
    for number, quiet in enumerate(([], ["--quiet"])):
        given = ["--resolution", "16", "--level", level, "--up", "z", *quiet, "--out", str(tmp_path / f"{number}.glb")]
        assert main(["mesh", str(saved), *given]) == 0
        assert ("y is up in .glb files" in capsys.readouterr().err) == (not quiet)


@pytest.mark.parametrize("suffix", ["ply", "obj", "stl", "off", "glb"])
def test_a_format_may_be_named(saved, tmp_path, suffix, capsys):
    level = ["--level", str(float(np.median(SdfModel.load(saved)(PLACE.to_input(np.zeros((1, 3)))))))]
    out = tmp_path / "surface.bin"
    arguments = ["mesh", str(saved), "--resolution", "16", *level, "--quiet", "--out", str(out), "--format", suffix]
    assert main(arguments) == 0
    assert " parts" in (line := capsys.readouterr().out) or " 1 part," in line
    with out.open("rb") as file:
        back = trimesh.load_scene(file, file_type=suffix, process=False)
    (mesh,) = back.geometry.values()
    assert len(mesh.faces) == int(line.split(" vertices, ")[1].split()[0])
    if suffix in ("ply", "obj", "glb"):
        exact = SdfModel.load(saved).normals(np.array(mesh.vertices))
        assert np.abs(mesh.vertex_normals - exact).max() < 1e-3
    assert main(arguments) == 2  # it is there


def test_usd_may_be_named_too(saved, tmp_path):
    pytest.importorskip("pxr", reason="the extra finer-sdf[usd] is not installed")
    level = str(float(np.median(SdfModel.load(saved)(PLACE.to_input(np.zeros((1, 3)))))))
    out = tmp_path / "surface.bin"
    common = ["--resolution", "16", "--quiet", "--up", "z", "--out"]
    assert main(["mesh", str(saved), "--level", level, *common, str(out), "--format", "usdc"]) == 0
    assert out.read_bytes()[:8] == b"PXR-USDC" and list(tmp_path.iterdir()) == [out]
    named = out.rename(tmp_path / "surface.usdc")
    mesh = usd_meshes.read(named)
    exact = SdfModel.load(saved).normals(mesh.points.astype(np.float64))
    assert len(mesh.faces) and np.abs(mesh.normals - exact).max() < 1e-3
    grown = tmp_path / "grown.usda"
    assert main(["combine", "offset", str(saved), f"--by={level}", *common, str(grown)]) == 0
    assert len(usd_meshes.read(grown).faces)


def test_options_that_cannot_be_used_are_refused_before_the_model_is_read(tmp_path, capsys):
    for given, words in (
        (["--min-component", "-1"], "--min-component"),
        (["--simplify", "1"], "--simplify"),
        (["--out", "m.ply", "--up=-y"], "--up '-y' does nothing to .ply files"),
        (["--out", "m.bin"], ".bin"),
        (["--out", "m.ply", "--up", "z"], "--up 'z' does nothing to .ply files"),
        (["--out", "m.bin", "--format", "stl", "--up", "y"], "--up 'y' does nothing to .stl files"),
    ):
        assert main(["mesh", str(tmp_path / "absent"), *given]) == 2
        error = capsys.readouterr().err
        assert words in error and "absent" not in error
