"""What `training.fit` is given by mistake is refused before the first step, by its name."""

import pytest
import torch
from torch import nn

from finer_core import InputError, grid_coords, training
from finer_core.training import DivergenceGuard

COORDS = grid_coords(3, 3)


def loss(network, step):
    return network(COORDS).square().mean()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"network": None}, "network must be a torch module, got None"),
        ({"network": torch.sin}, "network must be a torch module, got <built-in method sin"),
        ({"objective": None}, "objective must be a function of network and step, got None"),
        ({"guard": "on"}, "guard must be a DivergenceGuard or None, got 'on'"),
        ({"guard": DivergenceGuard}, "guard must be a DivergenceGuard or None, got <class"),
        ({"learning_rate": "1e-3"}, "learning_rate must be a number, got '1e-3'"),
        ({"learning_rate": None}, "learning_rate must be a number, got None"),
        ({"max_grad_norm": "1"}, "max_grad_norm must be a number, got '1'"),
        ({"checkpoint_seconds": "30"}, "checkpoint_seconds must be a number, got '30'"),
        ({"checkpoint": 3}, r"a path is a text or a pathlib\.Path, got 3"),
        ({"checkpoint": b"fit.ckpt"}, r"a path is a text or a pathlib\.Path, got b'fit\.ckpt'"),
    ],
)
def test_a_wrong_argument(given, words):
    arguments = {"network": nn.Linear(2, 1), "objective": loss, "steps": 1, **given}
    with pytest.raises(InputError, match=words):
        training.fit(arguments.pop("network"), arguments.pop("objective"), **arguments)
