"""Samples along rays through all space, contracted: nearer together close to the cameras, with no end in sight."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from finer_core.shapes import Bool, Float
from finer_nerf.rendering.contraction import FARTHEST, contract, density_factor, depths_at, steps_at
from finer_nerf.rendering.occupancy import OccupancyGrid
from finer_nerf.rendering.ray_marching import PackedSamples, march, slots_of, step_length


def sampler_of(grid: OccupancyGrid) -> Callable[..., PackedSamples]:
    """Return what finds the samples of rays: `march` in a box, `march_unbounded` in contracted space."""
    return march_unbounded if grid.contracted else march


@torch.no_grad()
def march_unbounded(
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    *,
    grid: OccupancyGrid,
    min_near: float,
    steps: int,
    jitter: Float[Tensor, " rays"] | None = None,
) -> PackedSamples:
    """Sample rays at equal steps near by and at equal steps of disparity far off, skipping what is empty.

    The density of contracted space is per its own unit: a sample's length is that of its step times `density_factor`.

    Args:
        rays_o: (n, 3); the unit ball holds what is seen from near by, and the cameras.
        rays_d: (n, 3), unit.
        grid: What is empty, of contracted space.
        min_near: Least distance from the camera.
        steps: As `march` takes it, of the box's diagonal.
        jitter: One uniform number a ray, (n,); None for the middles.
    """
    step, first = step_length(bound=grid.bound, steps=steps), steps_at(min_near)
    count = max(1, math.ceil((steps_at(FARTHEST) - first) / step))
    number = torch.arange(count, device=rays_o.device) + 0.5
    places = number if jitter is None else number + (jitter[:, None] - 0.5)
    middle = first + places.expand(len(rays_o), count) * step
    depths = depths_at(middle)
    lengths = depths_at(middle + step / 2) - depths_at(middle - step / 2)
    points = rays_o[:, None] + rays_d[:, None] * depths[..., None]
    lengths = lengths * density_factor(points)
    chosen = grid.at(contract(points)).nonzero()
    ray, place = chosen[:, 0], chosen[:, 1]
    return PackedSamples(
        ray=ray,
        slot=slots_of(ray, rays=len(rays_o)),
        depths=depths[ray, place],
        step=lengths[ray, place],
        rays=len(rays_o),
        most=count,
        contracted=True,
    )


def open_ball(grid: OccupancyGrid) -> Bool[Tensor, "cells cells cells"]:
    """Return the cells of a grid of contracted space that reach into the ball of radius 2, bool."""
    axis = (torch.arange(grid.resolution) + 0.5) * grid.cell - grid.bound
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).norm(dim=-1)
    return distance < grid.bound + grid.cell * math.sqrt(3) / 2
