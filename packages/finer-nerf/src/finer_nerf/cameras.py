"""Cameras: a lens and a sensor, and the rays of its pixels."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.schema import check_number
from finer_core.shapes import Bool, Float, Int
from finer_nerf.lenses import PROJECTIONS, Distortion, distort, project, undistort, unproject

__all__ = [
    "LARGEST_NUMBER",
    "LARGEST_SIDE",
    "LEAST_FOCAL",
    "Camera",
    "all_pixels",
    "camera_directions",
    "camera_rays",
    "distort",
    "equirectangular_camera",
    "project_to_pixels",
    "seen_pixels",
    "undistort",
]

LARGEST_SIDE, LARGEST_NUMBER, LEAST_FOCAL = 100_000, 1e9, 1e-3
"""Most pixels a side, largest number of a lens, least focal length; what a damaged file says beyond is not believed."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Describe a camera's lens and sensor, in pixels.

    Attributes:
        width: Of the picture.
        height: Of the picture.
        fx: Focal length along the width: pixels per unit of the lens's plane, which is a radian for a fisheye lens and
            for an equirectangular picture.
        fy: Focal length along the height.
        cx: Principal point; pixel c's center lies at c + 0.5.
        cy: Principal point along the height.
        distortion: k1, k2, p1, p2, and where others are not zero these in the order of `lenses.Distortion`.
        projection: One of `lenses.PROJECTIONS`.

    Example:
        >>> from finer_nerf import Camera
        >>> Camera(width=640, height=480, fx=500.0, fy=500.0, cx=320.0, cy=240.0).resized(width=320, height=240).fx
        250.0
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    projection: str = "perspective"

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        for number in (self.width, self.height, *numbers):
            check_number(number, what="each number of a camera")
        if not all(abs(number) < LARGEST_NUMBER for number in numbers) or min(self.fx, self.fy) < LEAST_FOCAL:
            shown = ", ".join(f"{number:.4g}" for number in numbers[:8])
            raise InputError(
                f"a camera needs focal lengths above {LEAST_FOCAL:g} and numbers below {LARGEST_NUMBER:g}, got {shown}"
            )
        if not (1 <= self.width <= LARGEST_SIDE and 1 <= self.height <= LARGEST_SIDE):
            raise InputError(
                f"a camera needs 1 to {LARGEST_SIDE} pixels a side, got {self.width!s:.20}x{self.height!s:.20}"
            )
        if self.projection not in PROJECTIONS:
            raise InputError(f"unknown projection {self.projection!r:.60} (known: {', '.join(PROJECTIONS)})")
        values = list(self.distortion)
        if len(values) > len(Distortion()):
            raise InputError(f"a lens has at most {len(Distortion())} coefficients, got {len(values)}")
        while len(values) > 4 and not values[-1]:
            del values[-1]
        object.__setattr__(self, "distortion", tuple(values))

    def resized(self, *, width: int, height: int) -> "Camera":
        """Return the same lens on a picture of another size."""
        x, y = width / self.width, height / self.height
        return dataclasses.replace(
            self, width=width, height=height, fx=self.fx * x, fy=self.fy * y, cx=self.cx * x, cy=self.cy * y
        )

    def pinhole(self) -> "Camera":
        """Return a pinhole camera of the same size for new views: the lens undistorted, at most a right angle wide."""
        focal = 0.0 if self.projection == "perspective" else max(self.width, self.height) / 2
        return Camera(
            width=self.width,
            height=self.height,
            fx=max(self.fx, focal),
            fy=max(self.fy, focal),
            cx=self.cx,
            cy=self.cy,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a model file."""
        return {**self.__dict__, "distortion": list(self.distortion)}


def camera_directions(intrinsics: Camera, pixels: Int[Tensor, " pixels"]) -> Float[Tensor, "pixels 3"]:
    """Return unit directions in camera axes (x right, y down, z forwards) through pixel centers.

    Formula: of a pinhole, ((c + 0.5 - cx)/fx, (r + 0.5 - cy)/fy, 1), normalized; of another lens, see `lenses`.

    Args:
        intrinsics: The camera.
        pixels: Row-major pixel numbers r * width + c, (n,), integer.

    Returns:
        (n, 3) float32.
    """
    return _directions(intrinsics, pixels)[0]


def seen_pixels(intrinsics: Camera) -> Bool[Tensor, " pixels"]:
    """Return which pixels the lens has a direction for, bool (height * width,); corners of a fisheye have none."""
    if intrinsics.projection == "perspective" and not any(intrinsics.distortion):
        return torch.ones(intrinsics.width * intrinsics.height, dtype=torch.bool)
    return _directions(intrinsics, all_pixels(intrinsics))[1]


def _directions(intrinsics: Camera, pixels: Tensor) -> tuple[Tensor, Tensor]:
    column = (pixels % intrinsics.width).to(torch.float32)
    row = torch.div(pixels, intrinsics.width, rounding_mode="floor").to(torch.float32)
    x = (column + 0.5 - intrinsics.cx) / intrinsics.fx
    y = (row + 0.5 - intrinsics.cy) / intrinsics.fy
    directions, seen = unproject(x, y, projection=intrinsics.projection, distortion=intrinsics.distortion)
    return directions / directions.norm(dim=-1, keepdim=True), seen


def project_to_pixels(
    intrinsics: Camera, points: Float[Tensor, "points 3"]
) -> tuple[Float[Tensor, " points"], Float[Tensor, " points"], Bool[Tensor, " points"]]:
    """Return where points in camera axes (n, 3) are in the picture: columns, rows, and whether it shows them."""
    x, y, seen = project(points, projection=intrinsics.projection, distortion=intrinsics.distortion)
    column, row = x * intrinsics.fx + intrinsics.cx, y * intrinsics.fy + intrinsics.cy
    seen = seen & (column >= 0) & (column < intrinsics.width) & (row >= 0) & (row < intrinsics.height)
    return column, row, seen


def camera_rays(
    pose: Float[Tensor, "4 4"], intrinsics: Camera, pixels: Int[Tensor, " pixels"]
) -> tuple[Float[Tensor, "pixels 3"], Float[Tensor, "pixels 3"]]:
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


def all_pixels(intrinsics: Camera) -> Int[Tensor, " pixels"]:
    """Return every pixel's number, row by row."""
    return torch.arange(intrinsics.width * intrinsics.height)


def equirectangular_camera(*, width: int, height: int) -> Camera:
    """Return the camera of a full panorama: longitude along the width, latitude along the height."""
    return Camera(
        width=width,
        height=height,
        fx=width / (2 * math.pi),
        fy=height / math.pi,
        cx=width / 2,
        cy=height / 2,
        projection="equirectangular",
    )
