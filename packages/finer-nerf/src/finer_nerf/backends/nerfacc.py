"""Ray marching by nerfacc, an optional backend on CUDA. Unmeasured: no GPU was at hand when it was written."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from finer_core.errors import InputError

if TYPE_CHECKING:
    from finer_nerf.rendering.occupancy import OccupancyGrid
    from finer_nerf.rendering.ray_marching import PackedSamples


def check_renderer(name: str, *, device: str) -> None:
    """Raise InputError if the renderer cannot be used here."""
    if name != "nerfacc":
        return
    try:
        import nerfacc  # noqa: F401
    except ImportError as error:
        raise InputError(
            'nerfacc is not installed: pip install "finer-nerf[nerfacc]", or use --renderer torch'
        ) from error
    if torch.device(device).type != "cuda":
        raise InputError(f"--renderer nerfacc needs CUDA, this run is on {device}; use --renderer torch")


@torch.no_grad()
def march_by_nerfacc(
    rays_o: Tensor,
    rays_d: Tensor,
    *,
    grid: "OccupancyGrid",
    min_near: float,
    steps: int,
    jitter: Tensor | None = None,
) -> "PackedSamples":
    """Sample rays as `march` does, by nerfacc's traversal of the same grid.

    nerfacc counts its steps from each ray's origin on, ours from the box on, so depths agree only up to a step.

    Args:
        rays_o: (n, 3), on CUDA.
        rays_d: (n, 3), unit.
        grid: What is empty.
        min_near: Least distance from the camera.
        steps: Most samples on the box's diagonal.
        jitter: One uniform number a ray, (n,); None for none.
    """
    from nerfacc.grid import traverse_grids

    from finer_nerf.rendering.ray_marching import PackedSamples, slots_of, step_length

    step = step_length(bound=grid.bound, steps=steps)
    nears = torch.full_like(rays_o[:, 0], min_near)
    if jitter is not None:
        nears = nears + (jitter - 0.5) * step
    box = torch.tensor([[-grid.bound] * 3 + [grid.bound] * 3], device=rays_o.device)
    intervals, samples, _ = traverse_grids(rays_o, rays_d, grid.occupied[None], box, near_planes=nears, step_size=step)
    starts, ends = intervals.vals[intervals.is_left], intervals.vals[intervals.is_right]
    ray = samples.ray_indices
    return PackedSamples(
        ray=ray, slot=slots_of(ray, rays=len(rays_o)), depths=(starts + ends) / 2, step=ends - starts, rays=len(rays_o)
    )
