"""Models of several networks."""

import pytest
import torch

from finer_core import InputError, NetworkDict, load_model, load_network, model_info, save_model
from tests.core import small


def parts() -> NetworkDict:
    configs = {"density": small.config_of("finer"), "color": small.config_of("wire", out_features=2)}
    return NetworkDict.build(configs, generator=torch.Generator().manual_seed(0))


def test_a_model_of_several_networks_comes_back(tmp_path):
    before = parts()
    save_model(before, tmp_path / "m.safetensors", task="both", task_data={"a": 1})
    after = load_model(tmp_path / "m.safetensors")
    assert isinstance(after, NetworkDict)
    assert after.config == before.config
    assert [name for name, _ in after.named_parameters()] == [name for name, _ in before.named_parameters()]
    assert (after.info.task, after.info.task_data) == ("both", {"a": 1})
    for name in ("density", "color"):
        assert torch.equal(after[name](small.coords_of()), before[name](small.coords_of()))


@pytest.mark.parametrize("wrapped", ["all", "one"])
def test_compiled_parts_are_saved_as_what_was_compiled(wrapped, tmp_path):
    before, path = parts(), tmp_path / "m.safetensors"
    names = sorted(before.state_dict())
    if wrapped == "one":
        compiled = before
        compiled["color"] = torch.compile(before["color"], backend="eager")
    else:
        compiled = torch.compile(before, backend="eager")
    save_model(compiled, path)
    assert sorted(load_model(path).state_dict()) == names
    assert load_model(path).config == before.config


def test_the_networks_of_one_generator_differ():
    two = NetworkDict.build(dict.fromkeys("ab", small.config_of("siren")), generator=torch.Generator().manual_seed(0))
    assert not torch.equal(two["a"].head.weight, two["b"].head.weight)


def test_one_network_is_asked_for_by_name(tmp_path):
    save_model(parts(), tmp_path / "m.safetensors", task="both")
    with pytest.raises(InputError, match="task 'both' with 2 networks"):
        load_network(tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="2 networks"):
        _ = model_info(tmp_path / "m.safetensors").config
    save_model(small.network_of("siren"), tmp_path / "one.safetensors")
    assert load_network(tmp_path / "one.safetensors").config == small.config_of("siren")


def test_no_networks_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        NetworkDict({})
