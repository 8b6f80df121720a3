"""What a signed distance says of points: how far the surface is, in which direction, and where."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pykdtree.kdtree import KDTree
from torch import Tensor

from finer_core.casts import as_array
from finer_core.differential import value_and_gradient
from finer_core.errors import InputError
from finer_core.parallel import parallel_map
from finer_core.shapes import Float
from finer_sdf.geometry import unit_vectors
from finer_sdf.geometry.raw import check_finite, row_text
from finer_sdf.normalization import BOX_HALF_SIDE, Field, Normalization
from finer_sdf.queries import points_table

_MOST_STEPS = 20
_TOLERANCE = 1e-6
"""Residual in box units at which a point is on the surface: what single precision can tell there."""
_FLATTEST = 0.5
"""The gradient's norm is taken for at least this: a distance has 1, and less makes steps that go astray."""
_PIECE_ON_CPU, _PIECE = 2048, 1 << 17
_ASTRAY, _SLACK = 1.2, 0.01
"""A way down is tried again where it is longer than so many times the distance plus so much of the box's side."""
_FAR = 1e6
"""Box units from the middle up to which fields are asked: their single precision ends at the square root of 3e38."""


@dataclass(frozen=True, kw_only=True)
class PointQuery:
    """Hold what a signed distance says of points, in the input's coordinates and units.

    Attributes:
        distance: (...,), negative inside; beyond the model's box a lower bound, see `beyond_box`.
        normal: (..., 3), the direction in which the distance grows, of length 1; 0 where the field is flat.
        nearest: (..., 3), the point of the surface found, see `query_points`.
        residual: (...,), the field's absolute value at `nearest`: how far that is from the surface.
    """

    distance: Any
    normal: Any
    nearest: Any
    residual: Any


def query_points(
    points: Any, field: Field, normalization: Normalization, *, like: Tensor, surface: Callable[[], np.ndarray]
) -> PointQuery:
    """Ask a field for distance, normal and nearest point; see `DistanceField.query`.

    The nearest point is where the gradient leads down to from the point itself. Where that does not arrive, or goes a
    longer way than the distance says, as it may far from the surface, the way from the nearest of some points of the
    surface is tried too, and the nearer end is taken.

    Args:
        points: (..., 3) in the input's coordinates, a tensor or an array.
        field: Distance (n, 1) in box units at coords (n, 3) anywhere.
        normalization: From the input's coordinates to the box.
        like: Tells where and in what type the field computes.
        surface: Returns points near the surface, (m, 3) in the box, (0, 3) if there is none; asked when needed.

    Raises:
        InputError: If points are not finite, or so far out that their type holds no distance.
    """
    is_tensor = isinstance(points, Tensor)
    table = points_table(as_array(points) if is_tensor else points)
    rows = table.reshape(-1, 3).astype(np.float64)
    check_finite("points", rows)
    boxed, beyond = _within_reach(rows, normalization)

    def ask(coords: Tensor) -> tuple[Tensor, ...]:
        value, gradient = value_and_gradient(field, coords)
        return (value[:, 0], gradient, *descend(field, coords, value, gradient))

    value, gradient, nearest, residual = _in_pieces(ask, boxed, like=like)
    way = np.linalg.norm(nearest - boxed, axis=1)
    astray = np.flatnonzero((residual > 10 * _TOLERANCE) | (way > _ASTRAY * np.abs(value) + _SLACK))
    if len(astray) and len(starts := surface()):
        _, first = KDTree(starts).query(boxed[astray], k=1)
        _, _, again, left = _in_pieces(ask, starts[first], like=like)
        nearer = (left <= 10 * _TOLERANCE) & (
            (residual[astray] > 10 * _TOLERANCE) | (np.linalg.norm(again - boxed[astray], axis=1) < way[astray])
        )
        nearest[astray[nearer]], residual[astray[nearer]] = again[nearer], left[nearer]
    kind = points.dtype if is_tensor and points.is_floating_point() else like.dtype
    distance = value / normalization.scale + beyond
    _check_distances(rows, distance, largest=torch.finfo(kind).max if is_tensor else float(np.finfo(table.dtype).max))
    columns = {
        "distance": distance.reshape(table.shape[:-1]),
        "normal": unit_vectors(gradient).reshape(table.shape),
        "nearest": normalization.to_input(nearest).reshape(table.shape),
        "residual": (residual / normalization.scale).reshape(table.shape[:-1]),
    }
    if is_tensor:
        return PointQuery(**{name: torch.from_numpy(c).to(points.device, kind) for name, c in columns.items()})
    return PointQuery(**{name: column.astype(table.dtype) for name, column in columns.items()})


def _within_reach(
    points: Float[np.ndarray, "points 3"], normalization: Normalization
) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, " points"]]:
    """Return points in the box's coordinates, those far out moved straight towards its middle, and by how much.

    From so far the box is a point: the way in and the distance from its end are the whole distance, to 1e-6 of it.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        boxed = normalization.to_box(points)
        size = np.abs(boxed).max(axis=1, initial=0.0)
        boxed = np.where(np.isfinite(size)[:, None], boxed * (_FAR / np.maximum(size, _FAR))[:, None], 0.0)
        share = np.maximum(size - _FAR, 0.0) / _FAR
        return boxed, share * (np.linalg.norm(boxed, axis=1) / normalization.scale)


def _check_distances(points: np.ndarray, distance: np.ndarray, *, largest: float) -> None:
    """Refuse points (n, 3) whose distances (n,) are beyond the largest number of their type."""
    beyond = np.flatnonzero(np.abs(distance) > largest)
    if len(beyond):
        raise InputError(
            f"{len(beyond)} of {len(points)} points are too far out to compute with; the first is "
            f"{row_text(points, int(beyond[0]))}; distances must be within {largest:.3g}"
        )


def _in_pieces(
    ask: Callable[[Tensor], tuple[Tensor, ...]], boxed: np.ndarray, *, like: Tensor
) -> tuple[np.ndarray, ...]:
    """Ask at points (n, 3), piece by piece, on a CPU in threads; return the columns of the answers as float64."""
    on_cpu = like.device.type == "cpu"
    coords = torch.from_numpy(boxed).to(like.dtype)

    def piece_of(piece: Tensor) -> tuple[Tensor, ...]:
        return tuple(each.double().cpu() for each in ask(piece.to(like.device)))

    pieces = coords.split(_PIECE_ON_CPU if on_cpu else _PIECE)
    found = parallel_map(piece_of, pieces, device=like.device)
    return tuple(torch.cat(column).numpy() for column in zip(*found, strict=True))


def descend(
    field: Field,
    points: Float[Tensor, "points 3"],
    value: Float[Tensor, "points 1"],
    gradient: Float[Tensor, "points 3"],
) -> tuple[Float[Tensor, "points 3"], Float[Tensor, " points"]]:
    """Follow the gradient from points to the zero level set.

    Formula: p <- p - f(p) grad f(p) / max(|grad f(p)|^2, 1/4), kept in the box; of all points visited the one with the
    smallest |f| is returned. For a true distance one step is enough, and the point is the nearest.

    Args:
        field: Distance (n, 1) at coords (n, 3).
        points: (n, 3).
        value: (n, 1), the field there.
        gradient: (n, 3), its gradient there.

    Returns:
        Points (n, 3) and the field's absolute values there, (n,).
    """
    at, best, residual = points.clone(), points.clone(), value[:, 0].abs().clone()
    active = torch.arange(len(points), device=points.device)
    for _ in range(_MOST_STEPS):
        still = value[:, 0].abs() > _TOLERANCE
        active = active[still]
        if len(active) == 0:
            break
        value, gradient = value[still], gradient[still]
        step = value * gradient / gradient.square().sum(dim=1, keepdim=True).clamp(min=_FLATTEST**2)
        at[active] = (at[active] - step).clamp(-BOX_HALF_SIDE, BOX_HALF_SIDE)
        value, gradient = value_and_gradient(field, at[active])
        closer = value[:, 0].abs() < residual[active]
        best[active[closer]] = at[active[closer]]
        residual[active[closer]] = value[closer, 0].abs()
    return best, residual
