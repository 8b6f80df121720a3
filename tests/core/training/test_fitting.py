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


def test_a_rate_that_is_changed_between_two_fits_holds():
    network = small()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    fit(network, loss, steps=10, optimizers=optimizer, schedule=exponential_decay(), log_every=5)
    assert optimizer.param_groups[0]["lr"] == 1e-2, "what the schedule made of it is no setting"
    optimizer.param_groups[0]["lr"] = 1e-5
    history = fit(network, loss, steps=10, optimizers=optimizer, log_every=5)
    assert [entry.learning_rate for entry in history] == [1e-5, 1e-5]


def test_a_rate_that_a_scheduler_of_pytorch_has_changed_holds():
    network = small()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.1)
    assert fit(network, loss, steps=2, optimizers=optimizer, log_every=2)[-1].learning_rate == pytest.approx(1e-3)


OPTIMIZERS = ("Adafactor", "Adagrad", "AdamW", "ASGD", "Muon", "NAdam", "RMSprop", "Rprop", "SGD")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_fit_with_any_optimizer_of_pytorch_stops_and_goes_on(name, tmp_path):
    class Stop:
        looks = 0

        def should_stop(self):
            self.looks += 1
            return self.looks > 11

    def of(network):
        return getattr(torch.optim, name)([p for p in network.parameters() if name != "Muon" or p.ndim == 2], lr=1e-3)

    kind = getattr(torch.optim, name, None)
    if kind is None:
        pytest.skip(f"this PyTorch has no {name}")
    whole, cut = (nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1)) for _ in range(2))
    cut.load_state_dict(whole.state_dict())
    fit(whole, loss, steps=20, log_every=5, optimizers=of(whole))
    fit(cut, loss, steps=20, log_every=5, optimizers=of(cut), checkpoint=tmp_path / "c", callbacks=[Stop()])
    fit(cut, loss, steps=20, log_every=5, optimizers=of(cut), checkpoint=tmp_path / "c", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(weights(cut), weights(whole), strict=True))
