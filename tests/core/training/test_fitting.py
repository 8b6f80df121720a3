"""`finer_core.training.fit`: any network, any loss."""

import pytest
import torch
from torch import nn

from finer_core import InputError, build_network, grid_coords
from finer_core.training import exponential_decay, fit


def small(seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    return build_network("finer", in_features=2, out_features=1, hidden_features=16, generator=generator)


COORDS = grid_coords(12, 12)
TARGET = (8 * COORDS[:, :1]).sin()


def loss(network, step):
    return (network(COORDS) - TARGET).square().mean()


def weights(network: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def test_it_is_plain_training():
    mine, plain = small(), small()
    fit(mine, loss, steps=20, learning_rate=1e-3, log_every=20)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3, fused=True)
    for step in range(20):
        optimizer.zero_grad()
        loss(plain, step).backward()
        optimizer.step()
    for a, b in zip(weights(mine), weights(plain), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_a_plain_module_and_an_optimizer_of_its_own():
    network = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    history = fit(network, loss, steps=30, optimizers=optimizer, schedule=exponential_decay(), log_every=10)
    assert [entry.step for entry in history] == [10, 20, 30]
    assert history[-1].loss < history[0].loss
    assert history[-1].learning_rate < 0.03


def test_it_goes_on_from_a_checkpoint_in_the_same_bits(tmp_path):
    class StopAfter:
        def __init__(self, steps):
            self.left = steps

        def should_stop(self):
            self.left -= 1
            return self.left < 0

    whole, cut = small(), small()
    fit(whole, loss, steps=30, log_every=10)
    first = fit(cut, loss, steps=30, log_every=10, checkpoint=tmp_path / "c", callbacks=[StopAfter(15)])
    assert first.interrupted
    again = small(seed=1)
    fit(again, loss, steps=30, log_every=10, checkpoint=tmp_path / "c", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(again), strict=True))


@pytest.mark.parametrize("bad", [lambda net, step: net(COORDS), lambda net, step: 1.0])
def test_a_loss_that_is_no_scalar_is_refused(bad):
    with pytest.raises(ValueError, match="must be a scalar tensor"):
        fit(small(), bad, steps=1)


@pytest.mark.parametrize("given", [{"steps": 0}, {"steps": 1, "log_every": 0}, {"steps": 1, "learning_rate": 0.0}])
def test_what_makes_no_fit_is_refused(given):
    with pytest.raises(InputError):
        fit(small(), loss, **given)
