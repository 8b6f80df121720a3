"""The command `download` of an application's public data; importing it does not load PyTorch."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from finer_core.app.cli import OneLineParser
from finer_core.app.fit_command import add_command
from finer_core.errors import InputError


def add_download_command(
    commands: Any,
    source: str,
    *,
    names: Sequence[str],
    text: str,
    what: str,
    out: str,
    kind: Literal["file", "folder", "archive"] = "file",
) -> OneLineParser:
    """Add the command to a program.

    Args:
        commands: What `add_subparsers` returned.
        source: Module with a function `download` and an ACKNOWLEDGEMENT; loaded when the command runs.
        names: What there is to download.
        text: One line for the help.
        what: What the names are, for the help.
        out: The default folder.
        kind: What an address is of: a file for each name, a folder of files for each, or an archive of all.

    Returns:
        The command's parser.
    """

    def run(arguments: argparse.Namespace) -> None:
        if len(arguments.names) > 1 and kind != "archive" and (arguments.url or arguments.sha256):
            raise InputError(f"--url and --sha256 are of one file; name one, not {' '.join(arguments.names)}")
        where: dict[str, Any] = {"url": arguments.url, "progress": not arguments.quiet}
        if kind != "folder":
            where["sha256"] = arguments.sha256
        elif arguments.sha256:
            raise InputError("--sha256 is of one file, and this set has several, whose digests are known; leave it out")
        module, wanted = import_module(source), [arguments.names] if kind == "archive" else arguments.names
        fetched = [module.download(each, arguments.out, **where) for each in wanted]
        print(module.ACKNOWLEDGEMENT, file=sys.stderr)
        for paths in fetched:
            print(*([paths] if isinstance(paths, Path) else paths), sep="\n")

    parser = add_command(commands, "download", run, text)
    parser.epilog = "What broke off is gone on with when the command is repeated; what is there already is kept."
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"{what}: {', '.join(names)}")
    parser.add_argument("--out", default=out, metavar="DIR", help="folder (default: %(default)s)")
    parser.add_argument("--url", metavar="URL", help="another address of the same")
    parser.add_argument("--sha256", metavar="HEX", help="digest to check against")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser
