"""The box a field lives in, and the way between it and the user's coordinates.

Networks see every shape inside [-0.45, 0.45]^3, in the box [-0.5, 0.5]^3; what comes out is in the user's units again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from finer_core.errors import InputError
from finer_core.shapes import Float, Real
from finer_sdf.geometry import Mesh, PointCloud, Shape

BOX_HALF_SIDE = 0.5
"""The field's box is [-0.5, 0.5]^3."""
SHAPE_HALF_SIDE = 0.45
"""The shape fills [-0.45, 0.45] along its widest direction."""


Field = Callable[[Tensor], Tensor]
"""A distance of the box: maps coords (n, 3) to distances (n, 1), negative inside."""


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """Hold the similarity box = scale * input + offset.

    Attributes:
        scale: Box units per input unit, positive.
        offset: In box units.

    Example:
        >>> import numpy as np
        >>> from finer_sdf import Normalization
        >>> normalization = Normalization(scale=0.5, offset=(0.0, 0.0, -0.25))
        >>> normalization.to_box(np.array([[0.0, 1.0, 0.5]])).tolist()
        [[0.0, 0.5, 0.0]]
    """

    scale: float
    offset: tuple[float, float, float]

    def __post_init__(self) -> None:
        numbers = np.array([self.scale, *self.offset], dtype=np.float64)
        with np.errstate(all="ignore"):
            numbers = np.append(numbers, np.append(numbers, 1.0) / self.scale)  # of the way back
            numbers = np.square(numbers)  # as lengths are made of them
        if not (np.isfinite(numbers).all() and self.scale > 0 and len(self.offset) == 3):
            raise InputError(f"a frame needs a positive scale and three offsets, got {self.scale!r}, {self.offset!r}")

    def to_box(self, points: Real[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
        """Move points (n, 3) from the input's coordinates into the box."""
        return points * self.scale + np.asarray(self.offset)

    def to_input(self, points: Real[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
        """Move points (n, 3) from the box into the input's coordinates."""
        return (points - np.asarray(self.offset)) / self.scale

    def mesh_to_box(self, mesh: Mesh) -> Mesh:
        """Move a mesh into the box."""
        return Mesh(vertices=self.to_box(mesh.vertices), faces=mesh.faces)

    def shape_to_box(self, shape: Shape) -> Shape:
        """Move a surface into the box."""
        if isinstance(shape, Mesh):
            return self.mesh_to_box(shape)
        return PointCloud(points=self.to_box(shape.points), normals=shape.normals, noise=shape.noise * self.scale)

    def mesh_to_input(self, mesh: Mesh) -> Mesh:
        """Move a mesh from the box into the input's coordinates."""
        return Mesh(vertices=self.to_input(mesh.vertices), faces=mesh.faces)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a model file."""
        return {"scale": self.scale, "offset": list(self.offset)}


THE_BOX_ITSELF = Normalization(scale=1.0, offset=(0.0, 0.0, 0.0))
"""The normalization of what is in box coordinates already."""


def published_normalization(shape: Shape) -> Normalization:
    """Return the normalization of the Bacon protocol.

    Formula: v = (p - c - lo) / (hi - lo) * 0.9 - 0.45, with c the mean point and lo, hi the smallest and largest value
    of p - c over all three coordinates (published code of FINER; the papers say only "normalized").

    The mean of a mesh is the mean over its surface, which the mean of ever more samples tends to.

    Raises:
        InputError: If the shape has no extent.
    """
    if isinstance(shape, Mesh):
        areas = shape.face_areas()
        total = areas.sum()
        if not total > 0:
            raise InputError("the mesh has no area: all its faces are degenerate")
        center = areas @ shape.triangles.mean(axis=1) / total
        centered = shape.bounds - center
    else:
        center = shape.points.mean(axis=0)
        centered = shape.points - center
    low, high = float(centered.min()), float(centered.max())
    if not high > low:
        raise InputError("the shape has no extent: all its points coincide")
    scale = 2 * SHAPE_HALF_SIDE / (high - low)
    x, y, z = (float(value) for value in -(center + low) * scale - SHAPE_HALF_SIDE)
    return Normalization(scale=scale, offset=(x, y, z))
