"""The step that a CUDA graph repeats: the plain step's gradients and updates, and resumed to the same bits."""

import numpy as np
import pytest
import torch

from finer_core.training import Fit, build_optimizers, schedule_of
from finer_core.training.cuda_graph import GraphedStep, graphed_step
from finer_core.training.state import put_state, take_state
from finer_image.training.objective import ImageObjective, PixelTarget
from finer_image.training.stratified import StratifiedPixels
from tests.core import small

SHAPES = {"whole cells": (64, 32), "cut cells": (61, 47)}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fit_of(method: str, shape: tuple[int, int], *, optimizer: str, batch_pixels: int, device: str = "cpu") -> Fit:
    height, width = shape
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    target = PixelTarget(pixels, value_range=(0, 255), target_range=(-1, 1), device=device)
    sampler = StratifiedPixels(height=height, width=width, batch_pixels=batch_pixels or 1, seed=0, device=device)
    network = small.network_of(method).to(device)
    return Fit(
        network=network,
        objective=ImageObjective(target, sampler=sampler if batch_pixels else None, chunk_pixels=300),
        optimizers=build_optimizers(network, name=optimizer, learning_rate=1e-3, ema_decay=0.9),
        schedule=schedule_of("cosine"),
        steps=24,
        log_every=6,
        max_grad_norm=1.0,
    )


def recorded(fit: Fit) -> Fit:
    """Have a fit's updates go the way that a graph repeats; on a CPU it is never recorded."""
    step = GraphedStep(fit.network, fit.objective, fit.optimizers, max_grad_norm=fit.max_grad_norm)
    step.is_refused = next(fit.network.parameters()).device.type == "cpu"
    fit._graphed = step
    return fit


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("batch_pixels", [200, 0])
@pytest.mark.parametrize("method", ["finer", "wire", "pemlp"])
def test_it_has_the_plain_gradients(method, batch_pixels, shape):
    fit = fit_of(method, shape, optimizer="adam", batch_pixels=batch_pixels)
    for step in range(2):
        losses, grads = [], []
        for way in ("backward", "backward_of"):
            fit.network.zero_grad()
            if way == "backward":
                losses.append(fit.objective.backward(fit.network, step))
            else:
                losses.append(fit.objective.backward_of(fit.network, *fit.objective.batch_tensors(step)))
            grads.append([parameter.grad.clone() for parameter in fit.network.parameters()])
        torch.testing.assert_close(*losses, rtol=1e-5, atol=0)
        for a, b in zip(*grads, strict=True):
            assert (a - b).norm() <= 1e-4 * a.norm()  # sums of 200 numbers in another order


@pytest.mark.parametrize("optimizer", ["adam", "muon", "soap"])
def test_it_takes_the_plain_steps(optimizer):
    plain, other = (fit_of("finer", SHAPES["whole cells"], optimizer=optimizer, batch_pixels=200) for _ in range(2))
    recorded(other)
    losses = [[fit.update(step).clone() for step in range(4)] for fit in (plain, other)]  # before rounding grows
    torch.testing.assert_close(*map(torch.stack, losses), rtol=1e-3, atol=0)


@pytest.mark.parametrize("optimizer", ["adam", "muon", "soap"])
def test_a_state_that_is_put_back_goes_on_to_the_same_bits(optimizer):
    whole, resumed = (
        recorded(fit_of("finer", SHAPES["cut cells"], optimizer=optimizer, batch_pixels=200)) for _ in range(2)
    )
    states = []
    whole.on_log = lambda point: states.append(
        take_state(whole.network, whole.optimizers, whole.objective, step=point.step, loop=loop_of(whole, point))
    )
    whole.run()
    resumed.run(states[1])  # its rates are those of the schedule too, in new groups
    pairs = zip(whole.network.parameters(), resumed.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def loop_of(fit: Fit, point) -> dict:
    return {
        **{"guard": fit.guard.state_dict(), "loss": point.loss, "seconds": 0.0, "steps": fit.steps},
        "is_reached": False,
    }


def test_it_is_not_taken_where_nothing_can_be_recorded():
    fit = fit_of("finer", (16, 16), optimizer="adam", batch_pixels=16)
    assert fit._graphed is None
    assert graphed_step(fit.network, fit.objective, fit.optimizers, max_grad_norm=None) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("optimizer", ["adam", "muon", "soap"])
def test_a_graph_repeats_the_step(optimizer, shape):
    plain, other = (fit_of("finer", shape, optimizer=optimizer, batch_pixels=200, device="cuda") for _ in range(2))
    recorded(plain)._graphed.is_refused = True
    for step in range(23):  # SOAP renews its bases in between
        a, b = plain.update(step).clone(), other.update(step)
        assert torch.equal(a, b)
    assert other._graphed._graph is not None
    state = take_state(other.network, other.optimizers, other.objective, step=23, loop={})
    put_state(state, other.network, other.optimizers, other.objective)
    other._graphed.forget()
    assert torch.equal(plain.update(23), other.update(23))
