"""The `finer-image` command line: a whole run on small images, its files, and its figures."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from finer_core.methods import method_names
from finer_image.app.cli import main
from finer_image.io.reader import read_image
from tests.runs import FIGURES, assert_threads_hold

SMALL = ["--steps", "30", "--hidden-features", "24", "--hidden-layers", "1", "--quiet"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Return a small RGB photograph-like PNG, 20 x 26."""
    y, x = np.mgrid[0:20, 0:26]
    pixels = np.stack([120 + 90 * np.sin(x / 4), 128 + 60 * np.cos(y / 3), (x * y) % 255], axis=-1)
    path = tmp_path / "picture.png"
    Pillow.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def fit(picture: Path, out: Path, *more: str) -> int:
    return main(["fit", str(picture), "--out", str(out), *SMALL, *more])


def test_a_run_folder_has_everything(picture, tmp_path, capsys):
    out = tmp_path / "run"
    assert fit(picture, out, "--json") == 0
    captured = capsys.readouterr()
    printed = json.loads(captured.out)
    assert printed == json.loads((out / "metrics.json").read_text())
    assert FIGURES | {"psnr", "ssim"} <= set(printed)
    assert printed["steps"] == 30
    assert printed["psnr"] > 10
    files = {path.name for path in out.iterdir()}
    assert files == {
        "config.json",
        "metrics.jsonl",
        "metrics.json",
        "model.safetensors",
        "checkpoint",
        "report.html",
        "reconstruction.png",
    }
    config = json.loads((out / "config.json").read_text())
    unset = {key for key, value in config["settings"].items() if value is None}
    assert unset == {"max_grad_norm", "seconds", "target_psnr"}, "nothing that a fit depends on is left open"
    assert len(config["input_sha256"]) == 64
    assert {"finer-core", "finer-image", "torch"} <= set(config["versions"])
    omega = 15 * config["network"]["hidden_features"] / 128  # the fast preset's own; published: 30
    assert config["network"]["options"]["first_omega_0"] == pytest.approx(omega, abs=1e-3)
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps[-1] == 30
    page = (out / "report.html").read_text()
    for word in ("target", "reconstruction", "error", "spectrum", "PSNR", "matrix_learning_rate"):
        assert word in page
    assert "http" not in page.replace("http://www.w3.org", ""), "the report must be self-contained"


@pytest.mark.parametrize("method", method_names("image"))
@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_every_method_fits_and_evaluates(picture, tmp_path, capsys, method, preset):
    out = tmp_path / "run"
    assert fit(picture, out, "--method", method, "--preset", preset, "--json") == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["method"] == method
    assert main(["evaluate", str(out / "model.safetensors"), str(picture), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["psnr"] == pytest.approx(metrics["psnr"], abs=1e-3)
    assert (
        main(
            [
                "neurons",
                str(out / "model.safetensors"),
                "--out",
                str(tmp_path / "n.png"),
                "--count",
                "5",
                "--size",
                "8x12",
            ]
        )
        == 0
    )
    assert read_image(tmp_path / "n.png").width > 100


def test_options_reach_the_network(picture, tmp_path):
    from finer_core import load_model

    out = tmp_path / "run"
    assert fit(picture, out, "--first-omega-0", "11", "--first-bias-scale", "5", "--scale-req-grad") == 0
    network = load_model(out / "model.safetensors")
    assert network.layers[0].activation.hyper_parameters == {"omega_0": 11.0, "scale_req_grad": True}
    assert network.layers[0].bias.abs().max() > 2
    assert fit(picture, tmp_path / "b", "--method", "gauss-finer", "--first-bias-scale", "none") == 0
    assert load_model(tmp_path / "b" / "model.safetensors").config.options["first_bias_scale"] is None


def test_the_same_seed_gives_the_same_weights_and_another_does_not(picture, tmp_path):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert fit(picture, tmp_path / name, "--seed", seed) == 0
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_config_file_repeats_a_run_and_the_command_line_wins(picture, tmp_path, capsys):
    first, second, third = (tmp_path / name for name in "abc")
    assert fit(picture, first, "--first-omega-0", "17", "--learning-rate", "3e-4") == 0
    config = str(first / "config.json")
    assert main(["fit", "--config", config, "--out", str(second), "--quiet"]) == 0
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    assert (
        main(["fit", "--config", config, "--out", str(third), "--quiet", "--steps", "7", "--first-omega-0", "5"]) == 0
    )
    settled = json.loads((third / "config.json").read_text())
    assert settled["settings"]["steps"] == 7
    assert settled["network"]["options"]["first_omega_0"] == 5.0
    assert settled["settings"]["learning_rate"] == 3e-4
    capsys.readouterr()


def test_existing_runs_are_kept_unless_asked(picture, tmp_path, capsys):
    out = tmp_path / "run"
    assert fit(picture, out) == 0
    before = (out / "model.safetensors").read_bytes()
    assert fit(picture, out, "--seed", "9") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "model.safetensors").read_bytes() == before
    assert fit(picture, out, "--seed", "9", "--overwrite") == 0
    assert (out / "model.safetensors").read_bytes() != before


def test_the_default_folder_is_named_after_input_and_method(picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", str(picture), *SMALL, "--method", "siren"]) == 0
    assert (tmp_path / "runs" / "image" / "picture-siren" / "metrics.json").is_file()


def test_render_sizes_crops_and_formats(picture, tmp_path, capsys):
    out = tmp_path / "run"
    assert fit(picture, out) == 0
    model = str(out / "model.safetensors")
    whole, double, crop, tiff = (tmp_path / name for name in ("w.png", "d.png", "c.png", "t.tif"))
    assert main(["render", model, "--out", str(whole)]) == 0
    assert main(["render", model, "--out", str(double), "--scale", "2"]) == 0
    assert main(["render", model, "--out", str(crop), "--size", "40x52", "--crop", "3:13,5:9"]) == 0
    assert main(["render", model, "--out", str(tiff), "--size", "7x5"]) == 0
    pixels = {path.stem: read_image(path).pixels for path in (whole, double, crop, tiff)}
    assert np.array_equal(pixels["w"], read_image(out / "reconstruction.png").pixels)
    assert pixels["d"].shape == (40, 52, 3)
    assert np.array_equal(pixels["c"], pixels["d"][3:13, 5:9])
    assert pixels["t"].shape == (7, 5, 3)
    capsys.readouterr()
    assert main(["render", model, "--out", str(whole)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_activations_figure(tmp_path):
    assert main(["activations", "--out", str(tmp_path / "a.svg")]) == 0
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_the_built_in_image(tmp_path, capsys):
    out = tmp_path / "run"
    assert (
        main(
            [
                "fit",
                "--out",
                str(out),
                "--steps",
                "2",
                "--batch-pixels",
                "256",
                "--hidden-features",
                "8",
                "--quiet",
                "--json",
            ]
        )
        == 0
    )
    assert json.loads((out / "config.json").read_text())["image"]["height"] == 512
    capsys.readouterr()
    assert main(["evaluate", str(out / "model.safetensors"), "astronaut"]) == 0
    assert "psnr_unclipped" in capsys.readouterr().out


def test_resuming_a_finished_run_changes_nothing(picture, tmp_path, capsys):
    out = tmp_path / "run"
    assert fit(picture, out) == 0
    before = (out / "model.safetensors").read_bytes()
    assert fit(picture, out, "--resume") == 0
    assert (out / "model.safetensors").read_bytes() == before
    assert fit(picture, out, "--resume", "--seed", "3") == 2
    assert "--seed 3 differs" in capsys.readouterr().err


def test_threads_hold_for_a_fit_and_are_given_back(picture, tmp_path, capsys):
    assert_threads_hold(main, ["fit", str(picture), *SMALL, "--device", "cpu"], tmp_path / "run", capsys)


def test_progress_is_on_stderr_only(picture, tmp_path, capsys):
    arguments = [word for word in SMALL if word != "--quiet"]
    assert main(["fit", str(picture), "--out", str(tmp_path / "run"), *arguments, "--json"]) == 0
    captured = capsys.readouterr()
    json.loads(captured.out)
    first = captured.err.splitlines()[0]
    assert first.startswith("fit finer")
    assert "30/30" in captured.err
