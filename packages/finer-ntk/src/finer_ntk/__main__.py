"""Run the command line: as `finer-ntk`, or as `python -m finer_ntk`."""

import sys

from finer_core.app.loading import main_of

main = main_of("finer_ntk.app.cli")

if __name__ == "__main__":
    sys.exit(main())
