"""What the documentation names of our packages exists: modules that moved take their mentions along."""

import re
from importlib import import_module

import pytest

from .test_code_blocks import PAGES, ROOT

NAME = re.compile(r"\bfiner_(?:core|image|sdf|nerf|ntk)(?:\.[a-zA-Z_]\w*)+")
FILES = {"py", "md", "toml", "png"}


def names_of(text: str) -> set[str]:
    """Return every dotted name of ours, but not what is a file's."""
    return {name for name in NAME.findall(text) if name.rpartition(".")[2] not in FILES}


def exists(name: str) -> bool:
    """Return whether a dotted name is a module, or an attribute of one."""
    module, _, attribute = name.rpartition(".")
    if not module:
        return False
    try:
        import_module(name)
        return True
    except ModuleNotFoundError:
        pass
    try:
        return hasattr(import_module(module), attribute)
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_names_of_a_page_exist(page):
    assert sorted(name for name in names_of(page.read_text("utf-8")) if not exists(name)) == []


def test_the_check_of_names_sees():
    text = "`finer_core.layers.FinerLayer`, finer_core.gone, `finer_core.layers.gone`, src/finer_core/x.py"
    assert names_of(text) == {"finer_core.layers.FinerLayer", "finer_core.gone", "finer_core.layers.gone"}
    assert [name for name in sorted(names_of(text)) if exists(name)] == ["finer_core.layers.FinerLayer"]
