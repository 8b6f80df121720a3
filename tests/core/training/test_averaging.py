"""The running average of weights, by itself and at the end of a fit."""

import pytest
import torch

from finer_core.training import WeightEma, build_optimizers
from finer_core.training.state import put_state, take_state
from tests.core import fits, small


def test_it_is_the_exponential_average():
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    average = WeightEma([parameter], decay=0.5)
    values, expected = [4.0, 8.0, 2.0, 6.0], 0.0
    for update, value in enumerate(values):
        parameter.data.fill_(value)
        average.step()
        decay = min(0.5, (1 + update) / (10 + update))
        expected = value if update == 0 else decay * expected + (1 - decay) * value
        assert parameter.item() == value  # nothing is changed before the end
    average.apply()
    assert parameter.item() == pytest.approx(expected, rel=1e-12)


def test_it_is_updated_every_so_many_steps():
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    average = WeightEma([parameter], decay=0.1, every=3)
    for value in [4.0, 8.0, 2.0, 6.0, 9.0]:
        parameter.data.fill_(value)
        average.step()
    average.apply()
    assert parameter.item() == pytest.approx(0.1 * 4.0 + 0.9 * 6.0)
    with pytest.raises(ValueError, match=r"every must be in \[1, inf\), got 0"):
        WeightEma([parameter], decay=0.1, every=0)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1])
def test_bad_decay(decay):
    with pytest.raises(ValueError, match=r"decay must be in \(0, 1\), got"):
        WeightEma([torch.nn.Parameter(torch.zeros(1))], decay=decay)


def test_a_fit_leaves_the_average_in_the_network():
    plain, averaged = fits.fit_of(), fits.fit_of(ema_decay=0.9)
    for fit in (plain, averaged):
        fit.run()
    assert not fits.same(fits.weights_of(plain), fits.weights_of(averaged))
    expected = averages(averaged.network, averaged.optimizers)
    assert fits.same(fits.weights_of(averaged), expected)


def test_a_killed_fit_ends_in_the_same_average(tmp_path):
    def kill(update: int) -> bool:
        if update == 13:
            raise fits.Killed
        return False

    def make_fit():
        return fits.fit_of(ema_decay=0.9, checkpoint_seconds=0.0)

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = fits.run_in(tmp_path / "whole", make_fit)
    with pytest.raises(fits.Killed):
        fits.run_in(tmp_path / "killed", make_fit, before_update=kill)
    resumed = fits.run_in(tmp_path / "killed", make_fit)
    assert fits.same(fits.weights_of(whole), fits.weights_of(resumed))


def test_its_state_is_copied_with_the_optimizers():
    network = small.network_of("finer")
    optimizers = build_optimizers(network, learning_rate=1e-2, ema_decay=0.9)
    objective = small.WaveObjective()
    for step in range(3):
        for optimizer in optimizers:
            optimizer.zero_grad()
        objective.backward(network, step)
        for optimizer in optimizers:
            optimizer.step()
        if step == 1:
            state = take_state(network, optimizers, objective, step=2, loop={})
            kept = {name: value.clone() for name, value in averages(network, optimizers).items()}
    assert not all(torch.equal(value, kept[name]) for name, value in averages(network, optimizers).items())
    put_state(state, network, optimizers, objective)
    assert all(torch.equal(value, kept[name]) for name, value in averages(network, optimizers).items())


def averages(network, optimizers) -> dict[str, torch.Tensor]:
    return {name: optimizers[-1].state[parameter]["average"] for name, parameter in network.named_parameters()}
