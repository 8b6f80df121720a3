"""The command `reproduce`, which every application has; importing it does not load PyTorch."""

import argparse
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from finer_core.app.cli import OneLineParser
from finer_core.app.fit_command import add_command
from finer_core.app.sharing import add_sharing_options
from finer_core.errors import InputError

FORMATS = ("md", "csv", "json", "tex", "html")
STEPS = {"steps": "so many steps"}
"""The length of fits by steps, and its help."""


def add_reproduce_command(
    commands: Any,
    study: str,
    *,
    what: str,
    inputs: str,
    out: str,
    size: str,
    lengths: Mapping[str, str] = STEPS,
) -> OneLineParser:
    """Add the command to a program.

    Args:
        commands: What `add_subparsers` returned.
        study: Module with the application's `finer_core.reproduction.Study` as STUDY; loaded when the command runs.
        what: "TABLE" or "FIGURE".
        inputs: What the inputs are, for the help.
        out: The default results folder.
        size: What `--size` is, for the help.
        lengths: Help of the options that scale the length of its fits, `lengths` of the study.

    Returns:
        The command's parser.
    """

    def run(arguments: argparse.Namespace) -> None:
        text, failed = _reproduced(import_module(study).STUDY, arguments, what=what)
        print(text, end="")
        if failed:
            raise InputError(f"{arguments.out}: none of the runs ({failed}) succeeded; the table has their errors")

    text = f"Run a published {what.lower()} with its exact settings, or scaled, and compare."
    parser = add_command(commands, "reproduce", run, text)
    parser.epilog = f"--list names every {what.lower()}, with its data, settings and published values."
    parser.add_argument("table", nargs="?", metavar=what, help="what to reproduce; see --list")
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help=inputs)
    parser.add_argument("--list", action="store_true", help=f"describe the {what.lower()}s, or the one named, and end")
    parser.add_argument(
        "--preset", choices=("paper", "fast"), default="paper", help="the published protocol (default), or ours"
    )
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="methods or labels of rows (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="seeds (default: 0)")
    parser.add_argument("--limit", type=int, metavar="N", help="scale: the first N inputs only")
    for name, help in lengths.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"scale: {help}")
    parser.add_argument("--size", type=int, metavar="N", help=f"scale: {size}")
    parser.add_argument("--out", default=out, metavar="DIR", help="results folder, gone on with (default: %(default)s)")
    parser.add_argument(
        "--format", choices=FORMATS, default="md", help="of what is printed; DIR gets all (default: md)"
    )
    parser.add_argument("--no-run", action="store_true", help="compute nothing, compare what the folder holds")
    add_sharing_options(parser, what="cells", threads=1)
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes")
    return parser


def _reproduced(study: Any, arguments: argparse.Namespace, *, what: str) -> tuple[str, int]:
    """Return what is printed, and how many runs failed if none is there that did not."""
    from finer_core.reproduction import reproduce
    from finer_core.reproduction.listing import listing

    if arguments.list:
        names = [arguments.table] if arguments.table else list(study.tables)
        return listing([study.table(name) for name in names], format=arguments.format), 0
    if arguments.table is None:
        raise InputError(f"name a {what.lower()}; --list describes them: {', '.join(study.tables)}")
    shared = ("preset", "limit", *study.lengths, "size", "methods", "seeds", "out", "workers", "scheduler", "threads")
    options = {name: getattr(arguments, name) for name in shared if hasattr(arguments, name)}
    how: dict[str, Any] = {**options, "run": not arguments.no_run, "progress": not arguments.quiet}
    result = reproduce(study, arguments.table, arguments.inputs, **how)
    for note in () if arguments.quiet else result.notes:
        print(note, file=sys.stderr)
    text = result.render(arguments.format).encode("utf-8", "backslashreplace").decode()
    return text, 0 if result.records else result.failed
