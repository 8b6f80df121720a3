"""Initialization ranges equal the published ones."""

import math

import numpy as np
import pytest
import torch

from finer_core import NetworkConfig, build_network, initializers
from finer_core.networks.bacon import MultiscaleBacon

from . import golden

STATS = golden.load("init/init_stats")
SIZES = {
    "image": {"in_features": 2, "out_features": 3, "hidden_layers": 3},
    "sdf": {"in_features": 3, "out_features": 1, "hidden_layers": 2},
}
MODELS = {
    "finer": ("image", "finer", {}),
    "finer_fbs1": ("image", "finer", {"first_bias_scale": 1.0}),
    "finer_fbs5": ("image", "finer", {"first_bias_scale": 5.0}),
    "finer_fbs20": ("image", "finer", {"first_bias_scale": 20.0}),
    "finer_first1_hidden10_fbs10": (
        "image",
        "finer",
        {"first_omega_0": 1.0, "hidden_omega_0": 10.0, "first_bias_scale": 10.0},
    ),
    "siren": ("image", "siren", {}),
    "gauss": ("image", "gauss", {}),
    "wire": ("image", "wire", {}),
    "pemlp": ("image", "pemlp", {}),
    "pp_finer_fbs5": ("image", "finer", {"first_bias_scale": 5.0}),
    "pp_gauss_finer_sine_fbs1": ("image", "gauss-finer", {}),
    "pp_wire_finer_sine_fbs1": ("image", "wire-finer", {}),
    "sdf_finer_fbs1": ("sdf", "finer", {"first_bias_scale": 1.0}),
    "sdf_finer_hidden_bias": ("sdf", "finer", {"first_bias_scale": 1.0, "hidden_bias_scale": 0.2}),
    "sdf_siren": ("sdf", "siren", {}),
    "sdf_gauss_finer_fbs1": ("sdf", "gauss-finer", {}),
    "sdf_nerf_encoding": ("sdf", "pemlp", {"weight_init": "he"}),
    "sdf_fourier_features": ("sdf", "ff", {}),
}


def parts(value: torch.Tensor) -> list[torch.Tensor]:
    """Return a tensor, or its real and imaginary parts."""
    return [value.real, value.imag] if value.is_complex() else [value]


@pytest.mark.parametrize("model", MODELS)
def test_networks_draw_from_the_published_ranges(model):
    size, method, options = MODELS[model]
    config = NetworkConfig(method=method, hidden_features=256, options=options, **SIZES[size])
    network = build_network(config, generator=torch.Generator().manual_seed(0))
    for name, parameter in network.named_parameters():
        bound = float(STATS[f"{model}.{name}.bound"])
        for part in parts(parameter.detach()):
            assert part.abs().max() <= bound * (1 + 1e-6), name
            if part.numel() >= 256:
                assert part.abs().max() > 0.9 * bound, name
                assert float(part.std(correction=0)) == pytest.approx(bound / math.sqrt(3), rel=0.15), name


@pytest.mark.parametrize("model", ["pp_gauss_finer_default", "pp_wire_sine"])
def test_other_published_initialisations_of_a_layer(model):
    fan_in = {"layers.0": 2, "layers.1": int(STATS[f"{model}.layers.1.fan_in"])}
    for layer, n in fan_in.items():
        weight = torch.empty(4096, n)
        if model == "pp_gauss_finer_default":
            initializers.pytorch_uniform_(weight)
        elif layer == "layers.0":
            initializers.first_layer_uniform_(weight)
        else:
            initializers.siren_uniform_(weight, omega_0=20.0)
        bound = float(STATS[f"{model}.{layer}.weight.bound"])
        assert 0.99 * bound < weight.abs().max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize(
    ("model", "draw"),
    [
        ("sdf_finer_pytorch", lambda w: initializers.pytorch_uniform_(w)),
        ("sdf_finer_pytorch_omega", lambda w: initializers.pytorch_uniform_(w, omega_0=30.0)),
        ("sdf_finer_pytorch_sine", lambda w: initializers.siren_uniform_(w, omega_0=30.0)),
    ],
)
def test_variants_of_the_sdf_code(model, draw):
    for layer, n in (("layers.0", 3), ("layers.1", 256), ("head", 256)):
        weight = draw(torch.empty(4096, n))
        bound = float(STATS[f"{model}.{layer}.weight.bound"])
        assert 0.99 * bound < weight.abs().max() <= bound * (1 + 1e-6)


def test_gain_of_the_sdf_code():
    bound = float(STATS["sdf_finer_statistics_gain.layers.1.weight.bound"])
    gain = (bound * 30) ** 2 * 256
    weight = initializers.siren_uniform_(torch.empty(4096, 256), omega_0=30.0, gain=gain)
    assert 0.99 * bound < weight.abs().max() <= bound * (1 + 1e-6)


def test_fourier_frequencies_have_the_asked_spread():
    network = build_network(NetworkConfig(method="ff", hidden_features=256, **SIZES["sdf"]))
    expected = STATS["sdf_fourier_features.encoding.frequencies.stats"]
    assert tuple(network.encoding.frequencies.shape) == tuple(STATS["sdf_fourier_features.encoding.frequencies.shape"])
    assert float(network.encoding.frequencies.std()) == pytest.approx(float(expected[:, 3].mean()), rel=0.15)


def test_bacon_filters_are_quantised_to_the_published_bands():
    network = MultiscaleBacon(in_features=3, out_features=1, reuse_filters=False)
    bands = [module.max_integer_frequency for module in network.filters]
    np.testing.assert_array_equal(bands, STATS["bacon.filter_max_integer_frequency"])
    for band, module in zip(bands, network.filters, strict=True):
        k = module.weight / (2 * math.pi)
        torch.testing.assert_close(k, k.round(), rtol=0, atol=1e-4)
        assert k.abs().max().round() == band
        assert 0.9 * math.pi < module.bias.abs().max() <= math.pi * (1 + 1e-6)


def test_single_bacon_gives_every_filter_the_same_band():
    network = build_network(
        NetworkConfig(method="bacon", in_features=3, out_features=1, hidden_layers=8, hidden_features=32)
    )
    assert [module.max_integer_frequency for module in network.filters] == [21] * 9


def test_a_generator_makes_the_draw_reproducible_and_leaves_the_global_state():
    config = NetworkConfig(method="wire-finer", in_features=2, out_features=3, hidden_features=32)
    before = torch.get_rng_state()
    first, second = (build_network(config, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("bound", [-1.0, float("nan"), float("inf")])
def test_bad_bound(bound):
    with pytest.raises(ValueError, match="bound"):
        initializers.uniform_(torch.empty(2, 3), bound=bound)


def test_fan_in_needs_a_matrix():
    with pytest.raises(ValueError, match=r"\(3,\)"):
        initializers.fan_in_of(torch.empty(3))
