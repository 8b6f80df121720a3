"""The command `finer-image reproduce`."""

from typing import Any

from finer_core.app.reproduce_command import STEPS, add_reproduce_command
from finer_image.config import BUILT_IN


def add_reproduce(commands: Any) -> None:
    """Add the command to the program."""
    add_reproduce_command(
        commands,
        "finer_image.reproducing",
        what="TABLE",
        inputs=f"image files, or folders of the table's images (default: the built-in {BUILT_IN})",
        out="runs/image-reproduction",
        size="side that images are reduced to",
        lengths={**STEPS, "passes": "use every pixel so often, in the place of published steps"},
    )
