"""Density and color at points of the scene, in the scene's units."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from finer_core.casts import as_array, home_of
from finer_core.parallel import parallel_map
from finer_core.shapes import Float
from finer_nerf.rendering.contraction import contract, density_factor
from finer_nerf.rendering.fitted import FittedScene

_POINTS_AT_ONCE = 1 << 14


def look_at_tensors(
    model: FittedScene, points: Float[Tensor, "points 3"], directions: Float[Tensor, "points 3"]
) -> tuple[Float[Tensor, " points"], Float[Tensor, "points 3"]]:
    """Return density and color, differentiably.

    Args:
        model: The model.
        points: (n, 3) in the scene's coordinates.
        directions: (n, 3) along its axes, of any length.

    Returns:
        sigmas (n,) per unit of the scene, 0 where the occupancy grid or the box says that nothing is, and rgbs (n, 3);
        NaN at points that are NaN.
    """
    return _look(model, model.frame.points_to_box(points), model.frame.directions_to_box(directions))


@torch.no_grad()
def look_at_arrays(
    model: FittedScene, points: Float[np.ndarray, "points 3"], directions: Float[np.ndarray, "points 3"]
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "points 3"]]:
    """Do what `look_at_tensors` does for arrays of any length, without a graph; in the type of the model."""
    places = torch.from_numpy(model.frame.to_box(points))
    towards = model.frame.directions_to_box(torch.from_numpy(directions))
    pieces = list(zip(places.split(_POINTS_AT_ONCE), towards.split(_POINTS_AT_ONCE), strict=True))
    seen = parallel_map(lambda piece: _look(model, *piece), pieces, device=model.device)
    sigmas, rgbs = (as_array(torch.cat(parts)) for parts in zip(*seen, strict=True))
    return sigmas, rgbs


def _look(
    model: FittedScene, points: Float[Tensor, "points 3"], directions: Float[Tensor, "points 3"]
) -> tuple[Float[Tensor, " points"], Float[Tensor, "points 3"]]:
    """Return sigmas per scene unit and rgbs at points of the box, seen along directions of the box."""
    like = home_of(model.field)
    points, directions = (each.to(dtype=like.dtype).to(like.device) for each in (points, directions))
    unit: Tensor | float = model.frame.scale
    if model.grid.contracted:
        unit, points = unit * density_factor(points), contract(points)
    sigmas, rgbs = model.field(points, F.normalize(directions, dim=-1))
    is_there = (points.abs() <= model.bound).all(dim=-1) & model.grid.at(points.detach())
    sigmas = torch.where(is_there, sigmas * unit, 0.0)
    return torch.where(points.isnan().any(dim=-1), torch.nan, sigmas), rgbs  # nowhere is no empty place
