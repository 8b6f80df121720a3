"""Pinhole cameras with lens distortion, and the rays of their pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from finer_core.errors import InputError

_UNDISTORTION_ROUNDS = 10
"""Newton rounds; four reach float32 precision at the distortions of real lenses."""


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """Describe a camera's lens and sensor, in pixels.

    Attributes:
        width: Of the picture.
        height: Of the picture.
        fx: Focal length along the width.
        fy: Focal length along the height.
        cx: Principal point; pixel c's centre lies at c + 0.5.
        cy: Principal point along the height.
        distortion: OpenCV's k1, k2, p1, p2.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(abs(number) < float("inf") for number in numbers) or self.fx <= 0 or self.fy <= 0:
            raise InputError(f"a camera needs positive focal lengths and finite numbers, got {numbers}")
        if self.width < 1 or self.height < 1:
            raise InputError(f"a camera needs pixels, got {self.width}x{self.height}")

    def resized(self, *, width: int, height: int) -> "Intrinsics":
        """Return the same lens on a picture of another size."""
        x, y = width / self.width, height / self.height
        return Intrinsics(
            width=width,
            height=height,
            fx=self.fx * x,
            fy=self.fy * y,
            cx=self.cx * x,
            cy=self.cy * y,
            distortion=self.distortion,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a model file."""
        return {**self.__dict__, "distortion": list(self.distortion)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Intrinsics":
        """Take back what `to_dict` returned.

        Raises:
            InputError: If it is not a camera.
        """
        try:
            k1, k2, p1, p2 = (float(value) for value in data["distortion"])
            numbers = {name: float(data[name]) for name in ("fx", "fy", "cx", "cy")}
            return cls(width=int(data["width"]), height=int(data["height"]), distortion=(k1, k2, p1, p2), **numbers)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a camera: {data!r}") from error


def camera_directions(intrinsics: Intrinsics, pixels: Tensor) -> Tensor:
    """Return unit directions in camera axes (x right, y down, z forwards) through pixel centres.

    Formula: ((c + 0.5 - cx)/fx, (r + 0.5 - cy)/fy, 1), undistorted, normalised.

    Args:
        intrinsics: The camera.
        pixels: Row-major pixel numbers r * width + c, (n,), integer.

    Returns:
        (n, 3) float32.
    """
    column = (pixels % intrinsics.width).to(torch.float32)
    row = torch.div(pixels, intrinsics.width, rounding_mode="floor").to(torch.float32)
    x = (column + 0.5 - intrinsics.cx) / intrinsics.fx
    y = (row + 0.5 - intrinsics.cy) / intrinsics.fy
    if any(intrinsics.distortion):
        x, y = undistort(x, y, distortion=intrinsics.distortion)
    directions = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    return directions / directions.norm(dim=-1, keepdim=True)


def distort(x: Tensor, y: Tensor, *, distortion: tuple[float, float, float, float]) -> tuple[Tensor, Tensor]:
    """Apply OpenCV's lens model to normalised image coordinates.

    Formula: x' = x (1 + k1 r^2 + k2 r^4) + 2 p1 x y + p2 (r^2 + 2 x^2), and y' alike with p1 and p2 exchanged.
    """
    k1, k2, p1, p2 = distortion
    square = x * x + y * y
    radial = 1 + square * (k1 + square * k2)
    return (
        x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x),
        y * radial + 2 * p2 * x * y + p1 * (square + 2 * y * y),
    )


def undistort(x: Tensor, y: Tensor, *, distortion: tuple[float, float, float, float]) -> tuple[Tensor, Tensor]:
    """Invert `distort` by Newton's method, in float64 inside.

    Where the model folds back on itself (far outside the picture) the result is only the last iterate.
    """
    k1, k2, p1, p2 = distortion
    target_x, target_y = x.double(), y.double()
    u, v = target_x.clone(), target_y.clone()
    for _ in range(_UNDISTORTION_ROUNDS):
        at_x, at_y = distort(u, v, distortion=distortion)
        off_x, off_y = at_x - target_x, at_y - target_y
        square = u * u + v * v
        radial, slope = 1 + square * (k1 + square * k2), 2 * (k1 + 2 * square * k2)
        xx = radial + u * u * slope + 2 * p1 * v + 6 * p2 * u
        yy = radial + v * v * slope + 2 * p2 * u + 6 * p1 * v
        xy = u * v * slope + 2 * p1 * u + 2 * p2 * v
        determinant = xx * yy - xy * xy
        safe = torch.where(determinant.abs() > 1e-6, determinant, torch.ones_like(determinant))
        u = u - (yy * off_x - xy * off_y) / safe
        v = v - (xx * off_y - xy * off_x) / safe
    return u.to(x.dtype), v.to(y.dtype)


def rays_of_pixels(pose: Tensor, intrinsics: Intrinsics, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rays of some pixels of one picture.

    Args:
        pose: Camera-to-box matrix (4, 4): x right, y down, z forwards.
        intrinsics: The camera.
        pixels: Row-major pixel numbers, (n,).

    Returns:
        rays_o (n, 3) and unit rays_d (n, 3), in box units.
    """
    directions = camera_directions(intrinsics, pixels)
    rays_d = directions @ pose[:3, :3].T
    return pose[:3, 3].expand_as(rays_d), rays_d


def all_pixels(intrinsics: Intrinsics) -> Tensor:
    """Return every pixel's number, row by row."""
    return torch.arange(intrinsics.width * intrinsics.height)
