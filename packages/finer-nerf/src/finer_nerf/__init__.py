"""finer-nerf: train, judge, render and mesh radiance fields, with every activation."""

from finer_nerf._version import __version__

__all__ = ["__version__"]
