"""Field values on the grid points of some blocks of cells, and only there."""

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from finer_core.shapes import Bool, Float, Int

BLOCK = 4
"""Cells along the side of the smallest block."""
BATCH_BLOCKS = 4096
"""Blocks handled at once: bounds the memory of index arrays."""

CORNERS = np.array(list(product((0, 1), repeat=3)))
"""The eight corners of the unit cube, (8, 3)."""


class BlockValues:
    """Hold the values on all grid points of the active blocks; a point that blocks share is stored once.

    Every grid point belongs to the block that has it on its lower side, its owner. So the points of an active block
    lie in up to eight owners, which need not be active themselves.

    Args:
        cells: Cells of the grid along each axis; the last block may stick out.
        sample: Returns the values (n,) at grid indices (n, 3).
    """

    def __init__(self, *, cells: int, sample: Callable[[np.ndarray], np.ndarray]) -> None:
        self._cells, self._sample = cells, sample
        self.per_axis = -(-cells // BLOCK)
        self._active = np.empty(0, dtype=np.int64)
        self._owners = np.empty(0, dtype=np.int64)
        self._values = np.empty((0, BLOCK, BLOCK, BLOCK), dtype=np.float32)
        self._wanted = np.empty((0, BLOCK, BLOCK, BLOCK), dtype=bool)

    def __len__(self) -> int:
        """Return the number of active blocks."""
        return len(self._active)

    @property
    def blocks(self) -> Int[np.ndarray, "blocks 3"]:
        """Return the active blocks' indices (n, 3), in lexicographic order."""
        return self._unpack(self._active)

    def is_active(self, blocks: Int[np.ndarray, "blocks 3"]) -> Bool[np.ndarray, " blocks"]:
        """Return which of blocks (n, 3) are active."""
        return _contains(self._active, self._pack(blocks))

    def activate(self, blocks: Int[np.ndarray, "blocks 3"]) -> int:
        """Make blocks (n, 3), each inside the grid, active; return how many of their points have no value yet."""
        self._active = np.union1d(self._active, self._pack(blocks))
        self._insert(np.unique(np.concatenate([self._pack(blocks + corner) for corner in CORNERS])))
        self._wanted = self._unknown_points(blocks)
        return int(self._wanted.sum())

    def evaluate(self, *, on_points: Callable[[int], None] = lambda points: None) -> None:
        """Evaluate the points that the last `activate` asked for."""
        rows = np.flatnonzero(self._wanted.any(axis=(1, 2, 3)))
        for start in range(0, len(rows), BATCH_BLOCKS):
            part = rows[start : start + BATCH_BLOCKS]
            which, *inside = np.nonzero(self._wanted[part])
            index = self._unpack(self._owners[part])[which] * BLOCK + np.stack(inside, axis=1)
            points = (part[which], *inside)
            self._values[points] = self._sample(index)
            on_points(len(index))
        self._wanted = np.zeros((0, BLOCK, BLOCK, BLOCK), dtype=bool)

    def around(self, blocks: Int[np.ndarray, "blocks 3"]) -> Float[np.ndarray, "blocks 5 5 5"]:
        """Return the values on all points of active blocks (n, 3), (n, 5, 5, 5); NaN outside the grid."""
        side = BLOCK + 1
        values = np.full((len(blocks), side, side, side), np.nan, dtype=np.float32)
        for corner in CORNERS:
            (to_x, to_y, to_z), (x, y, z) = _shares(corner)
            values[:, to_x, to_y, to_z] = self._values[self._rows(blocks + corner)][:, x, y, z]
        return values

    def bricks(self, blocks_a_side: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the active blocks in cubes of `blocks_a_side` blocks, in lexicographic order of the cubes.

        Yields:
            The grid index (3,) of the cube's first point; the values on its points, NaN where they are not known; and
            which of its cells (one fewer along each axis) belong to active blocks.
        """
        if len(self) == 0:
            return
        blocks = self.blocks
        per_axis = -(-self.per_axis // blocks_a_side)
        cube = np.ravel_multi_index((blocks // blocks_a_side).T, (per_axis,) * 3)
        order = np.argsort(cube, kind="stable")
        starts = np.flatnonzero(np.diff(cube[order], prepend=-1))
        for members in np.split(order, starts[1:]):
            first = blocks[members[0]] // blocks_a_side * blocks_a_side
            yield (first * BLOCK, *self._brick(blocks[members], first, blocks_a_side))

    def _brick(self, blocks: np.ndarray, first: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
        values = np.full((side + 1, BLOCK) * 3, np.nan, dtype=np.float32)
        cells = np.zeros((side, BLOCK) * 3, dtype=bool)
        x, y, z = (blocks - first).T
        cells[x, :, y, :, z, :] = True
        for corner in CORNERS:
            i, j, k = corner
            values[x + i, :, y + j, :, z + k, :] = self._values[self._rows(blocks + corner)]
        counts = np.minimum(side * BLOCK, self._cells - first * BLOCK)
        return (
            values.reshape(((side + 1) * BLOCK,) * 3)[tuple(slice(n + 1) for n in counts)],
            cells.reshape((side * BLOCK,) * 3)[tuple(slice(n) for n in counts)],
        )

    def _unknown_points(self, blocks: np.ndarray) -> np.ndarray:
        """Return a mask over all owners' points: those of `blocks`, inside the grid, without a value."""
        wanted = np.zeros(self._values.shape, dtype=bool)
        for corner in CORNERS:
            _, (x, y, z) = _shares(corner)
            wanted[self._rows(blocks + corner), x, y, z] = True
        wanted &= np.isnan(self._values)
        coords = self._unpack(self._owners)
        for axis in range(3):
            local = np.arange(BLOCK).reshape([-1 if a == axis else 1 for a in range(3)])
            wanted &= coords[:, axis].reshape(-1, 1, 1, 1) * BLOCK + local <= self._cells
        return wanted

    def _insert(self, owners: np.ndarray) -> None:
        merged = np.union1d(self._owners, owners)
        if len(merged) == len(self._owners):
            return
        values = np.full((len(merged), BLOCK, BLOCK, BLOCK), np.nan, dtype=np.float32)
        values[np.searchsorted(merged, self._owners)] = self._values
        self._owners, self._values = merged, values

    def _rows(self, blocks: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._owners, self._pack(blocks))

    def _pack(self, blocks: np.ndarray) -> np.ndarray:
        # One more along each axis: the owner of the grid's last point can lie behind the last block.
        packed: np.ndarray = np.ravel_multi_index(blocks.T, (self.per_axis + 1,) * 3).astype(np.int64)
        return packed

    def _unpack(self, keys: np.ndarray) -> np.ndarray:
        return np.stack(np.unravel_index(keys, (self.per_axis + 1,) * 3), axis=1)


def _contains(sorted_keys: np.ndarray, keys: np.ndarray) -> np.ndarray:
    if len(sorted_keys) == 0:
        return np.zeros(len(keys), dtype=bool)
    found: np.ndarray = sorted_keys[np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)] == keys
    return found


def _shares(corner: np.ndarray) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return which points of a block its owner at `corner` holds: as slices of the block, and of the owner."""
    of_block = tuple(slice(BLOCK, None) if c else slice(0, BLOCK) for c in corner)
    of_owner = tuple(slice(0, 1) if c else slice(None) for c in corner)
    return of_block, of_owner
