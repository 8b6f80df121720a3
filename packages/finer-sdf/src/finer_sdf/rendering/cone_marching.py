"""Find how far the rays of a picture are clear of a surface, whole tiles at once, so that each starts close to it."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from finer_core.shapes import Float
from finer_sdf.normalization import BOX_HALF_SIDE, Field
from finer_sdf.rendering.sphere_tracing import box_interval, evaluate

TILES = (64, 16, 4)
"""Sides of the tiles in rays, coarse to fine: each starts where the coarser one around it had to stop."""
MOST_STEPS = 200
_WORTHWHILE = 0.2
"""A cone stops when its next step is shorter than this share of its radius: smaller tiles go on past what is beside."""


def clear_depths(
    field: Field, rays_o: Float[Tensor, "height width 3"], rays_d: Float[Tensor, "height width 3"], *, lipschitz: float
) -> Float[Tensor, "height width"]:
    """Return depths up to which rays of one picture meet nothing; infinite for those that meet nothing at all.

    Formula: with a the middle direction of a tile, r the largest distance of its directions from a, and L the bound on
    the field's change, the ball of radius b = f(o + t a) / L around o + t a holds no surface. A ray of the tile leaves
    it at a depth t + d with d^2 + t (t + d) r^2 = b^2 or beyond, so the tile is clear up to there. For a point outside
    the box, f is taken at the nearest point of the box: no surface in the box is closer to the former.

    Args:
        field: The field.
        rays_o: (h, w, 3), the same point for all rays: the camera.
        rays_d: (h, w, 3), of length 1, neighbors side by side.
        lipschitz: Bound on the field's change per unit length.

    Returns:
        (h, w) depths; never less than where the ray enters the box.
    """
    height, width = rays_d.shape[:2]
    near, far = (depth.reshape(height, width) for depth in box_interval(rays_o.reshape(-1, 3), rays_d.reshape(-1, 3)))
    meets_box = near < far
    clear, far = torch.where(meets_box, near, torch.inf), torch.where(meets_box, far, -torch.inf)
    for side in TILES:
        directions = _tiles(rays_d, side)
        axes = normalize(directions.mean(dim=2), dim=-1)
        spread = (directions - axes[:, :, None]).norm(dim=-1).amax(dim=2)
        start, end = _tiles(clear, side).amin(dim=(2, 3)), _tiles(far, side).amax(dim=(2, 3))
        found = _march(
            field, rays_o[0, 0], axes.reshape(-1, 3), spread.flatten(), start.flatten(), end.flatten(), lipschitz
        ).reshape(start.shape)
        clear = torch.maximum(clear, found.repeat_interleave(side, 0).repeat_interleave(side, 1)[:height, :width])
    return clear


def _march(
    field: Field, origin: Tensor, axes: Tensor, spread: Tensor, start: Tensor, end: Tensor, lipschitz: float
) -> Tensor:
    """Return the depths (tiles,) up to which cones are clear, infinite for those that leave the box."""
    depth = start.clone()
    active = torch.nonzero(start < end).squeeze(1)
    for _ in range(MOST_STEPS):
        if len(active) == 0:
            break
        here, r = depth[active], spread[active]
        points = origin + here[:, None] * axes[active]
        ball = evaluate(field, points.clamp(-BOX_HALF_SIDE, BOX_HALF_SIDE)) / lipschitz
        radius = here * r
        lost = 0.5 * radius * r
        step = (lost**2 + ball.clamp(min=0) ** 2 - radius**2).clamp(min=0).sqrt() - lost
        going = step > _WORTHWHILE * radius
        active = active[going]
        depth[active] = (here + step)[going]
        gone = depth[active] >= end[active]
        depth[active[gone]] = torch.inf
        active = active[~gone]
    return depth


def _tiles(table: Tensor, side: int) -> Tensor:
    """Cut a table (h, w) or (h, w, c) into (rows, columns, side * side, c); its edge fills tiles that hang over."""
    height, width = table.shape[:2]
    rows, columns = -(-height // side), -(-width // side)
    y = torch.arange(rows * side, device=table.device).clamp(max=height - 1)
    x = torch.arange(columns * side, device=table.device).clamp(max=width - 1)
    cut = table[y][:, x].reshape(rows, side, columns, side, -1)
    return cut.transpose(1, 2).reshape(rows, columns, side * side, cut.shape[-1])
