"""Budgets of an image fit by the command: passes, seconds, a target; and rates that are far too high."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from skimage import data

from finer_core.training.budget import StepCost
from finer_core.training.checkpoint import read_state
from finer_core.training.own_code import network_of
from finer_image.app.cli import main
from finer_image.config import ImageConfig
from finer_image.evaluation import evaluate
from finer_image.io.image import Image
from finer_image.model import ImageModel
from finer_image.training import timed_plan
from finer_image.training.build import build_fit
from finer_image.training.plan import plan_fit

SMALL = ["--hidden-features", "32", "--hidden-layers", "1", "--device", "cpu", "--precision", "fp32", "--quiet"]


def smooth(side: int) -> np.ndarray:
    """Draw a picture of a few waves, (side, side, 3) uint8."""
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [np.sin(9 * x + 5 * y), np.cos(7 * y * x + 3), np.sin(14 * (x - y) ** 2)]
    return np.rint(127.5 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("budgets") / "waves.png"
    Pillow.fromarray(smooth(48)).save(path)
    return path


def fitted(picture: Path, out: Path, *more: str) -> tuple[dict, dict]:
    """Fit by the command; return metrics and the config's settings."""
    assert main(["fit", str(picture), "--out", str(out), *SMALL, *more]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    return metrics, json.loads((out / "config.json").read_text())["settings"]


def test_passes(picture, tmp_path):
    metrics, settings = fitted(picture, tmp_path / "run", "--passes", "30")
    assert settings["passes"] == metrics["passes"] == 30
    assert metrics["steps"] == settings["steps"] == 60  # of 1152 pixels, half of the picture
    assert metrics["target_reached"] is None


def test_a_target_that_is_reached_ends_the_fit(picture, tmp_path, capsys):
    metrics, _ = fitted(picture, tmp_path / "run", "--passes", "400", "--target-psnr", "15")
    assert metrics["target_reached"] is True and metrics["steps"] < 800
    assert metrics["psnr"] >= 15, "of the whole picture"
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == metrics["steps"]
    assert "target reached" in capsys.readouterr().out
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert main(["fit", "--resume", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_a_target_that_is_not_reached_is_said(picture, tmp_path, capsys):
    metrics, _ = fitted(picture, tmp_path / "run", "--passes", "10", "--target-psnr", "90")
    assert metrics["target_reached"] is False and metrics["steps"] == 20
    assert "target not reached" in capsys.readouterr().out


def test_seconds_choose_a_length_that_is_written_down(picture, tmp_path, monkeypatch):
    monkeypatch.setattr(timed_plan, "step_cost", lambda fit_of, rows, within: StepCost(0.0, 1e-5))
    _, settings = fitted(picture, tmp_path / "run", "--seconds", "8")
    assert settings["seconds"] == 8
    used = settings["passes"] * 48 * 48 * 1e-5
    assert used == pytest.approx(7.6, rel=0.01)
    same = tmp_path / "same"
    _, again = fitted(picture, same, "--passes", str(settings["passes"]))
    assert {**again, "seconds": 8} == settings
    assert (same / "model.safetensors").read_bytes() == (tmp_path / "run" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("method", "side", "passes", "optimizer"),
    [("finer", 128, 20, "adam"), ("finer", 128, 40, "soap"), ("finer", 256, 10, "adam"), ("finer", 256, 15, "soap")]
    + [("finer", 48, 60, "adam"), ("finer", 48, 300, "soap"), ("siren", 256, 10, "soap"), ("siren", 128, 8, "adam")],
)
def test_a_short_time_is_adam_s(monkeypatch, method, side, passes, optimizer):
    monkeypatch.setattr(timed_plan, "step_cost", lambda fit_of, rows, within: StepCost(0.0, 1e-5))
    image = Image.from_pixels(smooth(side))
    settings = ImageConfig(method=method, seconds=passes * side**2 * 1e-5 / 0.95)
    chosen = timed_plan.plan_timed_fit(settings, image).settings
    assert chosen.optimizer == optimizer
    measured = 0.0625 if optimizer == "adam" else 0.05
    assert chosen.passes * side**2 * 1e-5 == pytest.approx((1 - measured) * settings.seconds, rel=0.01)
    given = dataclasses.replace(settings, optimizer="muon")
    assert timed_plan.plan_timed_fit(given, image).settings.optimizer == "muon"


def test_a_fit_of_seconds_is_resumed_to_its_length(picture, tmp_path, monkeypatch):
    whole, settings = fitted(picture, tmp_path / "whole", "--seconds", "0.4", "--log-every", "5")
    run = tmp_path / "run"
    fitted(picture, run, "--steps", "1", "--batch-pixels", str(settings["batch_pixels"]), "--log-every", "5")
    for name in ("config.json", "metrics.jsonl"):  # as the other run was when it had made one step
        lines = (tmp_path / "whole" / name).read_text().splitlines(keepends=True)
        (run / name).write_text("".join(lines if name == "config.json" else lines[:1]))
    (run / "checkpoint" / "state.safetensors").unlink()
    (run / "metrics.json").unlink()
    monkeypatch.setattr(timed_plan, "step_cost", lambda *_: pytest.fail("a resumed fit is not timed"))
    assert main(["fit", "--resume", "--out", str(run), "--quiet"]) == 0
    assert json.loads((run / "metrics.json").read_text())["steps"] == whole["steps"] == settings["steps"]
    assert (run / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert read_state(run / "checkpoint" / "state.safetensors").step == settings["steps"]


@pytest.mark.parametrize("more", [["--steps", "9"], ["--passes", "9"]])
def test_two_lengths_are_refused(picture, tmp_path, more, capsys):
    out = tmp_path / "run"
    assert main(["fit", str(picture), "--out", str(out), *SMALL, "--seconds", "9", *more]) == 2
    assert "both say how long the fit is" in capsys.readouterr().err
    assert not out.exists()


def test_a_run_s_config_is_a_config(picture, tmp_path):
    _, settings = fitted(picture, tmp_path / "run", "--passes", "4")
    config = ["--config", str(tmp_path / "run" / "config.json")]
    again = fitted(picture, tmp_path / "same", *config)[1]
    assert {**again, "network": settings["network"]} == settings
    assert fitted(picture, tmp_path / "longer", *config, "--passes", "8")[1]["passes"] == 8


@pytest.mark.parametrize(
    "other", [["--passes", "200"], ["--optimizer", "adam"], ["--hidden-features", "48"], ["--method", "siren"]]
)
def test_what_follows_from_a_length_is_chosen_anew_for_another_one(picture, tmp_path, other):
    fitted(picture, tmp_path / "run", "--passes", "4", "--seed", "3", "--ema-decay", "0.9")
    config = ["--config", str(tmp_path / "run" / "config.json")]
    fitted(picture, tmp_path / "again", *config)
    config = ["--config", str(tmp_path / "again" / "config.json")]
    _, anew = fitted(picture, tmp_path / "anew", *config, *other)
    passes = [] if "--passes" in other else ["--passes", "4"]
    _, whole = fitted(picture, tmp_path / "whole", *passes, "--seed", "3", "--ema-decay", "0.9", *other)
    assert anew == whole and anew["ema_decay"] == 0.9
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("anew", "whole")]
    assert models[0] == models[1]


def psnr_of(image: Image, *, passes: float, factor: float, precision: str, width: int) -> tuple[float, int]:
    """Fit at a multiple of the preset's rates; return the PSNR and the rollbacks."""
    given = {"network": {"hidden_features": width, "hidden_layers": 2}, "precision": precision, "device": "cpu"}
    rates = plan_fit(ImageConfig(passes=passes, **given), image).settings
    settings = ImageConfig(
        passes=passes,
        learning_rate=factor * rates.learning_rate,
        matrix_learning_rate=factor * rates.matrix_learning_rate,
        **given,
    )
    plan = plan_fit(settings, image)
    network = network_of(plan)
    last = build_fit(plan, network, image).run()
    return evaluate(ImageModel.of(network.eval(), image, target_range=plan.target_range), image)["psnr"], last.rollbacks


@pytest.mark.parametrize(("precision", "side", "width"), [("fp32", 80, 24), ("bf16", 96, 48)])
def test_rates_far_too_high_cost_no_more_than_half_the_budget(precision, side, width):
    """Of photographs. A few smooth waves of 64x64 end 14 dB below at four times the rates (docs/budgets.md)."""
    photograph = Pillow.fromarray(data.astronaut()).resize((side, side), Pillow.Resampling.BOX)
    image, how = Image.from_pixels(np.array(photograph)), {"precision": precision, "width": width}
    half, _ = psnr_of(image, passes=20, factor=1.0, **how)
    right, rollbacks = psnr_of(image, passes=40, factor=1.0, **how)
    assert rollbacks == 0 and right > half
    for factor in (4.0, 10.0):
        wrong, rollbacks = psnr_of(image, passes=40, factor=factor, **how)
        assert rollbacks > 0 and wrong > half - 1
