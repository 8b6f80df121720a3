"""Run the command line: as `finer-sdf`, or as `python -m finer_sdf`."""

import sys

from finer_core.app.loading import main_of

main = main_of("finer_sdf.app.cli")

if __name__ == "__main__":
    sys.exit(main())
