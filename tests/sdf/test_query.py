"""What a model says of points: distances, directions and nearest points, in the box and beyond it; files."""

import numpy as np
import pytest
import torch
import trimesh
from torch import nn

from finer_core.errors import InputError
from finer_sdf import Normalization, SdfModel, export
from finer_sdf.app.cli import main
from finer_sdf.beyond_box import beyond_box
from finer_sdf.geometry.query_points import COLUMNS, read_points, write_answers

CENTER, RADIUS = np.array([100.0, -20.0, 3.0]), 6.0
PLACE = Normalization(scale=0.05, offset=tuple(-0.05 * CENTER))
"""The box is 20 units wide, about the ball."""


class Ball(nn.Module):
    """A ball's distance, times a factor: a field that is not quite a distance."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        radius = x.norm(dim=-1, keepdim=True)
        return (radius - 0.3) * (1 + self.factor * (radius - 0.3))


@pytest.fixture(scope="module")
def points():
    return CENTER + np.random.default_rng(0).uniform(-9.9, 9.9, size=(3000, 3))


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_the_nearest_point_is_on_the_surface_and_nearest(points, factor):
    model = SdfModel(network=Ball(factor), normalization=PLACE)
    away = points - CENTER
    radius = np.linalg.norm(away, axis=1)
    found = model.query(points)
    np.testing.assert_allclose(found.distance, model(points), atol=1e-4)
    np.testing.assert_allclose(found.normal, away / radius[:, None], atol=1e-4)
    np.testing.assert_allclose(found.nearest, CENTER + RADIUS * away / radius[:, None], atol=2e-3)
    assert found.residual.max() <= 2e-5  # 1e-6 of the box
    if factor == 0:  # one step does: the residual is single precision's
        np.testing.assert_allclose(found.distance, radius - RADIUS, atol=1e-4)


class Flat(Ball):
    """A distance that says the same everywhere farther than 0.1: no gradient leads down from there."""

    def forward(self, x):
        return (x.norm(dim=-1, keepdim=True) - 0.3).clamp(max=0.1) + 0 * self.factor


def test_where_the_gradient_leads_nowhere_the_surface_is_found_all_the_same(points):
    found = SdfModel(network=Flat(), normalization=PLACE).query(points)
    away = np.linalg.norm(points - CENTER, axis=1)
    assert (away > 8.1).sum() > 1000 and not found.normal[away > 8.1].any()
    assert found.residual.max() <= 2e-4  # 1e-5 of the box
    # From a vertex of a mesh whose cells are 20 / 63 wide: at most a cell's diagonal off sideways.
    reached = np.linalg.norm(points - found.nearest, axis=1)
    sideways = 3**0.5 * 20 / 63
    assert (reached <= np.hypot(np.abs(away - RADIUS), sideways * away / RADIUS) + 1e-3).all()


def test_a_field_without_a_surface_says_so_by_its_residuals():
    found = SdfModel(network=Flat(), normalization=PLACE).query(CENTER + [[9.0, 0, 0]])
    assert found.residual[0] <= 2e-4

    class Nothing(Flat):
        def forward(self, x):
            return super().forward(x) + 0.5

    found = SdfModel(network=Nothing(), normalization=PLACE).query(CENTER + [[9.0, 0, 0]])
    assert found.residual[0] == pytest.approx(0.6 * 20) and found.distance[0] == pytest.approx(0.6 * 20)


def test_beyond_the_box_distances_are_bounds(points):
    model = SdfModel(network=Ball(0.0), normalization=PLACE)
    far = CENTER + 5 * (points - CENTER)
    true = np.linalg.norm(far - CENTER, axis=1) - RADIUS
    found = model.query(far)
    outside = (np.abs(far - CENTER) > 10).any(axis=1)
    assert outside.sum() > 2000
    assert (found.distance <= true + 1e-3).all() and (found.distance * 2**0.5 >= true - 1e-3)[outside].all()
    assert found.residual.max() <= 2e-5
    np.testing.assert_allclose(np.linalg.norm(found.nearest - CENTER, axis=1), RADIUS, atol=1e-3)
    assert ((found.normal * (far - CENTER)).sum(axis=1) > 0).all()


def test_a_model_called_beyond_its_box_says_what_its_query_does(points, tmp_path):
    class Waves(Ball):
        """A ball in its box; outside of it a wave, as networks of sines have it."""

        def forward(self, x):
            return torch.where(
                x.abs().amax(dim=-1, keepdim=True) > 0.5, -0.1 * x.sum(dim=-1, keepdim=True).sin(), super().forward(x)
            )

    model = SdfModel(network=Waves(0.0), normalization=PLACE)
    far = CENTER + 5 * (points - CENTER)
    found = model.query(far)
    assert found.distance.max() > 10 * RADIUS
    np.testing.assert_allclose(model(far), found.distance, atol=1e-4)
    np.testing.assert_allclose(model.normals(far), found.normal, atol=1e-5)
    asked = torch.from_numpy(far).requires_grad_()
    np.testing.assert_allclose(model(asked).detach(), found.distance, atol=1e-4)
    (slope,) = torch.autograd.grad(model(asked).sum(), asked)
    assert slope.isfinite().all() and ((slope * torch.from_numpy(far - CENTER)).sum(dim=1) > 0).all()
    export(model, tmp_path / "model.pt2")
    there = torch.export.load(tmp_path / "model.pt2").module()(torch.from_numpy(far).float())
    np.testing.assert_allclose(there.detach(), found.distance, atol=1e-4)


def test_arrays_of_points_in_the_box_cost_no_more_than_the_network(points, monkeypatch):
    """In the same bits; a point beyond it, or none, makes no difference to the others."""
    model, asked = SdfModel(network=Ball(), normalization=PLACE), []
    everywhere = SdfModel.everywhere
    monkeypatch.setattr(
        SdfModel, "everywhere", lambda self, coords: (asked.append(len(coords)), everywhere(self, coords))[1]
    )
    inside = model(points)
    corners = model(CENTER + np.array([[10.0, 10, 10], [-10, 10, -10]]))
    assert not asked and corners.shape == (2,) and model(points[:0]).shape == (0,)
    for far in (CENTER + 10.01, CENTER - 10.01):
        asked.clear()
        np.testing.assert_array_equal(model(np.vstack([points, far]))[:-1], inside)
        assert asked


@pytest.mark.parametrize("far", [1e5, 1e9, 1e21, 1e60, 1e200, 1e307])
def test_distances_are_finite_as_far_as_double_precision_goes(far):
    model = SdfModel(network=Ball(0.0), normalization=PLACE)
    directions = np.array([[1.0, 0, 0], [0, -0.6, 0.8], [0.48, 0.6, 0.64]])
    found = model.query(CENTER + far * directions)
    np.testing.assert_allclose(found.distance, far, rtol=2e-4 if far < 1e6 else 2e-6)  # the ball is 6, the box 20 wide
    np.testing.assert_allclose(found.normal, directions, atol=2e-4 if far < 1e6 else 2e-6)
    assert np.abs(np.linalg.norm(found.nearest - CENTER, axis=1) - RADIUS).max() < 1e-3 and found.residual.max() < 1e-3


@pytest.mark.parametrize(
    ("points", "row"), [([[0, 0, 0], [1.7e308] * 3], "1 .1.7e.308, "), ([[np.inf, 0, 0]], "0 .inf")]
)
def test_points_without_a_distance_are_refused_by_row_and_value(points, row):
    with pytest.raises(InputError, match=f"1 of . points .*the first is number {row}"):
        SdfModel(network=Ball(0.0), normalization=PLACE).query(np.array(points))


def test_a_distance_that_the_type_of_the_points_does_not_hold_is_refused():
    model = SdfModel(network=Ball(0.0), normalization=PLACE)
    for points in (np.full((1, 3), 3e38, dtype=np.float32), torch.full((1, 3), 3e38)):
        with pytest.raises(InputError, match=r"number 0 \(3e\+38, 3e\+38, 3e\+38\); distances must be within 3.4e\+38"):
            model.query(points)
    assert model.query(np.array([[3e38, 0, 0]], dtype=np.float32)).distance[0] == pytest.approx(3e38, rel=1e-6)


def test_a_field_keeps_its_bits_and_derivatives_in_its_box():
    x = (torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) - 0.5).requires_grad_()
    field = Ball()
    assert torch.equal(beyond_box(field, x), field(x))
    (plain,) = torch.autograd.grad(field(x).sum(), x)
    (through,) = torch.autograd.grad(beyond_box(field, x).sum(), x)
    assert torch.equal(plain, through)
    edge = torch.tensor([[0.5, 0.1, 0.2], [0.5000001, 0.1, 0.2]])
    assert beyond_box(field, edge).detach().diff(dim=0).abs().item() < 1e-6  # continuous
    slope = torch.autograd.grad(beyond_box(field, far := (3 * x.detach()).requires_grad_()).sum(), far)[0]
    assert slope.isfinite().all()


def test_tensors_and_any_shape_are_answered_in_kind(points):
    model = SdfModel(network=Ball(), normalization=PLACE)
    table = points[:6].reshape(2, 3, 3)
    found, plain = model.query(torch.from_numpy(table)), model.query(table)
    assert found.nearest.shape == (2, 3, 3) and found.residual.shape == (2, 3) and found.distance.dtype == torch.float64
    assert not found.distance.requires_grad
    np.testing.assert_array_equal(found.nearest.numpy(), plain.nearest)
    assert model.query(table.astype(np.float32)).normal.dtype == np.float32
    with pytest.raises(InputError, match=r"points must be \(\.\.\., 3\)"):
        model.query([1.0, 2.0])


def test_points_come_in_every_kind_of_file(points, tmp_path):
    few = points[:20]
    np.save(tmp_path / "p.npy", few)
    np.savetxt(tmp_path / "p.txt", few, fmt="%.17g")
    np.savetxt(tmp_path / "p.csv", few, fmt="%.17g", delimiter=",", header="X,Y,Z", comments="")
    np.savez(tmp_path / "p.npz", points=few)
    trimesh.PointCloud(few).export(tmp_path / "p.ply")
    for suffix in ("npy", "txt", "csv", "npz", "ply"):
        table, _ = read_points(tmp_path / f"p.{suffix}")
        np.testing.assert_allclose(table, few, rtol=1e-7 if suffix == "ply" else 0)


def test_answers_are_a_table_or_an_archive(points, tmp_path):
    found = SdfModel(network=Ball(), normalization=PLACE).query(points[:50])
    write_answers(tmp_path / "a.csv", points[:50], found)
    write_answers(tmp_path / "a.npz", points[:50], found)
    table = np.genfromtxt(tmp_path / "a.csv", delimiter=",", names=True)
    assert table.dtype.names == COLUMNS
    with np.load(tmp_path / "a.npz") as archive:
        np.testing.assert_array_equal(archive["points"], points[:50])
        np.testing.assert_allclose(table["distance"], archive["distance"], rtol=1e-11)
        np.testing.assert_allclose(table["nearest_z"], archive["nearest"][:, 2], rtol=1e-11)
        np.testing.assert_allclose(table["normal_x"], archive["normal"][:, 0], rtol=1e-11, atol=1e-15)
    again, notes = read_points(tmp_path / "a.csv")
    np.testing.assert_allclose(again, points[:50], rtol=1e-11)
    assert "left out its columns distance" in notes[0]


@pytest.fixture
def saved(tmp_path):
    from finer_core import build_network

    network = build_network("siren", task="sdf", in_features=3, out_features=1, hidden_features=8, first_omega_0=5.0)
    SdfModel(network=network, normalization=PLACE).save(tmp_path / "model.safetensors")
    return str(tmp_path / "model.safetensors")


def test_the_command_prints_or_writes(saved, points, tmp_path, capsys):
    np.savetxt(tmp_path / "p.csv", points[:5], delimiter=",")
    asked = ["query", saved, str(tmp_path / "p.csv")]
    assert main(asked) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == ",".join(COLUMNS) and len(printed) == 6
    out = str(tmp_path / "a.csv")
    assert main([*asked, "--out", out]) == 0
    assert (tmp_path / "a.csv").read_text().splitlines() == printed
    assert capsys.readouterr().out.startswith("5 points, ")
    assert main([*asked, "--out", out]) == 2 and "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.npy", b"\x93NUMPY", "cannot be read as .npy"),
        ("p.csv", b"x,y,z\n1,2,nan\n", "1 of 1 points are not finite"),
        ("p.csv", b"1,2\n", "2 numbers"),
        ("p.csv", b"x,y,z\n1,2,\n", "line 2 has no number for z; it may be cut short"),
        ("p.csv", b"x;y;z\n1;;\n", "line 2 has no number for y, z"),
        ("p.json", b"{}", "unknown format '.json'; known are .csv .txt .ply"),
        ("p.txt", b"", "is empty"),
    ],
)
def test_points_that_cannot_be_read_are_refused_in_a_line(name, content, words, saved, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    assert main(["query", saved, str(tmp_path / name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line and name in line and len(line) <= 320
    assert main(["query", saved, str(tmp_path / name), "--out", str(tmp_path / "a.txt")]) == 2
    assert "answers are written as .csv or .npz" in capsys.readouterr().err


def test_memory_is_kept_or_refused_before_a_point_is_asked_or_a_ray_is_cast(saved, tmp_path, capsys):
    np.save(tmp_path / "p.npy", np.zeros((100_000, 3)))
    assert main(["query", saved, str(tmp_path / "p.npy"), "--memory", "540MB"]) == 2
    assert "asking about 100000 points needs about 550 MB" in capsys.readouterr().err
    view = ["render", saved, "--out", str(tmp_path / "v.png"), "--size", "1000x1000", "--memory"]
    assert main([*view, "690MB"]) == 2
    assert "a picture of 1000x1000 needs about 700 MB" in capsys.readouterr().err
    film = ["render", saved, "--out", str(tmp_path / "v.mp4"), "--size", "1000x1000", "--memory", "540MB"]
    assert main(film) == 2 and "about 550 MB" in capsys.readouterr().err
