"""A killed run, resumed, leaves the same bytes as one that was never stopped."""

import json
import os
import signal
import time

import numpy as np
import pytest

from finer_core.io.files import write_json
from finer_ntk.app.arrays import write_arrays
from finer_ntk.app.cli import main
from tests.kills import Killed
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
def test_a_sweep_goes_on_where_it_stopped(tmp_path, monkeypatch):
    assert main([*SWEEP, "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "run"

    def write_and_die(stem, arrays):
        write_arrays(stem, arrays)
        if stem.name == "entry-001":
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("finer_ntk.app.sweep.write_arrays", write_and_die)
        main([*SWEEP, "--out", str(out), "--resume"])
    assert not (out / "metrics.json").exists() and (out / "checkpoint" / "entry-001.npz").exists()
    assert main([*SWEEP, "--out", str(out), "--resume"]) == 0
    ours, whole = (json.loads((path / "metrics.json").read_text()) for path in (out, tmp_path / "whole"))
    assert ours["rows"] == whole["rows"] and ours["top_eigenvalues"] == whole["top_eigenvalues"]
    with np.load(out / "sweep.npz") as one, np.load(tmp_path / "whole" / "sweep.npz") as two:
        assert all(np.array_equal(one[name], two[name]) for name in two.files)


@pytest.mark.usefixtures("no_figures")
def test_resuming_what_was_never_started_starts_it(tmp_path):
    assert main(["spectrum", "--grid", "32", "--out", str(tmp_path / "run"), "--resume", "--quiet"]) == 0
    assert main(["spectrum", "--grid", "32", "--out", str(tmp_path / "run"), "--resume", "--quiet"]) == 0
