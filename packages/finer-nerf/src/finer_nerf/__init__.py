"""finer-nerf: neural radiance fields, with implicit neural representations.

Planned: training a radiance field on posed photographs, comparing held-out views, rendering videos, and
exporting a coloured mesh.
Version 0.1.0.dev0 has no commands and no functions yet.
"""

from finer_nerf._version import __version__

__all__ = ["__version__"]
