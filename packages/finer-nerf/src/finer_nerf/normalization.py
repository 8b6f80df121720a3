"""The box a radiance field lives in, and the way between it and the user's coordinates.

The published convention (torch-ngp's) turns the axes: box = scale * (y, z, x) + offset. Cameras turn with it, from
x right, y up, z backwards (OpenGL, Blender) to x right, y down, z forwards.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.shapes import Float, Real

_TURN = (1, 2, 0)
"""Box axis i is the input's axis _TURN[i]."""


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """Hold the similarity between the input's coordinates and the box [-bound, bound]^3.

    Attributes:
        scale: Box units per input unit, positive.
        offset: In box units, along the box's axes.
    """

    scale: float
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        numbers = np.array([self.scale, *self.offset], dtype=np.float64)
        with np.errstate(all="ignore"):
            numbers = np.append(numbers, np.append(numbers, 1.0) / self.scale)  # of the way back
            numbers = np.square(numbers)  # as lengths are made of them
        if not (np.isfinite(numbers).all() and self.scale > 0 and len(self.offset) == 3):
            raise InputError(f"a frame needs a positive scale and three offsets, got {self.scale!r}, {self.offset!r}")

    @classmethod
    def centered(cls, point: Real[np.ndarray, "3"], *, scale: float) -> "Normalization":
        """Return the frame that puts a point of the input, (3,), into the middle of the box."""
        x, y, z = (float(value) for value in -cls(scale=scale).to_box(point[None])[0])
        return cls(scale=scale, offset=(x, y, z))

    def to_box(self, points: Real[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
        """Move points (n, 3) from the input's coordinates into the box."""
        return np.asarray(points)[..., list(_TURN)] * self.scale + np.asarray(self.offset)

    def to_input(self, points: Real[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
        """Move points (n, 3) from the box into the input's coordinates."""
        back = np.argsort(_TURN)
        return ((np.asarray(points) - np.asarray(self.offset)) / self.scale)[..., back]

    def directions_to_input(self, directions: Real[np.ndarray, "directions 3"]) -> Float[np.ndarray, "directions 3"]:
        """Turn directions (n, 3) of the box into the input's coordinates; their length stays."""
        return np.asarray(directions)[..., np.argsort(_TURN)]

    def points_to_box(self, points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
        """Move points (..., 3) into the box as `to_box` does, differentiably, in double precision."""
        wide = points.to(torch.float32 if points.device.type == "mps" else torch.float64)
        return wide[..., list(_TURN)] * self.scale + wide.new_tensor(self.offset)

    def directions_to_box(self, directions: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
        """Turn directions (..., 3) of the input's axes to the box's; their length stays."""
        return directions[..., list(_TURN)]

    def poses_to_box(self, poses: Real[np.ndarray, "cameras 4 4"]) -> Float[np.ndarray, "cameras 4 4"]:
        """Convert cameras into the box.

        Formula: rows (x, y, z) -> (y, z, x), columns y and z negated, position * scale + offset (torch-ngp; held by
        golden vectors).

        Args:
            poses: Camera-to-world matrices (n, 4, 4) as in the files: x right, y up, z backwards.

        Returns:
            (n, 4, 4) float32 camera-to-box matrices: x right, y down, z forwards.
        """
        poses = np.asarray(poses)
        turned = poses[:, list(_TURN), :] * np.array([1.0, -1.0, -1.0, self.scale], dtype=poses.dtype)
        turned[:, :, 3] += np.asarray(self.offset, dtype=poses.dtype)
        whole = np.tile(np.eye(4, dtype=np.float32), (len(poses), 1, 1))
        whole[:, :3] = turned
        return whole

    def poses_to_input(self, poses: Real[np.ndarray, "cameras 4 4"]) -> Float[np.ndarray, "cameras 4 4"]:
        """Take back what `poses_to_box` did; (n, 4, 4)."""
        back = list(np.argsort(_TURN))
        whole = np.array(poses, dtype=np.float64)
        whole[:, :3, 3] = (whole[:, :3, 3] - np.asarray(self.offset)) / self.scale
        whole[:, :3, 1:3] *= -1
        whole[:, :3] = whole[:, back]
        return whole

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a model file."""
        return {"scale": self.scale, "offset": list(self.offset)}
