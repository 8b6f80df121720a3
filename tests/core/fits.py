"""Small fits with a checkpoint and a log, for tests of the fit loop."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from finer_core.training import (
    DivergenceGuard,
    Fit,
    JsonlLogger,
    LogEntry,
    build_optimizers,
    exponential_decay,
    read_jsonl,
)
from finer_core.training.checkpoint import read_state

from . import small

STEPS, LOG_EVERY = 22, 4
"""Not a multiple, so that the last stretch is shorter."""


class Killed(BaseException):
    """Stand for a process that ends here."""


class RunningObjective(small.WaveObjective):
    """Draw from a generator of its own and from the global one, so that a resumed fit needs both states."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(11)
        self.calls = {0: 0}

    def backward(self, network: nn.Module, step: int) -> Tensor:
        self.calls[0] += 1
        x = torch.rand(24, 2, generator=self.generator) * 2 - 1
        loss = (network(x) - torch.sin(3 * x[:, :1]) - 0.1 * torch.rand(24, 3)).square().mean()
        loss.backward()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state(), "calls": self.calls, "pair": (1, [2.5, None])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state["pair"] == (1, [2.5, None])
        self.generator.set_state(state["generator"])
        self.calls = dict(state["calls"])


def fit_of(
    method: str = "finer", *, optimizer: str = "adam", learning_rate: float = 2e-3, ema_decay: float = 0.0, **fit: Any
) -> Fit:
    """Assemble a fit of a small network."""
    omegas = {"first_omega_0": 4.0, "hidden_omega_0": 4.0} if method == "finer" else {}
    network = small.network_of(method, **omegas)
    settings = {
        "objective": small.WaveObjective(),
        "schedule": exponential_decay(),
        "steps": STEPS,
        "log_every": LOG_EVERY,
        **fit,
    }
    optimizers = build_optimizers(
        network,
        name=optimizer,
        learning_rate=learning_rate,
        matrix_learning_rate=0.03,
        amsgrad=True,
        ema_decay=ema_decay,
    )
    return Fit(network=network, optimizers=optimizers, **settings)


def weights_of(fit: Fit) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in fit.network.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Return whether all weights are equal, bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def timeless(point: LogEntry) -> dict[str, Any]:
    """Return the numbers of a log point but for the only one that differs from run to run."""
    return {name: value for name, value in dataclasses.asdict(point).items() if name not in ("seconds", "metrics")}


def run_in(folder: Path, make_fit: Callable[[], Fit], *, before_update: Callable[[int], bool] | None = None) -> Fit:
    """Run a fit, from its checkpoint where there is one, as a command does.

    Args:
        folder: Gets the checkpoint and the log.
        make_fit: Assembles the fit anew, as another process would.
        before_update: Asked with the number of updates of this process; True interrupts, an exception kills.
    """
    torch.manual_seed(99)
    fit = make_fit()
    fit.checkpoint = folder / "checkpoint" / "state.safetensors"
    state = read_state(fit.checkpoint) if fit.checkpoint.is_file() else None
    logger = JsonlLogger(folder / "metrics.jsonl", keep_until=state.step if state else 0)
    fit.on_log = lambda point: logger.log(point.step, timeless(point))
    if before_update:
        updates = iter(range(10_000))
        fit.should_stop = lambda: before_update(next(updates))
    try:
        fit.run(state)
    finally:
        logger.close()
    return fit


def log_of(folder: Path) -> list[dict[str, float]]:
    return read_jsonl(folder / "metrics.jsonl")


def reckless_fit_of(**fit: Any) -> Fit:
    """Assemble a fit whose schedule jumps once: the loss does too, until the guard has lowered the rates enough."""
    guard = DivergenceGuard(spike_factor=1.2, rate_factor=0.5)
    return fit_of(learning_rate=0.02, guard=guard, schedule=lambda step, steps: 40.0 if step == 9 else 1.0, **fit)
