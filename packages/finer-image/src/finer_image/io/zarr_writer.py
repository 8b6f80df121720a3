"""Write an image that comes in bands as a Zarr array, with the format version that the installed library prefers."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from finer_image.io.image import Image
from finer_image.io.strips import regrouped, rows_of_tiles
from finer_image.io.windows.zarr import import_zarr

_CHUNK = 512


def write_zarr(path: Path, bands: Iterable[np.ndarray], kind: Image, height: int, width: int) -> None:
    """Write a Zarr array of (height, width, channels).

    Args:
        path: A folder that does not exist yet.
        bands: (rows, W, C) pixels, from the top, of any number of rows each.
        kind: An image of any size, of the type to be written; a color profile is not kept.
        height: Rows.
        width: Columns.

    Raises:
        InputError: The library is missing.
    """
    zarr = import_zarr(path)
    tall = rows_of_tiles(_CHUNK, row_bytes=width * kind.channels * kind.dtype.itemsize)
    array = zarr.open_array(
        str(path),
        mode="w",
        shape=(height, width, kind.channels),
        chunks=(min(tall, height), min(_CHUNK, width), kind.channels),
        dtype=kind.dtype,
    )
    if kind.nodata is not None:
        array.attrs["_FillValue"] = kind.nodata if np.isfinite(kind.nodata) else str(kind.nodata)
    top = 0
    for band in regrouped(bands, tall):  # whole rows of chunks: a chunk that is written in parts is read again
        array[top : top + len(band)] = band
        top += len(band)
