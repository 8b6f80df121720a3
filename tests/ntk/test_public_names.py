"""What finer_ntk exports: pure, and the same as the commands compute."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import finer_ntk
from finer_core import build_network, published_config
from finer_core.errors import InputError
from finer_core.io.model_file import load_network
from finer_ntk.app.cli import main
from finer_ntk.kernel import as_row_function
from finer_ntk.spectrum import measures

POINTS = finer_ntk.line_grid(48)
SMALL = ["--grid", "48", "--hidden-features", "16", "--quiet", "--device", "cpu", "--out"]


def config(**options):
    sizes = {"in_features": 1, "out_features": 1, "hidden_features": 16}
    return published_config(method="finer", task="ntk", **{**sizes, **options})


def network(seed=0, **options):
    return build_network(config(**options), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def read_only(tmp_path, monkeypatch):
    """Stand in a folder that takes no file and must stay empty, whoever runs the tests."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    monkeypatch.chdir(folder)
    yield folder
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("no_figures")
def test_kernel_command_is_the_verbs(tmp_path):
    assert main(["kernel", *SMALL, str(tmp_path / "run")]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    net = load_network(tmp_path / "run" / "model.safetensors")
    assert np.array_equal(np.load(tmp_path / "run" / "kernel.npy"), finer_ntk.empirical_ntk(net, POINTS.coords))
    found = finer_ntk.analyze(net, POINTS.coords)
    for name in ("effective_rank", "diagonal_energy", "estimated"):
        assert metrics[name] == getattr(found, name)
    assert metrics["top_eigenvalues"] == found.eigenvalues[:16].tolist()


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(("derivative", "top"), [("published", None), ("exact", 7)])
def test_spectrum_command_is_the_verbs(derivative, top, tmp_path):
    arguments = [
        "--seed",
        "3",
        "--steps",
        "5",
        "--derivative",
        derivative,
        *([] if top is None else ["--top", str(top)]),
    ]
    assert main(["spectrum", *arguments, *SMALL, str(tmp_path / "run")]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    net = network(seed=3)
    found = finer_ntk.analyze(net, POINTS.coords, POINTS.target, top=top, derivative=derivative, seed=3)
    training = finer_ntk.predict_training(net, POINTS.coords, POINTS.target, steps=5, derivative=derivative)
    for name in ("effective_rank", "diagonal_energy", "estimated"):
        assert metrics[name] == getattr(found, name)
    assert metrics["top_eigenvalues"] == found.eigenvalues[:16].tolist()
    assert metrics["target_alignment"] == found.alignment
    assert metrics["target_energy_of_top"] == float(found.target_energy.sum())
    assert metrics["learning_rate"] == training.learning_rate
    assert metrics["prediction_deviation"] == training.deviation


@pytest.mark.usefixtures("no_figures")
def test_sweep_command_is_the_verb(tmp_path):
    arguments = ["--first-bias-scale", "1", "10", "--seeds", "2", "--seed", "5"]
    assert main(["sweep", *arguments, *SMALL, str(tmp_path / "run")]) == 0
    rows = json.loads((tmp_path / "run" / "metrics.json").read_text())["rows"]
    configs = {f"finer, first_bias_scale {k}": config(first_bias_scale=k) for k in (1.0, 10.0)}
    found = finer_ntk.sweep(configs, POINTS.coords, seeds=(5, 6), target=POINTS.target)
    assert rows == json.loads(json.dumps(found))


def test_a_sweep_over_modules_shows_the_alignment_with_the_one_before():
    nets = {"a": network(0), "b": network(1), "c": network(1)}
    rows = finer_ntk.sweep(nets, POINTS.coords)
    assert rows[2]["alignment_with_previous"] == pytest.approx(1)
    assert rows[2]["alignment_with_first"] == rows[1]["alignment_with_previous"] < 0.9999
    kernels = [finer_ntk.empirical_ntk(net, POINTS.coords).numpy() for net in nets.values()]
    assert rows[1]["alignment_with_first"] == measures.alignment(kernels[0], kernels[1])


@pytest.mark.parametrize("method", ["finer", "wire"])
def test_a_sweep_counts_the_parameters_that_the_kernel_sums_over(method):
    net = build_network(method, in_features=1, out_features=1, hidden_features=8)
    (row,) = finer_ntk.sweep({method: net}, POINTS.coords)
    summed = sum(p.numel() * (2 if p.is_complex() else 1) for p in net.parameters())
    assert row["parameters"] == as_row_function(net).count == summed


def test_a_module_of_the_users_own_and_arrays_do():
    torch.manual_seed(0)
    own = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    x = np.random.default_rng(0).uniform(-1, 1, (9, 2))
    kernel = finer_ntk.empirical_ntk(own, x)
    assert isinstance(kernel, np.ndarray) and kernel.dtype == np.float32
    assert np.array_equal(kernel, finer_ntk.empirical_ntk(own, torch.from_numpy(x)).numpy())
    found = finer_ntk.analyze(own, x, np.sin(x))
    operator = finer_ntk.ntk_operator(own, x)
    np.testing.assert_allclose(operator.matvec(np.eye(9)), kernel, atol=1e-5 * np.abs(kernel).max())
    np.testing.assert_allclose(operator.to_scipy() @ np.ones(9), kernel.sum(1), atol=1e-5 * np.abs(kernel).sum(1).max())
    assert found.eigenvalues.sum() == pytest.approx(float(operator.diagonal().sum()), rel=1e-5)
    training = finer_ntk.predict_training(own, x, np.sin(x), steps=5)
    assert training.predicted.shape == training.measured.shape == (6,) and training.deviation < 0.05
    (row,) = finer_ntk.sweep({"own": own}, x)
    assert row["method"] == "Sequential" and row["effective_rank"] == found.effective_rank


def test_progress_is_told_to_a_function_or_shown_on_stderr(capsys):
    steps = []
    options = {"batch_size": 16, "progress": lambda *step: steps.append(step)}
    finer_ntk.empirical_ntk(network(), POINTS.coords, **options)
    assert steps == [(done, 6, {}) for done in range(1, 7)]
    assert capsys.readouterr() == ("", "")
    finer_ntk.sweep({"a": config()}, POINTS.coords, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "1/1 kernels" in err


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda net: finer_ntk.analyze(net, POINTS.coords, top=49), "48 eigenvalues"),
        (lambda net: finer_ntk.analyze(net, POINTS.coords, np.ones(7)), r"\(48,\).*\(7,\)"),
        (lambda net: finer_ntk.analyze(net, POINTS.coords, np.zeros(48)), "zero everywhere"),
        (lambda net: finer_ntk.analyze(net, POINTS.coords[:, 0]), r"\(n, in_features\), got \(48,\)"),
        (lambda net: finer_ntk.predict_training(net, POINTS.coords, POINTS.target, steps=-1), "steps .* -1"),
        (
            lambda net: finer_ntk.predict_training(net, POINTS.coords, POINTS.target, learning_rate=0),
            "must be positive",
        ),
        (lambda net: finer_ntk.predict_training(net, POINTS.coords, POINTS.target, derivative="training"), "exact"),
        (lambda net: finer_ntk.predict_training(net, POINTS.coords, 1e300 * POINTS.target), r"reaches 8\.08e\+299"),
        (lambda net: finer_ntk.ntk_operator(net, POINTS.coords).matvec(np.ones(7)), r"\(48, 48\).*\(7,\)"),
        (lambda net: finer_ntk.sweep({}, POINTS.coords), r"got \[0\] and dict"),
        (lambda net: finer_ntk.sweep([net], POINTS.coords), r"networks by name, got \[0\] and list"),
        (lambda net: finer_ntk.analyze(net, POINTS), r"a Points cannot be read as a table .*; give its \.coords"),
        (lambda net: finer_ntk.analyze(net, "abc"), "a str cannot be read as a table"),
        (lambda net: finer_ntk.analyze(net, torch.zeros(4, 1, device="meta")), "a Tensor cannot be read as a table"),
        (lambda net: finer_ntk.analyze(net, POINTS.coords, top="3"), "top must be an integer or none, got '3'"),
        (lambda net: finer_ntk.empirical_ntk(net, POINTS.coords, batch_size="3"), "batch_size must be an integer"),
        (lambda net: finer_ntk.empirical_ntk(net, POINTS.coords, out="k.npy"), "out must be an array, .* got str"),
        (lambda net: finer_ntk.predict_training(net, POINTS.coords, POINTS.target, steps=2.5), "steps must be an int"),
        (lambda net: finer_ntk.line_grid(3.0), r"count must be an integer, got 3\.0"),
        (lambda net: finer_ntk.box_grid((3.0, 2)), "a grid's sides: 2 whole numbers are wanted"),
        (lambda net: finer_ntk.box_grid(3), "at least one side"),
        (lambda net: finer_ntk.sweep({"a": net}, np.zeros((4097, 1))), "4096 points, got 4097"),
        (lambda net: finer_ntk.line_grid(0), "at least 1 point"),
        (lambda net: finer_ntk.box_grid((3, 0)), "at least 1 point"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises((InputError, ValueError), match=words):
        call(network())


def test_autocast_and_a_default_device_of_the_programs_change_no_bits():
    own = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))

    def found() -> list:
        points, operator = finer_ntk.line_grid(12), finer_ntk.ntk_operator(own, np.zeros((4, 1)))
        kernel = finer_ntk.empirical_ntk(own, points.coords)
        (row,) = finer_ntk.sweep({"a": config()}, points.coords)
        rest = [finer_ntk.box_grid((2, 2)).coords.tolist(), operator.matvec(np.ones(4)).tolist()]
        return [kernel.tolist(), row["effective_rank"], *rest]

    expected = found()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert found() == expected
    with torch.device("meta"):
        assert found() == expected
