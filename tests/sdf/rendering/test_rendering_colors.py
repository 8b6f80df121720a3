"""Pictures and films show the colors that a model was fitted with, and models without any are named."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from finer_core.errors import InputError
from finer_core.networks.build import build_network
from finer_sdf import Normalization, SdfModel, union
from finer_sdf.app import pictures
from finer_sdf.app.cli import main
from finer_sdf.inputs import as_shape
from finer_sdf.model import ColorHead
from finer_sdf.queries import colors_in_box
from finer_sdf.rendering.images import paint
from finer_sdf.rendering.raycast import raycast_field
from finer_sdf.rendering.shading import lit
from tests.sdf.distance_fields import Ball

VIEW = {"size": (33, 33), "azimuth": 0.0, "elevation": 0.0}


class Halves(torch.nn.Module):
    """Be red where x is positive, and blue elsewhere."""

    def forward(self, coords):
        right = (coords[:, :1] > 0).to(coords)
        return torch.cat([right, torch.zeros_like(right), 1 - right], dim=1)


def ball(*, colored: bool = True, x: float = 0.0) -> SdfModel:
    place = Normalization(scale=0.1, offset=(-0.1 * x, 0.0, 0.0))
    head = ColorHead(smooth=Halves(), detail=None) if colored else None
    return SdfModel(network=Ball(radius=0.3), normalization=place, color=head)


def test_a_picture_shows_each_color_where_it_is():
    picture = ball().render(kind="color", **VIEW).astype(int)
    for column, strong, weak in ((13, 2, 0), (19, 0, 2)):  # x to the right
        assert picture[16, column, strong] > 120 and picture[16, column, weak] == picture[16, column, 1] == 0
    assert picture[0, 0].tolist() == [255, 255, 255]


def test_colors_are_lit_as_clay_is_and_white_is_hardly_cut():
    seen = raycast_field(ball(), height=101, width=101, elevation=0)
    colors = np.ones((len(seen.normals), 3))
    bright = lit(colors, seen.normals, seen.camera.basis())
    assert bright.max() <= 1 and (bright == 1).mean() < 0.01
    assert bright.max(axis=0).min() > 0.9
    half = lit(colors / 2, seen.normals, seen.camera.basis())
    np.testing.assert_allclose(half[bright < 1], bright[bright < 1] / 2, atol=1e-6)


def test_what_is_made_of_colored_models_has_their_colors():
    assert np.array_equal(union(ball()).render(kind="color", **VIEW), ball().render(kind="color", **VIEW))
    with pytest.raises(InputError, match="'color'"):
        union(ball(), ball(colored=False, x=4)).render(kind="color")


def test_a_model_without_colors_is_refused_before_any_ray(tmp_path, monkeypatch):
    monkeypatch.setattr("finer_sdf.rendering.raycast.raycast_field", None)
    with pytest.raises(InputError, match=r"'color' needs colors.* color was 'off'"):
        ball(colored=False).render(kind="color")
    with pytest.raises(InputError, match="'color' needs colors"):
        ball(colored=False).turntable(tmp_path / "turn.mp4", kind="color")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("colored", [True, False])
def test_a_run_folder_has_a_picture_in_color_where_there_are_colors(tmp_path, monkeypatch, colored):
    shown = {}
    monkeypatch.setattr(pictures, "SIDE", 24)
    monkeypatch.setattr(pictures, "write_report", lambda run, *, pictures, **_: shown.update(pictures))
    model = ball(colored=colored)
    surface = model.normalization.mesh_to_box(as_shape(trimesh.creation.icosphere(radius=3.0)).shape)
    more = {"figures": {}, "config": {}, "quiet": True}
    pictures.fill_report(SimpleNamespace(path=tmp_path), model=model, mesh=surface, reference=surface, **more)
    assert ("color" in shown) == (tmp_path / "color.png").exists() == colored
    if colored:
        seen = raycast_field(model, height=24, width=24, supersample=1)
        assert np.array_equal(shown["color"], paint(seen, "color", colors=colors_in_box(model)))


def test_the_command_draws_pictures_and_films_in_color(tmp_path, capsys):
    torch.manual_seed(0)
    size = {"task": "sdf", "in_features": 3, "hidden_features": 4, "hidden_layers": 1}
    head = ColorHead(smooth=build_network("finer", out_features=3, **size), detail=None)
    place = Normalization(scale=1.0, offset=(0.0, 0.0, 0.0))
    network = build_network("finer", out_features=1, **size)
    with torch.no_grad():  # so that there is a surface
        [*network.parameters()][-1].sub_(network(torch.rand(1000, 3) - 0.5).mean())
    for name, color in (("colored", head), ("plain", None)):
        model = SdfModel(network=network, normalization=place, color=color)
        model.save(tmp_path / f"{name}.safetensors")
    arguments = ["--kind", "color", "--size", "24x24", "--quiet", "--out"]
    made = str(tmp_path / "view.png")
    assert main(["render", str(tmp_path / "colored.safetensors"), *arguments, made]) == 0
    assert "24x24, color" in capsys.readouterr().out
    wanted = SdfModel.load(tmp_path / "colored.safetensors").render(kind="color", size=(24, 24))
    with Image.open(made) as picture:
        assert np.array_equal(np.asarray(picture), wanted) and len(np.unique(wanted)) > 10
    film = str(tmp_path / "turn.mp4")
    assert main(["render", str(tmp_path / "colored.safetensors"), "--frames", "2", *arguments, film]) == 0
    assert (tmp_path / "turn.mp4").stat().st_size > 500
    for out in ("none.png", "none.mp4"):
        assert main(["render", str(tmp_path / "plain.safetensors"), *arguments, str(tmp_path / out)]) == 2
        assert "kind 'color' needs colors" in capsys.readouterr().err
        assert not (tmp_path / out).exists()
