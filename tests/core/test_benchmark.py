"""Comparisons: of methods by name, of modules and of settings."""

import asyncio
import dataclasses
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from finer_core.activations._kernels.dispatch import fuse_activations, fusion_choice, fusion_kept
from finer_core.benchmark import Comparison, _result_on_worker, _Sent, compare
from finer_core.distributed import by_dask
from finer_core.distributed.sharing import Sharing
from finer_core.errors import DivergenceError, InputError
from finer_core.training_config import TrainingConfig

WORKERS = Sharing(workers=2, threads=1, extra="finer-image[dask]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingConfig):
    network: dict = dataclasses.field(default_factory=dict)


def row(name: str, method: str, result) -> dict:
    return {"signal": name, "method": method, "result": result}


def test_names_modules_and_settings_are_compared():
    given = []

    def metrics_of(signal, settings):
        given.append(settings)
        if isinstance(module := settings.get("network"), nn.Module):
            assert torch.equal(module.weight, torch.ones(1, 1)), "a fit of a module is none of what another has trained"
            nn.init.zeros_(module.weight)
        return {"psnr": signal}

    mine = nn.Linear(1, 1)
    nn.init.ones_(mine.weight)
    methods = {"mine": mine, "siren": "siren", "wide": {"method": "finer", "network": {"hidden_features": 8}}}
    rows = compare({"a": 1, "b": 2}, methods, metrics_of, row_of=row, task="image")
    assert [(each["signal"], each["method"], each["result"]["psnr"]) for each in rows] == [
        (signal, method, number) for number, signal in ((1, "a"), (2, "b")) for method in methods
    ]
    assert given[1] == {"method": "siren"} and given[5] == methods["wide"]
    assert torch.equal(mine.weight, torch.ones(1, 1))


def seen(signal, settings):
    return {"psnr": (signal, settings.get("seed"))}


@pytest.mark.parametrize("sharing", [Sharing(), WORKERS])
def test_every_method_is_fitted_with_every_seed_and_rows_say_it(pretended, sharing):
    how = {"row_of": row, "task": "image", "sharing": sharing, "overrides": {"steps": 3}}
    rows = compare({"a": 1, "b": 2}, ["finer", "siren"], seen, seeds=np.array([4, 0]), **how)
    assert [tuple(each.values())[:3] for each in rows] == [
        (name, method, seed) for name in "ab" for method in ("finer", "siren") for seed in (4, 0)
    ]
    assert [each["result"]["psnr"] for each in rows] == [(n, seed) for n in (1, 1, 2, 2) for seed in (4, 0)]
    methods = {"own": {"method": "siren", "seed": 7}, "common": "siren"}
    own, common = compare({"a": 1}, methods, seen, config=Config(seed=3), **how)
    assert (own["seed"], common["seed"]) == (7, 3)
    assert (own["result"]["psnr"], common["result"]["psnr"]) == ((1, 7), (1, None)), "the config's is the config's"


@pytest.mark.parametrize(
    ("seeds", "given", "words"),
    [
        ((0, 1), {"seed": 0}, "^seed= and seeds= both say"),
        ((), {}, "^--seeds must be different numbers of at least 0, got none"),
        ((1, 1), {}, "got 1 1"),
        ((-1,), {}, "got -1"),
        (3, {}, "^seeds must be a list of integers, got 3"),
        (["0"], {}, "^a seed must be an integer below .*, got '0'"),
        ((0, 2**63), {}, r"^a seed must be an integer below 2\^63, got 9223"),
    ],
)
def test_seeds_that_cannot_be_used_are_refused_before_the_first_fit(seeds, given, words):
    fitted, how = lambda *_: pytest.fail("fitted"), {"row_of": row, "task": "image", "config": Config()}
    with pytest.raises(InputError, match=words):
        compare({"x": 1}, "siren", fitted, seeds=seeds, overrides=given, **how)
    if given:
        with pytest.raises(InputError, match=words):
            compare({"x": 1}, {"own": {"method": "siren", **given}}, fitted, seeds=seeds, **how)


@pytest.mark.parametrize("methods", ["sirene", ["finer", "ngp"], {"mine": {"method": "sirene"}}])
def test_a_wrong_method_is_refused_before_the_first_fit(methods):
    with pytest.raises(InputError, match=r"sirene|ngp"):
        compare({"a": 1}, methods, lambda *_: pytest.fail("fitted"), row_of=row, task="image")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"stepss": 5}, "unknown setting 'stepss'; did you mean 'steps'"),
        ({"steps": "many"}, "setting 'steps' must be an integer"),
        ({"lr": 1e-3}, "unknown setting 'lr'; .*, all others are fields of Config"),
        ({"network": {"hidden_features": 3}}, "no fit of 'gauss' has {'hidden_features': 3}"),
    ],
)
def test_settings_that_no_fit_of_a_method_can_have_are_refused_before_the_first_fit(given, words):
    methods, fitted = {"a": "finer", "b": {"method": "gauss"}}, lambda *_: pytest.fail("fitted")

    def check(settings):
        if settings.method == "gauss" and settings.network:
            raise InputError(f"no fit of 'gauss' has {settings.network}")

    how = {"row_of": row, "task": "image", "config": Config(), "check": check}
    with pytest.raises(InputError, match=words):
        compare({"x": 1}, methods, fitted, overrides=given, **how)


@pytest.mark.parametrize(
    ("signals", "words"), [("ball.ply", "'ball.ply'"), (Path("a" * 300), "'aaa"), ([1], "type list")]
)
def test_signals_without_names_are_refused(signals, words):
    with pytest.raises(InputError, match=f"must be given by name, .* got .*{words}") as caught:
        compare(signals, "siren", lambda *_: pytest.fail("fitted"), row_of=row, task="image")
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_arguments_for_all_are_those_of_every_fit_and_a_methods_own_come_first():
    given, mine, heard = [], nn.Linear(1, 1), []
    methods = {"a": "finer", "b": {"method": "siren", "steps": 5}}
    overrides = {"steps": 2, "callbacks": [heard], "network": mine}
    compare({"x": 1}, methods, lambda _, how: given.append(how) or {}, row_of=row, task="image", overrides=overrides)
    assert [(how["method"], how["steps"]) for how in given] == [("finer", 2), ("siren", 5)]
    assert all(how["callbacks"][0] is heard for how in given), "the caller's own are called, and no copies"
    assert mine not in [how["network"] for how in given] and torch.equal(given[0]["network"].weight, mine.weight)


def test_threads_hold_for_the_fits_and_are_given_back():
    before, found = torch.get_num_threads(), []
    how = {"row_of": row, "task": "image", "sharing": Sharing(threads=3)}
    compare({"a": 1}, "siren", lambda *_: found.append(torch.get_num_threads()) or {}, **how)
    assert found == [3] and torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"workers": -1}, "--workers .* got -1"),
        ({"threads": 0}, "1, got 0"),
        ({"workers": "2"}, "--workers must be an integer, got '2'"),
    ],
)
def test_numbers_that_cannot_be_used_are_refused(given, words):
    with pytest.raises(InputError, match=words):
        Sharing(**given)


@pytest.fixture
def pretended(monkeypatch):
    """Let this process be the workers, the last task first, to which everything goes as bytes."""
    pytest.importorskip("distributed")
    stop_after: list[int] = []

    def shared_by_dask(function, tasks, *, prepare, **how):
        prepare()
        for done, (key, task) in enumerate(reversed(tasks.items())):
            if stop_after == [done]:
                raise KeyboardInterrupt
            with fusion_kept():
                fuse_activations(None)  # as a process begins
                result = pickle.loads(pickle.dumps(function))(pickle.loads(pickle.dumps(task)))
            yield key, result

    monkeypatch.setattr(by_dask, "shared_by_dask", shared_by_dask)
    return stop_after


def metrics_on_worker(signal, settings):
    if signal == "far":
        raise DivergenceError("diverged for good")
    if signal == "closed":
        raise asyncio.TimeoutError("the disk is gone")
    activation = settings.get("activation", abs)
    torch.rand(1)
    found = {"psnr": activation(signal), "threads": torch.get_num_threads(), "fused": fusion_choice()}
    fuse_activations(None)
    return found


def shared(signals, methods):
    return compare(signals, methods, metrics_on_worker, row_of=row, task="image", sharing=WORKERS)


def test_rows_of_workers_stand_in_order_and_may_be_errors(pretended):
    state = torch.get_rng_state()
    fuse_activations(False)
    offset = 5
    rows = shared(
        {"a": -1, "b": "far"}, {"plain": "siren", "own": {"method": "siren", "activation": lambda x: x + offset}}
    )
    assert [(each["signal"], each["method"]) for each in rows] == [(a, m) for a in "ab" for m in ("plain", "own")]
    assert [each["result"] for each in rows[:2]] == [{"psnr": n, "threads": 1, "fused": False} for n in (1, 4)]
    assert all("diverged for good" in str(each["result"]) for each in rows[2:])
    assert torch.equal(torch.get_rng_state(), state) and fusion_choice() is False


def test_an_interruption_returns_the_rows_that_are_there(pretended):
    pretended.append(1)
    assert [each["signal"] for each in shared({"a": 1, "b": 2, "c": 3}, "siren")] == ["c"]


def test_an_error_of_a_fit_is_not_taken_for_one_of_dask(pretended):
    with pytest.raises(asyncio.TimeoutError, match="the disk is gone"):
        shared({"a": "closed"}, "siren")


@pytest.mark.parametrize("argument", ["callbacks", "checkpoint", "resume", "progress"])
def test_what_belongs_to_this_process_is_refused(pretended, argument):
    with pytest.raises(InputError, match=f"{argument}= cannot be shared with workers; leave it out"):
        shared({"a": 1}, {"x": {"method": "siren", argument: [print]}})


class Closed(nn.Module):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


def test_what_cannot_be_pickled_is_refused_by_its_name(pretended):
    with pytest.raises(InputError, match=r"^network= of 'mine' cannot be sent .* pickle '_thread.lock'.*leave out"):
        shared({"a": 1}, {"siren": "siren", "mine": Closed()})
    with pytest.raises(InputError, match=r"^'open' cannot be sent to workers \(TypeError: cannot pickle"):
        shared({"a": 1, "open": threading.Lock()}, "siren")


def test_what_a_worker_cannot_read_is_told():
    content = b"cnowhere_at_all\nThing\n."
    with pytest.raises(InputError, match=r"a, siren: a worker cannot read .*No module named 'nowhere_at_all'.*install"):
        _result_on_worker(_Sent(Comparison("a", "siren", None), content, content))


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(InputError, match=r'pip install "finer-image\[dask\]"'):
        shared({"a": 1}, "siren")
