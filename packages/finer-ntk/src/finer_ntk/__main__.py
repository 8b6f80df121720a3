"""Run the command line as `python -m finer_ntk`."""

import sys

from finer_ntk.app.cli import main

sys.exit(main())
