"""Unions, intersections, differences, offsets and shells: solids of known volume, distances, boxes, commands."""

import re

import numpy as np
import pytest
import torch
import trimesh
from torch import nn

import finer_sdf
from finer_core import build_network
from finer_core.errors import InputError
from finer_sdf import Normalization, SdfModel, difference, evaluate, intersection, offset, shell, union
from finer_sdf.app.cli import main
from finer_sdf.evaluation import surface_metrics

R = 2.0
"""Radius of the balls, in the input's units."""


class Sphere(nn.Module):
    """Exact distance to a ball that fills its box as shapes do; outside of the box nonsense, as networks have it."""

    def __init__(self) -> None:
        super().__init__()
        self.radius = nn.Parameter(torch.tensor(0.45))

    def forward(self, x):
        exact = x.norm(dim=-1, keepdim=True) - self.radius
        return torch.where(x.abs().amax(dim=-1, keepdim=True) > 0.5, -1.0, exact)


def ball(center=(0.0, 0.0, 0.0), radius: float = R) -> SdfModel:
    scale = 0.45 / radius
    offset = tuple(-scale * np.asarray(center, dtype=float))
    bounds = [[c - radius for c in center], [c + radius for c in center]]
    shape = {"kind": "mesh", "elements": 1, "bounds": bounds}
    return SdfModel(network=Sphere(), normalization=Normalization(scale=scale, offset=offset), shape=shape)


def volume(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3


def lens(distance: float) -> float:
    """Return the volume that two balls of radius R have in common."""
    return np.pi * (4 * R + distance) * (2 * R - distance) ** 2 / 12


FAR = np.array([1e6, -2e6, 5e5])
A, B = ball(), ball((0.0, 2.5, 0.0))


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (lambda: union(A, B), 2 * volume(R) - lens(2.5)),
        (lambda: intersection(A, B), lens(2.5)),
        (lambda: difference(A, B), volume(R) - lens(2.5)),
        (lambda: union(A, ball((9.0, 0.0, 0.0), radius=1.0)), volume(R) + volume(1.0)),
        (lambda: offset(A, 0.2), volume(2.2)),
        (lambda: offset(A, -0.5), volume(1.5)),
        (lambda: shell(A, 0.4), volume(2.2) - volume(1.8)),
        (lambda: difference(shell(A, 0.4), ball((0.0, 3.4, 0.0))), None),
        (lambda: union(ball(FAR), ball(FAR + [0.0, 2.5, 0.0])), 2 * volume(R) - lens(2.5)),
    ],
)
def test_solids_have_the_volume_of_their_formula(made, wanted):
    field = made()
    mesh = field.mesh(resolution=72)
    assert mesh.is_watertight
    if wanted is None:  # a hole in the wall joins its two sides
        assert len(mesh.split(only_watertight=False)) == 1
    else:
        assert abs(mesh.volume) == pytest.approx(wanted, rel=0.02)
    low, high = field.normalization.to_input(field.bounds())
    assert (mesh.bounds[0] >= low - 0.01).all() and (mesh.bounds[1] <= high + 0.01).all()


def test_distances_are_minima_and_maxima_and_exact_where_said():
    points = np.random.default_rng(0).uniform([-2.1, -2.1, -2.1], [2.1, 4.6, 2.1], size=(2000, 3))
    a, b = (np.linalg.norm(points - center, axis=1) - R for center in ([0, 0, 0], [0, 2.5, 0]))
    joined = union(A, B)(points)
    outside = (a > 0) & (b > 0)
    inside_box_of_both = (np.abs(points[:, 1] - 1.25) < 0.9) & outside  # where no bound beyond a box takes part
    np.testing.assert_allclose(joined[inside_box_of_both], np.minimum(a, b)[inside_box_of_both], atol=1e-4)
    assert ((joined < 0) == (np.minimum(a, b) < 0)).all()
    both = intersection(A, B)(points)
    assert ((both < 0) == (np.maximum(a, b) < 0)).all()
    deep = both < 0
    np.testing.assert_allclose(both[deep], np.maximum(a, b)[deep], atol=1e-4)
    cut = difference(A, B)(points)
    assert ((cut < 0) == (np.maximum(a, -b) < 0)).all()


def test_an_offset_beyond_the_box_is_at_least_as_far_as_asked():
    mesh = offset(A, 1.5).mesh(resolution=48)
    radius = np.linalg.norm(mesh.vertices, axis=1) - R
    assert radius.min() > 1.5 - 0.02 and radius.max() < 1.5 * 2**0.5 + 0.02
    assert mesh.is_watertight


def test_results_do_what_models_do(monkeypatch):
    both = union(A, B)
    assert repr(both).startswith("union of (SdfModel: Sphere of 1 parameters")
    np.testing.assert_allclose(both.normals([[0.0, -2.0, 0.0], [0.0, 4.5, 0.0]]), [[0, -1, 0], [0, 1, 0]], atol=1e-5)
    found = both.query([[0.0, 9.0, 0.0], [3.0, 0.0, 0.0]])
    np.testing.assert_allclose(found.nearest, [[0, 4.5, 0], [2, 0, 0]], atol=1e-3)
    picture = both.render(size=(40, 40))
    assert picture.shape == (40, 40, 3) and picture.min() < 200
    monkeypatch.setattr(
        surface_metrics, "compare_surfaces", lambda mesh, *_, **__: {"notes": [], "bounds": mesh.bounds}
    )
    figures = evaluate(both, both.mesh(resolution=20), resolution=24)
    np.testing.assert_allclose(figures["bounds"], [[-2, -2, -2], [2, 4.5, 2]], atol=0.1)
    points = torch.tensor([[0.0, 1.0, 0.5]], requires_grad=True)
    both(points).sum().backward()
    assert points.grad.norm() == pytest.approx(1.0, abs=1e-4)
    assert A.network.radius.grad is not None or B.network.radius.grad is not None
    for parameter in both.parameters():
        parameter.grad = None


class Plain(nn.Module):
    """One color everywhere."""

    def __init__(self, color) -> None:
        super().__init__()
        self.color = nn.Parameter(torch.tensor(color))

    def forward(self, x):
        return self.color.expand(len(x), 3)


def test_vertices_have_the_color_of_their_surface():
    red, blue = ball(), ball((0.0, 2.5, 0.0))
    assert union(red, blue).mesh(resolution=16).visual.kind is None
    red.color, blue.color = Plain([1.0, 0.0, 0.0]), Plain([0.0, 0.0, 1.0])
    for made in (union(red, blue), difference(red, blue), union(difference(red, blue), blue)):
        mesh = made.mesh(resolution=32)
        a, b = (np.abs(np.linalg.norm(mesh.vertices - at, axis=1) - R) for at in ([0, 0, 0], [0, 2.5, 0]))
        clear = np.abs(a - b) > 0.05
        wanted = np.where((a < b)[:, None], [255, 0, 0], [0, 0, 255])
        assert (mesh.visual.vertex_colors[clear, :3] == wanted[clear]).all() and clear.mean() > 0.8
    assert (shell(blue, 0.2).mesh(resolution=56).visual.vertex_colors[:, :3] == [0, 0, 255]).all()


def test_operations_nest_without_another_bound():
    three = union(union(A, B), ball((0.0, 5.0, 0.0)))
    flat = union(A, B, ball((0.0, 5.0, 0.0)))
    points = np.random.default_rng(1).uniform(-3, 8, size=(500, 3))
    np.testing.assert_allclose(three(points), flat(points), atol=1e-4)


def test_wrong_operands_are_refused():
    for made, words in (
        (lambda: union(), "got none"),
        (lambda: union(A, 3), "not a int"),
        (lambda: intersection(A, ball((9.0, 0, 0))), "do not meet"),
        (lambda: offset(A, float("nan")), "finite distance, got nan"),
        (lambda: shell(A, 0.0), "positive thickness, got 0"),
        (lambda: union(A, ball().to("meta")), "on the device meta, without numbers"),
    ):
        with pytest.raises(InputError, match=words):
            made()
    assert {"union", "intersection", "difference", "offset", "shell"} <= set(finer_sdf.__all__)


def test_operands_on_two_devices_are_refused(monkeypatch):
    away = ball()
    monkeypatch.setattr(SdfModel, "device", property(lambda model: torch.device("cuda" if model is away else "cpu")))
    with pytest.raises(InputError, match="cpu and cuda"):
        union(A, away)


def test_a_grid_too_coarse_for_a_wall_is_refused_and_the_one_named_does():
    thin = shell(A, 0.1)
    words = r"the wall is 0\.1 wide, less than 2 grid steps of 0\.118 at --resolution 40; give one of at least (\d+)"
    with pytest.raises(InputError, match=words) as error:
        thin.mesh(resolution=40)
    least = int(re.search(r"at least (\d+)", str(error.value))[1])
    mesh = thin.mesh(resolution=least)
    assert len(mesh.split(only_watertight=False)) == 2 and mesh.is_watertight
    for made in (union(thin, B), difference(thin, B), offset(thin, -0.01)):
        with pytest.raises(InputError, match=r"the wall is 0\.(1|08) wide"):
            made.mesh(resolution=40)
    with pytest.raises(InputError, match=words):
        evaluate(thin, mesh, resolution=40, samples=1000)
    assert offset(thin, 0.2).mesh(resolution=40).is_watertight and thin.mesh(resolution=40, level=0.15).is_watertight


def test_shapes_smaller_than_a_grid_step_are_refused():
    with pytest.raises(InputError, match=r"union: shape 2 is 2 wide, less than 2 grid steps of 1\.23 .* at least 49"):
        union(A, ball((40.0, 0.0, 0.0), radius=1.0)).mesh(resolution=40)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: offset(A, -2.5), "offset by -2.5 leaves no surface .*give a distance nearer to 0"),
        (
            lambda: difference(A, ball(radius=3.0)),
            "difference leaves no surface .*the others cut all of the first away",
        ),
        (lambda: intersection(A, ball((3.9, 3.9, 0.0))), "intersection leaves no surface .*nothing in common"),
        (lambda: offset(A, 1e300), r"offset by 1e\+300 is more than 1e\+06 times the shape's size of 4"),
        (lambda: offset(A, -1e300), r"offset by -1e\+300 is more than 1e\+06 times the shape's size of 4"),
        (lambda: shell(A, 1e300), r"shell of 1e\+300 is more than 1e\+06 times the shape's size of 4"),
    ],
)
def test_what_leaves_nothing_is_said_of_the_operation(made, words):
    with pytest.raises(InputError, match=words) as error:
        made().mesh(resolution=40)
    assert "fit" not in str(error.value) and "normals" not in str(error.value)


@pytest.fixture
def files(tmp_path):
    """Return two models in files: a network that was not fitted, but crosses zero, at two places.

    The draw matters: what a surface's box cuts off is closed by a cap, on which the field is not zero, and with other
    draws the cap has most of the vertices.
    """
    torch.manual_seed(2)
    network = build_network("siren", task="sdf", in_features=3, out_features=1, hidden_features=8, first_omega_0=5.0)
    *_, bias = network.parameters()
    with torch.no_grad():
        bias -= network(torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) - 0.5).median()
    for name, shift in (("a", (0.0, 0.0, 0.0)), ("b", (-0.2, 0.0, 0.1))):
        place = Normalization(scale=0.5, offset=shift)
        SdfModel(network=network, normalization=place).save(tmp_path / f"{name}.safetensors")
    return [str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]


@pytest.mark.parametrize(
    ("given", "of"),
    [
        (["union"], lambda a, b: np.minimum(a, b)),
        (["intersection"], np.maximum),
        (["difference"], lambda a, b: np.maximum(a, -b)),
        (["shell", "--by", "0.1"], lambda a, b: np.abs(a) - 0.05),
        (["offset", "--by", "-0.01"], lambda a, b: a + 0.01),
    ],
)
def test_the_command_writes_the_mesh_of_a_result(given, of, files, tmp_path, capsys):
    out = str(tmp_path / "out.ply")
    models = files if len(given) == 1 else files[:1]
    assert main(["combine", given[0], *models, *given[1:], "--resolution", "64", "--out", out, "--quiet"]) == 0
    assert re.search(r"\d+ parts?, .* % of 64\^3 points, \d+\.\d s: .*out\.ply$", capsys.readouterr().out.strip())
    mesh = trimesh.load(out, process=False)
    some = np.array(mesh.vertices)[::20]
    a, b = (SdfModel.load(path).query(some).distance for path in files)
    assert np.median(np.abs(of(a, b))) < 1e-3 < np.median(np.abs(a + b))  # kinks and caps are further off
    np.testing.assert_allclose(np.linalg.norm(mesh.vertex_normals, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["union", "a"], "union takes at least two models, got 1"),
        (["offset", "a", "b", "--by", "1"], "offset takes one model, got 2"),
        (["shell", "a"], "shell needs --by, its thickness"),
        (["union", "a", "b", "--by", "1"], "--by is for offset and shell"),
        (["union", "a", "b", "--out", "m.png"], "cannot write a mesh as '.png'"),
        (["union", "absent", "b"], "absent"),
    ],
)
def test_the_command_refuses_what_it_cannot_use(given, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["combine", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_the_command_names_the_value_that_is_too_small(files, tmp_path, capsys):
    command = ["combine", "shell", files[0], "--by", "0.01", "--resolution", "40", "--out", str(tmp_path / "m.ply")]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--by: shell of 0.01: the wall is 0.01 wide" in line and "--resolution 40; give one of at least " in line
    assert not (tmp_path / "m.ply").exists()
