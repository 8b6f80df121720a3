"""The fit loop: stretches, logs, clipping, rollbacks, divergence, interruption, checkpoints."""

import math

import pytest
import torch

from finer_core import InputError
from finer_core.errors import CollectiveError, DivergenceError
from finer_core.training import DivergenceGuard, Interrupted, exponential_decay, loop
from finer_core.training.checkpoint import read_state
from tests.core import fits, small


def recorded(fit):
    """Run a fit and return its log points and the losses of its steps."""
    points, losses = [], []
    fit.on_log = points.append
    fit.on_step = lambda step, steps, loss: losses.append((step, steps, loss))
    fit.run()
    return points, losses


def test_every_step_is_reported_and_every_stretch_is_logged():
    fit = fits.fit_of()
    points, losses = recorded(fit)
    assert fit.objective.seen == list(range(22))
    assert [(step, steps) for step, steps, _ in losses] == [(i, 22) for i in range(1, 23)]
    assert not any(loss.requires_grad for _, _, loss in losses)
    assert [point.step for point in points] == [4, 8, 12, 16, 20, 22]
    values = [float(loss) for _, _, loss in losses]
    means = [sum(values[i : i + 4]) / len(values[i : i + 4]) for i in range(0, 22, 4)]
    assert [point.loss for point in points] == pytest.approx(means, rel=1e-6)
    assert {(point.steps, point.rollbacks) for point in points} == {(22, 0)}


def test_the_last_point_is_returned():
    fit, points = fits.fit_of(), []
    fit.on_log = points.append
    assert fit.run() == points[-1]


def test_rates_follow_the_schedule():
    rates, asked = [], []

    def schedule(step: int, steps: int) -> float:
        asked.append((step, steps))
        return exponential_decay()(step, steps)

    fit = fits.fit_of(optimizer="muon", learning_rate=1e-3, schedule=schedule)
    fit.on_step = lambda *_: rates.append([o.param_groups[0]["lr"] for o in fit.optimizers])
    points = []
    fit.on_log = points.append
    fit.run()
    assert asked == [(i, 22) for i in range(22)]
    assert [rate for rate, _ in rates] == pytest.approx([1e-3 * 0.1 ** (i / 22) for i in range(22)])
    assert [rate for _, rate in rates] == pytest.approx([0.03 * 0.1 ** (i / 22) for i in range(22)])
    assert points[0].learning_rate == pytest.approx(1e-3 * 0.1 ** (3 / 22)), "of the stretch's last update"


def test_a_stretch_longer_than_the_fit():
    points, _ = recorded(fits.fit_of(log_every=1000))
    assert [point.step for point in points] == [22]


@pytest.mark.parametrize("sizes", [{"steps": 0}, {"log_every": 0}, {"steps": -3}])
def test_bad_sizes(sizes):
    with pytest.raises(ValueError, match=r"must be in \[1, inf\), got"):
        fits.fit_of(**sizes)


@pytest.mark.parametrize("method", ["finer", "wire"])
def test_gradients_are_clipped_together(method):
    norms = {}
    for most in (None, 1e-3):
        norms[most] = []
        fit = fits.fit_of(method, max_grad_norm=most)
        parameters = list(fit.network.parameters())

        def on_step(*_, parameters=parameters, found=norms[most]) -> None:
            found.append(float(torch.stack([p.grad.abs().square().sum() for p in parameters]).sum().sqrt()))

        fit.on_step = on_step
        fit.run()
    assert min(norms[None]) > 2e-3
    assert norms[1e-3] == pytest.approx([1e-3] * 22, rel=1e-2)


def test_a_fit_that_is_run_again_judges_from_its_own_beginning():
    fit = fits.fit_of(objective=small.WaveObjective({6: [1e6]}))
    first, _ = recorded(fit)
    again, _ = recorded(fit)
    assert [first[-1].rollbacks, again[-1].rollbacks] == [1, 0]
    assert [point.step for point in again] == [4, 8, 12, 16, 20, 22]


class Recorder(small.WaveObjective):
    """Remember the weights that every step began with."""

    def __init__(self, factors) -> None:
        super().__init__(factors)
        self.weights: list[torch.Tensor] = []

    def backward(self, network, step):
        self.weights.append(network.layers[1].weight.detach().clone())
        return super().backward(network, step)


@pytest.mark.parametrize("spike", [1e6, math.nan, math.inf, -math.inf])
def test_a_spike_is_undone_at_lower_rates(spike):
    objective = Recorder({6: [spike]})
    fit = fits.fit_of(objective=objective, learning_rate=1e-2, schedule=lambda step, steps: 1.0)
    points, _ = recorded(fit)
    assert objective.seen == [*range(8), *range(4, 22)]
    assert torch.equal(objective.weights[8], objective.weights[4]), "the state before the stretch is back"
    assert torch.equal(objective.weights[3], objective.weights[3])
    assert not torch.equal(objective.weights[9], objective.weights[5]), "and goes on at a lower rate"
    assert [point.step for point in points] == [4, 8, 12, 16, 20, 22], "the bad stretch is not logged"
    assert [point.rollbacks for point in points] == [0, 1, 1, 1, 1, 1]
    assert [point.learning_rate for point in points] == pytest.approx([1e-2] + [0.7e-2] * 5)
    assert all(math.isfinite(point.loss) for point in points)


def test_a_rollback_restores_optimizers_objective_and_random_state():
    spiked = fits.fit_of(objective=fits.RunningObjective(), guard=DivergenceGuard(rate_factor=1.0))
    torch.manual_seed(5)
    whole = fits.fit_of(objective=fits.RunningObjective(), guard=DivergenceGuard(rate_factor=1.0))
    whole.run()
    backward, calls = spiked.objective.backward, []

    def bad_once(network, step):
        calls.append(step)
        loss = backward(network, step)
        return loss * math.nan if len(calls) == 7 else loss

    spiked.objective.backward = bad_once
    torch.manual_seed(5)
    spiked.run()
    assert spiked.guard.rollbacks == 1
    assert fits.same(fits.weights_of(spiked), fits.weights_of(whole)), "at the same rates nothing else differs"


def test_an_ordinary_rise_is_not_undone():
    points, _ = recorded(fits.fit_of(objective=small.WaveObjective({6: [9.0], 7: [9.0]})))
    assert points[-1].rollbacks == 0


def test_a_guard_without_rollbacks_lets_spikes_pass():
    fit = fits.fit_of(objective=small.WaveObjective({6: [1e6]}), guard=DivergenceGuard(max_rollbacks=0))
    points, _ = recorded(fit)
    assert points[1].loss > 1e4
    assert points[-1].rollbacks == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_without_rollbacks(value):
    fit = fits.fit_of(objective=small.WaveObjective({7: [value]}), guard=DivergenceGuard(max_rollbacks=0))
    with pytest.raises(
        DivergenceError, match=f"became {value} after step 4 .* 0 rollbacks .*; lower the learning rate"
    ):
        fit.run()
    assert len(fit.objective.seen) == 8


def test_a_loss_that_stays_bad_gives_up():
    objective = small.WaveObjective({6: [math.nan] * 99})
    fit = fits.fit_of(objective=objective, guard=DivergenceGuard(max_rollbacks=3))
    with pytest.raises(DivergenceError, match="3 rollbacks did not help"):
        fit.run()
    assert objective.seen == [*range(8), *range(4, 8), *range(4, 8), *range(4, 8)]


def test_a_bad_first_stretch_goes_back_to_the_start():
    objective = Recorder({1: [math.nan]})
    points, _ = recorded(fits.fit_of(objective=objective))
    assert torch.equal(objective.weights[4], objective.weights[0])
    assert points[0].rollbacks == 1


def test_nan_in_the_weights_is_undone_too():
    fit = fits.fit_of()
    broken = []

    def break_once(step, steps, loss) -> None:
        if step == 6 and not broken:
            broken.append(step)
            with torch.no_grad():
                fit.network.head.weight.fill_(math.nan)

    fit.on_step = break_once
    fit.run()
    assert fit.guard.rollbacks == 1
    assert all(value.isfinite().all() for value in fits.weights_of(fit).values())


def test_interrupted_before_the_first_step(tmp_path):
    fit = fits.fit_of(checkpoint=tmp_path / "sub" / "state.safetensors", should_stop=lambda: True)
    with pytest.raises(Interrupted, match="interrupted; saved at step 0") as caught:
        fit.run()
    assert caught.value.step == 0
    assert fit.objective.seen == []
    assert read_state(fit.checkpoint).step == 0


def test_interrupted_without_a_checkpoint_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Interrupted):
        fits.fit_of(should_stop=lambda: True).run()
    assert not list(tmp_path.iterdir())


def test_the_last_state_is_always_written(tmp_path):
    fit = fits.fit_of(checkpoint=tmp_path / "state.safetensors", checkpoint_seconds=1e9)
    fit.run()
    state = read_state(fit.checkpoint)
    assert state.step == 22
    assert fits.same(dict(state.network), fits.weights_of(fit))


def test_checkpoints_come_at_least_so_many_seconds_apart(tmp_path, monkeypatch):
    now, written = [0.0], []
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(loop, "write_state", lambda state, path: written.append(state.step))
    fit = fits.fit_of(checkpoint=tmp_path / "state.safetensors", checkpoint_seconds=7.5)
    fit.on_step = lambda *_: now.__setitem__(0, now[0] + 1)
    fit.run()
    assert written == [8, 16, 22]


def test_no_checkpoint_is_written_without_a_file(monkeypatch):
    monkeypatch.setattr(loop, "write_state", lambda state, path: pytest.fail("written"))
    fits.fit_of(checkpoint_seconds=0.0).run()


def test_what_the_hooks_do_not_touch_they_do_not_change():
    plain, watched = fits.fit_of(), fits.fit_of()
    plain.run()
    recorded(watched)
    assert fits.same(fits.weights_of(plain), fits.weights_of(watched))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"steps": 30}, "a fit of 22 steps, this one has 30"),
        (
            {"method": "pemlp"},
            r"another fit: network.layers.0.weight is torch.float32 \(16, 2\), not torch.float32 \(16, 42\)",
        ),
        ({"method": "wire"}, "the checkpoint is of another fit"),
        ({"optimizer": "muon"}, "has 1 optimizers, this fit 2"),
        (
            {"objective": fits.RunningObjective()},
            "the checkpoint is of another fit: objective differs in calls, generator, pair",
        ),
    ],
)
def test_a_checkpoint_of_another_fit(tmp_path, other, message):
    fits.fit_of(checkpoint=tmp_path / "state.safetensors").run()
    with pytest.raises(InputError, match=message) as caught:
        fits.fit_of(**other).run(read_state(tmp_path / "state.safetensors"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("has_file", [True, False])
def test_a_process_that_is_gone_while_the_state_is_taken_costs_one_stretch(has_file, tmp_path):
    path = tmp_path / "state.safetensors"
    fit = fits.fit_of(checkpoint=path if has_file else None)
    optimizer, asked = fit.optimizers[0], []
    state_dict = optimizer.state_dict

    def gone_the_third_time():
        asked.append(True)
        if len(asked) == 3:
            raise CollectiveError("gone")
        return state_dict()

    optimizer.state_dict = gone_the_third_time
    with pytest.raises(CollectiveError, match="^gone; saved at step 4" if has_file else "^gone$"):
        fit.run()
    assert path.is_file() == has_file
    if has_file:
        assert read_state(path).step == 4
