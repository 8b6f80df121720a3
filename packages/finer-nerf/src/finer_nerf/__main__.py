"""Run the command line as `python -m finer_nerf`."""

import sys

from finer_nerf.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
