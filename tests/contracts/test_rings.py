"""An import loads its ring of finer-core and no more; one of an application, its table of names."""

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest

import finer_core

from .rings import RINGS, WITHOUT_TORCH
from .workspace import APPLICATIONS, ROOT

LOADED_BY = """
import importlib, json, sys
seen, loaded = set(), {}
for name in sys.argv[1:]:
    importlib.import_module(name)
    ours = {module for module in sys.modules if module.startswith("finer_")}
    loaded[name] = sorted(ours - seen), "torch" in sys.modules
    seen = ours
print(json.dumps(loaded))
"""

Loaded = Mapping[str, tuple[Sequence[str], bool]]


def loaded_by(*names: str) -> Loaded:
    """Import modules one after the other in a fresh process; return what each added, and whether PyTorch was there."""
    command = [sys.executable, "-c", LOADED_BY, *names]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def breaches(loaded: Loaded, rings: Mapping[str, str]) -> list[str]:
    """Say what each import loads that is not in its ring, and what is in its ring and not loaded."""
    found = []
    for name, (modules, torch) in loaded.items():
        ring = {f"finer_core.{module}" for module in rings[name].split()}
        found += [f"{name} loads {module}" for module in modules if module not in ring | {"finer_core"}]
        found += [f"{name} does not load {module}" for module in sorted(ring - set(modules))]
        found += [f"{name} loads torch"] if torch and name in WITHOUT_TORCH else []
    return found


def test_each_import_loads_its_ring():
    assert breaches(loaded_by(*RINGS), RINGS) == []


def test_an_application_loads_its_table_of_names():
    tables = [package.module for package in APPLICATIONS]
    loaded = loaded_by(*tables)
    ground = {"finer_core", "finer_core._version", "finer_core.lazy"}
    for name, (modules, torch) in loaded.items():
        assert set(modules) - ground == {name, f"{name}._version"}
        assert not torch


@pytest.mark.parametrize("package", [package.module for package in APPLICATIONS])
def test_an_application_lists_its_public_names_and_has_no_other(package):
    module = importlib.import_module(package)
    assert {*module.__all__, "plots"} <= {*dir(module)} <= {*module.__all__, "plots", "spectrum"}
    assert all(hasattr(module, name) for name in dir(module))
    with pytest.raises(AttributeError, match=f"'{package}' has no attribute 'fits'"):
        _ = module.fits


def test_the_core_lists_the_modules_that_have_a_page_of_their_own():
    pages = {page.stem.partition(".")[2] for page in (ROOT / "docs" / "reference").glob("finer_core.*.rst")}
    assert {*finer_core.__all__} | pages == {*dir(finer_core)} and "training" in pages
    assert all(hasattr(finer_core, name) for name in pages)


@pytest.mark.parametrize(
    ("modules", "torch", "breach"),
    [
        (["_version", "lazy", "app.cli"], False, "loads finer_core.app.cli"),
        (["_version"], False, "does not load finer_core.lazy"),
        (["_version", "lazy"], True, "loads torch"),
    ],
)
def test_the_check_sees(modules, torch, breach):
    loaded = ["finer_core", *(f"finer_core.{module}" for module in modules)]
    assert breaches({"finer_core": (loaded, torch)}, RINGS) == [f"finer_core {breach}"]


FIT = """
import sys
import torch
from finer_core import build_network
from finer_core.training import build_optimizers, fit
for name in ("adam", "muon", "soap"):
    network = build_network("finer", in_features=1, out_features=1, hidden_features=8)
    optimizers = build_optimizers(network, name=name, learning_rate=1e-3, ema_decay=0.9)
    coords = torch.linspace(-1, 1, 9)[:, None]
    fit(network, lambda network, step: network(coords).square().mean(), steps=3, optimizers=optimizers)
    saved = [optimizer.state_dict() for optimizer in optimizers]
    for optimizer, state in zip(optimizers, saved):
        optimizer.load_state_dict(state)
        optimizer.zero_grad()
from finer_core.methods import METHODS
for method in METHODS.values():
    for task in method.tasks:
        build_network(method.name, task=task, in_features=2, out_features=1, device="meta")  # as commands try settings
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""


def test_a_fit_does_not_load_pytorch_s_compiler():
    result = subprocess.run([sys.executable, "-c", FIT], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"
