"""How far what the cameras see reaches: by silhouettes, or by known points on the surfaces."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from finer_core.shapes import Real
from finer_nerf.cameras import Camera, project_to_pixels
from finer_nerf.normalization import Normalization
from finer_nerf.scenes.scene import Views

_MOST_VIEWS = 48
_CELLS = 32
_ROUNDS = 3
_LONGEST_SIDE = 256
"""Of silhouettes, in pixels."""
_LEAST_EMPTY = 0.02
"""Share of the pixels that must show nothing, for silhouettes to say anything."""
_SEEN_BY, _SHOWN_BY = 0.5, 0.97
"""Share of the cameras that must see a cell, and share of these that must show something there: a few may be wrong."""
_LEAST_POINTS = 20
_POINTS_SHARE, _POINTS_MARGIN = 0.95, 0.15
"""Share of the points, along each axis, that is believed; and how much is added for what was cut off."""
_SAME, _OTHER = 6, 16
"""Levels of 255: how far a constant background's pixels may be from its color, and from where on a pixel is none."""
_BORDER_SHARE = 0.9


class Extent(NamedTuple):
    """Bound what is seen.

    Attributes:
        low: Least coordinates of the scene, (3,).
        high: Largest.
    """

    low: np.ndarray
    high: np.ndarray

    @property
    def center(self) -> np.ndarray:
        """Return the middle."""
        return (self.low + self.high) / 2

    def reach(self, center: np.ndarray) -> float:
        """Return the farthest that it reaches from a point along any axis."""
        return float(np.maximum(np.abs(self.low - center), np.abs(self.high - center)).max())


def points_extent(points: Real[np.ndarray, "points 3"]) -> Extent | None:
    """Return the bounds of points (n, 3), of which some are astray; None for too few."""
    if len(points) < _LEAST_POINTS:
        return None
    rest = (1 - _POINTS_SHARE) / 2
    low, high = np.quantile(points, [rest, 1 - rest], axis=0)
    margin = _POINTS_MARGIN / 2 * float((high - low).max())
    if not 0 < margin < math.inf:
        return None
    return Extent(low - margin, high + margin)


def silhouette_extent(views: Views, *, center: np.ndarray, reach: float) -> Extent | None:
    """Return the bounds of what is seen of the visual hull of silhouettes, or None where there are none.

    Silhouettes are transparency, masks, or a background of one color.

    Formula: cells of a cube that half the cameras see, nine tenths of which show something there; of these the ones
    that are nearest to some camera in some direction, for what no camera looks at from its side, such as the space
    below a table, reaches as far as it likes. On three grids, each in what the one before found.

    Args:
        views: Posed pictures.
        center: Of the cube, (3,).
        reach: Half its side.
    """
    chosen = range(0, len(views), max(1, -(-len(views) // _MOST_VIEWS)))
    shown = shown_pixels(views, chosen)
    if shown is None:
        return None
    cameras = tuple(views.cameras[i].resized(height=shown.shape[1], width=shown.shape[2]) for i in chosen)
    # Around the center, in units of the reach: single precision would lose a scene far from the origin.
    frame = Normalization.centered(center, scale=1 / reach)
    poses = torch.from_numpy(frame.poses_to_box(views.poses[list(chosen)]))
    low, high = -torch.ones(3), torch.ones(3)
    for _ in range(_ROUNDS):
        cell = (high - low) / _CELLS
        steps = torch.arange(_CELLS) + 0.5
        axes = [low[axis] + cell[axis] * steps for axis in range(3)]
        cells = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(-1, 3)
        radius = float(cell.norm()) / 2
        filled = cells[_is_in_hull(cells, shown, poses, cameras, radius=radius)]
        filled = filled[_is_in_front(filled, poses, cameras, radius=radius)]
        if not len(filled):
            return None
        low, high = filled.amin(dim=0) - cell / 2, filled.amax(dim=0) + cell / 2
    corners = frame.to_input(torch.stack([low, high]).double().numpy())
    return Extent(corners.min(axis=0), corners.max(axis=0))


def _is_in_hull(cells: Tensor, shown: Tensor, poses: Tensor, cameras: tuple[Camera, ...], *, radius: float) -> Tensor:
    """Return which cells of a radius may hold something, bool (n,)."""
    seen, full = torch.zeros(len(cells)), torch.zeros(len(cells))
    for mask, pose, camera in zip(shown, poses, cameras, strict=True):
        local = (cells - pose[:3, 3]) @ pose[:3, :3]
        column, row, inside = project_to_pixels(camera, local)
        distance = local.norm(dim=-1)
        inside = inside & (distance > radius)
        if not bool(inside.any()):
            continue
        pixels = math.ceil(radius * max(camera.fx, camera.fy) / float(distance[inside].median()))
        pixels = min(pixels, max(mask.shape))
        grown = F.max_pool2d(mask.float()[None, None], 2 * pixels + 1, stride=1, padding=pixels)[0, 0]
        place = column.long().clamp(0, camera.width - 1), row.long().clamp(0, camera.height - 1)
        seen += inside
        full += inside & (grown[place[1], place[0]] > 0)
    return (seen >= _SEEN_BY * len(cameras)) & (full >= _SHOWN_BY * seen) & (seen > 0)


def _is_in_front(cells: Tensor, poses: Tensor, cameras: tuple[Camera, ...], *, radius: float) -> Tensor:
    """Return which cells of a radius are the first that some camera sees in some direction, bool (n,)."""
    first = torch.zeros(len(cells), dtype=torch.bool)
    for pose, camera in zip(poses, cameras, strict=True):
        local = (cells - pose[:3, 3]) @ pose[:3, :3]
        column, row, inside = project_to_pixels(camera, local)
        distance = local.norm(dim=-1)
        number = (inside & (distance > radius)).nonzero()[:, 0]
        if not len(number):
            continue
        near = distance[number]
        # Directions are told apart by squares of pixels that are as large as a cell.
        side = max(1.0, 2 * radius * max(camera.fx, camera.fy) / float(near.median()))
        wide = math.ceil(camera.width / side)
        square = (row[number] / side).long() * wide + (column[number] / side).long()
        nearest = torch.full((int(square.max()) + 1,), torch.inf).scatter_reduce(0, square, near, "amin")
        first[number[near <= nearest[square] + radius]] = True
    return first


def shown_pixels(views: Views, chosen: Sequence[int]) -> Tensor | None:
    """Return which pixels of some views show something, or None where (nearly) all of them do.

    Pixels that are transparent, masked out, or of a constant background's color show nothing.

    Args:
        views: Posed pictures, which are looked at one after another: all at once would take much memory.
        chosen: Numbers of views.

    Returns:
        bool (n, height, width), of pictures reduced to a longest side of at most 256: a reduced pixel shows something
        if any of its pixels does.
    """
    transparent = views.is_transparent
    color = None if transparent else constant_background(views)
    factor = -(-max(views.height, views.width) // _LONGEST_SIDE)
    reduced, empty = [], 0
    for number in chosen:
        image = views.images[number]
        if transparent:
            shown = image[..., 3] > 0
        elif color is None:
            shown = torch.ones(image.shape[:2], dtype=torch.bool)
        else:
            shown = (image[..., :3].short() - color).abs().amax(dim=-1) > _OTHER
        if views.masks is not None:
            shown = shown & views.masks[number]
        empty += int((~shown).sum())
        reduced.append(F.max_pool2d(shown.float()[None], factor, ceil_mode=True)[0] > 0)
    pixels = len(reduced) * views.height * views.width
    return torch.stack(reduced) if _LEAST_EMPTY * pixels < empty < pixels else None


def constant_background(views: Views) -> Tensor | None:
    """Return the color, int16 (3,), that nine tenths of the pixels at the pictures' edges have, or None.

    Args:
        views: Opaque pictures; what a mask leaves out does not count.
    """
    border = torch.zeros(views.images.shape[1:3], dtype=torch.bool)
    border[[0, -1]], border[:, [0, -1]] = True, True
    counted = border.expand(views.images.shape[:3])
    if views.masks is not None:
        counted = counted & views.masks
    edge = views.images[counted][:, :3].short()
    if not len(edge):
        return None
    color = edge.median(dim=0).values
    is_near = (edge - color).abs().amax(dim=-1) <= _SAME
    return color if float(is_near.double().mean()) >= _BORDER_SHARE else None
