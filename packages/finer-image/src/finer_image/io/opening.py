"""Open an image of any size: in memory where it fits, else in parts where its format allows that."""

import os

from finer_core.io.files import given_path
from finer_image.io.lazy_image import DiskImage
from finer_image.io.raster import Raster
from finer_image.io.reader import log_notes, opened, whole_image
from finer_image.io.source import file_error
from finer_image.io.windows.reader import Parts


def open_image(
    path: str | os.PathLike[str], *, memory_bytes: int, cache_bytes: int, working_bytes: int | None = None
) -> Raster:
    """Open one still image.

    .npy, TIFF and Zarr are read in parts when they are larger than `memory_bytes`; other formats, and smaller images,
    are decoded whole, as `finer_image.io.reader.read_image` does.

    Args:
        path: The file, or the folder of a Zarr array.
        memory_bytes: Most bytes that pixels may take in memory.
        cache_bytes: Most bytes that a reader in parts may keep decoded.
        working_bytes: Most bytes that decoding a whole image may take, its pixels included; None for no limit.

    Returns:
        An `Image` or a `DiskImage`.

    Raises:
        InputError: One line naming the file and the reason.
    """
    path = given_path(path)
    limits = {"memory_bytes": memory_bytes, "working_bytes": working_bytes}
    with opened(path, **limits, takes_parts=True) as (source, content):
        if not isinstance(content, Parts) or _fits(content, memory_bytes, working_bytes):
            return whole_image(source, content)
        reader = content.reader
        if reader.cache_bytes > cache_bytes:
            raise file_error(
                path,
                f"is stored in pieces of {reader.piece[0]}x{reader.piece[1]} pixels; two rows of them, and decoding, "
                f"take {reader.cache_bytes:,} bytes but --memory leaves {cache_bytes:,}; store it in smaller tiles",
            )
        image = DiskImage.of(path, content, notes=source.notes)
    log_notes(path, image.notes)
    return image


def _fits(parts: Parts, memory_bytes: int, working_bytes: int | None) -> bool:
    """Return whether an image, and what reading it takes, can be held in memory."""
    working = parts.nbytes + parts.reader.whole_bytes
    return parts.nbytes <= memory_bytes and (working_bytes is None or working <= working_bytes)


def open_in_parts(path: str | os.PathLike[str]) -> DiskImage:
    """Open a .npy, TIFF or Zarr image in parts, whatever its size.

    Raises:
        InputError: It is not of these formats, or cannot be read.
    """
    path = given_path(path)
    with opened(path, takes_parts=True) as (source, content):
        if not isinstance(content, Parts):
            raise source.error("cannot be read in parts; give a .npy, TIFF or Zarr image")
        return DiskImage.of(path, content, notes=source.notes)
