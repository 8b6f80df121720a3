"""The image objective: mean squared error over pixels, in memory that does not grow with the batch."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.coords import axis_coords, coords_of_index
from finer_core.training import StatelessObjective, accumulate_gradients


class PixelTarget:
    """Serve coordinates and target values of any pixels, from the image in its own type.

    Formula: target = low + (high - low) (pixel - v_0) / (v_1 - v_0), with (v_0, v_1) the image's value range and
    (low, high) the method's target range.

    Args:
        pixels: (height, width, channels), any real type; kept as it is.
        value_range: (v_0, v_1).
        target_range: (low, high).
        device: Where batches go; the image is moved there too.
        dtype: Type of coordinates and targets.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        *,
        value_range: tuple[float, float],
        target_range: tuple[float, float],
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        height, width, channels = pixels.shape
        self.height, self.width, self.channels = height, width, channels
        self.dtype = dtype
        flat = np.ascontiguousarray(pixels).reshape(-1, channels)
        self._unsigned16 = flat.dtype == np.uint16
        # PyTorch indexes int16 but not every unsigned type, so 16-bit pixels travel as their bit pattern.
        stored = flat.view(np.int16) if self._unsigned16 else flat
        self._pixels = torch.from_numpy(stored if stored.dtype in _INDEXABLE else stored.astype(np.float64)).to(device)
        self.device = self._pixels.device
        self._axes = (
            axis_coords(height, device=device, dtype=dtype),
            axis_coords(width, device=device, dtype=dtype),
        )
        low, high = target_range
        self._offset, self._span = value_range[0], value_range[1] - value_range[0]
        self._low, self._scale = low, high - low

    def __len__(self) -> int:
        return self.height * self.width

    def at(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return coords (n, 2) and targets (n, channels) of the pixels `index` (numbers, or a slice of them)."""
        values = self.values(index)
        if isinstance(index, slice):
            index = torch.arange(*index.indices(len(self)), device=self._pixels.device)
        return coords_of_index(index, self._axes), values

    def values(self, index: Tensor | slice) -> Tensor:
        """Return the targets (n, channels) of the pixels `index`."""
        values = self._pixels[index]
        if self._unsigned16:
            values = values.to(torch.int32) & 0xFFFF
        unit = (values.to(self.dtype) - self._offset) / self._span
        return unit * self._scale + self._low


_INDEXABLE = (np.uint8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64)


class Target(Protocol):
    """Serve coordinates and target values of pixels, in memory or on disk."""

    channels: int
    device: torch.device

    def __len__(self) -> int:
        """Return the number of pixels."""
        ...

    def at(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return coords (n, 2) and targets (n, channels) of the pixels `index` (numbers, or a slice of them)."""
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
    """

    def __init__(self, target: Target, *, sampler: Sampler | None, chunk_pixels: int) -> None:
        if chunk_pixels < 1:
            raise ValueError(f"chunk_pixels must be at least 1, got {chunk_pixels}")
        self.target, self.sampler, self.chunk_pixels = target, sampler, chunk_pixels

    def backward(self, network: nn.Module, step: int) -> Tensor:
        """Accumulate the gradients of one step and return its loss."""
        pieces, count = self._pieces(step)

        def loss_of(index: Tensor | slice) -> Tensor:
            coords, values = self.target.at(index)
            loss: Tensor = (network(coords) - values).square().sum() / (count * self.target.channels)
            return loss

        return accumulate_gradients(network, pieces, loss_of)

    def _pieces(self, step: int) -> tuple[Sequence[Tensor | slice], int]:
        if self.sampler is None:
            count = len(self.target)
            starts = range(0, count, self.chunk_pixels)
            return [slice(start, min(start + self.chunk_pixels, count)) for start in starts], count
        batch = self.sampler.batch(step).to(self.target.device)
        return batch.split(self.chunk_pixels), batch.shape[0]
