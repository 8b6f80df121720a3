"""The image objective: mean squared error over pixels, in memory that does not grow with the batch."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.coords import axis_coords, coords_of_index
from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.ranks import part_of
from finer_core.parallel import worker_count
from finer_core.training import SMALLEST_CHUNK, SquaredError, StatelessObjective, accumulate_gradients
from finer_core.training.transfer import send
from finer_image.training.stratified import StratifiedPixels


class PixelTarget:
    """Serve coordinates and target values of any pixels, from the image in its own type.

    Formula: target = low + (high - low) (pixel - v_0) / (v_1 - v_0), with (v_0, v_1) the image's value range and
    (low, high) the method's target range.

    Args:
        pixels: (height, width, channels), any real type; kept as it is.
        value_range: (v_0, v_1).
        target_range: (low, high).
        device: Where batches go; the image is moved there too.
        missing: (height, width) True for pixels without data, of which none is ever served; None if there are none.

    Attributes:
        with_data: Number of pixels with data.
        has_data: (height * width,) True for those, or None if all have data.
    """

    dtype = torch.float32
    """Of coordinates and targets."""

    def __init__(
        self,
        pixels: np.ndarray,
        *,
        value_range: tuple[float, float],
        target_range: tuple[float, float],
        device: str = "cpu",
        missing: np.ndarray | None = None,
    ) -> None:
        height, width, channels = pixels.shape
        self.height, self.width, self.channels = height, width, channels
        flat = np.ascontiguousarray(pixels).reshape(-1, channels)
        # PyTorch indexes few unsigned types, so such pixels travel as the bit patterns of signed ones.
        self._unsigned = flat.dtype.itemsize * 8 if flat.dtype.kind == "u" and flat.dtype != np.uint8 else 0
        self._pixels = torch.from_numpy(flat.view(f"i{flat.dtype.itemsize}") if self._unsigned else flat).to(device)
        self.has_data = None if missing is None else torch.from_numpy(~missing.reshape(-1))
        self._places = None if missing is None else np.flatnonzero(~missing)
        self.with_data = height * width if self._places is None else len(self._places)
        self.device = self._pixels.device
        self._axes = (
            axis_coords(height, device=device, dtype=self.dtype),
            axis_coords(width, device=device, dtype=self.dtype),
        )
        low, high = target_range
        self._offset, self._span = value_range[0], value_range[1] - value_range[0]
        self._low, self._scale = low, high - low
        self._wide = torch.float64 if _needs_double(flat.dtype, value_range) else self.dtype

    def __len__(self) -> int:
        return self.height * self.width

    def at(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return coords (n, 2) and targets (n, channels) of pixels: numbers, or those with data in a slice."""
        if isinstance(index, slice) and self._places is not None:
            first, last = np.searchsorted(self._places, index.indices(len(self))[:2])
            index = torch.from_numpy(self._places[first:last]).to(self.device)
        values = self.values(index)
        if isinstance(index, slice):
            index = torch.arange(*index.indices(len(self)), device=self._pixels.device)
        return coords_of_index(index, self._axes), values

    def values(self, index: Tensor | slice) -> Tensor:
        """Return the targets (n, channels) of the pixels `index`."""
        values = self._pixels[index]
        if self._unsigned == 64:
            values = values.to(torch.float64) + 2.0**64 * (values < 0)
        elif self._unsigned:
            values = values.to(torch.int64) & (2**self._unsigned - 1)
        unit = ((values.to(self._wide) - self._offset) / self._span).to(self.dtype)
        return unit * self._scale + self._low


def _needs_double(dtype: np.dtype, value_range: tuple[float, float]) -> bool:
    """Return whether single precision cannot hold a range of pixels, or not its steps: then double precision scales.

    Every other image is scaled in single precision, which is faster.
    """
    most, least = float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_normal)
    span, largest = value_range[1] - value_range[0], max(map(abs, value_range))
    if not (largest <= most and least <= span <= most):
        return True
    is_finer = dtype == np.float64 or (dtype.kind in "iu" and dtype.itemsize >= 4)
    return is_finer and largest > _FAR * span


_FAR = 1000.0
"""Spans from zero beyond which single precision would round the values of a range to less than 14 bits of it."""


class Target(Protocol):
    """Serve coordinates and target values of pixels, in memory or on disk."""

    channels: int
    device: torch.device
    with_data: int

    def __len__(self) -> int:
        """Return the number of pixels."""
        ...

    def at(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return coords (n, 2) and targets (n, channels) of pixels: numbers, or those with data in a slice."""
        ...


class Sampler(Protocol):
    """Draw the pixels of each step."""

    def batch(self, step: int) -> Tensor:
        """Return the (n,) int64 flat, row-major pixel numbers of a step's batch."""
        ...


class ImageObjective(StatelessObjective):
    """Compute L = mean (f(x) - t)^2 over a batch of pixels and channels, piece by piece.

    Args:
        target: The image.
        sampler: Chooses each step's pixels; None for all of them, the published full batch.
        chunk_pixels: Most pixels that go through the network at once. Gradients accumulate over the pieces, so the
            result is the whole batch's up to rounding, and the pieces stay in the processor's cache.
        gradient_sum: Adds the other processes' gradients; None if there are none. Each process takes a contiguous part
            of every batch, and batches are in the order of rows, so that it touches its own part of the image alone.
    """

    def __init__(
        self,
        target: Target,
        *,
        sampler: Sampler | None,
        chunk_pixels: int,
        gradient_sum: GradientReducer | None = None,
    ) -> None:
        if chunk_pixels < 1:
            raise ValueError(f"chunk_pixels must be at least 1, got {chunk_pixels}")
        self.target, self.sampler, self.chunk_pixels = target, sampler, chunk_pixels
        self.gradient_sum = gradient_sum or GradientReducer()

    def backward(self, network: nn.Module, step: int) -> Tensor:
        """Accumulate the gradients of one step and return its loss, both of the whole batch."""
        pieces, count = self.pieces(step)
        loss = (
            accumulate_gradients(network, pieces, SquaredError(network, self.target.at, count=count))
            if pieces
            else torch.zeros((), device=self.target.device)  # a batch may have fewer pixels than there are processes
        )
        return self.gradient_sum(network, loss)

    @property
    def is_capturable(self) -> bool:
        """Return whether a CUDA graph can repeat a step: the image is there, and so are pixels' places."""
        on_device = isinstance(self.target, PixelTarget) and self.target.has_data is None
        drawn_there = self.sampler is None or isinstance(self.sampler, StratifiedPixels)
        return on_device and drawn_there and self.gradient_sum.ranks.is_alone

    def batch_tensors(self, step: int) -> Sequence[Tensor]:
        """Return what a step's pixels are computed from; nothing where it has all of them."""
        return self.sampler.drawn(step) if isinstance(self.sampler, StratifiedPixels) else ()

    def backward_of(self, network: nn.Module, *batch: Tensor) -> Tensor:
        """Do what `backward` does, of what `batch_tensors` returned."""
        if not isinstance(self.sampler, StratifiedPixels):
            return self.backward(network, 0)
        assert isinstance(self.target, PixelTarget)
        height, width = self.target.height, self.target.width
        row, column = self.sampler.places(*batch)
        pixels = row.clamp_max(height - 1) * width + column.clamp_max(width - 1)
        weights = None
        if self.sampler.has_cut_cells:  # pixels outside of the image stay in the batch, and count for nothing
            inside = ((row < height) & (column < width)).to(self.target.dtype)
            weights = (len(inside) / inside.sum() * inside)[:, None]
        pieces = self._slices(range(len(pixels)))
        error = SquaredError(
            network,
            lambda piece: self.target.at(pixels[piece]),
            count=len(pixels) * self.target.channels,
            weight_of=None if weights is None else weights.__getitem__,
        )
        return accumulate_gradients(network, pieces, error)

    def pieces(self, step: int) -> tuple[Sequence[Tensor | slice], int]:
        """Return this process's pieces of a step's pixels, and how many values the whole batch has."""
        if self.sampler is None:
            part = part_of(len(self.target), self.gradient_sum.ranks)
            return self._slices(range(part.start, part.stop)), self.target.with_data * self.target.channels
        batch = self.sampler.batch(step)
        mine = send(batch[part_of(batch.shape[0], self.gradient_sum.ranks)], self.target.device)
        return mine.split(self._rows(len(mine))) if len(mine) else (), batch.shape[0] * self.target.channels

    def _slices(self, part: range) -> list[slice]:
        starts = range(part.start, part.stop, self.chunk_pixels)
        return [slice(start, min(start + self.chunk_pixels, part.stop)) for start in starts]

    def _rows(self, pixels: int) -> int:
        """Return how many of so many pixels a piece has: on a CPU, few enough that every core gets one."""
        if self.target.device.type != "cpu":
            return self.chunk_pixels
        return min(self.chunk_pixels, max(SMALLEST_CHUNK, -(-pixels // worker_count())))
