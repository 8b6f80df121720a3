"""A fit that is interrupted or killed at any moment, and resumed, ends in the same bits with the same log."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from finer_core.training import Fit, Interrupted, loop
from finer_core.training.checkpoint import read_state
from tests.core import fits

STEPS = 14
WAYS = {
    "adam": lambda: fits.fit_of(steps=STEPS),
    "muon": lambda: fits.fit_of(steps=STEPS, optimizer="muon"),
    "adam with rollbacks": lambda: fits.reckless_fit_of(steps=STEPS),
    "muon with rollbacks": lambda: fits.reckless_fit_of(steps=STEPS, optimizer="muon"),
    "complex, clipped": lambda: fits.fit_of("wire", steps=STEPS, max_grad_norm=0.1),
    "random states": lambda: fits.fit_of(steps=STEPS, objective=fits.RunningObjective()),
}


@pytest.fixture(scope="module", params=WAYS)
def case(request, tmp_path_factory):
    """Give a way to make a fit, and what an uninterrupted run of it gives."""
    folder = tmp_path_factory.mktemp("whole")
    fit = fits.run_in(folder, WAYS[request.param])
    assert (fit.guard.rollbacks > 1) == ("rollbacks" in request.param)
    return WAYS[request.param], fits.weights_of(fit), fits.log_of(folder)


def check(folder, case) -> None:
    """Resume to the end, and compare with the uninterrupted run."""
    make_fit, weights, log = case
    assert fits.same(fits.weights_of(fits.run_in(folder, make_fit)), weights)
    assert fits.log_of(folder) == log


def kill_at(update: int):
    def before_update(count: int) -> bool:
        if count == update:
            raise fits.Killed
        return False

    return before_update


def test_an_uninterrupted_fit_is_reproducible_and_learns(tmp_path, case):
    check(tmp_path, case)
    log = case[2]
    assert [line["step"] for line in log] == [4, 8, 12, 14]
    assert log[-1]["loss"] < log[0]["loss"]


@pytest.mark.parametrize("update", range(STEPS))
def test_interrupted_at_any_step(tmp_path, case, update):
    with pytest.raises(Interrupted) as caught:
        fits.run_in(tmp_path, case[0], before_update=lambda count: count == update)
    assert caught.value.step == read_state(tmp_path / "checkpoint" / "state.safetensors").step
    assert caught.value.step % fits.LOG_EVERY == 0
    assert caught.value.step <= update
    check(tmp_path, case)


def test_interrupted_again_and_again(tmp_path, case):
    for _ in range(60):
        try:
            fits.run_in(tmp_path, case[0], before_update=lambda count: count == fits.LOG_EVERY + 1)
            break
        except Interrupted:
            continue
    else:
        pytest.fail("no progress")
    check(tmp_path, case)


@pytest.mark.parametrize("update", [0, 4, 11, 13])
@pytest.mark.parametrize("writes", ["every stretch", "every third stretch", "none"])
def test_killed_at_any_step_between_two_writes(tmp_path, case, monkeypatch, update, writes):
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now.__setitem__(0, now[0] + 1) or now[0])
    every = {"every stretch": 0.0, "every third stretch": 7.0, "none": 1e9}[writes]

    def make_fit() -> Fit:
        fit = case[0]()
        fit.checkpoint_seconds = every
        return fit

    with pytest.raises(fits.Killed):
        fits.run_in(tmp_path, make_fit, before_update=kill_at(update))
    check(tmp_path, case)


@pytest.mark.parametrize("write", [1, 2, 3])
def test_killed_while_a_checkpoint_is_written(tmp_path, case, monkeypatch, write):
    from finer_core.io import tensor_file

    real, count = tensor_file.write_safetensors, [0]

    def save(tensors, name, metadata):
        count[0] += 1
        if count[0] < write:
            return real(tensors, name, metadata=metadata)
        name.write_bytes(b"half a checkpoint")
        raise fits.Killed

    def make_fit() -> Fit:
        fit = case[0]()
        fit.checkpoint_seconds = 0.0
        return fit

    monkeypatch.setattr(tensor_file, "write_safetensors", save)
    with pytest.raises(fits.Killed):
        fits.run_in(tmp_path, make_fit)
    monkeypatch.undo()
    check(tmp_path, case)


def test_killed_after_the_last_checkpoint(tmp_path, case):
    whole = fits.run_in(tmp_path, case[0])
    fit = case[0]()
    state = read_state(tmp_path / "checkpoint" / "state.safetensors")
    fit.should_stop = lambda: pytest.fail("no update is left to do")
    point = fit.run(state)
    assert fits.timeless(point) == {**case[2][-1], "steps": STEPS}
    assert point.seconds == state.loop["seconds"]
    assert fits.same(fits.weights_of(fit), fits.weights_of(whole))


def test_a_process_killed_by_the_system(tmp_path):
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from tests.core import fits\nfrom tests.core.training import test_resume\n"
        "def make_fit():\n    fit = test_resume.WAYS['muon']()\n    fit.checkpoint_seconds = 0.0\n    return fit\n"
        "def kill(count):\n    if count == 13: os.kill(os.getpid(), signal.SIGKILL)\n"
        "fits.run_in(Path(sys.argv[1]), make_fit, before_update=kill)"
    )
    root = str(Path(__file__).resolve().parents[3])
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, cwd=root, env=path_with(root))
    assert killed.returncode == -signal.SIGKILL
    assert read_state(tmp_path / "checkpoint" / "state.safetensors").step == 12
    whole = tmp_path / "whole"
    whole.mkdir()
    fit = fits.run_in(whole, WAYS["muon"])
    check(tmp_path, (WAYS["muon"], fits.weights_of(fit), fits.log_of(whole)))


def path_with(root: str) -> dict[str, str]:
    """Return an environment whose Python finds what this one finds, and the tests."""
    paths = [root, *(os.path.abspath(path) for path in sys.path if path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(torch.get_num_threads())}


def test_seconds_go_on_where_they_stopped(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    fit = fits.fit_of(checkpoint=tmp_path / "state.safetensors")
    fit.on_step = lambda step, steps, loss: now.__setitem__(0, now[0] + 1)
    fit.should_stop = lambda: now[0] == 9
    with pytest.raises(Interrupted):
        fit.run()
    now[0] = 1000.0
    again = fits.fit_of()
    again.on_step = fit.on_step
    assert again.run(read_state(tmp_path / "state.safetensors")).seconds == fits.STEPS
