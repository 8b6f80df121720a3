"""Real spherical harmonics of a direction, the encoding of directions of instant-ngp."""

import torch
from torch import Tensor

from finer_core.shapes import Float


def spherical_harmonics(directions: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 16"]:
    """Return the real spherical harmonics of unit directions.

    Formula: Y_lm for l < 4, m = -l .. l, orthonormal over the sphere, with the Condon-Shortley phase
    (Mueller et al., SIGGRAPH 2022, supplement; Sloan, 2013).

    Args:
        directions: (..., 3), unit.

    Returns:
        (..., 16).

    Raises:
        ValueError: For another shape.
    """
    if directions.shape[-1] != 3:
        raise ValueError(f"expected directions of shape (..., 3), got {tuple(directions.shape)}")
    x, y, z = directions.unbind(dim=-1)
    xx, yy, zz, xy, yz, xz = x * x, y * y, z * z, x * y, y * z, x * z
    bands = [
        torch.full_like(x, 0.28209479177387814),
        -0.4886025119029199 * y,
        0.4886025119029199 * z,
        -0.4886025119029199 * x,
        1.0925484305920792 * xy,
        -1.0925484305920792 * yz,
        0.31539156525252005 * (3 * zz - 1),
        -1.0925484305920792 * xz,
        0.5462742152960396 * (xx - yy),
        0.5900435899266435 * y * (yy - 3 * xx),
        2.890611442640554 * xy * z,
        0.4570457994644658 * y * (1 - 5 * zz),
        0.3731763325901154 * z * (5 * zz - 3),
        0.4570457994644658 * x * (1 - 5 * zz),
        1.445305721320277 * z * (xx - yy),
        0.5900435899266435 * x * (3 * yy - xx),
    ]
    return torch.stack(bands, dim=-1)
