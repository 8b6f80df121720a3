"""Run the command line: as `finer-ntk`, or as `python -m finer_ntk`."""

import sys

from finer_core.app.loading import loading


def main() -> int:
    """Run the command line of the process and return its exit code."""
    with loading():
        from finer_ntk.app.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
