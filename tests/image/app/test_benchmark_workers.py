"""`benchmark` on workers, as a command and in Python: the fits of a sequence, to the bit, also where one is killed."""

import json
import os
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from finer_core import load_model
from finer_core.errors import InputError
from finer_image import benchmark, write_image
from finer_image.app.cli import main
from tests import refusals
from tests.prepared import PreparedProcess, start_server

# Looked for and not loaded: that takes a second wherever tests are collected.
pytestmark = pytest.mark.skipif(find_spec("distributed") is None, reason="the extra [dask] is not installed")
COPIES = {"distributed.worker.multiprocessing-method": "forkserver"}
"""Workers are copies of what has loaded PyTorch; tests/core/reproduction has those of a user, which start anew."""
PROGRAM = f"""
import sys
import dask
from finer_image.app.cli import main
dask.config.set({COPIES})
sys.exit(main(sys.argv[1:]))
"""
SMALL = [
    *("--hidden-features", "24", "--hidden-layers", "1", "--optimizer", "adam", "--precision", "fp32"),
    *("--device", "cpu", "--quiet"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    draws = np.random.default_rng(0)
    for name in ("a", "b"):
        write_image(path / f"{name}.png", draws.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    (path / "broken.png").write_text("no image")
    return path


def program(folder: Path, out: Path, *more: str) -> PreparedProcess:
    command = ["-c", PROGRAM, "benchmark", str(folder), "--out", str(out), *SMALL, *more]
    return PreparedProcess(command, environment={**os.environ, "OMP_NUM_THREADS": "1"})


def workers_of(process: PreparedProcess) -> list[int]:
    """Return the workers that a program has started, which are later copies of the same server."""
    import psutil  # which Dask needs

    program = psutil.Process(process.pid)
    return [copy.pid for copy in program.parent().children() if copy.create_time() > program.create_time()]


def rows(out: Path) -> list[dict]:
    content = json.loads((out / "benchmark.json").read_text())["rows"]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in content]


def weights(out: Path) -> dict[str, list[torch.Tensor]]:
    return {path.parent.name: list(load_model(path).state_dict().values()) for path in out.glob("*/model.safetensors")}


def steps_of(log: Path) -> list[int]:
    """Return the steps that a log has lines of; the last may be being written."""
    return [json.loads(line)["step"] for line in log.read_text().split("\n")[:-1]]


@pytest.mark.slow
def test_the_fits_of_workers_are_those_of_a_sequence_also_if_one_is_killed(folder, tmp_path):
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    (folder / "b.png").unlink()  # one fit is killed, and another begins afterwards
    more = ["--steps", "60", "--checkpoint-seconds", "0.1"]
    assert main(["benchmark", str(folder), "--out", str(calm), *SMALL, *more, "--threads", "1"]) == 0
    process = program(folder, stormy, *more, "--workers", "1")  # two are those of Python's below
    try:
        until = time.monotonic() + 180
        while not list(stormy.glob("*/metrics.jsonl")):  # a fit is under way
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            time.sleep(0.02)
        (worker,) = workers_of(process)  # no worker of the tests that ran before
        os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0 and errors == "", errors
    assert rows(stormy) == rows(calm) and len(rows(calm)) == 4
    ours, theirs = weights(stormy), weights(calm)
    assert ours.keys() == theirs.keys() and len(ours) == 2
    assert all(torch.equal(a, b) for name in ours for a, b in zip(ours[name], theirs[name], strict=True))
    assert sorted(path.name for path in stormy.iterdir()) == sorted(path.name for path in calm.iterdir())


@pytest.mark.slow
def test_seeds_whose_workers_are_killed_in_the_middle_are_those_of_a_sequence(folder, tmp_path):
    (folder / "b.png").unlink()
    (folder / "broken.png").unlink()
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    more = ["--methods", "siren", "--seeds", "2", "0", "1", "--steps", "300", "--checkpoint-seconds", "0.05"]
    assert main(["benchmark", str(folder), "--out", str(calm), *SMALL, *more, "--threads", "1"]) == 0
    process = program(folder, stormy, *more, "--workers", "2")
    interrupted: set[str] = set()
    try:
        until = time.monotonic() + 180
        while len(interrupted) < 3 and process.poll() is None and time.monotonic() < until:
            begun = {log.parent for log in stormy.glob("*/metrics.jsonl") if steps_of(log)}
            under_way = {run.name for run in begun if not (run / "metrics.json").exists()}
            if under_way - interrupted:
                interrupted |= under_way
                for worker in workers_of(process):
                    os.kill(worker, signal.SIGKILL)
            time.sleep(0.01)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0 and errors == "", errors
    assert len(interrupted) >= 2
    assert rows(stormy) == rows(calm) and [row["seed"] for row in rows(calm)] == [2, 0, 1]
    assert len({row["psnr"] for row in rows(calm)}) == 3
    ours, theirs = weights(stormy), weights(calm)
    assert ours.keys() == theirs.keys() and len(ours) == 3
    assert all(torch.equal(a, b) for name in ours for a, b in zip(ours[name], theirs[name], strict=True))
    logs = {log.parent.name: steps_of(log) for log in stormy.glob("*/metrics.jsonl")}
    assert logs == {log.parent.name: steps_of(log) for log in calm.glob("*/metrics.jsonl")}


def test_threads_hold_in_a_sequence_and_are_given_back(folder, tmp_path, capsys):
    before = torch.get_num_threads()
    out = tmp_path / "out"
    assert main(["benchmark", str(folder), "--out", str(out), *SMALL, "--steps", "2", "--threads", "1"]) == 0
    assert torch.get_num_threads() == before and len(rows(out)) == 6


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--workers", "-1"], "--workers"),
        (["--threads", "0"], "--threads"),
        (["--scheduler", "tcp://127.0.0.1:9"], "nobody answers there"),
    ],
)
def test_wrong_input_is_one_line(folder, tmp_path, capsys, monkeypatch, arguments, word):
    monkeypatch.setattr("finer_core.distributed.by_dask._REACHING", 1.0)
    refusals.assert_refused(main, ["benchmark", str(folder), "--out", str(tmp_path / "out"), *arguments], capsys, word)


def test_a_worker_that_does_not_see_the_folder_refuses(tmp_path):
    from types import SimpleNamespace

    from finer_core.app.sharing import BenchmarkFit, _row_where_folder_is_seen

    fit = BenchmarkFit("a", "a", None, tmp_path / "a")
    with pytest.raises(InputError, match="a worker does not see this folder; give one on a disk that all share"):
        _row_where_folder_is_seen(lambda *_: {}, SimpleNamespace(out=tmp_path), str(tmp_path / "token"), fit)


class Mine(torch.nn.Sequential):
    def __init__(self) -> None:
        super().__init__(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))


@pytest.mark.slow
def test_the_rows_of_workers_from_python_are_those_of_a_sequence():
    import dask

    draws, told = np.random.default_rng(0), []
    images = {"a": draws.integers(0, 256, (12, 16, 3), dtype=np.uint8), "none": "nowhere.png"}
    methods = {"mine": Mine(), "own": {"method": "siren", "activation": lambda z: torch.sin(3 * z)}}
    small = {"steps": 20, "device": "cpu", "precision": "fp32"}
    calm = benchmark(images, methods, **small, threads=1)
    start_server()
    with dask.config.set(COPIES):
        rows = benchmark(images, methods, **small, workers=2, progress=lambda *each: told.append(each))
    for row in (*calm, *rows):
        row.pop("seconds")
    assert rows == calm and len(rows) == 4 and told == [(done, 4, {}) for done in range(1, 5)]
    assert rows[0]["psnr"] != rows[1]["psnr"] and "no such file" in rows[2]["error"]


def test_nobody_at_the_address_is_told_in_python(monkeypatch):
    monkeypatch.setattr("finer_core.distributed.by_dask._REACHING", 1.0)
    with pytest.raises(InputError, match=r"--scheduler tcp://127.0.0.1:9: nobody answers there"):
        benchmark({"a": np.eye(8)}, ["siren"], scheduler="tcp://127.0.0.1:9")
