"""A checkpoint whose objective has values that no training comes to: refused by the file's name, before a step."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from finer_core.errors import InputError
from finer_core.training.checkpoint import read_state, write_state
from finer_nerf import fit
from tests.nerf.small_scenes import ball_scene

SMALL: dict[str, Any] = {
    **{"steps": 4, "log_every": 2, "device": "cpu", "max_samples": 16, "grid_resolution": 8, "batch_samples": 600},
    **{"batch_rays": 64, "network": {"hidden_features": 8, "hidden_layers": 1}},
    **{"background": "learned", "exposure": True},
}


class Stop:
    """Stop a fit after two steps."""

    def __init__(self) -> None:
        self.steps = 0

    def on_step(self, step: int, loss: torch.Tensor) -> None:
        self.steps = step

    def should_stop(self) -> bool:
        return self.steps >= 2


@pytest.fixture(scope="module")
def halfway(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("halfway") / "fit.safetensors"
    fit(ball_scene(alpha=False), **SMALL, checkpoint=path, checkpoint_seconds=0.0, callbacks=[Stop()])
    return path


def changed(halfway: Path, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    state = read_state(halfway)
    objective = dict(state.objective)
    change(objective)
    write_state(dataclasses.replace(state, objective=objective, best=None), path)
    return path


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "samples_per_ray": lambda state: state.update(samples_per_ray=1e-300),
    "samples_per_ray below 0": lambda state: state.update(samples_per_ray=-5.0),
    "opacity": lambda state: state.update(opacity=-1.0),
    "rays_seen": lambda state: state.update(rays_seen=-3),
    "attempt": lambda state: state.update(attempt=9),
    "occupancy grid": lambda state: state["grid"]["densities"].fill_(-1.0),
    "background": lambda state: state["background"].fill_(-1e9),
    "exposure": lambda state: state["exposure"]["sums"].fill_(-1e300),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_value_that_cannot_be_is_blamed_on_the_checkpoint(name, halfway, tmp_path):
    path = changed(halfway, tmp_path / "other.safetensors", CHANGES[name])
    with pytest.raises(InputError, match=name.partition(" below")[0]) as caught:
        fit(ball_scene(alpha=False), **SMALL, checkpoint=path, resume=True)
    assert str(caught.value).startswith(f"{path}: ") and len(str(caught.value)) <= 300


def test_an_unchanged_one_is_gone_on_with(halfway, tmp_path):
    path = changed(halfway, tmp_path / "same.safetensors", lambda state: None)
    _, history = fit(ball_scene(alpha=False), **SMALL, checkpoint=path, resume=True)
    assert history["step"].tolist() == [4]
