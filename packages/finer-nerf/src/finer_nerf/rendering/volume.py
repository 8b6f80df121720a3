"""Render packed samples: the density of all of them, the color of those that are seen."""

from dataclasses import dataclass

import torch
from torch import Tensor

from finer_core.shapes import Float
from finer_nerf.fields.field import PointField
from finer_nerf.rendering.compositing import sum_along_rays, transmittance_and_weights
from finer_nerf.rendering.ray_marching import PackedSamples

EARLY_STOP = 1e-4
"""Transmittance below which what lies behind is not seen (torch-ngp)."""


@dataclass(frozen=True, kw_only=True)
class RayRendering:
    """Hold what rays see.

    Attributes:
        image: (rays, 3), on the background.
        opacity: (rays,), the sum of the weights.
        depth: (rays,), mean distance along the ray of what is seen, sum of weights times t, not divided by the opacity.
        evaluated: Samples whose density was computed.
        colored: Samples whose color was computed.
    """

    image: Float[Tensor, "rays 3"]
    opacity: Float[Tensor, " rays"]
    depth: Float[Tensor, " rays"]
    evaluated: int
    colored: int


def render_packed(
    field: PointField,
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    samples: PackedSamples,
    *,
    background: Float[Tensor, "... 3"] | float,
    min_weight: float = 0.0,
) -> RayRendering:
    """Render rays from their samples.

    Formula: as `transmittance_and_weights`; image = sum w_i c_i + (1 - sum w_i) background. Samples behind
    transmittance 1e-4, or of less weight than `min_weight`, are left out.

    Where gradients are on, a first pass without them finds what is seen, so that memory and the backward pass are spent
    on that alone; the gradients are those of the samples kept.

    Args:
        field: The field.
        rays_o: (rays, 3).
        rays_d: (rays, 3), unit.
        samples: From `march`.
        background: Color behind everything: a number, (3,), or (rays, 3).
        min_weight: See above.
    """
    evaluated = len(samples)
    if torch.is_grad_enabled():
        with torch.no_grad():
            sigmas = field.density_and_features(samples.points(rays_o, rays_d))[0]
            passing, weights = transmittance_and_weights(sigmas, samples)
            samples = samples.keep((passing > EARLY_STOP) & (weights > min_weight))
    points = samples.points(rays_o, rays_d)
    sigmas, features = field.density_and_features(points)
    passing, weights = transmittance_and_weights(sigmas, samples)
    if not torch.is_grad_enabled():
        seen = ((passing > EARLY_STOP) & (weights > min_weight)).nonzero()[:, 0]
        samples, features, weights = samples.keep(seen), features[seen], weights[seen]
    colors = field.color(rays_d[samples.ray], features)
    opacity = sum_along_rays(weights, samples)
    return RayRendering(
        image=sum_along_rays(weights[:, None] * colors, samples) + (1 - opacity)[:, None] * background,
        opacity=opacity,
        depth=sum_along_rays(weights * samples.depths, samples),
        evaluated=evaluated,
        colored=len(samples),
    )
