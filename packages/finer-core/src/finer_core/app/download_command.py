"""The command `download` of an application's public data; importing it does not load PyTorch."""

import argparse
import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from finer_core.app.cli import OneLineParser
from finer_core.app.fit_command import add_command
from finer_core.errors import InputError


def add_download_command(
    commands: Any, fetch: str, *, names: Sequence[str], text: str, what: str, out: str, of_several: bool = False
) -> OneLineParser:
    """Add the command to a program.

    Args:
        commands: What `add_subparsers` returned.
        fetch: "module:function" of the parsed arguments, which returns the paths of what it has fetched.
        names: What there is to download.
        text: One line for the help.
        what: What the names are, for the help.
        out: The default folder.
        of_several: Whether one address has all of them.

    Returns:
        The command's parser.
    """

    def run(arguments: argparse.Namespace) -> None:
        if len(arguments.names) > 1 and not of_several and (arguments.url or arguments.sha256):
            raise InputError(f"--url and --sha256 are of one file; name one, not {' '.join(arguments.names)}")
        paths: Callable[[argparse.Namespace], Sequence[Path]] = pkgutil.resolve_name(fetch)
        for path in paths(arguments):
            print(path)

    parser = add_command(commands, "download", run, text)
    parser.epilog = "What broke off is gone on with when the command is repeated; what is there already is kept."
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"{what}: {', '.join(names)}")
    parser.add_argument("--out", default=out, metavar="DIR", help="folder (default: %(default)s)")
    parser.add_argument("--url", metavar="URL", help="another address of the same")
    parser.add_argument("--sha256", metavar="HEX", help="digest to check against")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser
