"""finer-sdf: surfaces as signed distance fields, with implicit neural representations.

Planned: fitting a signed distance field to a mesh or an oriented point cloud, extracting the mesh, comparing
it with a reference, and rendering it.
Version 0.1.0.dev0 has no commands and no functions yet.
"""

from finer_sdf._version import __version__

__all__ = ["__version__"]
