"""Every command from end to end: what it prints, what it leaves in the run folder."""

import csv
import json
import types

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat

from finer_core import build_network, load_model
from finer_core.io.model_file import load_network, save_model
from finer_core.networks.build import published_config
from finer_core.networks.network_dict import NetworkDict
from finer_ntk.app.cli import main
from finer_ntk.app.spectrum import _steps
from finer_ntk.config import SpectrumSettings
from finer_ntk.kernel import empirical_ntk
from finer_ntk.spectrum import effective_rank
from tests.runs import FIGURES

OWN = {"effective_rank", "top_eigenvalues", "diagonal_energy"}
SMALL = ["--grid", "48", "--hidden-features", "16", "--quiet", "--json", "--device", "cpu"]


def figures(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def image_model(path, *, height=12, width=10, method="finer", **options):
    config = published_config(
        method=method, task="image", in_features=2, out_features=3, hidden_features=16, hidden_layers=1, **options
    )
    network = build_network(config, generator=torch.Generator().manual_seed(0))
    save_model(network, path, task="image", task_data={"height": height, "width": width})
    return network


def test_kernel_fills_its_folder(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["kernel", "--out", str(out), *SMALL]) == 0
    metrics = figures(capsys)
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert set(metrics) >= FIGURES | OWN | {"derivative", "path", "backend"}
    names = {path.name for path in out.iterdir()}
    assert names >= {"config.json", "metrics.json", "model.safetensors", "report.html", "kernel.npy", "kernel.npz"}
    assert names >= {"kernel.mat", "kernel.png", "kernel.svg", "eigenvalues.png", "eigenvalues.svg"}
    assert "checkpoint" not in names
    x = torch.arange(48)[:, None] / 48
    expected = empirical_ntk(load_network(out / "model.safetensors"), x).numpy()
    np.testing.assert_allclose(np.load(out / "kernel.npy"), expected, rtol=1e-6)
    np.testing.assert_allclose(loadmat(out / "kernel.mat")["kernel"], expected, rtol=1e-6)
    with np.load(out / "kernel.npz") as file:
        assert effective_rank(file["eigenvalues"]) == pytest.approx(metrics["effective_rank"])
    assert main(["kernel", "--out", str(out), *SMALL]) == 2  # never overwritten unasked
    assert main(["kernel", "--out", str(out), *SMALL, "--overwrite"]) == 0


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("method", ["siren", "gauss", "wire", "pemlp", "gauss-finer", "wire-finer", "real-wire", "ff"])
def test_every_method_at_initialisation(method, tmp_path, capsys):
    assert main(["kernel", "--method", method, "--out", str(tmp_path / "run"), *SMALL]) == 0
    assert figures(capsys)["effective_rank"] >= 1


def test_a_run_is_replaced_by_one_of_its_own_model(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["kernel", "--out", str(out), *SMALL]) == 0
    before = load_model(out / "model.safetensors").state_dict()
    again = ["kernel", str(out / "model.safetensors"), "--grid", "16", "--quiet", "--device", "cpu"]
    assert main([*again, "--out", str(out), "--overwrite"]) == 0
    after = load_model(out / "model.safetensors").state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_kernel_of_an_image_model_on_its_own_pixels_from_the_file_alone(tmp_path, capsys):
    image_model(tmp_path / "model.safetensors")
    arguments = ["kernel", str(tmp_path / "model.safetensors"), "--quiet", "--json", "--out"]
    assert main([*arguments, str(tmp_path / "all")]) == 0
    assert figures(capsys)["kernel_shape"] == [120, 120]
    assert main([*arguments, str(tmp_path / "some"), "--max-points", "40"]) == 0
    assert figures(capsys)["kernel_shape"] == [30, 30]  # every second pixel a direction
    resumed = ["kernel", "--resume", "--quiet", "--json", "--out", str(tmp_path / "some"), "--max-points", "40"]
    assert main(resumed) == 0 and figures(capsys)["kernel_shape"] == [30, 30]
    assert main([*arguments, str(tmp_path / "channels"), "--output", "full"]) == 0
    assert figures(capsys)["kernel_shape"] == [120, 120, 3, 3]
    with np.load(tmp_path / "all" / "kernel.npz") as whole, np.load(tmp_path / "channels" / "kernel.npz") as full:
        trace = np.trace(full["kernel"], axis1=2, axis2=3)
        np.testing.assert_allclose(trace, whole["kernel"], atol=1e-6 * np.abs(trace).max(), rtol=0)
        np.testing.assert_allclose(full["eigenvalues"][:5], whole["eigenvalues"][:5], rtol=1e-4)


@pytest.mark.usefixtures("no_figures")
def test_eigenvalues_come_from_products_where_memory_has_no_room_for_all(tmp_path, capsys):
    found = []
    for memory in ("4GB", "520MB"):  # six matrices of 1024 x 1024 numbers take 50 MB
        words = ["kernel", *SMALL, "--method", "siren", "--grid", "32x32", "--memory", memory, "--out"]
        assert main([*words, str(tmp_path / memory)]) == 0
        found.append(figures(capsys))
    assert [figure["estimated"] for figure in found] == [False, True]
    whole, part = (np.array(figure["top_eigenvalues"]) for figure in found)
    np.testing.assert_allclose(part[:8], whole[:8], rtol=1e-3)  # the others are rounding of single precision


@pytest.mark.usefixtures("no_figures")
def test_kernel_of_one_network_of_several(tmp_path, capsys):
    config = published_config(method="finer", task="nerf", in_features=3, out_features=4, hidden_features=8)
    parts = NetworkDict.build({"density": config, "color": config}, generator=torch.Generator().manual_seed(0))
    save_model(parts, tmp_path / "model.safetensors", task="nerf", task_data={})
    command = ["kernel", str(tmp_path / "model.safetensors"), "--grid", "4x4x4", "--quiet", "--json", "--out"]
    assert main([*command, str(tmp_path / "run"), "--part", "density"]) == 0
    assert figures(capsys)["kernel_shape"] == [64, 64]
    assert main([*command, str(tmp_path / "other")]) == 2
    assert "density or color" in capsys.readouterr().err


def test_kernel_between_two_sets_of_points(tmp_path, capsys):
    np.save(tmp_path / "points.npy", np.linspace(0, 1, 7)[:, None])
    arguments = [*SMALL, "--against", str(tmp_path / "points.npy")]
    assert main(["kernel", "--out", str(tmp_path / "run"), *arguments]) == 0
    metrics = figures(capsys)
    assert metrics["kernel_shape"] == [48, 7]
    assert all(metrics[name] is None for name in OWN)


def test_spectrum_predicts_training(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["spectrum", "--out", str(out), "--grid", "64", "--quiet", "--json", "--first-bias-scale", "5"]) == 0
    metrics = figures(capsys)
    assert set(metrics) >= FIGURES | OWN
    assert metrics["steps"] == 100 and metrics["prediction_deviation"] < 0.05
    assert metrics["target_energy_of_top"] == pytest.approx(1)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 101 and lines[-1]["loss"] < lines[0]["loss"]
    with np.load(out / "spectrum.npz") as file:
        assert file["eigenvectors"].shape == (64, 64)
        assert file["target_energy"].sum() == pytest.approx(1)
    assert {"eigenvalues.svg", "eigenvectors.png", "training.svg", "target_energy.png", "spectrum.mat"} <= {
        path.name for path in out.iterdir()
    }


@pytest.mark.usefixtures("no_figures")
def test_spectrum_without_the_kernel_agrees_with_the_whole(tmp_path, capsys):
    image_model(tmp_path / "model.safetensors", height=20, width=16)
    command = ["spectrum", str(tmp_path / "model.safetensors"), "--quiet", "--json", "--precision", "fp64", "--out"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    whole = figures(capsys)
    assert main([*command, str(tmp_path / "top"), "--top", "12"]) == 0
    top = figures(capsys)
    assert top["estimated"] and not whole["estimated"] and top["eigenpairs"] == 12
    np.testing.assert_allclose(top["top_eigenvalues"], whole["top_eigenvalues"][:12], rtol=1e-8)
    assert top["largest_residual"] < 1e-6
    assert top["effective_rank"] == pytest.approx(whole["effective_rank"], rel=0.05)
    assert top["diagonal_energy"] == pytest.approx(whole["diagonal_energy"], rel=0.05)


def test_spectrum_with_an_image_as_the_signal(tmp_path, capsys):
    values = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "picture.png")
    image_model(tmp_path / "model.safetensors")
    files = [str(tmp_path / "model.safetensors"), "--image", str(tmp_path / "picture.png")]
    assert main(["spectrum", *files, "--steps", "5", "--quiet", "--json", "--out", str(tmp_path / "run")]) == 0
    metrics = figures(capsys)
    assert metrics["steps"] == 5 and metrics["prediction_deviation"] < 0.05
    assert 0 < metrics["target_alignment"] <= 1


def test_a_target_is_judged_by_the_same_channels_with_and_without_a_prediction(tmp_path, capsys, monkeypatch):
    values = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    values[..., 2] = 255 - values[..., 0]  # so that the channels' mean is unlike the channels
    Image.fromarray(values).save(tmp_path / "picture.png")
    arguments = ["spectrum", "--image", str(tmp_path / "picture.png"), *SMALL[2:]]
    assert main([*arguments, "--out", str(tmp_path / "predicted")]) == 0
    captured = capsys.readouterr()
    predicted = json.loads(captured.out)
    assert predicted["steps"] == 100 and predicted["note"] is None
    monkeypatch.setattr("finer_ntk.spectrum.prediction.CHEAP_OUTPUTS", 119)  # as for a larger picture
    loud = [argument for argument in arguments if argument != "--quiet"]
    assert main([*loud, "--out", str(tmp_path / "not")]) == 0
    captured = capsys.readouterr()
    unpredicted = json.loads(captured.out)
    assert unpredicted["steps"] == 0
    assert unpredicted["note"] in captured.err and "at most 119 outputs, got 120; give --steps" in unpredicted["note"]
    assert unpredicted["note"] in (tmp_path / "not" / "report.html").read_text()
    assert unpredicted["target_alignment"] == pytest.approx(predicted["target_alignment"], rel=1e-9)
    np.testing.assert_allclose(unpredicted["target_energy_of_top"], predicted["target_energy_of_top"])


def test_a_target_that_fits_no_output_is_judged_whole_and_nothing_is_predicted(tmp_path, capsys):
    rng = np.random.default_rng(0)
    image_model(tmp_path / "model.safetensors")
    np.savez(tmp_path / "points.npz", points=rng.uniform(-1, 1, (30, 2)), target=rng.uniform(-1, 1, (30, 2)))
    arguments = [str(tmp_path / "model.safetensors"), "--points", str(tmp_path / "points.npz"), "--quiet", "--json"]
    assert main(["spectrum", *arguments, "--out", str(tmp_path / "run")]) == 0
    metrics = figures(capsys)
    assert metrics["steps"] == 0 and metrics["note"].endswith("the target has 2 channels, the network 3 outputs")
    assert 0 < metrics["target_alignment"] <= 1


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_training_is_predicted_unasked_on_every_device(device):
    subject = types.SimpleNamespace(
        points=types.SimpleNamespace(target=np.zeros((64, 1))),
        network=types.SimpleNamespace(out_features=1),
        coords=torch.empty(64, 1, device=device),
    )
    assert _steps(SpectrumSettings(), subject) == (100, None)


@pytest.mark.usefixtures("no_figures")
def test_spectrum_of_a_kernel_file(tmp_path, capsys):
    assert main(["kernel", "--out", str(tmp_path / "kernel"), *SMALL]) == 0
    kernel = figures(capsys)
    file = str(tmp_path / "kernel" / "kernel.npy")
    assert main(["spectrum", file, "--out", str(tmp_path / "run"), "--json", "--quiet"]) == 0
    metrics = figures(capsys)
    assert metrics["effective_rank"] == pytest.approx(kernel["effective_rank"])
    assert metrics["top_eigenvalues"] == pytest.approx(kernel["top_eigenvalues"])


def test_sweep_is_the_published_figure(tmp_path, capsys):
    out = tmp_path / "run"
    command = [
        "sweep",
        "--method",
        "finer",
        "--first-bias-scale",
        "1",
        "5",
        "10",
        "20",
        "--grid",
        "256",
        "--seeds",
        "3",
    ]
    assert main([*command, "--out", str(out), "--quiet", "--json"]) == 0
    metrics = figures(capsys)
    assert metrics["effective_rank"] == sorted(metrics["effective_rank"])
    assert metrics["diagonal_energy"] == sorted(metrics["diagonal_energy"])
    assert len(metrics["rows"]) == 4 and len(metrics["rows"][0]["effective_rank_of_seeds"]) == 3
    assert set(metrics) >= FIGURES | OWN
    assert len((out / "table.md").read_text().splitlines()) == 6
    assert len((out / "table.csv").read_text().splitlines()) == 5
    assert {"kernels.png", "kernels.svg", "eigenvalues.svg", "sweep.npz", "sweep.mat", "report.html"} <= {
        path.name for path in out.iterdir()
    }


@pytest.mark.usefixtures("no_figures")
def test_sweep_takes_every_combination_that_a_method_has(tmp_path, capsys):
    command = ["sweep", "--method", "finer", "gauss", "--first-bias-scale", "1", "none", "--hidden-features", "8", "16"]
    assert main([*command, "--grid", "24", "--out", str(tmp_path / "run"), "--quiet", "--json"]) == 0
    names = [row["name"] for row in figures(capsys)["rows"]]
    assert len(names) == len(set(names)) == 6  # 2 x 2 of finer, 2 of gauss, which has no bias scale
    assert "finer, hidden_features 8, first_bias_scale None" in names


def test_sweep_over_checkpoints_shows_how_the_kernel_turns(tmp_path, capsys):
    network = image_model(tmp_path / "a|0.safetensors")
    with torch.no_grad():
        network.head.weight.mul_(2)
        network.layers[0].weight.add_(0.1)
    save_model(network, tmp_path / "a|1.safetensors", task="image", task_data={"height": 12, "width": 10})
    files = [str(tmp_path / f"a|{index}.safetensors") for index in (0, 0, 1)]
    assert main(["sweep", *files, "--out", str(tmp_path / "run"), "--quiet", "--json"]) == 0
    rows = figures(capsys)["rows"]
    assert rows[1]["alignment_with_previous"] == pytest.approx(1)
    lines = (tmp_path / "run" / "table.md").read_text().splitlines()
    assert len(lines) == 5 and len({line.count("|") for line in lines}) == 1
    assert 0 < rows[2]["alignment_with_first"] < 0.9999


@pytest.mark.usefixtures("no_figures")
def test_a_name_with_quotes_and_commas_is_one_cell_of_the_table(tmp_path):
    names = [str(tmp_path / 'a "first", b.safetensors'), str(tmp_path / "c.safetensors")]
    for name in names:
        image_model(name)
    assert main(["sweep", *names, "--out", str(tmp_path / "run"), "--quiet"]) == 0
    with (tmp_path / "run" / "table.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == names


@pytest.mark.usefixtures("no_figures")
def test_no_spectrum_of_another_kernel_stands_beside_one_of_infinite_width(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("finer_ntk.neural_tangents.infinite_ntk", lambda network, x1, x2: np.eye(len(x1)))
    command = ["kernel", "--backend", "neural-tangents", "--infinite", *SMALL]
    assert main([*command, "--out", str(tmp_path / "all")]) == 0
    assert figures(capsys)["effective_rank"] == pytest.approx(48)
    monkeypatch.setattr("finer_ntk.app.kernel.LARGEST_DENSE", 16)
    assert main([*command, "--out", str(tmp_path / "none")]) == 0
    metrics = figures(capsys)
    assert metrics["effective_rank"] is None and metrics["top_eigenvalues"] is None
    assert any("infinite width" in note for note in metrics["notes"])


@pytest.mark.usefixtures("no_figures")
def test_a_config_repeats_a_sweep_of_models(tmp_path, capsys):
    names = [str(tmp_path / f"{seed}.safetensors") for seed in range(2)]
    for seed, name in enumerate(names):
        config = published_config(method="siren", task="ntk", in_features=1, out_features=1, hidden_features=8)
        network = build_network(config, generator=torch.Generator().manual_seed(seed))
        save_model(network, name, task="ntk")
    assert main(["sweep", *names, "--grid", "12", "--out", str(tmp_path / "one"), "--quiet", "--json"]) == 0
    one = figures(capsys)
    config = str(tmp_path / "one" / "config.json")
    again = ["sweep", "--config", config, "--quiet", "--json"]
    assert main([*again, "--out", str(tmp_path / "two")]) == 0
    assert figures(capsys)["top_eigenvalues"] == one["top_eigenvalues"]
    assert main([*again, "--out", str(tmp_path / "three"), "--method", "gauss"]) == 2
    assert "--method gauss does nothing to model files" in capsys.readouterr().err


def test_a_sweeps_config_file_is_checked_as_any_other(tmp_path, capsys):
    file = tmp_path / "c.json"
    for content, words in (
        ({"settings": {"grid": "16"}, "seeds": 3}, "'seeds' does nothing beside 'settings'; put it there"),
        ({"settings": [], "grid": "16"}, "settings must be"),
        ({"grid": "16", "signal": ""}, "signal is empty"),
        ({"settings": {"grid": "16"}, "command": "finer-ntk sweep", "files": ["a"]}, "files must be"),
    ):
        file.write_text(json.dumps(content))
        assert main(["sweep", "--config", str(file), "--out", str(tmp_path / "run"), "--quiet"]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.usefixtures("no_figures")
def test_a_config_repeats_a_run(tmp_path, capsys):
    command = ["kernel", "--method", "gauss-finer", "--first-bias-scale", "3", *SMALL]
    assert main([*command, "--out", str(tmp_path / "one")]) == 0
    one = figures(capsys)
    config = str(tmp_path / "one" / "config.json")
    assert main(["kernel", "--config", config, "--out", str(tmp_path / "two"), "--quiet", "--json"]) == 0
    assert figures(capsys)["top_eigenvalues"] == one["top_eigenvalues"]
    assert (tmp_path / "one" / "kernel.npy").read_bytes() == (tmp_path / "two" / "kernel.npy").read_bytes()
