"""Open an image of any size: in memory where it fits, else in parts where its format allows that."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from finer_image.decode_arrays import npy_layout
from finer_image.disk_image import DiskImage
from finer_image.image_reader import decode_guarded, open_file, read_image, recognise
from finer_image.image_source import DecodedImage, ImageSource, file_error
from finer_image.part_reader import PartReader, PlainReader
from finer_image.positioned_file import PositionedFile
from finer_image.raster import Raster
from finer_image.tiff_parts import open_tiff
from finer_image.zarr_parts import is_zarr, open_zarr

logger = logging.getLogger(__name__)


class _Parts(NamedTuple):
    """Hold what reads samples, what turns any window of them into pixels, and what a user should know about them."""

    reader: PartReader
    decoded: Callable[[np.ndarray], DecodedImage]
    note: str = ""


def open_image(path: str | os.PathLike[str], *, memory_bytes: int, cache_bytes: int) -> Raster:
    """Open one still image.

    .npy, TIFF and Zarr are read in parts when they are larger than `memory_bytes`; other formats, and smaller images,
    are decoded whole by `finer_image.image_reader.read_image`.

    Args:
        path: The file, or the folder of a Zarr array.
        memory_bytes: Most bytes that pixels may take in memory.
        cache_bytes: Most bytes that a reader in parts may keep decoded.

    Returns:
        An `Image` or a `DiskImage`.

    Raises:
        InputError: One line naming the file and the reason.
    """
    path = Path(path)
    parts = _parts_of(path)
    if parts is None:
        return read_image(path, memory_bytes=memory_bytes)
    reader = parts.reader
    height, width, samples = reader.shape
    if height * width * samples * reader.dtype.itemsize <= memory_bytes:
        if is_zarr(path):
            return _disk_image(path, parts).in_memory()
        return read_image(path, memory_bytes=memory_bytes)
    if reader.cache_bytes > cache_bytes:
        raise file_error(
            path,
            f"is stored in pieces of {reader.piece[0]}x{reader.piece[1]} pixels, two rows of which take "
            f"{reader.cache_bytes:,} bytes but --memory leaves {cache_bytes:,}; store it in smaller tiles",
        )
    return _disk_image(path, parts)


def open_in_parts(path: str | os.PathLike[str]) -> DiskImage:
    """Open a .npy, TIFF or Zarr image in parts, whatever its size.

    Raises:
        InputError: It is not of these formats, or cannot be read.
    """
    path = Path(path)
    parts = _parts_of(path)
    if parts is None:
        raise file_error(path, "cannot be read in parts; give a .npy, TIFF or Zarr image")
    return _disk_image(path, parts)


def _disk_image(path: Path, parts: _Parts) -> DiskImage:
    image = DiskImage.of(path, parts.reader, parts.decoded)
    if parts.note:
        logger.warning("%s: %s", path, parts.note)
    return image


def _parts_of(path: Path) -> _Parts | None:
    """Open a file for reading in parts; return None if its format cannot be."""
    if is_zarr(path):
        return _Parts(open_zarr(path), _as_stored)
    with open_file(path) as handle:
        source = ImageSource(path=path, handle=handle, file_bytes=os.fstat(handle.fileno()).st_size)
        format_name, _ = recognise(source)
        opener = {".npy": _npy_parts, "TIFF": _tiff_parts}.get(format_name)
        return None if opener is None else decode_guarded(source, format_name, opener)


def _npy_parts(source: ImageSource) -> _Parts:
    layout = npy_layout(source)
    height, width, channels = (*layout.shape, 1)[:3]
    reader = PlainReader(
        PositionedFile(source.path),
        offset=layout.offset,
        shape=(height, width, channels),
        dtype=layout.dtype,
        axes="CXY" if layout.fortran_order else "YXC",
    )
    return _Parts(reader, _as_stored)


def _tiff_parts(source: ImageSource) -> _Parts | None:
    opened = open_tiff(source)
    if opened is None:
        return None
    reader, kind, pages = opened
    return _Parts(reader, kind.decoded, f"has {pages} pages; only the first is used" if pages > 1 else "")


def _as_stored(samples: np.ndarray) -> DecodedImage:
    return DecodedImage(pixels=samples)
