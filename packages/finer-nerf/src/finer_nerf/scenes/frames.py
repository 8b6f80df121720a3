"""What camera files say, before pictures are read."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_core.io.text import counted, notes_of
from finer_nerf.cameras import Camera, equirectangular_camera
from finer_nerf.scenes.checks import brief

_SINGULAR = 1e-6
"""Least ratio of a rotation's smallest to its largest singular value: below, it is no rotation at all."""
_EXACT = 1e-5
_NOTED = 1e-3
"""Deviation from a rotation that is repaired (the published scenes' is smaller), and that the user is told."""
_SHEARED = 0.02
"""Deviation, besides a scale, above which the axes are too unequal for a camera; rounding to 2 digits stays below."""
_FARTHEST = 1e12


Focal = tuple[float | None, float | None]
"""Focal length in pixels, or else field of view in radians; both None where nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Lens:
    """Hold what a camera file says of a lens; the picture's size fills what is left open.

    Attributes:
        projection: One of `lenses.PROJECTIONS`.
        size: Height and width of the picture that the numbers are for; where one is None, it has the picture's shape.
        focals: Along the width and along the height; one that is not known is as the other.
        center: Principal point along both; None for the middle.
        distortion: As in `Camera`.
    """

    projection: str = "perspective"
    size: tuple[int | None, int | None] = (None, None)
    focals: tuple[Focal, Focal] = ((None, None), (None, None))
    center: tuple[float | None, float | None] = (None, None)
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)

    def camera(self, *, height: int, width: int, downscale: int) -> Camera:
        """Return the camera of a picture of that size, divided by `downscale`; InputError if there is none."""
        own_height, own_width = self.size_for(height=height, width=width)
        small = {"height": max(1, height // downscale), "width": max(1, width // downscale)}
        if self.projection == "equirectangular":
            if width != 2 * height:
                raise InputError(
                    f"an equirectangular picture is twice as wide as high, and this one is {height}x{width}; "
                    "cut panoramas are not supported"
                )
            return equirectangular_camera(**small)
        focal_x, focal_y = map(_in_pixels, self.focals, (own_width, own_height))
        if focal_x is None and focal_y is None:
            raise InputError("no lens; it needs camera_angle_x or fl_x")
        cx, cy = self.center
        if cx is not None and cy is not None and 0 < min(cx, cy) <= max(cx, cy) <= 1 < min(own_width, own_height) / 4:
            raise InputError(
                f"cx {cx:g} and cy {cy:g} are in the corner of a picture of {own_height}x{own_width}; "
                f"give the principal point in pixels, not as shares of its size"
            )
        camera = Camera(
            width=own_width,
            height=own_height,
            fx=focal_x or focal_y or 0.0,
            fy=focal_y or focal_x or 0.0,
            cx=own_width / 2 if cx is None else cx,
            cy=own_height / 2 if cy is None else cy,
            distortion=self.distortion,
            projection=self.projection,
        ).resized(**small)
        # Of an angle alone the published loader takes the focal length of the reduced width, which size // factor may
        # shorten, for both axes.
        alone = self.focals[0][0] is None and focal_y is None
        return dataclasses.replace(camera, fy=camera.fx) if alone and self.size == (None, None) else camera

    def size_for(self, *, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that the numbers are for, of a picture of that size."""
        own_height, own_width = self.size
        if own_height is None:
            own_height = height if own_width is None else max(1, round(own_width * height / width))
        return own_height, own_width or max(1, round(own_height * width / height))


def _in_pixels(known: Focal, size: int) -> float | None:
    pixels, angle = known
    return pixels if pixels is not None or angle is None else size / (2 * math.tan(angle / 2))


@dataclass(frozen=True, kw_only=True)
class PosedFrame:
    """Hold one posed picture before it is read.

    Attributes:
        name: For tables.
        where: File and frame, for messages.
        picture: The file.
        pose: Camera-to-world (4, 4): x right, y up, z backwards.
        lens: Its lens.
        masks: Files that say which pixels count, and whether black ones do (instant-ngp) or do not (all others).
    """

    name: str
    where: str
    picture: Path
    pose: np.ndarray
    lens: Lens
    masks: tuple[tuple[Path, bool], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Found:
    """Hold what a camera file says.

    Attributes:
        kind: "blender", "transforms" or "colmap".
        frames: Posed pictures that exist.
        files: The camera files, for the digest.
        splits: The frames of "train", "val" and "test" where the file says so.
        skipped: Frames without a picture.
        notes: To be shown to the user.
        points: Known points, (n, 3), or None.
        aabb_scale: How far the scene goes on behind what the cameras look at (instant-ngp), 1 for not.
    """

    kind: str
    frames: Sequence[PosedFrame]
    files: Sequence[Path]
    splits: Mapping[str, Sequence[PosedFrame]] = field(default_factory=dict)
    skipped: int = 0
    notes: Sequence[str] = ()
    points: np.ndarray | None = None
    aabb_scale: float = 1.0


def check_pose(matrix: object, *, where: str) -> np.ndarray:
    """Return a pose as (4, 4) float64; InputError if it is none, is too far away, or does not end in 0, 0, 0, 1."""
    try:
        pose = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: transform_matrix is not a matrix of numbers, got {brief(matrix)}") from error
    if pose.shape == (3, 4):
        pose = np.vstack([pose, [0.0, 0.0, 0.0, 1.0]])
    if pose.shape != (4, 4):
        raise InputError(f"{where}: transform_matrix has shape {pose.shape}, expected (4, 4)")
    if not np.isfinite(pose).all():
        raise InputError(f"{where}: transform_matrix has values that are not finite")
    if np.abs(pose).max() > _FARTHEST:
        raise InputError(f"{where}: transform_matrix has {np.abs(pose).max():.3g}; the most is {_FARTHEST:g}")
    if np.abs(pose[3] - [0, 0, 0, 1]).max() > _EXACT:
        raise InputError(f"{where}: transform_matrix must end in the row 0 0 0 1, got {brief(pose[3].tolist())}")
    return pose


def straighten(poses: np.ndarray, *, places: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return poses whose rotations are rotations, and notes on what was done to them.

    A uniform scale, which a camera gets from a scaled parent, is divided out: it does not move the camera.

    Args:
        poses: (n, 4, 4).
        places: Where each is from, for messages.

    Raises:
        InputError: For a singular rotation, one scaled by different amounts along its axes or sheared, and reflections
            of some cameras only.
    """
    left, values, right = np.linalg.svd(poses[:, :3, :3])
    for place, (most, _, least) in zip(places, values, strict=True):
        if not least > _SINGULAR * most:
            raise InputError(f"{place}: the rotation in transform_matrix is singular")
    scale = np.cbrt(values.prod(axis=1))
    unequal = values[:, 0] / values[:, 2] - 1
    worst = int(unequal.argmax())
    if unequal[worst] > _SHEARED:
        lengths = ", ".join(f"{length:.4g}" for length in np.linalg.norm(poses[worst, :3, :3], axis=0))
        raise InputError(
            f"{places[worst]}: the axes of the rotation in transform_matrix have lengths {lengths}: a scale that "
            "differs by axis, or a shear; apply the scale of the camera and its parents"
        )
    mirrored = np.linalg.det(left @ right) < 0
    if mirrored.any() and not mirrored.all():
        odd = places[int(mirrored.argmax())]
        raise InputError(f"{odd}: transform_matrix is a reflection (determinant below 0), unlike other cameras'")
    scaled = max(np.abs(scale - 1).max(), unequal.max()) > _NOTED
    scales = f"{scale.min():.4g} to {scale.max():.4g}"
    notes = {
        "every rotation is a reflection (determinant below 0): the scene is left-handed, mirrored": mirrored.any(),
        f"rotations with a scale of {scales} made orthonormal, positions kept": scaled,
    }
    straight = np.array(poses)
    off = (np.abs(scale - 1) > _EXACT) | (unequal > _EXACT)
    straight[off, :3, :3] = (left @ right)[off]
    return straight, notes_of(notes)


def split_by_names(
    frames: Sequence[PosedFrame], lists: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[PosedFrame]], list[str]]:
    """Return the frames of each split that a scene lists by names, and notes; nothing where it lists none.

    Frames that are not listed are trained on where there is no list of those, and judged by where there is only that.
    """
    if not lists:
        return {}, []
    named = {frame.name: frame for frame in frames}
    splits = {split: [named[name] for name in dict.fromkeys(names) if name in named] for split, names in lists.items()}
    judged = {frame.name for split in ("val", "test") for frame in splits.get(split, ())}
    listed = judged | {frame.name for frame in splits.get("train", ())}
    rest = [frame for frame in frames if frame.name not in listed]
    both = [frame for frame in splits.get("train", ()) if frame.name in judged]
    splits["train"] = [frame for frame in splits.get("train", rest) if frame.name not in judged]
    left = rest if "train" in lists else []
    if left and not judged:
        splits["test"] = left
    absent = [name for names in lists.values() for name in names if name not in named]
    notes = {
        f"no frame of {counted(len(absent), 'name')} in lists of views ({brief(next(iter(absent), ''))} first)": absent,
        f"{counted(len(both), 'view')} listed for training and for judging: not trained on": both,
        f"{counted(len(left), 'frame')} in no list of views: {'left out' if judged else 'held out for judging'}": left,
    }
    return splits, notes_of(notes)
