"""Model files: what is saved comes back bit for bit."""

import json
import os
import pickle

import pytest
import torch
from safetensors import safe_open
from torch import nn

from finer_core import InputError, NetworkConfig, Siren, build_network, load_model, model_info, save_model
from finer_core import __version__ as version
from finer_core.io.model_header import FORMAT, FORMAT_VERSION
from finer_core.networks.network_dict import NetworkDict
from finer_core.training.precision import set_backward_precision
from tests.core import small

TASK_DATA = {"size": [12, 34], "range": [-1.0, 1.0], "dtype": "uint8", "nested": {"a": None, "b": True}, "name": "Grün"}


def options_of(method: str) -> dict:
    """Return settings that are not the defaults, to see that they are kept."""
    return {
        "finer": {"first_bias_scale": 3.0, "hidden_omega_0": 12.0, "scale_req_grad": True},
        "pemlp": {"num_frequencies": 4, "bias": False},
        "wire-finer": {"complex_factor": "modulus", "first_bias_scale": None},
        "multiscale-bacon": {"reuse_filters": False, "output_layers": [4, 8]},
    }.get(method, {})


def random_state_of(network: nn.Module) -> None:
    """Fill parameters and buffers with numbers that no initializer would draw."""
    generator = torch.Generator().manual_seed(5)
    for tensor in network.state_dict().values():
        target = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        target.normal_(std=0.1, generator=generator)


@pytest.mark.parametrize("method", small.NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_method_comes_back_bit_for_bit(tmp_path, method, dtype):
    network = small.network_of(method, dtype=dtype, **options_of(method))
    random_state_of(network)
    save_model(network, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    state = loaded.state_dict()
    assert list(state) == list(network.state_dict())
    for name, value in network.state_dict().items():
        assert state[name].dtype == value.dtype
        assert torch.equal(state[name], value), name
    assert loaded.config == network.config
    assert type(loaded) is type(network)
    assert repr(loaded) == repr(network)
    x = small.coords_of(8, dtype=dtype)
    assert torch.equal(loaded(x), network(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_come_back(tmp_path, dtype):
    network = small.network_of("finer", dtype=dtype)
    save_model(network, tmp_path / "m.safetensors")
    assert torch.equal(load_model(tmp_path / "m.safetensors").head.weight, network.head.weight)


def test_special_values_come_back(tmp_path):
    network = small.network_of("siren")
    special = [0.0, -0.0, float("inf"), float("nan"), 1e-45]
    with torch.no_grad():
        network.head.bias.copy_(torch.tensor(special[2:]))
        network.layers[0].bias[:5] = torch.tensor(special)
    save_model(network, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name].view(torch.int32), value.view(torch.int32)), name


def test_metadata_and_task_data(tmp_path):
    network = small.network_of("finer", first_bias_scale=3.0)
    save_model(network, tmp_path / "m.safetensors", task="image", task_data=TASK_DATA)
    info = model_info(tmp_path / "m.safetensors")
    assert info.config == network.config
    assert (info.task, info.task_data, info.finer_core_version) == ("image", TASK_DATA, version)
    assert load_model(tmp_path / "m.safetensors").info == info


def test_the_header_says_what_the_file_is_to_any_reader(tmp_path):
    network = small.network_of("wire")
    save_model(network, str(tmp_path / "m.safetensors"), task="image")
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        header, keys = json.loads(file.metadata()["finer"]), set(file.keys())
    assert (header["format"], header["format_version"]) == (FORMAT, str(FORMAT_VERSION))
    assert NetworkConfig.from_dict(json.loads(header["config"])) == network.config
    assert keys == set(network.state_dict())


def test_no_task_data_is_an_empty_mapping(tmp_path):
    save_model(small.network_of("siren"), tmp_path / "m.safetensors")
    assert model_info(tmp_path / "m.safetensors").task_data == {}


def test_a_loaded_model_can_be_trained_further_and_copied(tmp_path):
    save_model(small.network_of("finer"), tmp_path / "m.safetensors")
    network = load_model(tmp_path / "m.safetensors")
    assert not network.training
    assert all(p.requires_grad and p.is_leaf for p in network.parameters())
    before = network(small.coords_of()).square().mean()
    before.backward()
    torch.optim.SGD(network.parameters(), lr=1e-4).step()
    assert network(small.coords_of()).square().mean() < before
    assert pickle.loads(pickle.dumps(network)).info == network.info


def test_equal_models_give_equal_files(tmp_path):
    network = small.network_of("wire-finer")
    save_model(network, tmp_path / "a.safetensors", task_data=TASK_DATA)
    save_model(load_model(tmp_path / "a.safetensors"), tmp_path / "b.safetensors", task_data=TASK_DATA)
    save_model(network, tmp_path / "c.safetensors", task_data={})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert (tmp_path / "a.safetensors").read_bytes() != (tmp_path / "c.safetensors").read_bytes()


def test_training_precision_is_not_part_of_the_file(tmp_path):
    network = small.network_of("finer", hidden_features=32)
    save_model(network, tmp_path / "a.safetensors")
    set_backward_precision(network, "bf16")
    save_model(network, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_weights_that_share_memory_are_saved(tmp_path):
    network = small.network_of("siren")
    network.layers[2].weight = network.layers[1].weight
    save_model(network, tmp_path / "m.safetensors")
    assert torch.equal(load_model(tmp_path / "m.safetensors").layers[2].weight, network.layers[1].weight)


def test_weights_that_are_not_contiguous_are_saved(tmp_path):
    network = small.network_of("siren")
    network.layers[1].weight.data = network.layers[1].weight.data.t()
    save_model(network, tmp_path / "m.safetensors")
    assert torch.equal(load_model(tmp_path / "m.safetensors").layers[1].weight, network.layers[1].weight)


def test_loading_leaves_the_global_random_state(tmp_path):
    save_model(small.network_of("ff"), tmp_path / "m.safetensors")
    before = torch.get_rng_state()
    load_model(tmp_path / "m.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loaded_model_does_not_depend_on_its_file(tmp_path):
    path = tmp_path / "m.safetensors"
    network = small.network_of("siren")
    save_model(network, path)
    loaded = load_model(path)
    with open(path, "rb+") as file:  # as `cp` does: in place
        file.seek(-1024, os.SEEK_END)
        file.write(b"\0" * 1024)
        file.truncate(100)
    assert torch.equal(loaded(small.coords_of()), network(small.coords_of()))


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    save_model(small.network_of("siren"), path)
    old = path.read_bytes()

    def break_off(tensors, name, metadata):
        with open(name, "wb") as file:
            file.write(b"half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr("finer_core.io.tensor_file.write_safetensors", break_off)
    with pytest.raises(OSError, match="no space"):
        save_model(small.network_of("siren", seed=1), path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["m.safetensors"]


@pytest.mark.parametrize("task_data", [{"x": torch.zeros(2)}, {"x": float("nan")}, {"x": {1, 2}}])
def test_task_data_is_plain(tmp_path, task_data):
    with pytest.raises((TypeError, ValueError)):
        save_model(small.network_of("siren"), tmp_path / "m.safetensors", task_data=task_data)
    assert not os.listdir(tmp_path)


def test_a_class_used_directly_is_saved_as_a_module_of_its_users_own(tmp_path):
    path, sizes = tmp_path / "m.safetensors", {"in_features": 2, "out_features": 1, "hidden_features": 8}
    network = Siren(**sizes)
    save_model(network, path)
    assert model_info(path).own_network == "finer_core.networks.sine.Siren"
    again = load_model(path, network=Siren(**sizes))
    assert torch.equal(again(small.coords_of()), network(small.coords_of()))
    with pytest.raises(ValueError, match="parts made by build_network, got Siren without config"):
        save_model(NetworkDict({"a": network}), path)


def test_a_compiled_network_is_saved_as_what_was_compiled(tmp_path):
    path, network = tmp_path / "m.safetensors", small.network_of("siren")
    save_model(torch.compile(network, backend="eager"), path)
    loaded = load_model(path)
    assert loaded.config == network.config and list(loaded.state_dict()) == list(network.state_dict())


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        save_model(small.network_of("siren"), tmp_path / "none" / "m.safetensors")


def test_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)
    with pytest.raises(ValueError, match="no such model file"):
        build_network(load_model("nowhere.safetensors"))
