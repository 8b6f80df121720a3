"""Read the windows of a Zarr array that are asked for, from a folder of either format version."""

import importlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from finer_image.io.library_guard import reading
from finer_image.io.nodata import nodata_of_attributes
from finer_image.io.source import DecodedImage, ImageSource, file_error
from finer_image.io.value_meaning import note_of_attributes
from finer_image.io.windows.reader import BlockReader, Parts
from finer_image.io.windows.zarr_chunks import check_chunk, stored_chunks
from finer_image.io.windows.zarr_metadata import ZarrMetadata, read_metadata

_ROWS = ("y", "lat", "latitude", "northing", "row", "rows", "height")
_COLUMNS = ("x", "lon", "longitude", "easting", "col", "column", "columns", "width")
"""Names of axes."""
_OVERHEAD = 65536
"""Bytes that packing may add to a chunk, or an index to a shard, beyond doubling it."""


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
            to be harmless; see `finer_image.io.windows.zarr_metadata`.
    """
    zarr = import_zarr(source.path)
    old = zarr.__version__.startswith("2.")
    metadata = read_metadata(source.path, versions=(2,) if old else (3, 2))
    height, width, channels = (*metadata.shape, 1)[:3]
    files, nbytes = stored_chunks(source.path, most_bytes=2 * metadata.most_bytes + _OVERHEAD)
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
    if any(
        (name in _ROWS and axis != 0) or (name in _COLUMNS and axis != 1)
        for axis, name in enumerate(metadata.dimensions)
    ):
        axes = ", ".join(metadata.dimensions)[:60]
        source.note(f"names its axes {axes}, and is read as rows, columns and channels; transpose it")
    scaled = note_of_attributes(metadata.attributes)
    if scaled:
        source.note(scaled)
    reader = _ChunkReader(source.path, array, shape=(height, width, channels), metadata=metadata)
    # In format 3 xarray keeps the two apart.
    fill_value = metadata.fill_value if metadata.version == 2 else None
    nodata = nodata_of_attributes(metadata.attributes, metadata.dtype, fill_value=fill_value)
    meant = _meant_type(metadata)
    if meant != metadata.dtype:
        stored = [int(np.array(value, dtype=metadata.dtype).view(meant)) for value in nodata]
        nodata = list(dict.fromkeys((*stored, *nodata_of_attributes(metadata.attributes, meant))))
    if len(nodata) > 1:
        source.note(f"names {len(nodata)} values for 'no data'; only the first, {nodata[0]}, counts as such")
    first = nodata[0] if nodata else None
    return Parts(reader, lambda samples: DecodedImage(pixels=samples.view(meant), nodata=first), channels)


def _meant_type(metadata: ZarrMetadata) -> np.dtype:
    """Return the type that the bits of the pixels stand for: netCDF's formats have signed integers alone.

    Its programs say of such an array by `_Unsigned` that its integers have no sign, as those of weather satellites.
    """
    kind = {"true": "u", "false": "i"}.get(str(metadata.attributes.get("_Unsigned")).lower())
    dtype = metadata.dtype
    return dtype if kind is None or dtype.kind not in "iu" else np.dtype(f"{dtype.str[0]}{kind}{dtype.itemsize}")


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
        self._checked: set[tuple[int, int]] = set()

    def load(self, row: int, column: int) -> np.ndarray:
        """Decode one chunk."""
        tall, wide = self.piece
        top, left = row * tall, column * wide
        with reading(self._path, "Zarr array", place=f" at row {top}, column {left}"):
            self._check_chunks(row, column)
            values = np.asarray(self._array[top : top + tall, left : left + wide])
        return values.reshape(*values.shape[:2], self.shape[2])

    def _check_chunks(self, row: int, column: int) -> None:
        """Check the stored chunks of a block, all channels of it, the first time that they are read."""
        metadata = self._metadata
        if metadata.compressor is None or (row, column) in self._checked:
            return
        shape, chunks, (before, between) = metadata.shape, metadata.chunks, metadata.key
        deep = [(number,) for number in range(math.ceil(shape[2] / chunks[2]))] if len(shape) == 3 else [()]
        for last in deep:
            chunk = self._path / (before + between.join(str(number) for number in (row, column, *last)))
            if chunk.is_file():
                data = chunk.read_bytes()
                packed = data[: len(data) - metadata.trailer]
                check_chunk(packed, compressor=metadata.compressor, most_bytes=metadata.most_bytes)
        self._checked.add((row, column))
