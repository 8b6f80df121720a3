"""Run the command line: as `finer-nerf`, or as `python -m finer_nerf`."""

import sys

from finer_core.app.loading import main_of

main = main_of("finer_nerf.app.cli")

if __name__ == "__main__":
    sys.exit(main())
