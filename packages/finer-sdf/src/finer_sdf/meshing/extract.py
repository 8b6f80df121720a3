"""Extract the surface of a field as a triangle mesh."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from finer_core.errors import InputError
from finer_core.schema import check_flag
from finer_sdf.geometry import Mesh
from finer_sdf.meshing.blocks import BLOCK
from finer_sdf.meshing.grid import Grid, Sampler
from finer_sdf.meshing.marching_cubes import BRICK, Triangles, triangulate, weld
from finer_sdf.meshing.memory import MemoryLimit
from finer_sdf.meshing.sparse import search
from finer_sdf.normalization import Field

DEFAULT_RESOLUTION = 512
DEFAULT_MEMORY = 4 * 10**9
Brick = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Grid index of the first point, values at the points, and which of the cells are wanted."""
_LARGEST_LEVEL = 1e6
"""In box units; a distance in the box is below 2, and the squares of values must stay in single precision."""
OnPoints = Callable[[int, int], None]
"""Called with the grid points evaluated so far and the total as known then, which may rise a little."""


class NoSurfaceError(InputError):
    """Say that a field has no such level set on the grid.

    Attributes:
        lowest: Smallest value of the field that was seen, in the unit of messages.
        highest: Largest.
        level: What was looked for.
    """

    def __init__(self, lowest: float, highest: float, level: float) -> None:
        self.lowest, self.highest, self.level = lowest, highest, level
        seen = f"in its box (values seen: {lowest:.3g} to {highest:.3g})"
        super().__init__(
            f"the field has no level set of {level:g} {seen}; choose a level between these"
            if level
            else f"the field has no zero level set {seen}; fit longer, or check the direction of the input's normals"
        )

    def __reduce__(self) -> tuple[type, tuple[float, float, float]]:
        """Travel from a worker as it is."""
        return type(self), (self.lowest, self.highest, self.level)


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Hold an extracted surface and what it took.

    Attributes:
        mesh: In box coordinates, its faces looking outwards (to where the field is larger); open only where the
            surface leaves the box.
        resolution: Grid points per axis.
        points: How often the field was evaluated.
        share: That, as a share of the grid's points.
        lipschitz: The bound on the field's change per unit length that the search used; None if there was none.
        followed: Blocks found only by following the surface: above 0 the bound was too small somewhere.
        seconds: Time taken.
    """

    mesh: Mesh
    resolution: int
    points: int
    share: float
    lipschitz: float | None
    followed: int
    seconds: float


def check_resolution(resolution: int, *, memory: int = DEFAULT_MEMORY, sparse: bool = True) -> None:
    """Refuse a resolution that no mesh, or no mesh of a typical surface within the memory, can have.

    Raises:
        InputError: If so; says the largest resolution that fits.
    """
    Grid(resolution=resolution)
    MemoryLimit(memory=memory, sparse=sparse).check(resolution)


def extract_mesh(
    field: Field,
    *,
    resolution: int = DEFAULT_RESOLUTION,
    memory: int = DEFAULT_MEMORY,
    sparse: bool = True,
    level: float = 0.0,
    level_unit: float = 1.0,
    device: torch.device | str = "cpu",
    on_points: OnPoints = lambda done, total: None,
) -> Extraction:
    """Extract a level set by marching cubes.

    The sparse and the dense way give the same mesh, to the bit on a CPU, under the guarantee that
    `finer_sdf.meshing.sparse.search` states.

    Args:
        field: Distances in the box, negative inside.
        resolution: Grid points per axis, both ends of the box included.
        memory: Bytes that the process may use; checked by an estimate, again after each level of the search.
        sparse: Evaluate only near the surface; else the whole grid, in slabs.
        level: Value of the field on the surface wanted.
        level_unit: What messages give values of the field in.
        device: Where the field computes.
        on_points: Reports progress.

    Raises:
        InputError: If the grid does not fit the memory, the level is not finite or absurdly far, or the field is not
            finite somewhere.
        NoSurfaceError: If the field has no such level set; an InputError too.
    """
    started = time.perf_counter()
    if not abs(level) <= _LARGEST_LEVEL:
        wide = f"the box is {1 / level_unit:.3g} wide; choose a level below that"
        raise InputError(f"a level of {level / level_unit:g} is no distance in the box of a field: {wide}")
    grid = Grid(resolution=resolution)
    check_flag(sparse, what="sparse")
    limit = MemoryLimit(memory=memory, sparse=sparse)
    sampler = Sampler(field=field, grid=grid, level=level, device=device)
    lipschitz, followed = None, 0
    if sparse:
        found = search(
            sampler,
            on_level=lambda blocks, side: limit.check(resolution, blocks=blocks, side=side),
            on_points=on_points,
        )
        lipschitz, followed = found.lipschitz, found.followed
        bricks: Iterator[Brick] = found.values.bricks(BRICK // BLOCK)
    else:
        limit.check(resolution)
        bricks = _dense_bricks(sampler, on_points=on_points)
    parts: list[Triangles] = []
    for first, values, cells in bricks:
        part = triangulate(values, cells=cells, first=first, resolution=resolution, step=grid.step)
        if part is not None:
            parts.append(part)
    welded = weld(parts) if parts else None
    if welded is None or len(welded.faces) == 0:
        raise NoSurfaceError(*(value / level_unit for value in (sampler.lowest, sampler.highest, sampler.level)))
    return Extraction(
        mesh=Mesh(vertices=grid.place(welded.positions), faces=welded.faces),
        resolution=resolution,
        points=sampler.points,
        share=sampler.points / resolution**3,
        lipschitz=lipschitz,
        followed=followed,
        seconds=time.perf_counter() - started,
    )


def _dense_bricks(sampler: Sampler, *, on_points: OnPoints) -> Iterator[Brick]:
    """Evaluate the whole grid in slabs and yield its bricks."""
    count = sampler.grid.resolution
    plane = np.stack(np.unravel_index(np.arange(count**2), (count, count)), axis=1)
    slab = np.empty((0, count, count), dtype=np.float32)
    starts = range(0, count - 1, BRICK)
    for x in starts:
        known = slab[-1:].copy()  # neighboring slabs share a plane
        del slab
        slab = np.empty((min(BRICK, count - 1 - x) + 1, count, count), dtype=np.float32)
        slab[: len(known)] = known
        for i in range(len(known), len(slab)):
            index = np.column_stack([np.full(count**2, x + i), plane])
            slab[i] = sampler.at(index).reshape(count, count)
            on_points(sampler.points, count**3)
        for y, z in product(starts, repeat=2):
            yield np.array([x, y, z]), slab[:, y : y + BRICK + 1, z : z + BRICK + 1], None
