"""finer-image: fit still images with implicit neural representations, render them at any size, and judge them."""

from finer_image._version import __version__

__all__ = ["__version__"]
