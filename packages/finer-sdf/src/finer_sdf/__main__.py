"""Run the command line: as `finer-sdf`, or as `python -m finer_sdf`."""

import sys
from collections.abc import Sequence

from finer_core.app.loading import loading


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default that of the process, and return its exit code."""
    with loading():
        from finer_sdf.app.cli import main as run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
