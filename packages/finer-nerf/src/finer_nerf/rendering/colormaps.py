"""Depth, normals and errors as pictures."""

import numpy as np

from finer_core.shapes import Float, Real, UInt8

_NOTHING = 255
"""Gray value of pixels without a surface."""


def depth_picture(depth: Real[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """Return depth as uint8 RGB, the nearest brightest and the farthest darkest; nothing (infinite) is white."""
    from matplotlib import colormaps

    solid = np.isfinite(depth)
    picture = np.full((*depth.shape, 3), _NOTHING, dtype=np.uint8)
    if solid.any():
        low, high = float(depth[solid].min()), float(depth[solid].max())
        share = 1 - (depth[solid] - low) / max(high - low, 1e-9)
        picture[solid] = np.rint(colormaps["inferno"](np.clip(share, 0, 1))[:, :3] * 255).astype(np.uint8)
    return picture


def normals_picture(normals: Float[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """Return unit normals (height, width, 3) as uint8 RGB, (n + 1) / 2; nothing (NaN) is white."""
    solid = np.isfinite(normals).all(axis=-1)
    picture = np.full(normals.shape, _NOTHING, dtype=np.uint8)
    picture[solid] = np.rint((normals[solid].clip(-1, 1) + 1) / 2 * 255).astype(np.uint8)
    return picture


def error_picture(
    error: Real[np.ndarray, "height width 3"], *, most: float = 0.25
) -> UInt8[np.ndarray, "height width 3"]:
    """Return absolute errors, their mean over channels, as uint8 RGB; those of `most` and above are brightest."""
    from matplotlib import colormaps

    return np.rint(colormaps["magma"](np.clip(error.mean(axis=-1) / most, 0, 1))[..., :3] * 255).astype(np.uint8)
