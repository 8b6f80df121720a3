"""Renderings as 8-bit images: color, depth or normals, of a camera that suits a film."""

from typing import Literal, get_args

import numpy as np
from torch import Tensor

from finer_core.io.figures import to_bytes
from finer_core.shapes import Float, UInt8
from finer_nerf.cameras import Camera
from finer_nerf.rendering.colormaps import depth_picture, normals_picture
from finer_nerf.rendering.fitted import FittedScene
from finer_nerf.rendering.views import normals_of, render_view

Kind = Literal["color", "depth", "normals"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What an image can show."""


def small_camera(camera: Camera, *, side: int) -> Camera:
    """Return the camera at a size whose longest side is at most `side`, even in both directions, for films."""
    factor = min(1.0, side / max(camera.width, camera.height))
    width, height = (max(2, int(size * factor) // 2 * 2) for size in (camera.width, camera.height))
    return camera.pinhole().resized(width=width, height=height)


def frame_of(
    model: FittedScene, pose: Float[Tensor, "4 4"], camera: Camera, *, kind: str, background: str | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """Render one image.

    Args:
        model: The model.
        pose: Camera-to-box matrix (4, 4): x right, y down, z forwards.
        camera: Lens and size.
        kind: One of `KINDS`.
        background: "white", "black" or "#rrggbb"; None for the model's.

    Returns:
        uint8 (height, width, 3).
    """
    view = render_view(model, pose, camera, background=background)
    if kind == "depth":
        return depth_picture(view.depth)
    if kind == "normals":
        return normals_picture(normals_of(model, view))
    return to_bytes(view.color)
