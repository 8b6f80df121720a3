"""A module whose state is no set of tensors with numbers is refused by name, before a file or a fit is begun."""

import numpy as np
import pytest
import torch
from torch import nn

from finer_core import (
    InputError,
    build_network,
    export,
    grid_coords,
    init_report,
    load_model,
    save_model,
    set_activation,
    training,
)
from finer_core.io.model_header import model_info
from finer_core.networks.own_network import describe_network
from finer_core.training.own_code import own_code


class Counting(nn.Linear):
    """Keeps more than tensors, as quantized and scaled layers do."""

    def get_extra_state(self):
        return {"count": 1}

    def set_extra_state(self, state):
        pass


MODULES = {
    "extra": (
        lambda: Counting(2, 1),
        "network Counting cannot be {}: '_extra_state' of its state is a dict; keep",
    ),
    "lazy": (lambda: nn.LazyLinear(1), "network LazyLinear cannot be {}: it has lazy layers"),
    "meta": (lambda: nn.Linear(2, 1, device="meta"), "network Linear cannot be {}: it is on the device meta"),
}


@pytest.mark.parametrize("kind", MODULES)
def test_by_files_and_by_fits(kind, tmp_path):
    make, words = MODULES[kind]
    with pytest.raises(InputError, match=words.format("saved")):
        save_model(make(), tmp_path / "model.safetensors")
    coords = grid_coords(3, 3)
    with pytest.raises(InputError, match=words.format("trained")):
        training.fit(make(), lambda network, step: network(coords).square().mean(), steps=1)
    assert not any(tmp_path.iterdir())


def test_before_an_application_tries_it():
    with pytest.raises(InputError, match="network Counting cannot be trained: '_extra_state' of its state is a dict"):
        describe_network(Counting(2, 1), in_features=2, out_features=1)


def test_tensors_that_no_file_holds(tmp_path):
    network = nn.Linear(2, 1)
    network.register_buffer("table", torch.eye(3).to_sparse())
    with pytest.raises(InputError, match=r"model\.safetensors: tensor 'table' is sparse, .*; make it dense"):
        save_model(network, tmp_path / "model.safetensors")
    assert not any(tmp_path.iterdir())


class Given(nn.Linear):
    def __init__(self) -> None:
        super().__init__(2, 1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Given, r"got the class Given; make one, as by Given\(\.\.\.\)"),
        (Given().state_dict(), r"got one of type OrderedDict$"),
        ("siren", r"got one of type str$"),
    ],
    ids=["class", "state", "text"],
)
def test_what_is_no_module_is_told_what_it_is(tmp_path, wrong, words):
    path, coords = tmp_path / "model.safetensors", torch.zeros(3, 2)
    save_model(Given(), path)
    calls = [
        lambda: save_model(wrong, tmp_path / "other.safetensors"),
        lambda: load_model(path, network=wrong),
        lambda: export(wrong, tmp_path / "model.pt2"),
        lambda: init_report(wrong, coords),
        lambda: set_activation(wrong, torch.sin),
        lambda: training.fit(wrong, lambda network, step: network(coords).mean(), steps=1),
        lambda: training.build_optimizers(wrong, learning_rate=1e-3),
    ]
    for call in calls:
        with pytest.raises(InputError, match=f"must be a torch module, {words}"):
            call()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_class_in_the_place_of_an_applications_network():
    with pytest.raises(InputError, match="a mapping of hyper-parameters or a torch module, got the class Given; make"):
        own_code(Given, None, options={}, describe=lambda network: network)


def test_what_is_no_plain_data(tmp_path):
    path, network = tmp_path / "model.safetensors", build_network("siren", in_features=2, out_features=1)
    for data in ({"a": object()}, {"a": float("nan")}, {"a": np.zeros(3)}):
        with pytest.raises(InputError, match=r"task_data is not plain data \(.*\); give numbers"):
            save_model(network, path, task_data=data)
    save_model(network, path, task_data={"a": np.float64(0.5), "b": [np.int64(3)]})
    assert model_info(path).task_data == {"a": 0.5, "b": [3]}
