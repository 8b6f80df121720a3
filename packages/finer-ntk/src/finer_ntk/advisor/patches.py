"""Small pieces of a signal at its full density, so that advice costs the same whatever the signal's size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from finer_core.coords import axis_coords
from finer_core.errors import InputError

SIDE = 28
"""Pixels along a patch's side; its kernel is of SIDE^2 points."""
PATCHES = 4


@dataclass(frozen=True, kw_only=True)
class Patch:
    """Hold neighbouring points and a signal on them.

    Attributes:
        coords: (n, in_features), in the coordinates of the whole signal.
        target: (n, channels), of mean 0 a channel: a network's last bias learns the mean at once.
    """

    coords: Tensor
    target: np.ndarray


def image_patches(pixels: np.ndarray) -> list[Patch]:
    """Return patches spread over an image, the flat ones avoided: those say nothing about frequencies.

    Args:
        pixels: (height, width, channels), in [0, 1].

    Raises:
        InputError: If the image is smaller than a patch, or of one colour.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < SIDE:
        raise InputError(f"the advisor looks at patches of {SIDE}x{SIDE} pixels, the image has {height}x{width}")
    rows, columns = (axis_coords(length, dtype=torch.float64) for length in (height, width))
    patches = []
    for top, left in _corners(pixels):
        coords = torch.cartesian_prod(rows[top : top + SIDE], columns[left : left + SIDE])
        values = 2 * pixels[top : top + SIDE, left : left + SIDE].reshape(SIDE * SIDE, -1) - 1
        patches.append(Patch(coords=coords, target=values - values.mean(0)))
    return with_signal(patches)


def cloud_patches(points: np.ndarray, target: np.ndarray) -> list[Patch]:
    """Return neighbourhoods in scattered points with a signal.

    Args:
        points: (n, in_features), normalised to [-1, 1].
        target: (n, channels).

    Raises:
        InputError: If there are fewer points than a patch has, or the signal is the same everywhere.
    """
    from scipy.spatial import cKDTree

    count = SIDE * SIDE
    if len(points) < count:
        raise InputError(f"the advisor looks at {count} neighbouring points, got {len(points)} in all")
    centres = points[np.random.default_rng(0).choice(len(points), size=PATCHES, replace=False)]
    _, near = cKDTree(points).query(centres, k=count)
    patches = [
        Patch(coords=torch.from_numpy(points[index]), target=target[index] - target[index].mean(0)) for index in near
    ]
    return with_signal(patches)


def with_signal(patches: Sequence[Patch]) -> list[Patch]:
    """Return the patches on which the signal varies.

    Raises:
        InputError: If it varies on none.
    """
    varied = [patch for patch in patches if float(np.abs(patch.target).max()) > 1e-6]
    if not varied:
        raise InputError("the signal is the same everywhere the advisor looked; any method fits it")
    return varied


def _corners(pixels: np.ndarray) -> list[tuple[int, int]]:
    """Return a corner in each quadrant, where of a few places the signal varies as it does in the middle of them."""
    height, width = pixels.shape[:2]
    corners = []
    for top, bottom in _halves(height):
        for left, right in _halves(width):
            places = [(r, c) for r in _three(top, bottom) for c in _three(left, right)]
            varied = sorted(places, key=lambda at: float(pixels[at[0] : at[0] + SIDE, at[1] : at[1] + SIDE].std()))
            corners.append(varied[len(varied) // 2])
    return corners


def _halves(length: int) -> list[tuple[int, int]]:
    last = length - SIDE
    return [(0, last // 2), (last - last // 2, last)]


def _three(first: int, last: int) -> list[int]:
    return sorted({first, (first + last) // 2, last})
