"""Write an image that comes in bands of rows, so that it is never whole in memory: tiled TIFF, .npy or Zarr."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from finer_image.io.image import Image
from finer_image.io.source import file_error
from finer_image.io.strips import regrouped, rows_of_tiles
from finer_image.io.writer import check_writable, replacing, tiff_options
from finer_image.io.zarr_writer import write_zarr

WRITTEN_IN_PARTS = (".tif", ".tiff", ".npy", ".zarr")
_TILE = 256
_BIG_TIFF_BYTES = 3_900_000_000
"""From here on the offsets of a TIFF need 8 bytes; below, more programs can read it with 4."""


def write_bands(
    path: str | os.PathLike[str], bands: Iterable[np.ndarray], *, kind: Image, height: int, width: int
) -> Path:
    """Write an image band by band, replacing what was there only once it is complete.

    Args:
        path: Where to write; the suffix is one of `WRITTEN_IN_PARTS`.
        bands: (rows, W, C) pixels, from the top, of any number of rows each; together `height` rows.
        kind: An image of any size, of the type, mode and profile to be written.
        height: Rows.
        width: Columns.

    Returns:
        The path.

    Raises:
        InputError: The suffix is another, or the place cannot be written to.
    """
    path = Path(path)
    check_written_in_parts(path, kind, height=height, width=width)
    with replacing(path) as temporary:
        _WRITERS[path.suffix.lower()](temporary, bands, kind, height, width)
    return path


def check_written_in_parts(path: str | os.PathLike[str], kind: Image, *, height: int, width: int) -> None:
    """Raise InputError for a path whose suffix names no format that can be written in parts here."""
    path = Path(path)
    check_writable(path, kind)
    if path.suffix.lower() not in WRITTEN_IN_PARTS:
        raise file_error(
            path,
            f"{height}x{width} pixels do not fit into --memory whole; write a .tif, .npy or .zarr, "
            "which are written in parts, or raise --memory",
        )


def _write_tiff(path: Path, bands: Iterable[np.ndarray], kind: Image, height: int, width: int) -> None:
    import tifffile

    flat = (height, width) if kind.channels == 1 else (height, width, kind.channels)
    nbytes = height * width * kind.channels * kind.dtype.itemsize
    tall = rows_of_tiles(_TILE, row_bytes=nbytes // height)
    with path.open("wb") as handle:
        tifffile.imwrite(
            handle,
            _tiles(bands, tall, kind.channels),
            shape=flat,
            dtype=kind.dtype,
            tile=(tall, _TILE),
            bigtiff=nbytes > _BIG_TIFF_BYTES,
            maxworkers=1,  # with more, tifffile takes 256 MB of tiles at a time
            **tiff_options(kind),
        )


def _tiles(bands: Iterable[np.ndarray], tall: int, channels: int) -> Iterator[np.ndarray]:
    for band in regrouped(bands, tall):
        for left in range(0, band.shape[1], _TILE):
            tile = band[:, left : left + _TILE]
            yield tile[:, :, 0] if channels == 1 else tile


def _write_npy(path: Path, bands: Iterable[np.ndarray], kind: Image, height: int, width: int) -> None:
    # Written one after another, not through a memory map, whose pages would count as the process's memory.
    header = {"shape": (height, width, kind.channels), "fortran_order": False}
    with path.open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, {**header, "descr": np.lib.format.dtype_to_descr(kind.dtype)})
        for band in bands:
            handle.write(np.ascontiguousarray(band).data)


_WRITERS: dict[str, Callable[[Path, Iterable[np.ndarray], Image, int, int], None]] = {
    ".tif": _write_tiff,
    ".tiff": _write_tiff,
    ".npy": _write_npy,
    ".zarr": write_zarr,
}
