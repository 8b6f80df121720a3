"""Run the command line as `python -m finer_ntk`."""

import sys

from finer_ntk.cli import main

sys.exit(main())
