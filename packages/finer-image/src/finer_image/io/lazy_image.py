"""An image that stays on disk: its kind is known, its pixels are read when they are asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_image.io.image import mode_of, native
from finer_image.io.raster import Raster, notes_of, survey
from finer_image.io.source import file_error, named
from finer_image.io.value_range import row_blocks
from finer_image.io.windows.reader import PartReader, Parts

WORKING_BYTES = 160_000_000
"""Bytes of the tiles that are trained on, the next ones that are read ahead, and the band that is written."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DiskImage(Raster):
    """Read windows of an image that is too large for the memory; make one with `DiskImage.of`.

    Args:
        path: The file or folder.
        reader: Reads samples.
        pixels_of: Turns a window of samples into pixels.
        channels_of_pixels: Channels of the pixels, which may be more or fewer than samples: a palette's are three.
        type_of_pixels: Type of a pixel value, in native byte order.
        **rest: Attributes of a `Raster`; there are no channel names.
    """

    path: Path
    reader: PartReader
    pixels_of: Callable[[np.ndarray], np.ndarray]
    channels_of_pixels: int
    type_of_pixels: np.dtype

    @classmethod
    def of(cls, path: Path, parts: Parts, *, notes: Sequence[str] = ()) -> "DiskImage":
        """Find out what a file holds, by reading one pixel; then walk over it once, where `survey` needs that.

        The walk finds the value range, counts the pixels without data and refuses infinite values, block by block.

        Args:
            path: The file or folder.
            parts: Reads its samples and decodes them.
            notes: What the user should know about what is read.

        Returns:
            The image.

        Raises:
            InputError: The file is cut, its pixels are of no type that is supported, stored turned, or infinite.
        """

        def pixels_of(samples: np.ndarray) -> np.ndarray:
            return native(parts.decode(samples).pixels)

        samples = parts.reader.read(range(1), range(1))
        first = parts.decode(samples)
        if first.orientation not in (0, 1):
            raise file_error(path, f"is stored turned (orientation {first.orientation}); save it upright")
        try:
            pixels = pixels_of(samples)
        except InputError as error:
            raise named(path, error) from None
        image = cls(
            path=path,
            reader=parts.reader,
            pixels_of=pixels_of,
            channels_of_pixels=pixels.shape[2],
            type_of_pixels=pixels.dtype,
            mode=first.mode or mode_of(pixels.shape[2]),
            value_range=(0.0, 255.0),
            icc_profile=first.icc_profile,
            source_mode=first.source_mode or ("1" if samples.dtype == np.bool_ else ""),
            nodata=first.nodata,
        )
        blocks = ((rows.start, image.read(rows)) for rows in row_blocks(image.shape))
        try:
            value_range, missing = survey(blocks, dtype=image.dtype, mode=image.mode, nodata=image.nodata)
        except InputError as error:
            raise named(path, error) from None
        more = notes_of(image.shape, missing=missing, nodata=image.nodata)
        return replace(image, value_range=value_range, missing=missing, notes=(*notes, *more))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (*self.reader.shape[:2], self.channels_of_pixels)

    @property
    def dtype(self) -> np.dtype:
        """Type of a pixel value, in native byte order."""
        return self.type_of_pixels

    @property
    def working_bytes(self) -> int:
        """Bytes that this image and its reconstruction take in memory while it is fitted and judged."""
        return self.reader.cache_bytes + WORKING_BYTES

    def read(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """Return a window of the pixels, read now."""
        return self.pixels_of(self.reader.read(range(*rows.indices(self.height)), range(*columns.indices(self.width))))
