"""Budgets of a distance-field fit by the command: seconds, a target distance, and lengths that contradict."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import trimesh

from finer_core.networks import Network
from finer_core.networks.config import find_method
from finer_core.training.own_code import network_of
from finer_sdf import fit as fit_shape
from finer_sdf.app.cli import main
from finer_sdf.config import SdfConfig
from finer_sdf.geometry.surface_sampling import sample_surface
from finer_sdf.inputs import as_shape
from finer_sdf.model import SdfModel
from finer_sdf.normalization import THE_BOX_ITSELF
from finer_sdf.training.build import build_fit, build_sampler
from finer_sdf.training.plan import FitPlan, plan_fit
from finer_sdf.training.target_rms import rms_to_surface, target_test
from finer_sdf.training.timed_plan import plan_timed_fit
from tests.sdf.shape_files import SMALL, ellipsoid, write_ellipsoid

pytestmark = pytest.mark.usefixtures("no_report")
AT = SMALL.index("--steps")
ARGUMENTS = [
    *[*SMALL[:AT], *SMALL[AT + 2 :], "--batch-points", "256", "--hidden-features", "32"],
    *["--log-every", "5", "--precision", "fp32"],
]


def fitted(folder: Path, *more: str) -> tuple[dict, dict]:
    """Fit a small shape by the command; return metrics and the config's settings."""
    shape, out = write_ellipsoid(folder / "egg.ply"), folder / "run"
    assert main(["fit", str(shape), "--out", str(out), *ARGUMENTS, *more]) == 0
    return json.loads((out / "metrics.json").read_text()), json.loads((out / "config.json").read_text())["settings"]


def test_seconds_choose_a_length_that_is_written_down(monkeypatch):
    monkeypatch.setattr("finer_core.training.budget.seconds_per_step", lambda fit, within: 0.04)
    given = {"hidden_features": 16, "hidden_layers": 1}
    settings = SdfConfig(seconds=2.0, network=given, batch_points=64, device="cpu")
    plan = plan_timed_fit(settings, as_shape(ellipsoid()))
    assert (plan.settings.seconds, plan.settings.steps) == (2.0, int(0.95 * 2 / 0.04))
    same = plan_fit(SdfConfig(steps=47, network=given, batch_points=64, device="cpu"), ellipsoid())
    assert dataclasses.replace(plan.settings, seconds=None) == same.settings
    taken_back = FitPlan.from_config(json.loads(json.dumps(plan.to_dict())), source=Path("config.json"))
    assert taken_back.settings == plan.settings, "a resumed fit has the length that was chosen"


@pytest.mark.parametrize(
    ("steps", "factor", "schedule"),
    [
        (500, 1.0, "cosine"),
        (None, 1.0, "cosine"),
        (9000, 1.0, "cosine"),
        (9001, 1.0, "cosine-squared"),
        (18_000, 1.0, "cosine-squared"),
        (36_000, 0.5, "cosine-squared"),
    ],
)
def test_the_rates_of_long_fits_fall_sooner(steps, factor, schedule):
    settings = plan_fit(SdfConfig(steps=steps, device="cpu"), ellipsoid()).settings
    assert settings.matrix_learning_rate == pytest.approx(2e-3 * factor)
    assert settings.learning_rate == pytest.approx(5e-4 * factor)
    assert settings.schedule == schedule
    assert settings.samples == (4_800_000 if schedule == "cosine-squared" else 1_200_000)
    given = plan_fit(SdfConfig(steps=steps, learning_rate=1e-3, device="cpu"), ellipsoid()).settings
    assert given.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("method", "rate"), [("pemlp", 3.2e-2), ("ff", 3.2e-2), ("gauss", 5e-3), ("siren", 2e-3), ("bacon", 8e-3)]
)
def test_methods_have_rates_of_their_own(method, rate):
    assert plan_fit(SdfConfig(method=method, device="cpu"), ellipsoid()).settings.matrix_learning_rate == rate
    long = plan_fit(SdfConfig(method=method, steps=36_000, device="cpu"), ellipsoid()).settings
    assert long.matrix_learning_rate == rate / 2
    by_soap = plan_fit(SdfConfig(method=method, optimizer="soap", device="cpu"), ellipsoid()).settings
    assert by_soap.matrix_learning_rate == 5e-4


def test_wire_whose_matrices_are_adams_has_a_higher_rate():
    for method, rate in (("wire", 2e-3), ("finer", 5e-4)):
        assert plan_fit(SdfConfig(method=method, device="cpu"), ellipsoid()).settings.learning_rate == rate


@pytest.mark.parametrize("method", ["gauss", "wire"])
def test_gaussians_and_wavelets_are_wide_enough_for_short_fits(method):
    """Near the surface; with the published scales a fit of so few steps has learnt next to nothing."""
    errors = []
    points = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1
    distances = points.norm(dim=-1) - 1
    is_near = distances.abs() < 0.05
    published = find_method(method).for_task("sdf").options
    for options in ({}, published):
        given = {"hidden_features": 48, "hidden_layers": 1, **options}
        how = {"steps": 60, "samples": 20_000, "batch_points": 1024, "precision": "fp32", "device": "cpu"}
        model, _ = fit_shape(trimesh.creation.icosphere(subdivisions=3), method=method, network=given, **how)
        with torch.no_grad():
            errors.append(model(points[is_near]).reshape(-1).sub(distances[is_near]).square().mean().sqrt())
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize("method", ["pemlp", "ff", "bacon", "multiscale-bacon"])
def test_encodings_are_low_enough_for_signs_far_away(method):
    """A fit may be near at every point of the surface, and have walls of noise beside it."""
    points = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1
    distances = points.norm(dim=-1) - 1
    wrong = []
    for options in ({}, find_method(method).for_task("sdf").options):
        given = {"hidden_features": 48, **({} if "bacon" in method else {"hidden_layers": 1}), **options}
        how = {"steps": 400, "samples": 20_000, "batch_points": 1024, "precision": "fp32", "device": "cpu"}
        model, _ = fit_shape(trimesh.creation.icosphere(subdivisions=3), method=method, network=given, **how)
        with torch.no_grad():
            wrong.append(((model(points).reshape(-1) > 0) != (distances > 0))[distances.abs() > 0.05].float().mean())
    assert wrong[0] < 0.5 * wrong[1]


@pytest.mark.parametrize(("target", "is_reached"), [(0.03, True), (1e-9, False)])
def test_a_target_ends_a_fit_as_soon_as_the_surface_is_that_near(target, is_reached):
    given = {"hidden_features": 32, "hidden_layers": 1}
    settings = SdfConfig(steps=200, log_every=5, samples=5000, batch_points=256, network=given, device="cpu")
    plan = plan_fit(settings, ellipsoid())
    boxed, network = plan.frame.shape_to_box(ellipsoid()), network_of(plan)
    model = SdfModel(network=network, normalization=plan.frame)
    fit = build_fit(plan, network, build_sampler(plan, boxed), chunk=256)
    fit.is_reached = target_test(model, boxed, target_rms=target, seed=0)
    last = fit.run()
    points = torch.from_numpy(sample_surface(boxed, count=5000, seed=7).points).float()
    assert last.is_reached is is_reached and (last.step < 200) is is_reached
    assert (rms_to_surface(model, points) < 1.05 * target) is is_reached, "at other points than those it asks"


def test_a_target_that_is_not_reached_is_said(tmp_path, capsys):
    metrics, settings = fitted(tmp_path, "--steps", "20", "--target-rms", "1e-9")
    assert metrics["target_reached"] is False and settings["target_rms"] == 1e-9
    assert "target not reached" in capsys.readouterr().out


def test_two_lengths_are_refused(tmp_path, capsys):
    shape = write_ellipsoid(tmp_path / "egg.ply")
    arguments = ["fit", str(shape), "--out", str(tmp_path / "run"), *ARGUMENTS]
    assert main([*arguments, "--steps", "9", "--seconds", "9"]) == 2
    assert "--steps and --seconds both say how long the fit is" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


class Sphere(Network):
    """Twice the distance to a sphere of radius 0.3, to which the root mean square distance is known."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, coords: torch.Tensor) -> torch.Tensor:
        return self.factor * (coords.norm(dim=-1, keepdim=True) - 0.3)


def test_the_distance_is_of_first_order():
    directions = torch.nn.functional.normalize(torch.randn(5000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    radii = 0.3 + torch.tensor([[0.01], [-0.02]]).repeat(2500, 1)
    model = SdfModel(network=Sphere(), normalization=THE_BOX_ITSELF)
    assert rms_to_surface(model, directions * radii) == pytest.approx(0.0158114, rel=1e-4)
