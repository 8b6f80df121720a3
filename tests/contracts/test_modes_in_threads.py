"""What a program has set for derivatives, casts and devices holds in the threads that work is dealt out to."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar

import numpy as np
import pytest
import torch

from finer_core.activations import derivatives_are_exact, exact_derivatives
from finer_core.parallel import as_here, parallel_map
from finer_core.training.accumulate import accumulate_gradients
from finer_sdf.meshing.field_values import CACHED_POINTS, evaluate_points
from finer_sdf.training.samples import Prefetcher
from tests.core import small

MODES: dict[str, Callable[[], AbstractContextManager]] = {
    "exact": exact_derivatives,
    "autocast": lambda: torch.autocast("cpu", torch.float16, cache_enabled=False),
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "meta": lambda: torch.device("meta"),
}


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def modes(_: object = None) -> tuple:
    casts = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()
    grad = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    return derivatives_are_exact(), grad, casts if casts[0] else False, torch.get_default_device()


def in_all_pieces(piece: Callable) -> list:
    return parallel_map(piece, range(4))


def in_points(piece: Callable) -> list:
    found = []

    def field(points: torch.Tensor) -> torch.Tensor:
        found.append(piece())
        return torch.zeros(len(points), 1, device="cpu")

    evaluate_points(field, np.zeros((CACHED_POINTS * 3, 3), dtype=np.float32))
    return found


def in_rays(piece: Callable) -> list:
    with torch.no_grad():
        return parallel_map(piece, range(4))


def in_samples(piece: Callable) -> list:
    class Sampler:
        batch = staticmethod(piece)

    samples = Prefetcher(Sampler(), steps=4)
    try:
        return [samples.batch(step) for step in range(4)]
    finally:
        samples.close()


@pytest.mark.parametrize("pool", [in_all_pieces, in_points, in_rays, in_samples])
@pytest.mark.parametrize("mode", MODES)
def test_threads_have_the_modes_of_the_caller(pool, mode):
    plain = pool(modes)
    with MODES[mode]():
        with torch.set_grad_enabled(pool not in (in_points, in_rays) and torch.is_grad_enabled()):
            expected = modes()
        assert pool(modes) == [expected] * len(plain)
    assert pool(modes) == plain, "a thread must not keep what it was given"


def test_gradients_may_be_on_in_inference_mode():
    with torch.inference_mode(), torch.enable_grad():
        assert parallel_map(modes, range(3)) == [modes()] * 3


def test_what_work_sets_ends_with_the_call():
    mine = ContextVar("mine", default=0)
    mine.set(1)

    def work(item: int) -> int:
        before = mine.get()
        mine.set(2 + item)
        return before

    assert as_here(work)(0) == 1
    torch.set_num_threads(2)
    assert parallel_map(work, range(4)) == [1] * 4
    assert mine.get() == 1


def gradients(mode: Callable[[], AbstractContextManager]) -> list[torch.Tensor]:
    network, parts = small.network_of("finer"), small.coords_of(40).split(10)
    network.load_state_dict({key: torch.full_like(value, 0.3) for key, value in network.state_dict().items()})
    head = torch.nn.Linear(3, 1, bias=False)
    torch.nn.init.constant_(head.weight, 0.7)
    whole = torch.nn.Sequential(network, head)

    def loss_of(part: torch.Tensor) -> torch.Tensor:
        return head(network(part)).float().sum()

    with mode():
        accumulate_gradients(whole, parts, loss_of)
    return [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("mode", ["exact", "autocast"])
def test_gradients_are_those_of_the_mode(mode):
    plain, found = gradients(torch.no_grad), gradients(MODES[mode])
    torch.set_num_threads(1)
    expected = gradients(MODES[mode])
    assert not all(torch.allclose(a, b, rtol=1e-4) for a, b in zip(plain, expected, strict=True))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
