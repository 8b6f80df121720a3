"""Compiled losses, with a stand-in for the compiler: when they are used, and what is added up."""

import pytest
import torch

from finer_core.activations import first_order_only, fuse_activations
from finer_core.activations._kernels import dispatch as fusion
from finer_core.training import SquaredError, compiled_gradients
from finer_core.training.compiled_gradients import add_compiled_gradients
from finer_sdf.training.objective import WeightedError
from finer_sdf.training.samples import SdfSamples
from tests.core import small

SINGLE_HEADED = [name for name in small.NAMES if name != "multiscale-bacon"]
REAL = [name for name in SINGLE_HEADED if name not in small.COMPLEX_NAMES]


class _Overwritten(torch.autograd.Function):
    """Return the same memory every time, as a CUDA graph does."""

    memory = torch.zeros((), dtype=torch.float64)

    @staticmethod
    def forward(ctx, value):
        return _Overwritten.memory.copy_(value).view(())

    @staticmethod
    def backward(ctx, grad):
        return grad


@pytest.fixture
def shapes(monkeypatch):
    """Let the CPU pass for another device, and the compiler leave functions alone; list the inputs that losses get."""
    seen: list[tuple[int, ...]] = []

    def compile_(function, *, mode=None, dynamic=None):
        def run(network, inputs, *others):
            seen.append(tuple(inputs.shape))
            return _Overwritten.apply(function(network, inputs, *others))

        return run if mode == "reduce-overhead" else function

    def forget() -> None:
        for cache in (fusion._compiled, fusion._can_compile, compiled_gradients._compiled):
            cache.cache_clear()

    forget()
    monkeypatch.setattr(fusion, "_is_cpu", lambda device: False)
    monkeypatch.setattr(torch, "compile", compile_)
    yield seen
    forget()


class Examples:
    """Serve as many points as a piece says."""

    def pieces(self, step):
        return [300, 256, 1], 3 * 557

    def examples(self, piece):
        coords = small.coords_of(piece, dtype=torch.float64)
        return coords, torch.sin(3 * coords.sum(dim=1, keepdim=True)).expand(piece, 3)


def sums_of(loss_of, pieces) -> tuple[torch.Tensor, dict]:
    """Return the loss and the gradients of all pieces."""
    sums: dict = {}
    with first_order_only():
        losses = [loss_of.add_gradients(piece, sums) for piece in pieces]
    return sum(losses), sums


def squared_error(network) -> tuple[torch.Tensor, dict]:
    pieces, count = Examples().pieces(0)
    return sums_of(SquaredError(network, Examples().examples, count=count), pieces)


def distance_error(network, error) -> tuple[torch.Tensor, dict]:
    def samples(rows: int) -> SdfSamples:
        coords = small.coords_of(rows, 3, dtype=torch.float64)
        return SdfSamples(coords=coords, sdf=coords.norm(dim=1, keepdim=True), weight=1 / (rows + coords[:, :1].abs()))

    return sums_of(WeightedError(network, error=error), [samples(300), samples(5)])


def assert_same(found: tuple[torch.Tensor, dict], expected: tuple[torch.Tensor, dict]) -> None:
    torch.testing.assert_close(found[0], expected[0])
    assert found[1].keys() == expected[1].keys()
    for parameter, grad in expected[1].items():
        torch.testing.assert_close(found[1][parameter], grad, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("method", REAL)
def test_squares_have_the_same_gradients_from_round_numbers_of_rows(method, shapes):
    network = small.network_of(method, dtype=torch.float64)
    expected = squared_error(network)
    assert not shapes
    fuse_activations(True)
    assert_same(squared_error(network), expected)
    assert shapes == [(512, 2), (256, 2), (256, 2)]


@pytest.mark.parametrize("error", ["squared", "absolute"])
@pytest.mark.parametrize("method", ["finer", "multiscale-bacon"])
def test_distances_too(method, error, shapes):
    network = small.network_of(method, in_features=3, out_features=1, dtype=torch.float64)
    expected = distance_error(network, error)
    fuse_activations(True)
    assert_same(distance_error(network, error), expected)
    assert shapes == [(512, 3), (256, 3)]


@pytest.mark.parametrize("choice", [None, False])
def test_it_is_off_until_asked_for(choice, shapes):
    fuse_activations(choice)
    squared_error(small.network_of("finer", dtype=torch.float64))
    assert not shapes


def test_never_on_a_cpu(shapes, monkeypatch):
    monkeypatch.setattr(fusion, "_is_cpu", lambda device: device.type == "cpu")
    fuse_activations(True)
    squared_error(small.network_of("finer", dtype=torch.float64))
    assert not shapes


@pytest.mark.parametrize("method", small.COMPLEX_NAMES)
def test_complex_networks_are_left_alone(method, shapes):
    fuse_activations(True)
    squared_error(small.network_of(method, dtype=torch.float64))
    assert not shapes


def test_frozen_parameters_get_no_gradient(shapes):
    fuse_activations(True)
    network = small.network_of("finer", dtype=torch.float64)
    network.layers[0].weight.requires_grad_(False)
    _, found = squared_error(network)
    assert shapes and network.layers[0].weight not in found and network.layers[1].weight in found


def test_each_loss_is_compiled_once(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: compiled.append(function) or function)
    compiled_gradients._compiled.cache_clear()

    def loss(network, inputs):
        return network(inputs).square().sum()

    for seed in range(3):
        add_compiled_gradients(loss, small.network_of("finer", seed=seed), small.coords_of(), sums={})
    compiled_gradients._compiled.cache_clear()
    assert compiled == [loss]
