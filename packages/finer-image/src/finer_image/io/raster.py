"""What fitting, judging and reporting need of an image, wherever its pixels are: in memory or on disk."""

import base64
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_image.io.nodata import Nodata, missing_pixels
from finer_image.io.value_range import interval_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Raster(ABC):
    """Describe an image and give out any window of its pixels.

    `finer_image.io.image.Image` holds its pixels; `finer_image.io.lazy_image.DiskImage` reads them when they
    are asked for.

    Attributes:
        mode: "L", "LA", "RGB", "RGBA" (straight alpha, last channel) or "CHANNELS" for anything else.
        value_range: (low, high) pixel values that 0 and 1 stand for.
        channel_names: Names of the channels where the file has them, else empty.
        icc_profile: Color profile as stored in the file, or None.
        source_mode: The file's own mode where it differs; empty if it does not.
        nodata: Value of the pixels that hold no data, beside NaN, or None.
        missing: How many pixels hold no data; they are left out of the fit and of the figures.
        notes: What the user should know about what was read, a sentence each.
    """

    mode: str
    value_range: tuple[float, float]
    channel_names: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    source_mode: str = ""
    nodata: Nodata = None
    missing: int = 0
    notes: tuple[str, ...] = ()

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype:
        """Type of a pixel value, in native byte order."""

    @property
    @abstractmethod
    def working_bytes(self) -> int:
        """Bytes that this image and its reconstruction take in memory while it is fitted and judged."""

    @abstractmethod
    def read(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """Return a window of the pixels.

        Args:
            rows: The rows, with step 1.
            columns: The columns, with step 1.

        Returns:
            (rows, columns, channels) of `dtype`, not to be changed.
        """

    def missing_in(self, pixels: np.ndarray) -> np.ndarray | None:
        """Tell which of some of this image's pixels hold no data.

        Args:
            pixels: (..., C), a window of them.

        Returns:
            (...,) True where there is no data; None where there is data everywhere.
        """
        return missing_pixels(pixels, nodata=self.nodata, mode=self.mode) if self.missing else None

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.shape[1]

    @property
    def channels(self) -> int:
        """Number of channels, alpha included."""
        return self.shape[2]

    @property
    def pixels_with_data(self) -> int:
        """Number of pixels that hold data."""
        return self.height * self.width - self.missing

    @property
    def nbytes(self) -> int:
        """Bytes that all pixels would take in memory."""
        return self.height * self.width * self.channels * self.dtype.itemsize

    def to_metadata(self) -> dict[str, Any]:
        """Describe everything except the pixels in values that JSON holds.

        Returns:
            A dict for `Image.from_metadata`; the color profile is base64 text.
        """
        return {
            "height": self.height,
            "width": self.width,
            "channels": self.channels,
            "dtype": self.dtype.name,
            "mode": self.mode,
            "value_range": list(self.value_range),
            "channel_names": list(self.channel_names),
            "icc_profile": None if self.icc_profile is None else base64.b64encode(self.icc_profile).decode("ascii"),
            "source_mode": self.source_mode,
            "nodata": None if self.nodata is None else str(self.nodata),
            "missing": self.missing,
        }


def survey(
    blocks: Iterable[tuple[int, np.ndarray]], *, dtype: np.dtype, mode: str, nodata: Nodata
) -> tuple[tuple[float, float], int]:
    """Look at an image once: choose its value range, count the pixels without data, and reject infinite values.

    The values of 8-bit images span 0 to 255 whatever they are, so nobody looks where nothing can be missing.

    Args:
        blocks: Number of the first row and (rows, W, C) pixels of each block, from the top, at least one.
        dtype: Type of the pixels.
        mode: Mode of the image.
        nodata: Value of the pixels that hold no data, or None.

    Returns:
        (low, high) pixel values that 0 and 1 stand for, and the number of pixels without data.

    Raises:
        InputError: Some value is infinite; the line has the count of such values and the place of the first. Or no
            pixel holds data, or the range is too wide.
    """
    if dtype == np.uint8 and nodata is None:
        return interval_of(0.0, 0.0, dtype=dtype), 0
    low, high, without = np.inf, -np.inf, 0
    count, first = 0, ""
    for top, block in blocks:
        missing = missing_pixels(block, nodata=nodata, mode=mode)
        values = block if missing is None else block[~missing]
        if missing is not None:
            without += int(missing.sum())
        if block.dtype.kind == "f" and not np.isfinite(values).all():
            bad = ~np.isfinite(block) & (True if missing is None else ~missing[..., None])
            if not count:
                row, column, channel = (int(i) for i in np.argwhere(bad)[0])
                first = f"row {top + row}, column {column}, channel {channel} ({float(block[row, column, channel])})"
            count += int(bad.sum())
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if count:
        raise InputError(
            f"holds {count} infinite value{'s' * (count > 1)}, the first at {first}; "
            "replace them with finite numbers, or with NaN where there is no data"
        )
    if low > high:
        raise InputError("holds no pixel with data: all are NaN, or have the value that stands for 'no data' (nodata)")
    return interval_of(low, high, dtype=dtype), without


MOST_COLORS = 4
"""Channels that a picture has at most, and more rows than that."""


def notes_of(shape: tuple[int, int, int], *, missing: int, nodata: Nodata) -> tuple[str, ...]:
    """Say what is to be known of an image of (height, width, channels): pixels without data, and unlikely axes."""
    height, width, channels = shape
    notes = []
    if channels > MOST_COLORS >= height:
        read = f"{height} rows of {width} pixels with {channels} channels"
        notes.append(f"is read as {read}; move the axis (numpy.moveaxis) if its channels come first")
    if missing:
        named = "NaN" if nodata is None else f"nodata, {nodata}"
        left_out = f"{missing:,} of its {height * width:,} pixels hold no data ({named})"
        notes.append(f"{left_out}; they are left out of fit and figures")
    return tuple(notes)
