"""Run the command line: as `finer-sdf`, or as `python -m finer_sdf`."""

import sys

from finer_core.app.loading import loading


def main() -> int:
    """Run the command line of the process and return its exit code."""
    with loading():
        from finer_sdf.app.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
