"""Run the command line: as `finer-image`, or as `python -m finer_image`."""

import sys

from finer_core.app.loading import main_of

main = main_of("finer_image.app.cli")

if __name__ == "__main__":
    sys.exit(main())
