"""Textures of surfaces: the same mesh, cut along seams, with the colors that the model has at each pixel."""

import zipfile

import numpy as np
import pytest
import torch
import trimesh

from finer_core.errors import InputError
from finer_sdf import Normalization, SdfModel, read_shape, union
from finer_sdf.app.cli import main
from tests import refusals
from tests.sdf.distance_fields import Ball

pytest.importorskip("xatlas", reason="the extra finer-sdf[texture] is not installed")
SIZE = 256


class Ramp(torch.nn.Module):
    """Colors that change by 1 a side of the box."""

    def forward(self, x):
        return x + 0.5


def ball(*, color: torch.nn.Module | None) -> SdfModel:
    frame = Normalization(scale=0.1, offset=(-0.5, 0.0, 0.0))  # radius 3.5 around (5, 0, 0)
    return SdfModel(network=Ball(radius=0.35), normalization=frame, color=color)


def test_points_of_the_surface_find_their_colors_in_the_file(tmp_path):
    model = ball(color=Ramp())
    made = model.mesh(resolution=32, texture=SIZE)
    made.export(tmp_path / "m.glb")
    loaded = read_shape(tmp_path / "m.glb")
    assert loaded.colors is not None and loaded.colors.texture is not None
    points, colors = loaded.colors.samples(4000, seed=0)
    # A pixel is about sqrt(4 pi 0.35^2 / (0.7 * 256^2)) = 0.006 wide in the box, where colors change by 1 a side; at
    # the edge of a chart it may be that after the next which is read.
    assert np.abs(colors - model.colors(points)).max() < 2 * 0.006 * 2**0.5 + 1 / 255


def test_the_mesh_is_cut_and_not_moved():
    model = ball(color=Ramp())
    plain, made = model.mesh(resolution=24), model.mesh(resolution=24, texture=64)
    assert len(made.vertices) > len(plain.vertices)
    for name in ("vertices", "vertex_normals"):
        np.testing.assert_array_equal(getattr(made, name)[made.faces], getattr(plain, name)[plain.faces])


def test_what_is_made_of_colored_models_has_a_texture_too():
    both = union(ball(color=Ramp()), ball(color=Ramp()))
    assert both.mesh(resolution=16, texture=64).visual.material.baseColorTexture.size == (64, 64)


@pytest.mark.parametrize("suffix", ["glb", "usdz"])
def test_from_the_command_line(tmp_path, capsys, suffix):
    if suffix == "usdz":
        pytest.importorskip("pxr", reason="the extra finer-sdf[usd] is not installed")
    from finer_sdf import fit

    mesh = trimesh.creation.icosphere(subdivisions=2)
    mesh.visual.vertex_colors = np.rint(127 * (1 + mesh.vertices)).astype(np.uint8)
    tiny = {"hidden_features": 32, "hidden_layers": 1, "first_omega_0": 8.0, "hidden_omega_0": 8.0}
    options = {"steps": 30, "samples": 2000, "batch_points": 256, "learning_rate": 1e-2, "precision": "fp32"}
    fit(mesh, **options, device="cpu", network=tiny)[0].save(tmp_path / "m.safetensors")
    out = tmp_path / f"m.{suffix}"
    rest = ["--resolution", "20", "--texture", "64", "--quiet"]
    code = main(["mesh", str(tmp_path / "m.safetensors"), "--out", str(out), *rest])
    assert code == 0, capsys.readouterr().err
    if suffix == "glb":
        loaded = read_shape(out)
        assert loaded.colors is not None and loaded.colors.texture is not None
    else:
        assert "texture.png" in zipfile.ZipFile(out).namelist()


def test_a_surface_without_colors_is_refused_before_the_work():
    with pytest.raises(InputError, match=r"paints colors: the input .* had none"):
        ball(color=None).mesh(resolution=100_000, texture=64)


@pytest.mark.parametrize("suffix", ["ply", "obj", "usdc"])
def test_a_format_without_textures_is_refused(tmp_path, capsys, suffix):
    arguments = ["mesh", str(tmp_path / "none.safetensors"), "--out", str(tmp_path / f"m.{suffix}"), "--texture", "64"]
    refusals.assert_refused(main, arguments, capsys, f".{suffix} files hold no texture; use .glb or .usdz")
