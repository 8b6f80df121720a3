"""The occupancy grid: where in the box there is something to see."""

import base64
import binascii
import zlib
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from finer_core.errors import InputError
from finer_core.shapes import Bool, Float
from finer_core.training.transfer import send

_DECAY = 0.95
_POINTS_AT_ONCE = 1 << 17


class OccupancyGrid:
    """Remember the largest recent density of every cell of the box.

    Formula: d <- max(0.95 d, sigma at a random point of the cell), whenever a cell is looked at; a cell is occupied
    where d > min(mean d, threshold) (instant-ngp, as torch-ngp has it). The mean is over the cells that can hold
    something; because of it a fading field never loses all its cells.

    Args:
        resolution: Cells per axis.
        bound: Half the box's side.
        threshold: Density from which on a cell is occupied.
        device: Where it is kept.
        contracted: The box is of contracted space; see `contraction`.
    """

    def __init__(
        self,
        *,
        resolution: int,
        bound: float,
        threshold: float,
        device: torch.device | str = "cpu",
        contracted: bool = False,
    ) -> None:
        if resolution < 2:
            raise ValueError(f"resolution must be at least 2, got {resolution}")
        self.resolution, self.bound, self.threshold = resolution, bound, threshold
        self.contracted = contracted
        self.densities = torch.zeros(resolution, resolution, resolution, device=device)
        self.occupied = torch.ones(resolution, resolution, resolution, dtype=torch.bool, device=device)
        self.opened = self.occupied
        self._widened: dict[int, Tensor] = {}

    @property
    def cell(self) -> float:
        """Return a cell's side, in box units."""
        return 2 * self.bound / self.resolution

    @property
    def share(self) -> float:
        """Return the occupied share of the box."""
        return float(self.occupied.float().mean())

    def at(self, points: Float[Tensor, "*points 3"], *, widen: float = 0.0) -> Bool[Tensor, "*points"]:
        """Return whether the cells of points (..., 3) are occupied, or any cell within `widen` along each axis."""
        index = ((points + self.bound) * (1 / self.cell)).long().clamp_(0, self.resolution - 1)
        flat = (index[..., 0] * self.resolution + index[..., 1]) * self.resolution + index[..., 2]
        return self._grid(widen).view(-1)[flat]

    def _grid(self, widen: float) -> Tensor:
        cells = int(np.ceil(widen / self.cell - 1e-6)) if widen else 0
        if cells == 0:
            return self.occupied
        if cells not in self._widened:
            grid = self.occupied[None, None].float()
            for axis in range(3):  # one axis at a time: the same maximum for a fraction of the work
                kernel, padding = [1, 1, 1], [0, 0, 0]
                kernel[axis], padding[axis] = 2 * cells + 1, cells
                grid = F.max_pool3d(grid, tuple(kernel), stride=1, padding=tuple(padding))
            self._widened[cells] = grid[0, 0] > 0
        return self._widened[cells]

    @torch.no_grad()
    def update(
        self,
        density: Callable[[Tensor], Tensor],
        *,
        generator: torch.Generator,
        share: float = 1.0,
    ) -> None:
        """Look at the density again.

        Args:
            density: Maps points (n, 3) to sigmas (n,).
            generator: Source of the random points, on the CPU.
            share: Part of the open cells to look at, besides all occupied ones.
        """
        cells = self._chosen(share, generator)
        size = self.resolution
        corner = torch.stack([cells // (size * size), cells // size % size, cells % size], dim=-1).to(torch.float32)
        flat = self.densities.view(-1)
        seen = torch.empty(len(cells), device=flat.device)
        for start in range(0, len(cells), _POINTS_AT_ONCE):
            piece = corner[start : start + _POINTS_AT_ONCE]
            places = send(torch.rand(piece.shape, generator=generator), flat.device)
            seen[start : start + len(piece)] = density((piece + places) * self.cell - self.bound).float()
        flat[cells] = torch.maximum(flat[cells] * _DECAY, seen)
        self._judge()

    def _chosen(self, share: float, generator: torch.Generator) -> Tensor:
        """Return the cells to look at, each once: what is seen must stay right, so all occupied ones are among them."""
        if share >= 1:
            return self.opened.view(-1).nonzero()[:, 0]
        drawn = send(torch.rand(self.resolution**3, generator=generator) < share, self.opened.device)
        return ((drawn & self.opened.view(-1)) | self.occupied.view(-1)).nonzero()[:, 0]

    def _judge(self) -> None:
        # Both at once, for a GPU is waited for; double precision counts cells exactly.
        sums = torch.stack([self.densities.sum(dtype=torch.float64), self.opened.sum().double()])
        total, open_cells = sums.tolist()
        level = min(total / max(1.0, open_cells), self.threshold)
        self.occupied = (self.densities > level) & self.opened
        self._widened = {}

    def to(self, device: torch.device | str) -> None:
        """Go to a device."""
        self.densities, self.occupied = self.densities.to(device), self.occupied.to(device)
        self.opened, self._widened = self.opened.to(device), {}

    def open_only(self, cells: Bool[Tensor, "n n n"]) -> None:
        """Make every other cell empty for good; `cells` is a mask of the grid's shape."""
        self.opened = cells.to(self.occupied.device)
        self.occupied = self.occupied & self.opened
        self.densities[~self.opened] = 0
        self._widened = {}

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a resumed fit needs."""
        return {"densities": self.densities, "occupied": self.occupied.to(torch.uint8)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` returned.

        Raises:
            ValueError: If a density is negative.
        """
        if bool((state["densities"] < 0).any()):
            raise ValueError("a density of the occupancy grid is negative")
        self.densities = state["densities"].to(self.densities.device).clone()
        self.occupied = state["occupied"].to(self.densities.device).bool()
        self._widened = {}

    def to_text(self) -> str:
        """Return the occupied cells as text for a model file: bits, compressed, base64."""
        bits = np.packbits(self.occupied.cpu().numpy().reshape(-1))
        return base64.b64encode(zlib.compress(bits.tobytes(), 9)).decode()

    def load_text(self, text: str) -> None:
        """Take back what `to_text` returned.

        Raises:
            InputError: If it is not a grid of this size.
        """
        count = self.resolution**3
        try:
            unpack = zlib.decompressobj()
            raw = unpack.decompress(base64.b64decode(text, validate=True), (count + 7) // 8 + 1)
        except (binascii.Error, ValueError, TypeError, zlib.error) as error:
            raise InputError(f"the occupancy grid is damaged ({error})") from error
        if len(raw) != (count + 7) // 8:
            raise InputError(f"the occupancy grid has {len(raw)} bytes, expected {(count + 7) // 8}")
        bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8))[:count].astype(bool)
        self.occupied = torch.from_numpy(bits.reshape(self.occupied.shape)).to(self.occupied.device)
        self._widened = {}
