"""The functions that make fields of others."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.schema import check_number
from finer_sdf.distance_field import DistanceField
from finer_sdf.operations.combined_field import CombinedField

_BEYOND = math.sqrt(2)
"""Where a grown surface leaves the box of its model, it may be so many times as far out as it was asked for."""
_FARTHEST = 1e6
"""Largest distance, in sizes of the shape, beside which single precision still knows the shape."""


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
    sizes = {f"shape {i + 1}": float((box[1] - box[0]).max()) for i, box in enumerate(boxes)}
    return CombinedField(
        "union",
        fields,
        combine=_least,
        bounds=around,
        details={**_details(*fields), **(sizes if len(fields) > 1 else {})},
        advice="the shapes are too far apart, or too small, for this grid: mesh each of them alone",
    )


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
    return CombinedField(
        "intersection",
        fields,
        combine=_greatest,
        bounds=within,
        details=_details(*fields),
        advice="the shapes have nothing in common, or less than a step of the grid",
    )


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

    return CombinedField(
        "difference",
        (field, *others),
        combine=cut,
        bounds=_bounds_of(field),
        details=_details(field),
        advice="the others cut all of the first away, or leave less than a step of the grid",
    )


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
        InputError: As `union`, and if the distance is not finite or a million times the size of the shape.

    Example:
        >>> from finer_sdf import offset
        >>> offset(None, 0.5)
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: offset takes models, such as SdfModel.load returns, not a NoneType
    """
    _check("offset", (field,))
    check_number(distance, what="an offset")
    if not math.isfinite(distance):
        raise InputError(f"an offset needs a finite distance, got {distance:g}")
    bounds = _bounds_of(field)
    _check_reach("offset by", distance, bounds)
    return CombinedField(
        f"offset by {distance:g}",
        (field,),
        combine=lambda values: values[0] - distance,
        bounds=_grown(bounds, max(distance, 0.0)),
        details={words: width + 2 * distance for words, width in _details(field).items()},
        advice="nothing of the shape is so deep inside: give a distance nearer to 0",
    )


def shell(field: DistanceField, thickness: float) -> CombinedField:
    """Make a wall of a surface, half of it inside and half outside.

    Formula: |f| - t / 2. A closed surface becomes a hollow body with two walls, as a printer wants it.

    Args:
        field: As for `union`.
        thickness: Of the wall, in the input's units, above 0.

    Returns:
        The wall, a `DistanceField` of the same space.

    Raises:
        InputError: As `union`, and if the thickness is not positive or a million times the size of the shape.

    Example:
        >>> from finer_sdf import shell
        >>> shell(None, 0.5)
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: shell takes models, such as SdfModel.load returns, not a NoneType
    """
    _check("shell", (field,))
    check_number(thickness, what="the thickness of a shell")
    if not 0 < thickness < math.inf:
        raise InputError(f"a shell needs a positive thickness, got {thickness:g}")
    bounds = _bounds_of(field)
    _check_reach("shell of", thickness, bounds)
    half = thickness / 2
    return CombinedField(
        f"shell of {thickness:g}",
        (field,),
        combine=lambda values: values[0].abs() - half,
        bounds=_grown(bounds, half),
        details={"the wall": thickness},
        advice="the model has no surface to make a wall of: see its own mesh first",
    )


def _check(operation: str, fields: Sequence[Any]) -> None:
    if not fields:
        raise InputError(f"{operation} takes models, such as SdfModel.load returns, and got none")
    for field in fields:
        if not isinstance(field, DistanceField):
            raise InputError(f"{operation} takes models, such as SdfModel.load returns, not a {type(field).__name__}")
    devices = {str(field.device) for field in fields}
    if len(devices) > 1:
        raise InputError(f"{operation}: the models are on {' and '.join(sorted(devices))}; move them to one device")


def _check_reach(operation: str, distance: float, bounds: np.ndarray) -> None:
    """Refuse a distance beside which the shape in a box (2, 3) would be lost."""
    extent = float((bounds[1] - bounds[0]).max())
    if abs(distance) > _FARTHEST * extent:
        most = f"{_FARTHEST:g} times the shape's size of {extent:.3g}"
        raise InputError(f"{operation} {distance:g} is more than {most}; give one nearer to that size")


def _details(*fields: DistanceField) -> dict[str, float]:
    """Return what a grid must be fine enough for in operands."""
    found: dict[str, float] = {}
    for field in fields:
        for words, width in field.details.items() if isinstance(field, CombinedField) else ():
            found[words] = min(width, found.get(words, width))
    return found


def _least(values: Sequence[Tensor]) -> Tensor:
    return reduce(torch.minimum, values)


def _greatest(values: Sequence[Tensor]) -> Tensor:
    return reduce(torch.maximum, values)


def _bounds_of(field: DistanceField) -> np.ndarray:
    return field.normalization.to_input(field.bounds())


def _grown(bounds: np.ndarray, distance: float) -> np.ndarray:
    return bounds + _BEYOND * distance * np.array([[-1.0], [1.0]])
