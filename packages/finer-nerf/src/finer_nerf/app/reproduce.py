"""The command `finer-nerf reproduce`."""

from typing import Any

from finer_core.app.reproduce_command import add_reproduce_command
from finer_nerf.config import BUILT_IN


def add_reproduce(commands: Any) -> None:
    """Add the command to the program."""
    add_reproduce_command(
        commands,
        "finer_nerf.reproducing",
        what="TABLE",
        inputs=f"scenes, named as the table's (default: the built-in {BUILT_IN})",
        out="runs/nerf-reproduction",
        size="height of the pictures",
    )
