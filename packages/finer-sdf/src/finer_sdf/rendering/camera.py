"""Cameras that look at the box from all round."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.shapes import Float

UP_AXES = {"x": 0, "y": 1, "z": 2, "-x": 0, "-y": 1, "-z": 2}
FIELD_OF_VIEW = 30.0
"""Degrees from the lower to the upper edge of the picture, and from left to right if that is narrower."""
BOX_RADIUS = 0.78
"""Radius of the sphere around [-0.45, 0.45]^3."""


def sphere_around(bounds: Float[np.ndarray, "2 3"]) -> tuple[tuple[float, float, float], float]:
    """Return center and radius of the sphere around a box (2, 3)."""
    x, y, z = (float(value) for value in bounds.mean(axis=0))
    return (x, y, z), float(np.linalg.norm(bounds[1] - bounds[0]) / 2)


@dataclass(frozen=True, kw_only=True)
class OrbitCamera:
    """Look at a sphere, from where it just fits the view.

    Attributes:
        azimuth: Degrees round the vertical axis. With y up, 0 looks from +z and 90 from +x.
        elevation: Degrees above the horizon.
        up: Axis that is up: "x", "y", "z", "-x", "-y" or "-z". The other two follow it in turn: for "z", 0 looks from
            +x. With "-y" the view is that of "y", turned by half a turn about the axis that azimuth 0 looks along.
        center: Of the sphere, in the box.
        radius: Of the sphere, in box units.
    """

    azimuth: float = 30.0
    elevation: float = 20.0
    up: str = "y"
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius: float = BOX_RADIUS

    def basis(self) -> Float[np.ndarray, "3 3"]:
        """Return the directions right, up and backwards (from the center to the camera), (3, 3), one a row.

        Raises:
            InputError: If `up` is no axis or an angle is not finite.
        """
        if self.up not in UP_AXES or not np.isfinite([self.azimuth, self.elevation]).all():
            got = f"up {self.up!r}, azimuth {self.azimuth:g} and elevation {self.elevation:g}"
            raise InputError(f"a camera needs up {', '.join(UP_AXES)} and finite angles, got {got}")
        vertical = UP_AXES[self.up]
        sideways, forward = (vertical + 2) % 3, (vertical + 1) % 3  # for y: x and z
        a, e = np.radians(self.azimuth), np.radians(self.elevation)
        back, right = np.zeros(3), np.zeros(3)
        back[forward], back[sideways], back[vertical] = np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)
        right[forward], right[sideways] = -np.sin(a), np.cos(a)
        if self.up.startswith("-"):
            back[[sideways, vertical]] *= -1
            right[sideways] *= -1
        return np.stack([right, np.cross(back, right), back])

    def rays(
        self, *, height: int, width: int, rows: range | None = None, device: torch.device | str = "cpu"
    ) -> tuple[Float[Tensor, "rows {width} 3"], Float[Tensor, "rows {width} 3"]]:
        """Return the rays through the pixels' centers.

        Args:
            height: Rows of the picture; the first is the top one.
            width: Columns.
            rows: Which rows are wanted; all if None.
            device: Where the rays go.

        Returns:
            rays_o and rays_d, (rows, width, 3) float32, in box units; directions have length 1.
        """
        right, up, back = self.basis()
        half = np.tan(np.radians(FIELD_OF_VIEW / 2)) / min(height, width)
        x = (2 * np.arange(width) + 1 - width) * half
        y = (height - 1 - 2 * np.asarray(range(height) if rows is None else rows)) * half
        directions = x[None, :, None] * right + y[:, None, None] * up - back
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        rays_d = torch.from_numpy(directions.astype(np.float32)).to(device)
        origin = np.asarray(self.center) + self.radius / np.sin(np.radians(FIELD_OF_VIEW / 2)) * back
        rays_o = torch.from_numpy(origin.astype(np.float32)).to(device).expand_as(rays_d)
        return rays_o, rays_d
