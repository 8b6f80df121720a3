"""Read the windows of a Zarr array that are asked for, from a folder of either format version."""

import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from finer_image.image_source import file_error
from finer_image.part_reader import BlockReader

_MARKS = ("zarr.json", ".zarray", ".zgroup")


def is_zarr(path: Path) -> bool:
    """Return whether a path is a folder that holds a Zarr array or group."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def import_zarr(path: Path) -> Any:
    """Import the library.

    Raises:
        InputError: It is not installed; the line says what to install.
    """
    try:
        return importlib.import_module("zarr")
    except ImportError as error:
        raise file_error(path, f"Zarr needs an extra ({error}): pip install 'finer-image[zarr]'") from None


def open_zarr(path: Path) -> BlockReader:
    """Open a Zarr array of (height, width) or (height, width, channels) for reading in parts.

    Args:
        path: The array's folder.

    Returns:
        The reader.

    Raises:
        InputError: The library is missing, or the folder holds no such array of real numbers.
    """
    zarr = import_zarr(path)
    _refuse_group(path)
    try:
        array = zarr.open_array(str(path), mode="r")
        shape, chunks, dtype = tuple(array.shape), tuple(array.chunks), np.dtype(array.dtype)
    except Exception as error:  # the library has many, and tells metadata that is cut from none by its own
        raise file_error(path, f"is not a Zarr array that can be read ({error!r})") from error
    if len(shape) not in (2, 3):
        raise file_error(path, f"has shape {shape}; give an array of (height, width) or (height, width, channels)")
    if 0 in shape:
        raise file_error(path, f"has shape {shape}, which holds no pixels")
    if dtype.kind not in "biuf":
        raise file_error(path, f"holds {dtype} values; save an array of real numbers")
    return _ChunkReader(path, array, shape=(shape[0], shape[1], math.prod(shape[2:])), dtype=dtype, block=chunks[:2])


def _refuse_group(path: Path) -> None:
    """Raise InputError for a folder of several arrays."""
    group = not (path / ".zarray").is_file()
    if (path / "zarr.json").is_file():
        try:
            group = json.loads((path / "zarr.json").read_text(encoding="utf-8")).get("node_type") == "group"
        except (OSError, ValueError, AttributeError) as error:
            raise file_error(path, f"is not a Zarr array: its zarr.json cannot be read ({error})") from error
    if group:
        inside = sorted(item.name for item in path.iterdir() if is_zarr(item))
        raise file_error(path, f"is a group of Zarr arrays; name one of them ({', '.join(inside) or 'it has none'})")


class _ChunkReader(BlockReader):
    """Read chunks, all channels of them."""

    def __init__(
        self, path: Path, array: Any, *, shape: tuple[int, int, int], dtype: np.dtype, block: tuple[int, int]
    ) -> None:
        super().__init__(shape=shape, dtype=dtype, block=block)
        self._path, self._array = path, array

    def load(self, row: int, column: int) -> np.ndarray:
        """Decode one chunk."""
        tall, wide = self.piece
        top, left = row * tall, column * wide
        try:
            values = np.asarray(self._array[top : top + tall, left : left + wide])
        except Exception as error:  # each codec has its own exceptions for broken data
            raise file_error(
                self._path,
                f"is a truncated or corrupt Zarr array at row {top}, column {left} "
                f"({str(error) or type(error).__name__}); copy or download it again",
            ) from error
        return values.reshape(*values.shape[:2], self.shape[2])
