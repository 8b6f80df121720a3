"""Hold one still image in its own number type, with what is needed to write the same kind of file again.

Nothing here knows about files. The reader makes an `Image`, a model file keeps `Image.to_metadata()`, and the
writer turns an `Image` back into the same kind of file.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_image.io.nodata import Nodata, nodata_of_text
from finer_image.io.raster import Raster, notes_of, survey
from finer_image.io.value_range import pixels_from_unit, row_blocks, unit_from_pixels

__all__ = ["DTYPES", "MODES", "MODE_CHANNELS", "Image", "mode_of", "pixels_from_unit", "unit_from_pixels"]

MODES = ("L", "LA", "RGB", "RGBA", "CHANNELS")
MODE_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
DTYPES = (
    *("uint8", "uint16", "uint32", "uint64"),
    *("int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64"),
)


LARGEST_SIDE = 10**7
"""Pixels of a side, of an image that is fitted and of one that is rendered, whatever its window."""


def mode_of(channels: int) -> str:
    """Name the mode that a channel count stands for when a file says nothing more.

    Args:
        channels: Number of channels, at least 1.

    Returns:
        "L", "LA", "RGB" or "RGBA" for 1 to 4 channels, else "CHANNELS".
    """
    return {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(channels, "CHANNELS")


def native(pixels: np.ndarray) -> np.ndarray:
    """Return (H, W) or (H, W, C) pixels as (H, W, C), in native byte order; bool becomes uint8 0 and 255.

    They are contiguous and may be written to: PyTorch takes no others.

    Raises:
        InputError: They are of no type that an image may have.
    """
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.name not in DTYPES:
        raise InputError(f"holds {pixels.dtype} values; convert them to one of {', '.join(DTYPES)}")
    pixels = np.require(pixels, pixels.dtype.newbyteorder("="), ["C", "W", "E"])
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class Image(Raster):
    """Hold an image's pixels with what is needed to write the same kind of file again.

    Make one with `Image.from_pixels`, which also normalizes the array; the constructor only checks.

    Args:
        pixels: (H, W, C) in the file's own dtype, native byte order, none infinite. 1-bit images are uint8 0 and
            255.
        mode: "L", "LA", "RGB", "RGBA" (straight alpha, last channel) or "CHANNELS" for anything else.
        value_range: (low, high) pixel values that 0 and 1 stand for; see `finer_image.io.value_range.interval_of`.
        channel_names: Names of the channels where the file has them (EXR), else empty.
        icc_profile: Color profile as stored in the file, or None.
        source_mode: The file's own mode where it differs, such as "1", "P" or "CMYK"; empty if it does not.
        nodata: Value of the pixels that hold no data, beside NaN, or None.
        missing: How many pixels hold no data.
        notes: What the user should know about what was read.

    Raises:
        ValueError: The fields contradict each other.

    Example:
        >>> import numpy as np
        >>> from finer_image import Image
        >>> image = Image.from_pixels(np.zeros((4, 6, 3), dtype=np.uint8))
        >>> image.mode, image.value_range, image.shape
        ('RGB', (0.0, 255.0), (4, 6, 3))
    """

    pixels: np.ndarray

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if len(shape) != 3 or 0 in shape:
            raise ValueError(f"pixels must be (height, width, channels) and not empty, got shape {shape}")
        if dtype.name not in DTYPES:
            raise ValueError(f"pixels of type {dtype} are not supported; use one of {', '.join(DTYPES)}")
        if self.mode not in MODES or MODE_CHANNELS.get(self.mode, shape[2]) != shape[2]:
            raise ValueError(f"mode {self.mode!r} does not fit {shape[2]} channels")
        low, high = self.value_range
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"value_range must be finite with low < high, got {self.value_range}")
        if self.channel_names and len(self.channel_names) != shape[2]:
            raise ValueError(f"{len(self.channel_names)} channel names given for {shape[2]} channels")

    @classmethod
    def from_pixels(
        cls,
        pixels: np.ndarray,
        *,
        mode: str | None = None,
        value_range: tuple[float, float] | None = None,
        channel_names: tuple[str, ...] = (),
        icc_profile: bytes | None = None,
        source_mode: str = "",
        nodata: Nodata = None,
        notes: Sequence[str] = (),
    ) -> "Image":
        """Build an image from an array, choosing what is not given.

        Args:
            pixels: (H, W) or (H, W, C); bool becomes uint8 0 and 255, any byte order becomes native.
            mode: Mode, or None to take it from the channel count.
            value_range: (low, high), or None to choose it.
            channel_names: One name for each channel, or empty.
            icc_profile: Color profile, or None.
            source_mode: The file's own mode where it differs.
            nodata: Value of the pixels that hold no data, or None; NaN always stands for none.
            notes: What the user should know about what was read.

        Returns:
            The image; its pixels are contiguous and share memory with `pixels` where nothing had to change.

        Raises:
            InputError: Wrong rank, no pixels, a dtype that is not a real number, infinite values, or no data.
        """
        if pixels.ndim not in (2, 3):
            raise InputError(f"has shape {pixels.shape}; give an array of (height, width) or (height, width, channels)")
        if pixels.size == 0:
            raise InputError(f"has shape {pixels.shape}, which holds no pixels")
        source_mode = source_mode or ("1" if pixels.dtype == np.bool_ else "")
        pixels = native(pixels)
        mode = mode or mode_of(pixels.shape[2])
        blocks = ((rows.start, pixels[rows]) for rows in row_blocks(pixels.shape))
        chosen_range, missing = survey(blocks, dtype=pixels.dtype, mode=mode, nodata=nodata)
        return cls(
            pixels=pixels,
            mode=mode,
            value_range=value_range or chosen_range,
            channel_names=channel_names,
            icc_profile=icc_profile,
            source_mode=source_mode,
            nodata=nodata,
            missing=missing,
            notes=(*notes, *notes_of(pixels.shape, missing=missing, nodata=nodata)),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        height, width, channels = self.pixels.shape
        return height, width, channels

    @property
    def dtype(self) -> np.dtype:
        """Type of a pixel value."""
        return self.pixels.dtype

    @property
    def working_bytes(self) -> int:
        """Bytes that this image and its reconstruction take in memory."""
        return 2 * self.pixels.nbytes

    def read(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """Return a window of the pixels, which shares their memory."""
        return self.pixels[rows, columns]

    def to_unit(self, pixels: np.ndarray | None = None) -> np.ndarray:
        """Map pixels to [0, 1] with this image's value range.

        Args:
            pixels: (...,) pixels on this image's scale, such as a block of its rows; None for all of them.

        Returns:
            (...,) float32; see `unit_from_pixels`.
        """
        return unit_from_pixels(self.pixels if pixels is None else pixels, value_range=self.value_range)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], *, pixels: np.ndarray) -> "Image":
        """Rebuild an image of the described kind around given pixels.

        Args:
            metadata: What `to_metadata` returned.
            pixels: (H, W, C) of the described dtype and channel count, any height and width.

        Returns:
            The image.

        Raises:
            InputError: The description is incomplete or contradicts itself or the pixels.
        """
        try:
            dtype, channels = np.dtype(metadata["dtype"]), int(metadata["channels"])
            if pixels.dtype != dtype or pixels.shape[2:] != (channels,):
                raise ValueError(f"{pixels.dtype} pixels of shape {pixels.shape} given for {channels} x {dtype}")
            low, high = metadata["value_range"]
            icc_profile = metadata["icc_profile"]
            nodata = metadata.get("nodata")  # models from before it was known have none
            return cls(
                pixels=pixels,
                mode=str(metadata["mode"]),
                value_range=(float(low), float(high)),
                channel_names=tuple(str(name) for name in metadata["channel_names"]),
                icc_profile=None if icc_profile is None else base64.b64decode(icc_profile, validate=True),
                source_mode=str(metadata["source_mode"]),
                nodata=nodata_of_text(str(nodata), dtype) if nodata is not None else None,
            )
        except KeyError as error:
            raise InputError(f"the image description has no {error}; it was not written by this package") from None
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the image description is not usable: {error}") from None
