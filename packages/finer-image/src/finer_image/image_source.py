"""Carry an open image file from the reader to the decoders, and keep imaging libraries in bounds."""

import contextlib
import importlib
import logging
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np

from finer_core.errors import InputError

# Pillow's own hard limit, twice its warning level. A larger image must not expand more than MAX_EXPANSION.
BOMB_PIXELS = 178_956_970
# Photographs and renderings expand 2 to 50 times; only nearly empty pictures, such as bombs, exceed this.
MAX_EXPANSION = 200

_PILLOW_LOCK = threading.RLock()


def file_error(path: Path, reason: object) -> InputError:
    """Make the one-line error for a file, for the caller to raise.

    Args:
        path: The file.
        reason: What is wrong and what to do, starting with a verb; line breaks are flattened.

    Returns:
        The error.
    """
    return InputError(" ".join(f"{path}: {reason}".split()))


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSource:
    """Describe an image file that is open for reading.

    Args:
        path: Where it is, for messages and for libraries that open files themselves.
        handle: The open file, at its start.
        file_bytes: Its length in bytes.
        memory_bytes: Most bytes the decoded pixels may take, or None for no limit.
    """

    path: Path
    handle: BinaryIO
    file_bytes: int
    memory_bytes: int | None = None

    def error(self, reason: object) -> InputError:
        """Make the one-line error for this file; see `file_error`."""
        return file_error(self.path, reason)

    def check_size(self, *, height: int, width: int, channels: int, item_bytes: int) -> None:
        """Refuse a declared size before anything of that size is allocated.

        Args:
            height: Declared rows.
            width: Declared columns.
            channels: Channels after decoding.
            item_bytes: Bytes of one decoded value.

        Raises:
            InputError: The image is empty, does not fit in `memory_bytes`, or is a decompression bomb.
        """
        size = f"{width} x {height} pixels of {channels} x {item_bytes} bytes"
        if min(height, width, channels) < 1:
            raise self.error(f"declares {size}, which is no image")
        decoded = height * width * channels * item_bytes
        if self.memory_bytes is not None and decoded > self.memory_bytes:
            raise self.error(
                f"needs {decoded:,} bytes ({size}) but --memory leaves {self.memory_bytes:,} for pixels; "
                "raise --memory, or store it as .npy, TIFF (not Lab or YCbCr) or Zarr, which are read in parts"
            )
        # Four channels count as a pixel: a bomb may as well declare one pixel of a thousand million channels.
        if height * width * max(1, channels // 4) > BOMB_PIXELS and decoded > MAX_EXPANSION * self.file_bytes:
            raise self.error(
                f"declares {size} in a file of {self.file_bytes:,} bytes, which looks like a decompression "
                "bomb; if it is genuine, store it uncompressed (.npy or .tif)"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImage:
    """Hold what a decoder found in a file, before it is turned upright and checked.

    Args:
        pixels: (H, W) or (H, W, C) as stored.
        mode: One of `finer_image.pixels.MODES`, or None to take it from the channel count.
        orientation: EXIF orientation, 1 to 8; anything else counts as 1, upright.
        channel_names: Names of the channels where the file has them.
        icc_profile: Colour profile that applies to `pixels`, or None.
        source_mode: The file's own mode where it differs from `mode`.
    """

    pixels: np.ndarray
    mode: str | None = None
    orientation: int = 1
    channel_names: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    source_mode: str = ""


def import_library(module: str, *, package: str, purpose: str) -> ModuleType:
    """Import an imaging library where it is needed, since start-up must not wait for it.

    Args:
        module: Import name.
        package: Name to install.
        purpose: What it is needed for, as in "16-bit PNG".

    Returns:
        The module.

    Raises:
        ImportError: It is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"needs the package {package} for {purpose} ({error}); pip install {package}") from None


@contextlib.contextmanager
def strict_pillow() -> Iterator[None]:
    """Let Pillow open images of any declared size, refuse truncated ones, and keep its warnings in.

    `ImageSource.check_size` does the size check with our own limits. Pillow has only module-wide switches for
    it, so they are set under a lock and put back.

    Yields:
        Nothing.
    """
    from PIL import Image as pillow
    from PIL import ImageFile

    with _PILLOW_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = pillow.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        pillow.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
        try:
            yield
        finally:
            pillow.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = saved


@contextlib.contextmanager
def silenced(logger_name: str) -> Iterator[None]:
    """Drop a library's log records: it reports each defect twice, and interlaced PNG as one.

    Args:
        logger_name: Name of the library's logger.

    Yields:
        Nothing.
    """

    def drop(record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger(logger_name)
    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)
