"""What a checkpoint of `finer_core.training.fit` is gone on with: the same fit, and no other."""

import numpy as np
import pytest
import torch
from torch import nn

from finer_core import InputError, build_network
from finer_core.parallel import threads_an_operation
from finer_core.training import (
    DivergenceGuard,
    Fit,
    Muon,
    Soap,
    StatelessObjective,
    WeightEma,
    circumstances,
    exponential_decay,
    fit,
)
from finer_core.training.checkpoint import read_state
from tests.core import fits, small
from tests.core.training.test_fitting import loss, weights

NET = {"in_features": 2, "out_features": 1, "hidden_features": 8, "hidden_layers": 1}
SETTINGS = {"steps": 12, "log_every": 4, "max_grad_norm": 1.0}


class StopAfter:
    def __init__(self, steps: int) -> None:
        self.left = steps

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left < 0


def network_of(method: str = "finer", **options) -> nn.Module:
    return build_network(method, **{**NET, **options}, generator=torch.Generator().manual_seed(0))


def begun(path, network: nn.Module | None = None, **options) -> nn.Module:
    """Begin a fit that is broken off after its first interval, and return its network."""
    network = network or network_of()
    history = fit(network, loss, **{**SETTINGS, **options}, checkpoint=path, callbacks=[StopAfter(6)])
    assert history.interrupted
    return network


def optimizer(kind: str, network: nn.Module, **options) -> torch.optim.Optimizer:
    return getattr(torch.optim, kind)(network.parameters(), **{"lr": 5e-4, **options})


OTHERS = {
    "rate": (lambda net: {"learning_rate": 0.1}, r"optimizers.0.groups.0.lr is 0.0005 in the checkpoint, 0.1 in this"),
    "betas": (lambda net: {"optimizers": optimizer("Adam", net, betas=(0.5, 0.6))}, r"betas.0 is 0.9 .* 0.5 in this"),
    "AdamW": (lambda net: {"optimizers": optimizer("AdamW", net)}, r"optimizers.0.type is 'Adam' .*, 'AdamW' in this"),
    "SGD": (lambda net: {"optimizers": optimizer("SGD", net)}, r"optimizers.0.type is 'Adam' .*, 'SGD' in this fit"),
    "two": (lambda net: {"optimizers": [optimizer("Adam", net), optimizer("SGD", net)]}, r"optimizers.1.type is 'noth"),
    "order": (
        lambda net: {"optimizers": torch.optim.Adam(list(net.parameters())[::-1], lr=5e-4)},
        r"params.0 is 'layers.0.weight'",
    ),
    "schedule": (lambda net: {"schedule": exponential_decay()}, r"schedule.1 is 1.0 in the checkpoint, 0.5"),
    "log_every": (lambda net: {"log_every": 3}, "log_every is 4 in the checkpoint, 3 in this fit"),
    "max_grad_norm": (lambda net: {"max_grad_norm": None}, "max_grad_norm is 1.0 in the checkpoint, None in this fit"),
    "guard": (lambda net: {"guard": DivergenceGuard(max_rollbacks=0)}, "guard.max_rollbacks is 8 .* 0 in this fit"),
    "steps": (lambda net: {"steps": 16}, "12 steps, this one has 16"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_fit_is_refused_by_what_differs(tmp_path, name):
    options, message = OTHERS[name]
    begun(tmp_path / "c")
    network = network_of()
    before = weights(network)
    with pytest.raises(InputError, match=message) as caught:
        fit(network, loss, **{**SETTINGS, **options(network)}, checkpoint=tmp_path / "c", resume=True)
    assert str(caught.value).startswith(f"{tmp_path / 'c'}: ")
    assert all(torch.equal(a, b) for a, b in zip(before, weights(network), strict=True)), "nothing was done to it"


@pytest.mark.parametrize(
    ("kind", "first", "second", "message"),
    [
        (Soap, {"renew_every": 3}, {"renew_every": 10}, "renew_every is 3 in the checkpoint, 10 in this fit"),
        (Muon, {}, {"dtype": torch.bfloat16}, r"dtype is None in the checkpoint, 'torch.bfloat16' in this fit"),
    ],
)
def test_what_an_optimizer_of_matrices_is_told_counts(tmp_path, kind, first, second, message):
    def made(**options):
        network = plain(nn.Tanh)
        return network, kind([network[0].weight], **options)

    network, chosen = made(**first)
    begun(tmp_path / "c", network, optimizers=chosen)
    network, chosen = made(**second)
    with pytest.raises(InputError, match=message):
        fit(network, loss, **SETTINGS, optimizers=chosen, checkpoint=tmp_path / "c", resume=True)
    network, chosen = made(**first)
    assert len(fit(network, loss, **SETTINGS, optimizers=chosen, checkpoint=tmp_path / "c", resume=True)) == 2


@pytest.mark.parametrize("made", [float, torch.tensor], ids=["number", "tensor"])
def test_an_objective_may_come_to_have_something(tmp_path, made):
    class Late:
        """Has something from the second interval on, which the best state, of the first one, has not."""

        kept = None

        def backward(self, network, step):
            (value := loss(network, step) + step).backward()
            self.kept = made(step + 0.5) if step >= SETTINGS["log_every"] else None
            return value.detach()

        def state_dict(self):
            return {"kept": self.kept}

        def load_state_dict(self, state):
            self.kept = state["kept"]

    options = {**SETTINGS, "checkpoint": tmp_path / "c"}
    fit(network_of(), Late(), **options, callbacks=[StopAfter(10)])
    assert read_state(tmp_path / "c").objective["kept"] == 7.5
    assert read_state(tmp_path / "c").best.objective == {"kept": None}
    assert fit(network_of(), Late(), **options, resume=True)["step"].tolist() == [12]


class Drawn:
    """Draws its samples by NumPy, whose generator counts in 128 bits."""

    def __init__(self):
        self.numbers = np.random.default_rng(0)

    def backward(self, network, step):
        (value := network(torch.as_tensor(self.numbers.random((4, 2))).float()).square().mean()).backward()
        return value.detach()

    def state_dict(self):
        return {"numbers": self.numbers.bit_generator.state}

    def load_state_dict(self, state):
        self.numbers.bit_generator.state = state["numbers"]


def test_an_objective_may_draw_by_numpy(tmp_path):
    whole, cut = network_of(), network_of()
    fit(whole, Drawn(), **SETTINGS)
    fit(cut, Drawn(), **SETTINGS, checkpoint=tmp_path / "c", callbacks=[StopAfter(6)])
    fit(cut, Drawn(), **SETTINGS, checkpoint=tmp_path / "c", resume=True)
    assert all(map(torch.equal, weights(whole), weights(cut)))


def plain(activation: type[nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), activation(), nn.Linear(8, 1))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (network_of, lambda: network_of("siren"), "network.method is 'finer' in the checkpoint, 'siren' in this fit"),
        (network_of, lambda: network_of(first_omega_0=7.0), "network.options.first_omega_0 is"),
        (network_of, lambda: network_of().double(), "dtypes.0 is 'torch.float32' .* 'torch.float64'"),
        (lambda: plain(nn.Tanh), lambda: plain(nn.Sigmoid), "module.1 is 'Tanh' in the checkpoint, 'Sigmoid' in this"),
        (lambda: plain(nn.Tanh), network_of, "network.method is 'nothing' in the checkpoint, 'finer' in this fit"),
    ],
)
def test_another_network_of_the_same_shapes_is_refused(tmp_path, first, second, message):
    begun(tmp_path / "c", first())
    with pytest.raises(InputError, match=message):
        fit(second(), loss, **SETTINGS, checkpoint=tmp_path / "c", resume=True)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    made = fits.fit_of(checkpoint=tmp_path / "c")
    made.run()
    with pytest.raises(InputError, match=r"not a checkpoint of finer_core.training.fit; name another"):
        fit(made.network, loss, steps=fits.STEPS, log_every=4, checkpoint=tmp_path / "c", resume=True)


def test_other_threads_kernels_or_pytorch_than_those_of_the_beginning_are_told_of(tmp_path, caplog, monkeypatch):
    begun(tmp_path / "c")
    fit(network_of(), loss, **SETTINGS, checkpoint=tmp_path / "c", resume=True)
    assert not caplog.messages
    begun(tmp_path / "d")
    other = torch.get_num_threads() + 1
    monkeypatch.setattr(circumstances, "kernels_of", lambda modules: {"sine": "0"})
    with threads_an_operation(other):
        fit(network_of(), loss, **SETTINGS, checkpoint=tmp_path / "d", resume=True)
    kernels, sums = caplog.messages
    assert "kernels" in kernels
    assert f"where it is {other} now; the result agrees to rounding, its bits may differ" in sums


def test_the_same_optimizers_go_on_in_the_same_program(tmp_path):
    """Counts in their groups, such as that of an average's steps, are not settings; lr is as it was."""
    kept = {}

    def made(network):
        kept["optimizers"] = [optimizer("Adam", network), WeightEma(network.parameters(), decay=0.9)]
        return kept["optimizers"]

    whole, cut = network_of(), network_of()
    fit(whole, loss, **SETTINGS, optimizers=made(whole), schedule=exponential_decay())
    begun(tmp_path / "c", cut, optimizers=made(cut), schedule=exponential_decay())
    rest = {"optimizers": kept["optimizers"], "schedule": exponential_decay()}
    fit(cut, loss, **SETTINGS, **rest, checkpoint=tmp_path / "c", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(weights(cut), weights(whole), strict=True))


def test_how_an_optimizer_computes_is_no_matter(tmp_path):
    network = begun(tmp_path / "c")
    chosen = optimizer("Adam", network, foreach=True)
    assert fit(network, loss, **SETTINGS, optimizers=chosen, checkpoint=tmp_path / "c", resume=True)[-1].step == 12


@pytest.mark.parametrize("error", [ValueError, KeyError, RuntimeError, InputError])
@pytest.mark.parametrize("where", ["loss", "schedule", "should_stop", "network"])
def test_an_error_of_the_user_s_own_in_the_first_step_stays_theirs(tmp_path, error, where):
    network = begun(tmp_path / "c")
    resumed: list[bool] = []

    def fails(*_, **__):
        raise error("where is my data")

    class Stop:
        should_stop = staticmethod(fails)

    options = {"callbacks": [Stop()]} if where == "should_stop" else {}
    if where == "schedule":
        options["schedule"] = lambda step, steps: fails() if resumed else 1.0
    if where == "network":
        network.register_forward_hook(fails)

    class Looks:
        def on_start(self, step, steps):
            resumed.append(True)

    options["callbacks"] = [*options.get("callbacks", []), Looks()]
    with pytest.raises(error) as caught:
        fit(
            network,
            fails if where == "loss" else loss,
            **SETTINGS,
            **options,
            checkpoint=tmp_path / "c",
            resume=True,
        )
    assert str(caught.value).strip("'") == "where is my data"


def test_a_checkpoint_of_another_optimizer_says_what_it_lacks(tmp_path):
    class Flat(StatelessObjective):
        def backward(self, network, step):
            (value := network(small.coords_of()).square().mean()).backward()
            return value.detach()

    network = small.network_of("finer")
    rest = {"network": network, "objective": Flat(), "schedule": lambda step, steps: 1.0, "steps": 4, "log_every": 2}
    chosen = {name: optimizer(name, network, lr=1e-3) for name in ("Adam", "SGD")}
    for each in chosen.values():
        each.param_groups[0]["initial_lr"] = 1e-3
    Fit(**rest, optimizers=[chosen["Adam"]], checkpoint=tmp_path / "c").run()
    with pytest.raises(InputError, match=r"of another fit: .*momentum.* of SGD is not in it"):
        Fit(**rest, optimizers=[chosen["SGD"]]).run(read_state(tmp_path / "c"))
