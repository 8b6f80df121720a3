"""The directive `module-table`: the modules and folders of a package, each with the first line of its docstring.

They are read from the sources, so the table is as old as they are.
"""

import ast
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class ModuleTable(SphinxDirective):
    """List what stands at the top of a package."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return one definition list."""
        spec = find_spec(self.arguments[0])
        if spec is None or spec.origin is None:
            raise self.error(f"no package {self.arguments[0]!r}")
        found = nodes.definition_list()
        for name, path in modules_of(Path(spec.origin).parent):
            self.env.note_dependency(str(path))
            term = nodes.term("", "", nodes.literal("", name))
            text = nodes.paragraph("", "", *inline(first_line(path)))
            found += nodes.definition_list_item("", term, nodes.definition("", text))
        return [found]


def modules_of(folder: Path) -> list[tuple[str, Path]]:
    """Return name and source of every public module at the top of a package; a folder's name ends in a slash."""
    files = [(path.stem, path) for path in folder.glob("*.py") if not path.name.startswith("_")]
    folders = [(f"{path.parent.name}/", path) for path in folder.glob("[!_]*/__init__.py")]
    return sorted(files + folders)


def first_line(source: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(source.read_text("utf-8"))) or "").partition("\n")[0]


def inline(text: str) -> list[nodes.Node]:
    """Return text with what stands in backticks as code."""
    parts = re.split(r"`([^`]+)`", text)
    return [nodes.literal("", part) if place % 2 else nodes.Text(part) for place, part in enumerate(parts) if part]


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("module-table", ModuleTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
