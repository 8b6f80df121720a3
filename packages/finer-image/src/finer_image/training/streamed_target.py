"""The training target of an image on disk: tiles of the current round in memory, the next round's read ahead."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from finer_core.coords import axis_coords, coords_of_index
from finer_core.parallel import as_here
from finer_image.io.lazy_image import DiskImage
from finer_image.training.objective import PixelTarget
from finer_image.training.tiles import TiledPixels


class DiskTarget:
    """Serve batches, coordinates and target values of an image that stays on disk.

    It is both the target and the sampler of an `ImageObjective`. Without a sampler the full batch streams through the
    rows, every step.

    Args:
        image: The image.
        sampler: Chooses tiles and pixels; None for the full batch.
        target_range: (low, high) that the value range is mapped to; see `PixelTarget`.
        device: Where batches go.
    """

    def __init__(
        self,
        image: DiskImage,
        *,
        sampler: TiledPixels | None,
        target_range: tuple[float, float],
        device: str = "cpu",
    ) -> None:
        self.image, self.sampler = image, sampler
        self.channels, self.device = image.channels, torch.device(device)
        self.with_data = len(self) - image.missing
        self._target_range = target_range
        self._axes = (
            axis_coords(image.height, device=device, dtype=PixelTarget.dtype),
            axis_coords(image.width, device=device, dtype=PixelTarget.dtype),
        )
        self._current: tuple[int, Tensor, PixelTarget] | None = None
        self._ahead: tuple[int, Future[tuple[Tensor, PixelTarget]]] | None = None
        self._spare: int | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="finer-read-ahead")

    def __len__(self) -> int:
        return self.image.height * self.image.width

    def batch(self, step: int) -> Tensor:
        """Return the pixel numbers of a step's batch, with the tiles that they are in read."""
        assert self.sampler is not None
        self._turn_to(self.sampler.round_of(step))
        batch = self.sampler.batch(step)
        assert self._current is not None
        has_data = self._current[2].has_data
        if has_data is None:
            return batch
        kept = batch[has_data[self._places_in_tiles(batch.to(self.device)).cpu()]]
        return kept if len(kept) else torch.tensor([self._a_pixel_with_data()])

    def _a_pixel_with_data(self) -> int:
        """Return the number of the image's first pixel with data, for batches that would have none."""
        rows = iter(range(self.image.height))
        while self._spare is None:
            row = next(rows)
            missing = self.image.missing_in(self.image.read(slice(row, row + 1)))
            if missing is None or not missing.all():
                self._spare = row * self.image.width + (0 if missing is None else int(np.argmin(missing)))
        return self._spare

    def at(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return coords (n, 2) and targets (n, channels).

        Args:
            index: (n,) pixel numbers of the last batch, or any slice of all pixels; those with data are read now.

        Raises:
            ValueError: If a pixel is not in the tiles of the current round.
            InputError: If the file cannot be read.
        """
        if self._spare is not None and not isinstance(index, slice) and index.tolist() == [self._spare]:
            index = slice(self._spare, self._spare + 1)
        if not isinstance(index, slice):
            return coords_of_index(index, self._axes), self._from_tiles(index)
        start, stop, _ = index.indices(len(self))
        run = self._run(start, stop)
        number = torch.arange(start, stop, device=self.device)
        values = run.values(slice(None))
        if run.has_data is not None:
            has_data = run.has_data.to(self.device)
            number, values = number[has_data], values[has_data]
        return coords_of_index(number, self._axes), values

    def _run(self, start: int, stop: int) -> PixelTarget:
        """Return what serves neighboring pixels, in a row of their own."""
        width = self.image.width
        first, last = start // width, (stop - 1) // width
        columns = slice(start - first * width, stop - first * width)
        if first == last:
            return self._served(self.image.read(slice(first, first + 1), columns))
        rows = self.image.read(slice(first, last + 1))
        return self._served(rows.reshape(1, -1, self.channels)[:, columns])

    def _served(self, pixels: np.ndarray) -> PixelTarget:
        return PixelTarget(
            pixels,
            value_range=self.image.value_range,
            target_range=self._target_range,
            device=str(self.device),
            missing=self.image.missing_in(pixels),
        )

    def _from_tiles(self, index: Tensor) -> Tensor:
        assert self._current is not None
        return self._current[2].values(self._places_in_tiles(index))

    def _places_in_tiles(self, index: Tensor) -> Tensor:
        """Return where pixels stand in the stack of the current round's tiles."""
        assert self.sampler is not None and self._current is not None
        (tall, wide), width = self.sampler.tile, self.image.width
        _, tiles, _ = self._current
        row, column = index // width, index % width
        tile = row // tall * self.sampler.tiles_across + column // wide
        slot = torch.searchsorted(tiles, tile).clamp_(max=len(tiles) - 1)
        if self.device.type == "cpu" and not torch.equal(tiles[slot], tile):  # elsewhere the question would cost a wait
            raise ValueError("the pixels are not of the current round's tiles; ask for a step's batch first")
        return (slot * tall + row % tall) * wide + column % wide

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
        return self._reader.submit(as_here(self._load), self.sampler.tiles(number))  # samplers are not for two threads

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
