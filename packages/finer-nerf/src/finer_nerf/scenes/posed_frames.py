"""What camera files say, before pictures are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_nerf.cameras import Intrinsics

_LEAST_DETERMINANT = 1e-6


@dataclass(frozen=True, kw_only=True)
class PosedFrame:
    """Hold one posed picture before it is read.

    Attributes:
        name: For tables.
        picture: The file.
        pose: Camera-to-world (4, 4): x right, y up, z backwards.
        camera: Lens; None where it follows from the picture's size (then `angle_x` is set).
        angle_x: Horizontal field of view in radians.
    """

    name: str
    picture: Path
    pose: np.ndarray
    camera: Intrinsics | None = None
    angle_x: float | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """Hold what a camera file says.

    Attributes:
        frames: Posed pictures that exist.
        files: The camera files, for the digest.
        skipped: Frames without a picture.
        notes: To be shown to the user.
        points: Known points, (n, 3), or None.
        extra: Plain data of the format.
    """

    frames: Sequence[PosedFrame]
    files: Sequence[Path]
    skipped: int = 0
    notes: Sequence[str] = ()
    points: np.ndarray | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def check_pose(matrix: object, *, where: str) -> np.ndarray:
    """Return a pose as (4, 4) float64.

    Raises:
        InputError: If it is no such matrix, not finite, or singular.
    """
    try:
        pose = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: transform_matrix is not a matrix of numbers") from error
    if pose.shape == (3, 4):
        pose = np.vstack([pose, [0.0, 0.0, 0.0, 1.0]])
    if pose.shape != (4, 4):
        raise InputError(f"{where}: transform_matrix has shape {pose.shape}, expected (4, 4)")
    if not np.isfinite(pose).all():
        raise InputError(f"{where}: transform_matrix has values that are not finite")
    determinant = float(np.linalg.det(pose[:3, :3]))
    if abs(determinant) < _LEAST_DETERMINANT:
        raise InputError(f"{where}: transform_matrix is singular (determinant {determinant:.2g})")
    return pose
