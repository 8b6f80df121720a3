"""Solids that a ray meets in closed form: ball, box, capped cylinder."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from finer_core.shapes import Bool, Float

Texture = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps local points (n, 3) and local normals (n, 3) to colors (n, 3) in [0, 1]."""
Rays = Float[np.ndarray, "rays 3"]
Points = Float[np.ndarray, "points 3"]


@dataclass(frozen=True, kw_only=True)
class Solid(ABC):
    """Hold what every solid has.

    Attributes:
        center: Its middle.
        texture: Colors it.
        gloss: Strength of the highlight.
    """

    center: tuple[float, float, float]
    texture: Texture
    gloss: float = 0.0

    @property
    @abstractmethod
    def reach(self) -> float:
        """Return the distance from its middle to the furthest point of it."""

    @abstractmethod
    def distance(self, origins: Rays, directions: Rays) -> Float[np.ndarray, " rays"]:
        """Return the distance along each ray to the first hit from outside, (n,), infinite without one."""

    def is_near(self, origins: Rays, directions: Rays) -> Bool[np.ndarray, " rays"]:
        """Return which lines of unit direction pass the ball that holds it, (n,): |c - o|^2 - ((c - o) d)^2 <= r^2."""
        to_center = np.asarray(self.center) - origins
        along = np.einsum("ij,ij->i", to_center, directions)
        return np.einsum("ij,ij->i", to_center, to_center) - along**2 <= (1.001 * self.reach) ** 2

    @abstractmethod
    def normal_and_color(self, points: Points) -> tuple[Points, Points]:
        """Return outward normals (n, 3) and colors (n, 3) at points (n, 3) of the surface."""


@dataclass(frozen=True, kw_only=True)
class Ball(Solid):
    """Hold a ball."""

    radius: float

    @property
    def reach(self) -> float:
        """Return the radius."""
        return self.radius

    def distance(self, origins: Rays, directions: Rays) -> Float[np.ndarray, " rays"]:
        """Solve |o + t d - c|^2 = r^2 for the smaller t."""
        local = origins - np.asarray(self.center)
        half = -(local * directions).sum(axis=-1)
        inside = half**2 - (local**2).sum(axis=-1) + self.radius**2
        t = half - np.sqrt(np.maximum(inside, 0))
        return np.where((inside > 0) & (t > 0), t, np.inf)

    def normal_and_color(self, points: Points) -> tuple[Points, Points]:
        """Return normals and colors."""
        normals = (points - np.asarray(self.center)) / self.radius
        return normals, self.texture(normals, normals)


@dataclass(frozen=True, kw_only=True)
class Box(Solid):
    """Hold a box, turned about the vertical axis by `turn` radians."""

    half: tuple[float, float, float]
    turn: float = 0.0

    @property
    def reach(self) -> float:
        """Return half the diagonal."""
        return math.hypot(*self.half)

    def _axes(self) -> np.ndarray:
        c, s = np.cos(self.turn), np.sin(self.turn)
        return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])  # rows are the box's axes

    def distance(self, origins: Rays, directions: Rays) -> Float[np.ndarray, " rays"]:
        """Intersect the three slabs."""
        axes = self._axes()
        local, towards = (origins - np.asarray(self.center)) @ axes.T, directions @ axes.T
        with np.errstate(divide="ignore", invalid="ignore"):
            lower, upper = (-np.asarray(self.half) - local) / towards, (np.asarray(self.half) - local) / towards
        near = np.fmin(lower, upper).max(axis=-1)
        far = np.fmax(lower, upper).min(axis=-1)
        return np.where((near < far) & (near > 0), near, np.inf)

    def normal_and_color(self, points: Points) -> tuple[Points, Points]:
        """Return normals and colors; a point belongs to the face it is nearest to."""
        axes = self._axes()
        local = (points - np.asarray(self.center)) @ axes.T
        share = local / np.asarray(self.half)
        face = np.abs(share).argmax(axis=-1)
        normals = np.zeros_like(local)
        rows = np.arange(len(local))
        normals[rows, face] = np.sign(share[rows, face])
        return normals @ axes, self.texture(local, normals)


@dataclass(frozen=True, kw_only=True)
class Cylinder(Solid):
    """Hold an upright cylinder with flat ends."""

    radius: float
    half_height: float

    @property
    def reach(self) -> float:
        """Return half the diagonal of a cut through the axis."""
        return math.hypot(self.radius, self.half_height)

    def distance(self, origins: Rays, directions: Rays) -> Float[np.ndarray, " rays"]:
        """Intersect the infinite cylinder with the slab between its ends."""
        local = origins - np.asarray(self.center)
        a = (directions[:, :2] ** 2).sum(axis=-1)
        b = (local[:, :2] * directions[:, :2]).sum(axis=-1)
        c = (local[:, :2] ** 2).sum(axis=-1) - self.radius**2
        root = b**2 - a * c
        safe, span = np.maximum(a, 1e-12), np.sqrt(np.maximum(root, 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            lower = (-self.half_height - local[:, 2]) / directions[:, 2]
            upper = (self.half_height - local[:, 2]) / directions[:, 2]
        upright = a < 1e-12  # inside the infinite cylinder all along, or never
        near = np.maximum(np.where(upright, -np.inf, (-b - span) / safe), np.fmin(lower, upper))
        far = np.minimum(np.where(upright, np.inf, (-b + span) / safe), np.fmax(lower, upper))
        meets = np.where(upright, c < 0, root > 0)
        return np.where(meets & (near < far) & (near > 0), near, np.inf)

    def normal_and_color(self, points: Points) -> tuple[Points, Points]:
        """Return normals and colors; a point belongs to the end or side it is nearest to."""
        local = points - np.asarray(self.center)
        across = np.linalg.norm(local[:, :2], axis=-1)
        end = np.abs(np.abs(local[:, 2]) - self.half_height) < np.abs(across - self.radius)
        side = np.concatenate([local[:, :2] / np.maximum(across, 1e-12)[:, None], np.zeros((len(local), 1))], axis=-1)
        cap = np.zeros_like(local)
        cap[:, 2] = np.sign(local[:, 2])
        normals = np.where(end[:, None], cap, side)
        return normals, self.texture(local, normals)
