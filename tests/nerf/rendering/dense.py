"""The slow renderer that the published vectors are of: as many depths on every ray, no empty-space skipping."""

from dataclasses import dataclass

import torch
from torch import Tensor

from finer_core.shapes import Float
from finer_nerf.fields.field import PointField
from finer_nerf.rendering.aabb import box_interval

_LEAST_WEIGHT = 1e-4
"""Samples of at most this weight have no color in the published renderer."""


@dataclass(frozen=True, kw_only=True)
class DenseRendering:
    """Hold what the dense renderer returns.

    Attributes:
        image: (n, 3), on the background.
        depth: (n,), sum of weight * clip((t - near)/(far - near), 0, 1); 0 for a ray that misses.
        weights_sum: (n,), the opacity.
        sample_depths: (n, samples).
        sample_sigmas: (n, samples).
    """

    image: Float[Tensor, "rays 3"]
    depth: Float[Tensor, " rays"]
    weights_sum: Float[Tensor, " rays"]
    sample_depths: Float[Tensor, "rays samples"]
    sample_sigmas: Float[Tensor, "rays samples"]


def render_dense(
    field: PointField,
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    *,
    bound: float,
    min_near: float = 0.2,
    samples: int = 512,
    fine_samples: int = 0,
    background: Float[Tensor, "... 3"] | float = 1.0,
    jitter: Float[Tensor, "rays samples"] | None = None,
) -> DenseRendering:
    """Render rays as the published code does without its occupancy grid.

    Formula: t_j = near + (far - near) j/(T - 1), alpha_j = 1 - exp(-delta_j sigma_j),
    w_j = alpha_j prod_{k<j} (1 - alpha_k + 1e-15), image = sum w_j c_j + (1 - sum w_j) background. The last delta is
    (far - near)/T; points are clipped to the box.

    Args:
        field: The field.
        rays_o: (n, 3).
        rays_d: (n, 3), unit.
        bound: Half the box's side.
        min_near: Least distance from the camera.
        samples: T.
        fine_samples: Further depths drawn where the first pass found weight.
        background: Color behind everything: a number, (3,), or (n, 3).
        jitter: Uniform numbers (n, samples) that move each depth by (u - 0.5)(far - near)/T; None for none.

    Returns:
        The rendering; a ray that misses the box is background with opacity and depth 0.
    """
    near, far, hit = box_interval(rays_o, rays_d, bound=bound, min_near=min_near)
    near, far = torch.where(hit, near, 0.0)[:, None], torch.where(hit, far, 1.0)[:, None]
    spread = far - near
    depths = near + spread * torch.linspace(0, 1, samples, dtype=rays_o.dtype, device=rays_o.device)
    if jitter is not None:
        depths = depths + (jitter - 0.5) * spread / samples

    def look(at: Tensor) -> tuple[Tensor, Tensor]:
        points = (rays_o[:, None] + rays_d[:, None] * at[..., None]).clamp(-bound, bound)
        sigmas, features = field.density_and_features(points.reshape(-1, 3))
        return sigmas.view(at.shape), features.view(*at.shape, -1)

    sigmas, features = look(depths)
    if fine_samples:
        with torch.no_grad():
            coarse = _weights(depths, sigmas, last=spread / samples)
            middles = (depths[:, 1:] + depths[:, :-1]) / 2
            fine = _quantiles(middles, coarse[:, 1:-1], count=fine_samples)
        fine_sigmas, fine_features = look(fine)
        depths, order = torch.cat([depths, fine], dim=1).sort(dim=1)
        sigmas = torch.cat([sigmas, fine_sigmas], dim=1).gather(1, order)
        features = torch.cat([features, fine_features], dim=1)
        features = features.gather(1, order[..., None].expand_as(features))
    weights = _weights(depths, sigmas, last=spread / samples) * hit[:, None]
    seen = (weights > _LEAST_WEIGHT).detach()
    directions = rays_d[:, None].expand(-1, depths.shape[1], -1)
    colors = torch.zeros(*depths.shape, 3, dtype=rays_o.dtype, device=rays_o.device)
    colors[seen] = field.color(directions[seen], features[seen])
    weights_sum = weights.sum(dim=1)
    ahead = ((depths - near) / spread).clamp(0, 1)
    return DenseRendering(
        image=(weights[..., None] * colors).sum(dim=1) + (1 - weights_sum)[:, None] * background,
        depth=(weights * ahead).sum(dim=1),
        weights_sum=weights_sum,
        sample_depths=depths,
        sample_sigmas=sigmas,
    )


def _weights(
    depths: Float[Tensor, "rays samples"], sigmas: Float[Tensor, "rays samples"], *, last: Float[Tensor, "rays 1"]
) -> Float[Tensor, "rays samples"]:
    deltas = torch.cat([depths[:, 1:] - depths[:, :-1], last.expand(len(depths), 1)], dim=1)
    alphas = 1 - torch.exp(-deltas * sigmas)
    through = torch.cumprod(torch.cat([torch.ones_like(alphas[:, :1]), 1 - alphas + 1e-15], dim=1), dim=1)[:, :-1]
    return alphas * through


def _quantiles(
    edges: Float[Tensor, "rays edges"], weights: Float[Tensor, "rays bins"], *, count: int
) -> Float[Tensor, "rays {count}"]:
    """Return the (k + 0.5)/count quantiles of the piecewise-linear distribution with these bins."""
    weights = weights + 1e-5
    shares = weights / weights.sum(dim=1, keepdim=True)
    cumulative = torch.cat([torch.zeros_like(shares[:, :1]), shares.cumsum(dim=1)], dim=1)
    wanted = (torch.arange(count, dtype=edges.dtype, device=edges.device) + 0.5) / count
    wanted = wanted.expand(len(edges), count).contiguous()
    above = torch.searchsorted(cumulative, wanted, right=True).clamp(1, edges.shape[1] - 1)
    below = above - 1
    low, high = cumulative.gather(1, below), cumulative.gather(1, above)
    width = torch.where(high - low < 1e-5, torch.ones_like(low), high - low)
    left, right = edges.gather(1, below), edges.gather(1, above)
    return left + (wanted - low) / width * (right - left)
