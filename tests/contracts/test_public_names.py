"""Public names: frozen, importable, documented with an example that runs, and hidden by no module of their name."""

import inspect
import json
from importlib import import_module, util
from pathlib import Path

import pytest

from . import docstrings
from .workspace import PACKAGES

SNAPSHOT = Path(__file__).with_name("public_names.json")
"""What each module exports. A name that is meant to come or go is written there, and told in a changelog."""
NAMES: dict[str, list[str]] = json.loads(SNAPSHOT.read_text("utf-8"))
MODULES = {name: import_module(name) for name in NAMES}
VALUES = {
    f"{value.__module__}.{value.__qualname__}": value
    for module, names in NAMES.items()
    for name in names
    if inspect.isclass(value := getattr(MODULES[module], name)) or inspect.isfunction(value)
}
"""Every public function and class, once."""
VALUES |= {
    f"finer_ntk.plots.{name}": value
    for name, value in vars(import_module("finer_ntk.plots")).items()
    if name.startswith("draw_")
}


@pytest.mark.parametrize("module", NAMES)
def test_what_is_exported_is_what_was_agreed(module):
    assert sorted(name for name in MODULES[module].__all__ if name != "__version__") == NAMES[module]
    assert all(hasattr(MODULES[module], name) for name in NAMES[module])


def test_every_package_has_public_names():
    assert {package.module for package in PACKAGES} <= set(NAMES)


@pytest.mark.parametrize("name", VALUES)
def test_every_name_is_documented(name):
    assert docstrings.breaches(VALUES[name]) == []


@pytest.mark.usefixtures("coarse_overlap")
@pytest.mark.parametrize("name", VALUES)
def test_every_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("finer_nerf.scenes.builtin.scene.BUILT_IN_SIZE", 16)  # no example shows what is drawn there
    assert docstrings.failed_examples(VALUES[name]) == 0


@pytest.mark.parametrize("module", NAMES)
def test_no_module_hides_a_public_function(module):
    """Importing `package.fit` would put the module in the place of the function `fit`."""
    functions = [name for name in NAMES[module] if inspect.isfunction(getattr(MODULES[module], name))]
    assert [name for name in functions if is_module(f"{module}.{name}")] == []


def is_module(name: str) -> bool:
    return util.find_spec(name) is not None


def undocumented(z, *, omega_0):
    if omega_0 < 0:
        raise ValueError(f"omega_0 must be positive, got {omega_0!r}")
    return z


def failing(z: float) -> float:
    """Return twice the number.

    Args:
        z: A number.

    Example:
        >>> 2 * 2
        5
    """
    return 2 * z


class Field:
    """Hold a field.

    Args:
        width: Its width.

    Example:
        >>> Field(width=1, depth=2)  # doctest: +SKIP
    """

    def __init__(self, *, width: int, depth: int) -> None:
        self.width, self.depth = width, depth

    def value(self) -> int:
        return self.width


def test_breaches_are_seen():
    assert docstrings.breaches(undocumented) == ["a docstring"]
    undocumented.__doc__ = "Scale.\n\nArgs:\n    z: A number."
    undocumented.__annotations__ = {"return": float}
    try:
        assert docstrings.breaches(undocumented) == ["argument omega_0", "Returns", "Raises", "Example"]
    finally:
        undocumented.__doc__ = None
    assert docstrings.breaches(failing) == []
    assert docstrings.failed_examples(failing) == 1
    assert docstrings.breaches(Field) == ["argument depth", "a docstring of value", "Example"]
    assert is_module("finer_core.networks.gauss") and not is_module("finer_core.networks.Gauss")
