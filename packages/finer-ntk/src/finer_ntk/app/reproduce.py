"""The command `finer-ntk reproduce`."""

from typing import Any

from finer_core.app.reproduce_command import add_reproduce_command


def add_reproduce(commands: Any) -> None:
    """Add the command to the program."""
    add_reproduce_command(
        commands,
        "finer_ntk.reproducing",
        what="FIGURE",
        inputs="none: the figures' points are made",
        out="runs/ntk-reproduction",
        size="points on [0, 1)",
        lengths={},
    )
