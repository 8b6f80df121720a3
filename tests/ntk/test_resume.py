"""A killed run, resumed, leaves the same bytes as one that was never stopped."""

import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from finer_core import build_network, save_model
from finer_core.io.files import write_json
from finer_ntk.app.arrays import write_npz
from finer_ntk.app.cli import main
from tests.kills import Killed
from tests.refusals import assert_refused
from tests.runs import start

KERNEL = ["kernel", "--grid", "800", "--batch-size", "25", "--hidden-features", "64", "--hidden-layers", "2", "--quiet"]
SWEEP = ["sweep", "--first-bias-scale", "1", "5", "20", "--grid", "150", "--quiet"]


def rows_done(out) -> int:
    try:
        return json.loads((out / "checkpoint" / "kernel.json").read_text())["done"]
    except (OSError, ValueError):
        return 0


@pytest.fixture(scope="module")
def whole_kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernel") / "whole"
    assert main([*KERNEL, "--out", str(folder)]) == 0
    return folder


def assert_goes_on(out, whole):
    """Resume a kernel that has a few rows, and compare it with one that was never stopped."""
    assert 4 <= rows_done(out) < 32 and not (out / "kernel.npy").exists()
    assert main([*KERNEL, "--out", str(out), "--resume"]) == 0
    assert (out / "kernel.npy").read_bytes() == (whole / "kernel.npy").read_bytes()
    ours, theirs = (json.loads((path / "metrics.json").read_text()) for path in (out, whole))
    for name in ("effective_rank", "top_eigenvalues", "diagonal_energy"):
        assert ours[name] == theirs[name]


@pytest.mark.usefixtures("no_figures")
def test_a_killed_kernel_goes_on_where_it_stopped(tmp_path, whole_kernel):
    out = tmp_path / "run"
    process = start("finer_ntk", [*KERNEL, "--out", str(out), "--resume"])
    while rows_done(out) < 4 and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    _, error = process.communicate()
    assert process.returncode == -signal.SIGKILL, error
    assert_goes_on(out, whole_kernel)


@pytest.mark.usefixtures("no_figures")
def test_an_interrupted_kernel_goes_on_where_it_stopped(tmp_path, whole_kernel, monkeypatch, python_handles_ctrl_c):
    def write_and_interrupt(path, value):
        write_json(path, value)
        if value["done"] == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("finer_ntk.app.kernel_file.write_json", write_and_interrupt)
        assert main([*KERNEL, "--out", str(tmp_path / "run"), "--resume"]) == 130
    assert rows_done(tmp_path / "run") == 5
    assert_goes_on(tmp_path / "run", whole_kernel)


@pytest.mark.usefixtures("no_figures")
def test_rows_of_a_file_that_is_gone_are_computed_again(tmp_path, monkeypatch):
    small = ["kernel", "--grid", "40", "--batch-size", "10", "--hidden-features", "8", "--quiet"]
    whole, out = tmp_path / "whole", tmp_path / "run"
    assert main([*small, "--out", str(whole)]) == 0

    def killed(*_, **__):
        raise Killed

    def write_and_die(path, value):
        write_json(path, value)
        if value["done"] == 2:
            raise Killed

    for name, stand_in in (("write_json", write_and_die), ("write_kernel", killed)):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(f"finer_ntk.app.kernel_file.{name}", stand_in)
            main([*small, "--out", str(out), "--resume"])
        if name == "write_json":
            (out / "checkpoint" / "kernel.npy").unlink()
    assert main([*small, "--out", str(out), "--resume"]) == 0
    assert (out / "kernel.npy").read_bytes() == (whole / "kernel.npy").read_bytes()


@pytest.mark.usefixtures("no_figures")
def test_a_sweep_goes_on_where_it_stopped(tmp_path, monkeypatch):
    assert main([*SWEEP, "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "run"

    def write_and_die(path, arrays):
        write_npz(path, arrays)
        if path.stem == "entry-001":
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("finer_ntk.app.sweep.write_npz", write_and_die)
        main([*SWEEP, "--out", str(out), "--resume"])
    assert not (out / "metrics.json").exists() and (out / "checkpoint" / "entry-001.npz").exists()
    assert main([*SWEEP, "--out", str(out), "--resume"]) == 0
    ours, whole = (json.loads((path / "metrics.json").read_text()) for path in (out, tmp_path / "whole"))
    assert ours["rows"] == whole["rows"] and ours["top_eigenvalues"] == whole["top_eigenvalues"]
    with np.load(out / "sweep.npz") as one, np.load(tmp_path / "whole" / "sweep.npz") as two:
        assert all(np.array_equal(one[name], two[name]) for name in two.files)


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("left", ["some rows", "the kernel"])
def test_the_seconds_of_a_kernel_are_those_of_all_processes(tmp_path, monkeypatch, left):
    def killed(*_, **__):
        raise Killed

    def write_long_work(path, value):
        write_json(path, {**value, "milliseconds": value.get("milliseconds", 0) + 1_000_000 * (value["done"] == 2)})
        if left == "some rows" and value["done"] == 2:
            raise Killed

    small = ["kernel", "--grid", "40", "--batch-size", "20", "--hidden-features", "8", "--quiet"]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("finer_ntk.app.kernel_file.write_json", write_long_work)
        patch.setattr("finer_ntk.app.kernel._spectrum", killed)
        main([*small, "--out", str(tmp_path / "run")])
    assert (tmp_path / "run" / "kernel.npy").exists() == (left == "the kernel")
    assert main([*small, "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert 1000 < json.loads((tmp_path / "run" / "metrics.json").read_text())["seconds"] < 1100


@pytest.mark.usefixtures("no_figures")
def test_the_seconds_of_a_sweep_are_those_of_all_processes(tmp_path, monkeypatch):
    def write_and_die(path, arrays):
        write_npz(path, {**arrays, "seconds": arrays.get("seconds", 0.0) + 1000})
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("finer_ntk.app.sweep.write_npz", write_and_die)
        main([*SWEEP, "--out", str(tmp_path / "run")])
    assert main([*SWEEP, "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert 1000 < json.loads((tmp_path / "run" / "metrics.json").read_text())["seconds"] < 1100


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("command", ["kernel", "spectrum", "sweep"])
def test_a_series_is_logged_once_however_often_its_run_is_resumed(tmp_path, command):
    out = tmp_path / "run"
    small = [command, "--grid", "12", "--hidden-features", "8", "--out", str(out), "--tensorboard", "--quiet"]
    assert main(small) == 0
    before = (out / "metrics.jsonl").read_bytes()
    assert before and main([*small, "--resume"]) == 0
    assert (out / "metrics.jsonl").read_bytes() == before
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    logged = [json.loads(line) for line in before.splitlines()]
    for name in events.Tags()["scalars"]:
        assert [event.step for event in events.Scalars(name)] == [line["step"] for line in logged if name in line]


@pytest.mark.usefixtures("no_figures")
def test_resuming_what_was_never_started_starts_it(tmp_path):
    assert main(["spectrum", "--grid", "32", "--out", str(tmp_path / "run"), "--resume", "--quiet"]) == 0
    assert main(["spectrum", "--grid", "32", "--out", str(tmp_path / "run"), "--resume", "--quiet"]) == 0


def line_model(path, *, seed: int) -> str:
    generator = torch.Generator().manual_seed(seed)
    network = build_network("finer", task="ntk", in_features=1, out_features=1, hidden_features=8, generator=generator)
    save_model(network, path, task="ntk")
    return str(path)


@pytest.mark.usefixtures("no_figures")
def test_a_kernel_goes_on_with_the_weights_and_the_second_points_that_it_began_with(tmp_path, capsys):
    model = line_model(tmp_path / "model.safetensors", seed=0)
    against, out = tmp_path / "second.npy", tmp_path / "run"
    np.save(against, np.linspace(0, 1, 12)[:, None])
    command = ["kernel", model, "--grid", "16", "--against", str(against), "--out", str(out), "--quiet"]
    assert main(command) == 0 and main([*command, "--resume"]) == 0
    before = against.read_bytes()
    np.save(against, np.linspace(0, 0.5, 12)[:, None])
    assert_refused(main, [*command, "--resume"], capsys, f"{against}: not", "--out")
    against.write_bytes(before)
    line_model(model, seed=1)
    assert_refused(main, [*command, "--resume"], capsys, f"{model}: not", "--out")


@pytest.mark.usefixtures("no_figures")
def test_a_kernel_file_that_changed_is_not_gone_on_with(tmp_path, capsys):
    file = tmp_path / "kernel.npy"
    np.save(file, np.eye(4))
    command = ["spectrum", str(file), "--out", str(tmp_path / "run"), "--quiet"]
    assert main(command) == 0 and main([*command, "--resume"]) == 0
    np.save(file, 2 * np.eye(4))
    assert_refused(main, [*command, "--resume"], capsys, f"{file}: not", "--out")


@pytest.mark.usefixtures("no_figures")
def test_a_sweep_of_models_goes_on_with_those_models(tmp_path, capsys):
    one, two, other = (line_model(tmp_path / f"{seed}.safetensors", seed=seed) for seed in range(3))
    out = ["--grid", "16", "--out", str(tmp_path / "run"), "--quiet"]
    assert main(["sweep", one, two, *out]) == 0
    rows = json.loads((tmp_path / "run" / "metrics.json").read_text())["rows"]
    assert main(["sweep", *out, "--resume"]) == 0  # of itself it knows which
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["rows"] == rows
    for models in ([one, other], [two, one], [one]):
        assert_refused(main, ["sweep", *models, *out, "--resume"], capsys, "models", "--out")
    shutil.copy(other, two)
    assert_refused(main, ["sweep", one, two, *out, "--resume"], capsys, f"{two}: not", "--out")


@pytest.mark.usefixtures("no_figures")
def test_a_sweep_of_a_config_file_with_one_value_goes_on(tmp_path, capsys):
    (tmp_path / "c.json").write_text(json.dumps({"network": {"first_bias_scale": 5.0}, "grid": "16"}))
    command = ["sweep", "--config", str(tmp_path / "c.json"), "--out", str(tmp_path / "run"), "--quiet"]
    assert main(command) == 0 and main([*command, "--resume"]) == 0
    assert_refused(main, [*command, "--resume", "--first-bias-scale", "6"], capsys, "--first-bias-scale", "differs")
