"""The fit loop's pieces: schedules, optimizers, guard, metric log."""

import json
import math

import pytest
import torch
from torch import nn

from finer_core import InputError
from finer_core.training import (
    DivergenceGuard,
    JsonlLogger,
    LogEntry,
    Muon,
    Soap,
    StatelessObjective,
    build_optimizers,
    exponential_decay,
    read_jsonl,
    schedule_of,
    warmup_cosine,
    warmup_linear,
)
from finer_core.training.optimizers.build import set_learning_rates
from finer_core.training_config import OPTIMIZERS, SCHEDULES
from tests.core import small


def names_of(optimizer: torch.optim.Optimizer, network: nn.Module) -> set[str]:
    ids = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return {name for name, p in network.named_parameters() if id(p) in ids}


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 1.0), (2500, 0.1**0.5), (4999, 0.1**0.9998), (5000, 0.1), (6000, 0.1)]
)
def test_exponential_decay(step, factor):
    assert exponential_decay()(step, 5000) == pytest.approx(factor)


def test_exponential_decay_to_another_factor():
    assert exponential_decay(final_factor=0.01)(50, 100) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 0.1),  # 1 of 10 warm-up steps, cosine still at 1
        (4, 0.5 * 0.5 * (1 + math.cos(math.pi * 0.04))),
        (9, 0.5 * (1 + math.cos(math.pi * 0.09))),
        (50, 0.5),
        (99, 0.5 * (1 + math.cos(math.pi * 0.99))),
        (100, 0.0),
        (150, 0.0),
    ],
)
def test_warmup_cosine(step, factor):
    assert warmup_cosine(warmup=0.1)(step, 100) == pytest.approx(factor, abs=1e-12)


def test_a_squared_cosine_begins_as_a_cosine_and_ends_lower():
    plain, squared = schedule_of("cosine"), schedule_of("cosine-squared")
    assert squared(0, 1000) == plain(0, 1000) == 1 / 20
    for step in (30, 500, 900):
        assert squared(step, 1000) == pytest.approx(plain(step, 1000) ** 2)


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 0.1), (4, 0.5 * 0.96), (9, 0.91), (50, 0.5), (99, 0.01), (100, 0.0), (150, 0.0)]
)
def test_warmup_linear(step, factor):
    assert warmup_linear(warmup=0.1)(step, 100) == pytest.approx(factor, abs=1e-12)


def test_warmup_shorter_than_a_step_and_none():
    assert warmup_cosine(warmup=0.02)(0, 10) == 1.0
    assert warmup_cosine(warmup=0)(0, 10) == 1.0


@pytest.mark.parametrize("schedule", [warmup_linear, warmup_cosine])
@pytest.mark.parametrize("warmup", [-0.1, 1.0, float("nan")])
def test_bad_warmup(schedule, warmup):
    with pytest.raises(ValueError, match=r"warmup must be in \[0, 1\)"):
        schedule(warmup=warmup)


def test_settings_reach_adam():
    (adam,) = build_optimizers(
        small.network_of("finer"), learning_rate=3e-3, betas=(0.8, 0.95), eps=1e-15, amsgrad=True
    )
    assert isinstance(adam, torch.optim.Adam)
    (group,) = adam.param_groups
    expected = {"lr": 3e-3, "initial_lr": 3e-3, "betas": (0.8, 0.95), "eps": 1e-15, "amsgrad": True, "weight_decay": 0}
    assert {name: group[name] for name in expected} == expected


def test_settings_change_the_updates():
    def trained(**settings) -> torch.Tensor:
        network = small.network_of("siren")
        (adam,) = build_optimizers(network, learning_rate=1e-2, **settings)
        objective = small.WaveObjective()
        for step in range(6):
            adam.zero_grad()
            objective.backward(network, step)
            adam.step()
        return network.layers[1].weight.detach()

    plain = trained()
    for settings in ({"amsgrad": True}, {"betas": (0.5, 0.999)}, {"betas": (0.9, 0.9)}, {"eps": 1e-2}):
        assert not torch.equal(trained(**settings), plain), settings


@pytest.mark.parametrize("method", small.NAMES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_parameter_has_exactly_one_optimizer(method, name):
    network = small.network_of(method)
    optimizers = build_optimizers(network, name=name, learning_rate=1e-3)
    owned = [id(p) for o in optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for p in network.parameters())


@pytest.mark.parametrize("method", ["finer", "siren", "gauss", "pemlp"])
def test_muon_gets_the_square_hidden_matrices(method):
    network = small.network_of(method)
    adam, muon = build_optimizers(network, name="muon", learning_rate=1e-3, matrix_learning_rate=2e-2)
    assert isinstance(muon, Muon)
    assert names_of(muon, network) == {"layers.1.weight", "layers.2.weight"}
    assert names_of(adam, network) == {n for n, _ in network.named_parameters()} - names_of(muon, network)
    (group,) = muon.param_groups
    assert (group["lr"], group["initial_lr"]) == (2e-2, 2e-2)


def test_soap_gets_every_matrix_and_can_be_saved():
    network = small.network_of("finer")
    adam, soap = build_optimizers(network, name="soap", learning_rate=1e-3, matrix_learning_rate=3e-3)
    assert isinstance(soap, Soap)
    assert names_of(soap, network) == {name for name, p in network.named_parameters() if p.ndim == 2}
    assert names_of(adam, network) == {name for name, p in network.named_parameters() if p.ndim == 1}


def test_muon_gets_bacon_s_maps_and_not_its_filters():
    network = small.network_of("bacon")
    _, muon = build_optimizers(network, name="muon", learning_rate=1e-3)
    assert names_of(muon, network) == {"linears.0.weight", "linears.1.weight"}


@pytest.mark.parametrize(
    ("method", "config"),
    [("wire", {}), ("wire-finer", {}), ("finer", {"hidden_layers": 0}), ("finer", {"hidden_features": 8})],
)
def test_networks_without_large_real_hidden_matrices_get_adam_alone(method, config):
    optimizers = build_optimizers(small.network_of(method, **config), name="muon", learning_rate=1e-3)
    assert [isinstance(o, torch.optim.Adam) for o in optimizers] == [True]


def test_a_network_of_square_matrices_alone():
    network = small.network_of("siren", in_features=16, out_features=16, bias=False)
    optimizers = build_optimizers(network, name="muon", learning_rate=1e-3)
    assert [type(o) for o in optimizers] == [Muon]


def test_frozen_parameters_have_no_optimizer():
    network = small.network_of("finer")
    network.layers[0].requires_grad_(False)
    (adam,) = build_optimizers(network, learning_rate=1e-3)
    assert not any(name.startswith("layers.0") for name in names_of(adam, network))


def test_rates_are_set_relative_to_the_initial_ones():
    optimizers = build_optimizers(small.network_of("finer"), name="muon", learning_rate=4e-3, matrix_learning_rate=1e-2)
    for factor in (0.5, 0.25):
        set_learning_rates(optimizers, factor=factor)
        assert [o.param_groups[0]["lr"] for o in optimizers] == pytest.approx([4e-3 * factor, 1e-2 * factor])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "adamw"}, r"unknown optimizer 'adamw' \(known: adam, muon, soap\)"),
        ({"learning_rate": 0.0}, r"learning_rate must be in \(0, inf\), got 0.0"),
        ({"learning_rate": float("nan")}, r"must be in \(0, inf\), got nan"),
        ({"learning_rate": float("inf")}, r"must be in \(0, inf\), got inf"),
        ({"matrix_learning_rate": -1.0}, r"matrix_learning_rate must be in \(0, inf\), got -1.0"),
    ],
)
def test_bad_optimizer_settings(settings, message):
    with pytest.raises(InputError, match=message):
        build_optimizers(small.network_of("finer"), **{"learning_rate": 1e-3, **settings})


def test_the_guard_judges_by_the_best():
    guard = DivergenceGuard()
    assert not guard.is_bad(1e9), "the first stretch may have any finite loss"
    guard.accept(1.0)
    guard.accept(5.0)
    assert [guard.is_bad(loss) for loss in (9.9, 10.1, math.inf, math.nan)] == [False, True, True, True]
    guard.accept(0.1)
    assert guard.is_bad(1.1)


def test_a_guard_without_rollbacks_only_sees_losses_that_are_not_finite():
    guard = DivergenceGuard(max_rollbacks=0)
    guard.accept(1.0)
    assert [guard.is_bad(loss) for loss in (1e9, math.inf, math.nan)] == [False, True, True]
    assert not guard.roll_back()


def test_the_guard_lowers_rates_and_gives_up():
    guard = DivergenceGuard(max_rollbacks=2, rate_factor=0.5)
    assert [guard.roll_back() for _ in range(3)] == [True, True, False]
    assert (guard.rollbacks, guard.rate) == (3, 0.125)


def test_the_guard_s_state():
    guard = DivergenceGuard()
    guard.accept(0.25)
    guard.roll_back()
    other = DivergenceGuard()
    other.load_state_dict(json.loads(json.dumps(guard.state_dict())))
    assert other == guard


def test_lines_are_readable_while_the_run_goes_on(tmp_path):
    logger = JsonlLogger(tmp_path / "m.jsonl")
    logger.log(10, {"loss": 0.1, "psnr": math.inf})
    assert read_jsonl(tmp_path / "m.jsonl") == [{"step": 10, "loss": 0.1, "psnr": None}]
    logger.log(20, {"loss": 0.1 + 0.2})
    assert read_jsonl(tmp_path / "m.jsonl")[1] == {"step": 20, "loss": 0.1 + 0.2}
    logger.close()


def write_log(path, *, steps=(10, 20, 30), tail: str = "") -> None:
    path.write_text("".join(f'{{"step": {step}, "loss": 1.5}}\n' for step in steps) + tail)


@pytest.mark.parametrize("tail", ["", '{"step": 4', "{", "\0\0\0\0", '{"step": 40, "loss": 0.', "\n"])
def test_a_half_written_last_line_is_dropped(tmp_path, tail):
    path = tmp_path / "m.jsonl"
    write_log(path, tail=tail)
    assert [line["step"] for line in read_jsonl(path)] == [10, 20, 30]
    logger = JsonlLogger(path, keep_until=30)
    logger.log(40, {"loss": 0.5})
    logger.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [10, 20, 30, 40]


@pytest.mark.parametrize(("keep_until", "kept"), [(0, []), (9, []), (10, [10]), (25, [10, 20]), (99, [10, 20, 30])])
def test_later_lines_are_dropped_when_a_run_is_resumed(tmp_path, keep_until, kept):
    path = tmp_path / "m.jsonl"
    write_log(path)
    JsonlLogger(path, keep_until=keep_until).close()
    assert [line["step"] for line in read_jsonl(path)] == kept


def test_a_log_is_a_callback_and_begins_where_its_fit_begins(tmp_path):
    path = tmp_path / "m.jsonl"
    write_log(path)
    logger = JsonlLogger(path)
    logger.on_start(20, 40)
    logger.on_log(LogEntry(step=30, loss=0.5, learning_rate=1e-3, seconds=2.00049, rollbacks=0, metrics={"psnr": 3.0}))
    logger.on_end()
    lines = read_jsonl(path)
    assert [line["step"] for line in lines] == [10, 20, 30]
    assert list(lines[2].values()) == [30, 0.5, 1e-3, 2.0, 0, 3.0]


def test_no_log_yet(tmp_path):
    assert read_jsonl(tmp_path / "none.jsonl") == []


def test_a_stateless_objective_has_no_state():
    objective = StatelessObjective()
    assert objective.state_dict() == {}
    objective.load_state_dict({})
    with pytest.raises(ValueError, match=r"no state, got \['seed'\]"):
        objective.load_state_dict({"seed": 3})


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_has_a_name(name):
    schedule = schedule_of(name)
    assert 0 < schedule(0, 1000) <= 1 and schedule(990, 1000) < 0.2


def test_an_unknown_schedule():
    with pytest.raises(InputError, match="unknown schedule 'steps'"):
        schedule_of("steps")


@pytest.mark.parametrize(
    "line", ['{"step": 3, "psnr": "high"}', '{"step": 3, "psnr": [1]}', '{"step": 3, "loss": NaN}']
)
def test_a_log_line_of_other_things_than_numbers_is_refused(tmp_path, line):
    (tmp_path / "m.jsonl").write_text(line + '\n{"step": 4, "loss": 1.0}\n')
    with pytest.raises(InputError, match="line 1 is no log line"):
        read_jsonl(tmp_path / "m.jsonl")


def test_a_guard_without_patience_lets_rates_rise_at_once():
    guard = DivergenceGuard(patience=0)
    guard.roll_back("dead", step=7)
    assert guard.factor(8, 100) == pytest.approx(guard.dead_factor)
