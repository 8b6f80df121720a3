"""Radiance fields that two processes train: as one process trains them, and a clear end whatever happens.

Tolerances in float32 as in tests/image/training/test_ranks.py: what two processes sum is rounded otherwise, about 1e-7
of it, which grows to less than 1e-4 of a loss and 1e-3 of the largest weight over the few steps here.
"""

import dataclasses
import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.ranks import ALONE, Ranks
from finer_core.errors import InputError
from finer_core.training.checkpoint import read_state
from finer_nerf.app.cli import main
from finer_nerf.config import NerfConfig
from finer_nerf.training.build import build_objective, field_of
from finer_nerf.training.objective import EmptySceneError, PhotometricObjective
from finer_nerf.training.plan import FitPlan, check_sharing, plan_fit
from tests.nerf.small_scenes import ball_scene, write_ball
from tests.processes import by_hand, ends_of
from tests.runs import wait_for_lines

SMALL = [
    *("--hidden-features", "16", "--hidden-layers", "1", "--max-samples", "32", "--grid-resolution", "16"),
    *("--batch-samples", "2000", "--batch-rays", "128", "--orbit-frames", "0", "--device", "cpu", "--quiet"),
    *("--precision", "fp32"),
]

COMMAND = """
import sys
from finer_nerf.app.cli import main
from finer_nerf.training import objective
def remember(self, seen, step, plain=objective.PhotometricObjective._remember):
    plain(self, seen, step)
    if (self.attempt, step) == (0, 5):
        raise objective.EmptySceneError(step=step, opacity=0.0)
objective.PhotometricObjective._remember = remember
sys.exit(main())
"""
"""The program, whose first attempt fails."""


class Recording(GradientReducer):
    """Leave each part's gradients and sums as they are, and keep the sums."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__(ranks)
        self.sums: list[Tensor] = []

    def __call__(self, network: torch.nn.Module, loss: Tensor) -> Tensor:
        return loss

    def add_up(self, values: Tensor) -> Tensor:
        self.sums.append(values.clone())
        return values


def plan_of(*, processes: int = 1, **settings) -> FitPlan:
    network = {"hidden_features": 16, "hidden_layers": 1}
    rest = {"max_samples": 32, "grid_resolution": 16, "batch_rays": 128, "precision": "fp32", "device": "cpu"}
    given = NerfConfig(**{**rest, **settings}, network=network)
    scene = ball_scene(alpha=settings.get("background") != "learned")
    return plan_fit(given, scene, processes=processes)


def step_of(plan: FitPlan, ranks: Ranks) -> tuple[Tensor, list[Tensor], list[Tensor], PhotometricObjective]:
    """Return the loss of the first step, the gradients and the sums, of a process's rays; and the objective."""
    scene, field = ball_scene(alpha=plan.settings.background != "learned"), field_of(plan)
    recording = Recording(ranks)
    objective = build_objective(plan, scene, gradient_sum=recording)
    loss = objective.backward(field, 0)
    return loss, [p.grad for p in field.parameters() if p.grad is not None], recording.sums, objective


@pytest.mark.parametrize("given", [{}, {"background": "learned", "exposure": True}], ids=["white", "learned"])
def test_parts_of_a_step_add_up(given):
    plan = plan_of(**given)
    whole_loss, whole, sums, objective = step_of(plan, ALONE)
    parts = [step_of(plan, Ranks(rank=rank, size=5)) for rank in range(5)]
    torch.testing.assert_close(torch.stack([part[0] for part in parts]).sum(), whole_loss, rtol=1e-5, atol=0)
    for gradient, *shares in zip(whole, *[part[1] for part in parts], strict=True):
        # Phases reach 2^8, so a sine is known to 2^-16, and what a ray sees follows from its samples' densities.
        bound = 2 * 2**-16 * float(torch.stack(shares).abs().max())
        torch.testing.assert_close(torch.stack(shares).sum(0), gradient, rtol=0, atol=bound)
    if objective.exposure is not None:
        sums = [objective.exposure.sums, *sums]  # which one process adds up without a word
    assert len(sums) == len(parts[0][2]) == (3 if given else 1)
    for whole_sum, *shares in zip(sums, *[part[2] for part in parts], strict=True):
        torch.testing.assert_close(torch.stack(shares).sum(0), whole_sum, rtol=1e-5, atol=1e-5)
    assert int(sums[-1][0]) == 128, "all rays"


def test_what_cannot_be_shared_is_refused_by_name():
    plan = plan_of(batch_rays=2, processes=2)
    check_sharing(dataclasses.replace(plan, backend="tcnn"), processes=1)
    with pytest.raises(InputError, match="--backend tcnn is for one process, and there are 2; use --backend torch"):
        check_sharing(dataclasses.replace(plan, backend="tcnn"), processes=2)
    by_nerfacc = dataclasses.replace(plan, settings=dataclasses.replace(plan.settings, renderer="nerfacc"))
    with pytest.raises(InputError, match="--renderer nerfacc is for one process, and there are 2"):
        check_sharing(by_nerfacc, processes=2)
    with pytest.raises(InputError, match="--batch-rays 2 are fewer than the 3 processes; raise it, or lower"):
        plan_of(batch_rays=2, processes=3)


def test_a_resumed_run_is_not_told_to_change_its_options():
    plan = plan_of(batch_rays=2)
    by_nerfacc = dataclasses.replace(plan, settings=dataclasses.replace(plan.settings, renderer="nerfacc"))
    for changed in (dataclasses.replace(plan, backend="tcnn"), by_nerfacc):
        with pytest.raises(InputError, match=r"; the run was begun with it: go on without torchrun$"):
            check_sharing(changed, processes=2, resumed=True)
    with pytest.raises(InputError, match=r"fewer than the 3 processes; lower --nproc-per-node$"):
        check_sharing(plan, processes=3, resumed=True)


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ball(tmp_path_factory.mktemp("ranks") / "ball", size=16, train=6, test=2)


def logged(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def collapse_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail here where `COMMAND` fails."""
    plain = PhotometricObjective._remember

    def remember(self: PhotometricObjective, seen: list, step: int) -> None:
        plain(self, seen, step)
        if (self.attempt, step) == (0, 5):
            raise EmptySceneError(step=step, opacity=0.0)

    monkeypatch.setattr(PhotometricObjective, "_remember", remember)


def test_two_processes_train_like_one_and_begin_anew_together(ball, tmp_path, collapse_at_first):
    arguments = ["train", str(ball), *SMALL, "--steps", "20", "--log-every", "2", "--target-psnr", "90", "--json"]
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    (code, output, errors), other = ends_of(by_hand("-c", COMMAND, *arguments, "--out", str(shared)))
    assert (code, other) == (0, (0, [], [])), errors
    metrics = json.loads(output[0])
    assert (metrics["processes"], metrics["steps"], metrics["target_reached"]) == (2, 20, False)
    assert main([*arguments, "--out", str(alone)]) == 0
    by_one = json.loads((alone / "metrics.json").read_text())
    assert (by_one["processes"], by_one["restarts"], metrics["restarts"]) == (1, 1, 1)
    lines, expected = logged(shared), logged(alone)
    assert [line["rays"] for line in lines] == [line["rays"] for line in expected]
    assert expected[-1]["loss"] < expected[0]["loss"]
    np.testing.assert_allclose([line["loss"] for line in lines], [line["loss"] for line in expected], rtol=1e-4)
    weights = load_file(shared / "model.safetensors")
    for name, weight in load_file(alone / "model.safetensors").items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=1e-3 * float(weight.abs().max()), msg=name)


def test_a_killed_process_ends_a_timed_training_that_one_process_finishes(ball, tmp_path):
    out = tmp_path / "run"
    rest = ["--log-every", "5", "--grid-every", "4", "--checkpoint-seconds", "1000", "--out", str(out)]
    processes = by_hand("-m", "finer_nerf", "train", str(ball), *SMALL, *rest, "--seconds", "6")
    wait_for_lines(out / "metrics.jsonl", 5, processes[0])
    processes[1].kill()
    (code, _, errors), (killed, _, _) = ends_of(processes)
    assert (code, killed, len(errors)) == (1, -signal.SIGKILL, 1), errors
    assert "another process of this job ended or cannot be reached" in errors[0]
    assert "saved at step" in errors[0]
    saved = read_state(out / "checkpoint" / "state.safetensors")
    settings = json.loads((out / "config.json").read_text())["settings"]
    assert settings["seconds"] == 6 and 25 <= saved.step < settings["steps"] == saved.loop["steps"]
    assert main(["train", *SMALL, *rest, "--resume"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["steps"], metrics["processes"]) == (settings["steps"], 1)
