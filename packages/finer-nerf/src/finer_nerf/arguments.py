"""Check what is given from Python: poses, cameras, backgrounds, views. What files say is checked where it is read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finer_core.casts import check_real, real_numbers, refuse_masked
from finer_core.errors import InputError
from finer_core.schema import shown
from finer_nerf import backgrounds
from finer_nerf.cameras import Camera
from finer_nerf.scenes import Scene, Views

_LARGEST_SHEAR = 1e-3
"""Of a rotation's rows: how far their products may be from those of a rotation."""


def check_camera(camera: Any, background: Any = None) -> None:
    """Raise InputError for what is no camera, or no background."""
    check_background(background)
    if not isinstance(camera, Camera):
        raise InputError(f"camera must be a {Camera.__name__}, got {shown(camera)}")


def check_background(background: Any) -> None:
    """Raise InputError for what is neither None nor a background."""
    if background is not None:
        backgrounds.check_background(background)


def points_and_directions(points: Any, directions: Any) -> tuple[Any, Any]:
    """Return both as tensors if one of them is, else as arrays in double precision.

    Raises:
        InputError: Unless both are (n, 3) of real numbers, none of them masked.
    """
    if isinstance(points, Tensor) or isinstance(directions, Tensor):
        points, directions = (
            each if isinstance(each, Tensor) else torch.as_tensor(real_numbers(each, what=name))
            for name, each in (("points", points), ("directions", directions))
        )
        check_real(points, what="points")
        check_real(directions, what="directions")
    else:
        given = {"points": points, "directions": directions}
        points, directions = (real_numbers(each, what=name).astype(np.float64) for name, each in given.items())
    if points.ndim != 2 or points.shape[1] != 3 or tuple(directions.shape) != tuple(points.shape):
        raise InputError(
            f"points and directions must both be (n, 3), got {tuple(points.shape)} and {tuple(directions.shape)}"
        )
    return points, directions


def checked_poses(poses: Any, *, like: np.ndarray | None = None) -> np.ndarray:
    """Return camera-to-world matrices as (n, 4, 4) float64.

    Args:
        poses: (n, 4, 4), an array, a tensor or lists.
        like: Poses (m, 4, 4) of the scene that they are of: in a left-handed one, whose cameras are reflections, these
            may be reflections. None for poses that are all of a scene has.

    Raises:
        InputError: If they are something else, or reflections where the scene's cameras are none.
    """
    refuse_masked(poses, what="poses")
    found = np.asarray(poses.detach().cpu() if isinstance(poses, Tensor) else poses)
    if found.ndim != 3 or found.shape[1:] != (4, 4) or not len(found) or found.dtype.kind not in "fiu":
        shape = "x".join(map(str, found.shape[1:] if found.ndim == 3 else found.shape))
        raise InputError(
            f"a pose is a camera-to-world matrix of 4x4 numbers, got {len(found)} of {found.dtype} {shape}"
        )
    found = found.astype(np.float64)
    axes = found[:, :3, :3]
    shear = np.abs(np.swapaxes(axes, 1, 2) @ axes - np.eye(3)).max(axis=(1, 2))
    wrong = ~((shear <= _LARGEST_SHEAR) & np.isfinite(found).all(axis=(1, 2)))
    if wrong.any():
        index = int(wrong.argmax())
        raise InputError(
            f"pose {index} is no camera-to-world matrix: its upper left 3x3 must be a rotation, and all of it finite"
        )
    mirrored = np.linalg.det(axes) < 0
    if mirrored.any() and (not mirrored.all() if like is None else not are_mirrored(like)):
        raise InputError(
            f"pose {int(mirrored.argmax())} is a reflection (determinant -1), unlike the other cameras; negate one of "
            "its first three columns"
        )
    return found


def are_mirrored(poses: np.ndarray) -> bool:
    """Return whether the cameras of a scene are reflections, as those of a left-handed one are."""
    return bool((np.linalg.det(poses[:, :3, :3]) < 0).all())


def check_views(views: Any, *, name: str = "views") -> None:
    """Raise InputError for what are no posed pictures of one size."""
    if not isinstance(views, Views) or not len(views):
        hint = f"; a scene has .{' .'.join(('train', 'val', 'test'))}" if isinstance(views, Scene) else ""
        found = "no view" if isinstance(views, Views) else shown(type(views).__name__)
        raise InputError(f"{name} must be posed pictures, Views, got {found}{hint}")
    given: Any = views  # whose tables may be anything
    images, poses, cameras, count = given.images, given.poses, given.cameras, len(views)
    if (
        not isinstance(images, Tensor)
        or images.dtype != torch.uint8
        or images.ndim != 4
        or images.shape[3] not in (3, 4)
    ):
        found = f"{images.dtype} {tuple(images.shape)}" if hasattr(images, "shape") else type(images).__name__
        if not isinstance(images, Tensor):
            found = f"{'an array of ' * isinstance(images, np.ndarray)}{found}; Views.of takes arrays"
        raise InputError(f"{name}: images must be a tensor (n, height, width, 3 or 4) of uint8, got {found}")
    size = tuple(images.shape[:3])
    if not isinstance(poses, np.ndarray):
        what = type(poses).__name__
        raise InputError(f"{name}: poses must be an array (n, 4, 4), got a {what}; Views.of takes tensors too")
    if not isinstance(cameras, Sequence):
        what = type(cameras).__name__
        raise InputError(f"{name}: cameras must be a tuple, got a {what}; Views.of takes one for all too")
    counts = {"images": size[0], "poses": len(poses), "cameras": len(cameras)}
    for what, number in counts.items():
        if number != count:
            raise InputError(f"{name}: {count} names, and {number} {what}; every view needs one")
    checked_poses(poses)
    for number, camera in enumerate(cameras):
        check_camera(camera)
        if (camera.height, camera.width) != size[1:]:
            raise InputError(
                f"{name}: camera {number} has {camera.height}x{camera.width} pixels, its picture {size[1]}x{size[2]}"
            )
    masks = given.masks
    if masks is not None and not (isinstance(masks, Tensor) and masks.dtype == torch.bool and masks.shape == size):
        raise InputError(f"{name}: masks must be a tensor of bool {size}, got {shown(getattr(masks, 'shape', masks))}")
    if masks is not None and not bool((has_any := masks.flatten(1).any(dim=1)).all()):
        raise InputError(f"{name}: the mask of view {int(has_any.int().argmin())} leaves no pixel; leave that view out")
