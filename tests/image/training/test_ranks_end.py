"""Fits shared by two processes that are stopped, killed or given wrong input: a clear end; resumed, the same bits."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from finer_core.training.checkpoint import read_state
from finer_image.app.cli import main
from tests.processes import by_hand, by_torchrun, child_of, ends_of
from tests.runs import wait_for_lines

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
STEPS = 200
ARGUMENTS = [
    *("--steps", str(STEPS), "--log-every", "5", "--batch-pixels", "256", "--device", "cpu"),
    *("--optimizer", "muon"),  # SOAP magnifies the rounding of sums, which are grouped otherwise here
    *("--hidden-features", "32", "--hidden-layers", "2", "--precision", "fp32", "--quiet"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a picture and an uninterrupted run of it by one process."""
    path = tmp_path_factory.mktemp("shared")
    values = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    Pillow.fromarray(values).save(path / "picture.png")
    assert main(["fit", str(path / "picture.png"), "--out", str(path / "one"), *ARGUMENTS]) == 0
    return path


def command(folder: Path, out: Path, *more: str) -> list[str]:
    return ["-m", "finer_image", "fit", str(folder / "picture.png"), "--out", str(out), *ARGUMENTS, *more]


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(5, STEPS + 1, 5))
    return [line["loss"] for line in lines]


def own_lines(errors: list[str]) -> list[str]:
    return [line for line in errors if line.startswith("finer-image")]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["muon", "soap"])
def test_stopped_by_a_signal_to_one_process_and_resumed_to_the_same_bits(folder, tmp_path, optimizer):
    out, whole = tmp_path / "run", tmp_path / "whole"
    processes = by_hand(*command(folder, out, "--optimizer", optimizer))
    wait_for_lines(out / "metrics.jsonl", 9, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    (code, _, errors), (other_code, other_output, other_errors) = ends_of(processes)
    assert (code, other_code) == (130, 130)
    assert len(errors) == 1
    assert "interrupted; saved at step" in errors[0]
    assert (other_output, other_errors) == ([], [])
    assert 45 <= read_state(out / "checkpoint" / "state.safetensors").step < STEPS
    ends = ends_of(by_hand(*command(folder, out, "--optimizer", optimizer, "--resume", "--json")))
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert ends[1][1:] == ([], [])
    assert json.loads(ends[0][1][0])["processes"] == 2
    assert [code for code, _, _ in ends_of(by_hand(*command(folder, whole, "--optimizer", optimizer)))] == [0, 0]
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (out / "reconstruction.png").read_bytes() == (whole / "reconstruction.png").read_bytes()
    assert losses(out) == losses(whole)
    if optimizer == "muon":
        np.testing.assert_allclose(losses(whole), losses(folder / "one"), rtol=5e-3)


@pytest.mark.parametrize("more", [[], ["--batch-pixels", "256"]], ids=["two batches", "one batch"])
def test_a_time_is_shared_too(folder, tmp_path, more):
    out = tmp_path / "run"
    small = ["--hidden-features", "32", "--hidden-layers", "2", "--device", "cpu", "--precision", "fp32", "--quiet"]
    arguments = ["-m", "finer_image", "fit", str(folder / "picture.png"), *small, "--seconds", "1", *more]
    ends = ends_of(by_hand(*arguments, "--log-every", "5", "--out", str(out)))
    assert [code for code, _, _ in ends] == [0, 0], ends
    settings = json.loads((out / "config.json").read_text())["settings"]
    metrics = json.loads((out / "metrics.json").read_text())
    assert settings["seconds"] == 1 and metrics["processes"] == 2
    assert metrics["steps"] == settings["steps"] == read_state(out / "checkpoint" / "state.safetensors").step
    assert settings["steps"] > 1 and settings["batch_pixels"] == (256 if more else settings["batch_pixels"])


@linux
def test_a_killed_process_ends_the_job_and_one_process_can_finish_it(folder, tmp_path):
    out = tmp_path / "run"
    launcher = by_torchrun(*command(folder, out, "--checkpoint-seconds", "1000"))
    wait_for_lines(out / "metrics.jsonl", 9, launcher)
    os.kill(child_of(launcher, rank=1), signal.SIGKILL)
    ((code, _, errors),) = ends_of([launcher])
    assert code == 1
    (line,) = own_lines(errors)
    assert "another process of this job ended or cannot be reached" in line
    assert "saved at step" in line
    assert 45 <= read_state(out / "checkpoint" / "state.safetensors").step < STEPS
    assert main(["fit", "--resume", "--out", str(out), "--quiet"]) == 0
    np.testing.assert_allclose(losses(out), losses(folder / "one"), rtol=5e-3)


@linux
def test_a_killed_first_process_ends_the_job_too(folder, tmp_path):
    processes = by_hand(*command(folder, tmp_path / "run", "--checkpoint-seconds", "0"))
    wait_for_lines(tmp_path / "run" / "metrics.jsonl", 2, processes[0])
    processes[0].kill()
    (killed, _, _), (code, _, errors) = ends_of(processes)
    assert (killed, code) == (-signal.SIGKILL, 1)
    (line,) = own_lines(errors)
    assert line.startswith("finer-image fit (process 1): another process of this job ended")
    assert (tmp_path / "run" / "checkpoint" / "state.safetensors").is_file()


@linux
@pytest.mark.slow
def test_a_signal_to_the_launcher_stops_all_with_a_checkpoint(folder, tmp_path):
    out = tmp_path / "run"
    launcher = by_torchrun(*command(folder, out))
    wait_for_lines(out / "metrics.jsonl", 2, launcher)
    launcher.send_signal(signal.SIGTERM)
    ((code, _, errors),) = ends_of([launcher])
    assert code == 1  # torchrun's, whatever its processes return
    (line,) = own_lines(errors)
    assert "interrupted; saved at step" in line
    assert (out / "checkpoint" / "state.safetensors").is_file()


@pytest.fixture(scope="module")
def refused(folder, tmp_path_factory) -> dict[str, list[tuple[int, list[str], list[str]]]]:
    """Return the ends of commands that are refused, side by side: all but the first process wait for its word."""
    out = tmp_path_factory.mktemp("refused") / "run"
    fit, benchmark = command(folder, out), ["-m", "finer_image", "benchmark", str(folder), "--quiet"]
    commands = {
        "picture": [*fit[:3], str(folder / "absent.png"), *fit[4:]],
        "option": [*fit[:-1], "--quite"],
        "benchmark": benchmark,
    }
    started = {name: by_hand(*arguments) for name, arguments in commands.items()}
    ends = {name: ends_of(processes) for name, processes in started.items()}
    assert not out.exists()
    return ends


@pytest.mark.parametrize(("wrong", "said"), [("picture", "absent.png"), ("option", "--quite")])
def test_wrong_input_is_said_once(refused, wrong, said):
    (code, output, errors), other = refused[wrong]
    assert (code, output, len(errors)) == (2, [], 1), errors
    assert said in errors[0]
    assert other == (2, [], [])


def test_a_benchmark_is_refused_once_and_told_of_workers(refused):
    first, second = refused["benchmark"]
    assert (first[0], second[0]) == (2, 2)
    assert len(first[2]) == 1 and "start it without torchrun, with --workers 2" in first[2][0]
    assert second[2] == []
