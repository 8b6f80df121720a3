"""Lens models: from a direction to the picture's plane and back.

A lens is a projection, which maps a direction to a point (x, y) of the plane at focal length 1, and a distortion of
that plane. Camera axes are x right, y down, z forwards. `MODELS` has COLMAP's names, which nerfstudio's files use too.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.polynomial import Polynomial
from torch import Tensor

from finer_core.shapes import Bool, Float

PROJECTIONS = ("perspective", "fisheye", "fov", "equirectangular")
MODELS: dict[str, tuple[str, str]] = {
    "SIMPLE_PINHOLE": ("perspective", "f cx cy"),
    "PINHOLE": ("perspective", "fx fy cx cy"),
    "SIMPLE_RADIAL": ("perspective", "f cx cy k1"),
    "RADIAL": ("perspective", "f cx cy k1 k2"),
    "OPENCV": ("perspective", "fx fy cx cy k1 k2 p1 p2"),
    "OPENCV_FISHEYE": ("fisheye", "fx fy cx cy k1 k2 k3 k4"),
    "FULL_OPENCV": ("perspective", "fx fy cx cy k1 k2 p1 p2 k3 q1 q2 q3"),
    "FOV": ("fov", "fx fy cx cy omega"),
    "SIMPLE_RADIAL_FISHEYE": ("fisheye", "f cx cy k1"),
    "RADIAL_FISHEYE": ("fisheye", "f cx cy k1 k2"),
    "THIN_PRISM_FISHEYE": ("fisheye", "fx fy cx cy k1 k2 p1 p2 k3 k4 sx1 sy1"),
    "SIMPLE_FISHEYE": ("fisheye", "f cx cy"),
    "FISHEYE": ("fisheye", "fx fy cx cy"),
    "EQUIRECTANGULAR": ("equirectangular", "w h"),
}
"""Projection, and the order of the parameters in a COLMAP model, with `Distortion`'s names, by the model's name."""
_NEWTON_ROUNDS = 20
"""Four reach float32 precision at the distortions of real lenses; a point next to a fold takes more."""
_REACHED = 1e-6
"""Largest distance, at focal length 1, between a point and the distorted solution for it."""
_NOTHING = 1e-15
"""Coefficient of a polynomial that is as good as none."""
_LEAST_OMEGA = 1e-4
"""Below this the field-of-view model is a perspective to float32 precision."""


class Distortion(NamedTuple):
    """Hold the coefficients of a distortion: OpenCV's k and p, q below the fraction bar, thin prism, omega of "fov".

    Formula: with s = x^2 + y^2 and R = (1 + k1 s + k2 s^2 + k3 s^3 + k4 s^4) / (1 + q1 s + q2 s^2 + q3 s^3),
    x' = x R + 2 p1 x y + p2 (s + 2 x^2) + sx1 s, and y' = y R + 2 p2 x y + p1 (s + 2 y^2) + sy1 s.
    """

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    q1: float = 0.0
    q2: float = 0.0
    q3: float = 0.0
    sx1: float = 0.0
    sy1: float = 0.0
    omega: float = 0.0


def distort(
    x: Float[Tensor, " points"], y: Float[Tensor, " points"], *, distortion: tuple[float, ...]
) -> tuple[Float[Tensor, " points"], Float[Tensor, " points"]]:
    """Apply a distortion to points of the plane; see `Distortion` for the formula."""
    c = Distortion(*distortion)
    square = x * x + y * y
    radial, _ = _radial(square, c)
    return (
        x * radial + 2 * c.p1 * x * y + c.p2 * (square + 2 * x * x) + c.sx1 * square,
        y * radial + 2 * c.p2 * x * y + c.p1 * (square + 2 * y * y) + c.sy1 * square,
    )


def _radial(square: Tensor, c: Distortion) -> tuple[Tensor, Tensor]:
    """Return the radial factor, and its derivative by the squared radius."""
    value = 1 + square * (c.k1 + square * (c.k2 + square * (c.k3 + square * c.k4)))
    slope = c.k1 + square * (2 * c.k2 + square * (3 * c.k3 + square * 4 * c.k4))
    if c.q1 or c.q2 or c.q3:
        below = 1 + square * (c.q1 + square * (c.q2 + square * c.q3))
        value = value / below
        slope = (slope - value * (c.q1 + square * (2 * c.q2 + square * 3 * c.q3))) / below
    return value, slope


@functools.lru_cache(maxsize=256)
def fold_radius(distortion: tuple[float, ...]) -> float:
    """Return the radius before distortion up to which the distorted radius grows; beyond, the model folds back."""
    c, s = Distortion(*distortion), Polynomial([0.0, 1.0])
    above, below = Polynomial([1.0, c.k1, c.k2, c.k3, c.k4]), Polynomial([1.0, c.q1, c.q2, c.q3])
    growth = (above + 2 * s * above.deriv()) * below - 2 * s * above * below.deriv()
    roots = np.concatenate([growth.trim(_NOTHING).roots(), below.trim(_NOTHING).roots()])
    real = roots.real[(np.abs(roots.imag) < 1e-6 * (1 + np.abs(roots))) & (roots.real > 0)]
    return math.sqrt(real.min()) if len(real) else math.inf


def undistort(
    x: Float[Tensor, " points"], y: Float[Tensor, " points"], *, distortion: tuple[float, ...]
) -> tuple[Float[Tensor, " points"], Float[Tensor, " points"]]:
    """Invert `distort` by Newton's method, in float64 inside.

    Points that no point is distorted to, beyond a fold, get a point next to it: `is_reached` tells.
    """
    c = Distortion(*distortion)
    target_x, target_y = x.double(), y.double()
    limit = 0.9999 * fold_radius(tuple(distortion))
    u, v = _within(target_x, target_y, limit)
    for _ in range(_NEWTON_ROUNDS):
        at_x, at_y = distort(u, v, distortion=distortion)
        off_x, off_y = at_x - target_x, at_y - target_y
        radial, slope = _radial(u * u + v * v, c)
        xx = radial + 2 * u * u * slope + 2 * c.p1 * v + 6 * c.p2 * u + 2 * c.sx1 * u
        yy = radial + 2 * v * v * slope + 2 * c.p2 * u + 6 * c.p1 * v + 2 * c.sy1 * v
        shared = 2 * (u * v * slope + c.p1 * u + c.p2 * v)
        xy, yx = shared + 2 * c.sx1 * v, shared + 2 * c.sy1 * u
        determinant = xx * yy - xy * yx
        safe = torch.where(determinant.abs() > 1e-6, determinant, torch.ones_like(determinant))
        u, v = _within(u - (yy * off_x - xy * off_y) / safe, v - (xx * off_y - yx * off_x) / safe, limit)
    return u.to(x.dtype), v.to(y.dtype)


def _within(x: Tensor, y: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Return points pulled into a circle."""
    if math.isinf(limit):
        return x, y
    shrink = (limit / torch.hypot(x, y).clamp_min(1e-12)).clamp_max(1.0)
    return x * shrink, y * shrink


def unproject(
    x: Float[Tensor, " points"], y: Float[Tensor, " points"], *, projection: str, distortion: tuple[float, ...] = ()
) -> tuple[Float[Tensor, "points 3"], Bool[Tensor, " points"]]:
    """Return the directions of points of the plane, (n, 3), not normalized, and where the lens has one, bool (n,)."""
    reached = torch.ones(x.shape, dtype=torch.bool, device=x.device)
    plane = tuple(distortion[:11])
    if any(plane):
        u, v = undistort(x.double(), y.double(), distortion=plane)
        at_x, at_y = distort(u, v, distortion=plane)
        reached = torch.hypot(at_x - x, at_y - y) <= _REACHED * (1 + torch.hypot(x, y))
        x, y = u.to(x.dtype), v.to(y.dtype)
    if projection == "equirectangular":  # x is the longitude, y the latitude downwards
        inside = (x.abs() <= math.pi + 1e-4) & (y.abs() <= math.pi / 2 + 1e-4)
        across = torch.cos(y)
        return torch.stack([torch.sin(x) * across, torch.sin(y), torch.cos(x) * across], dim=-1), reached & inside
    if projection == "fisheye":  # equidistant: the radius is the angle
        reached = reached & (torch.hypot(x, y) <= math.pi)
        x, y = _within(x, y, math.pi)
        angle = torch.hypot(x, y)
        share = torch.sinc(angle / math.pi)
        return torch.stack([x * share, y * share, torch.cos(angle)], dim=-1), reached
    omega = Distortion(*distortion).omega
    if projection == "fov" and abs(omega) > _LEAST_OMEGA:  # Devernay and Faugeras, 2001: r' = atan(2 r tan(w/2)) / w
        most = 0.9999 * math.pi / 2 / abs(omega)
        reached = reached & (torch.hypot(x, y) <= most)
        x, y = _within(x, y, most)
        radius = torch.hypot(x, y).clamp_min(1e-12)
        factor = torch.tan(radius * omega) / (2 * math.tan(omega / 2) * radius)
        x, y = x * factor, y * factor
    return torch.stack([x, y, torch.ones_like(x)], dim=-1), reached


def project(
    directions: Float[Tensor, "points 3"], *, projection: str, distortion: tuple[float, ...] = ()
) -> tuple[Float[Tensor, " points"], Float[Tensor, " points"], Bool[Tensor, " points"]]:
    """Return points of the plane for directions (n, 3) of any length, and which of them the lens sees, bool (n,)."""
    x, y, z = directions.unbind(-1)
    plane = tuple(distortion[:11])
    if projection == "equirectangular":
        x, y, seen = torch.atan2(x, z), torch.atan2(y, torch.hypot(x, z)), torch.ones_like(z, dtype=torch.bool)
    elif projection == "fisheye":
        across = torch.hypot(x, y)
        angle = torch.atan2(across, z)
        share = angle / across.clamp_min(1e-12)
        x, y, seen = x * share, y * share, angle < math.pi
    else:
        x, y, seen = x / z, y / z, z > 0
        omega = Distortion(*distortion).omega
        if projection == "fov" and abs(omega) > _LEAST_OMEGA:
            radius = torch.hypot(x, y).clamp_min(1e-12)
            factor = torch.atan(2 * radius * math.tan(omega / 2)) / (omega * radius)
            x, y = x * factor, y * factor
    if any(plane):
        seen = seen & (torch.hypot(x, y) < fold_radius(plane))
        x, y = distort(x, y, distortion=plane)
    return x, y, seen
