"""Stratified pixel batches: one pixel from every cell of a grid, every pixel once a pass.

Compared with a random permutation of all pixels, a batch that is spread evenly over the image estimates the gradient
with less noise: about +0.3 dB at equal steps. Nothing is stored but one number a cell, and the batch of a step is a
pure function of (seed, step), so resuming needs no state.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from finer_core.shapes import Int
from finer_core.training.transfer import send


class StratifiedPixels:
    """Draw the pixel numbers of each step's batch.

    The image is cut into cells of F = `cell_height` x `cell_width` pixels. Within a pass of F steps, step j takes from
    each cell the pixel `order[j] XOR mask[cell]`: a different one each step, independent between cells.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        batch_pixels: Pixels a batch should have; F is the nearest power of 2 to pixels / batch_pixels.
        seed: Chooses the whole sequence of batches.
        device: Where what `drawn` returns goes, once a pass. Batches are drawn on the CPU, so they are the same
            everywhere, and no step waits for the device to count pixels.
    """

    def __init__(
        self, *, height: int, width: int, batch_pixels: int, seed: int, device: torch.device | str = "cpu"
    ) -> None:
        if min(height, width, batch_pixels) < 1:
            raise ValueError(
                f"height, width and batch_pixels must be at least 1, got {height}, {width}, {batch_pixels}"
            )
        self.height, self.width, self.seed, self.device = height, width, seed, device
        self.cell_height, self.cell_width = cell_shape(height, width, batch_pixels)
        self._grid_height = -(-height // self.cell_height)
        self._grid_width = -(-width // self.cell_width)
        self._drawn: _Pass | None = None

    @property
    def steps_per_pass(self) -> int:
        """Return F, the steps after which every pixel was drawn once."""
        return self.cell_height * self.cell_width

    def batch(self, step: int) -> Int[Tensor, " n"]:
        """Return the flat, row-major pixel numbers of a step's batch.

        Args:
            step: 0-based step.

        Returns:
            (n,) int64 on the CPU, n about `batch_pixels` and at least 1; cells that stick out of the image give fewer.
        """
        drawn, j = self._pass_of(step)
        row, column = self.places(drawn.mask, drawn.order[j])
        pixel = row * self.width + column
        return pixel[(row < self.height) & (column < self.width)] if self.has_cut_cells else pixel

    @property
    def has_cut_cells(self) -> bool:
        """Return whether cells stick out of the image."""
        return bool(self.height % self.cell_height or self.width % self.cell_width)

    def drawn(self, step: int) -> tuple[Int[Tensor, " cells"], Int[Tensor, ""]]:
        """Return the mask of a step's pass, a number a cell, and the number () that the step adds to it by XOR.

        Both are on the device, for `places` there.
        """
        drawn, j = self._pass_of(step)
        return drawn.sent_mask, drawn.sent_order[j]

    def places(self, mask: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
        """Return row and column of every cell's pixel, of what `drawn` returned; some may be outside of the image."""
        offset = mask ^ number
        cell = torch.arange(len(offset), device=offset.device)
        row = cell // self._grid_width * self.cell_height + offset // self.cell_width
        return row, cell % self._grid_width * self.cell_width + offset % self.cell_width

    def _pass_of(self, step: int) -> tuple["_Pass", int]:
        number, j = divmod(step, self.steps_per_pass)
        if self._drawn is None or self._drawn.number != number:
            self._drawn = self._draw(number)
        return self._drawn, j

    def _draw(self, number: int) -> "_Pass":
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number) % 2**63)
        order = torch.randperm(self.steps_per_pass, generator=generator)
        mask = torch.randint(self.steps_per_pass, (self._grid_height * self._grid_width,), generator=generator)
        return _Pass(number, order, mask, send(order, self.device), send(mask, self.device))


class PixelsWithData:
    """Draw a sampler's batches without the pixels that hold no data.

    Args:
        sampler: Draws from all pixels, on the CPU; its batches should be larger in proportion (`enlarged_batch`).
        missing: (height, width) True for pixels without data; some have data.
    """

    def __init__(self, sampler: StratifiedPixels, missing: np.ndarray) -> None:
        self._sampler, self._has_data = sampler, torch.from_numpy(~missing.reshape(-1))
        self._spare = torch.tensor([int(np.argmin(missing))])

    def batch(self, step: int) -> Tensor:
        """Return the flat numbers of a step's pixels, at least one."""
        batch = self._sampler.batch(step)
        kept = batch[self._has_data[batch]]
        return kept if len(kept) else self._spare


def enlarged_batch(batch_pixels: int, *, pixels: int, missing: int) -> int:
    """Return how many of all pixels to draw, so that about `batch_pixels` of them have data."""
    return min(pixels, -(-batch_pixels * pixels // (pixels - missing)))


class _Pass(NamedTuple):
    """Hold what was drawn for a pass, on the CPU and on the device."""

    number: int
    order: Tensor
    mask: Tensor
    sent_order: Tensor
    sent_mask: Tensor


def cell_shape(height: int, width: int, batch_pixels: int) -> tuple[int, int]:
    """Return the sides of a cell, powers of 2 that fit into the image, as square as it allows."""
    cell_height = cell_width = 1
    while cell_height * cell_width * batch_pixels * 1.5 <= height * width:
        taller, wider = 2 * cell_height <= height, 2 * cell_width <= width
        if taller and (cell_height <= cell_width or not wider):
            cell_height *= 2
        elif wider:
            cell_width *= 2
        else:
            break
    return cell_height, cell_width
