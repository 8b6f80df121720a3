"""Cells shared among real processes on this machine: workers that are killed, a scheduler that is."""

import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchmarks.bench_killed_workers import workers_of

from finer_core.errors import InputError
from finer_core.reproduction import ResultsFolder
from tests.prepared import PreparedProcess

# Looked for and not loaded: that takes a second wherever tests are collected.
pytestmark = pytest.mark.skipif(find_spec("distributed") is None, reason="the extra [dask] is not installed")

TOYS = Path(__file__).parents[1] / "toy_study"
WORKER = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from distributed.cli.dask_worker import main
main()
"""
CELLS = 12
SECONDS = 180


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(TOYS), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", **more}


def toy(out: Path, workers: int, *scheduler: str, **more: str) -> PreparedProcess:
    command = [str(TOYS / "run_toy.py"), str(out), str(workers), *scheduler]
    return PreparedProcess(command, environment=environment(**more), folder=out.parent)


def finished(process: PreparedProcess) -> tuple[int | None, str]:
    """Return the exit code and what was said, once the process has ended."""
    try:
        output, errors = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return process.returncode, output + errors


def results(out: Path) -> dict[str, tuple]:
    """Return what must be equal wherever a cell was run, to the last bit."""
    folder = ResultsFolder(out)
    assert folder.notes == []
    assert len(list((out / "records").glob("*.json"))) == len(folder)
    return {record.digest: (record.metrics, record.curve, record.settings, record.seed) for record in folder.all()}


@pytest.fixture(scope="module")
def in_sequence(tmp_path_factory):
    out = tmp_path_factory.mktemp("sequence") / "out"
    assert finished(toy(out, 0)) == (0, f"{CELLS}\n")
    return results(out)


@pytest.mark.slow
def test_workers_that_are_killed_lose_nothing_and_change_no_bit(tmp_path, in_sequence):
    marks = tmp_path / "marks"
    marks.mkdir()
    process = toy(tmp_path / "out", 2, TOY_MARKS=str(marks), TOY_DEADLY="second-a-0 third-b-1")
    assert finished(process) == (0, f"{CELLS}\n")
    assert results(tmp_path / "out") == in_sequence
    begun = {mark.name: len(mark.read_text().splitlines()) for mark in marks.iterdir()}
    assert len(begun) == CELLS
    assert min(begun["second-a-0"], begun["third-b-1"]) >= 2  # each killed its process once, and was begun again


@pytest.mark.slow
def test_workers_that_are_killed_while_they_are_starting_are_replaced(tmp_path, in_sequence):
    process = toy(tmp_path / "out", 2, TOY_METHOD="spawn")  # as a user's, which take a while to start
    killed: set[int] = set()
    until = time.monotonic() + SECONDS
    while len(killed) < 3 and process.poll() is None and time.monotonic() < until:
        for worker in workers_of(process.pid):
            os.kill(worker, signal.SIGKILL)
            killed.add(worker)
        time.sleep(0.01)
    assert finished(process) == (0, f"{CELLS}\n")
    assert len(killed) >= 3
    assert results(tmp_path / "out") == in_sequence


@contextmanager
def cluster(port: int, *, seconds: float) -> Iterator[PreparedProcess]:
    """Start a scheduler and a worker of it, which takes some seconds for a cell; yield the scheduler."""
    head = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    scheduler = PreparedProcess(head, environment=environment())
    hand = ["-c", WORKER, str(TOYS), f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    worker = PreparedProcess(hand, environment=environment(TOY_SECONDS=str(seconds)))
    try:
        yield scheduler
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.communicate()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_a_scheduler_that_is_killed_loses_nothing_and_doubles_nothing(tmp_path, in_sequence):
    out, port = tmp_path / "out", free_port()
    address = f"tcp://127.0.0.1:{port}"
    with cluster(port, seconds=0.5) as scheduler:
        process = toy(out, 0, address)
        until = time.monotonic() + SECONDS
        while len(list(out.glob("records/*.json"))) < 2:
            assert process.poll() is None and time.monotonic() < until, finished(process)
            time.sleep(0.05)
        scheduler.kill()
        code, said = finished(process)
    assert code == 1 and "the Dask scheduler is gone; start the command again" in said
    kept = results(out)
    assert 2 <= len(kept) < CELLS
    with cluster(port, seconds=0):
        assert finished(toy(out, 0, address)) == (0, f"{CELLS}\n")
    assert results(out) == in_sequence


def test_a_cell_that_fails_as_a_lost_scheduler_does_is_told_as_it_is(tmp_path):
    for process in [toy(tmp_path / kind, 1, TOY_RAISES=kind) for kind in ("OSError", "TimeoutError")]:
        code, output = finished(process)
        assert code == 1 and "no room" in output
        assert "scheduler is gone" not in output


def test_nobody_at_the_address_is_one_line(monkeypatch):
    from finer_core.distributed import by_dask

    monkeypatch.setattr(by_dask, "_REACHING", 1.0)
    how = {
        "workers": 0,
        "scheduler": f"tcp://127.0.0.1:{free_port()}",
        "extra": "finer-image[dask]",
        "name_of": str,
        "advice": "",
    }
    with pytest.raises(InputError, match="nobody answers there"):
        next(by_dask.shared_by_dask(len, {"a": "task"}, **how))


def test_two_clusters_live_beside_each_other_and_listen_on_loopback_only():
    from finer_core.distributed.by_dask import _local_cluster

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with _local_cluster() as first, _local_cluster() as second:
            servers = [cluster.scheduler.http_server for cluster in (first, second)]
            assert {server.address for server in servers} == {"127.0.0.1"}
            assert servers[0].port != servers[1].port


def test_without_dask_the_extra_is_named(monkeypatch):
    from finer_core.distributed.by_dask import shared_by_dask

    monkeypatch.setitem(sys.modules, "distributed", None)
    how = {"workers": 1, "scheduler": None, "extra": "finer-image[dask]", "name_of": str, "advice": ""}
    with pytest.raises(InputError, match=r'pip install "finer-image\[dask\]"'):
        next(shared_by_dask(len, {"a": "task"}, **how))
