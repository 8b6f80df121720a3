"""The command `finer-nerf download`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from finer_core.app.download_command import add_download_command
from finer_nerf.config import SCENES


def add_download(commands: Any) -> None:
    """Add the command to the program."""
    add_download_command(
        commands,
        "finer_nerf.app.download:fetched",
        names=SCENES,
        text="Fetch Blender scenes of the NeRF paper; the only command that uses the network.",
        what="scenes, of which one archive holds all",
        out=".",
        of_several=True,
    )


def fetched(arguments: argparse.Namespace) -> list[Path]:
    """Fetch scenes; return their folders."""
    from finer_nerf.scenes.download import ACKNOWLEDGEMENT, download

    where = {"url": arguments.url, "sha256": arguments.sha256, "progress": not arguments.quiet}
    paths = download(arguments.names, arguments.out, **where)
    print(ACKNOWLEDGEMENT, file=sys.stderr)
    return paths
