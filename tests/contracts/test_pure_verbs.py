"""Pure verbs: nothing is written or printed, two calls give the same bits, and a keyword has one meaning everywhere."""

import inspect
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import finer_core.training

from .test_public_names import NAMES, VALUES
from .verbs import CALLS, ONCE
from .workspace import APPLICATIONS

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = {name: {"download"} for name in ("finer_image", "finer_nerf", "finer_sdf")}
"""What the network is needed for."""
MODULES = [application.module for application in APPLICATIONS]
COMMON = ("callbacks", "checkpoint", "resume", "progress")


def left_in(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "read-only").iterdir()}


def is_digest(outcome: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", outcome) is not None


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("verbs")


@pytest.fixture(scope="module")
def outcomes(folder) -> dict[bool, dict[str, dict[str, list[str]]]]:
    """Return what every verb, and each of those planted, gave twice, and where there is neither stdout nor stderr.

    The working folder takes no files, and stays empty.
    """
    empty, files, output = folder / "read-only", folder / "files", folder / "output"
    files.mkdir()
    empty.mkdir()
    empty.chmod(0o555)
    results = {closed: folder / f"results-{closed}.json" for closed in (False, True)}
    path = os.pathsep.join([str(ROOT), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "FINER_KERNELS": "off", "OMP_NUM_THREADS": "1"}
    arguments = [str(path) for path in (files, results[False], output, results[True])]
    command = [sys.executable, "-m", "tests.contracts.verbs", *arguments, *MODULES, "planted"]
    close = {"preexec_fn": lambda: (os.close(1), os.close(2))}
    ended = subprocess.run(command, cwd=empty, env=environment, check=False, **close)
    assert ended.returncode == 0, output.read_text()[-2000:] if output.exists() else ended
    return {closed: json.loads(path.read_text()) for closed, path in results.items()}


@pytest.mark.parametrize("module", MODULES)
def test_verbs_are_pure(module, outcomes, folder):
    found, closed = outcomes[False][module], outcomes[True][module]
    assert {name for name in left_in(folder) if not name.startswith("planted-")} == set()
    assert {name: first for name, (first, *_) in found.items() if not is_digest(first)} == {}
    assert {name for name, each in found.items() if len(set(each)) > 1} == set()
    assert {name for name, each in found.items() if len(each) < 2} <= ONCE
    assert {name: once for name, (once,) in closed.items()} == {name: first for name, (first, *_) in found.items()}
    functions = {name for name in NAMES[module] if inspect.isfunction(getattr(import_module(module), name))}
    assert functions - set(found) == LEFT_OUT.get(module, set())


def test_verbs_that_are_not_pure_are_seen(outcomes, folder):
    assert set(CALLS) == {"planted", *MODULES}
    found = outcomes[False]["planted"]
    assert is_digest(found["pure"][0]) and found["pure"][0] == found["pure"][1]
    assert found["draws"][0] != found["draws"][1] and found["forks"][0] != found["forks"][1]
    assert found["shifts"][0] == "drew from PyTorch's random numbers"
    assert found["prints"][0] == found["complains"][0] == "wrote to stdout or stderr"
    assert left_in(folder) or found["leaves"][0].startswith("PermissionError")  # root may write anywhere
    (once,) = outcomes[True]["planted"]["complains"]
    assert once.startswith("AttributeError")


def parameters_of(keyword: str) -> list[tuple[str, inspect.Parameter]]:
    """Return a keyword of every public function that has it."""
    functions = {key: value for key, value in VALUES.items() if inspect.isfunction(value)}
    found = [(key, inspect.signature(value).parameters.get(keyword)) for key, value in functions.items()]
    return [(key, parameter) for key, parameter in found if parameter is not None]


@pytest.mark.parametrize("keyword", COMMON)
def test_a_common_keyword_is_one_thing_everywhere(keyword):
    wanted = inspect.signature(finer_core.training.fit).parameters[keyword]
    found = dict(parameters_of(keyword))
    fits = {f"{package.module}.training.fit.fit" for package in APPLICATIONS if package.module != "finer_ntk"}
    assert fits <= set(found)
    for name, parameter in found.items():
        if name.endswith("saved_state"):  # what fits hand theirs on to, without defaults
            continue
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, name
        assert (parameter.default, parameter.annotation) == (wanted.default, wanted.annotation), name


@pytest.mark.parametrize("keyword", COMMON)
def test_a_common_keyword_is_told_in_the_same_words(keyword):
    fits = [finer_core.training.fit, *(import_module(f"finer_{name}").fit for name in ("image", "sdf", "nerf"))]
    texts = {re.search(rf"^    {keyword}: (.*?[.;])", inspect.getdoc(fit), re.M | re.S)[1] for fit in fits}
    assert len({" ".join(text.rstrip(".;").split()) for text in texts}) == 1


@pytest.mark.parametrize("module", ["finer_image", "finer_sdf", "finer_nerf"])
def test_fits_take_the_same_arguments(module):
    signature = inspect.signature(import_module(module).fit)
    keywords = [name for name, value in signature.parameters.items() if value.kind is inspect.Parameter.KEYWORD_ONLY]
    assert keywords == ["network", "activation", *COMMON]
    assert list(signature.parameters)[1] == "config" and list(signature.parameters)[-1] == "overrides"
