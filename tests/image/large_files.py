"""Write images in the formats that are read in parts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from .image_files import saved, tiff_bytes


def _npy(path: Path, pixels: np.ndarray) -> None:
    np.save(path, pixels)


def _fortran(path: Path, pixels: np.ndarray) -> None:
    np.save(path, np.asfortranarray(pixels))


def _tiff(**options: object) -> Callable[[Path, np.ndarray], None]:
    def write(path: Path, pixels: np.ndarray) -> None:
        color = pixels.ndim == 3 and pixels.shape[2] == 3
        planar = {"planarconfig": "separate"} if options.get("planar") else {}
        data = np.moveaxis(pixels, -1, 0) if planar else pixels
        rest = {name: value for name, value in options.items() if name != "planar"}
        saved(path, tiff_bytes(data, photometric="rgb" if color else "minisblack", **planar, **rest))

    return write


def _zarr(version: int) -> Callable[[Path, np.ndarray], None]:
    def write(path: Path, pixels: np.ndarray) -> None:
        zarr = pytest.importorskip("zarr", reason="the extra finer-image[zarr] is not installed")
        if version == 3 and zarr.__version__.startswith("2."):
            pytest.skip("this zarr knows format 2 only")
        chunks = (48, 80, *pixels.shape[2:])
        options = {"zarr_format": version} if not zarr.__version__.startswith("2.") else {}
        array = zarr.open_array(str(path), mode="w", shape=pixels.shape, chunks=chunks, dtype=pixels.dtype, **options)
        array[...] = pixels

    return write


WRITERS: dict[str, tuple[str, Callable[[Path, np.ndarray], None]]] = {
    "npy": ("npy", _npy),
    "npy-fortran": ("npy", _fortran),
    "tiff": ("tif", _tiff()),
    "tiff-big-endian": ("tif", _tiff(byteorder=">")),
    "tiff-planes": ("tif", _tiff(planar=True)),
    "tiff-tiles": ("tif", _tiff(tile=(64, 32), compression="zlib", predictor=True)),
    "tiff-plain-tiles": ("tif", _tiff(tile=(32, 64))),
    "tiff-tiled-planes": ("tif", _tiff(tile=(32, 64), compression="zlib", planar=True)),
    "tiff-strips": ("tif", _tiff(rowsperstrip=7, compression="lzw")),
    "zarr2": ("zarr", _zarr(2)),
    "zarr3": ("zarr", _zarr(3)),
}


def large_file(folder: Path, kind: str, pixels: np.ndarray) -> Path:
    """Write pixels as that kind of file; return the path. Skips without the library."""
    suffix, write = WRITERS[kind]
    path = folder / f"large.{suffix}"
    write(path, pixels)
    return path
