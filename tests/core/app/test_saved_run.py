"""Runs that are taken back from their folder: what config.json may say, and what is asked of them."""

import argparse
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from finer_core import InputError, build_network
from finer_core.app.cli import OneLineParser
from finer_core.app.config_file import asked_settings, merged_settings
from finer_core.app.fit_command import add_fit_options, refuse_changes
from finer_core.app.run_folder import open_run_folder
from finer_core.app.saved_run import (
    check_weights,
    kernels_of,
    read_run,
    tell_of_other_circumstances,
)
from finer_core.config import SavedPlan, setting
from finer_core.io.tensor_file import write_tensors
from finer_core.networks.config import NetworkConfig
from finer_core.resources import environment_versions
from finer_core.training_config import TrainingConfig, refuse_other_presets
from tests.core import small


@dataclass(frozen=True, kw_only=True)
class Settings(TrainingConfig):
    batch: int | None = field(default=None, metadata={"help": "of a step", "choices": None, "metavar": None})
    network: dict[str, Any] = field(default_factory=dict)
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True, kw_only=True)
class Plan(SavedPlan):
    settings: Settings
    network: NetworkConfig
    device: str
    resolved = ("steps",)


CONFIG = {
    "command": "finer-image fit",
    "signal": "x.png",
    "input_sha256": "0",
    "settings": {"method": "finer", "steps": 20, "betas": [0.9, 0.99], "memory": "1GB"},
    "network": small.config_of("finer").to_dict(),
    "device": "cpu",
    "versions": {"finer-core": "0.1", "finer-image": "0.1"},
    "started": "today",
}


@pytest.fixture
def run(tmp_path):
    run = open_run_folder(tmp_path / "run", mode="new")
    run.config.write_text(json.dumps(CONFIG))
    return run


def changed(run, *names: str, value) -> None:
    config = json.loads(json.dumps(CONFIG))
    inner = config
    for name in names[:-1]:
        inner = inner[name]
    inner[names[-1]] = value
    run.config.write_text(json.dumps(config))


def taken_back(run) -> Plan:
    config = read_run(run, command="finer-image fit")
    plan = Plan.from_config(config, source=run.config)
    check_weights(run, [plan.network], memory=10**9)
    return plan


def test_a_run_is_taken_back(run):
    plan = taken_back(run)
    assert plan.settings == Settings(method="finer", steps=20, betas=(0.9, 0.99), memory="1GB")
    assert plan.network == small.config_of("finer")


@pytest.mark.parametrize(
    ("names", "value", "message"),
    [
        (("command",), "finer-sdf fit", "a run of 'finer-sdf fit', not of 'finer-image fit'"),
        (("command",), 3, "command must be a string"),
        (("signal",), [1], "signal must be a string or none"),
        (("input_sha256",), None, "input_sha256 must be a string"),
        (("versions",), {"finer-core": "0.1"}, "versions lacks 'finer-image'"),
        (("versions",), {"finer-core": 1}, "versions must be a mapping"),
        (("started",), {}, "started must be a string"),
        (("settings",), [], "settings must be a mapping"),
        (("settings", "steps"), None, "settings: steps is none"),
        (("settings", "steps"), 10**400, "settings: steps must be an integer or none"),
        (("settings", "steps"), "20", "settings: steps must be an integer or none, got '20'"),
        (("settings", "steps"), 0, "settings: --steps must be at least 1"),
        (("settings", "betas"), [1], "betas must be a list of 2"),
        (("settings", "optimizer"), "sgd", "optimizer must be one of adam, muon, soap, got 'sgd'"),
        (("settings", "stepz"), 3, "unknown keys .'stepz'.*did you mean 'steps'"),
        (("settings", "method"), ["x" * 5000], "method must be a string"),
        (("network",), None, "network must be a mapping, got NoneType"),
        (("network", "hidden_layers"), 10**9, "hidden_layers must be at most 1000"),
        (("network", "hidden_layers"), 2.5, "hidden_layers must be an integer"),
        (("network", "hidden_features"), 10**6, "network has .* numbers, more than --memory allows"),
        (("network", "method"), "fine", "unknown method 'fine'"),
        (("network", "options"), {"first_omega_0": 1e300}, "option 'first_omega_0' cannot be"),
        (("device",), "cud", "unknown device 'cud'"),
        (("device",), 3, "device must be a string"),
    ],
)
def test_a_config_that_was_changed_is_refused_by_name(run, names, value, message):
    changed(run, *names, value=value)
    with pytest.raises(InputError, match=message) as caught:
        taken_back(run)
    assert len(str(caught.value)) <= 300


def test_a_network_is_no_larger_than_the_checkpoint_s(run):
    network = build_network(small.config_of("finer"))
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    run.checkpoint.parent.mkdir()
    write_tensors(run.checkpoint, tensors, {"format": "finer-checkpoint-1", "state": "{}"})
    taken_back(run)
    changed(run, "network", "hidden_features", value=17)
    with pytest.raises(InputError, match=r"config.json: network \(hidden_features 17, .* its checkpoint 643"):
        taken_back(run)


def given_by(*arguments: str) -> argparse.Namespace:
    parser = OneLineParser(prog="tool")
    add_fit_options(parser, Settings, out="runs")
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "file", "message"),
    [
        ((), {"steps": 50}, "--steps 50 differs from the run in .* .20."),
        ((), {"settings": {"steps": 50}}, "--steps 50 differs"),
        ((), {"betas": [0.9, 0.9]}, "--betas .* differs"),
        ((), {"network": {"hidden_features": 8}}, "--hidden-features 8 differs"),
        ((), {"settings": {}, "network": {"options": {"first_omega_0": 3}}}, "--first-omega-0 3 differs"),
        (("--steps", "50"), {"steps": 20}, "--steps 50 differs"),
        (("--scale", "3"), {}, "--scale 3.0 differs from the run in .* .'none'."),
        (("--method", "siren"), {"network": {"hidden_features": 8}}, "--method 'siren' differs"),
    ],
)
def test_what_a_resumed_run_cannot_honor_is_named(run, tmp_path, arguments, file, message):
    plan = taken_back(run)
    (tmp_path / "other.json").write_text(json.dumps(file))
    given = asked_settings(given_by("--config", str(tmp_path / "other.json"), *arguments), Settings)
    with pytest.raises(InputError, match=message):
        refuse_changes(plan.settings, plan.network.to_dict(), given, run.path)


@pytest.mark.parametrize("file", [CONFIG, {"steps": 20}, {"settings": {"steps": 20, "batch": None}}, {}])
def test_what_it_honors_is_not(run, tmp_path, file):
    plan = taken_back(run)
    (tmp_path / "other.json").write_text(json.dumps(file))
    given = asked_settings(given_by("--config", str(tmp_path / "other.json"), "--method", "finer"), Settings)
    refuse_changes(plan.settings, plan.network.to_dict(), given, run.path)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"settings": [1]}, "settings must be a mapping"),
        ({"network": 3}, "network must be a mapping or none"),
        ({"settings": {}, "network": {"options": 3}}, "network: options must be a mapping"),
        ({"signal": 3}, "signal must be a string or none"),
        ({"settings": {}, "given": 3}, "given must be a mapping"),
        ({"signal": ""}, "signal is empty"),
        ({"network": {"hidden_features": 8}, "settings": {"network": 3}}, None),
        ({"settings": {"steps": 3}, "seed": 7}, "'seed' does nothing beside 'settings'; put it there"),
        ({"betas": 3}, "setting 'betas' must be a list of 2"),
        ({"seed": 1e300}, "setting 'seed' must be an integer"),
    ],
)
def test_a_config_file_of_another_kind_is_refused(tmp_path, file, message):
    (tmp_path / "c.json").write_text(json.dumps(file))
    arguments = given_by("--config", str(tmp_path / "c.json"))
    if message is None:
        assert merged_settings(arguments, Settings)[0].network == {"hidden_features": 8}
        return
    with pytest.raises(InputError, match=message):
        merged_settings(arguments, Settings)


@pytest.mark.parametrize(
    ("arguments", "is_anew"),
    [
        ([], False),
        (["--seed", "3"], False),
        (["--method", "finer", "--optimizer", "soap"], False),
        (["--optimizer", "adam"], True),
        (["--method", "siren"], True),
        (["--steps", "20"], True),
        (["--hidden-features", "8"], True),
    ],
)
def test_what_was_given_to_a_run_is_all_that_holds_where_the_rest_is_decided_anew(tmp_path, arguments, is_anew):
    resolved = {"method": "finer", "optimizer": "soap", "steps": 20, "learning_rate": 0.3, "seed": 1}
    file = {"settings": resolved, "given": {"method": "finer", "seed": 1}, "network": {"hidden_features": 16}}
    (tmp_path / "c.json").write_text(json.dumps(file))
    merged, _ = merged_settings(given_by("--config", str(tmp_path / "c.json"), *arguments), Settings)
    assert merged.seed == (3 if "--seed" in arguments else 1)
    assert merged.learning_rate == (None if is_anew else 0.3)
    expected = (
        {"hidden_features": 8} if "--hidden-features" in arguments else None if is_anew else {"hidden_features": 16}
    )
    assert (merged.network or None) == expected


@pytest.mark.parametrize("file", [{"settings": {"network": 3}}, {"settings": {}, "given": {"network": "3"}}], ids=str)
def test_a_network_that_is_none_is_refused_beside_options_of_one(tmp_path, file):
    (tmp_path / "c.json").write_text(json.dumps(file))
    arguments = given_by("--config", str(tmp_path / "c.json"), "--hidden-features", "8")
    for read in (merged_settings, asked_settings):
        with pytest.raises(InputError, match=f"{tmp_path}/c.json: network must be a mapping or none"):
            read(arguments, Settings)


def test_no_average_on_the_command_line_puts_aside_how_often_a_config_file_updates_one(tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Averaged(Settings):
        ema_every: int | None = field(default=None, metadata={"help": "steps", "choices": None, "metavar": None})

    file = tmp_path / "c.json"
    file.write_text(json.dumps({"ema_decay": 0.95, "ema_every": 4}))
    for given, wanted in (([], (0.95, 4)), (["--ema-decay", "0"], (0.0, None)), (["--ema-decay", "0.5"], (0.5, 4))):
        arguments = given_by("--config", str(file), *given)
        merged, _ = merged_settings(arguments, Averaged)
        assert (merged.ema_decay, merged.ema_every) == wanted
        assert asked_settings(arguments, Averaged).get("ema_every") == wanted[1]


def test_another_preset_on_the_command_line_puts_aside_what_is_of_the_file_s_alone(tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Own(Settings):
        batch: int | None = setting(None, "of a step", preset="paper")

    (tmp_path / "c.json").write_text(json.dumps({"preset": "paper", "batch": 3, "steps": 5}))
    for given, batch in (([], 3), (["--preset", "paper"], 3), (["--preset", "fast"], None)):
        merged, _ = merged_settings(given_by("--config", str(tmp_path / "c.json"), *given), Own)
        assert (merged.batch, merged.steps) == (batch, 5)
    refuse_other_presets(Own(preset="paper", batch=3))
    with pytest.raises(InputError, match="--batch 3 is of preset paper, and does nothing in preset fast; leave it out"):
        refuse_other_presets(Own(batch=3))


def test_kernels_that_are_not_those_of_the_beginning_are_told_of(capsys, tmp_path):
    config = small.config_of("finer")
    kernels = kernels_of([config, small.config_of("pemlp")], device="cpu", compiled=None)
    assert set(kernels) <= {"finer"}
    assert (
        kernels_of([config], device="cpu", compiled=False) == kernels_of([config], device="cuda", compiled=True) == {}
    )
    for before, now, word in (
        ({"finer": "a"}, {}, "compiled kernels, which cannot be built here"),
        ({}, {"finer": "a"}, "PyTorch's operations"),
        ({"finer": "a"}, {"finer": "b"}, "other compiled kernels"),
    ):
        tell_of_other_circumstances({"kernels": before, "versions": {}}, now, device="cpu", out=tmp_path)
        line = capsys.readouterr().err
        assert word in line and "bits may differ" in line and line.count("\n") == 1
    for entry in ({"kernels": kernels}, {}, {"kernels": 3}):
        tell_of_other_circumstances({**entry, "versions": {}}, kernels, device="cpu", out=tmp_path)
    assert capsys.readouterr().err == ""


def test_what_splits_the_sums_of_a_run_otherwise_is_told_of(capsys, tmp_path):
    now = {"processes": 1, "threads": torch.get_num_threads(), "versions": environment_versions("torch")}
    for before in (now, {"versions": {}}):
        tell_of_other_circumstances(before, {}, device="cpu", out=tmp_path)
    tell_of_other_circumstances({**now, "threads": 77}, {}, device="cuda", out=tmp_path)
    assert capsys.readouterr().err == ""
    tell_of_other_circumstances(
        {"processes": 4, "threads": "x" * 5000, "versions": {"torch": "2.6"}}, {}, device="cpu", out=tmp_path
    )
    line = capsys.readouterr().err
    assert "begun with processes 4 where it is 1 now, threads 'xxx" in line and "bits may differ" in line
    assert line.count("\n") == 1 and len(line) <= 301
    tell_of_other_circumstances({"versions": {"torch": "2.6"}}, {}, device="cpu", out=tmp_path)
    assert "begun with PyTorch '2.6' where it is 2" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["finer", "wire", "wire-finer", "real-wire", "gauss"])
def test_every_kernel_has_a_digest_where_there_is_a_compiler(method):
    if not kernels_of([small.config_of("finer")], device="cpu", compiled=True):
        pytest.skip("no C compiler")
    kernels = kernels_of([small.config_of(method)], device="cpu", compiled=True)
    assert len(kernels) == 1 and all(len(digest) == 32 for digest in kernels.values())


@pytest.mark.parametrize(
    ("before", "given", "rate"),
    [
        ("soap", "muon", None),
        ("muon", "soap", None),
        ("muon", "adam", None),
        (None, "adam", None),
        ("soap", "soap", 0.007),
        (None, "muon", 0.007),
        ("soap", None, 0.007),
    ],
)
def test_another_optimizer_on_the_command_line_puts_aside_the_rate_of_a_config_file_s(tmp_path, before, given, rate):
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"matrix_learning_rate": 0.007, **({"optimizer": before} if before else {})}))
    arguments = given_by("--config", str(file), *(["--optimizer", given] if given else []))
    merged, _ = merged_settings(arguments, Settings)
    assert merged.matrix_learning_rate == asked_settings(arguments, Settings).get("matrix_learning_rate") == rate
    own = given_by("--config", str(file), *(["--optimizer", given] if given else []), "--matrix-learning-rate", "3")
    assert merged_settings(own, Settings)[0].matrix_learning_rate == 3
