"""Weights of packed samples, and their sums along rays."""

import torch
from torch import Tensor

from finer_core.shapes import Float
from finer_nerf.rendering.ray_marching import PackedSamples


def transmittance_and_weights(
    sigmas: Float[Tensor, " samples"], samples: PackedSamples
) -> tuple[Float[Tensor, " samples"], Float[Tensor, " samples"]]:
    """Return how much light passes up to each sample, and each sample's share of its ray's color.

    Formula: T_i = exp(-sum_{j<i} sigma_j step_j), w_i = T_i (1 - exp(-sigma_i step_i)) (NeRF, equation 3).
    Differentiable with respect to `sigmas`.

    Args:
        sigmas: (n,), per box unit.
        samples: Where they are; dropped samples count as empty.

    Returns:
        T (n,) and w (n,).
    """
    thickness = sigmas * samples.step
    if not len(samples):
        return torch.ones_like(thickness), thickness
    # A table with a row a ray: sums then run along rows, exact in float32 however many rays there are.
    table = thickness.new_zeros(samples.rays, samples.places() + 1)
    place = (samples.ray, samples.slot + 1)
    before = table.index_put(place, thickness).cumsum(dim=1)[samples.ray, samples.slot]
    passing = torch.exp(-before)
    return passing, passing * -torch.expm1(-thickness)


def sum_along_rays(
    values: Float[Tensor, " samples *channels"], samples: PackedSamples
) -> Float[Tensor, " {samples.rays} *channels"]:
    """Return the sum of values (n, ...) over each ray's samples, (rays, ...)."""
    out = values.new_zeros(samples.rays, *values.shape[1:])
    return out.index_add(0, samples.ray, values)
