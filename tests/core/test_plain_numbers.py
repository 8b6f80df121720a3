"""NumPy's numbers are taken wherever Python's are, and become those: files hold Python's alone."""

import dataclasses
import json
from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from finer_core import Finer, InputError, NetworkConfig, build_network, load_model, save_model
from finer_core.config import config_with, merge_settings, setting
from finer_core.resources import parse_memory
from finer_core.schema import build, plain, whole_numbers
from finer_core.training_config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Settings:
    steps: int = setting(1, "steps")
    rate: float | None = setting(None, "rate")
    network: dict[str, Any] = field(default_factory=dict)


def test_numbers_become_pythons():
    given = {"a": [np.int64(3), (np.float32(0.5), "x")], "b": np.bool_(True), "c": None}
    found = plain(given)
    assert found == {"a": [3, (0.5, "x")], "b": True, "c": None}
    assert json.loads(json.dumps(found)) and type(found["a"][0]) is int and type(found["b"]) is bool
    pair = namedtuple("Pair", "x y")(1, 2)
    assert plain(pair) is pair


def test_settings_take_them():
    overrides = {"steps": np.int64(3), "rate": np.float32(0.5), "network": {"hidden_features": np.int64(8)}}
    for found in (config_with(Settings, Settings(steps=np.int32(7)), overrides), merge_settings(Settings, overrides)):
        assert found == Settings(steps=3, rate=0.5, network={"hidden_features": 8})
        assert type(found.steps) is int and type(found.network["hidden_features"]) is int
    with pytest.raises(InputError, match=r"'steps' must be an integer, got 2\.5"):
        config_with(Settings, None, {"steps": np.float64(2.5)})


def test_networks_take_them(tmp_path):
    sizes = {"in_features": np.int64(2), "out_features": np.int32(1), "hidden_features": np.int64(8)}
    network = build_network("finer", **sizes, hidden_layers=np.uint8(1), first_omega_0=np.float32(5))
    plain_sizes = {"in_features": 2, "out_features": 1, "hidden_features": 8, "hidden_layers": 1}
    same = NetworkConfig(method="finer", **plain_sizes, options=network.config.options)
    assert network.config == same and type(network.config.hidden_features) is int
    assert network.config.options["first_omega_0"] == 5.0 and type(network.config.options["first_omega_0"]) is float
    save_model(network, tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").config == same
    assert Finer(**sizes)(torch.zeros(3, 2)).shape == (3, 1)
    with pytest.raises(InputError, match="hidden_features must be an integer of at least 1, got 0"):
        build_network("finer", **{**sizes, "hidden_features": np.int64(0)})


@pytest.mark.parametrize("values", [(3, 4), [3, 4], np.array([3, 4]), torch.tensor([3, 4]), (np.int64(3), 4)], ids=repr)
def test_whole_numbers_come_in_many_forms(values):
    found = whole_numbers(values, count=2, what="size")
    assert found == (3, 4) and all(type(each) is int for each in found)


_MASKED = np.ma.masked_array([3, 4], mask=[False, True])
_OTHERS = [3, (3,), (3, 4, 5), (3.0, 4.0), (True, False), "34", None, ((3, 4), 5), (1, 2**70), (True, 2), (np.True_, 2)]


@pytest.mark.parametrize("values", [*_OTHERS, _MASKED], ids=repr)
def test_what_are_no_whole_numbers_is_refused(values):
    with pytest.raises(InputError, match="size: 2 whole numbers are wanted, got"):
        whole_numbers(values, count=2, what="size")


def test_a_memory_limit_may_be_a_number_of_bytes():
    for config in (RunConfig(memory=np.int64(10**9)), config_with(RunConfig, None, {"memory": np.int64(10**9)})):
        assert parse_memory(config.memory) == 10**9
        assert build(RunConfig, dataclasses.asdict(config), what="config.json") == config
    with pytest.raises(InputError, match=r"setting 'memory' must be a string or an integer, got 4000000000.0"):
        config_with(RunConfig, None, {"memory": 4e9})
    with pytest.raises(InputError, match="--memory 'lots' is not a size"):
        RunConfig(memory="lots")
