"""Fits side by side end where each would alone: stacked or in threads, with rollbacks, early ends and resumptions."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from finer_core.errors import DivergenceError, InputError
from finer_core.experimental.batched_fits import run_together, update_of
from finer_core.experimental.stacked import accumulate_gradients_stacked
from finer_core.methods import method_names
from finer_core.training import (
    DivergenceGuard,
    Fit,
    Interrupted,
    LogPoint,
    SquaredError,
    StatelessObjective,
    accumulate_gradients,
    build_optimizers,
    exponential_decay,
    warmup_linear,
)
from finer_core.training.accumulate import accumulate_gradients_of_many
from finer_core.training.state import read_state
from tests.core import small
from tests.core.fits import same, weights_of

STEPS = 40


class PointsObjective(StatelessObjective):
    """Fit a wave of its own at points that depend on seed and step; some batches are shorter, as an image's may be."""

    def __init__(self, seed: int, *, pieces: int = 2, dtype: torch.dtype = torch.float32) -> None:
        self.seed, self.piece_count, self.dtype = seed, pieces, dtype

    def pieces(self, step: int) -> tuple[list[Tensor], int]:
        generator = torch.Generator().manual_seed(1000 * self.seed + step)
        rows = 40 - (self.seed + step) % 3
        points = torch.rand(rows, 2, generator=generator, dtype=self.dtype) * 2 - 1
        return list(points.split(math.ceil(40 / self.piece_count))), rows * 3

    def examples(self, piece: Tensor) -> tuple[Tensor, Tensor]:
        waves = torch.tensor([[2.0, 1.0, -2.0], [1.0, 3.0, 2.0 + self.seed]], dtype=self.dtype)
        return piece, torch.sin(piece @ waves)

    def backward(self, network: nn.Module, step: int) -> Tensor:
        pieces, count = self.pieces(step)
        return accumulate_gradients(network, pieces, SquaredError(network, self, count=count))


def member(
    seed: int,
    *,
    method: str = "finer",
    optimizer: str = "adam",
    pieces: int = 2,
    dtype: torch.dtype = torch.float32,
    **fit,
) -> Fit:
    omegas = {"first_omega_0": 4.0, "hidden_omega_0": 4.0} if method == "finer" else {}
    network = small.network_of(method, seed=seed, dtype=dtype, **omegas)
    optimizers = build_optimizers(network, name=optimizer, learning_rate=2e-3, matrix_learning_rate=0.01)
    settings = {"schedule": exponential_decay(), "steps": STEPS, "log_every": 8, **fit}
    objective = PointsObjective(seed, pieces=pieces, dtype=dtype)
    return Fit(network=network, objective=objective, optimizers=optimizers, **settings)


def spiky(factor: float):
    """Return a schedule whose rate jumps once, which makes a guarded fit go back."""
    return lambda step, steps: factor if step == 19 else 1.0


def members(**kinds) -> list[Fit]:
    """Assemble three fits, the middle one of which goes back."""
    guard = {"guard": DivergenceGuard(spike_factor=1.5, rate_factor=0.02), "schedule": spiky(400.0)}
    return [member(0, **kinds), member(1, **{**kinds, **guard}), member(2, **kinds)]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("stacked", [True, False], ids=["stacked", "threads"])
# Muon rounds to bfloat16, where gradients that differ in their last bits may fall on two sides: double shows that
# nothing else differs, single how much that makes in so many steps.
@pytest.mark.parametrize(
    ("optimizer", "dtype", "rtol", "schedule"),
    [
        ("adam", torch.float32, 2e-5, exponential_decay()),
        ("adam", torch.float32, 2e-5, warmup_linear()),
        ("muon", torch.float64, 1e-7, warmup_linear()),
        ("muon", torch.float32, 1e-2, exponential_decay()),
    ],
    ids=["adam-exponential", "adam-linear", "muon-double", "muon-single"],
)
def test_fits_together_end_where_each_would_alone(stacked, optimizer, dtype, rtol, schedule):
    kinds = {"optimizer": optimizer, "dtype": dtype, "schedule": schedule, "max_grad_norm": 1.0}
    alone, together = members(**kinds), members(**kinds)
    losses: dict[int, list[float]] = {number: [] for number in range(3)}
    for number, fit in enumerate(together):
        fit.on_log = lambda point, number=number: losses[number].append(point.loss)
    points = run_together(together, update_of(together, stacked=stacked))
    assert points[1].rollbacks > 0, "the case must contain a rollback"
    for number, fit in enumerate(alone):
        expected: list[float] = []
        fit.on_log = lambda point, expected=expected: expected.append(point.loss)
        last = fit.run()
        torch.testing.assert_close(losses[number], expected, rtol=rtol, atol=0)
        assert (last.rollbacks, last.learning_rate) == (points[number].rollbacks, points[number].learning_rate)
        for a, b in zip(together[number].network.parameters(), fit.network.parameters(), strict=True):
            assert (a - b).norm() <= rtol * b.norm()
    assert points[0].rollbacks == points[2].rollbacks == 0


def test_threads_give_the_bits_of_separate_fits(two_threads):
    alone, together = members(pieces=4), members(pieces=4)
    run_together(together, update_of(together))
    for a, b in zip(alone, together, strict=True):
        a.run()
        assert same(weights_of(a), weights_of(b))


@pytest.mark.parametrize("method", method_names("image"))
def test_stacked_gradients_are_those_of_each_network(method):
    networks = [small.network_of(method, seed=seed) for seed in range(3)]
    objectives = [PointsObjective(seed, pieces=3) for seed in range(3)]
    alone = [small.network_of(method, seed=seed) for seed in range(3)]
    losses = accumulate_gradients_stacked(networks, objectives, [4, 5, 9])
    for network, objective, step, single, loss in zip(networks, objectives, [4, 5, 9], alone, losses, strict=True):
        expected = objective.backward(single, step)
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
        for a, b in zip(network.parameters(), single.parameters(), strict=True):
            assert (a.grad is None) == (b.grad is None)
            if b.grad is not None:
                assert a.grad.stride() == b.grad.stride(), "fused optimisers read another layout wrongly"
                assert (a.grad - b.grad).norm() <= 1e-4 * b.grad.norm()


def test_stacked_gradients_are_added_to_what_is_there():
    networks = [small.network_of("siren", seed=seed) for seed in range(2)]
    objectives = [PointsObjective(seed) for seed in range(2)]
    accumulate_gradients_stacked(networks, objectives, [0, 0])
    once = [[p.grad.clone() for p in network.parameters()] for network in networks]
    accumulate_gradients_stacked(networks, objectives, [0, 0])
    for network, grads in zip(networks, once, strict=True):
        for parameter, grad in zip(network.parameters(), grads, strict=True):
            torch.testing.assert_close(parameter.grad, 2 * grad)


def test_networks_of_different_kinds_are_not_stacked():
    networks = [small.network_of("finer"), small.network_of("siren")]
    with pytest.raises(ValueError, match="one kind"):
        accumulate_gradients_stacked(networks, [PointsObjective(0), PointsObjective(1)], [0, 0])
    omegas = [small.network_of("siren", first_omega_0=omega) for omega in (1.0, 2.0)]
    with pytest.raises(ValueError, match="one kind"):
        accumulate_gradients_stacked(omegas, [PointsObjective(0), PointsObjective(1)], [0, 0])


def test_a_batch_of_many_needs_pieces():
    with pytest.raises(ValueError, match="at least one piece"):
        accumulate_gradients_of_many([(small.network_of("siren"), [], lambda piece: piece)])


def test_fits_of_different_lengths_and_kinds_share_the_threads():
    def make() -> list[Fit]:
        return [member(0, steps=5), member(1, steps=17, method="siren"), member(2, steps=9, log_every=2)]

    together = make()
    points = run_together(together, update_of(together))
    assert [point.step for point in points] == [5, 17, 9]
    for a, b in zip(make(), together, strict=True):
        a.run()
        for x, y in zip(a.network.parameters(), b.network.parameters(), strict=True):
            torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-7)


def test_one_that_diverges_for_good_does_not_stop_the_others():
    hopeless = member(1, guard=DivergenceGuard(max_rollbacks=2), schedule=lambda step, steps: 1e30)
    fits = [member(0), hopeless, member(2)]
    ends = run_together(fits, update_of(fits))
    assert isinstance(ends[0], LogPoint)
    assert isinstance(ends[1], DivergenceError)
    assert isinstance(ends[2], LogPoint)
    assert ends[2].step == STEPS


def test_a_state_of_another_fit_does_not_stop_the_others(tmp_path):
    other = member(5, steps=8)
    other.checkpoint = tmp_path / "state.safetensors"
    other.run()
    fits = [member(0), member(1)]
    ends = run_together(fits, update_of(fits), states=[read_state(other.checkpoint), None])
    assert isinstance(ends[0], InputError)
    assert isinstance(ends[1], LogPoint)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_a_killed_group_resumes_to_the_same_bits_in_any_company(tmp_path, optimizer, pieces, two_threads):
    def make(numbers) -> list[Fit]:
        fits = members(optimizer=optimizer, pieces=pieces)
        for number, fit in enumerate(fits):
            fit.checkpoint, fit.checkpoint_seconds = tmp_path / f"{number}" / "state.safetensors", 0.0
        return [fits[number] for number in numbers]

    whole = make(range(3))
    run_together(whole, update_of(whole))
    for fit in whole:
        fit.checkpoint.unlink()

    stopped, updates = make(range(3)), iter(range(1000))
    stopped[2].should_stop = lambda: next(updates) >= 21
    for fit in stopped[:2]:
        fit.should_stop = lambda: next(updates) >= 60
    with pytest.raises(Interrupted):
        run_together(stopped, update_of(stopped))
    steps = {number: read_state(fit.checkpoint).step for number, fit in enumerate(stopped)}
    assert all(step < STEPS for step in steps.values()), steps
    for company in ((1,), (0, 2)):  # members of a killed group need not come back together
        resumed = make(company)
        run_together(resumed, update_of(resumed), states=[read_state(fit.checkpoint) for fit in resumed])
        for number, fit in zip(company, resumed, strict=True):
            assert same(weights_of(fit), weights_of(whole[number]))


def test_members_save_and_load_like_any_network(tmp_path: Path):
    from finer_core import load_model
    from finer_core.io.model_file import save_model

    fits = [member(0), member(1)]
    run_together(fits, update_of(fits, stacked=True))
    for number, fit in enumerate(fits):
        save_model(fit.network, tmp_path / f"{number}.safetensors")
        points = small.coords_of()
        with torch.no_grad():
            assert torch.equal(load_model(tmp_path / f"{number}.safetensors")(points), fit.network(points))
    before = weights_of(fits[1])
    fits[0].network.load_state_dict(before)
    assert same(weights_of(fits[0]), before)
    assert same(weights_of(fits[1]), before), "members share no storage"
    with torch.no_grad():
        next(fits[0].network.parameters()).add_(1)
    assert same(weights_of(fits[1]), before)
