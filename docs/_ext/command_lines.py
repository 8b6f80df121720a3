"""The directive `command-line`: every command and option of a program, as its argparse parser has them.

    .. command-line:: finer_image.app.cli

The module's `build_parser()` makes the parser that the program itself uses.
"""

import argparse
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

USAGE_WIDTH = 96


class CommandLine(SphinxDirective):
    """Describe a program: a section a command, an entry an option."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the page's nodes."""
        parser = import_module(self.arguments[0]).build_parser()
        lines = [*description_of(parser), *options_of(parser)]
        for command in commands_of(parser):
            lines += [command.prog, "-" * len(command.prog), "", *description_of(command), *options_of(command)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def commands_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of each command, in order."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def description_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return what the command does and how it is called."""
    formatter = argparse.HelpFormatter(parser.prog, width=USAGE_WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    usage = [f"   {line}" for line in formatter.format_help().splitlines()]
    text = [escaped(part) for part in (parser.description, parser.epilog) if part]
    return [*(line for part in text for line in (part, "")), ".. code-block:: text", "", *usage, ""]


def options_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the options of a command, group by group."""
    lines = [f".. program:: {parser.prog}", ""]
    formatter = argparse.HelpFormatter(parser.prog)
    for group in parser._action_groups:
        actions = [
            action
            for action in group._group_actions
            if action.help != argparse.SUPPRESS
            and not isinstance(action, argparse._SubParsersAction | argparse._HelpAction)
        ]
        if actions:
            lines += [f".. rubric:: {escaped(group.title or '')}", ""]
            lines += [escaped(group.description), ""] if group.description else []
        for action in actions:
            text = formatter._expand_help(action) if action.help else ""
            lines += [f".. option:: {signature_of(action, formatter)}", "", f"   {escaped(text)}", ""]
    return lines


def signature_of(action: argparse.Action, formatter: argparse.HelpFormatter) -> str:
    """Return how an option is written: `--size HxW`, `-q, --quiet`, `IMAGE`."""
    if not action.option_strings:
        return str(formatter._metavar_formatter(action, action.dest)(1)[0])
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    return f"{names} {formatter._format_args(action, formatter._get_default_metavar_for_optional(action))}"


def escaped(text: str) -> str:
    """Return text that reStructuredText shows as it is."""
    return re.sub(r"([\\`*|_])", r"\\\1", " ".join(text.split()))


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
