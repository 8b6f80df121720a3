"""Settings of the documentation, which `./dev run docs` builds. Nothing is fetched: no inventories, no fonts."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "finer"
author = "The finer developers"
copyright = author
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "command_lines",
    "module_tables",
    "public_names",
    "repository_pages",
]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = "finer"
html_copy_source = False

myst_heading_anchors = 4  # links such as speed.md#on-a-gpu
default_role = "py:obj"  # `name` in a docstring leads to the name where there is a page of it, else it is code

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autosummary_generate = False  # a page a package, not a page a name
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 100
