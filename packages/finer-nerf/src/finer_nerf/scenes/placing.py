"""Where a scene goes in the box, from its cameras, when the user does not say."""

import math

import numpy as np

from finer_core.errors import InputError
from finer_nerf.frame import Frame
from finer_nerf.scenes.types import Scene

_BLENDER_SCALE, _BLENDER_BOUND = 0.8, 1.0
_CAMERA_RADIUS = 0.9
"""Distance from the box's centre that the farthest camera is put at, when everything lies between the cameras."""
_WIDE_CAMERA_RADIUS = 1.0
_WIDE_BOUND = 2.0
"""The same, and the box, when the scene says that it goes on behind what the cameras look at (aabb_scale)."""
_POINTS_SHARE = 0.95
"""Share of the known points that must be inside the box."""


def place_scene(scene: Scene, *, scale: float | None = None, bound: float | None = None) -> tuple[Frame, float]:
    """Return the scene's frame and half the box's side.

    Blender scenes take the published values: scale 0.8, no offset, bound 1. Otherwise the point that the cameras look
    at becomes the centre, and the farthest camera is put just inside the box; a scene with aabb_scale above 1, or one
    whose known points reach farther, gets a box of twice the size.

    Args:
        scene: The scene.
        scale: Box units per unit of the scene; None for automatic.
        bound: Half the box's side; None for automatic.

    Raises:
        InputError: For a scale or bound that is not positive, or cameras that are all in one place.
    """
    for name, value in (("--scene-scale", scale), ("--bound", bound)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} must be a positive number, got {value!r}")
    if scene.kind == "blender":
        return Frame(scale=scale or _BLENDER_SCALE), bound or _BLENDER_BOUND
    poses = scene.train.poses
    centre = looked_at(poses)
    farthest = float(np.linalg.norm(poses[:, :3, 3] - centre, axis=1).max())
    if not farthest > 0:
        raise InputError(f"{scene.name}: all cameras are in one place; give --scene-scale and --bound")
    wide = scene.aabb_scale > 1
    reach = 0.0
    if scene.points is not None:
        reach = float(np.quantile(np.abs(scene.points - centre).max(axis=1), _POINTS_SHARE))
        wide = wide or reach > farthest
    chosen = scale or (_WIDE_CAMERA_RADIUS if wide else _CAMERA_RADIUS) / farthest
    frame = Frame(scale=chosen)
    offset = -frame.to_box(centre[None])[0]
    x, y, z = (float(value) for value in offset)
    return Frame(scale=chosen, offset=(x, y, z)), bound or (_WIDE_BOUND if wide else _BLENDER_BOUND)


def looked_at(poses: np.ndarray) -> np.ndarray:
    """Return the point nearest to all optical axes, in the least-squares sense, (3,).

    Formula: minimise sum_i |(I - d_i d_i^T)(p - o_i)|^2. Where the axes are nearly parallel the point is ill-defined,
    and a point ahead of the mean camera is taken, at the cameras' own spread.

    Args:
        poses: Camera-to-world (n, 4, 4): z backwards.
    """
    origins, directions = poses[:, :3, 3], -poses[:, :3, 2]
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    matrix = across.mean(axis=0)
    spread = float(np.linalg.norm(origins - origins.mean(axis=0), axis=1).max())
    if np.linalg.cond(matrix) > 1e4:
        ahead = directions.mean(axis=0)
        return origins.mean(axis=0) + max(spread, 1e-6) * ahead / max(float(np.linalg.norm(ahead)), 1e-9)
    return np.linalg.solve(matrix, np.einsum("nij,nj->i", across, origins) / len(origins))
