"""Distance fields that two processes fit: as one process fits them, and a clear end whatever happens.

Tolerances in float32 as in tests/image/training/test_ranks.py: what two processes sum is rounded otherwise, about 1e-7
of it, which grows to less than 1e-4 of a loss and 1e-3 of the largest weight over the few steps here.
"""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.ranks import ALONE, Ranks
from finer_core.training.checkpoint import read_state
from finer_sdf.app.cli import main
from finer_sdf.config import SdfConfig
from finer_sdf.inputs import as_shape
from finer_sdf.training.build import assembled_fit
from finer_sdf.training.plan import plan_fit
from finer_sdf.training.precomputed import PrecomputedSamples
from tests.processes import by_hand, ends_of
from tests.runs import wait_for_lines
from tests.sdf.analytic import SHAPES
from tests.sdf.shape_files import ellipsoid, write_ellipsoid

SMALL = [
    *("--samples", "3000", "--batch-points", "256", "--hidden-features", "24", "--hidden-layers", "2", "--quiet"),
    *("--resolution", "24", "--eval-samples", "1000", "--device", "cpu", "--precision", "fp32"),
]
COMMAND = """
import sys
from finer_sdf.app import experiment
from finer_sdf.app.cli import main
experiment._mesh = lambda *_, **__: None
sys.exit(main())
"""
"""The program without what one process does after a fit: mesh, figures and pictures."""
CASES = [
    {"optimizer": "adam"},
    {"optimizer": "muon", "batch_points": 5},
    {"preset": "paper", "cloud_points": 1000},
    {"preset": "paper", "cloud_points": 1000, "method": "multiscale-bacon", "batch_points": 4, "network": {}},
]


class Unsummed(GradientReducer):
    """Leave each part's gradients as they are."""

    def __call__(self, network: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        return loss


def loss_and_gradients(settings: SdfConfig, ranks: Ranks) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the loss of step 3 and the gradients of every parameter, of a process's samples."""
    loaded = as_shape(ellipsoid(), memory=10**9)
    with assembled_fit(plan_fit(settings, loaded.shape), loaded, gradient_sum=Unsummed(ranks)) as (_, fit):
        loss = fit.objective.backward(fit.network, 3)
        trained = [parameter for parameter in fit.network.parameters() if parameter.requires_grad]
        return loss, [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]  # there may be no samples


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_parts_of_a_step_add_up(case):
    network = {"hidden_features": 16, "hidden_layers": 2}
    rest = {"batch_points": 300, "steps": 20, "device": "cpu", "precision": "fp32", "network": network}
    samples = {} if "preset" in case else {"samples": 2000}
    settings = SdfConfig(**{**rest, **samples, **case})  # BACON has eight layers
    whole_loss, whole = loss_and_gradients(settings, ALONE)
    parts = [loss_and_gradients(settings, Ranks(rank=rank, size=6)) for rank in range(6)]
    torch.testing.assert_close(torch.stack([loss for loss, _ in parts]).sum(), whole_loss, rtol=1e-5, atol=0)
    for gradient, *shares in zip(whole, *[gradients for _, gradients in parts], strict=True):
        # Phases reach 2^8, so a sine is known to 2^-16, and one row is multiplied in another order than many.
        bound = 2 * 2**-16 * float(torch.stack(shares).abs().max())
        torch.testing.assert_close(torch.stack(shares).sum(0), gradient, rtol=0, atol=bound)


class Counting:
    """A sphere that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def surface_points(self, count: int, random: np.random.Generator) -> np.ndarray:
        return SHAPES["sphere"].surface_points(count, random)

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        self.asked += len(points)
        return SHAPES["sphere"].signed_distance(points)


def test_a_process_computes_its_share_of_the_distances_and_all_serve_the_batch_of_one(monkeypatch):
    monkeypatch.setattr("finer_sdf.training.precomputed._PIECE", 700)  # parts begin and end within pieces

    def batch_of(ranks: Ranks) -> tuple[torch.Tensor, int]:
        target = Counting()
        batch = PrecomputedSamples(target, samples=5000, batch_points=400, steps=10, seed=0, ranks=ranks).batch(3)
        return torch.cat([batch.coords, batch.sdf, batch.weight], dim=1), target.asked

    def in_order(rows: torch.Tensor) -> list[list[float]]:
        return sorted(rows.tolist())

    alone, asked = batch_of(ALONE)
    parts = [batch_of(Ranks(rank=rank, size=3)) for rank in range(3)]
    assert asked == sum(count for _, count in parts) == 5000
    assert all(abs(count - 5000 / 3) <= 3 for _, count in parts)
    assert in_order(torch.cat([rows for rows, _ in parts])) == in_order(alone)


@pytest.fixture(autouse=True)
def no_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out here what `COMMAND` leaves out."""
    monkeypatch.setattr("finer_sdf.app.experiment._mesh", lambda *_, **__: None)


@pytest.fixture(scope="module")
def egg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ellipsoid(tmp_path_factory.mktemp("ranks") / "egg.ply")


def logged(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_fit_like_one(egg, tmp_path):
    arguments = ["fit", str(egg), *SMALL, "--steps", "30", "--log-every", "3", "--target-rms", "0.0158", "--json"]
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    (code, output, errors), other = ends_of(by_hand("-c", COMMAND, *arguments, "--out", str(shared)))
    assert (code, other) == (0, (0, [], [])), errors
    metrics = json.loads(output[0])
    assert main([*arguments, "--out", str(alone)]) == 0
    by_one = json.loads((alone / "metrics.json").read_text())
    assert (metrics["processes"], by_one["processes"]) == (2, 1)
    assert metrics["target_reached"] and metrics["steps"] == by_one["steps"] < 30
    losses, expected = ([line["loss"] for line in logged(out)] for out in (shared, alone))
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    weights = load_file(shared / "model.safetensors")
    for name, weight in load_file(alone / "model.safetensors").items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=1e-3 * float(weight.abs().max()), msg=name)


def test_a_killed_process_ends_a_timed_fit_that_one_process_finishes(egg, tmp_path):
    out = tmp_path / "run"
    arguments = ["fit", *SMALL, "--log-every", "5", "--checkpoint-seconds", "1000", "--out", str(out)]
    processes = by_hand("-c", COMMAND, *arguments, str(egg), "--seconds", "4")
    wait_for_lines(out / "metrics.jsonl", 3, processes[0])
    processes[1].kill()
    (code, _, errors), (killed, _, _) = ends_of(processes)
    assert (code, killed, len(errors)) == (1, -signal.SIGKILL, 1), errors
    assert "another process of this job ended or cannot be reached" in errors[0]
    assert "saved at step" in errors[0]
    saved, settings = (
        read_state(out / "checkpoint" / "state.safetensors"),
        json.loads((out / "config.json").read_text())["settings"],
    )
    assert settings["seconds"] == 4 and 15 <= saved.step < settings["steps"] == saved.loop["steps"]
    assert main([*arguments, "--resume"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["steps"], metrics["processes"]) == (settings["steps"], 1)
    assert [line["step"] for line in logged(out)][:-1] == list(range(5, settings["steps"], 5))
