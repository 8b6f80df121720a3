"""How much memory a mesh takes to extract, and the largest grid that fits."""

import math
from dataclasses import dataclass

from finer_core.errors import InputError
from finer_sdf.meshing.blocks import BLOCK
from finer_sdf.meshing.marching_cubes import BRICK

PROCESS_BYTES = 500_000_000
"""What Python, PyTorch, the other libraries and a batch of points take by themselves."""
BLOCK_BYTES = 3000
"""A block of 4 cells with its values, its triangles, and the welding of them."""
SLAB_BYTES = 4 * (BRICK + 1) + 64
"""What a dense evaluation takes for each point of a plane: a slab of values, and one plane's coordinates."""
TYPICAL_BLOCKS = 0.27
"""Blocks per squared resolution of a surface of area 2 in the box; the Stanford shapes have 0.9 to 1.8."""


@dataclass(frozen=True, kw_only=True)
class MemoryLimit:
    """Refuse a grid that does not fit.

    Attributes:
        memory: Bytes that the process may use.
        sparse: Whether only the blocks near the surface are evaluated.
    """

    memory: int
    sparse: bool = True

    def check(self, resolution: int, *, blocks: int | None = None, side: int = BLOCK) -> None:
        """Refuse a resolution that does not fit.

        Args:
            resolution: Grid points per axis.
            blocks: Blocks of `side` cells that hold the surface, as far as it is known; None for a typical surface.
            side: Their side in cells.

        Raises:
            InputError: If it does not fit; says the largest resolution that does.
        """
        density = TYPICAL_BLOCKS if blocks is None else blocks * (side / BLOCK) ** 2 / resolution**2
        a_square = BLOCK_BYTES * density + (1 if self.sparse else SLAB_BYTES)
        needed = PROCESS_BYTES + a_square * resolution**2
        if needed <= self.memory:
            return
        # Blocks grow with the square of the resolution only on average: some room, so that the advice holds.
        largest = math.floor(0.95 * math.sqrt(max(0.0, self.memory - PROCESS_BYTES) / a_square))
        advice = (
            f"the largest that fits is about {largest}" if largest >= 2 else "no resolution fits; allow 1GB or more"
        )
        raise InputError(
            f"resolution {resolution} needs about {needed / 1e9:.1f} GB, more than the {self.memory / 1e9:.2g} GB of "
            f"--memory; {advice}"
        )
