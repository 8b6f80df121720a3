"""Samples along rays, only where the occupancy grid has something: packed, sorted by ray and depth."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from finer_core.shapes import Float, Int, Shaped
from finer_nerf.rendering.aabb import box_interval
from finer_nerf.rendering.contraction import contract
from finer_nerf.rendering.occupancy import OccupancyGrid

_SEGMENT = 8
"""Steps that are skipped together where a widened grid has nothing."""


@dataclass(frozen=True, kw_only=True)
class PackedSamples:
    """Hold the samples of many rays one after another.

    Attributes:
        ray: Number of each sample's ray, ascending, (n,).
        slot: Place of each sample on its ray, from 0, (n,).
        depths: Distance from the ray's origin, ascending on each ray, (n,).
        step: Length that each sample stands for: a number, or (n,).
        rays: Number of rays, of which some have no sample.
        most: What no ray has more samples than, where that is known without a look at them.
        contracted: Their points are of contracted space; see `contraction`.
    """

    ray: Int[Tensor, " samples"]
    slot: Int[Tensor, " samples"]
    depths: Float[Tensor, " samples"]
    step: float | Float[Tensor, " samples"]
    rays: int
    most: int | None = None
    contracted: bool = False

    def __len__(self) -> int:
        return len(self.ray)

    def keep(self, wanted: Shaped[Tensor, " samples"]) -> "PackedSamples":
        """Return the samples where `wanted` (n,) is true, or of these numbers; each keeps its place and length."""
        if wanted.dtype == torch.bool:
            wanted = wanted.nonzero()[:, 0]  # once: a GPU is waited for at every mask
        step = self.step[wanted] if isinstance(self.step, Tensor) else self.step
        return replace(self, ray=self.ray[wanted], slot=self.slot[wanted], depths=self.depths[wanted], step=step)

    def places(self) -> int:
        """Return how many places a row needs that holds any ray's samples.

        A GPU, which would have to be waited for, takes the known bound; a CPU looks, for shorter rows.
        """
        if self.most is not None and self.slot.device.type != "cpu":
            return self.most
        return int(self.slot.max()) + 1

    def points(self, rays_o: Float[Tensor, "rays 3"], rays_d: Float[Tensor, "rays 3"]) -> Float[Tensor, "samples 3"]:
        """Return where the samples are, (n, 3), as the field takes them."""
        points = rays_o[self.ray] + rays_d[self.ray] * self.depths[:, None]
        return contract(points) if self.contracted else points


def step_length(*, bound: float, steps: int) -> float:
    """Return the distance between samples: the box's diagonal over the most samples a ray may have."""
    return 2 * math.sqrt(3) * bound / steps


def slots_of(ray: Int[Tensor, " samples"], *, rays: int) -> Int[Tensor, " samples"]:
    """Return each sample's place on its ray, from 0; `ray` (n,) ascends."""
    starts = torch.searchsorted(ray, torch.arange(rays, device=ray.device))  # a count of each would wait for a GPU
    return torch.arange(len(ray), device=ray.device) - starts[ray]


@torch.no_grad()
def march(
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    *,
    grid: OccupancyGrid,
    min_near: float,
    steps: int,
    jitter: Float[Tensor, " rays"] | None = None,
) -> PackedSamples:
    """Sample rays at equal steps, skipping the empty part of the box.

    Samples lie at the middle of their steps, t = near + (i + 0.5) step, moved by (u - 0.5) step when jittered.

    Args:
        rays_o: (n, 3).
        rays_d: (n, 3), unit.
        grid: What is empty.
        min_near: Least distance from the camera.
        steps: Most samples on the box's diagonal, which sets the step.
        jitter: One uniform number a ray, (n,); None for the middles.
    """
    step = step_length(bound=grid.bound, steps=steps)
    near, far, hit = box_interval(rays_o, rays_d, bound=grid.bound, min_near=min_near)
    first = near if jitter is None else near + (jitter - 0.5) * step
    ray = hit.nonzero()[:, 0]
    longest = float((far - near)[ray].max()) if len(ray) else 0.0
    segments = math.ceil(longest / step / _SEGMENT + 1e-6)
    # Whole segments first: one look at a grid widened by half a segment decides about all its steps.
    number = torch.arange(segments, device=rays_o.device)
    middle = first[ray, None] + (number + 0.5) * (_SEGMENT * step)
    inside = middle - _SEGMENT * step / 2 < far[ray, None]
    points = rays_o[ray, None] + rays_d[ray, None] * middle[..., None]
    found = (grid.at(points, widen=_SEGMENT * step / 2) & inside).nonzero()
    ray, number = ray[found[:, 0]], number[found[:, 1]]
    within = torch.arange(_SEGMENT, device=rays_o.device) + 0.5
    depths = first[ray, None] + (number[:, None] * _SEGMENT + within) * step
    points = rays_o[ray, None] + rays_d[ray, None] * depths[..., None]
    keep = grid.at(points) & (depths < far[ray, None]) & (depths >= near[ray, None])
    chosen = keep.nonzero()
    ray, depths = ray[chosen[:, 0]], depths[chosen[:, 0], chosen[:, 1]]
    return PackedSamples(
        ray=ray,
        slot=slots_of(ray, rays=len(rays_o)),
        depths=depths,
        step=step,
        rays=len(rays_o),
        most=segments * _SEGMENT,
    )
