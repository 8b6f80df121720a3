"""The directive `public-names`: a package's page, made of its docstring and of what it exports.

    .. public-names:: finer_core
       :elsewhere: finer_core.networks

A name is documented where its package exports it, unless a package named in `elsewhere` exports it too: then the table
leads there. So a page follows `__all__`, and modules can move.
"""

import ast
import inspect
import re
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective


class PublicNames(SphinxDirective):
    """Document every name of `__all__`, or of the module itself where it has none."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"elsewhere": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the page's nodes."""
        package = import_module(self.arguments[0])
        others = [import_module(name) for name in self.options.get("elsewhere", "").split()]
        lines = [f".. automodule:: {package.__name__}", "   :no-members:", ""]
        table, entries = [], []
        for name in exported(package):
            other = next((other for other in others if name in exported(other)), None)
            if other is not None:
                table.append(f"{other.__name__}.{name}")
                continue
            entries += entry_of(package, name)
            if callable(getattr(package, name)):  # of a value the table would show the docstring of its type
                table.append(f"{package.__name__}.{name}")
        if table:  # of whole paths, which autosummary does not want where a module is current
            lines += [".. py:currentmodule:: None", "", ".. autosummary::", "   :nosignatures:", ""]
            lines += [*(f"   ~{path}" for path in table), "", f".. py:currentmodule:: {package.__name__}", ""]
        return self.parse_text_to_nodes("\n".join(lines + entries))


def exported(package: ModuleType) -> list[str]:
    """Return the public names of a package: its `__all__`, else what is defined in it and has a docstring."""
    if hasattr(package, "__all__"):
        return [name for name in package.__all__ if not name.startswith("__")]
    return [
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == package.__name__ and value.__doc__
    ]


def entry_of(package: ModuleType, name: str) -> list[str]:
    """Return the lines that document a name where its package exports it."""
    value, path = getattr(package, name), f"{package.__name__}.{name}"
    if inspect.isclass(value):
        return [f".. auto{'exception' if issubclass(value, BaseException) else 'class'}:: {path}", ""]
    if inspect.isroutine(value):
        return [f".. autofunction:: {path}", ""]
    # A value has no docstring, but a comment beside its definition.
    comments = ModuleAnalyzer.for_module(home_of(package, name)).find_attr_docs()
    text = comments.get(("", name), [])
    escape(None, "data", path, value, None, text)
    return [f".. py:data:: {path}", "", *(f"   {line}" for line in text), ""]


def home_of(package: ModuleType, name: str) -> str:
    """Return the module that a package imports a name from, as its source says it."""
    for node in ast.walk(ast.parse(inspect.getsource(package))):
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}:
            return node.module
    return package.__name__


def escape(app: Sphinx | None, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape what reStructuredText would take for markup: in our docstrings only backticks are.

    Formulas are full of it: (|z| + 1) z, x*. And `Fit`s is a plural.
    """
    for index, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...", "*")):
            continue  # code, or an argument's stars, which napoleon escapes
        parts = re.split(r"(`+[^`]+`+)", line)
        for place in range(0, len(parts), 2):
            text = parts[place].replace("|", r"\|").replace("*", r"\*")
            parts[place] = rf"\ {text}" if place and text[:1].isalnum() else text
        lines[index] = "".join(parts)


def show_factories(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str, returns: str
) -> Any:
    """Write `...` where a dataclass makes a default: `<factory>` is no Python, and Sphinx would not parse the rest."""
    return signature and signature.replace("<factory>", "..."), returns


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", escape, priority=400)  # before napoleon, which writes markup
    app.connect("autodoc-process-signature", show_factories)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
