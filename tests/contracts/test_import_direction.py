"""Applications import finer-core and never each other, and nobody reaches inside a sibling."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from .workspace import APPLICATIONS, CORE, PACKAGES, Package

MODULES = {package.module for package in PACKAGES}
LIBRARIES_OF_CORE = {"torch", "numpy", "safetensors"}
NEEDS_AN_EXTRA = "torch.utils.tensorboard"


@dataclass(frozen=True)
class Import:
    """One imported name: `from finer_core.io.files import json_text` is finer_core.io.files.json_text."""

    name: str
    line: int
    at_module_level: bool

    @property
    def root(self) -> str:
        return self.name.partition(".")[0]


def imports_of(tree: ast.AST, *, at_module_level: bool = True) -> Iterator[Import]:
    """Walk a module, and say of each absolute import whether loading the module runs it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):  # holds no statement
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = []
        yield from (Import(name, node.lineno, at_module_level) for name in names)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from imports_of(node, at_module_level=at_module_level and not is_function)


def private_attributes(tree: ast.AST, *, of: set[str]) -> Iterator[str]:
    """Find `alias._name` where the alias was imported from one of these packages."""
    aliases = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).partition(".")[0] in of
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            start = node.value
            while isinstance(start, ast.Attribute):
                start = start.value
            if isinstance(start, ast.Name) and start.id in aliases:
                yield ast.unparse(node)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def foreign_to_core(tree: ast.AST) -> list[str]:
    """Return what finer-core must not import when it is loaded."""
    allowed = set(sys.stdlib_module_names) | LIBRARIES_OF_CORE | {CORE.module}
    return [
        i.name
        for i in imports_of(tree)
        if i.at_module_level and (i.root not in allowed or i.name.startswith(NEEDS_AN_EXTRA))
    ]


def reaches_inside(tree: ast.AST, *, siblings: set[str]) -> list[str]:
    """Return the siblings' underscore names that a module uses."""
    names = [i.name for i in imports_of(tree) if i.root in siblings]
    private = [name for name in names if any(map(is_private, name.split(".")))]
    return private + list(private_attributes(tree, of=siblings))


@cache
def sources(package: Package) -> list[tuple[Path, ast.AST]]:
    return [(path, ast.parse(path.read_text("utf-8"))) for path in sorted(package.source.rglob("*.py"))]


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_imports_no_application(package):
    others = {application.module for application in APPLICATIONS} - {package.module}
    for path, tree in sources(package):
        assert not [f"{path}:{i.line}: {i.name}" for i in imports_of(tree) if i.root in others]


TRITON_KERNELS = {"finer_core.activations._kernels.triton_sine", "finer_core.training.optimizers.gram_schmidt"}
"""Modules of finer-core that need Triton; they are imported inside functions alone, where there is a GPU."""


def test_core_loads_three_libraries():
    for path, tree in sources(CORE):
        kernels = ".".join(path.relative_to(CORE.source.parent).with_suffix("").parts) in TRITON_KERNELS
        foreign = [name for name in foreign_to_core(tree) if not (kernels and name.split(".")[0] == "triton")]
        assert not [f"{path}: {name}" for name in foreign]


def test_triton_is_loaded_late():
    for path, tree in sources(CORE):
        early = {i.name for i in imports_of(tree) if i.at_module_level}
        assert not [f"{path}: {name}" for name in early if any(name.startswith(k) for k in TRITON_KERNELS)]


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_uses_no_private_name_of_a_sibling(package):
    siblings = MODULES - {package.module}
    for path, tree in sources(package):
        assert not [f"{path}: {name}" for name in reaches_inside(tree, siblings=siblings)]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import tqdm", "tqdm"),
        ("try:\n    from PIL import Image\nexcept ImportError:\n    pass", "PIL.Image"),
        ("from torch.utils.tensorboard import SummaryWriter", "torch.utils.tensorboard.SummaryWriter"),
        ("class A:\n    import scipy", "scipy"),
    ],
)
def test_the_check_of_core_sees(code, name):
    assert foreign_to_core(ast.parse(code)) == [name]


@pytest.mark.parametrize("code", ["import os.path", "def f():\n    import PIL", "from . import files", "import torch"])
def test_the_check_of_core_allows(code):
    assert foreign_to_core(ast.parse(code)) == []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from finer_core.io.files import _write", "finer_core.io.files._write"),
        ("from finer_core._version import __version__", "finer_core._version.__version__"),
        ("def f():\n    import finer_core._files", "finer_core._files"),
        ("import finer_core.io.files\nfiner_core.io.files._write()", "finer_core.io.files._write"),
        ("from finer_core import files as f\nf._write()", "f._write"),
    ],
)
def test_the_check_of_private_names_sees(code, name):
    assert reaches_inside(ast.parse(code), siblings={"finer_core"}) == [name]


@pytest.mark.parametrize("code", ["from finer_core import __version__", "self._x = 1", "from finer_image._a import b"])
def test_the_check_of_private_names_allows(code):
    assert reaches_inside(ast.parse(code), siblings={"finer_core"}) == []
