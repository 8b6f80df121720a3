"""Budgets of a radiance-field training by the command: seconds, a target PSNR, and lengths that contradict."""

import json
from pathlib import Path

import pytest

from finer_nerf.app.cli import main
from tests.nerf.small_scenes import write_ball

ARGUMENTS = [
    *["--hidden-features", "16", "--hidden-layers", "1", "--max-samples", "32", "--grid-resolution", "16"],
    *["--device", "cpu", "--batch-samples", "2000", "--batch-rays", "128", "--orbit-frames", "0", "--quiet"],
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ball(tmp_path_factory.mktemp("budgets") / "ball", size=16, train=6, test=2)


def trained(scene: Path, out: Path, *more: str) -> tuple[dict, dict]:
    """Train by the command; return metrics and the config's settings."""
    assert main(["train", str(scene), "--out", str(out), *ARGUMENTS, *more]) == 0
    return json.loads((out / "metrics.json").read_text()), json.loads((out / "config.json").read_text())["settings"]


def test_seconds_become_steps_that_are_written_down_and_resumed(scene, tmp_path):
    metrics, settings = trained(scene, tmp_path / "run", "--seconds", "2")
    assert metrics["steps"] == settings["steps"] >= 48
    assert settings["seconds"] == 2
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == metrics["steps"]
    model = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert main(["train", "--resume", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == model


@pytest.mark.parametrize(("target", "is_reached"), [("9", True), ("90", False)])
def test_a_target_is_reached_or_that_it_is_not_is_said(scene, tmp_path, capsys, target, is_reached):
    metrics, settings = trained(scene, tmp_path / "run", "--steps", "150", "--target-psnr", target)
    assert metrics["target_reached"] is is_reached and settings["target_psnr"] == float(target)
    assert metrics["psnr"] >= 9
    assert (metrics["steps"] < 150) is is_reached
    assert f"target {'' if is_reached else 'not '}reached" in capsys.readouterr().out


def test_two_lengths_are_refused(scene, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", str(scene), "--out", str(out), *ARGUMENTS, "--steps", "9", "--seconds", "9"]) == 2
    assert "--steps and --seconds both say how long the fit is" in capsys.readouterr().err
    assert not out.exists()
