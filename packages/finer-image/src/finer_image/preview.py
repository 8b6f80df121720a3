"""An image as an 8-bit PNG, to be looked at: in the report of a fit and in a notebook."""

import numpy as np

from finer_core.io import figures
from finer_core.shapes import Real

PREVIEW_SIDE = 512
"""Pixels a side that a notebook shows at most."""


def png_bytes(unit: Real[np.ndarray, "height width channels"], *, mode: str) -> bytes:
    """Return an 8-bit PNG: gray, RGB or RGBA; other channel counts show their first.

    Args:
        unit: (H, W, C) in [0, 1].
        mode: Mode of the image; see `finer_image.io.raster.Raster`.
    """
    values = np.rint(unit * 255).astype(np.uint8)
    if mode == "CHANNELS":
        values = values[:, :, :1]
    return figures.png_bytes(values[:, :, 0] if values.shape[2] == 1 else values)
