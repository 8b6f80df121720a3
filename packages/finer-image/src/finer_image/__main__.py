"""Run the command line as `python -m finer_image`."""

import sys

from finer_image.app.cli import main

sys.exit(main())
