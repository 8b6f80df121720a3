"""Every option of a method reaches both networks of the field; the published script dropped its omegas."""

import pytest
import torch

from finer_core.errors import InputError
from finer_core.schema import build
from finer_nerf.fields.radiance_field import FieldConfig, RadianceField, field_config

METHODS = ("finer", "siren", "gauss", "wire", "pemlp", "gauss-finer", "wire-finer", "ngp")
CHANGES = [
    ("finer", {"first_omega_0": 20.0}),
    ("finer", {"hidden_omega_0": 20.0}),
    ("finer", {"first_bias_scale": 2.0}),
    ("siren", {"first_omega_0": 20.0}),
    ("siren", {"hidden_omega_0": 20.0}),
    ("gauss", {"scale": 10.0}),
    ("wire", {"scale": 5.0}),
    ("wire", {"first_omega_0": 10.0}),
    ("wire", {"hidden_omega_0": 10.0}),
    ("pemlp", {"num_frequencies": 6}),
    ("gauss-finer", {"scale": 2.0}),
    ("gauss-finer", {"omega_0": 5.0}),
    ("wire-finer", {"scale": 1.0}),
    ("wire-finer", {"omega_w": 2.0}),
    ("wire-finer", {"omega_0": 3.0}),
]
SMALL = {"hidden_features": 32, "hidden_layers": 1}


def outputs(method: str, **options) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    config = field_config(method=method, **SMALL, **options)
    field = RadianceField.build(config, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(50, 3, generator=generator) * 2 - 1
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=-1)
    features = torch.randn(50, config.density.out_features - 1, generator=generator)
    return *field(points, directions), field.color(directions, features)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_field(method):
    sigmas, colors, _ = outputs(method)
    assert sigmas.shape == (50,) and colors.shape == (50, 3)
    assert bool((sigmas > 0).all()) and bool(((colors >= 0) & (colors <= 1)).all())
    assert float(colors.detach().std()) > 0


@pytest.mark.parametrize(("method", "change"), CHANGES)
def test_a_changed_option_changes_density_and_color(method, change):
    before, after = outputs(method), outputs(method, **change)
    assert not torch.allclose(before[0], after[0])
    if method != "pemlp":  # its color network has no encoding of its own to change
        assert not torch.allclose(before[2], after[2])


def test_the_published_field_has_four_linear_maps_and_182_features():
    config = field_config(method="finer")
    for network in (config.density, config.color):
        assert (network.hidden_features, network.hidden_layers) == (182, 2)
        assert network.options["first_omega_0"] == network.options["hidden_omega_0"] == 30.0
    assert config.density.out_features == 183 and config.color.in_features == 185


def test_sizes_of_the_color_network_can_be_set():
    config = field_config(method="finer", geometry_features=7, color_layers=0, hidden_features=16)
    assert config.density.out_features == 8
    assert (config.color.in_features, config.color.hidden_layers, config.color.hidden_features) == (10, 0, 16)


def test_a_field_config_comes_back_and_nonsense_is_refused():
    config = field_config(method="wire")
    assert build(FieldConfig, config.to_dict(), what="the field") == config
    with pytest.raises(InputError, match="not a radiance field"):
        FieldConfig(density=config.density, color=config.density)
    with pytest.raises(InputError, match="bacon"):
        field_config(method="bacon")
