"""Layers and networks as modules: bias, names, types, repr, copies."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from finer_core import InputError, activations, build_network, layers
from finer_core.networks import MultiscaleBacon
from finer_core.networks.config import option_names
from finer_core.training.precision import set_backward_precision
from tests.core import small

SIZE = {"in_features": 5, "out_features": 7}
LAYERS = {
    "SineLayer": {"omega_0": 11.0},
    "FinerLayer": {"omega_0": 11.0, "scale_req_grad": True},
    "GaussLayer": {"scale": 11.0},
    "GaussFinerLayer": {"scale": 1.5, "omega_0": 11.0, "normalized": True, "scale_req_grad": True},
    "WireLayer": {"omega_0": 11.0, "scale": 1.5},
    "WireFinerLayer": {
        "omega_0": 1.25,
        "omega_w": 2.5,
        "scale": 1.5,
        "complex_factor": "modulus",
        "scale_req_grad": True,
    },
    "RealWireLayer": {"omega_w": 11.0, "scale": 1.5},
    "RealWireFinerLayer": {"omega_0": 1.25, "omega_w": 2.5, "scale": 1.5, "scale_req_grad": True},
    "ReluLayer": {},
}
MLPS = tuple(name for name in small.NAMES if name not in small.BACON_NAMES)


def layer_of(name: str, **linear):
    return getattr(layers, name)(**LAYERS[name], **{**SIZE, **linear})


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_activation_of_a_linear_map(name):
    layer = layer_of(name)
    x = small.coords_of(6, 5)
    expected = layer.activation(nn.functional.linear(x, layer.weight, layer.bias))
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=0)
    assert layer.activation.hyper_parameters == LAYERS[name]
    assert isinstance(layer, nn.Linear)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_without_bias(name):
    layer = layer_of(name, bias=False)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]
    x = small.coords_of(6, 5)
    assert torch.equal(layer(x), layer.activation(x @ layer.weight.t()))


@pytest.mark.parametrize("name", LAYERS)
def test_repr_of_a_layer_shows_sizes_bias_and_every_hyper_parameter(name):
    text = repr(layer_of(name, bias=False))
    assert text.startswith(name)
    for shown in ("in_features=5", "out_features=7", "bias=False"):
        assert shown in text
    for option, value in LAYERS[name].items():
        assert f"{option}={value!r}" in text


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_draws_from_its_generator_alone(name):
    before = torch.get_rng_state()
    first, second = (layer_of(name, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    other = layer_of(name, generator=torch.Generator().manual_seed(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)
    assert not torch.equal(first.weight, other.weight)


def test_a_weight_is_drawn_once():
    generator = torch.Generator().manual_seed(1)
    layer = layers.InrLinear(**SIZE, bias=False, generator=generator)
    again = torch.Generator().manual_seed(1)
    bound = 5**-0.5
    assert torch.equal(layer.weight, torch.empty(7, 5).uniform_(-bound, bound, generator=again))
    assert torch.equal(generator.get_state(), again.get_state())


@pytest.mark.parametrize("name", ["SineLayer", "FinerLayer", "GaussLayer", "ReluLayer"])
def test_bias_scale(name):
    bias = layer_of(name, out_features=2000, bias_scale=3.0).bias
    assert 2.9 < bias.abs().max() <= 3.0


@pytest.mark.parametrize(("in_features", "out_features"), [(0, 3), (3, 0), (-1, 3)])
def test_sizes_are_positive(in_features, out_features):
    with pytest.raises(ValueError, match=f"got {in_features} and {out_features}"):
        layers.InrLinear(in_features=in_features, out_features=out_features)


def test_reset_is_refused():
    with pytest.raises(RuntimeError, match="build a new layer"):
        layer_of("SineLayer").reset_parameters()


def test_a_complex_layer_takes_real_input():
    layer = layer_of("WireLayer", dtype=torch.complex64)
    x = small.coords_of(6, 5)
    assert layer(x).dtype == torch.complex64
    assert torch.equal(layer(x), layer(x.to(torch.complex64)))


def test_layers_mix_with_plain_modules():
    net = nn.Sequential(layers.FinerLayer(in_features=2, out_features=8, is_first=True), nn.Linear(8, 8), nn.ReLU())
    net.append(layers.InrLinear(in_features=8, out_features=1))
    assert net(small.coords_of(4)).shape == (4, 1)


@pytest.mark.parametrize("method", MLPS)
def test_bias_false_reaches_every_linear_map(method):
    network = small.network_of(method, bias=False)
    assert not any("bias" in name for name, _ in network.named_parameters())
    with_bias = small.network_of(method)
    assert sum("bias" in name for name, _ in with_bias.named_parameters()) == 4
    assert network(small.coords_of(4)).shape == (4, 3)


def test_only_bacon_has_no_bias_option():
    assert {name for name in small.NAMES if "bias" not in option_names(name)} == set(small.BACON_NAMES)


@pytest.mark.parametrize("method", MLPS)
def test_state_dict_keys(method):
    maps = ["layers.0", "layers.1", "layers.2", "head"]
    expected = {f"{name}.{kind}" for name in maps for kind in ("weight", "bias")}
    if method == "ff":
        expected |= {"encoding.frequencies", "encoding.amplitudes"}
    if method == "ngp":
        expected.add("encoding.grid.table")
    assert set(small.network_of(method).state_dict()) == expected


def test_state_dict_keys_of_bacon():
    keys = set(small.network_of("bacon").state_dict())
    maps = ["filters.0", "filters.1", "filters.2", "linears.0", "linears.1", "head"]
    assert keys == {f"{name}.{kind}" for name in maps for kind in ("weight", "bias")}
    multiscale = set(small.network_of("multiscale-bacon").state_dict())
    maps = [*(f"filters.{i}" for i in range(4)), *(f"linears.{i}" for i in range(8)), *(f"heads.{i}" for i in range(4))]
    assert multiscale == {f"{name}.{kind}" for name in maps for kind in ("weight", "bias")}


def test_filter_weights_are_fixed_and_phases_are_trained():
    network = small.network_of("multiscale-bacon")
    trained = {name for name, _ in network.named_parameters()}
    assert "filters.0.bias" in trained
    assert "filters.0.weight" not in trained
    network(small.coords_of(8)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


@pytest.mark.parametrize("hidden_layers", [0, 1, 4])
def test_hidden_layers_counts_hidden_to_hidden_maps(hidden_layers):
    network = small.network_of("siren", hidden_layers=hidden_layers)
    assert [tuple(layer.weight.shape) for layer in network.layers] == [(16, 2)] + [(16, 16)] * hidden_layers
    assert tuple(network.head.weight.shape) == (3, 16)


@pytest.mark.parametrize("method", small.NAMES)
def test_double_precision(method):
    network = small.network_of(method, dtype=torch.float64)
    real = {t.dtype for t in network.state_dict().values() if not t.is_complex()}
    assert real == {torch.float64}
    assert network(small.coords_of(4, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("method", small.COMPLEX_NAMES)
@pytest.mark.parametrize("real", [torch.float32, torch.float64])
def test_complex_networks_have_a_real_first_layer_and_a_real_output(method, real):
    network = small.network_of(method, dtype=real)
    expected = {torch.float32: torch.complex64, torch.float64: torch.complex128}[real]
    assert network.layers[0].weight.dtype == network.layers[0].bias.dtype == real
    assert {p.dtype for layer in (*network.layers[1:], network.head) for p in layer.parameters()} == {expected}
    assert network(small.coords_of(4, dtype=real)).dtype == real
    assert network.layers[0].weight.shape == (11, 2), "int(16 / sqrt 2) complex features"


@pytest.mark.parametrize("method", small.COMPLEX_NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_complex_networks_refuse_other_types(method, dtype):
    with pytest.raises(InputError, match=f"need dtype float32 or float64, got {dtype}"):
        build_network(small.config_of(method), dtype=dtype)


def test_complex_networks_follow_the_default_type():
    torch.set_default_dtype(torch.float64)
    try:
        network = small.network_of("wire")
    finally:
        torch.set_default_dtype(torch.float32)
    assert network.head.weight.dtype == torch.complex128


@pytest.mark.parametrize("method", small.NAMES)
def test_repr_of_a_network_names_every_part(method):
    network = small.network_of(method)
    text = repr(network)
    for module in network.modules():
        assert type(module).__name__ in text
    for layer in getattr(network, "layers", []):
        assert layer.activation.extra_repr() in text


def test_repr_of_bacon_shows_bands_and_scale():
    text = repr(small.network_of("bacon", max_frequency=24.0, coords_scale=0.5))
    assert "coords_scale=0.5" in text
    assert "max_integer_frequency=4" in text, "24 / (2 (2 + 1))"


@pytest.mark.parametrize("method", small.NAMES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_are_equal_and_independent(method, precision, how):
    network = small.network_of(method, hidden_features=32)
    set_backward_precision(network, precision)
    twin = copy.deepcopy(network) if how == "deepcopy" else pickle.loads(pickle.dumps(network))
    x = small.coords_of(4)
    before = network(x)
    assert torch.equal(twin(x), before)
    assert twin.config == network.config
    assert repr(twin) == repr(network)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert torch.equal(network(x), before)


def test_torch_save_of_the_state_dict_alone():
    network, other = small.network_of("wire-finer"), small.network_of("wire-finer", seed=1)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(network(small.coords_of(4)), other(small.coords_of(4)))


@pytest.mark.parametrize("method", small.NAMES)
def test_any_number_of_batch_axes(method):
    network = small.network_of(method)
    x = small.coords_of(24)
    flat = network(x)
    torch.testing.assert_close(network(x.reshape(2, 3, 4, 2)).reshape(flat.shape), flat)
    torch.testing.assert_close(network(x[0]), flat[..., 0, :])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frequency_fractions": [0.5]}, "hidden_layers . 1 = 9 values, got 1"),
        ({"output_layers": [2, 4]}, r"end at hidden_layers = 8, got \[2, 4\]"),
        ({"output_layers": [4, 2, 8]}, r"must ascend .* got \[4, 2, 8\]"),
        ({"output_layers": []}, "must ascend"),
        ({"max_frequency": 0.0}, "max_frequency must be positive, got 0.0"),
        ({"max_frequency": 2.0}, r"max_frequency must be above \d, got 2.0"),
        ({"frequency_fractions": [0.5] * 8 + [0.0]}, r"frequency_fractions must be positive, got \[0.5, .*0.0\]"),
    ],
)
def test_bad_options_of_bacon(options, message):
    with pytest.raises(ValueError, match=message):
        MultiscaleBacon(in_features=2, out_features=1, hidden_features=8, **options)


@pytest.mark.parametrize("method", ["bacon", "multiscale-bacon"])
def test_bacon_is_never_a_constant(method):
    """Filters whose bands round to 0 have no frequency: what they are to fit would be one value."""
    sizes = {"in_features": 2, "out_features": 1, "hidden_features": 8}
    with pytest.raises(InputError, match=r"cannot build method .*: max_frequency must be above") as caught:
        build_network(method, task="sdf", max_frequency=4.0, **sizes)
    least = float(str(caught.value).partition("above ")[2].partition(",")[0])
    network = build_network(method, task="sdf", max_frequency=least * 1.01, **sizes)
    finest = network(small.coords_of(24)).reshape(-1, 24, 1)[-1]  # of several outputs the coarser ones may be flat
    assert (finest.std(dim=0) > 0).all()


def test_bacon_has_period_one_in_scaled_coordinates():
    network = small.network_of("bacon", dtype=torch.float64, coords_scale=0.5)
    x = small.coords_of(8, dtype=torch.float64)
    torch.testing.assert_close(network(x + 2), network(x), rtol=1e-9, atol=1e-9)
    assert not torch.allclose(network(x + 1), network(x))


def test_a_drop_in_activation():
    net = nn.Sequential(nn.Linear(2, 8), activations.FinerActivation(omega_0=30.0), nn.Linear(8, 1))
    assert net(small.coords_of(4)).shape == (4, 1)
