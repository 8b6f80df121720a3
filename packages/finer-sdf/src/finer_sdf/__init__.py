"""finer-sdf: fit signed distance fields to surfaces with implicit neural representations, mesh and judge them."""

from finer_sdf._version import __version__

__all__ = ["__version__"]
