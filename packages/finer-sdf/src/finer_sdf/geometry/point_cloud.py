"""Turn the points of a file into an oriented cloud, saying what was estimated."""

import numpy as np

from finer_core.errors import InputError
from finer_core.io.text import counted
from finer_core.shapes import Float
from finer_sdf.geometry.clouds.noise import measure_noise
from finer_sdf.geometry.clouds.normals import estimate_noisy_normals, estimate_normals, judge_normals
from finer_sdf.geometry.raw import check_coordinates, check_finite, check_spread, first_of_equals
from finer_sdf.geometry.shapes import PointCloud, Points, unit_vectors

_LEAST_POINTS = 4
"""Fewer enclose nothing."""
_NOISY_POINTS = 1000
"""Of fewer, noise cannot be told from shape."""
_MOST_OPPOSED = 0.1
"""Share of normals that may look against their neighbor's without a word: edges and corners have some."""
_FLAT = 1e-14
"""Share of the squares of all distances to the middle that single precision leaves along an axis without extent."""
_UNEQUAL, _FEW = 0.1, 0.01
"""By which share the lengths of normals may differ from their median, and for how many of them, without a word."""


def clean_cloud(points: Points, normals: Points | None) -> tuple[PointCloud, tuple[str, ...]]:
    """Give every point a normal of length 1, and every place one point.

    Given normals are kept as they point, for a scan of a room rightly has them inwards; if the cloud as a whole looks
    inwards, a note says so. Zero ones stay zero, as the published protocol has them. Points at one place become one,
    with their mean normal: trees of points cannot be built over many that no cut separates.

    Args:
        points: (n, 3) float64.
        normals: (n, 3) float64 of any length, or None to estimate them.

    Returns:
        The cloud, and a sentence for everything a user should know.

    Raises:
        InputError: If numbers cannot be computed with, or there are too few points or all at one place.
    """
    check_coordinates("points", points)
    odd: list[str] = []
    if len(points) < _LEAST_POINTS:
        raise InputError(f"it has {counted(len(points), 'point')} and no faces; a surface needs more")
    if np.ptp(points, axis=0).max() == 0:
        raise InputError("it has no extent: all its points are at one place")
    if normals is not None:
        check_finite("normals", normals)
        odd = _lengths_note(normals)
        largest = np.abs(normals).max(axis=1, keepdims=True)
        # Divided by the largest first: the square of a tiny length would be 0, that of a huge one infinite.
        normals = unit_vectors(np.divide(normals, largest, out=np.zeros_like(normals), where=largest > 0))
    given = len(points)
    points, normals = merge_places(points, normals)
    merged = given - len(points)
    notes = [f"merged {counted(merged, 'point')} with others at the same place"] if merged else []
    if len(points) < _LEAST_POINTS:
        raise InputError(f"it has {counted(len(points), 'different point')} and no faces; a surface needs more")
    notes += [*odd, *check_spread("points", points)]
    is_flat = _is_flat(points)
    if normals is None or not normals.any():
        why = "its normals are all zero" if normals is not None else "it has no normals"
        cloud, note = _with_estimated_normals(points, is_flat=is_flat)
        return cloud, (*notes, f"{why}; {note}")
    missing = int((~normals.any(axis=1)).sum())
    if missing:
        notes.append(f"{missing} of {counted(len(points), 'normal')} are zero; what they say is unknown")
    if is_flat:
        notes.append("its points lie in one plane: it has no inside")
    volume, opposed = judge_normals(points, normals)
    if opposed > _MOST_OPPOSED:
        notes.append(
            f"{opposed:.0%} of its normals look against that of the nearest point; if that is no thin wall, leave them "
            "out, and they are estimated"
        )
    if volume < 0:
        notes.append("its normals look inwards on the whole; kept, so inside and outside may be swapped")
    return PointCloud(points=points, normals=normals), tuple(notes)


def _is_flat(points: np.ndarray) -> bool:
    """Return whether points lie in one plane; InputError if on one line."""
    middle = points - points.mean(axis=0)
    middle /= np.abs(middle).max()
    spread = np.linalg.svd(middle.T @ middle, compute_uv=False) / np.square(middle).sum()
    if spread[1] < _FLAT:
        raise InputError("its points lie on one line, which is no surface; give points all over one")
    return bool(spread[2] < _FLAT)


def _with_estimated_normals(points: np.ndarray, *, is_flat: bool) -> tuple[PointCloud, str]:
    """Return the cloud with normals of the scale that its noise asks for, and what was chosen."""
    sides = "which lie in one plane: it has no inside" if is_flat else "looking outwards"
    noise = measure_noise(points) if len(points) >= _NOISY_POINTS else None
    if noise is None or not noise.hides_the_surface:
        normals = estimate_normals(points)
        return PointCloud(points=points, normals=normals), f"estimated them from the nearest points, {sides}"
    normals = estimate_noisy_normals(points, noise=noise)
    note = (
        f"its points lie about {noise.deviation:.3g} off their surface and {noise.spacing:.3g} apart, so normals are "
        "estimated from wide neighborhoods, and distances are those to a smooth surface between the points"
    )
    return PointCloud(points=points, normals=normals, noise=noise.deviation), note


def _lengths_note(normals: np.ndarray) -> list[str]:
    """Return a note where lengths differ: so do areas, but also colors and whatever else stands in columns."""
    given = normals[normals.any(axis=1)]
    if not len(given):
        return []
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(given, axis=1)
        alike = np.abs(lengths / np.median(lengths) - 1) <= _UNEQUAL
    if (alike == 0).mean() <= _FEW:
        return []
    found = f"its normals have lengths of {lengths.min():.3g} to {lengths.max():.3g}"
    if (given >= 0).all():
        found += ", and are never negative, as colors are"
    return [f"{found}; taken as directions; if they are something else, leave them out"]


def merge_places(
    points: Points, normals: Points | None
) -> tuple[Float[np.ndarray, "places 3"], Float[np.ndarray, "places 3"] | None]:
    """Return the first point of every place (m, 3), in their order, and the mean direction of the normals there.

    Where normals cancel each other out, as on both sides of a sheet, the first one stands for the place.

    Args:
        points: (n, 3), finite.
        normals: (n, 3) of length 1 or 0, or None.
    """
    first, place = first_of_equals(points)
    if len(first) == len(points):
        return points, normals
    kept = np.argsort(first)
    if normals is not None:
        sums = np.stack([np.bincount(place, weights=axis) for axis in normals.T], axis=1)
        cancelled = np.linalg.norm(sums, axis=1) < 1e-6
        normals = np.where(cancelled[:, None], normals[first], unit_vectors(sums))[kept]
    return points[first[kept]], normals
