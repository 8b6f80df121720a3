"""Batches of an image on disk: from tiles that stay in memory for some steps, so that the disk is read in whole tiles.

A batch of single pixels from all over a large file would touch a page of the file, or decode a block of it, for each
pixel. Here the steps come in rounds. A round draws tiles, and each of its steps draws pixels from these tiles only.

What this does to the statistics of a batch:

- Every pixel of the image is as likely as any other to be in the batch of any step, so the gradient is unbiased.
- Tiles are stratified over the image as `StratifiedPixels` stratifies pixels: one tile from every cell of a grid, every
  tile once a pass. Pixels are stratified over the tiles in the same way: every pixel of a round's tiles at most once
  before any comes again.
- Of an uncompressed file a round has as many tiles as a batch has pixels, so that the pixels of one batch are spread
  over the image as in memory. Of a compressed file fewer tiles are affordable; then pixels of one tile, which resemble
  each other, share a batch, and its gradient is as noisy as that of a smaller batch.
- The batches of one round share their tiles: that part of the noise does not average out before the next round.
- The batch of a step is a pure function of (seed, step): resuming needs no state.
"""

import math

import numpy as np
from torch import Tensor

from finer_core.shapes import Int
from finer_image.io.lazy_image import DiskImage
from finer_image.training.stratified import StratifiedPixels

_BYTES_A_STEP = 1_000_000
"""What a step may cost in bytes that are read or decoded: about a tenth of a core at 20 steps a second."""
_BYTES_A_ROUND = 256_000_000
"""The same for a round; the first one is waited for."""
_BYTES_HELD = 32_000_000
"""What a round's tiles may take in memory."""
_PAGE = 4096
_FEWEST_TILES, _FEWEST_STEPS, _MOST_STEPS = 64, 16, 256


class TiledPixels:
    """Draw the tiles of each round and the pixel numbers of each step's batch.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        batch_pixels: Pixels a batch should have; see `StratifiedPixels`.
        seed: Chooses the whole sequence.
        tile: Rows and columns of a tile, powers of 2, no larger than the image.
        tiles_a_round: Tiles that a round should have.
        steps_a_round: Steps that share their tiles.
    """

    def __init__(
        self,
        *,
        height: int,
        width: int,
        batch_pixels: int,
        seed: int,
        tile: tuple[int, int],
        tiles_a_round: int,
        steps_a_round: int,
    ) -> None:
        if min(height, width, batch_pixels, *tile, tiles_a_round, steps_a_round) < 1:
            raise ValueError("sizes and counts must be at least 1")
        self.height, self.width, self.seed, self.tile = height, width, seed, tile
        self.batch_pixels, self.steps_a_round = batch_pixels, steps_a_round
        rows, self.tiles_across = math.ceil(height / tile[0]), math.ceil(width / tile[1])
        self._tiles = StratifiedPixels(height=rows, width=self.tiles_across, batch_pixels=tiles_a_round, seed=seed)
        self._typical = rows * self.tiles_across / self._tiles.steps_per_pass
        self._drawn: tuple[int, Tensor, StratifiedPixels] | None = None

    def round_of(self, step: int) -> int:
        """Return the round that a step belongs to."""
        return step // self.steps_a_round

    def tiles(self, number: int) -> Int[Tensor, " m"]:
        """Return the (m,) int64 numbers of a round's tiles, row-major over the grid of tiles, in rising order."""
        return self._tiles.batch(number).sort().values

    def batch(self, step: int) -> Int[Tensor, " n"]:
        """Return the flat, row-major pixel numbers of a step's batch, ordered by tile.

        Args:
            step: 0-based step.

        Returns:
            (n,) int64, n about `batch_pixels` and at least 1; tiles that stick out of the image give fewer.
        """
        number = self.round_of(step)
        if self._drawn is None or self._drawn[0] != number:
            self._drawn = (number, *self._round(number))
        _, tiles, pixels = self._drawn
        tall, wide = self.tile
        place = pixels.batch(step - number * self.steps_a_round).sort().values
        tile, inside = tiles[place // (tall * wide)], place % (tall * wide)
        row = tile // self.tiles_across * tall + inside // wide
        column = tile % self.tiles_across * wide + inside % wide
        kept = (row < self.height) & (column < self.width)
        if not kept.any():  # a tiny batch of which every pixel stuck out
            return tiles[:1] // self.tiles_across * tall * self.width + tiles[:1] % self.tiles_across * wide
        return (row * self.width + column)[kept]

    def _round(self, number: int) -> tuple[Tensor, StratifiedPixels]:
        """Return a round's tiles, and the sampler of the picture that they make when stacked."""
        tiles = self.tiles(number)
        seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1, np.uint64)[0]) % 2**62
        pixels = StratifiedPixels(
            height=len(tiles) * self.tile[0],
            width=self.tile[1],
            batch_pixels=max(1, round(self.batch_pixels * len(tiles) / self._typical)),
            seed=seed,
        )
        return tiles, pixels


def tiled_pixels_of(image: DiskImage, *, batch_pixels: int, seed: int) -> TiledPixels:
    """Choose tiles for an image: as many as a step has pixels if they can be read in the time of a round's steps.

    A tile lies in a piece of the file that is read or decoded anyway, and holds the pixels that a round draws from it.
    """
    pixel_bytes = image.channels * image.dtype.itemsize
    cost = max(_PAGE, image.reader.piece_bytes)
    tiles = max(_FEWEST_TILES, min(batch_pixels, _BYTES_A_ROUND // cost))
    steps = min(max(_FEWEST_STEPS, tiles * cost // _BYTES_A_STEP), _MOST_STEPS)
    most = _power_of_2(max(1, _BYTES_HELD // (tiles * pixel_bytes)))
    area = min(max(128, 2 * _power_of_2(max(1, batch_pixels * steps // tiles))), most)
    tall = _power_of_2(min(image.reader.piece[0], image.height))
    wide = _power_of_2(min(image.reader.piece[1], image.width))
    while tall * wide > area:
        tall, wide = (tall // 2, wide) if tall > wide else (tall, wide // 2)
    return TiledPixels(
        height=image.height,
        width=image.width,
        batch_pixels=batch_pixels,
        seed=seed,
        tile=(tall, wide),
        tiles_a_round=tiles,
        steps_a_round=steps,
    )


def _power_of_2(number: int) -> int:
    """Return the greatest power of 2 that is not above a number."""
    return 1 << (number.bit_length() - 1)
