"""Fits shared by two processes: the same as one process makes, the same bits in both, and a clear end whatever happens.

Tolerances in float32: a sum over two processes is rounded otherwise than one over pieces, about 1e-7 of it. Over the
few steps here that grows to less than 1e-4 of a loss and 1e-3 of the largest weight. Where the backward products are in
bfloat16, each part's sum is rounded to 8 bits, and fits that group them otherwise drift apart: there it is the
gradients that have a bound. The settings name the precision, so both are tested on every processor.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.ranks import ALONE, Ranks, usable_cores
from finer_core.training.state import read_state
from finer_image.app.cli import main
from finer_image.training.build import build_fit, network_of
from finer_image.training.plan import chunk_pixels, plan_fit
from tests.image import fits_by_ranks
from tests.processes import by_hand, by_torchrun, child_of, ends_of
from tests.runs import wait_for_lines

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
CASES = [name for name, _, _ in fits_by_ranks.cases()]
FLOAT32 = [name for name in CASES if not name.endswith("bf16")]
BFLOAT16 = [name for name in CASES if name.endswith("bf16")]
STEPS = 200
ARGUMENTS = [
    *("--steps", str(STEPS), "--log-every", "5", "--batch-pixels", "256", "--device", "cpu"),
    *("--optimizer", "muon"),  # SOAP magnifies the rounding of sums, which are grouped otherwise here
    *("--hidden-features", "32", "--hidden-layers", "2", "--precision", "fp32", "--quiet"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], list[dict]]:
    """Return what each of two processes fitted and found."""
    folder = tmp_path_factory.mktemp("ranks")
    ((code, _, errors),) = ends_of([by_torchrun(fits_by_ranks.__file__, str(folder))])
    assert code == 0, errors
    fits = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    return fits, [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("case", CASES)
def test_both_processes_hold_the_same_bits(results, case):
    (first, second), _ = results
    assert equal(first[case], second[case])


def test_a_repeated_fit_gives_the_same_bits(results):
    (first, _), _ = results
    assert equal(first["again"], first[CASES[0]])
    assert not equal(first["again"], first[CASES[1]])


@pytest.mark.parametrize("case", FLOAT32)
def test_two_processes_fit_like_one(results, case):
    (shared, _), _ = results
    image, settings = next((image, settings) for name, image, settings in fits_by_ranks.cases() if name == case)
    alone = fits_by_ranks.run(image, settings, ALONE)
    assert alone["losses"][-1] < alone["losses"][0]
    torch.testing.assert_close(shared[case].pop("losses"), alone.pop("losses"), rtol=1e-4, atol=1e-7)
    for name, weight in alone.items():
        largest = float(weight.abs().max())
        torch.testing.assert_close(shared[case][name], weight, rtol=0, atol=1e-3 * largest, msg=name)


def test_two_processes_of_one_thread_give_the_bits_of_one_with_two(results):
    (shared, _), _ = results
    image, settings = fits_by_ranks.halves()
    assert chunk_pixels(plan_fit(settings, image).network, memory=10**9, image=image, device="cpu") == 1024
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        alone = fits_by_ranks.run(image, settings, ALONE)
    finally:
        torch.set_num_threads(before)
    assert {int(value) for name, value in alone.items() if "SOAP's step" in name} == {22}
    assert equal(shared["halves"], alone)


def test_exchanges(results):
    _, found = results
    for one in found:
        assert one["gathered"] == [{"number": 0, "text": ""}, {"number": 1, "text": "x"}]
        assert one["broadcast"] == ["abc", ""]
        assert one["threads"] == max(1, usable_cores() // 2)
    assert found[1]["heard"] == {"told": [1, None]}
    assert found[0]["failure 0"] == ["InputError", "bad", None]
    assert found[0]["failure 1"] == ["InputError", "process 1: bad", None]
    for failing in range(2):
        assert found[1][f"failure {failing}"][::2] == ["ToldByFirst", 2]


class Unsummed(GradientReducer):
    """Leave each part's gradients as they are."""

    def __call__(self, network: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        return loss


@pytest.mark.parametrize("case", BFLOAT16)
def test_two_processes_begin_like_one_in_bfloat16(results, case):
    (shared, _), _ = results
    image, settings = next((image, settings) for name, image, settings in fits_by_ranks.cases() if name == case)
    alone = fits_by_ranks.run(image, settings, ALONE)
    torch.testing.assert_close(shared[case]["losses"][0], alone["losses"][0], rtol=1e-5, atol=0)  # float32 until then
    assert shared[case]["losses"][-1] < shared[case]["losses"][0]


@pytest.mark.parametrize("case", BFLOAT16)
def test_parts_of_a_batch_add_up_in_bfloat16(case):
    image, settings = next((image, settings) for name, image, settings in fits_by_ranks.cases() if name == case)
    whole_loss, whole = loss_and_gradients(image, settings)
    parts = [loss_and_gradients(image, settings, Ranks(rank=rank, size=5)) for rank in range(5)]
    torch.testing.assert_close(torch.stack([loss for loss, _ in parts]).sum(), whole_loss, rtol=1e-5, atol=0)
    for gradient, *shares in zip(whole, *[gradients for _, gradients in parts], strict=True):
        # Every sum is rounded to 8 bits once, and so is what flows back through each of the two layers above.
        rounded = gradient.abs() + torch.stack(shares).abs().sum(0)
        bound = 3 * 2**-9 * rounded + 2**-9 * gradient.abs().max()
        assert ((torch.stack(shares).sum(0) - gradient).abs() <= bound).all()


def loss_and_gradients(image, settings, ranks: Ranks = ALONE) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the loss of step 3 and the gradients of every parameter, of a part of the batch."""
    plan = plan_fit(settings, image)
    network = network_of(plan)
    loss = build_fit(plan, network, image, gradient_sum=Unsummed(ranks)).objective.backward(network, 3)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return loss, [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]  # a part may be empty


@pytest.mark.parametrize("case", FLOAT32)
def test_parts_of_a_batch_add_up(case):
    image, settings = next((image, settings) for name, image, settings in fits_by_ranks.cases() if name == case)
    whole_loss, whole = loss_and_gradients(image, settings)
    parts = [loss_and_gradients(image, settings, Ranks(rank=rank, size=5)) for rank in range(5)]
    torch.testing.assert_close(torch.stack([loss for loss, _ in parts]).sum(), whole_loss, rtol=1e-5, atol=0)
    for gradient, *shares in zip(whole, *[gradients for _, gradients in parts], strict=True):
        torch.testing.assert_close(torch.stack(shares).sum(0), gradient, rtol=1e-4, atol=1e-6)


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
    arguments = ["-m", "finer_image", "fit", str(folder / "picture.png"), *small, "--seconds", "3", *more]
    ends = ends_of(by_hand(*arguments, "--log-every", "5", "--out", str(out)))
    assert [code for code, _, _ in ends] == [0, 0], ends
    settings = json.loads((out / "config.json").read_text())["settings"]
    metrics = json.loads((out / "metrics.json").read_text())
    assert settings["seconds"] == 3 and metrics["processes"] == 2
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


@pytest.mark.parametrize("wrong", ["picture", "option"])
def test_wrong_input_is_said_once(folder, tmp_path, wrong):
    arguments = command(folder, tmp_path / "run")
    if wrong == "picture":
        arguments[3] = str(tmp_path / "absent.png")
    if wrong == "option":
        arguments[-1] = "--quite"
    (code, output, errors), other = ends_of(by_hand(*arguments))
    assert (code, output, len(errors)) == (2, [], 1), errors
    assert {"picture": "absent.png", "option": "--quite"}[wrong] in errors[0]
    assert other == (2, [], [])
    assert not (tmp_path / "run").exists()


def test_a_benchmark_is_refused_once_and_told_of_workers(tmp_path):
    first, second = ends_of(by_hand("-m", "finer_image", "benchmark", str(tmp_path), "--quiet"))
    assert (first[0], second[0]) == (2, 2)
    assert len(first[2]) == 1 and "start it without torchrun, with --workers 2" in first[2][0]
    assert second[2] == []
