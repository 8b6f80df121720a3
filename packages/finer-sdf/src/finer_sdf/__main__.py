"""Run the command line as `python -m finer_sdf`."""

import sys

from finer_sdf.app.cli import main

sys.exit(main())
