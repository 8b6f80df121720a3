"""What `training.fit` is given by mistake is refused before the first step, by its name."""

import numpy as np
import pytest
import torch
from torch import nn

from finer_core import InputError, grid_coords, training
from finer_core.training import DivergenceGuard
from tests.core import fits

COORDS = grid_coords(3, 3)


def loss(network, step):
    return network(COORDS).square().mean()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"network": None}, "network must be a torch module, got one of type NoneType"),
        ({"network": torch.sin}, "network must be a torch module, got one of type builtin_func"),
        ({"objective": None}, "objective must be a function of network and step, got None"),
        ({"guard": "on"}, "guard must be a DivergenceGuard or None, got 'on'"),
        ({"guard": DivergenceGuard}, "guard must be a DivergenceGuard or None, got <class"),
        ({"learning_rate": "1e-3"}, "learning_rate must be a number, got '1e-3'"),
        ({"learning_rate": None}, "learning_rate must be a number, got None"),
        ({"max_grad_norm": "1"}, "max_grad_norm must be a number, got '1'"),
        ({"checkpoint_seconds": "30"}, "checkpoint_seconds must be a number, got '30'"),
        ({"checkpoint": 3}, r"a path is a text or a pathlib\.Path, got 3"),
        ({"checkpoint": np.zeros((30, 30))}, r"a path is a text or a pathlib\.Path, got one of type ndarray; give one"),
        ({"checkpoint": b"fit.ckpt"}, r"a path is a text or a pathlib\.Path, got b'fit\.ckpt'"),
    ],
)
def test_a_wrong_argument(given, words):
    arguments = {"network": nn.Linear(2, 1), "objective": loss, "steps": 1, **given}
    with pytest.raises(InputError, match=words):
        training.fit(arguments.pop("network"), arguments.pop("objective"), **arguments)


NET = nn.Linear(9, 9, bias=False)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DivergenceGuard(max_rollbacks="a"), "max_rollbacks must be an integer, got 'a'"),
        (lambda: DivergenceGuard(max_rollbacks=2.5), "max_rollbacks must be an integer, got 2.5"),
        (lambda: DivergenceGuard(max_rollbacks=-1), r"max_rollbacks must be in \[0, inf\), got -1"),
        (lambda: DivergenceGuard(rate_factor=2), r"rate_factor must be in \(0, 1\], got 2"),
        (lambda: DivergenceGuard(spike_factor=float("nan")), r"spike_factor must be in \(1, inf\], got nan"),
        (lambda: DivergenceGuard(patience=None), "patience must be a number, got None"),
        (lambda: DivergenceGuard(max_restarts=True), "max_restarts must be an integer, got True"),
        (lambda: training.exponential_decay(final_factor=-0.1), r"final_factor must be in \(0, inf\), got -0.1"),
        (lambda: training.exponential_decay(final_factor="a"), "final_factor must be a number, got 'a'"),
        (lambda: training.warmup_cosine(warmup="a"), "warmup must be a number, got 'a'"),
        (lambda: training.warmup_cosine(power=-1), r"power must be in \(0, inf\), got -1"),
        (lambda: training.warmup_linear(warmup=float("nan")), r"warmup must be in \[0, 1\), got nan"),
        (lambda: training.build_optimizers(NET, learning_rate=1e-3, betas=0.9), "betas must be two numbers, got 0.9"),
        (
            lambda: training.build_optimizers(NET, learning_rate=1e-3, betas=(0.9, 2)),
            r"betas must be in \[0, 1\), got 2",
        ),
        (lambda: training.build_optimizers(NET, learning_rate=1e-3, eps="a"), "eps must be a number, got 'a'"),
        (lambda: training.build_optimizers(NET, learning_rate=1e-3, ema_decay="a"), "ema_decay must be a number"),
        (lambda: training.build_optimizers(NET, learning_rate=1e-3, precision="fp16"), "must be 'fp32' or 'bf16', got"),
        (lambda: training.Muon(NET.parameters(), lr="a"), "lr must be a number, got 'a'"),
        (lambda: training.Muon(NET.parameters(), momentum=1.5), r"momentum must be in \[0, 1\), got 1.5"),
        (
            lambda: training.Muon(NET.parameters(), dtype=torch.int32),
            r"dtype must be a floating-point type .* torch.int",
        ),
        (lambda: training.Soap(NET.parameters(), betas=(0.9, "a")), "betas must be a number, got 'a'"),
        (lambda: training.Soap(NET.parameters(), eps=-1), r"eps must be in \[0, inf\), got -1"),
        (lambda: training.Soap(NET.parameters(), renew_every=1.5), "renew_every must be an integer, got 1.5"),
        (lambda: training.WeightEma(NET.parameters(), decay="a"), "decay must be a number, got 'a'"),
        (lambda: training.WeightEma(NET.parameters(), decay=0.9, every=1.5), "every must be an integer, got 1.5"),
        (lambda: training.TimedLength(seconds="60", after=5), "seconds must be a number, got '60'"),
        (lambda: training.TimedLength(seconds=60, after=0.5), "after must be an integer, got 0.5"),
        (lambda: training.fit(NET, loss, steps=1, checkpoint_seconds=float("nan")), "checkpoint_seconds must be in"),
        (lambda: fits.fit_of(checkpoint_seconds=-1.0), r"checkpoint_seconds must be in \[0, inf\], got -1"),
    ],
)
def test_a_setting_that_makes_no_sense(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_settings_of_numpy_s_numbers():
    guard = DivergenceGuard(max_rollbacks=np.int64(3), spike_factor=np.float32(5))
    optimizers = training.build_optimizers(NET, name="soap", learning_rate=np.float64(1e-3), ema_decay=np.float32(0.5))
    history = training.fit(
        NET,
        lambda network, step: network(torch.ones(2, 9)).square().mean(),
        steps=np.int64(3),
        guard=guard,
        optimizers=optimizers,
        schedule=training.warmup_cosine(warmup=np.float32(0.1)),
    )
    assert history[-1].step == 3
