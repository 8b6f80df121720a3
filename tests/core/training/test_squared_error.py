"""The squared error's own way to its gradients gives those of the graph, and steps aside where it must."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from finer_core.activations import first_order_only
from finer_core.training import SquaredError, squared_error
from finer_core.training.precision import set_backward_precision
from tests.core import small

WITHOUT_GRAPH = ("siren", "finer", "gauss", "gauss-finer", "fourier-features", "real-wire", "real-wire-finer")


class Examples:
    """Serve the same coordinates and targets, scaled by the piece."""

    def __init__(self, dtype: torch.dtype = torch.float64, channels: int = 3) -> None:
        self.coords = small.coords_of(40, dtype=dtype)
        generator = torch.Generator().manual_seed(3)
        self.targets = torch.rand(40, channels, dtype=dtype, generator=generator)

    def pieces(self, step):
        return [0.5, 1.0, 0.8], 360

    def examples(self, piece):
        return self.coords * piece, self.targets


def both_ways(network: nn.Module, examples: Examples) -> list[tuple[torch.Tensor, dict]]:
    """Return the loss and the gradients of three pieces, by the graph and by `add_gradients`."""
    pieces, count = examples.pieces(0)
    loss_of = SquaredError(network, examples.examples, count=count)
    network.zero_grad()
    total = sum(loss_of(piece) for piece in pieces)
    total.backward()
    by_graph = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    sums: dict = {}
    with first_order_only():
        loss = sum(loss_of.add_gradients(piece, sums) for piece in pieces)
    assert not loss.requires_grad
    names = {parameter: name for name, parameter in network.named_parameters()}
    return [(total.detach(), by_graph), (loss, {names[parameter]: grad for parameter, grad in sums.items()})]


def assert_equal_ways(network: nn.Module, examples: Examples) -> None:
    (loss, by_graph), (own_loss, own) = both_ways(network, examples)
    torch.testing.assert_close(own_loss, loss)
    assert own.keys() == by_graph.keys()
    for name, grad in by_graph.items():
        torch.testing.assert_close(own[name], grad, rtol=1e-9, atol=1e-11, msg=name)


@pytest.fixture
def evaluated(monkeypatch) -> list[int]:
    """Collect how many maps went through without a graph."""
    counts: list[int] = []
    evaluate = squared_error.evaluate

    def recorded(x, maps):
        counts.append(len(maps))
        return evaluate(x, maps)

    monkeypatch.setattr(squared_error, "evaluate", recorded)
    return counts


@pytest.mark.parametrize("method", [name for name in small.NAMES if name != "multiscale-bacon"])  # has many outputs
def test_every_network(method, evaluated):
    network = small.network_of(method, dtype=torch.float64)
    assert_equal_ways(network, Examples())
    assert evaluated == ([4] * 3 if method in WITHOUT_GRAPH else [])


def test_a_frozen_weight_gets_none(evaluated):
    network = small.network_of("finer", dtype=torch.float64)
    network.layers[1].weight.requires_grad_(False)
    assert_equal_ways(network, Examples())
    assert evaluated


def test_tied_layers_add_up(evaluated):
    network = small.network_of("finer", dtype=torch.float64)
    network.layers[2] = network.layers[1]
    assert_equal_ways(network, Examples())
    assert evaluated


def test_layers_without_bias(evaluated):
    network = small.network_of("finer", dtype=torch.float64)
    network.layers[1].bias = None
    assert_equal_ways(network, Examples())
    assert evaluated


def hook_a_layer(network):
    network.layers[1].register_forward_hook(lambda module, args, output: output * 0.5)


def hook_the_network(network):
    network.register_forward_hook(lambda module, args, output: output * 0.5)


def replace_a_layer(network):
    network.layers[1] = nn.Sequential(nn.Linear(16, 16, dtype=torch.float64), nn.Tanh())


def make_a_weight_of_others(network):
    parametrizations.weight_norm(network.layers[1])


def hook_a_gradient(network):
    network.layers[1].weight.register_hook(lambda grad: grad * 0.5)


CHANGES = [hook_a_layer, hook_the_network, replace_a_layer, make_a_weight_of_others, hook_a_gradient]


@pytest.mark.parametrize("change", CHANGES)
def test_what_must_be_called_is_called(change, evaluated):
    network = small.network_of("finer", dtype=torch.float64)
    change(network)
    assert_equal_ways(network, Examples())
    assert not evaluated


def test_backward_products_are_rounded_where_that_was_chosen(evaluated):
    network = small.network_of("finer", hidden_features=40)
    (_, exact), _ = both_ways(network, Examples(torch.float32))
    set_backward_precision(network, "bf16")
    (loss, by_graph), (own_loss, own) = both_ways(network, Examples(torch.float32))
    assert evaluated == [4] * 6
    torch.testing.assert_close(own_loss, loss)
    assert own.keys() == by_graph.keys()
    for name, grad in own.items():
        assert grad.dtype == torch.float32
        assert (grad - by_graph[name]).norm() < 9 * 2**-8 * by_graph[name].norm(), name
        assert not torch.equal(grad, exact[name]) or name.startswith("head"), name


def test_targets_of_another_shape_are_not_guessed_at(evaluated):
    network = small.network_of("finer", dtype=torch.float64)
    with first_order_only(), pytest.warns(UserWarning, match="target size"):
        SquaredError(network, Examples(channels=1).examples, count=120).add_gradients(1.0, {})
    assert not evaluated


def test_coordinates_are_left_as_they_are():
    network = small.network_of("finer", hidden_features=256)
    examples = Examples(torch.float32)
    examples.coords = torch.rand(1024, 256) * 2 - 1  # as large as what is used again
    examples.targets = torch.rand(1024, 3)
    network = small.network_of("finer", in_features=256, hidden_features=256)
    before = examples.coords.clone()
    losses = []
    for _ in range(3):
        with first_order_only():
            losses.append(SquaredError(network, examples.examples, count=3072).add_gradients(1, {}))
    assert torch.equal(examples.coords, before)
    assert losses[0] == losses[1] == losses[2]
