"""Render whole pictures: color, depth, opacity, normals."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from finer_core.casts import as_array
from finer_core.differential import value_and_gradient
from finer_core.parallel import parallel_map
from finer_core.shapes import Float
from finer_nerf.backgrounds import color_of
from finer_nerf.cameras import Camera, all_pixels, camera_rays
from finer_nerf.rendering.contraction import contract, gradient_in_space
from finer_nerf.rendering.fitted import FittedScene
from finer_nerf.rendering.unbounded import sampler_of
from finer_nerf.rendering.volume import RayRendering, render_packed

_PIECE_SAMPLES = 1 << 18
"""Samples a piece of a picture may have at most; bounds the memory of rendering."""
BYTES_PER_PIXEL = 200
"""Of a picture while it is rendered: its number, rays, color, opacity, depth and points, some of them twice."""
_SOLID = 0.5
"""Opacity from which on a pixel has a depth and a normal."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Hold a rendered picture.

    Attributes:
        color: (height, width, 3) float32 in [0, 1], on the background.
        depth: (height, width) float32, distance along the ray in box units, infinite where nothing is.
        opacity: (height, width) float32 in [0, 1].
        points: Where each ray meets what it sees, (height, width, 3); NaN where nothing is.
    """

    color: Float[np.ndarray, "height width 3"]
    depth: Float[np.ndarray, "height width"]
    opacity: Float[np.ndarray, "height width"]
    points: Float[np.ndarray, "height width 3"]


@torch.no_grad()
def render_view(
    model: FittedScene,
    pose: Float[Tensor, "4 4"],
    camera: Camera,
    *,
    background: str | None = None,
) -> View:
    """Render a picture.

    Args:
        model: The model.
        pose: Camera-to-box matrix (4, 4): x right, y down, z forwards.
        camera: Lens and size.
        background: "white", "black" or "#rrggbb"; None for the model's.
    """
    behind = torch.tensor(color_of(background or model.background), device=model.device)
    pose = torch.as_tensor(pose, dtype=torch.float32)
    pieces = all_pixels(camera).split(max(64, _PIECE_SAMPLES // model.max_samples))

    def look(pixels: Tensor) -> RayRendering:
        rays_o, rays_d = (rays.to(model.device) for rays in camera_rays(pose, camera, pixels))
        samples = sampler_of(model.grid)(
            rays_o, rays_d, grid=model.grid, min_near=model.min_near, steps=model.max_samples
        )
        return render_packed(model.field, rays_o, rays_d, samples, background=behind, min_weight=model.min_weight)

    found = parallel_map(look, pieces, device=model.device)
    color = torch.cat([seen.image for seen in found]).clamp(0, 1).cpu()
    opacity = torch.cat([seen.opacity for seen in found]).clamp(0, 1).cpu()
    depth = torch.cat([seen.depth for seen in found]).cpu()
    size = (camera.height, camera.width)
    solid = opacity > _SOLID
    depth = torch.where(solid, depth / opacity.clamp_min(1e-6), torch.inf)
    rays_o, rays_d = camera_rays(pose, camera, all_pixels(camera))
    points = torch.where(solid[:, None], rays_o + rays_d * torch.where(solid, depth, 0.0)[:, None], torch.nan)
    return View(
        color=as_array(color.view(*size, 3)),
        depth=as_array(depth.view(size)),
        opacity=as_array(opacity.view(size)),
        points=as_array(points.view(*size, 3)),
    )


@torch.no_grad()
def normals_of(model: FittedScene, view: View) -> Float[np.ndarray, "height width 3"]:
    """Return the surface normals of a picture, outwards, in the input's axes.

    Formula: n = -grad s / |grad s|, s the logarithm of the density, by exact derivatives; automatic differentiation of
    a FINER network trained by the published rule would give wrong ones.

    Returns:
        (height, width, 3) float32, unit; NaN where nothing is.
    """
    flat = torch.from_numpy(view.points.reshape(-1, 3))
    solid = torch.isfinite(flat).all(dim=-1)
    normals = torch.full_like(flat, torch.nan)

    def look(points: Tensor) -> Tensor:
        at = contract(points) if model.grid.contracted else points
        gradient = value_and_gradient(model.field.log_density, at.to(model.device))[1].cpu()
        if model.grid.contracted:
            gradient = gradient_in_space(points, gradient)
        return -gradient / gradient.norm(dim=-1, keepdim=True).clamp_min(1e-12)

    found = parallel_map(look, flat[solid].split(1 << 14), device=model.device)
    if found:
        normals[solid] = torch.cat(found)
    turned = np.argsort((1, 2, 0))
    return normals.view(view.points.shape).numpy()[..., turned]
