"""What fitting, judging and reporting need of an image, wherever its pixels are: in memory or on disk."""

import base64
from abc import ABC, abstractmethod
from typing import Any

import numpy as np


class Raster(ABC):
    """Describe an image and give out any window of its pixels.

    `finer_image.pixels.Image` holds its pixels; `finer_image.disk_image.DiskImage` reads them when they are asked for.

    Attributes:
        mode: "L", "LA", "RGB", "RGBA" (straight alpha, last channel) or "CHANNELS" for anything else.
        value_range: (low, high) pixel values that 0 and 1 stand for.
        channel_names: Names of the channels where the file has them, else empty.
        icc_profile: Colour profile as stored in the file, or None.
        source_mode: The file's own mode where it differs; empty if it does not.
    """

    mode: str
    value_range: tuple[float, float]
    channel_names: tuple[str, ...]
    icc_profile: bytes | None
    source_mode: str

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
    def nbytes(self) -> int:
        """Bytes that all pixels would take in memory."""
        return self.height * self.width * self.channels * self.dtype.itemsize

    def to_metadata(self) -> dict[str, Any]:
        """Describe everything except the pixels in values that JSON holds.

        Returns:
            A dict for `Image.from_metadata`; the colour profile is base64 text.
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
        }
