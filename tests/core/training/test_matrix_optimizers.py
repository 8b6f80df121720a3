"""SOAP and Muon in programs of others: copied, saved, given parameters later, of any size, stepped with a closure."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from finer_core.errors import InputError
from finer_core.training import Muon, Soap, WeightEma, fit

KINDS = pytest.mark.parametrize(
    ("kind", "options"), [(Soap, {"renew_every": 2}), (Muon, {"dtype": torch.bfloat16})], ids=["soap", "muon"]
)


def begun(kind, **options):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 9, bias=False), nn.Linear(9, 5, bias=False))
    optimizer = kind(network.parameters(), lr=1e-2, **options)
    train(network, optimizer)
    return network, optimizer


def train(network, optimizer, steps=5):
    inputs = torch.linspace(-1, 1, 24).reshape(4, 6)
    for _ in range(steps):
        optimizer.zero_grad()
        (network(inputs) - 1).square().sum().backward()
        optimizer.step()


def assert_alike(first, second):
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@KINDS
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"]
)
def test_a_copy_goes_on_as_the_original(kind, options, copied):
    network, optimizer = begun(kind, **options)
    other = copied((network, optimizer))
    train(network, optimizer)
    train(*other)
    assert_alike(network, other[0])


def test_a_copy_of_soap_advances_in_stacks():
    _, optimizer = copy.deepcopy(begun(Soap))
    optimizer.finish()
    optimizer.advance()


@KINDS
def test_a_saved_state_says_all_that_the_optimizer_was_told(kind, options):
    network, optimizer = begun(kind, **options)
    other, fresh = begun(kind)
    other.load_state_dict(network.state_dict())
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    train(network, optimizer)
    train(other, fresh)
    assert_alike(network, other)


def test_a_fit_goes_on_with_products_of_lower_precision(tmp_path):
    found = []
    for stops in ((8,), (4, 8)):
        network = nn.Linear(6, 9, bias=False)
        nn.init.eye_(network.weight)
        for steps in stops:
            optimizer = Muon(network.parameters(), dtype=torch.bfloat16)
            fit(
                network,
                lambda network, step: (network(torch.ones(1, 6)) - 2).square().sum(),
                steps=8,
                optimizers=[optimizer],
                schedule=lambda step, steps: 1.0,
                checkpoint=tmp_path / str(len(stops)),
                resume=steps == 8 and len(stops) == 2,
                callbacks=[Stop(steps)],
            )
        found.append(network)
    assert_alike(*found)


class Stop:
    """Ends a fit after so many steps."""

    def __init__(self, after):
        self.after, self.done = after, 0

    def on_step(self, step, loss):
        self.done = step

    def should_stop(self):
        return self.done >= self.after


@KINDS
def test_groups_may_differ_in_all_that_can_be_told(kind, options):
    torch.manual_seed(1)
    start = torch.randn(2, 6, 6)
    apart = [nn.Parameter(each.clone()) for each in start]
    together = [nn.Parameter(each.clone()) for each in start]
    optimizers = [kind([apart[0]], lr=1e-2, **options), kind([apart[1]], lr=1e-2)]
    one = kind([{"params": [together[0]], **options}, {"params": [together[1]]}], lr=1e-2)
    for _ in range(6):
        for optimizer, parameters in ((one, together), (optimizers[0], apart[:1]), (optimizers[1], apart[1:])):
            optimizer.zero_grad()
            sum((p**4).sum() for p in parameters).backward()
            optimizer.step()
    for a, b in zip(apart, together, strict=True):
        torch.testing.assert_close(a, b)


@KINDS
@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_a_matrix_without_numbers_is_left_as_it_is(kind, options, shape):
    parameter = nn.Parameter(torch.zeros(shape))
    optimizer = kind([parameter], **options)
    for _ in range(4):
        parameter.grad = torch.zeros(shape)
        optimizer.step()
    assert parameter.shape == shape


@KINDS
def test_parameters_given_later_are_matrices_too(kind, options):
    _, optimizer = begun(kind, **options)
    with pytest.raises(ValueError, match=r"matrices, got \(3,\)"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(3))]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("kind", "setting", "reason"),
    [
        (Soap, {"lr": -1.0}, "lr"),
        (Soap, {"betas": (0.9, 1.0)}, "betas"),
        (Soap, {"eps": -1.0}, "eps"),
        (Soap, {"nesterov": 2}, "nesterov"),
        (Soap, {"renew_every": 0}, "renew_every"),
        (Muon, {"lr": float("nan")}, "lr"),
        (Muon, {"momentum": 1.0}, "momentum"),
        (Muon, {"dtype": "bfloat16"}, "dtype"),
    ],
)
def test_settings_of_a_group_are_checked_as_those_of_all_are(kind, setting, reason):
    group = {"params": [nn.Parameter(torch.ones(3, 3))], **setting}
    with pytest.raises(InputError, match=reason):
        kind([nn.Parameter(torch.ones(3, 3))], **setting)
    with pytest.raises(InputError, match=reason):
        kind([dict(group)])
    _, optimizer = begun(kind)
    with pytest.raises(InputError, match=reason):
        optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("kind", [Soap, Muon, lambda params: WeightEma(params, decay=0.9)], ids=["soap", "muon", "ema"])
def test_a_closure_has_gradients_where_the_step_is_made_without(kind):
    network = nn.Linear(4, 4, bias=False)
    optimizer = kind(network.parameters())

    def closure():
        loss = network(torch.ones(1, 4)).square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        assert optimizer.step(closure) > 0
    assert network.weight.grad is not None


def test_soap_updates_bfloat16():
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(6, 4, dtype=torch.bfloat16))
    optimizer = Soap([parameter], lr=0.05, renew_every=3)
    before = parameter.detach().float().norm()
    for _ in range(60):
        optimizer.zero_grad()
        parameter.square().sum().backward()
        optimizer.step()
    assert parameter.dtype == torch.bfloat16
    assert parameter.detach().float().norm() < before / 2
