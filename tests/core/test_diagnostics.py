"""The initialization report: known spreads, a readable table, and nothing left behind."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from finer_core import InputError, build_network, init_report
from finer_core.coords import grid_coords
from finer_core.layers import SineLayer
from finer_core.linear import InrLinear
from finer_core.training.precision import set_backward_precision

from . import small


def report_of(method: str, **config):
    return init_report(small.network_of(method, **config), grid_coords(24, 24))


@pytest.mark.parametrize("method", small.NAMES)
def test_a_row_for_every_linear_map(method):
    network = small.network_of(method)
    rows = init_report(network, small.coords_of()).rows
    assert {row.name for row in rows} == {n for n, m in network.named_modules() if isinstance(m, InrLinear)}
    for row in rows:
        figures = (row.pre_activation_std, row.output_std, row.gradient_std, row.weight_gradient_rms)
        assert all(math.isfinite(figure) and figure > 0 for figure in figures), row


def test_descriptions():
    rows = report_of("finer", first_omega_0=12.0).rows
    assert [row.name for row in rows] == ["layers.0", "layers.1", "layers.2", "head"]
    assert rows[0].description == "FinerActivation(omega_0=12.0, scale_req_grad=False)"
    assert rows[-1].description == "linear"


def test_siren_keeps_the_spread_that_its_theorem_promises():
    rows = report_of("siren", hidden_features=256, hidden_layers=4).rows
    phase_std = math.sqrt(1 + (30 / 16) ** 2 / 3)  # of 30 W x, a standard normal, and of 30 b
    for row in rows[1:-1]:
        assert row.output_std == pytest.approx(1 / math.sqrt(2), rel=0.05)
        assert row.output_mean == pytest.approx(0, abs=0.05)
        assert row.pre_activation_std * 30 == pytest.approx(phase_std, rel=0.05)


def test_figures_by_hand():
    network = nn.Sequential(InrLinear(in_features=2, out_features=1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[3.0, 0.0]]))
    (row,) = init_report(network, torch.tensor([[1.0, 0.0], [-1.0, 5.0]])).rows
    assert (row.name, row.pre_activation_std, row.output_mean, row.output_std) == ("0", 3.0, 0.0, 3.0)
    # L = mean(z^2) over 2 points with z = 3, -3: dL/dz = z, dL/dW = (mean 2 z x_1, mean 2 z x_2) = (6, -15).
    assert row.gradient_std == pytest.approx(3.0)
    assert row.weight_gradient_rms == pytest.approx(math.sqrt((36 + 225) / 2))


def test_gradients_equal_autograd_s():
    network, x = small.network_of("finer"), small.coords_of()
    rows = {row.name: row for row in init_report(network, x).rows}
    network(x).square().mean().backward()
    for name in rows:
        expected = network.get_submodule(name).weight.grad.square().mean().sqrt()
        assert rows[name].weight_gradient_rms == pytest.approx(float(expected), rel=1e-5)


def test_a_dying_network_is_seen():
    rows = report_of("siren", hidden_features=64, hidden_omega_0=30.0).rows
    network = small.network_of("siren", hidden_features=64)
    with torch.no_grad():
        network.layers[1].weight.mul_(1e-3)
        network.layers[1].bias.zero_()
    dead = init_report(network, grid_coords(24, 24)).rows
    assert dead[1].output_std < 0.01 * rows[1].output_std
    assert dead[0].gradient_std < 0.1 * rows[0].gradient_std


def test_it_prints_a_table():
    lines = str(report_of("finer")).splitlines()
    assert len(lines) == 5
    assert lines[0].split() == [
        "layer",
        "std",
        "z",
        "mean",
        "out",
        "std",
        "out",
        "std",
        "dL/dz",
        "rms",
        "dL/dW",
        "activation",
    ]
    assert lines[1].startswith("layers.0 ")
    assert lines[-1].endswith("linear")
    assert len({line.index("  FinerActivation") for line in lines[1:4]}) == 1, "columns line up"


@pytest.mark.parametrize("method", ["finer", "wire", "multiscale-bacon"])
def test_nothing_is_changed_or_left_behind(method):
    network, x = small.network_of(method), small.coords_of()
    network(x).square().mean().backward()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    grads = [p.grad.clone() for p in network.parameters()]
    out, random_state = network(x), torch.get_rng_state()
    init_report(network, x)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in state.items())
    assert all(torch.equal(p.grad, grad) for p, grad in zip(network.parameters(), grads, strict=True))
    assert not any(module._forward_hooks for module in network.modules())
    assert torch.equal(network(x), out)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert x.grad is None and not x.requires_grad


def test_hooks_are_removed_when_the_network_fails():
    network = small.network_of("finer")
    with pytest.raises(ValueError, match="expected coords"):
        init_report(network, torch.zeros(4, 3))
    assert not any(module._forward_hooks for module in network.modules())


def test_it_works_without_gradients_and_with_low_precision_training():
    network = small.network_of("siren", hidden_features=32)
    set_backward_precision(network, "bf16")
    with torch.no_grad():
        assert len(init_report(network, small.coords_of()).rows) == 4


def test_a_mixed_network():
    network = nn.Sequential(SineLayer(in_features=2, out_features=8, is_first=True), nn.Linear(8, 8), nn.Tanh())
    assert [row.name for row in init_report(network, small.coords_of()).rows] == ["0", "1"]


def test_a_network_without_linear_maps_is_named():
    with pytest.raises(ValueError, match="Tanh has no linear maps"):
        init_report(nn.Tanh(), small.coords_of())


def test_a_network_with_frozen_layers():
    network = build_network(small.config_of("finer"))
    network.layers[0].requires_grad_(False)
    rows = init_report(network, small.coords_of()).rows
    assert rows[0].weight_gradient_rms > 0
    assert not network.layers[0].weight.requires_grad
    assert network.layers[1].weight.requires_grad


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize("make", [parametrizations.weight_norm, nn.utils.weight_norm], ids=["new", "old"])
def test_a_weight_that_is_made_of_others_has_its_gradient(make):
    network, x = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)), small.coords_of()
    expected = init_report(network, x).rows
    make(network[0])
    for frozen in (False, True):
        for row, wanted in zip(init_report(network.requires_grad_(not frozen), x).rows, expected, strict=True):
            assert row.weight_gradient_rms == pytest.approx(wanted.weight_gradient_rms, rel=1e-4), row
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_network_that_ran_compiled_before():
    network, x = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)), small.coords_of()
    expected = init_report(network, x).rows
    compiled = torch.compile(network, backend="eager")
    compiled(x)
    for row, wanted in zip(init_report(compiled, x).rows, expected, strict=True):
        assert row.weight_gradient_rms == pytest.approx(wanted.weight_gradient_rms, rel=1e-5), row


def test_the_report_in_inference_mode():
    network = small.network_of("finer")
    expected = str(init_report(network, grid_coords(6, 6)))
    with torch.inference_mode():
        assert str(init_report(network, grid_coords(6, 6))) == expected


class CallsNone(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Linear(2, 1)

    def forward(self, coords):
        return nn.functional.linear(coords, self.map.weight)


@pytest.mark.parametrize(
    ("network", "coords", "words"),
    [
        (CallsNone(), torch.ones(3, 2), "CallsNone calls none of its 1 linear maps"),
        (nn.Linear(2, 1), np.ones((3, 2)), "coords must be a tensor, got ndarray"),
    ],
)
def test_what_no_report_is_made_of(network, coords, words):
    with pytest.raises(InputError, match=words):
        init_report(network, coords)


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    init_report(network, torch.rand(9, 2))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
