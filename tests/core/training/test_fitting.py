"""`finer_core.training.fit`: any network, any loss."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from finer_core import InputError, build_network, grid_coords
from finer_core.training import DivergenceGuard, JsonlLogger, exponential_decay, fit


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


class Masked(nn.Module):
    """A network with a buffer of infinities, as attention masks have."""

    def __init__(self):
        super().__init__()
        self.inner = small()
        self.register_buffer("mask", torch.full((4, 4), -math.inf).triu(1))

    def forward(self, coords):
        return self.inner(coords)


def test_a_buffer_of_infinities_is_no_damage(tmp_path):
    network = Masked()
    fit(network, loss, steps=30, learning_rate=10.0, log_every=5, guard=DivergenceGuard(patience=2))  # its best is back
    assert torch.isneginf(network.mask).sum() == 6
    whole, cut = Masked(), Masked()
    fit(whole, loss, steps=30, log_every=10)
    fit(cut, loss, steps=30, log_every=10, checkpoint=tmp_path / "c", callbacks=[StopAfter(15)])
    fit(cut, loss, steps=30, log_every=10, checkpoint=tmp_path / "c", resume=True)
    assert all(map(torch.equal, weights(whole), weights(cut)))


class StopAfter:
    def __init__(self, steps):
        self.left = steps

    def should_stop(self):
        self.left -= 1
        return self.left < 0


def test_it_goes_on_from_a_checkpoint_in_the_same_bits(tmp_path):
    whole, cut = small(), small()
    fit(whole, loss, steps=30, log_every=10)
    first = fit(cut, loss, steps=30, log_every=10, checkpoint=tmp_path / "c", callbacks=[StopAfter(15)])
    assert first.interrupted
    again = small(seed=1)
    fit(again, loss, steps=30, log_every=10, checkpoint=tmp_path / "c", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(again), strict=True))


@pytest.mark.parametrize("bad", [lambda net, step: net(COORDS), lambda net, step: 1.0])
def test_a_loss_that_is_no_scalar_is_refused(bad):
    with pytest.raises(ValueError, match="must be a real scalar tensor"):
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


def test_an_optimizer_is_given_back_as_it_was():
    network = small()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    fit(network, loss, steps=2, optimizers=optimizer)
    optimizer.param_groups[0]["lr"] = 1e-5
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0)  # begins at what it takes for the initial rate
    assert optimizer.param_groups[0]["lr"] == 1e-5
    fit(network, loss, steps=2, optimizers=optimizer, learning_rate=1.0)
    assert optimizer.param_groups[0]["initial_lr"] == 1e-5


@pytest.mark.parametrize("number", [np.float32, torch.tensor], ids=["numpy", "torch"])
def test_rates_and_factors_may_be_numpys_and_pytorchs(number, tmp_path):
    network, spikes = small(), [1e6]

    def spiking(network, step):
        return loss(network, step) * (spikes.pop() if step == 12 and spikes else 1.0)

    habits = {"steps": 20, "log_every": 5, "checkpoint": tmp_path / "c", "callbacks": [JsonlLogger(tmp_path / "log")]}
    habits["optimizers"] = torch.optim.Adam(network.parameters(), lr=number(1e-3))
    habits |= {"schedule": lambda step, steps: number(0.25), "guard": DivergenceGuard(rate_factor=np.float32(0.5))}
    history = fit(network, spiking, **habits)
    assert history[-1].rollbacks == 1 and {type(entry.learning_rate) for entry in history} == {float}
    assert len(fit(network, spiking, resume=True, **habits)) == 0


def test_the_mean_loss_is_not_added_up_in_half_precision():
    network = nn.Linear(2, 1, dtype=torch.bfloat16)
    history = fit(network, lambda net, step: (net.weight * 0 + 1).square().mean(), steps=1000, log_every=1000)
    assert history[-1].loss == 1.0


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


def test_a_guard_serves_any_number_of_fits():
    guard = DivergenceGuard()
    histories = []
    for scale in (1e-3, 1.0):
        network = small()
        histories.append(
            fit(network, lambda net, step, scale=scale: scale * loss(net, step), steps=20, log_every=5, guard=guard)
        )
    assert [len(history) for history in histories] == [4, 4]
    assert [history[-1].rollbacks for history in histories] == [0, 0]
    assert guard == DivergenceGuard(), "what is given is not changed"


class OwnGuard(DivergenceGuard):
    def __init__(self) -> None:
        super().__init__(max_rollbacks=3)
        self.seen: list[int] = []

    def accept(self, loss, *, step, **given):
        self.seen.append(step)
        super().accept(loss, step=step, **given)


def test_a_guard_may_be_of_a_class_of_ones_own():
    guard = OwnGuard()
    assert len(fit(small(), loss, steps=20, log_every=5, guard=guard)) == 4
    assert guard.seen == [5, 10, 15, 20] and guard.max_rollbacks == 3


NORMS = [0, -1.0, float("nan"), float("inf")]


@pytest.mark.parametrize("norm", NORMS)
def test_a_norm_that_is_not_positive_is_refused(norm):
    with pytest.raises(InputError, match=r"max_grad_norm must be in \(0, inf\), got"):
        fit(small(), loss, steps=2, max_grad_norm=norm)


def test_a_network_that_cannot_be_trained_is_refused():
    with pytest.raises(InputError, match="network Finer cannot be trained: all its parameters are frozen"):
        fit(small().requires_grad_(False), loss, steps=2)
    with pytest.raises(InputError, match="network Identity cannot be trained: it has no parameters"):
        fit(nn.Identity(), loss, steps=2)
    with pytest.raises(InputError, match="network LazyLinear cannot be trained: it has lazy layers"):
        fit(nn.LazyLinear(1), loss, steps=2)
    with torch.inference_mode():
        made = small()
    with pytest.raises(InputError, match="build it outside"):
        fit(made, loss, steps=2)


def test_optimizers_that_cannot_train_the_network_are_refused():
    network = small()
    head = [network.head.weight.requires_grad_(False)]
    refused = {
        "at least one, got none": [],
        r"\(SGD\) have none of network Finer's trainable": torch.optim.SGD(small().parameters(), lr=0.1),
        r"\(Adam\) have none of network Finer's trainable": [torch.optim.Adam(head, lr=0.1)],
        "optimizer LBFGS asks for the loss several times": torch.optim.LBFGS(network.parameters()),
        "rates must be finite, got inf in SGD": torch.optim.SGD(network.parameters(), lr=float("inf")),
        "rates must be finite, got nan in SGD": torch.optim.SGD([{"params": network.parameters(), "lr": float("nan")}]),
    }
    for message, optimizers in refused.items():
        with pytest.raises(InputError, match=message):
            fit(network, loss, steps=2, optimizers=optimizers)


def test_an_optimizer_may_also_have_parameters_of_the_loss():
    network, width = small(), nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.Adam([*network.parameters(), width], lr=1e-2)
    fit(network, lambda net, step: loss(net, step) * (-width).exp() + width, steps=8, log_every=4, optimizers=optimizer)
    assert width.item() != 0


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_recorded_whatever_the_program_has_set(mode):
    plain, network = small(), small()
    fit(plain, loss, steps=6, log_every=3)
    with mode():
        fit(network, loss, steps=6, log_every=3)
        assert not torch.is_grad_enabled() and torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
    assert all(torch.equal(a, b) for a, b in zip(weights(plain), weights(network), strict=True))
    fit(network, loss, steps=6, log_every=3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"steps": 2.5}, r"steps must be an integer, got 2\.5"),
        ({"log_every": "1"}, "log_every must be an integer, got '1'"),
        ({"optimizers": "adam"}, "optimizers must be of PyTorch's, or a list of them, got 'adam'"),
        ({"optimizers": torch.optim.Adam}, "optimizers must be of PyTorch's"),
        ({"schedule": "cosine"}, "schedule must be a function of step and steps, got 'cosine'; see schedule_of"),
        ({"objective": lambda net, step: torch.tensor(3.0)}, "has no gradient"),
        ({"objective": lambda net, step: 1j * net.weight.sum()}, r"real scalar tensor, got torch\.complex64 \(\)"),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(given, words):
    with pytest.raises(ValueError, match=words):
        fit(torch.nn.Linear(2, 1), **{"objective": lambda net, step: net.weight.sum(), "steps": 2, **given})
