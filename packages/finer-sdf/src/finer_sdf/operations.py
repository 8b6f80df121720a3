"""Set operations, offsets and shells of signed distances: new distances, meshed and asked as a fitted model is.

Nothing is fitted: every value is computed from those of the operands. Minimum and maximum of exact distances have the
right sign and the right surface everywhere, but not the right distance:

| result | outside | inside |
| --- | --- | --- |
| `union` | exact | a lower bound of the depth |
| `intersection`, `difference` | a lower bound | exact |

The bound falls short where the nearest point of the operand's surface is no longer one of the result's. So `offset` and
`shell` of a result keep edges sharp that a true offset rounds, and `query` finds a point of the surface there, but
perhaps not the nearest. Fitting the mesh of a result anew gives a distance again.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.errors import InputError
from finer_core.shapes import Float
from finer_sdf.distance_field import DistanceField
from finer_sdf.normalization import SHAPE_HALF_SIDE, Normalization
from finer_sdf.queries import distances_at

_BEYOND = math.sqrt(2)
"""Where a grown surface leaves the box of its model, it may be so many times as far out as it was asked for."""


class CombinedField(DistanceField):
    """Be a signed distance that is made of those of other fields; the functions of this module return it.

    Its box is a new one, around what the operands' boxes say of the result; coordinates are the operands' own, which
    must be the same space. Parameters are the operands', so that a loss on the result trains them.

    Args:
        operation: What it is, for messages.
        fields: The operands.
        combine: Distance of the result, in the input's units, from those of the operands, each (n, 1).
        bounds: The box around the result in the input's coordinates, (2, 3).

    Example:
        >>> import torch
        >>> from finer_sdf import CombinedField, SdfModel, Normalization, union
        >>> class Ball(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.radius = torch.nn.Parameter(torch.tensor(0.45))
        ...
        ...     def forward(self, x):
        ...         return x.norm(dim=-1, keepdim=True) - self.radius
        >>> one = SdfModel(network=Ball(), normalization=Normalization(scale=0.45, offset=(0.0, 0.0, 0.0)))
        >>> other = SdfModel(network=Ball(), normalization=Normalization(scale=0.45, offset=(-0.9, 0.0, 0.0)))
        >>> both = union(one, other)
        >>> isinstance(both, CombinedField), both.mesh(resolution=32).bounds.round(1).tolist()
        (True, [[-1.0, -1.0, -1.0], [3.0, 1.0, 1.0]])
    """

    def __init__(
        self,
        operation: str,
        fields: Sequence[DistanceField],
        *,
        combine: Callable[[Sequence[Tensor]], Tensor],
        bounds: np.ndarray,
    ) -> None:
        super().__init__()
        self.operation = operation
        self.operands = nn.ModuleList(fields)
        self.normalization = _box_around(bounds)
        self._combine = combine
        self._bounds = bounds
        self._ways = [_way(self.normalization, field.normalization) for field in fields]

    def field(self, coords: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 1"]:
        """Return the distance in box units at coords (..., 3) of the box, as (..., 1)."""
        values = []
        for operand, (factor, shift) in zip(self.operands, self._ways, strict=True):
            there = coords * factor + torch.tensor(shift, dtype=coords.dtype, device=coords.device)
            values.append(operand.everywhere(there) / operand.normalization.scale)  # type: ignore[operator, union-attr]
        return self._combine(values) * self.normalization.scale

    def vertex_colors(self, points: np.ndarray) -> np.ndarray | None:
        """Return at each point the color of the operand whose surface is nearest; None unless all have colors."""
        tables, distances = [], []
        for operand in self.operands:
            assert isinstance(operand, DistanceField)
            tables.append(operand.vertex_colors(points))
            place, like = operand.normalization, operand._parameter()
            distances.append(np.abs(distances_at(points, operand.everywhere, place, like=like)))
        known = [table for table in tables if table is not None]
        if len(known) < len(tables):
            return None
        chosen: np.ndarray = np.stack(known)[np.argmin(distances, axis=0), np.arange(len(points))]
        return chosen

    def bounds(self) -> Float[np.ndarray, "2 3"]:
        """Return the box around the result, in box coordinates, (2, 3)."""
        return self.normalization.to_box(self._bounds)

    def __repr__(self) -> str:
        return f"{self.operation} of ({', '.join(repr(operand) for operand in self.operands)})"


def union(*fields: DistanceField) -> CombinedField:
    """Join shapes: what is in any of them.

    Formula: min(f_1, f_2, ...); exact outside, inside at most the depth.

    Args:
        fields: Models, or results of such operations, of one space.

    Returns:
        The union, a `DistanceField` of the same space.

    Raises:
        InputError: If there are none, or one is not a `DistanceField` or on another device.

    Example:
        >>> from finer_sdf import union
        >>> union()
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: union takes models, such as SdfModel.load returns, and got none
    """
    _check("union", fields)
    boxes = np.stack([_bounds_of(field) for field in fields])
    around = np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])
    return CombinedField("union", fields, combine=_least, bounds=around)


def intersection(*fields: DistanceField) -> CombinedField:
    """Keep what is in all shapes.

    Formula: max(f_1, f_2, ...); exact inside, outside at most the distance.

    Args:
        fields: As for `union`.

    Returns:
        The intersection, a `DistanceField` of the same space.

    Raises:
        InputError: As `union`, and if the shapes' boxes do not meet.

    Example:
        >>> from finer_sdf import intersection
        >>> intersection("ball.safetensors")
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: intersection takes models, such as SdfModel.load returns, not a str
    """
    _check("intersection", fields)
    boxes = np.stack([_bounds_of(field) for field in fields])
    within = np.stack([boxes[:, 0].max(axis=0), boxes[:, 1].min(axis=0)])
    if not (within[1] > within[0]).all():
        raise InputError("the boxes around the shapes do not meet, so the shapes have nothing in common")
    return CombinedField("intersection", fields, combine=_greatest, bounds=within)


def difference(field: DistanceField, *others: DistanceField) -> CombinedField:
    """Cut other shapes out of one.

    Formula: max(f, -f_1, -f_2, ...); exact inside, outside at most the distance.

    Args:
        field: What is cut.
        others: What is cut away; as for `union`.

    Returns:
        What is left, a `DistanceField` of the same space.

    Raises:
        InputError: As `union`.

    Example:
        >>> from finer_sdf import difference
        >>> difference(None)
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: difference takes models, such as SdfModel.load returns, not a NoneType
    """
    _check("difference", (field, *others))

    def cut(values: Sequence[Tensor]) -> Tensor:
        return _greatest([values[0], *(-value for value in values[1:])])

    return CombinedField("difference", (field, *others), combine=cut, bounds=_bounds_of(field))


def offset(field: DistanceField, distance: float) -> CombinedField:
    """Move a surface outwards, or inwards.

    Formula: f - d. Unlike `mesh(level=d)` it has a box of its own, which a grown surface does not leave. Where it
    leaves the box that the model was fitted in, it stands at d or farther, up to sqrt(2) d (see `beyond_box`).

    Args:
        field: As for `union`.
        distance: In the input's units; below 0 inwards.

    Returns:
        The moved surface, a `DistanceField` of the same space.

    Raises:
        InputError: As `union`, and if the distance is not finite.

    Example:
        >>> from finer_sdf import offset
        >>> offset(None, 0.5)
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: offset takes models, such as SdfModel.load returns, not a NoneType
    """
    _check("offset", (field,))
    if not math.isfinite(distance):
        raise InputError(f"an offset needs a finite distance, got {distance:g}")
    grown = _grown(_bounds_of(field), max(distance, 0.0))
    return CombinedField(f"offset by {distance:g}", (field,), combine=lambda values: values[0] - distance, bounds=grown)


def shell(field: DistanceField, thickness: float) -> CombinedField:
    """Make a wall of a surface, half of it inside and half outside.

    Formula: |f| - t / 2. A closed surface becomes a hollow body with two walls, as a printer wants it.

    Args:
        field: As for `union`.
        thickness: Of the wall, in the input's units, above 0.

    Returns:
        The wall, a `DistanceField` of the same space.

    Raises:
        InputError: As `union`, and if the thickness is not positive.

    Example:
        >>> from finer_sdf import shell
        >>> shell(None, 0.5)
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: shell takes models, such as SdfModel.load returns, not a NoneType
    """
    _check("shell", (field,))
    if not 0 < thickness < math.inf:
        raise InputError(f"a shell needs a positive thickness, got {thickness:g}")
    half = thickness / 2
    grown = _grown(_bounds_of(field), half)
    return CombinedField(f"shell of {thickness:g}", (field,), combine=lambda v: v[0].abs() - half, bounds=grown)


def _check(operation: str, fields: Sequence[Any]) -> None:
    if not fields:
        raise InputError(f"{operation} takes models, such as SdfModel.load returns, and got none")
    for field in fields:
        if not isinstance(field, DistanceField):
            raise InputError(f"{operation} takes models, such as SdfModel.load returns, not a {type(field).__name__}")
    devices = {str(field.device) for field in fields}
    if len(devices) > 1:
        raise InputError(f"{operation}: the models are on {' and '.join(sorted(devices))}; move them to one device")


def _least(values: Sequence[Tensor]) -> Tensor:
    return reduce(torch.minimum, values)


def _greatest(values: Sequence[Tensor]) -> Tensor:
    return reduce(torch.maximum, values)


def _bounds_of(field: DistanceField) -> np.ndarray:
    return field.normalization.to_input(field.bounds())


def _grown(bounds: np.ndarray, distance: float) -> np.ndarray:
    return bounds + _BEYOND * distance * np.array([[-1.0], [1.0]])


def _box_around(bounds: np.ndarray) -> Normalization:
    """Return the normalization that puts a box (2, 3) in the middle, its widest side where a shape's would be."""
    extent = float((bounds[1] - bounds[0]).max())
    if not extent > 0:
        raise InputError("the shape has no extent")
    scale = 2 * SHAPE_HALF_SIDE / extent
    x, y, z = (float(value) for value in -scale * bounds.mean(axis=0))
    return Normalization(scale=scale, offset=(x, y, z))


def _way(start: Normalization, end: Normalization) -> tuple[float, list[float]]:
    """Return factor and shift (3,) from one box to another, without the large numbers that may be between them."""
    factor = end.scale / start.scale
    return factor, (np.asarray(end.offset) - factor * np.asarray(start.offset)).tolist()
