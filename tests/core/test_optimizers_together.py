"""Muon's batched step is the step of each optimiser."""

import pytest
import torch
from torch import nn

from finer_core.training.optimizers_together import step_together

SHAPES = ((16, 16), (24, 12), (12, 24))


def optimizers_of(seed: int, **settings) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
    generator = torch.Generator().manual_seed(seed)
    parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in (*SHAPES, (16, 16))]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return parameters, torch.optim.Muon(parameters, **settings)


@pytest.mark.parametrize("settings", [{}, {"nesterov": False, "momentum": 0.8}, {"weight_decay": 0.3, "ns_steps": 3}])
def test_muon_steps_together_as_alone(settings):
    rates = (1e-3, 0.02, 0.5)
    together = [optimizers_of(seed, lr=rate, **settings) for seed, rate in enumerate(rates)]
    alone = [optimizers_of(seed, lr=rate, **settings) for seed, rate in enumerate(rates)]
    for _ in range(3):
        step_together([optimizer for _, optimizer in together])
        for _, optimizer in alone:
            optimizer.step()
    for (given, first), (expected, second), rate in zip(together, alone, rates, strict=True):
        for a, b in zip(given, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=rate * 2e-2)  # bfloat16 resolves 1/128 of an update
            torch.testing.assert_close(first.state[a], second.state[b])
        first.load_state_dict(second.state_dict())  # the layouts are one and the same


def test_a_step_moves_by_the_rate():
    (parameters, optimizer), before = optimizers_of(0, lr=0.1, weight_decay=0.0), optimizers_of(0)[0]
    step_together([optimizer])
    for parameter, was in zip(parameters, before, strict=True):
        moved = torch.linalg.svdvals((was - parameter).detach()) / (0.1 * max(1, was.shape[0] / was.shape[1]) ** 0.5)
        assert moved.min() > 0.3 and moved.max() < 1.4


def test_other_optimisers_step_by_themselves():
    parameters = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 2))]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    adjusted = torch.optim.Muon([parameters[1]], lr=0.1, adjust_lr_fn="match_rms_adamw")
    step_together([torch.optim.SGD([parameters[0]], lr=0.5), adjusted])
    assert torch.equal(parameters[0], torch.full((3,), 0.5))
    assert not torch.equal(parameters[1], torch.ones(2, 2))


def test_a_parameter_without_gradient_stays():
    parameters, optimizer = optimizers_of(0, lr=0.1)
    parameters[1].grad = None
    before = parameters[1].clone()
    step_together([optimizer])
    assert torch.equal(parameters[1], before)
