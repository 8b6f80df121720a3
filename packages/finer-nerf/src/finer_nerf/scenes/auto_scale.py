"""Where a scene goes in the box, from its cameras, when the user does not say."""

import math
from typing import NamedTuple

import numpy as np

from finer_core.errors import InputError
from finer_core.shapes import Float, Real
from finer_nerf.normalization import Normalization
from finer_nerf.rendering.contraction import BOUND as CONTRACTED_BOUND
from finer_nerf.scenes.checks import brief
from finer_nerf.scenes.extent import Extent, points_extent, silhouette_extent
from finer_nerf.scenes.scene import Scene

_BLENDER_SCALE, _BLENDER_BOUND = 0.8, 1.0
_USUAL, _USUAL_OFFSET = (0.7, 1.5), 0.3
"""Cameras of the benchmark see 1.16 box units to each side of the origin; between these bounds a scene is like it."""
_BENCHMARK_SEES = 1.14
_FILLED, _WELL_FILLED = (0.45, 0.95), 0.9
"""Share of the box's half side that a scene reaches to: bounds of what is left as it is, and what others are given."""
_LEAST_OUTWARD, _OUTWARD_COSINE, _OUTWARD_SHARE = 4, 0.3, 0.9
_OUTWARD_RADIUS = 0.5
"""Distance from the middle that the farthest of cameras that look outwards is put at, in contracted space."""
_ONE_PLACE = 1e-9
_FAR = 20
"""Times the median camera's distance from the middle of all; even long captures stay below 5."""
_CAMERA_RADIUS = 0.9
"""Distance from the box's center that the farthest camera is put at, when everything lies between the cameras."""
_WIDE_CAMERA_RADIUS = 1.0
_WIDE_BOUND = 2.0
"""The same, and the box, when the scene says that it goes on behind what the cameras look at (aabb_scale)."""
_POINTS_SHARE = 0.95
"""Share of the known points that must be inside the box."""


class Placement(NamedTuple):
    """Where a scene goes.

    Attributes:
        frame: From the scene's coordinates to the box.
        bound: Half the box's side.
        notes: What to know about it.
    """

    frame: Normalization
    bound: float
    notes: tuple[str, ...] = ()


def place_scene(
    scene: Scene, *, scale: float | None = None, bound: float | None = None, contract: bool = False
) -> Placement:
    """Return the scene's frame and half the box's side.

    Blender scenes of about the benchmark's size take the published values: scale 0.8, no offset, bound 1; others are
    scaled so that the box holds what the cameras see round the point that they look at. Scenes of other formats: that
    point becomes the center. Where silhouettes or known points (COLMAP) tell how far the scene reaches, it is placed as
    a Blender scene is if it then fits the box and is not lost in it, and else so that it fills it. Elsewhere the
    farthest camera is put just inside the box; a scene with aabb_scale above 1, or one whose known points reach
    farther, gets a box of twice the size.

    Args:
        scene: The scene.
        scale: Box units per unit of the scene; None for automatic.
        bound: Half the box's side; None for automatic.
        contract: All space is contracted into the box. The cameras are then put into the ball that stays as it is:
            all of them, or, where they look outwards, into the middle of it.

    Raises:
        InputError: For a scale or bound that is not positive, or cameras that are all in one place.
    """
    for name, value in (("--scene-scale", scale), ("--bound", bound)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} must be a positive number, got {value!r}")
    if contract and bound is not None:
        raise InputError(
            f"--bound {bound:g} says nothing with --contract, which holds all space; leave out one of them"
        )
    poses = scene.train.poses
    places = poses[:, :3, 3]
    outwards = contract and look_outwards(poses)
    center = places.mean(axis=0) if outwards else looked_at(poses)
    half, seen = bound or _BLENDER_BOUND, _seen_radius(scene, center)
    if scene.kind == "blender" and not contract:
        usual = _is_usual(seen) and _BLENDER_SCALE * float(np.linalg.norm(center)) < _USUAL_OFFSET
        if usual or scale is not None or not _meet(poses) or not seen > _ONE_PLACE:
            return Placement(Normalization(scale=scale or _BLENDER_SCALE), half)
        frame, shown = Normalization.centered(center, scale=half / seen), ", ".join(f"{x:.4g}" for x in center)
        note = (
            f"the cameras see {seen:.4g} units round {shown}, unlike the benchmark's 1.5 round the origin: scaled by "
            f"{frame.scale:.4g} into the box; --scene-scale and --bound overrule this"
        )
        return Placement(frame, half, (note,))
    if scale is None and not float(np.ptp(places, axis=0).max()) > _ONE_PLACE * (1 + float(np.abs(center).max())):
        needed = "--scene-scale" if contract else "--scene-scale and --bound"
        raise InputError(f"{scene.name}: all cameras are in one place; give {needed}")
    farthest = float(np.linalg.norm(places - center, axis=1).max())
    notes = () if scale is not None else _far_notes(scene)
    if contract:
        chosen = scale or (_OUTWARD_RADIUS if outwards else _CAMERA_RADIUS) / farthest
        return Placement(Normalization.centered(center, scale=chosen), CONTRACTED_BOUND, notes)
    wide = scene.aabb_scale > 1
    if scene.points is not None:
        reach = float(np.quantile(np.abs(scene.points - center).max(axis=1), _POINTS_SHARE))
        wide = wide or reach > farthest
    content = None
    if scale is None and not wide:
        content = silhouette_extent(scene.train, center=center, reach=farthest)
        if content is None and scene.points is not None:  # most are nearer than the farthest camera: of what it sees
            content = points_extent(scene.points)
    if content is not None:
        middle, chosen = _filled(content, center, seen=seen if _meet(poses) else math.inf)
        return Placement(Normalization.centered(middle, scale=half * chosen), half, notes)
    chosen = scale or (_WIDE_CAMERA_RADIUS if wide else _CAMERA_RADIUS) / farthest
    return Placement(
        Normalization.centered(center, scale=chosen), bound or (_WIDE_BOUND if wide else _BLENDER_BOUND), notes
    )


def look_outwards(poses: Real[np.ndarray, "cameras 4 4"]) -> bool:
    """Return whether cameras (n, 4, 4), z backwards, look away from each other: nine tenths from the middle of all."""
    origins, directions, _ = _axes(poses)
    out = origins - origins.mean(axis=0)
    distance = np.linalg.norm(out, axis=1)
    if len(poses) < _LEAST_OUTWARD or not float(distance.max()) > _ONE_PLACE * (1 + float(np.abs(origins).max())):
        return False
    cosines = (out * directions).sum(axis=1) / np.maximum(distance, 1e-12)
    return float((cosines > _OUTWARD_COSINE).mean()) >= _OUTWARD_SHARE


def _filled(content: Extent, center: np.ndarray, *, seen: float) -> tuple[np.ndarray, float]:
    """Return the middle of a box of half side 1, and its scale, that hold a scene of known bounds.

    How far the cameras see to the side of the center that they look at is infinite where they look at no point.
    """
    scale = _BLENDER_SCALE if _is_usual(seen) else _BENCHMARK_SEES / seen
    if _FILLED[0] <= scale * content.reach(center) <= _FILLED[1]:
        return center, scale
    return content.center, _WELL_FILLED / content.reach(content.center)


def _is_usual(seen: float) -> bool:
    """Return whether cameras see about as far to the side as those of the benchmark, in its own units."""
    return _USUAL[0] < _BLENDER_SCALE * seen < _USUAL[1]


def _far_notes(scene: Scene) -> tuple[str, ...]:
    """Return a note if a camera is so far from the others that what these see takes a small part of the box."""
    places = scene.train.poses[:, :3, 3]
    distances = np.linalg.norm(places - np.median(places, axis=0), axis=1)
    typical, last = float(np.median(distances)), int(distances.argmax())
    if distances[last] <= _FAR * typical:
        return ()
    return (
        f"{brief(scene.train.names[last])} is {distances[last]:.4g} units from the other cameras, half of which are "
        f"within {typical:.4g}: what these see takes a small part of the box; remove it, or give --scene-scale",
    )


def _seen_radius(scene: Scene, center: np.ndarray) -> float:
    """Return how far to the side the cameras see at the distance of a point: the median, along the longer side."""
    distances = np.linalg.norm(scene.train.poses[:, :3, 3] - center, axis=1)
    slopes = [max(camera.width / camera.fx, camera.height / camera.fy) / 2 for camera in scene.train.cameras]
    return float(np.median(distances * slopes))


def looked_at(poses: Real[np.ndarray, "cameras 4 4"]) -> Float[np.ndarray, "3"]:
    """Return the point nearest to all optical axes, in the least-squares sense, (3,).

    Formula: minimize sum_i |(I - d_i d_i^T)(p - o_i)|^2. Where the axes are nearly parallel the point is ill-defined,
    and a point ahead of the mean camera is taken, at the cameras' own spread.

    Args:
        poses: Camera-to-world (n, 4, 4): z backwards.
    """
    origins, directions, across = _axes(poses)
    if not _meet(poses):
        spread = float(np.linalg.norm(origins - origins.mean(axis=0), axis=1).max())
        ahead = directions.mean(axis=0)
        return origins.mean(axis=0) + max(spread, 1e-6) * ahead / max(float(np.linalg.norm(ahead)), 1e-9)
    return np.linalg.solve(across.mean(axis=0), np.einsum("nij,nj->i", across, origins) / len(origins))


def _axes(
    poses: Real[np.ndarray, "cameras 4 4"],
) -> tuple[Float[np.ndarray, "cameras 3"], Float[np.ndarray, "cameras 3"], Float[np.ndarray, "cameras 3 3"]]:
    """Return the cameras' places and unit directions, (n, 3), and the projections across these, (n, 3, 3)."""
    origins, directions = poses[:, :3, 3], -poses[:, :3, 2]
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return origins, directions, np.eye(3) - directions[:, :, None] * directions[:, None, :]


def _meet(poses: np.ndarray) -> bool:
    """Return whether the optical axes define a point: they are not nearly parallel."""
    return bool(np.linalg.cond(_axes(poses)[2].mean(axis=0)) <= 1e4)
