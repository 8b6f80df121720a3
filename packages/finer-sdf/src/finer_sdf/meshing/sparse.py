"""Find the cells near a field's zero level set, coarse to fine, and evaluate the field only there."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from finer_core.shapes import Float, Int, Real
from finer_sdf.meshing.blocks import BLOCK, CORNERS, BlockValues
from finer_sdf.meshing.grid import Sampler

COARSE_BLOCKS = 32
"""The search starts from at least this many blocks along each axis, where the grid has them."""
QUANTILE = 0.99
"""Every block is taken to be as steep as this share of the blocks near the surface stays below."""
MARGIN = 1.1
"""The bound is this many times the steepness measured."""
_PIECE = 1 << 16
"""Blocks looked at together: bounds the memory of index arrays."""


@dataclass(frozen=True, kw_only=True)
class SparseGrid:
    """Hold what a search found.

    Attributes:
        values: The field on the points of the blocks that can hold the surface.
        lipschitz: The largest bound on the field's change per unit length that the search used for all blocks.
        followed: Blocks that the bound had missed and that following the surface found.
    """

    values: BlockValues
    lipschitz: float
    followed: int


def search(
    sampler: Sampler,
    *,
    margin: float = MARGIN,
    on_level: Callable[[int, int], None] = lambda blocks, side: None,
    on_points: Callable[[int, int], None] = lambda done, total: None,
) -> SparseGrid:
    """Evaluate a field on all grid points near its zero level set.

    Blocks of cells, at least 32 along each axis, are halved down to blocks of 4 cells. A block of side s is looked at
    through its center c and its 8 corners, all of them grid points, and kept when

    - these 9 values differ in sign (zero counts as negative), or
    - |f(c)| <= L r, with r the largest distance from c to any of the block's grid points but the corners.

    L is `margin` times the steepest change per unit length measured in the block (from its center to its corners, and
    its mean gradient) or the 99th percentile of those of all blocks of its size that may touch the surface, whichever
    is larger, and at least 1, a true distance's. Then the surface is followed: where the values on a face of a block of
    4 cells differ in sign, the block behind that face is added.

    What that guarantees:

    1. Let |f(p) - f(c)| <= L |p - c| for the grid points p of every block that was dropped, c its center, which holds
       wherever |grad f| <= L in the block. Then no dropped block holds grid points of different signs, and marching
       cubes on the cells found gives the mesh of the whole grid.
    2. Whatever L is, a sign change between two neighboring points of the coarsest blocks is found: corners and centers
       of a block are corners of its halves.
    3. Whatever L is, a piece of the surface that hangs together through faces of the grid's cells is found whole or not
       at all.

    Args:
        sampler: The field on its grid.
        margin: See above; larger is safer and slower.
        on_level: Called with the number of blocks kept and their side in cells, after every level and before the
            surface is followed into new blocks; may raise to stop the search.
        on_points: Called with the number of points done at the finest level and their total, which following the
            surface can raise.

    Returns:
        The field near the surface; without any block if all values have one sign.
    """
    cells = sampler.grid.cells
    side = BLOCK
    while -(-cells // (2 * side)) >= COARSE_BLOCKS:
        side *= 2
    per_axis = -(-cells // side)
    blocks = np.stack(np.unravel_index(np.arange(per_axis**3), (per_axis,) * 3), axis=1)
    steepest = 1.0
    while True:
        blocks, bound = _touching(sampler, blocks, side=side, margin=margin)
        steepest = max(steepest, bound)
        if side == BLOCK:
            break
        on_level(len(blocks), side)
        side //= 2
        blocks = (2 * blocks[:, None] + CORNERS).reshape(-1, 3)
        blocks = blocks[(blocks * side < cells).all(axis=1)]
    values = BlockValues(cells=cells, sample=sampler.at)
    followed = _fill(values, blocks, on_level=on_level, on_points=on_points)
    return SparseGrid(values=values, lipschitz=steepest, followed=followed)


def _touching(sampler: Sampler, blocks: np.ndarray, *, side: int, margin: float) -> tuple[np.ndarray, float]:
    """Return those of blocks (n, 3) of `side` cells that can hold the surface, and the bound used."""
    cells, step = sampler.grid.cells, sampler.grid.step
    centers = np.minimum(blocks * side + side // 2, cells)
    at_center = sampler.at(centers)
    at_corners = _corner_values(sampler, blocks, side=side)
    inside = at_corners <= 0
    mixed = (inside != (at_center <= 0)[:, None]).any(axis=1)
    # The corners are known, so r is the distance to the farthest of the other points: one cell inside, along one axis.
    half = side / 2
    radius = math.sqrt(2 * half**2 + (half - 1) ** 2) * step
    to_low, to_high = blocks * side - centers, np.minimum((blocks + 1) * side, cells) - centers
    steepness = _steepness(at_center, at_corners, to_low, to_high) / step
    distance = np.abs(at_center)
    near = mixed | (distance <= 2 * steepness * math.sqrt(3) * half * step)
    bound = max(1.0, margin * float(np.quantile(steepness[near], QUANTILE))) if near.any() else 1.0
    return blocks[mixed | (distance <= np.maximum(bound, margin * steepness) * radius)], bound


def _corner_values(
    sampler: Sampler, blocks: Int[np.ndarray, "blocks 3"], *, side: int
) -> Float[np.ndarray, "blocks 8"]:
    """Return the values at the corners of blocks (n, 3), (n, 8); a corner that blocks share is evaluated once."""
    shape = (-(-sampler.grid.cells // side) + 1,) * 3
    keys = np.stack([np.ravel_multi_index((blocks + corner).T, shape) for corner in CORNERS], axis=1)
    unique, where = np.unique(keys, return_inverse=True)
    corners = np.stack(np.unravel_index(unique, shape), axis=1)
    values = sampler.at(np.minimum(corners * side, sampler.grid.cells))
    found: np.ndarray = values[where.reshape(keys.shape)]
    return found


def _steepness(
    at_center: Float[np.ndarray, " blocks"],
    at_corners: Float[np.ndarray, "blocks 8"],
    to_low: Real[np.ndarray, "blocks 3"],
    to_high: Real[np.ndarray, "blocks 3"],
) -> Float[np.ndarray, " blocks"]:
    """Return the steepest change of each block per cell: to its corners, or along its mean gradient."""
    gradient = at_corners @ (2 * CORNERS - 1).astype(np.float32) / 4 / (to_high - to_low)
    steepest: np.ndarray = np.linalg.norm(gradient, axis=1)
    for corner, values in zip(CORNERS, at_corners.T, strict=True):
        length = np.linalg.norm(np.where(corner == 1, to_high, to_low), axis=1)  # 0 in a block of one cell
        steepest = np.maximum(steepest, np.abs(values - at_center) / np.maximum(length, 1))
    return steepest


def _fill(
    values: BlockValues,
    blocks: np.ndarray,
    *,
    on_level: Callable[[int, int], None],
    on_points: Callable[[int, int], None],
) -> int:
    """Evaluate the blocks' points, then follow the surface out of them; return how many blocks that added."""
    found, done, total = len(blocks), 0, 0

    def on_batch(points: int) -> None:
        nonlocal done
        done += points
        on_points(done, total)

    while len(blocks):
        total += values.activate(blocks)
        on_level(len(values), BLOCK)
        values.evaluate(on_points=on_batch)
        behind = [_behind_mixed_faces(values, blocks[i : i + _PIECE]) for i in range(0, len(blocks), _PIECE)]
        blocks = np.unique(np.concatenate(behind), axis=0)
        blocks = blocks[~values.is_active(blocks)]
    return len(values) - found


def _behind_mixed_faces(values: BlockValues, blocks: np.ndarray) -> np.ndarray:
    """Return the blocks of the grid behind those faces of blocks (n, 3) whose values differ in sign."""
    around = values.around(blocks)
    inside, outside = around <= 0, around > 0  # both False where there is no point
    behind = []
    for axis in range(3):
        for end, direction in ((0, -1), (BLOCK, 1)):
            face = (slice(None), *(end if a == axis else slice(None) for a in range(3)))
            mixed = inside[face].any(axis=(1, 2)) & outside[face].any(axis=(1, 2))
            neighbors = blocks[mixed].copy()
            neighbors[:, axis] += direction
            behind.append(neighbors)
    found = np.concatenate(behind)
    in_grid: np.ndarray = found[((found >= 0) & (found < values.per_axis)).all(axis=1)]
    return in_grid
