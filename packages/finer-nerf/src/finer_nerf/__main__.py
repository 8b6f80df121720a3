"""Run the command line: as `finer-nerf`, or as `python -m finer_nerf`."""

import sys

from finer_core.app.loading import loading


def main() -> int:
    """Run the command line of the process and return its exit code."""
    with loading():
        from finer_nerf.app.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
