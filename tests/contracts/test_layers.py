"""Imports go downwards only: in finer-core by its layers, in an application from commands to the library."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from .layers import CORE as LAYERS
from .layers import OF_COMMANDS
from .workspace import APPLICATIONS, CORE, PACKAGES

LEVELS = {prefix: level for level, layer in enumerate(LAYERS) for prefix in layer}


def module_of(path: Path, source: Path) -> str:
    parts = path.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Return what a module imports, in functions and under TYPE_CHECKING too, each name with its module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def level_of(name: str) -> int | None:
    """Return the level of the longest prefix that fits a name below `finer_core`; None where none does."""
    fitting = [prefix for prefix in LEVELS if name == prefix or name.startswith(f"{prefix}.")]
    return LEVELS[max(fitting, key=len)] if fitting else None


def upward(module: str, tree: ast.AST) -> list[str]:
    """Return the imports of a module of finer-core from a layer above its own."""
    own = level_of(module.removeprefix("finer_core."))
    assert own is not None, f"{module} is in no layer; see layers.py"
    ours = [name.removeprefix("finer_core.") for name in imports_of(tree) if name.startswith("finer_core.")]
    return [name for name in ours if (level_of(name) or 0) > own]


def commands_used(package: str, module: str, tree: ast.AST) -> list[str]:
    """Return what a module of an application's library imports from commands, its own or finer-core's."""
    if module.split(".")[1:2] in [[folder] for folder in (*OF_COMMANDS, "__main__")]:
        return []
    theirs = tuple(f"{root}.{folder}." for root in (package, "finer_core") for folder in OF_COMMANDS)
    return [name for name in imports_of(tree) if name.startswith(theirs)]


def cycle_of(trees: Mapping[str, ast.AST]) -> list[str]:
    """Return modules that import each other in a ring, in functions too; the package, which names all, aside."""
    graph: dict[str, set[str]] = {}
    for module, tree in trees.items():
        if "." not in module:
            continue
        graph[module] = set()
        for name in imports_of(tree):
            while "." in name and name not in trees:
                name = name.rpartition(".")[0]
            if "." in name and name != module:
                graph[module].add(name)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_no_modules_import_each_other(package):
    paths = sorted(package.source.rglob("*.py"))
    trees = {module_of(path, package.source): ast.parse(path.read_text("utf-8")) for path in paths}
    assert cycle_of(trees) == []


def test_a_ring_is_seen():
    code = {
        "p": "from p.a import f",
        "p.a": "from p.b.c import g",
        "p.b": "",
        "p.b.c": "def g():\n    from p import d",
        "p.d": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import f",
    }
    ring = cycle_of({name: ast.parse(text) for name, text in code.items()})
    assert set(ring) == {"p.a", "p.b.c", "p.d"}
    code["p.d"] = "import torch"
    assert cycle_of({name: ast.parse(text) for name, text in code.items()}) == []


def test_no_module_of_core_imports_from_above():
    for path in sorted(CORE.source.rglob("*.py")):
        module = module_of(path, CORE.source)
        if module != CORE.module:  # which names everything, lazily
            assert upward(module, ast.parse(path.read_text("utf-8"))) == [], module


@pytest.mark.parametrize("package", APPLICATIONS, ids=str)
def test_no_library_module_imports_commands(package):
    for path in sorted(package.source.rglob("*.py")):
        module = module_of(path, package.source)
        assert commands_used(package.module, module, ast.parse(path.read_text("utf-8"))) == [], module


@pytest.mark.parametrize(
    "code",
    [
        "from finer_core.app.cli import run_command",
        "def f():\n    import finer_core.training.loop",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from finer_core.io.model_header import ModelInfo",
        "from finer_core.activations import _kernels",
    ],
)
def test_the_check_of_layers_sees(code):
    module = "finer_core.activations.formulas" if "_kernels" in code else "finer_core.networks.base"
    assert len(upward(module, ast.parse(code))) == 1


def test_the_check_of_commands_sees():
    code = ast.parse("from finer_image.app.report import write_report\nfrom finer_core.app.run_folder import RunFolder")
    assert len(commands_used("finer_image", "finer_image.training.plan", code)) == 2
    assert commands_used("finer_image", "finer_image.app.experiment", code) == []
