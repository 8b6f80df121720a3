"""A layer in one function, under the promise of one derivative: the same numbers, and nothing else where it may not."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from finer_core import layers
from finer_core.activations import (
    Activation,
    FinerActivation,
    GaussActivation,
    GaussFinerActivation,
    RealWireActivation,
    RealWireFinerActivation,
    SineActivation,
    exact_derivatives,
    first_order_only,
    fuse_activations,
)
from finer_core.activations import buffers as spare
from finer_core.activations._kernels.fused_mlp import fused_mlp
from finer_core.layers import InrLayer
from finer_core.networks import base
from finer_core.training.precision import set_backward_precision
from tests.core import small

ACTIVATIONS = [
    SineActivation(omega_0=7.0),
    FinerActivation(omega_0=7.0),
    FinerActivation(omega_0=7.0, scale_req_grad=True),
    FinerActivation(omega_0=-7.0),
    FinerActivation(omega_0=0.0),
    GaussActivation(scale=2.0),
    GaussFinerActivation(),
    GaussFinerActivation(normalized=True, scale_req_grad=True),
    RealWireActivation(omega_w=5.0, scale=2.0),
    RealWireFinerActivation(),
]


def layer_of(activation: nn.Module, *, bias: bool = True, dtype: torch.dtype = torch.float64, width: int = 9):
    generator = torch.Generator().manual_seed(0)
    return InrLayer(
        activation=activation, in_features=5, out_features=width, bias=bias, generator=generator, dtype=dtype
    )


def inputs(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    x = torch.rand(*shape, 5, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1
    return x.requires_grad_()


def gradients(layer: InrLayer, x: torch.Tensor, *, promised: bool) -> list[torch.Tensor]:
    """Return the layer's value and all gradients of a function of it."""
    parameters = [x, *layer.parameters()]
    if promised:
        with first_order_only():
            value = layer(x)
    else:
        value = layer(x)
    weights = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).view_as(value)
    return [value.detach(), *torch.autograd.grad((value * weights).sum(), parameters)]


@pytest.fixture
def joined(monkeypatch) -> list[torch.Tensor]:
    """Collect the values of layers that were one function."""
    values: list[torch.Tensor] = []

    def recorded(*args, **options):
        values.append(fused_mlp(*args, **options))
        return values[-1]

    monkeypatch.setattr(layers, "fused_mlp", recorded)
    return values


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (2, 3), ()])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_it_is_the_layer(activation, shape, bias, joined):
    layer, x = layer_of(activation, bias=bias), inputs(*shape)
    ours, plain = (gradients(layer, x, promised=promised) for promised in (True, False))
    assert len(joined) == 1
    for a, b in zip(ours, plain, strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_large_inputs_go_in_blocks_to_the_same_numbers(joined):
    layer, x = layer_of(FinerActivation(), dtype=torch.float32, width=300), inputs(2000, dtype=torch.float32)
    ours, plain = (gradients(layer, x, promised=promised) for promised in (True, False))
    assert joined[0].numel() > 1 << 19
    for a, b in zip(ours, plain, strict=True):
        assert (a - b).norm() < 1e-5 * b.norm()


@pytest.mark.parametrize("choice", [None, False])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_with_and_without_kernels_it_gives_the_numbers_of_double_precision(activation, choice, joined):
    fuse_activations(choice)
    layer, x = layer_of(activation, dtype=torch.float32), inputs(6, dtype=torch.float32)
    ours = gradients(layer, x, promised=True)
    fuse_activations(None)
    assert len(joined) == 1
    for a, b in zip(ours, gradients(layer.double(), x.double(), promised=False), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4)


def test_a_network_is_one_function_and_gives_its_gradients(monkeypatch):
    lengths = []

    def recorded(x, maps):
        lengths.append(len(maps))
        return fused_mlp(x, maps)

    monkeypatch.setattr(base, "fused_mlp", recorded)
    network = small.network_of("finer", dtype=torch.float64)
    x = small.coords_of(dtype=torch.float64).requires_grad_()
    ours, plain = (gradients(network, x, promised=promised) for promised in (True, False))
    assert lengths == [4]
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_memory_that_is_used_again_is_nobody_elses(joined):
    layer = layer_of(FinerActivation(), dtype=torch.float32, width=64)
    x = inputs(2000, dtype=torch.float32)
    first, second = (gradients(layer, x, promised=True) for _ in range(2))
    values = [value.clone() for value in joined]
    gradients(layer, x, promised=True)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    assert all(torch.equal(a, b) for a, b in zip(values, joined, strict=False))


def test_only_what_needs_a_gradient_gets_one():
    layer, x = layer_of(FinerActivation()), inputs(4).detach()
    layer.weight.requires_grad_(False)
    with first_order_only():
        layer(x).sum().backward()
    assert x.grad is None and layer.weight.grad is None and layer.bias.grad is not None


def test_a_second_derivative_and_a_second_pass_are_refused():
    layer, x = layer_of(FinerActivation()), inputs(4)
    with first_order_only():
        value = layer(x).sum()
    with pytest.raises(RuntimeError, match="second derivative"):
        torch.autograd.grad(value, x, create_graph=True)
    torch.autograd.grad(value, x, retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        torch.autograd.grad(value, x)


def exactly(layer, x):
    with first_order_only(), exact_derivatives():
        return layer(x)


def without_promise(layer, x):
    return layer(x)


def without_graph(layer, x):
    with first_order_only(), torch.no_grad():
        return layer(x)


def transformed(layer, x):
    with first_order_only():
        return torch.func.vmap(layer)(x)


@pytest.mark.parametrize("way", [exactly, without_promise, without_graph, transformed])
def test_elsewhere_map_and_activation_stay_two(way, joined):
    layer, x = layer_of(FinerActivation(), dtype=torch.float32), inputs(4, dtype=torch.float32)
    assert way(layer, x).shape == (4, 9)
    assert not joined


class Doubled(FinerActivation):
    """An activation that does more than its formula."""

    def forward(self, z):
        return 2 * super().forward(z)


class Shifted(FinerActivation):
    """An activation with a number that its formula does not know."""

    def __init__(self) -> None:
        Activation.__init__(self, omega_0=3.0, shift=0.5)

    def forward(self, z):
        return torch.sin(self.hyper_parameters["omega_0"] * z + self.hyper_parameters["shift"])


def hooked() -> FinerActivation:
    activation = FinerActivation()
    activation.register_forward_hook(lambda *_: None)
    return activation


@pytest.mark.parametrize("activation", [Doubled(), Shifted(), hooked()])
def test_an_activation_that_does_more_than_its_formula_is_called(activation, joined):
    layer, x = layer_of(activation), inputs(4)
    ours, plain = (gradients(layer, x, promised=promised) for promised in (True, False))
    assert not joined
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b)


def test_backward_products_are_rounded_where_that_was_chosen(joined):
    generator = torch.Generator().manual_seed(0)
    layer = InrLayer(activation=FinerActivation(omega_0=3.0), in_features=40, out_features=33, generator=generator)
    x = torch.rand(50, 40, generator=generator).requires_grad_()
    exact = gradients(layer, x, promised=True)
    set_backward_precision(layer, "bf16")
    ours, plain = (gradients(layer, x, promised=promised) for promised in (True, False))
    assert len(joined) == 2
    assert torch.equal(ours[0], exact[0]), "the value is not rounded"
    for found, graph, unrounded in zip(ours[1:3], plain[1:3], exact[1:3], strict=True):
        assert found.dtype == torch.float32
        assert not torch.equal(found, unrounded)
        for other in (graph, unrounded):  # the graph rounds too, at another scale
            assert (found - other).norm() < 3 * 2**-8 * other.norm()
    torch.testing.assert_close(ours[3], exact[3])  # the bias has a sum, no product


def test_tensors_without_memory_are_not_kept_for_the_next_fit(monkeypatch):
    monkeypatch.setattr(spare, "_kept", spare._Kept())
    with FakeTensorMode(), first_order_only():
        network = small.network_of("finer", hidden_features=64)
        network(torch.zeros(1024, 2)).sum().backward()
    assert not spare._kept.tensors
