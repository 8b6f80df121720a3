"""What a view shows as numbers: color, depth, opacity and normals, for programs that go on with them."""

from typing import Any

import numpy as np
import torch

from finer_nerf.cameras import Camera
from finer_nerf.rendering.fitted import FittedScene
from finer_nerf.rendering.views import normals_of, render_view


def maps_of(
    model: FittedScene, pose: torch.Tensor, camera: Camera, *, background: str | None = None
) -> dict[str, np.ndarray]:
    """Render a view as arrays.

    Args:
        model: The model.
        pose: Camera-to-box matrix (4, 4): x right, y down, z forwards.
        camera: Lens and size.
        background: "white", "black" or "#rrggbb"; None for the model's.

    Returns:
        float32 "color" (H, W, 3) in [0, 1]; "depth" (H, W), the distance along the ray in units of the scene; "opacity"
        (H, W); "normals" (H, W, 3), unit, outwards, along the scene's axes; "camera_to_world" (4, 4) float64, x right,
        y up, z backwards. Depth and normals are NaN where nothing is.
    """
    view = render_view(model, pose, camera, background=background)
    depth = np.where(np.isfinite(view.depth), view.depth / np.float32(model.frame.scale), np.float32(np.nan))
    arrays: dict[str, Any] = {
        "color": view.color,
        "depth": depth,
        "opacity": view.opacity,
        "normals": normals_of(model, view),
        "camera_to_world": model.frame.poses_to_input(pose.numpy()[None])[0],
    }
    return arrays
