"""What finer_core exports can be imported, and costs nothing until it is used."""

import subprocess
import sys

import pytest

import finer_core
from finer_core import networks, training
from finer_core._version import __version__


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return result.stdout.strip()


@pytest.mark.parametrize("name", finer_core.__all__)
def test_every_name_is_there(name):
    value = getattr(finer_core, name)
    assert value is not None
    if isinstance(value, type):
        assert value.__name__ == name


@pytest.mark.parametrize("module", [networks, training], ids=lambda module: module.__name__)
def test_every_name_of_a_subpackage_is_there(module):
    assert all(hasattr(module, name) for name in module.__all__)
    assert list(module.__all__) == sorted(set(module.__all__), key=module.__all__.index)


def test_names_are_unique_and_listed():
    assert len(finer_core.__all__) == len(set(finer_core.__all__))
    assert {*finer_core.__all__} < {*dir(finer_core)}  # with its public modules, see tests/contracts/test_rings.py
    assert finer_core.__version__ == __version__


def test_importing_loads_nothing():
    code = "import finer_core, sys; print(*(m for m in ('torch', 'numpy', 'safetensors') if m in sys.modules))"
    assert run(code) == ""


def test_a_name_or_a_submodule_is_loaded_when_it_is_used_and_star_gives_all_names():
    names = ("layers", "activations", "training", "differential", "encodings", "initializers")
    begin = "import finer_core, sys\nfiner_core.InputError\nprint('torch' in sys.modules)"
    parts = ", ".join(f"finer_core.{name}.__name__" for name in names)
    more = f"print({parts})\nfiner_core.Finer\nprint('torch' in sys.modules)\ndel sys"
    star = "from finer_core import *\nprint(*sorted({*dir()} - {'finer_core'} - {n for n in dir() if n[:2] == '__'}))"
    before, modules, after, exported = run("\n".join((begin, more, star))).splitlines()
    assert (before, after) == ("False", "True")
    assert modules.split() == [f"finer_core.{name}" for name in names]
    assert exported.split() == sorted(name for name in finer_core.__all__ if not name.startswith("__"))


@pytest.mark.parametrize("name", ["Finner", "no_such_module", "_private", "__wrapped__"])
def test_other_names_are_attribute_errors(name):
    with pytest.raises(AttributeError, match=f"module 'finer_core' has no attribute '{name}'"):
        getattr(finer_core, name)
    assert not hasattr(finer_core, name)


def test_a_submodule_that_cannot_be_loaded_says_why():
    code = "import sys; sys.modules['safetensors'] = None\nimport finer_core\nfiner_core.save_model"
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert "safetensors" in result.stderr.splitlines()[-1]
