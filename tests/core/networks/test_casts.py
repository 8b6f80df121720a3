"""PyTorch's own calls that move a network to another precision or place: right, or refused before anything changed."""

import copy

import pytest
import torch
from torch import nn

from finer_core.layers import WireLayer
from tests.core import small

TO_DOUBLE = {
    "double": lambda network: network.double(),
    "to": lambda network: network.to(torch.float64),
    "type": lambda network: network.type(torch.float64),
    "to device and type": lambda network: network.to("cpu", torch.float64),
    "in a module": lambda network: nn.Sequential(network).double(),
    "in a list": lambda network: nn.ModuleList([network]).to(torch.float64)[0],
}
PARTIAL = [torch.float16, torch.bfloat16, torch.complex64]


def outputs(network, dtype):
    coords = torch.linspace(-1, 1, 60, dtype=torch.float64).reshape(30, 2).to(dtype)
    return network(coords).detach()


@pytest.mark.parametrize("cast", TO_DOUBLE.values(), ids=TO_DOUBLE)
@pytest.mark.parametrize("method", small.NAMES)
def test_a_network_in_double_precision_is_the_same_function(method, cast):
    network = small.network_of(method)
    before = outputs(network, torch.float32)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    cast_network = cast(network)
    after = outputs(cast_network, torch.float64)
    assert {value.abs().dtype for value in cast_network.parameters()} == {torch.float64}
    assert after.dtype == torch.float64
    # Rounding of the phase alone: omega^2 of at most 30^2 in its way, times eps, and far below the outputs' size.
    assert torch.allclose(after, before.double(), atol=2e-3)
    for name, value in network.state_dict().items():
        assert torch.equal(value.to(weights[name].dtype), weights[name])
        assert value.is_complex() == weights[name].is_complex()


@pytest.mark.parametrize("method", small.NAMES)
def test_there_and_back_is_bit_for_bit(method):
    network = small.network_of(method)
    before = outputs(network, torch.float32)
    assert torch.equal(outputs(network.double().float(), torch.float32), before)
    assert torch.equal(outputs(network.cpu(), torch.float32), before)


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize("dtype", PARTIAL)
@pytest.mark.parametrize("method", small.COMPLEX_NAMES)
def test_what_complex_networks_cannot_be_is_refused_and_changes_nothing(method, dtype):
    network = small.network_of(method)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(TypeError, match=f"complex inside computes in float32 or float64, not in {dtype}"):
        network.to(dtype)
    if dtype == torch.float16:
        with pytest.raises(TypeError, match="complex inside"):
            nn.Sequential(network).half()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_complex_layer_of_somebody_s_network():
    torch.manual_seed(0)
    model = nn.Sequential(
        WireLayer(in_features=2, out_features=4), WireLayer(in_features=4, out_features=4, dtype=torch.complex64)
    )
    before = model(torch.ones(1, 2))
    after = model.double()(torch.ones(1, 2, dtype=torch.float64))
    assert after.dtype == torch.complex128
    assert torch.allclose(after.to(torch.complex64), before, atol=1e-4)
    with pytest.raises(TypeError, match="complex inside"):
        model.half()


@pytest.mark.parametrize("method", small.COMPLEX_NAMES)
def test_gradients_and_other_moves_keep_complex_parameters(method):
    network = small.network_of(method)
    outputs_before = outputs(network, torch.float32)
    network(torch.ones(3, 2)).sum().backward()
    network.double()
    assert all(p.grad is not None and p.grad.dtype == p.dtype for p in network.parameters())
    network.float().share_memory()
    assert torch.equal(outputs(network, torch.float32), outputs_before)
    shapes = {name: (value.shape, value.dtype) for name, value in network.state_dict().items()}
    empty = network.to("meta").to_empty(device="cpu")
    assert {name: (value.shape, value.dtype) for name, value in empty.state_dict().items()} == shapes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("method", small.NAMES)
def test_coordinates_of_another_type(method, dtype):
    network = small.network_of(method)
    coords = torch.linspace(-1, 1, 60).reshape(30, 2).to(dtype)
    assert torch.equal(network(coords), network(coords.float()))
    with pytest.raises(ValueError, match=r"coords are torch.float64, the network computes in torch.float32; give co"):
        network(coords.double())
    if method not in small.COMPLEX_NAMES:
        words = rf"coords are torch.float32, the network computes in {dtype}; call \.float\(\) on the network"
        with pytest.raises(ValueError, match=words):
            network.to(dtype)(coords.float())
