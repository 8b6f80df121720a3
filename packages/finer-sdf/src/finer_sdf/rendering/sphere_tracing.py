"""Find where rays meet a distance field, by steps as long as the field allows (Hart, The Visual Computer 1996)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from finer_core.shapes import Bool, Float
from finer_sdf.meshing.field_values import DEVICE_POINTS, evaluate_points
from finer_sdf.normalization import BOX_HALF_SIDE, Field

TOLERANCE = 1e-5
"""A point whose distance is this small lies on the surface, in box units."""
SHORTEST_STEP = 5e-4
"""A ray goes on by at least this: it crosses the surface instead of creeping towards it, and passes what it grazes."""
MOST_STEPS = 400
"""Most rays end within 15; those that slide along the surface take up to some hundred."""
_MOST_REFINEMENTS = 12
_FEW_POINTS = 128
"""A piece is filled up to its size: the last rays of a picture, a handful a step, would pay for a thousand points."""
_SMALLEST = 1e-12


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Hold where rays ended.

    Attributes:
        mask: (n,) whether a ray met the surface.
        depth: (n,) distance from the ray's origin; infinite where it did not.
        points: (n, 3); zero where it did not.
    """

    mask: Bool[Tensor, " rays"]
    depth: Float[Tensor, " rays"]
    points: Float[Tensor, "rays 3"]


def trace(
    field: Field,
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    *,
    lipschitz: float = 1.1,
    start: Float[Tensor, " rays"] | None = None,
) -> Hits:
    """Follow rays through the box to the first zero of a field.

    A ray meets the surface where the field's sign changes: every step that ends inside is taken back to the zero
    between its ends. So a field that changes faster than `lipschitz` allows, as fitted ones do in places, still gives
    exact depths, but a step may then pass a thin part whole. A ray that enters the box inside the shape meets it
    there. Not differentiable; the caller bounds the memory, about 100 bytes a ray.

    Args:
        field: The field.
        rays_o: (n, 3) float32 origins.
        rays_d: (n, 3) float32 directions of length 1.
        lipschitz: Bound on the field's change per unit length; steps are the field's value divided by it.
        start: (n,) depths up to which rays meet nothing, as `clear_depths` finds them. A ray that is inside there,
            because the bound did not hold, begins again where it enters the box.
    """
    entry, far = box_interval(rays_o, rays_d)
    near = entry if start is None else torch.maximum(entry, start)
    depth, outside = near.clone(), near.clone()  # of the present step, and of the last one outside
    at_depth, at_outside = torch.full_like(near, torch.nan), torch.full_like(near, torch.nan)
    mask = torch.zeros_like(near, dtype=torch.bool)
    active = torch.nonzero(near < far).squeeze(1)
    for _ in range(MOST_STEPS):
        if len(active) == 0:
            break
        here = depth[active]
        value = evaluate(field, rays_o[active] + here[:, None] * rays_d[active])
        inside = value < 0
        mask[active[inside]] = True
        at_depth[active[inside]] = value[inside]
        active, here, value = active[~inside], here[~inside], value[~inside]
        outside[active], at_outside[active] = here, value
        depth[active] = here + (value / lipschitz).clamp(min=SHORTEST_STEP)
        active = active[depth[active] < far[active]]
    crossed = torch.nonzero(mask & at_outside.isfinite()).squeeze(1)
    depth[crossed] = _zero_between(
        field,
        rays_o[crossed],
        rays_d[crossed],
        ends=(outside[crossed], depth[crossed]),
        values=(at_outside[crossed], at_depth[crossed]),
    )
    late = torch.nonzero(mask & at_outside.isnan() & (near > entry)).squeeze(1)
    if len(late) > 0:
        again = trace(field, rays_o[late], rays_d[late], lipschitz=lipschitz)
        mask[late], depth[late] = again.mask, again.depth
    points = torch.where(mask[:, None], rays_o + depth[:, None] * rays_d, 0.0)
    return Hits(mask=mask, depth=torch.where(mask, depth, torch.inf), points=points)


def box_interval(
    rays_o: Float[Tensor, "rays 3"], rays_d: Float[Tensor, "rays 3"]
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """Return the depths (n,) at which rays enter and leave the box; a ray that misses enters after it leaves."""
    with_zeros = torch.where(rays_d.abs() < _SMALLEST, _SMALLEST, rays_d)
    one, other = (-BOX_HALF_SIDE - rays_o) / with_zeros, (BOX_HALF_SIDE - rays_o) / with_zeros
    near = torch.minimum(one, other).amax(dim=1).clamp(min=0)
    return near, torch.maximum(one, other).amin(dim=1)


def evaluate(field: Field, coords: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
    """Return the field at coords (n, 3), (n,), without gradients, in pieces of bounded memory."""
    if coords.device.type == "cpu":
        chunk = _FEW_POINTS if len(coords) < 4 * _FEW_POINTS else None
        return torch.from_numpy(evaluate_points(field, coords.numpy(), chunk=chunk))
    with torch.no_grad():
        return torch.cat([field(piece)[:, 0].float() for piece in coords.split(DEVICE_POINTS)])


def _zero_between(
    field: Field,
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    *,
    ends: tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]],
    values: tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]],
) -> Float[Tensor, " rays"]:
    """Return the depths (n,) of the zeros between depths outside and inside, by the Illinois method.

    Formula: the secant's zero replaces the end of its sign; the value at an end that stays twice running is halved,
    so that both ends close in (Dowell and Jarratt, BIT 1971).
    """
    (low, high), (at_low, at_high) = ends, values
    middle = high.clone()
    last_inside = torch.zeros_like(low)  # 1 and -1: whether the last new end was inside; 0 at first
    active = torch.arange(len(low), device=low.device)
    for _ in range(_MOST_REFINEMENTS):
        if len(active) == 0:
            break
        a, b, at_a, at_b, last = (each[active] for each in (low, high, at_low, at_high, last_inside))
        here = a + (b - a) * (at_a / (at_a - at_b))
        value = evaluate(field, rays_o[active] + here[:, None] * rays_d[active])
        inside = value < 0
        sign = torch.where(inside, 1.0, -1.0)
        halved = torch.where(sign == last, 0.5, 1.0)
        low[active], at_low[active] = torch.where(inside, a, here), torch.where(inside, at_a * halved, value)
        high[active], at_high[active] = torch.where(inside, here, b), torch.where(inside, value, at_b * halved)
        last_inside[active], middle[active] = sign, here
        active = active[value.abs() > TOLERANCE]
    return middle
