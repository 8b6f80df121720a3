"""Read any window of an image that stays on disk, in memory that does not grow with the image."""

import itertools
import math
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from finer_image.io.source import DecodedImage, ImageSource
from finer_image.io.windows.positioned_file import PositionedFile


class PartReader(ABC):
    """Give out windows of the samples as they are stored.

    Attributes:
        shape: Height, width and samples a pixel.
        dtype: Type of a sample, in the file's byte order.
        piece: Rows and columns of the smallest window worth reading: what the disk or the decoder brings anyway.
        piece_bytes: Bytes that are read or decoded to get such a window.
        cache_bytes: Most bytes that the reader keeps in memory.
        whole_bytes: Most bytes that reading the whole image takes beside the image.
        whole_rows: Rows to read at once for that.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    piece: tuple[int, int]
    piece_bytes: int
    cache_bytes: int
    whole_bytes: int
    whole_rows: int

    @abstractmethod
    def read(self, rows: range, columns: range) -> np.ndarray:
        """Return (rows, columns, samples), not to be changed; both ranges lie inside the image and have step 1.

        Raises:
            InputError: That part of the file is cut or corrupt.
        """


_PLAIN_BYTES = 4_000_000
"""Bytes of plain samples that are read at once."""


class PlainReader(PartReader):
    """Read samples that stand one after another, uncompressed.

    Args:
        file: The file.
        offset: Place of the first sample.
        shape: Height, width and samples a pixel.
        dtype: Type of a sample.
        axes: Order of the axes in the file, slowest first: "YXC" as usual, "CYX" for planes, "CXY" for Fortran's order.
    """

    cache_bytes = 0

    def __init__(
        self, file: PositionedFile, *, offset: int, shape: tuple[int, int, int], dtype: np.dtype, axes: str = "YXC"
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._file, self._offset, self._axes = file, offset, axes
        self.piece = (1, 128) if axes.index("X") > axes.index("Y") else (128, 1)
        self.piece_bytes = math.prod(self.piece) * shape[2] * dtype.itemsize
        self.whole_rows = max(1, min(shape[0], _PLAIN_BYTES // (shape[1] * shape[2] * dtype.itemsize)))
        self.whole_bytes = 2 * self.whole_rows * shape[1] * shape[2] * dtype.itemsize
        if axes == "CXY":  # a few rows would be a few numbers here and there
            self.whole_rows, self.whole_bytes = shape[0], math.prod(shape) * dtype.itemsize

    def read(self, rows: range, columns: range) -> np.ndarray:
        """Return (rows, columns, samples), one read for each run of neighbors."""
        wanted = dict(zip("YXC", (rows, columns, range(self.shape[2])), strict=True))
        sizes = dict(zip("YXC", self.shape, strict=True))
        window = [wanted[axis] for axis in self._axes]
        size = [sizes[axis] for axis in self._axes]
        stride = [size[1] * size[2], size[2], 1]
        # Axes that are wanted whole join the one before them in a run.
        runs_along = 2
        while runs_along and len(window[runs_along]) == size[runs_along]:
            runs_along -= 1
        out = np.empty([len(axis) for axis in window], dtype=self.dtype)
        runs = out.reshape(math.prod(out.shape[:runs_along]), -1)
        for run, index in zip(runs, itertools.product(*window[:runs_along]), strict=True):
            start = window[runs_along].start * stride[runs_along]
            start += sum(i * step for i, step in zip(index, stride, strict=False))
            self._file.read_into(run, offset=self._offset + start * self.dtype.itemsize)
        return out.transpose([self._axes.index(axis) for axis in "YXC"])


class BlockReader(PartReader):
    """Read an image that is stored in blocks, each of which is decoded whole; two rows of blocks are kept decoded.

    Args:
        shape: Height, width and samples a pixel.
        dtype: Type of a sample.
        block: Rows and columns of a block.
        loading_bytes: Bytes that decoding a block takes beside what comes out.
    """

    def __init__(
        self, *, shape: tuple[int, int, int], dtype: np.dtype, block: tuple[int, int], loading_bytes: int = 0
    ) -> None:
        height, width, samples = shape
        self.shape, self.dtype = shape, dtype
        self.piece = (min(block[0], height), min(block[1], width))
        self.piece_bytes = math.prod(self.piece) * samples * dtype.itemsize
        # Whoever walks over the rows, in bands that overlap, decodes each block once.
        self._most_kept = 2 * math.ceil(width / self.piece[1])
        self.cache_bytes = self._most_kept * self.piece_bytes + loading_bytes
        self.whole_rows = self.piece[0]
        self.whole_bytes = loading_bytes if self.piece == (height, width) else self.cache_bytes
        self._kept: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    @abstractmethod
    def load(self, row: int, column: int) -> np.ndarray:
        """Decode the block of that row and column of blocks: (rows, columns, samples), at the border perhaps smaller.

        Raises:
            InputError: The block is cut or corrupt.
        """

    def read(self, rows: range, columns: range) -> np.ndarray:
        """Return (rows, columns, samples), put together from blocks."""
        if self._is_one_block(rows, columns):
            return self._block(0, 0)  # the whole image, which may just fit into the memory once
        out = np.empty((len(rows), len(columns), self.shape[2]), dtype=self.dtype)
        tall, wide = self.piece
        for row in range(rows.start // tall, (rows.stop - 1) // tall + 1):
            for column in range(columns.start // wide, (columns.stop - 1) // wide + 1):
                top, left = row * tall, column * wide
                y0, y1 = max(rows.start, top), min(rows.stop, top + tall)
                x0, x1 = max(columns.start, left), min(columns.stop, left + wide)
                part = self._block(row, column)[y0 - top : y1 - top, x0 - left : x1 - left]
                out[y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start] = part
        return out

    def _is_one_block(self, rows: range, columns: range) -> bool:
        return (len(rows), len(columns)) == self.shape[:2] == self.piece

    def _block(self, row: int, column: int) -> np.ndarray:
        with self._lock:
            block = self._kept.pop((row, column), None)
            if block is None:
                while len(self._kept) >= self._most_kept:
                    self._kept.popitem(last=False)
                block = self.load(row, column)
            self._kept[row, column] = block
            return block


class Parts(NamedTuple):
    """Hold what reads samples, and what turns any window of them into pixels.

    Attributes:
        reader: Reads samples.
        decoded: Turns samples (rows, columns) or (rows, columns, S) into pixels.
        channels: Channels of the pixels.
    """

    reader: PartReader
    decoded: Callable[[np.ndarray], DecodedImage]
    channels: int

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return self.reader.shape[0] * self.reader.shape[1] * self.channels * self.reader.dtype.itemsize

    def decode(self, samples: np.ndarray) -> DecodedImage:
        """Turn samples (rows, columns, S), any window of them, into pixels."""
        return self.decoded(samples[:, :, 0] if samples.shape[2] == 1 else samples)

    def whole(self, source: ImageSource) -> DecodedImage:
        """Read and decode all of an image, if the limits of its source allow it.

        Raises:
            InputError: They do not, or the file is cut or corrupt.
        """
        height, width, _ = self.reader.shape
        source.check_size(
            height=height,
            width=width,
            channels=self.channels,
            item_bytes=self.reader.dtype.itemsize,
            beside=self.reader.whole_bytes,
        )
        step, columns = min(self.reader.whole_rows, height), range(width)
        first = self.decode(self.reader.read(range(step), columns))
        if step == height:
            return first
        pixels = np.empty((height, *first.pixels.shape[1:]), dtype=first.pixels.dtype)
        pixels[:step] = first.pixels
        for top in range(step, height, step):
            rows = range(top, min(top + step, height))
            pixels[rows.start : rows.stop] = self.decode(self.reader.read(rows, columns)).pixels
        return replace(first, pixels=pixels)
