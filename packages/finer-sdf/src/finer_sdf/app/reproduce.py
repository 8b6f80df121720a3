"""The command `finer-sdf reproduce`."""

from typing import Any

from finer_core.app.reproduce_command import add_reproduce_command
from finer_sdf.config import BUILT_IN


def add_reproduce(commands: Any) -> None:
    """Add the command to the program."""
    add_reproduce_command(
        commands,
        "finer_sdf.reproducing",
        what="TABLE",
        inputs=f"files of surfaces, or folders of the table's shapes (default: the built-in {BUILT_IN})",
        out="runs/sdf-reproduction",
        size="grid points per axis of the mesh that is judged, with as many times fewer samples",
    )
