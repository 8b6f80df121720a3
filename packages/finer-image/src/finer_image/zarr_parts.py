"""Read the windows of a Zarr array that are asked for, from a folder of either format version."""

import importlib
import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from finer_image.image_source import DecodedImage, ImageSource, file_error
from finer_image.library_guard import reading
from finer_image.nodata import nodata_of_attributes
from finer_image.part_reader import BlockReader, Parts
from finer_image.zarr_metadata import ZarrMetadata, read_metadata, stored_chunks

_BLOSC_HEADER = struct.Struct("<4xI4xI")
"""Version, flags, bytes that come out, size of a block, bytes that are there."""

_WIDEST = 8
"""Times that filters may make values longer: a byte may become a double."""


def import_zarr(path: Path) -> Any:
    """Import the library.

    Raises:
        InputError: It is not installed; the line says what to install.
    """
    try:
        return importlib.import_module("zarr")
    except ImportError as error:
        raise file_error(path, f"Zarr needs an extra ({error}): pip install 'finer-image[zarr]'") from None


def open_zarr(source: ImageSource) -> Parts:
    """Open a Zarr array of (height, width) or (height, width, channels) for reading in parts.

    Args:
        source: The array's folder; nothing of it is open.

    Returns:
        The parts.

    Raises:
        InputError: The library is missing, or the folder holds no such array of real numbers in codecs that are known
            to be harmless; see `finer_image.zarr_metadata`.
    """
    zarr = import_zarr(source.path)
    old = zarr.__version__.startswith("2.")
    metadata = read_metadata(source.path, versions=(2,) if old else (3, 2))
    height, width, channels = (*metadata.shape, 1)[:3]
    files, nbytes = stored_chunks(source.path)
    replace(source, file_bytes=nbytes).check_size(
        height=height, width=width, channels=channels, item_bytes=metadata.dtype.itemsize, in_parts=True
    )
    # A store of its own class: by a path's name the library would choose others, such as N5, with other metadata.
    if old:
        array = zarr.open_array(zarr.storage.DirectoryStore(str(source.path)), mode="r", zarr_version=2)
    else:
        store = zarr.storage.LocalStore(str(source.path), read_only=True)
        array = zarr.open_array(store, mode="r", zarr_format=metadata.version)
    if (tuple(array.shape), tuple(array.chunks), np.dtype(array.dtype)) != (
        metadata.shape,
        metadata.chunks,
        metadata.dtype,
    ):
        raise source.error("is read as another array than its metadata says; write it again")
    if files < metadata.files:
        source.note(
            f"{metadata.files - files} of its {metadata.files} chunks are not stored and are read as its fill value, "
            f"{metadata.fill_value!r}"
        )
    reader = _ChunkReader(source.path, array, shape=(height, width, channels), metadata=metadata)
    # In format 3 xarray keeps the two apart.
    fill_value = metadata.fill_value if metadata.version == 2 else None
    nodata = nodata_of_attributes(metadata.attributes, metadata.dtype, fill_value=fill_value)
    return Parts(reader, lambda samples: DecodedImage(pixels=samples, nodata=nodata), channels)


class _ChunkReader(BlockReader):
    """Read chunks, all channels of them."""

    def __init__(self, path: Path, array: Any, *, shape: tuple[int, int, int], metadata: ZarrMetadata) -> None:
        super().__init__(
            shape=shape,
            dtype=metadata.dtype,
            block=(metadata.chunks[0], metadata.chunks[1]),
            loading_bytes=metadata.chunk_bytes,  # also of what sticks out of the array
        )
        self._path, self._array, self._metadata = path, array, metadata

    def load(self, row: int, column: int) -> np.ndarray:
        """Decode one chunk."""
        tall, wide = self.piece
        top, left = row * tall, column * wide
        with reading(self._path, "Zarr array", place=f" at row {top}, column {left}"):
            if self._metadata.blosc_separator:
                self._check_blosc(row, column)
            values = np.asarray(self._array[top : top + tall, left : left + wide])
        return values.reshape(*values.shape[:2], self.shape[2])

    def _check_blosc(self, row: int, column: int) -> None:
        """Refuse chunks that are shorter than their header says: older versions of numcodecs read on behind them."""
        shape, chunks = self._metadata.shape, self._metadata.chunks
        deep = [(number,) for number in range(math.ceil(shape[2] / chunks[2]))] if len(shape) == 3 else [()]
        for last in deep:
            name = self._metadata.blosc_separator.join(str(number) for number in (row, column, *last))
            chunk = self._path / name
            if not chunk.is_file():
                continue
            with chunk.open("rb") as handle:
                header = handle.read(_BLOSC_HEADER.size)
            if len(header) < _BLOSC_HEADER.size:
                raise ValueError(f"chunk {name} has {len(header)} bytes")
            unpacked, packed = _BLOSC_HEADER.unpack(header)
            if packed > chunk.stat().st_size or unpacked > _WIDEST * self._metadata.chunk_bytes:
                raise ValueError(f"chunk {name} is shorter or longer than it says")
