"""Where a ray is inside the box."""

import torch
from torch import Tensor

from finer_core.shapes import Bool, Float


def box_interval(
    rays_o: Float[Tensor, "rays 3"], rays_d: Float[Tensor, "rays 3"], *, bound: float, min_near: float
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"], Bool[Tensor, " rays"]]:
    """Return where rays enter and leave the box [-bound, bound]^3.

    Formula: near = max over axes of the lower plane distance, far = min of the upper, near raised to `min_near`
    (torch-ngp; held by golden vectors). The published code calls a box wholly behind the camera hit, with far < near;
    here it is a miss.

    Args:
        rays_o: (n, 3).
        rays_d: (n, 3).
        bound: Half the box's side.
        min_near: Least distance from the camera.

    Returns:
        near (n,), far (n,), and whether the ray meets the box in front of the camera (n,). Both distances of a miss
        are the largest finite number.
    """
    lower = (-bound - rays_o) / rays_d
    upper = (bound - rays_o) / rays_d
    # A ray inside a face's plane and parallel to it gives 0/0: that face does not limit it.
    near = torch.minimum(lower, upper).nan_to_num(nan=-torch.inf).amax(dim=-1)
    far = torch.maximum(lower, upper).nan_to_num(nan=torch.inf).amin(dim=-1)
    raised = near.clamp_min(min_near)
    hit = (near <= far) & (raised < far)
    most = torch.finfo(rays_o.dtype).max
    return torch.where(hit, raised, most), torch.where(hit, far, most), hit
