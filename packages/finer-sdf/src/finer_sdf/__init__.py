"""finer-sdf: fit surfaces as signed distance fields with implicit neural representations, mesh, judge and render them."""

from finer_sdf._version import __version__

__all__ = ["__version__"]
