"""A file holds a network's config, so a network that is no longer what its config says is not saved."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from finer_core import InputError, load_model, save_model, set_activation
from finer_core.networks.network_dict import NetworkDict
from finer_core.networks.unchanged import check_unchanged, what_it_is
from tests.core import small


def with_tanh(network: nn.Module) -> None:
    for layer in network.layers:
        layer.activation = nn.Tanh()


def with_omega(network: nn.Module) -> None:
    network.layers[1].activation.hyper_parameters["omega_0"] = 3.0


def with_weight_norm(network: nn.Module) -> None:
    parametrizations.weight_norm(network.layers[1])


def pruned(network: nn.Module) -> None:
    prune.l1_unstructured(network.layers[1], "weight", 3)


def with_mixed_activations(network: nn.Module) -> None:
    set_activation(network, torch.tanh).layers[0].activation = nn.Tanh()


def with_a_buffer(network: nn.Module) -> None:
    network.register_buffer("mean", torch.zeros(3))


def with_a_parameter_in_a_layer(network: nn.Module) -> None:
    network.layers[0].gain = nn.Parameter(torch.ones(1))


def with_another_head(network: nn.Module) -> None:
    network.head = nn.Linear(16, 3)


def without_a_layer(network: nn.Module) -> None:
    del network.layers[1]


CHANGES: dict[Callable[[nn.Module], None], str] = {
    with_tanh: r"Tanh\(\) as 'layers.0.activation'.*SineActivation\(omega_0=30.0\); put it in by .*set_activation",
    with_omega: r"SineActivation\(omega_0=3.0\) as 'layers.1.activation'.*omega_0=30.0\); give build_network the value",
    with_weight_norm: r"parametrized weights in 'layers.1'.*remove_parametrizations",
    pruned: r"no tensor 'layers.1.weight'.*take the parametrization off",
    with_mixed_activations: r"activation.Tanh as 'layers.0.activation'.*would say torch.tanh; give all layers one",
    with_a_buffer: r"a further tensor 'mean'; take it off before saving .*torch.nn.Sequential\(network\)",
    with_a_parameter_in_a_layer: r"a further tensor 'layers.0.gain'; take it off before saving",
    with_another_head: r"Linear\(.*\) as 'head'.*torch.nn.Sequential\(network\)",
    without_a_layer: r"none as 'layers.2'.*torch.nn.Sequential\(network\)",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_network_is_not_saved(change, tmp_path):
    network = small.network_of("siren")
    change(network)
    for saved in (network, NetworkDict({"a": small.network_of("siren"), "b": network})):
        with pytest.raises(InputError, match=CHANGES[change]) as error:
            save_model(saved, tmp_path / "m.safetensors")
        assert len(str(error.value)) <= 300
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", small.NAMES)
def test_training_and_casting_change_nothing_of_it(method):
    network = small.network_of(method).double().requires_grad_(False).train()
    random = torch.get_rng_state()
    check_unchanged(network)
    assert torch.equal(torch.get_rng_state(), random)


def test_what_is_undone_is_saved(tmp_path):
    path, network, plain = tmp_path / "m.safetensors", small.network_of("siren"), small.network_of("siren")
    with_weight_norm(network)
    parametrize.remove_parametrizations(network.layers[1], "weight")
    check_unchanged(network)
    with_tanh(network)
    save_model(nn.Sequential(network), path)  # as a module of one's own
    with_tanh(plain)
    again = load_model(path, network=nn.Sequential(plain))
    assert torch.equal(again(small.coords_of()), network(small.coords_of()))


def test_a_module_may_stand_for_another():
    network = small.network_of("pemlp")
    network.layers[0].activation = stand_in = nn.Identity()
    with pytest.raises(InputError, match="Identity"):
        check_unchanged(network)
    stand_in.stands_for = what_it_is(network.layers[1].activation)
    check_unchanged(network)
