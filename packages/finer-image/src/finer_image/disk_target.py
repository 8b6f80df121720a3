"""The training target of an image on disk: tiles of the current round in memory, the next round's read ahead."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from finer_core.coords import axis_coords, coords_of_index
from finer_image.disk_image import DiskImage
from finer_image.objective import PixelTarget
from finer_image.tile_sampling import TiledPixels


class DiskTarget:
    """Serve batches, coordinates and target values of an image that stays on disk.

    It is both the target and the sampler of an `ImageObjective`. Without a sampler the full batch streams through the
    rows, every step.

    Args:
        image: The image.
        sampler: Chooses tiles and pixels; None for the full batch.
        target_range: (low, high) that the value range is mapped to; see `PixelTarget`.
        device: Where batches go.
        dtype: Type of coordinates and targets.
    """

    def __init__(
        self,
        image: DiskImage,
        *,
        sampler: TiledPixels | None,
        target_range: tuple[float, float],
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.image, self.sampler = image, sampler
        self.channels, self.device, self.dtype = image.channels, torch.device(device), dtype
        self._target_range = target_range
        self._axes = (
            axis_coords(image.height, device=device, dtype=dtype),
            axis_coords(image.width, device=device, dtype=dtype),
        )
        self._current: tuple[int, Tensor, PixelTarget] | None = None
        self._ahead: tuple[int, Future[tuple[Tensor, PixelTarget]]] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="finer-read-ahead")

    def __len__(self) -> int:
        return self.image.height * self.image.width

    def batch(self, step: int) -> Tensor:
        """Return the pixel numbers of a step's batch, with the tiles that they are in read."""
        assert self.sampler is not None
        self._turn_to(self.sampler.round_of(step))
        return self.sampler.batch(step)

    def at(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return coords (n, 2) and targets (n, channels).

        Args:
            index: (n,) pixel numbers of the last batch, or any slice of all pixels, which is read now.

        Raises:
            ValueError: If a pixel is not in the tiles of the current round.
            InputError: If the file cannot be read.
        """
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            return coords_of_index(torch.arange(start, stop, device=self.device), self._axes), self._run(start, stop)
        return coords_of_index(index, self._axes), self._from_tiles(index)

    def _run(self, start: int, stop: int) -> Tensor:
        """Return the targets of neighbouring pixels."""
        width = self.image.width
        first, last = start // width, (stop - 1) // width
        if first == last:
            columns = slice(start - first * width, stop - first * width)
            return self._served(self.image.read(slice(first, first + 1), columns)).values(slice(None))
        rows = self._served(self.image.read(slice(first, last + 1)))
        return rows.values(slice(start - first * width, stop - first * width))

    def _served(self, pixels: np.ndarray) -> PixelTarget:
        return PixelTarget(
            pixels,
            value_range=self.image.value_range,
            target_range=self._target_range,
            device=str(self.device),
            dtype=self.dtype,
        )

    def _from_tiles(self, index: Tensor) -> Tensor:
        assert self.sampler is not None and self._current is not None
        (tall, wide), width = self.sampler.tile, self.image.width
        _, tiles, stack = self._current
        row, column = index // width, index % width
        tile = row // tall * self.sampler.tiles_across + column // wide
        slot = torch.searchsorted(tiles, tile).clamp_(max=len(tiles) - 1)
        if self.device.type == "cpu" and not torch.equal(tiles[slot], tile):  # elsewhere the question would cost a wait
            raise ValueError("the pixels are not of the current round's tiles; ask for a step's batch first")
        return stack.values((slot * tall + row % tall) * wide + column % wide)

    def _turn_to(self, number: int) -> None:
        """Make a round's tiles current and start reading the next round's."""
        if self._current is not None and self._current[0] == number:
            return
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] != number:  # the fit went back
            ahead[1].cancel()
            ahead = None
        self._current = (number, *(ahead[1] if ahead is not None else self._start_to_load(number)).result())
        self._ahead = (number + 1, self._start_to_load(number + 1))

    def _start_to_load(self, number: int) -> Future[tuple[Tensor, PixelTarget]]:
        assert self.sampler is not None
        return self._reader.submit(self._load, self.sampler.tiles(number))  # samplers are not for two threads

    def _load(self, tiles: Tensor) -> tuple[Tensor, PixelTarget]:
        """Read a round's tiles and stack them; what sticks out of the image stays zero and is never drawn."""
        assert self.sampler is not None
        tall, wide = self.sampler.tile
        stack = np.zeros((len(tiles), tall, wide, self.channels), dtype=self.image.dtype)
        for slot, tile in enumerate(tiles.tolist()):
            top, left = tile // self.sampler.tiles_across * tall, tile % self.sampler.tiles_across * wide
            part = self.image.read(slice(top, top + tall), slice(left, left + wide))
            stack[slot, : part.shape[0], : part.shape[1]] = part
        return tiles.to(self.device), self._served(stack.reshape(-1, wide, self.channels))
