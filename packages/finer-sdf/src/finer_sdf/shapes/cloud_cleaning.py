"""Turn the points of a file into an oriented cloud, saying what was estimated."""

import numpy as np

from finer_core.errors import InputError
from finer_sdf.shapes.cloud_normals import enclosed_volume, estimate_normals
from finer_sdf.shapes.raw_shape import check_finite, counted
from finer_sdf.shapes.types import PointCloud, unit_vectors

_LEAST_POINTS = 4
"""Fewer enclose nothing."""


def clean_cloud(points: np.ndarray, normals: np.ndarray | None) -> tuple[PointCloud, tuple[str, ...]]:
    """Give every point a normal of length 1.

    Given normals are kept as they point, for a scan of a room rightly has them inwards; if the cloud as a whole looks
    inwards, a note says so. Zero ones stay zero, as the published protocol has them.

    Args:
        points: (n, 3) float64.
        normals: (n, 3) float64 of any length, or None to estimate them.

    Returns:
        The cloud, and a sentence for everything a user should know.

    Raises:
        InputError: If numbers are not finite, or there are too few points or all at one place.
    """
    check_finite("points", points)
    if len(points) < _LEAST_POINTS:
        raise InputError(f"it has {counted(len(points), 'point')} and no faces; a surface needs more")
    if np.ptp(points, axis=0).max() == 0:
        raise InputError("it has no extent: all its points are at one place")
    if normals is not None:
        check_finite("normals", normals)
    if normals is None or not normals.any():
        why = "its normals are all zero" if normals is not None else "it has no normals"
        cloud = PointCloud(points=points, normals=estimate_normals(points))
        return cloud, (f"{why}; estimated them from the nearest points, looking outwards",)
    largest = np.abs(normals).max(axis=1, keepdims=True)
    # Divided by the largest first: the square of a tiny length would be 0, that of a huge one infinite.
    normals = unit_vectors(np.divide(normals, largest, out=np.zeros_like(normals), where=largest > 0))
    notes = []
    missing = int((largest == 0).sum())
    if missing:
        notes.append(f"{missing} of {counted(len(points), 'normal')} are zero; what they say is unknown")
    if enclosed_volume(points, normals) < 0:
        notes.append("its normals look inwards on the whole; kept, so inside and outside may be swapped")
    return PointCloud(points=points, normals=normals), tuple(notes)
