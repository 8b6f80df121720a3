"""Budgets of a distance-field fit by the command: seconds, a target distance, and lengths that contradict."""

import json
from pathlib import Path

import pytest
import torch

from finer_core.networks import Network
from finer_sdf.cli import main
from finer_sdf.fitting.target_test import rms_to_surface
from finer_sdf.frame import THE_BOX_ITSELF
from finer_sdf.model import SdfModel

from .shape_files import SMALL, write_ellipsoid

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


def test_seconds_choose_a_length_that_is_written_down_and_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr("finer_core.training.budget.seconds_per_step", lambda fit, within: 0.04)
    metrics, settings = fitted(tmp_path, "--seconds", "2")
    assert metrics["steps"] == settings["steps"] == int(0.95 * 2 / 0.04)
    assert settings["seconds"] == 2 and metrics["target_reached"] is None
    model = (tmp_path / "run" / "model.safetensors").read_bytes()
    monkeypatch.setattr("finer_core.training.budget.seconds_per_step", lambda *_: pytest.fail("timed again"))
    assert main(["fit", "--resume", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == model


@pytest.mark.parametrize(("target", "is_reached"), [("0.03", True), ("1e-9", False)])
def test_a_target_is_reached_or_that_it_is_not_is_said(tmp_path, capsys, target, is_reached):
    metrics, settings = fitted(tmp_path, "--steps", "200", "--target-rms", target)
    assert metrics["target_reached"] is is_reached and settings["target_rms"] == float(target)
    assert (metrics["steps"] < 200) is is_reached
    assert f"target {'' if is_reached else 'not '}reached" in capsys.readouterr().out


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
    model = SdfModel(network=Sphere(), frame=THE_BOX_ITSELF)
    assert rms_to_surface(model, directions * radii, chunk_size=999) == pytest.approx(0.0158114, rel=1e-4)
