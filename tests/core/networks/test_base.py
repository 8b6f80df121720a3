"""What networks have in common: how many numbers they have."""

import dataclasses

import pytest
import torch

from finer_core import METHODS, build_network
from finer_core.app.saved_run import common_figures
from finer_core.networks.base import parameter_count
from finer_core.networks.own_network import title_of
from finer_core.reproduction import Outcome
from finer_core.training import LogEntry, TrainingHistory
from tests.core import small


@dataclasses.dataclass
class Plan:
    device: str = "cpu"
    seed: int = 0

    @property
    def settings(self) -> "Plan":
        return self


@pytest.mark.parametrize("method", small.NAMES)
def test_parameters_are_counted_as_real_numbers_everywhere(method):
    task = next(iter(METHODS[method].tasks))
    network = build_network(method, task=task, in_features=2, out_features=3, hidden_features=16)
    count = sum(torch.view_as_real(p).numel() if p.is_complex() else p.numel() for p in network.parameters())
    point = LogEntry(step=1, loss=0.5, learning_rate=0.1, seconds=1.0, rollbacks=0)
    figures = common_figures(Plan(), point, network, has_target=False, processes=1)
    rest = {"metrics": {}, "facts": {}, "sha256": ""}
    outcome = Outcome.of_fit(network, TrainingHistory([point]), **rest)
    assert (parameter_count(network), figures["parameters"], outcome.parameters) == (count,) * 3
    assert title_of(network) == f"{method} of {count} parameters"
