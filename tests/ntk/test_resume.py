"""A killed run, resumed, leaves the same bytes as one that was never stopped."""

import json
import os
import signal
import time

import numpy as np
import pytest

from finer_ntk.app.cli import main
from tests.runs import start

KERNEL = [
    "kernel",
    "--grid",
    "1500",
    "--batch-size",
    "50",
    "--hidden-features",
    "64",
    "--hidden-layers",
    "2",
    "--quiet",
]
SWEEP = ["sweep", "--first-bias-scale", "1", "2", "5", "10", "20", "40", "--grid", "300", "--quiet"]


def start_again(arguments, out):
    return start("finer_ntk", [*arguments, "--out", str(out), "--resume"])


def wait_until(process, condition):
    while not condition() and process.poll() is None:
        time.sleep(0.002)


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


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_kernel_goes_on_where_it_stopped(how, tmp_path, whole_kernel):
    out = tmp_path / "run"
    process = start_again(KERNEL, out)
    wait_until(process, lambda: rows_done(out) >= 4)
    os.kill(process.pid, how)
    _, error = process.communicate()
    assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130), error
    assert 4 <= rows_done(out) < 30 and not (out / "kernel.npy").exists()
    assert main([*KERNEL, "--out", str(out), "--resume"]) == 0
    assert (out / "kernel.npy").read_bytes() == (whole_kernel / "kernel.npy").read_bytes()
    ours, whole = (json.loads((path / "metrics.json").read_text()) for path in (out, whole_kernel))
    for name in ("effective_rank", "top_eigenvalues", "diagonal_energy"):
        assert ours[name] == whole[name]


def test_a_sweep_goes_on_where_it_stopped(tmp_path):
    assert main([*SWEEP, "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "run"
    process = start_again(SWEEP, out)
    wait_until(process, lambda: (out / "checkpoint" / "entry-001.npz").exists())
    process.kill()
    process.communicate()
    assert not (out / "metrics.json").exists()
    assert main([*SWEEP, "--out", str(out), "--resume"]) == 0
    ours, whole = (json.loads((path / "metrics.json").read_text()) for path in (out, tmp_path / "whole"))
    assert ours["rows"] == whole["rows"] and ours["top_eigenvalues"] == whole["top_eigenvalues"]
    with np.load(out / "sweep.npz") as one, np.load(tmp_path / "whole" / "sweep.npz") as two:
        assert all(np.array_equal(one[name], two[name]) for name in two.files)


def test_resuming_what_was_never_started_starts_it(tmp_path):
    assert main(["spectrum", "--grid", "32", "--out", str(tmp_path / "run"), "--resume", "--quiet"]) == 0
    assert main(["spectrum", "--grid", "32", "--out", str(tmp_path / "run"), "--resume", "--quiet"]) == 0
