"""Comparisons: of methods by name, of modules and of settings."""

import pytest
import torch
from torch import nn

from finer_core.benchmark import compare
from finer_core.errors import InputError


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


@pytest.mark.parametrize("methods", ["sirene", ["finer", "ngp"], {"mine": {"method": "sirene"}}])
def test_a_wrong_method_is_refused_before_the_first_fit(methods):
    with pytest.raises(InputError, match=r"sirene|ngp"):
        compare({"a": 1}, methods, lambda *_: pytest.fail("fitted"), row_of=row, task="image")
