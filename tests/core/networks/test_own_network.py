"""Networks and activations of the user's own: tried before training, and named in their files."""

import contextlib
import json

import numpy as np
import pytest
import torch
from torch import nn

from finer_core import (
    InputError,
    build_network,
    load_model,
    load_network,
    model_info,
    save_model,
    set_activation,
    training,
)
from finer_core.io.tensor_file import read_tensors, write_tensors
from finer_core.networks.network_dict import NetworkDict
from finer_core.networks.own_network import describe_network, name_of
from finer_core.training import bytes_per_row, chunk_rows
from tests.core import small


def mlp(width=24):
    return nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 3))


def test_what_a_module_takes_is_measured():
    described = describe_network(mlp(), in_features=2, out_features=3)
    # Autograd keeps the coordinates and both outputs of tanh; the weights are no row's.
    assert described.row_bytes == bytes_per_row(described) == 3 * 4 * ((2 + 24 + 24) + (2 + 3))
    assert described.hidden_features == 24 and described.own == "torch.nn.modules.container.Sequential"
    wide = describe_network(mlp(2048), in_features=2, out_features=3)
    assert chunk_rows(wide, room=10**9, device="cpu") == 256 < chunk_rows(described, room=10**9, device="cpu")


def test_trying_a_module_changes_nothing():
    network = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3))
    before, random = {name: value.clone() for name, value in network.state_dict().items()}, torch.get_rng_state()
    describe_network(network, in_features=2, out_features=3)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in network.parameters())


class Detached(nn.Linear):
    def forward(self, input):
        return super().forward(input).detach()


def test_a_module_without_gradients_is_refused():
    with pytest.raises(InputError, match="Detached gives values without gradients"):
        describe_network(Detached(2, 3), in_features=2, out_features=3)
    with pytest.raises(InputError, match="has no parameters to train"):
        describe_network(mlp().requires_grad_(False), in_features=2, out_features=3)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (torch.tanh, "torch.tanh"),
        (torch.Tensor.sin, "torch._C.TensorBase.sin"),
        (mlp, f"{__name__}.mlp"),
        (Detached(2, 3), f"{__name__}.Detached"),
    ],
)
def test_names(code, name):
    assert name_of(code) == name


def test_a_module_comes_back_bit_for_bit(tmp_path):
    path, network = tmp_path / "m.safetensors", mlp()
    save_model(network, path, task="mine", task_data={"a": 1})
    info = model_info(path)
    assert (info.own_network, info.configs, info.task) == ("torch.nn.modules.container.Sequential", {}, "mine")
    again = mlp()
    assert load_model(path, network=again) is again and not again.training
    x = small.coords_of()
    assert torch.equal(again(x), network(x))
    with pytest.raises(InputError, match="not a network of ours and has no config"):
        _ = info.config


@pytest.mark.parametrize(
    "activation",
    [torch.tanh, nn.PReLU(), nn.Softplus(beta=3.0), nn.PReLU],
    ids=["tanh", "PReLU", "Softplus", "class"],
)
@pytest.mark.parametrize("method", ["finer", "pemlp"])
def test_a_network_with_another_activation_comes_back(method, activation, tmp_path):
    path, network = tmp_path / "m.safetensors", small.network_of(method)
    before = network(small.coords_of())
    assert set_activation(network, activation) is network
    value = network(small.coords_of())
    assert not torch.equal(value, before)
    save_model(network, path)
    loaded = load_network(path, activation=activation)
    assert torch.equal(loaded(small.coords_of()), value)
    assert loaded.own_activation == model_info(path).own_activation == name_of(activation)
    assert loaded.config == network.config


def test_each_layer_has_a_copy_and_gradients_reach_it():
    network, activation = small.network_of("siren"), nn.PReLU()
    set_activation(network, activation)(small.coords_of()).sum().backward()
    grads = [layer.activation.weight.grad for layer in network.layers]
    assert all(grad is not None for grad in grads) and activation.weight.grad is None


def test_own_code_must_be_given_exactly_where_it_was_saved(tmp_path):
    ours, own, activated = (tmp_path / f"{name}.safetensors" for name in ("ours", "own", "activated"))
    save_model(small.network_of("siren"), ours)
    save_model(mlp(), own)
    save_model(set_activation(small.network_of("siren"), torch.tanh), activated)
    for path, given, words in (
        (ours, {"network": mlp()}, "without network of its user's own"),
        (ours, {"activation": torch.tanh}, "without activation of its user's own"),
        (own, {}, "Sequential', network of its user's own.*give network="),
        (own, {"network": mlp(8)}, r"Sequential needs torch.float32 \(8,"),
        (activated, {}, "'torch.tanh', activation of its user's own.*give activation="),
        (activated, {"activation": nn.PReLU()}, "tensors do not fit the config"),
    ):
        with pytest.raises(InputError, match=words):
            load_model(path, **given)


def test_several_networks_have_the_same_activation_or_none(tmp_path):
    path, parts = tmp_path / "parts.safetensors", NetworkDict.build(dict.fromkeys("ab", small.config_of("siren")))
    set_activation(parts.a, torch.tanh)
    with pytest.raises(ValueError, match="activation of its user's own"):
        save_model(parts, path)
    assert parts.set_activation(torch.tanh) is parts
    save_model(parts, path)
    loaded, x = load_model(path, activation=torch.tanh), small.coords_of()
    assert loaded.own_activation == "torch.tanh" and loaded.config == parts.config
    assert all(torch.equal(loaded[name](x), parts[name](x)) for name in "ab")
    with pytest.raises(InputError, match="give activation="):
        load_model(path)


@pytest.mark.parametrize(
    "config",
    [{"own": 3}, {"own": ["a"]}, {"own": ""}, {"activation": None, "network": {}}, {"activation": "a", "network": 3}],
    ids=str,
)
def test_forged_names_are_refused(config, tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(mlp(), path)
    header, tensors = read_tensors(path, what="model", expected_format="finer-model")
    del header["sha256"], header["complex"]
    write_tensors(path, tensors, {**header, "config": json.dumps(config)})
    with pytest.raises(InputError, match=r"m\.safetensors") as error:
        load_model(path, network=mlp())
    assert len(str(error.value)) <= 300


def test_networks_without_layers_of_ours_keep_their_activation():
    with pytest.raises(InputError, match="Bacon has no activation that another could replace"):
        set_activation(build_network(small.config_of("bacon")), torch.tanh)


@pytest.mark.parametrize(
    ("activation", "words"),
    [
        (lambda z: z.double().sin(), "makes float64 of float32; it must keep the type"),
        (lambda z: z.to(torch.complex64), "makes complex64 of float32"),
        (lambda z: z.int(), "makes int32 of float32"),
        (lambda z: torch.from_numpy(np.sin(z.detach().numpy())), "gives values without gradients"),
        (lambda z: (z > 0).to(z.dtype), "gives values without gradients"),
        (torch.ones_like, "gives values without gradients"),
        (lambda z: z.sum(), r"makes \(\) of \(2, 16\)"),
    ],
)
def test_what_is_no_activation_is_refused_by_name(activation, words):
    for mode in (contextlib.nullcontext, torch.no_grad, torch.inference_mode):
        with mode(), pytest.raises(InputError, match=f"activation .*{words}"):
            set_activation(small.network_of("siren"), activation)


@pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("activation", [torch.sin_, nn.ReLU(inplace=True), nn.PReLU()], ids=name_of)
def test_activations_in_place_and_of_another_precision_are_some(activation, mode):
    network = small.network_of("siren", dtype=torch.float64)
    with mode():
        assert set_activation(network, activation).own_activation == name_of(activation)
        set_activation(network, nn.PReLU)  # made in the mode


def test_an_activation_is_tried_in_every_type_of_the_layers():
    with pytest.raises(InputError, match="ReLU cannot take complex64"):
        set_activation(small.network_of("wire"), nn.ReLU)
    set_activation(small.network_of("wire"), torch.tanh)


class Table(nn.Embedding):
    def forward(self, input):
        return super().forward((input[:, 0] * 4 + 4).long())


def test_a_lazy_activation_is_refused():
    with pytest.raises(InputError, match="LazyBatchNorm1d is lazy, without weights yet; give one that has its size"):
        set_activation(small.network_of("siren"), nn.LazyBatchNorm1d())


def test_modules_that_no_optimizer_takes_are_refused():
    with pytest.raises(InputError, match="network Sequential has lazy layers without weights yet; call it once on"):
        describe_network(nn.Sequential(nn.LazyLinear(8), nn.LazyLinear(3)), in_features=2, out_features=3)
    describe_network(Table(9, 3), in_features=2, out_features=3)
    with pytest.raises(InputError, match=r"network Table: the gradient of 'weight' is sparse; .* sparse=False"):
        describe_network(Table(9, 3, sparse=True), in_features=2, out_features=3)


class Expanded(nn.Module):
    """As a channel's value is made one for all channels, without memory for each."""

    def __init__(self, *, trained):
        super().__init__()
        self.linear = nn.Linear(2, 3)
        shift = torch.zeros(1).expand(3)
        self.register_parameter("shift", nn.Parameter(shift)) if trained else self.register_buffer("shift", shift)

    def forward(self, coords):
        return self.linear(coords) + self.shift


@pytest.mark.parametrize("trained", [True, False])
def test_tensors_that_cannot_be_written_to_are_refused(trained, tmp_path):
    words = r"network Expanded cannot be {}: 'shift' has one number in memory for several, .* make it with \.clone\(\)"
    network, path = Expanded(trained=trained), tmp_path / "model.safetensors"
    with pytest.raises(InputError, match=words.format("trained")):
        describe_network(network, in_features=2, out_features=3)
    with pytest.raises(InputError, match=words.format("trained")):
        training.fit(network, lambda net, step: net(torch.ones(4, 2)).square().mean(), steps=1)
    with pytest.raises(InputError, match=words.format("saved")):
        save_model(network, path)
    own = Expanded(trained=trained)
    own.shift = nn.Parameter(own.shift.clone()) if trained else own.shift.clone()
    save_model(own, path)
    with pytest.raises(InputError, match=words.format("loaded")):
        load_model(path, network=network)
    assert torch.equal(load_model(path, network=own)(torch.ones(1, 2)), own(torch.ones(1, 2)))
