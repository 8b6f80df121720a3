"""Configs: published values, parameter counts, every published network builds and runs, bad input is named."""

import dataclasses
import json
from math import sqrt

import pytest
import torch

from finer_core import METHODS, InputError, NetworkConfig, build_network, published_config
from finer_core.app.network_options import NetworkOptions
from finer_core.methods import method_names
from finer_core.networks.config import find_method, option_names
from tests.core import small

SINES = {"first_omega_0": 30, "hidden_omega_0": 30}
WIRE = {"first_omega_0": 20, "hidden_omega_0": 20, "scale": 10}
GAUSS_FINER = {"scale": 3, "omega_0": 10, "first_bias_scale": 1}
WIRE_FINER = {"scale": 2, "omega_w": 4, "omega_0": 5}
# (method, task): learning rate and constants, as the papers and their scripts give them.
PUBLISHED = {
    ("siren", "image"): (5e-4, SINES),
    ("finer", "image"): (5e-4, {**SINES, "first_bias_scale": None}),
    ("gauss", "image"): (5e-3, {"scale": 30}),
    ("wire", "image"): (5e-3, WIRE),
    ("pemlp", "image"): (1e-3, {"num_frequencies": 10}),
    ("gauss-finer", "image"): (1e-3, GAUSS_FINER),
    ("wire-finer", "image"): (1e-3, {**WIRE_FINER, "first_bias_scale": 1}),
    ("siren", "sdf"): (1e-4, SINES),
    ("finer", "sdf"): (1e-4, {**SINES, "first_bias_scale": 1}),
    ("gauss", "sdf"): (1e-4, {"scale": 30}),
    ("wire", "sdf"): (1e-4, WIRE),
    ("pemlp", "sdf"): (5e-4, {"num_frequencies": 10}),
    ("gauss-finer", "sdf"): (1e-4, GAUSS_FINER),
    ("wire-finer", "sdf"): (1e-4, {**WIRE_FINER, "first_bias_scale": 1 / sqrt(3)}),
    ("finer", "nerf"): (2e-4, {**SINES, "first_bias_scale": None}),
    ("siren", "nerf"): (2e-4, SINES),
    ("finer", "ntk"): (None, {"first_omega_0": 1}),
    ("gauss-finer", "ntk"): (None, {"scale": 2.5, "omega_0": 0.4}),
    ("wire-finer", "ntk"): (None, {"scale": 2.5, "omega_w": 5, "omega_0": 0.08}),
}
SIZES = {"image": (256, 3), "sdf": (256, 2), "nerf": (182, 2), "ntk": (256, 0)}
CHANNELS = {"image": (2, 3), "sdf": (3, 1), "nerf": (3, 183), "ntk": (1, 1)}
WITHOUT = {
    "bacon": {"nerf", "ntk"},
    "multiscale-bacon": {"image", "nerf", "ntk"},
    "ngp": {"image", "sdf", "ntk"},
}
EVERY_TASK = [(method.name, task) for method in METHODS.values() for task in method.tasks]


def published(method: str, task: str, **overrides) -> NetworkConfig:
    in_features, out_features = CHANNELS[task]
    return published_config(method=method, task=task, in_features=in_features, out_features=out_features, **overrides)


@pytest.mark.parametrize(("method", "task"), PUBLISHED)
def test_published_values(method, task):
    rate, constants = PUBLISHED[method, task]
    values = METHODS[method].for_task(task)
    assert values.published
    assert (values.hidden_features, values.hidden_layers) == SIZES[task]
    assert rate is None or values.learning_rate == rate
    assert {name: values.options.get(name) for name in constants} == constants


@pytest.mark.parametrize("method", [name for name in METHODS if "sdf" in METHODS[name].tasks])
def test_amsgrad_in_distance_fields_except_for_the_complex_methods(method):
    assert METHODS[method].for_task("sdf").amsgrad == (method not in small.COMPLEX_NAMES)
    assert not any(values.amsgrad for task, values in METHODS[method].tasks.items() if task != "sdf")


@pytest.mark.parametrize("method", METHODS)
def test_targets_are_symmetric_except_for_relu_images(method):
    for task, values in METHODS[method].tasks.items():
        unit = task == "image" and method in ("pemlp", "ff")
        assert values.target_range == ((0, 1) if unit else (-1, 1))


def test_published_multiscale_bacon():
    network = build_network(published("multiscale-bacon", "sdf"))
    assert network.output_layers == [2, 4, 6, 8]
    assert len(network.linears) == 8
    assert network.linears[0].weight.shape == (256, 256)


@pytest.mark.parametrize(("method", "task"), EVERY_TASK)
def test_every_published_network_builds_and_runs(method, task):
    in_features, out_features = CHANNELS[task]
    network = build_network(published(method, task), generator=torch.Generator().manual_seed(0))
    out = network(small.coords_of(5, in_features))
    assert out.shape[-2:] == (5, out_features)
    assert out.dtype == torch.float32
    assert out.isfinite().all()
    assert out.std() > 0


def test_every_method_has_the_tasks_it_is_offered_for():
    for name in METHODS:
        missing = set(SIZES) - set(METHODS[name].tasks)
        assert missing == WITHOUT.get(name, set())


@pytest.mark.parametrize("method", ["finer", "siren", "gauss", "gauss-finer", "real-wire", "real-wire-finer"])
def test_parameter_count_of_the_image_network(method):
    network = build_network(published(method, "image"))
    assert sum(p.numel() for p in network.parameters()) == 198_915


@pytest.mark.parametrize("method", small.COMPLEX_NAMES)
def test_complex_networks_have_about_as_many_real_numbers(method):
    network = build_network(published(method, "image"))
    numbers = sum(p.numel() * (2 if p.is_complex() else 1) for p in network.parameters())
    assert 0.95 * 198_915 < numbers < 1.05 * 198_915


@pytest.mark.parametrize("method", ["finer", "siren", "wire"])
def test_first_and_hidden_omega_reach_their_layers(method):
    network = build_network(published(method, "image", first_omega_0=3.0, hidden_omega_0=7.0))
    omegas = [layer.activation.hyper_parameters["omega_0"] for layer in network.layers]
    assert omegas == [3.0, 7.0, 7.0, 7.0]


@pytest.mark.parametrize(("method", "task"), EVERY_TASK)
def test_published_constants_reach_every_activation(method, task):
    options = published(method, task).options
    network = build_network(published(method, task))
    for layer in getattr(network, "layers", []):
        for name, value in layer.activation.hyper_parameters.items():
            assert name not in options or options[name] == value


def test_first_bias_scale_reaches_the_first_layer_alone():
    wide = build_network(published("finer", "image", first_bias_scale=20.0))
    assert 15 < wide.layers[0].bias.abs().max() <= 20
    assert max(layer.bias.abs().max() for layer in wide.layers[1:]) <= 1 / 16


def test_overrides_and_an_explicit_none():
    config = published("gauss-finer", "image", hidden_features=32, scale=1.5, first_bias_scale=None)
    assert (config.hidden_features, config.hidden_layers) == (32, 3)
    assert published("gauss-finer", "image", hidden_layers=1).hidden_layers == 1
    assert config.options == {"scale": 1.5, "omega_0": 10.0, "first_bias_scale": None}
    assert METHODS["gauss-finer"].for_task("image").options["scale"] == 3.0


@pytest.mark.parametrize("name", METHODS)
def test_method_names(name):
    assert METHODS[name].name == name


@pytest.mark.parametrize("task", ["image", "sdf", "nerf", "ntk"])
def test_method_names_for_help_are_the_methods(task):
    assert method_names(task) == tuple(name for name, method in METHODS.items() if task in method.tasks)


def test_every_command_line_option_belongs_to_a_method():
    known = set().union(*(option_names(name) for name in METHODS)) | {"hidden_features", "hidden_layers"}
    assert {field.name for field in dataclasses.fields(NetworkOptions)} <= known


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("finr", "finer"), ("SIREN", "siren"), ("wirefiner", "wire-finer"), ("gaus", "gauss"), ("bacno", "bacon")],
)
def test_unknown_method_names_the_nearest(wrong, near):
    with pytest.raises(InputError, match=f"unknown method '{wrong}'; did you mean '{near}'"):
        find_method(wrong)


def test_unknown_method_far_from_all_lists_them():
    with pytest.raises(InputError, match=r"unknown method 'xyzzy' \(known: finer, siren") as caught:
        published_config(method="xyzzy", task="image", in_features=2, out_features=3)
    assert "did you mean" not in str(caught.value) and "multiscale-bacon" not in str(caught.value)
    with pytest.raises(InputError, match="multiscale-bacon"):
        find_method("xyzzy", task="sdf")


def test_unknown_task_lists_the_method_s_own():
    with pytest.raises(InputError, match="'bacon' has no values for task 'nerf'; it has image, sdf"):
        published("bacon", "nerf")


@pytest.mark.parametrize(("method", "option"), [("siren", "scale"), ("pemlp", "omega_0"), ("finer", "dtype")])
def test_unknown_option_lists_the_method_s_own(method, option):
    words = (
        f"method '{method}' has no option '{option}'; it has .*, beside the sizes hidden_features and hidden_layers$"
    )
    with pytest.raises(InputError, match=words):
        published(method, "image", **{option: 1.0})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor(1.0), {1, 2}])
def test_options_are_plain_data(value):
    with pytest.raises(InputError, match="option 'scale' cannot be"):
        NetworkConfig(method="gauss", in_features=2, out_features=1, options={"scale": value})


@pytest.mark.parametrize("method", METHODS)
def test_config_survives_json(method):
    task = "nerf" if method == "ngp" else "sdf"
    config = published(method, task)
    assert NetworkConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_from_dict_fills_defaults():
    config = NetworkConfig.from_dict({"method": "siren", "in_features": 2, "out_features": 1})
    assert (config.hidden_features, config.hidden_layers, config.options) == (256, 3, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_feature": 3}, r"unknown keys \['hidden_feature'\]"),
        ({1: 2, "extra": 3}, r"unknown keys \['1', 'extra'\]"),
        ({"method": None}, r"lacks \['method'\]"),
        ({"in_features": None}, r"lacks \['in_features'\]"),
        ({"method": ["finer"]}, r"method must be a string, got \['finer'\]"),
        ({"method": "fine"}, "did you mean 'finer'"),
        ({"hidden_layers": 2.0}, "hidden_layers must be an integer, got 2.0"),
        ({"hidden_features": "256"}, "hidden_features must be an integer, got '256'"),
        ({"out_features": True}, "out_features must be an integer, got True"),
        ({"options": [1]}, r"options must be a mapping, got \[1\]"),
        ({"options": {"bogus": 1}}, "no option 'bogus'"),
    ],
)
def test_from_dict_refuses(change, message):
    data = {"method": "finer", "in_features": 2, "out_features": 1, **change}
    with pytest.raises(InputError, match=message):
        NetworkConfig.from_dict({key: value for key, value in data.items() if value is not None})


@pytest.mark.parametrize("data", [None, [], "finer", 3])
def test_from_dict_needs_a_mapping(data):
    with pytest.raises(InputError, match=f"must be a mapping, got {type(data).__name__}"):
        NetworkConfig.from_dict(data)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hidden_features": 0}, "hidden_features must be an integer of at least 1, got 0"),
        ({"hidden_layers": -1}, "hidden_layers must be an integer of at least 0, got -1"),
        ({"hidden_features": 2.5}, "got 2.5"),
        ({"hidden_features": 10**30}, "hidden_features must be at most"),
        ({"hidden_layers": 10**9}, "hidden_layers must be at most 1000, got 1000000000"),
        ({"first_bias_scale": -1.0}, "bound must be finite and not negative, got -1.0"),
        ({"hidden_omega_0": 0}, "division by zero"),
    ],
)
def test_values_that_no_network_can_have(sizes, message):
    with pytest.raises(InputError, match=message) as caught:
        build_network(small.config_of("finer", **sizes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        ("gauss", "scale", "10"),
        ("gauss", "scale", None),
        ("gauss", "scale", True),
        ("gauss", "bias", 1),
        ("finer", "first_bias_scale", [1.0]),
        ("finer", "scale_req_grad", "yes"),
        ("pemlp", "num_frequencies", 2.5),
        ("pemlp", "weight_init", "xavier"),
        ("wire-finer", "complex_factor", "both"),
        ("multiscale-bacon", "output_layers", "2468"),
        ("multiscale-bacon", "output_layers", [2.5, 8]),
    ],
)
def test_options_of_another_type(method, option, value):
    with pytest.raises(InputError, match=f"method '{method}': option '{option}' cannot be "):
        small.config_of(method, **{option: value})


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        ("gauss", "scale", 3),
        ("finer", "first_bias_scale", None),
        ("finer", "first_bias_scale", 2),
        ("pemlp", "weight_init", "he"),
        ("multiscale-bacon", "output_layers", (4, 8)),
    ],
)
def test_options_that_fit(method, option, value):
    assert build_network(small.config_of(method, **{option: value})).config.options == {option: value}


def test_odd_width_of_fourier_features():
    with pytest.raises(InputError, match="hidden_features must be even"):
        build_network(small.config_of("ff", hidden_features=15))


def test_a_network_remembers_its_config():
    config = small.config_of("finer", first_bias_scale=2.0)
    assert build_network(config).config is config


@pytest.mark.parametrize("method", small.NAMES)
def test_building_on_the_meta_device_takes_no_memory(method):
    network = build_network(small.config_of(method, hidden_features=2**20), device="meta")
    assert all(parameter.is_meta for parameter in network.parameters())
