"""The command `finer-image download`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from finer_core.app.download_command import add_download_command
from finer_core.errors import InputError


def add_download(commands: Any) -> None:
    """Add the command to the program."""
    add_download_command(
        commands,
        "finer_image.app.download:fetched",
        names=("div2k",),
        text="Fetch the photographs of the published image tables; the only command that uses the network.",
        what="sets",
        out="div2k",
    )


def fetched(arguments: argparse.Namespace) -> list[Path]:
    """Fetch the images of a set; return the paths."""
    from finer_image.io.download import ACKNOWLEDGEMENT, download

    if arguments.sha256:
        raise InputError("--sha256 is of one file, and this set has several, whose digests are known; leave it out")
    paths = [
        path
        for name in arguments.names
        for path in download(name, arguments.out, url=arguments.url, progress=not arguments.quiet)
    ]
    print(ACKNOWLEDGEMENT, file=sys.stderr)
    return paths
