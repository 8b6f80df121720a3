"""Textures: a mesh cut into charts is the same mesh, and each pixel has the color of the surface below it."""

import zipfile

import numpy as np
import pytest
import trimesh
from PIL import Image

from finer_core.errors import InputError
from finer_nerf.app.cli import main
from finer_nerf.meshing import extract_mesh
from tests import refusals, usd_meshes
from tests.nerf.models import ball_model

pytest.importorskip("xatlas", reason="the extra finer-nerf[texture] is not installed")
SIZE = 256


@pytest.fixture(scope="module")
def plain():
    return extract_mesh(ball_model(), resolution=32)


@pytest.fixture(scope="module")
def textured():
    return extract_mesh(ball_model(), resolution=32, texture=SIZE)


def test_the_mesh_is_cut_and_not_moved(plain, textured):
    assert len(textured.vertices) > len(plain.vertices) and textured.faces.shape == plain.faces.shape
    for name in ("vertices", "normals", "colors"):
        ours, theirs = getattr(textured, name)[textured.faces], getattr(plain, name)[plain.faces]
        np.testing.assert_array_equal(ours, theirs)
    assert textured.uv.min() >= 0 and textured.uv.max() <= 1 and textured.texture.shape == (SIZE, SIZE, 3)


def colors_at(mesh, *, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points of the surface, and the pixel that each is in."""
    draws = np.random.default_rng(0)
    face, weights = draws.integers(len(mesh.faces), size=count), draws.dirichlet(np.ones(3), size=count)
    at, uv = (np.einsum("kc,kcd->kd", weights, table[mesh.faces[face]]) for table in (mesh.vertices, mesh.uv))
    column, row = np.clip((uv * SIZE).astype(int), 0, SIZE - 1).T
    return at, mesh.texture[row, column]


def test_points_of_the_surface_find_their_colors_in_it(textured):
    at, colors = colors_at(textured, count=4000)
    expected = (ball_model().frame.to_box(at) + 1) / 2 * 255
    # A pixel is about sqrt(4 pi 0.5^2 / (0.7 * 256^2)) = 0.008 wide in the box, in which colors change by 128 a unit;
    # where it crosses a chart's edge, the nearest painted one may be the pixel after the next.
    assert np.abs(colors - expected).max() < 2 * 0.008 * 2**0.5 * 128 + 1


def test_of_contracted_space_too():
    model = ball_model()
    model.grid.contracted = True
    mesh = extract_mesh(model, resolution=24, texture=64)
    whole = extract_mesh(model, resolution=24)
    np.testing.assert_array_equal(mesh.vertices[mesh.faces], whole.vertices[whole.faces])


def test_others_read_it(textured, tmp_path):
    textured.write(tmp_path / "m.glb")
    (read,) = trimesh.load_scene(tmp_path / "m.glb", process=False).geometry.values()
    np.testing.assert_array_equal(np.asarray(read.visual.material.baseColorTexture), textured.texture)
    np.testing.assert_allclose(read.visual.uv, textured.to_trimesh().visual.uv, atol=1e-6)
    np.testing.assert_allclose(read.visual.uv, textured.uv * [1, -1] + [0, 1], atol=1e-6)
    assert "color" not in read.vertex_attributes


def test_a_package_of_usd_has_it(textured, tmp_path):
    pytest.importorskip("pxr", reason="the extra finer-nerf[usd] is not installed")
    textured.write(tmp_path / "m.usdz")
    back = usd_meshes.read(tmp_path / "m.usdz")
    np.testing.assert_allclose(back.st, textured.uv * [1, -1] + [0, 1], atol=1e-6)
    np.testing.assert_array_equal(back.faces, textured.faces)
    with zipfile.ZipFile(tmp_path / "m.usdz") as package, package.open("texture.png") as picture:
        np.testing.assert_array_equal(np.asarray(Image.open(picture)), textured.texture)
    assert back.colors is None


def test_from_python():
    found = ball_model().mesh(resolution=16, texture=64)
    assert found.visual.material.baseColorTexture.size == (64, 64) and len(found.visual.uv) == len(found.vertices)


@pytest.mark.parametrize("suffix", ["ply", "usdc"])
def test_a_format_without_textures_is_refused_before_the_work(textured, tmp_path, capsys, suffix):
    out = tmp_path / f"m.{suffix}"
    arguments = ["mesh", str(tmp_path / "none.safetensors"), "--out", str(out), "--texture", "512"]
    refusals.assert_refused(main, arguments, capsys, f".{suffix} files hold no texture; use .glb or .usdz")
    with pytest.raises(InputError, match=r"hold no texture; use \.glb or \.usdz"):
        textured.write(out)
