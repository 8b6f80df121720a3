"""Ask a field of the box at points in the input's coordinates: tensors keep their graph, arrays are done in pieces."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from finer_core.casts import check_real, in_own_type, real_numbers
from finer_core.differential import value_and_gradient
from finer_core.errors import InputError
from finer_sdf.normalization import BOX_HALF_SIDE, Field, Normalization

_POINTS_AT_ONCE = 1 << 16


class Colored(Protocol):
    """Have colors, or none, in the input's coordinates."""

    @property
    def normalization(self) -> Normalization:
        """From the input's coordinates to the box."""

    def vertex_colors(self, points: np.ndarray) -> np.ndarray | None:
        """Return colors (n, 3) uint8 at points (n, 3) in the input's coordinates; None without any."""


def distances_at(
    points: Any, field: Field, normalization: Normalization, *, like: Tensor, within: Field | None = None
) -> Any:
    """Return the signed distance at points, in the input's coordinates and units.

    Args:
        points: (..., 3), a tensor or an array.
        field: Distance (n, 1) in box units at coords (n, 3) of the box.
        normalization: From the input's coordinates to the box.
        like: Tells where and in what type the field computes.
        within: The same in the box alone, in the same bits and less time; arrays with all points there take it.

    Returns:
        (...,), of the points' floating type.
    """
    if isinstance(points, Tensor):
        values = field(_coords(points, normalization, like=like))[..., 0]
        return (values.to(_wide(values)) / normalization.scale).to(_type_of(points, values))
    from finer_sdf.meshing.field_values import evaluate_points  # here: its package loads what only meshes need

    table = points_table(points)
    with np.errstate(over="ignore"):  # beyond all numbers of single precision, the distance is infinite
        boxed = normalization.to_box(table.reshape(-1, 3).astype(np.float64))
        boxed = boxed.astype(np.float64 if like.dtype == torch.float64 else np.float32)
    if within and boxed.min(initial=0) >= -BOX_HALF_SIDE and boxed.max(initial=0) <= BOX_HALF_SIDE:
        field = within
    found = evaluate_points(field, boxed, device=like.device).astype(np.float64) / normalization.scale
    return found.astype(table.dtype).reshape(table.shape[:-1])


def normals_at(points: Any, field: Field, normalization: Normalization, *, like: Tensor) -> Any:
    """Return the direction of the field's exact gradient at points; the arguments are those of `distances_at`.

    Returns:
        (..., 3) of length 1, or 0 where the field is flat.
    """
    if isinstance(points, Tensor):
        coords = _coords(points, normalization, like=like)
        _, gradient = value_and_gradient(field, coords, create_graph=torch.is_grad_enabled())
        return normalize(gradient, dim=-1).to(_type_of(points, gradient))
    table = points_table(points)
    rows = table.reshape(-1, 3)
    found = np.empty_like(rows)
    for start in range(0, len(rows), _POINTS_AT_ONCE):
        piece = torch.from_numpy(rows[start : start + _POINTS_AT_ONCE].astype(np.float64))
        with torch.no_grad():
            directions = normals_at(piece.to(like.device, _wide(like)), field, normalization, like=like)
        found[start : start + len(piece)] = directions.cpu().numpy()
    return found.reshape(table.shape)


def colors_at(points: Any, color: Field, normalization: Normalization, *, like: Tensor) -> Any:
    """Return sRGB in [0, 1] at points; the arguments are those of `distances_at`, but for `color`, (n, 3) to (n, 3).

    Returns:
        (..., 3), without a graph.
    """
    if isinstance(points, Tensor):
        with torch.no_grad():
            values = in_own_type(color, _coords(points, normalization, like=like).reshape(-1, 3)).detach()
        found = values.clamp(0, 1).reshape(points.shape)
        return found.to(_type_of(points, found))
    table = points_table(points)
    rows = torch.from_numpy(table.reshape(-1, 3).astype(np.float64)).to(_wide(like))
    pieces = [
        colors_at(piece.to(like.device), color, normalization, like=like) for piece in rows.split(_POINTS_AT_ONCE)
    ]
    return torch.cat(pieces).cpu().numpy().astype(table.dtype).reshape(table.shape)


def colors_in_box(field: Colored) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return a function from points (n, 3) of the box to their colors, (n, 3) uint8; None without any."""

    def look(points: np.ndarray) -> np.ndarray:
        colors = field.vertex_colors(field.normalization.to_input(points))
        assert colors is not None  # it was asked already
        return colors

    return None if field.vertex_colors(np.zeros((1, 3))) is None else look


def _coords(points: Tensor, normalization: Normalization, *, like: Tensor) -> Tensor:
    """Move points (..., 3) into the box, in more digits than the field computes with."""
    _check(points.shape)
    check_real(points, what="points")
    offset = torch.tensor(normalization.offset, dtype=_wide(like), device=points.device)
    return (points.to(_wide(like)) * normalization.scale + offset).to(like.dtype)


def _wide(like: Tensor) -> torch.dtype:
    return torch.float32 if like.device.type == "mps" else torch.float64


def _type_of(points: Tensor, values: Tensor) -> torch.dtype:
    return points.dtype if points.is_floating_point() else values.dtype


def points_table(points: Any) -> np.ndarray:
    """Return points as an array (..., 3) of floating type; InputError if they are none."""
    table = real_numbers(points, what="points")
    _check(table.shape)
    return table if table.dtype.kind == "f" else table.astype(np.float64)


def _check(shape: tuple[int, ...]) -> None:
    if not shape or shape[-1] != 3:
        raise InputError(f"points must be (..., 3), got shape {tuple(shape)}")
