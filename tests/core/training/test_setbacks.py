"""A fit that loses ground slowly, one that never gets off the ground, and one that ends worse than it was."""

import math

import pytest
import torch
from torch import nn

from finer_core.errors import DivergenceError
from finer_core.training import (
    DivergenceGuard,
    Fit,
    Interrupted,
    StatelessObjective,
    TimedLength,
    build_optimizers,
    loop,
)
from finer_core.training.budget import StepCost, largest_within, seconds_per_step, step_cost, steps_within
from finer_core.training.checkpoint import read_state

STEPS, LOG_EVERY, RATE = 200, 4, 1e-3


class ScriptedObjective(StatelessObjective):
    """Return a loss by the step and the weights; the gradient is 1, so that Adam moves every weight by its rate."""

    def __init__(self, loss_of) -> None:
        self.loss_of = loss_of

    def backward(self, network: nn.Module, step: int) -> torch.Tensor:
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        return torch.tensor(self.loss_of(step, way(network)))


def way(network: nn.Module) -> float:
    """Return how far Adam has moved the weight, in steps at the full rate."""
    return (1 - network.weight.item()) / RATE


def fit_of(loss_of, *, steps: int = STEPS, **guard) -> Fit:
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    return Fit(
        network=network,
        objective=ScriptedObjective(loss_of),
        optimizers=build_optimizers(network, learning_rate=RATE),
        schedule=lambda step, steps: 1.0,
        steps=steps,
        log_every=LOG_EVERY,
        guard=DivergenceGuard(**guard),
    )


def run(fit: Fit):
    points, notes = [], []
    fit.on_log, fit.on_notice = points.append, notes.append
    return fit.run(), points, notes


def dip(step: int, moved: float) -> float:
    """Fall by half a decibel a step of the way up to 40 of them, and rise by 0.2 beyond."""
    return 10 ** (-0.05 * min(moved, 40) + 0.02 * max(0.0, moved - 40))


def test_a_slow_loss_of_ground_goes_back_to_the_best_state_at_lower_rates():
    fit = fit_of(dip)
    last, points, notes = run(fit)
    assert [point.step for point in points] == list(range(LOG_EVERY, STEPS + 1, LOG_EVERY)), "no step is made again"
    assert last.rollbacks == points[-1].rollbacks > 1
    assert "the loss rose by" in notes[0] and "rates times 0.5" in notes[0]
    # The smoothed loss lags by up to two intervals: eight steps, over which this one rises by 0.2 dB each.
    assert dip(0, way(fit.network)) < 10**0.161 * dip(0, 40)


def test_without_a_guard_it_goes_on_rising():
    fit = fit_of(dip, max_rollbacks=0)
    _, points, notes = run(fit)
    assert not notes and way(fit.network) == pytest.approx(STEPS, rel=1e-3)
    assert points[-1].rollbacks == 0


def test_ground_lost_and_regained_soon_is_no_setback():
    bump = [0.0, 0.5, 1.5, 0.5]
    _, points, notes = run(fit_of(lambda step, moved: 10 ** (-0.01 * step + 0.1 * bump[step // LOG_EVERY % 4])))
    assert not notes and points[-1].rollbacks == 0


def test_a_fit_that_never_gets_off_the_ground_begins_anew_at_lower_rates():
    fit = fit_of(lambda step, moved: 1.0 if moved > 0.5 * (step + 1) else 1 / (1 + moved))
    last, _, notes = run(fit)
    assert last.rollbacks == 1
    assert "makes no progress since step 0" in notes[0] and "rates times 0.167" in notes[0]
    begun = int(notes[0].split()[1])
    assert begun <= 25 + 2 * LOG_EVERY
    rising = 0.05 * STEPS
    assert way(fit.network) == pytest.approx((STEPS - begun - rising / 2) / 6, rel=0.1), "the rates rise anew"


@pytest.mark.parametrize(("least", "part", "restarts"), [(0.3, 0.25, 2), (0.2, 0.25, 0), (0.3, 0.5, 0)])
def test_a_fit_that_stands_still_soon_after_it_began_begins_anew_a_little_later(least, part, restarts):
    last, _, notes = run(fit_of(lambda step, moved: max(least, 1 - 0.1 * moved), steps=600, feeble_part=part))
    assert last.rollbacks == len(notes) == restarts
    if notes:
        assert "makes no progress since step 0" in notes[0]
        assert 60 < int(notes[0].split()[1]) < 60 + 40  # a tenth of the steps after it came down


def test_a_fit_that_was_better_before_it_began_anew_ends_with_that_state():
    fit = fit_of(lambda step, moved: max(0.3, 1 - 0.1 * moved) if step < 90 else 0.6, steps=600, feeble_part=0.25)
    _, _, notes = run(fit)
    assert "makes no progress since step 0" in notes[0]
    assert "that state is kept" in notes[-1] and way(fit.network) > 7, "0.3 was reached after 7 steps of the full rate"


def test_a_feeble_fit_that_may_not_begin_anew_still_has_decays():
    rising = fit_of(lambda step, moved: 0.3 if step < 300 else 0.5, steps=600, feeble_part=0.25, max_restarts=0)
    _, _, notes = run(rising)
    assert notes and all("the loss rose by" in note for note in notes[:-1])


def test_a_fit_that_has_come_down_is_left_alone_where_it_stands_still():
    last, _, notes = run(fit_of(lambda step, moved: max(0.1, 1 - 0.05 * step)))
    assert last.rollbacks == 0 and not notes


def test_the_end_of_a_fit_takes_the_best_state():
    fit = fit_of(lambda step, moved: 1 / (1 + step) if step < STEPS - 8 else 0.02)
    _, points, notes = run(fit)
    assert points[-1].loss == pytest.approx(0.02)
    assert notes == [f"the fit was best after {STEPS - 8} of {STEPS} steps: that state is kept"]
    assert way(fit.network) == pytest.approx(STEPS - 8, rel=1e-3)


def test_a_signal_that_is_hard_to_learn_is_not_begun_anew_for_ever():
    last, _, notes = run(fit_of(lambda step, moved: 1.0))
    assert last.rollbacks == len(notes) == 2


def test_a_fit_that_has_learned_and_diverges_for_good_ends_with_its_best_state():
    fit = fit_of(lambda step, moved: 1 / (1 + step) if step < 100 else math.nan)
    last, points, notes = run(fit)
    assert last.step == points[-1].step == 100 and last.rollbacks == 9
    assert notes == [
        "the loss became nan after step 100 (best 0.02241) and 8 rollbacks did not help: "
        "the fit ends with its best state, of step 100 of 200"
    ]
    assert way(fit.network) == pytest.approx(100, rel=1e-3)


def test_a_fit_that_diverges_before_it_has_learned_is_an_error():
    fit = fit_of(lambda step, moved: 1.0 if step < 20 else math.nan)
    with pytest.raises(DivergenceError, match=r"after step 20 .*lower the learning rate"):
        fit.run()


def test_where_a_spike_follows_at_once_it_is_the_best_state_that_the_fit_goes_back_to():
    fit = fit_of(lambda step, moved: 1 / (1 + step) if moved < 100 else 0.02 if moved < 108 else math.nan)
    last, points, notes = run(fit)
    assert [point.step for point in points] == list(range(LOG_EVERY, STEPS + 1, LOG_EVERY)), "no step is made again"
    assert last.rollbacks > 1 and math.isfinite(last.loss)
    assert not any("ends with" in note for note in notes), "it goes on from before the first bad weights"


def test_a_step_s_loss_is_that_of_the_weights_before_so_a_spike_of_few_steps_is_none():
    spiky = fit_of(lambda step, moved: 20.0 if step == 50 else 0.1 if step > 10 else 1.0)
    spiky.log_every = 3
    assert run(spiky)[0].rollbacks == 0
    spiky.log_every = 4
    assert run(spiky)[0].rollbacks >= 1


def test_one_lucky_interval_makes_no_spike_of_all_that_follow():
    lucky = range(40, 44)
    fit = fit_of(lambda step, moved: 1e-4 if step in lucky else 1 / (1 + min(step, 9)), lost_decibels=99.0)
    fit.log_every = 4
    assert run(fit)[0].rollbacks == 0


def test_losses_that_are_nothing_beside_the_first_one_are_alike():
    fit = fit_of(lambda step, moved: 10.0 ** -min(12, step) * (50 if 120 <= step < 124 else 1), lost_decibels=99.0)
    assert run(fit)[0].rollbacks == 0
    fit = fit_of(lambda step, moved: 10.0 ** -min(12, step) * (50 if 120 <= step < 124 else 1), floor=0.0)
    assert run(fit)[0].rollbacks > 0


@pytest.mark.parametrize("stop", [61, 90, 133, 197])
def test_a_resumed_fit_goes_back_to_the_same_bits(tmp_path, stop):
    whole = fit_of(dip)
    run(whole)
    interrupted = fit_of(dip)
    interrupted.checkpoint = tmp_path / "state.safetensors"
    interrupted.checkpoint_seconds = 0.0
    steps = iter(range(10_000))
    interrupted.should_stop = lambda: next(steps) == stop
    with pytest.raises(Interrupted):
        interrupted.run()
    resumed = fit_of(dip)
    resumed.run(read_state(interrupted.checkpoint))
    assert torch.equal(resumed.network.weight, whole.network.weight)
    assert resumed.guard == whole.guard


def test_a_target_ends_a_fit_and_a_resumed_one_stays_ended(tmp_path):
    fit = fit_of(lambda step, moved: 1 / (1 + step))
    fit.checkpoint = tmp_path / "state.safetensors"
    fit.is_reached = lambda point: point.loss < 0.02
    last, points, _ = run(fit)
    assert last.is_reached and last.step == points[-1].step < STEPS
    assert not any(point.is_reached for point in points[:-1])
    again = fit_of(lambda step, moved: pytest.fail("no step is left to make"))
    point = again.run(read_state(fit.checkpoint))
    assert (point.step, point.is_reached) == (last.step, True)
    assert torch.equal(again.network.weight, fit.network.weight)


def test_what_reached_the_target_is_what_is_kept_and_not_an_average():
    fit = fit_of(lambda step, moved: 1 / (1 + step))
    fit.optimizers = build_optimizers(fit.network, learning_rate=RATE, ema_decay=0.99)
    fit.is_reached = lambda point: point.loss < 0.02
    last, _, _ = run(fit)
    assert last.is_reached and way(fit.network) == pytest.approx(last.step, rel=1e-3)


class Clock:
    """Stand for the time; updates take as long as a fit's batch has rows."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("finer_core.training.budget.time.monotonic", lambda: self.now)

    def fit_of(self, rows: int) -> Fit:
        def loss_of(step: int, moved: float) -> float:
            self.now += 0.01 + 1e-5 * rows + (0.5 if step < 2 else 0.006 if step % 3 == 1 else 0.0)
            return 1.0

        return fit_of(loss_of)


def test_the_cost_of_a_step_is_measured_over_whole_cycles(monkeypatch):
    clock = Clock(monkeypatch)
    assert seconds_per_step(clock.fit_of(1000), within=2.0) == pytest.approx(0.022)
    cost = step_cost(clock.fit_of, [1000, 8000], within=20.0)
    assert cost.fixed == pytest.approx(0.012) and cost.per_row == pytest.approx(1e-5)
    assert cost.seconds(4000) == pytest.approx(0.052)


def test_measuring_ends_in_time_where_steps_are_slow(monkeypatch):
    clock = Clock(monkeypatch)
    assert seconds_per_step(clock.fit_of(100_000), within=3.0) == pytest.approx(1.01)
    assert clock.now < 5
    assert step_cost(clock.fit_of, [50_000], within=1.0).fixed == 0


def test_measuring_takes_a_minute_at_most(monkeypatch):
    clock = Clock(monkeypatch)
    steps = steps_within(86_400.0, clock.fit_of(1000))
    assert 55 < clock.now < 65 and steps == pytest.approx((86_400 - 60) / 0.022, rel=1e-3)


def timed(monkeypatch, now: list[float]) -> Fit:
    """Assemble a fit that may take 30 seconds, whose steps take 1 second at first and 0.1 from the eighth on."""
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])

    def loss_of(step: int, moved: float) -> float:
        now[0] += 1.0 if step < 8 else 0.1
        return 1 / (1 + step)

    fit = fit_of(loss_of)
    fit.schedule = lambda step, steps: 1 - step / steps
    fit.length = TimedLength(seconds=30.0, after=12)
    return fit


def test_a_length_is_chosen_once_from_the_first_steps(monkeypatch):
    now, chosen = [0.0], []
    fit = timed(monkeypatch, now)
    fit.on_length = chosen.append
    last, points, _ = run(fit)
    assert chosen == [12 + round((30 - 8.4) / 0.1)] == [228]
    assert (last.step, last.steps, points[-1].step) == (228, 228, 228)
    assert now[0] == pytest.approx(30, abs=0.1)
    assert points[0].steps == STEPS and points[2].steps == 228


@pytest.mark.parametrize("stop", [13, 150])
def test_a_chosen_length_is_resumed_on_a_machine_of_another_speed(monkeypatch, tmp_path, stop):
    whole = timed(monkeypatch, [0.0])
    run(whole)
    interrupted = timed(monkeypatch, [0.0])
    interrupted.checkpoint = tmp_path / "state.safetensors"
    steps = iter(range(10_000))
    interrupted.should_stop = lambda: next(steps) == stop
    with pytest.raises(Interrupted):
        interrupted.run()
    resumed = fit_of(lambda step, moved: 1 / (1 + step))
    resumed.schedule, resumed.length = whole.schedule, whole.length
    assert resumed.run(read_state(interrupted.checkpoint)).steps == 228
    assert torch.equal(resumed.network.weight, whole.network.weight)


@pytest.mark.parametrize("seconds", [0.5, 7.0, 300.0])
def test_the_largest_length_within_a_budget(seconds):
    cost = StepCost(0.01, 1e-6)
    length = largest_within(seconds, lambda steps: steps * cost.seconds(2048), low=1.0, high=1e9)
    assert length * cost.seconds(2048) == pytest.approx(max(seconds, cost.seconds(2048)))
    assert largest_within(1e-9, math.exp, low=2.0, high=9.0) == 2.0
