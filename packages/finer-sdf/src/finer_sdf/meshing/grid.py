"""The grid a field is sampled on, and the sampler that asks the field there."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from finer_core.errors import InputError
from finer_core.schema import check_number
from finer_core.shapes import Float, Int, Real
from finer_sdf.meshing.field_values import evaluate_points
from finer_sdf.normalization import Field

BATCH_POINTS = 1 << 18
"""Points handed to the field at once: bounds the memory of coordinates."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Describe a grid over the box [-0.5, 0.5]^3, both ends included, the same along every axis.

    Attributes:
        resolution: Grid points per axis, N, at least 2.
    """

    resolution: int

    def __post_init__(self) -> None:
        check_number(self.resolution, what="a grid's resolution", is_whole=True)
        if self.resolution < 2:
            raise InputError(f"a grid needs a resolution of at least 2 points per axis, got {self.resolution}")

    @property
    def cells(self) -> int:
        """Return the number of cells per axis."""
        return self.resolution - 1

    @property
    def step(self) -> float:
        """Return the side of a cell, in box units."""
        return 1 / self.cells

    def place(self, index: Real[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
        """Return the box coordinates (n, 3) of vertices at fractional grid indices (n, 3).

        Formula: i / (N - 1) - 0.5, where the field was sampled. The published code's (i + 0.5) / N - 0.5 shrinks every
        mesh by (N - 1) / N about the origin.
        """
        return index / self.cells - 0.5


@dataclass(kw_only=True)
class Sampler:
    """Evaluate a field at grid points, minus the level that is looked for.

    Attributes:
        field: The field.
        grid: Its grid.
        level: Whose level set is wanted.
        device: Where the field computes.
        points: How many grid points were evaluated.
        lowest: Smallest value of the field so far.
        highest: Largest value so far.
    """

    field: Field
    grid: Grid
    level: float = 0.0
    device: torch.device | str = "cpu"
    points: int = 0
    lowest: float = float("inf")
    highest: float = float("-inf")
    _axis: np.ndarray = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._axis = (np.arange(self.grid.resolution) / self.grid.cells - 0.5).astype(np.float32)

    def at(self, index: Int[np.ndarray, "points 3"]) -> Float[np.ndarray, " points"]:
        """Return the values (n,), float32, at grid indices (n, 3).

        Raises:
            InputError: If the field is NaN or infinite at one of them.
        """
        values = np.empty(len(index), dtype=np.float32)
        for start in range(0, len(index), BATCH_POINTS):
            part = index[start : start + BATCH_POINTS]
            values[start : start + BATCH_POINTS] = self._batch(part)
        return values

    def _batch(self, index: np.ndarray) -> np.ndarray:
        points = self._axis[index]
        values = evaluate_points(self.field, points, device=self.device)
        finite = np.isfinite(values)
        if not finite.all():
            x, y, z = points[int(np.argmin(finite))]
            raise InputError(
                f"the field is {values[int(np.argmin(finite))]} at ({x:.4g}, {y:.4g}, {z:.4g}) of its box: its fit "
                "diverged; fit again, or use an earlier checkpoint"
            )
        self.points += len(values)
        self.lowest, self.highest = min(self.lowest, float(values.min())), max(self.highest, float(values.max()))
        return values - np.float32(self.level) if self.level else values
