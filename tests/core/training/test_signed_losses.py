"""Fits whose losses may be zero or negative: log-likelihoods, cosines, decibels."""

import logging
import math

import pytest
import torch

from finer_core.training import DivergenceGuard, TrainingHistory, fit
from tests.core.training.test_setbacks import LOG_EVERY, STEPS, ScriptedObjective, fit_of, run, way


def accepted(losses: list[float], *, least: float = math.inf) -> DivergenceGuard:
    guard = DivergenceGuard()
    for number, loss in enumerate(losses):
        guard.accept(loss, step=100 * (number + 1), least=least)
    return guard


def test_the_lowest_of_negative_losses_is_the_best():
    guard = DivergenceGuard()
    for number, (loss, is_lowest) in enumerate([(0.5, True), (-1.0, True), (-3.0, True), (-0.5, False), (0.5, False)]):
        guard.accept(loss, step=100 * (number + 1))
        assert guard.is_lowest == is_lowest, loss
    assert guard.best == -3.0


@pytest.mark.parametrize("losses", [[0.5, 0.0], [0.0, 0.0], [2.0, -1.0], [-2.0, -1.0], [-1.0, -2.0]])
def test_behind_a_loss_that_is_not_positive_only_what_is_not_finite_is_a_spike(losses):
    guard = accepted(losses)
    assert not guard.is_bad(1e9)
    assert all(guard.is_bad(loss) for loss in (math.nan, math.inf, -math.inf))
    assert guard.setback_of(step=5000, steps=10_000) is None


def test_an_interval_around_zero_is_no_measure_of_the_next_one():
    assert accepted([0.5, 0.001]).is_bad(0.05)
    assert not accepted([0.5, 0.001], least=-0.1).is_bad(0.05)
    assert not accepted([0.5, 0.001]).is_bad(0.05, least=-0.1)
    assert accepted([0.5, 0.001], least=0.0).is_bad(0.05), "a batch may be fitted exactly"


def test_a_fit_that_crosses_zero_runs_to_its_end():
    fit = fit_of(lambda step, moved: math.cos(0.03 * step) + (0.001 if step % 2 else -0.001))
    last, _, notes = run(fit)
    assert last.rollbacks == 0 and last.step == STEPS and not last.ended_early
    assert notes == ["the fit was best after 112 of 200 steps: that state is kept"], "smoothed, as everywhere"


def test_a_fit_of_zero_losses_runs_to_its_end():
    last, _, notes = run(fit_of(lambda step, moved: 1.0 if step < 8 else 0.0 if step < 100 else 0.3))
    assert (last.step, last.rollbacks) == (STEPS, 0) and "that state is kept" in notes[-1]


@pytest.mark.parametrize("offset", [-3.0, -0.4])
def test_negative_losses_end_with_the_last_state_unless_it_is_worse(offset):
    fit = fit_of(lambda step, moved: offset + 1 / (1 + step))
    _, _, notes = run(fit)
    assert not notes and way(fit.network) == pytest.approx(STEPS, rel=1e-3)


def test_what_is_not_finite_is_undone_among_negative_losses():
    broken = []

    def loss_of(step, moved):
        if step == 50 and len(broken) < 2:
            broken.append(step)
            return math.nan
        return -1.0 - 0.01 * step

    last, _, _ = run(fit_of(loss_of))
    assert (last.step, last.rollbacks) == (STEPS, 2)


def test_a_stopped_fit_of_negative_losses_has_its_best_state():
    class Stop:
        def on_step(self, step, loss):
            self.step = step

        def should_stop(self):
            return getattr(self, "step", 0) >= 150

    made = fit_of(lambda step, moved: 0.0)
    objective = ScriptedObjective(lambda step, moved: -abs(100.0 - abs(step - 100.0)))
    history = fit(
        made.network, objective, steps=STEPS, log_every=LOG_EVERY, optimizers=made.optimizers, callbacks=[Stop()]
    )
    assert history.interrupted
    assert way(made.network) == pytest.approx(104, abs=4)


def test_a_fit_that_its_guard_ends_early_says_so(caplog):
    made = fit_of(lambda step, moved: 0.0)
    objective = ScriptedObjective(lambda step, moved: 1 / (1 + step) if step < 100 else math.nan)
    with caplog.at_level(logging.WARNING):
        history = fit(made.network, objective, steps=STEPS, log_every=LOG_EVERY, optimizers=made.optimizers)
    assert history.ended_early and not history.interrupted and history[-1].step == 100
    assert history[:3].ended_early and repr(history).endswith(", ended early")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "ended before its last step" in record.getMessage()
    assert not TrainingHistory().ended_early


def test_a_resumed_fit_still_knows_that_its_losses_are_signed(tmp_path):
    state = accepted([1.0, -1.0, -2.0]).state_dict()
    again = DivergenceGuard()
    again.load_state_dict(state)
    assert again == accepted([1.0, -1.0, -2.0]) and not again.is_bad(1e6)
    assert not again.fresh().is_signed and again.fresh() == DivergenceGuard()


@pytest.mark.parametrize("first", [1e308, 1.5e308, 1e-300])
def test_the_change_to_signed_losses_is_finite_from_any_first_loss(first):
    guard = accepted([first, -1.0])
    assert math.isfinite(guard.smoothed) and math.isfinite(guard.lowest)


def test_positive_losses_are_judged_as_ever():
    torch.manual_seed(0)
    guard = DivergenceGuard()
    smoothed = None
    for number, loss in enumerate(torch.rand(50, dtype=torch.float64).tolist()):
        guard.accept(loss, step=100 * (number + 1), least=loss / 2)
        value = math.log(loss)
        smoothed = value if smoothed is None else smoothed + 0.5 * (value - smoothed)
        assert guard.smoothed == smoothed
    assert not guard.is_signed
