"""bfloat16 backward products: the forward pass is untouched, gradients are rounded to 8 bits where it pays."""

import pytest
import torch
from torch import Tensor, nn

from finer_core import layers
from finer_core.training import precision
from finer_core.training.precision import SMALLEST, bf16_products_are_native, set_backward_precision
from tests.core import small

ROUNDING = 2.0**-8
"""Largest relative error of rounding to bfloat16, which has 8 significant bits."""


def gradients_of(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Return the gradients of the mean square of the output with respect to all parameters and the input."""
    x = x.clone().requires_grad_(True)
    return list(torch.autograd.grad(network(x).square().mean(), [*network.parameters(), x]))


def error_of(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def linear_of(in_features: int, out_features: int, **linear) -> layers.InrLinear:
    generator = torch.Generator().manual_seed(0)
    return layers.InrLinear(in_features=in_features, out_features=out_features, generator=generator, **linear)


@pytest.mark.parametrize("method", ["finer", "siren", "gauss", "pemlp", "bacon"])
def test_the_forward_pass_is_bit_identical(method):
    network, x = small.network_of(method, hidden_features=64), small.coords_of(100)
    expected = network(x)
    set_backward_precision(network, "bf16")
    assert torch.equal(network(x), expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(256,), (8, 32), ()])
def test_gradients_of_one_map_are_close_and_rounded(bias, shape):
    layer, x = linear_of(64, 48, bias=bias), torch.randn(*shape, 64, generator=torch.Generator().manual_seed(1))
    expected = gradients_of(layer, x)
    set_backward_precision(layer, "bf16")
    found = gradients_of(layer, x)
    names = ["weight", "bias", "input"] if bias else ["weight", "input"]
    for name, rounded, exact in zip(names, found, expected, strict=True):
        assert rounded.dtype == torch.float32
        if name == "bias":
            torch.testing.assert_close(rounded, exact, rtol=1e-6, atol=1e-6)  # a sum, not a product
        else:  # two rounded factors and a rounded result
            assert 0.01 * ROUNDING < error_of(rounded, exact) < 3 * ROUNDING, name


def test_gradients_by_hand():
    layer, x = linear_of(32, 32, bias=False), torch.randn(5, 32, generator=torch.Generator().manual_seed(1))
    set_backward_precision(layer, "bf16")
    out = layer(x)
    upstream = torch.randn(5, 32, generator=torch.Generator().manual_seed(2))
    (grad,) = torch.autograd.grad(out, layer.weight, upstream)
    exact = upstream.bfloat16().double().t() @ x.bfloat16().double()
    torch.testing.assert_close(grad.double(), exact, rtol=ROUNDING, atol=1e-4)


@pytest.mark.parametrize("method", ["finer", "siren", "pemlp"])
def test_gradients_of_a_network_are_close_and_not_equal(method):
    network, x = small.network_of(method, hidden_features=64), small.coords_of(200)
    expected = gradients_of(network, x)
    set_backward_precision(network, "bf16")
    for found, exact in zip(gradients_of(network, x)[:-1], expected[:-1], strict=True):
        assert error_of(found, exact) < 3 * 3 * ROUNDING, "three roundings in each of the layers behind"
    index = next(i for i, p in enumerate(network.parameters()) if p is network.layers[1].weight)
    assert not torch.equal(gradients_of(network, x)[index], expected[index])


@pytest.mark.parametrize(
    ("method", "width"), [("finer", SMALLEST - 2), ("wire", 64), ("wire-finer", 64), ("bacon", 16)]
)
def test_small_and_complex_maps_are_untouched(method, width):
    network, x = small.network_of(method, hidden_features=width), small.coords_of(50)
    expected = gradients_of(network, x)
    set_backward_precision(network, "bf16")
    for found, exact in zip(gradients_of(network, x), expected, strict=True):
        assert torch.equal(found, exact)


def test_the_first_and_last_map_of_a_network_are_small():
    network = small.network_of("finer", hidden_features=SMALLEST)
    set_backward_precision(network, "bf16")
    changed = [module.linear is not nn.functional.linear for module in (*network.layers, network.head)]
    assert changed == [False, True, True, False]


def test_double_precision_is_untouched():
    network = small.network_of("finer", hidden_features=64, dtype=torch.float64)
    x = small.coords_of(50, dtype=torch.float64)
    expected = gradients_of(network, x)
    set_backward_precision(network, "bf16")
    assert all(torch.equal(a, b) for a, b in zip(gradients_of(network, x), expected, strict=True))


def test_fp32_restores():
    network, x = small.network_of("finer", hidden_features=64), small.coords_of(50)
    expected = gradients_of(network, x)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    set_backward_precision(network, "bf16")
    set_backward_precision(network, "fp32")
    assert all(torch.equal(a, b) for a, b in zip(gradients_of(network, x), expected, strict=True))
    assert all(torch.equal(network.state_dict()[name], value) for name, value in state.items())


def test_it_can_be_differentiated_twice_and_per_sample():
    network = small.network_of("finer", hidden_features=32, out_features=1, dtype=torch.float32)
    set_backward_precision(network, "bf16")
    x = small.coords_of(6).requires_grad_(True)
    (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.layers.parameters())
    per_point = torch.func.vmap(torch.func.grad(lambda point: network(point).sum()))(x.detach())
    assert error_of(per_point.detach(), slope.detach()) < 3 * ROUNDING


def test_the_name_is_shown_in_no_repr_and_the_map_has_one():
    network = small.network_of("finer", hidden_features=64)
    before = repr(network)
    set_backward_precision(network, "bf16")
    assert repr(network) == before
    assert repr(network.layers[1].linear) == "linear with bfloat16 backward products"


@pytest.mark.parametrize("name", ["fp16", "bfloat16", "", None])
def test_unknown_precision(name):
    with pytest.raises(ValueError, match=f"'fp32' or 'bf16', got {name!r}"):
        set_backward_precision(small.network_of("siren"), name)


def test_a_processor_without_the_query_has_no_native_products(monkeypatch):
    for query in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, query, raising=False)
    assert not bf16_products_are_native("cpu")


@pytest.mark.parametrize(
    ("reported", "expected"), [((True, False), True), ((False, True), True), ((False, False), False)]
)
def test_either_instruction_set_will_do(monkeypatch, reported, expected):
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    for name, value in zip(names, reported, strict=True):
        monkeypatch.setattr(torch.cpu, name, lambda value=value: value, raising=False)
    assert precision.bf16_products_are_native(torch.device("cpu")) is expected


def test_other_devices_are_not_asked():
    assert not bf16_products_are_native("mps")
