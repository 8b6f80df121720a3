"""An image that stays on disk: its kind is known, its pixels are read when they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_image.image_source import DecodedImage, file_error
from finer_image.part_reader import PartReader
from finer_image.pixels import DTYPES, Image, mode_of
from finer_image.raster import Raster
from finer_image.value_range import extremes_of, interval_of, row_blocks

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
        mode: See `Raster`, like the rest.
        value_range: (low, high).
        channel_names: Always empty.
        icc_profile: Colour profile, or None.
        source_mode: The file's own mode where it differs.
    """

    path: Path
    reader: PartReader
    pixels_of: Callable[[np.ndarray], np.ndarray]
    channels_of_pixels: int
    type_of_pixels: np.dtype
    mode: str
    value_range: tuple[float, float]
    channel_names: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    source_mode: str = ""

    @classmethod
    def of(cls, path: Path, reader: PartReader, decoded: Callable[[np.ndarray], DecodedImage]) -> "DiskImage":
        """Find out what a file holds, by reading one pixel; then walk over it once, unless it is 8-bit.

        The walk finds the value range and refuses NaN and infinite values, block by block. The pixels of 8-bit images
        span 0 to 255 whatever they are.

        Args:
            path: The file or folder.
            reader: Reads its samples.
            decoded: Turns samples (H, W) or (H, W, S), any window, into pixels.

        Returns:
            The image.

        Raises:
            InputError: The file is cut, its pixels are of no type that is supported, stored turned, or not finite.
        """

        def pixels_of(samples: np.ndarray) -> np.ndarray:
            pixels = decoded(samples[:, :, 0] if samples.shape[2] == 1 else samples).pixels
            if pixels.dtype == np.bool_:
                pixels = pixels.astype(np.uint8) * np.uint8(255)
            pixels = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
            return pixels[:, :, None] if pixels.ndim == 2 else pixels

        samples = reader.read(range(1), range(1))
        first = decoded(samples[:, :, 0] if samples.shape[2] == 1 else samples)
        if first.orientation not in (0, 1):
            raise file_error(path, f"is stored turned (orientation {first.orientation}); save it upright")
        pixels = pixels_of(samples)
        if pixels.dtype.name not in DTYPES:
            raise file_error(path, f"holds {pixels.dtype} values; convert them to one of {', '.join(DTYPES)}")
        image = cls(
            path=path,
            reader=reader,
            pixels_of=pixels_of,
            channels_of_pixels=pixels.shape[2],
            type_of_pixels=pixels.dtype,
            mode=first.mode or mode_of(pixels.shape[2]),
            value_range=(0.0, 255.0),
            icc_profile=first.icc_profile,
            source_mode=first.source_mode or ("1" if samples.dtype == np.bool_ else ""),
        )
        return image if image.dtype == np.uint8 else image._with_range()

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

    def in_memory(self) -> Image:
        """Return the whole image, held in memory."""
        return Image.from_metadata(self.to_metadata(), pixels=self.read(slice(None)))

    def _with_range(self) -> "DiskImage":
        blocks = ((rows.start, self.read(rows)) for rows in row_blocks(self.shape))
        try:
            value_range = interval_of(*extremes_of(blocks), dtype=self.dtype)
        except InputError as error:
            raise error if str(error).startswith(str(self.path)) else file_error(self.path, error) from None
        return replace(self, value_range=value_range)
