"""A signed distance that is made of those of other fields."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.errors import InputError
from finer_core.progress import ProgressOption
from finer_core.schema import check_number
from finer_core.shapes import Float
from finer_sdf.distance_field import DistanceField
from finer_sdf.normalization import SHAPE_HALF_SIDE, Normalization
from finer_sdf.queries import distances_at

if TYPE_CHECKING:
    import trimesh

    from finer_sdf.meshing.extract import Extraction

_LEAST_STEPS = 2
"""Grid steps across the least that a mesh can show in one piece: of a thinner wall it has scattered parts."""
_MANY = 1_000_000
"""Grid points per axis that no mesh has; a larger number is shown in two digits."""


class CombinedField(DistanceField):
    """Be a signed distance that is made of those of other fields; the functions of `operations` return it.

    Its box is a new one, around what the operands' boxes say of the result; coordinates are the operands' own, which
    must be the same space. Parameters are the operands', so that a loss on the result trains them.

    Args:
        operation: What it is, for messages.
        fields: The operands.
        combine: Distance of the result, in the input's units, from those of the operands, each (n, 1).
        bounds: The box around the result in the input's coordinates, (2, 3).
        details: What a grid must be fine enough for, in words, and how wide it is in the input's units.
        advice: What to do where the result has no surface, for messages.

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
        details: Mapping[str, float] | None = None,
        advice: str = "see whether the operands have surfaces there",
    ) -> None:
        super().__init__()
        self.operation = operation
        self.details = dict(details or {})
        self.advice = advice
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

    def check_resolution(self, resolution: int, *, level: float = 0.0) -> None:
        """Refuse a grid too coarse for what is known of the result.

        Args:
            resolution: Grid points per axis.
            level: As for `mesh`, which widens or narrows everything.

        Raises:
            InputError: If it is; says what resolution would do.
        """
        check_number(resolution, what="a grid's resolution", is_whole=True)
        check_number(level, what="level")
        for words, width in self.details.items():
            wide = width + 2 * level
            if not wide > 0:
                continue
            needed = _LEAST_STEPS / (wide * self.normalization.scale) + 1
            if resolution < needed:
                step = 1 / (max(resolution - 1, 1) * self.normalization.scale)
                other = (
                    f"a thickness of at least {_LEAST_STEPS * step:.3g}"
                    if words == "the wall"
                    else "mesh the shapes alone"
                )
                least = f"{math.ceil(needed)}" if needed < _MANY else f"{needed:.2g}"
                raise InputError(
                    f"{self.operation}: {words} is {wide:.3g} wide, less than {_LEAST_STEPS} grid steps of {step:.3g} "
                    f"at --resolution {resolution}; give one of at least {least}, or {other}"
                )

    def mesh(self, *, resolution: int = 256, level: float = 0.0, **options: Any) -> "trimesh.Trimesh":
        """Extract the surface as `DistanceField.mesh` does; InputError also for a grid too coarse for the result."""
        self.check_resolution(resolution, level=level)
        return super().mesh(resolution=resolution, level=level, **options)

    def extract(
        self, *, resolution: int, memory: int, level: float = 0.0, sparse: bool = True, progress: ProgressOption = False
    ) -> "Extraction":
        """Do the first part of `mesh`; where there is no surface, the error is about the operation."""
        from finer_sdf.meshing.extract import NoSurfaceError

        options: dict[str, Any] = {"memory": memory, "level": level, "sparse": sparse, "progress": progress}
        try:
            return super().extract(resolution=resolution, **options)
        except NoSurfaceError as error:
            if level:
                raise
            seen = f"values seen: {error.lowest:.3g} to {error.highest:.3g}"
            raise InputError(f"{self.operation} leaves no surface in its box ({seen}); {self.advice}") from error

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
