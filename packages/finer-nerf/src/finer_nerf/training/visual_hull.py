"""Which cells of the box the training pictures leave open: seen by a camera, and nowhere shown to be empty."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from finer_core.shapes import Bool
from finer_nerf.cameras import Camera, project_to_pixels
from finer_nerf.normalization import Normalization
from finer_nerf.scenes import Views

_CELLS_AT_ONCE = 1 << 18


def carve(
    views: Views, frame: Normalization, *, resolution: int, bound: float, silhouettes: bool
) -> Bool[Tensor, "{resolution} {resolution} {resolution}"]:
    """Return the cells of the box that can hold something.

    Formula: the visual hull (Laurentini, 1994): a cell is open if at least one camera sees it, and if no camera that
    sees it sees only transparent pixels where the whole cell lies in the picture. Each silhouette is widened by the
    cell's largest radius in that picture, so that no cell that a visible pixel touches is closed.

    Args:
        views: Training views.
        frame: From the input's coordinates to the box.
        resolution: Cells per axis.
        bound: Half the box's side.
        silhouettes: Use the pictures' transparency; otherwise only what is seen by some camera counts.

    Returns:
        (resolution,)*3, bool.
    """
    cell = 2 * bound / resolution
    axis = (torch.arange(resolution) + 0.5) * cell - bound
    centers = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    poses = torch.from_numpy(frame.poses_to_box(views.poses))
    has_alpha = silhouettes and views.is_transparent
    opened = torch.ones(len(centers), dtype=torch.bool)
    seen = torch.zeros(len(centers), dtype=torch.bool)
    radius = cell * math.sqrt(3) / 2
    masks = views.masks if views.masks is not None else [None] * len(views)
    for image, mask, pose, camera in zip(views.images, masks, poses, views.cameras, strict=True):
        for start in range(0, len(centers), _CELLS_AT_ONCE):
            piece = slice(start, start + _CELLS_AT_ONCE)
            local = (centers[piece] - pose[:3, 3]) @ pose[:3, :3]
            column, row, inside = project_to_pixels(camera, local)
            perspective = camera.projection == "perspective"
            depth = local[:, 2] if perspective else local.norm(dim=-1)
            inside = inside & (depth > radius)
            # A cell around the camera, or one whose center just misses the picture, may still be seen.
            seen[piece] |= inside | (depth.abs() <= radius)
            # How far a cell reaches in a picture is known for a perspective only: others close nothing.
            if not has_alpha or not perspective or not bool(inside.any()):
                continue
            pixels = column.long().clamp(0, camera.width - 1) + camera.width * row.long().clamp(0, camera.height - 1)
            nearest = float(depth[inside].min()) - radius
            reach = math.ceil(radius * max(camera.fx, camera.fy) / max(nearest, radius)) + 1
            reach = min(reach, max(camera.width, camera.height))
            shown = image[..., 3] > 0 if mask is None else (image[..., 3] > 0) | ~mask
            visible = _widened(shown, reach).reshape(-1)
            opened[piece] &= ~(inside & _is_whole(column, row, local, camera, radius=radius)) | visible[pixels]
    return (opened & seen).view(resolution, resolution, resolution)


def _is_whole(column: Tensor, row: Tensor, local: Tensor, camera: Camera, *, radius: float) -> Tensor:
    """Return which balls of a radius a picture shows whole, (n,): about points (n, 3) of camera axes, seen there."""
    depth = local[:, 2]
    slant = local.norm(dim=-1) / depth
    reach = radius * max(camera.fx, camera.fy) * slant / (depth - radius).clamp_min(1e-12)
    across = (column >= reach) & (column <= camera.width - reach)
    return across & (row >= reach) & (row <= camera.height - reach)


def _widened(mask: Tensor, reach: int) -> Tensor:
    grown = mask.float()[None, None]
    grown = F.max_pool2d(grown, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    grown = F.max_pool2d(grown, (1, 2 * reach + 1), stride=1, padding=(0, reach))
    return grown[0, 0] > 0
