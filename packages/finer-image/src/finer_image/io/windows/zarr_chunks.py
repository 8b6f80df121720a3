"""Check what is stored of a Zarr array before the library decodes it: a packed chunk can hold anything, of any size."""

import bz2
import lzma
import os
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finer_image.io.source import file_error

_BLOSC_HEADER = struct.Struct("<4xI4xI")
"""Version, flags, bytes that come out, size of a block, bytes that are there."""
_METADATA = ("zarr.json",)


def stored_chunks(path: Path, *, most_bytes: int) -> tuple[int, int]:
    """Return how many chunks lie in an array's folder, and their bytes.

    Raises:
        InputError: Something in the folder is no regular file, such as a pipe, or is longer.
    """
    count = nbytes = 0
    for folder, _, names in os.walk(path):
        for name in names:
            found = os.stat(os.path.join(folder, name))
            if not stat.S_ISREG(found.st_mode):
                raise file_error(path, f"holds {name!r}, which is no regular file; write the array again")
            if name[0] == "." or name in _METADATA:
                continue
            if found.st_size > most_bytes:
                raise file_error(
                    path,
                    f"stores the chunk {name!r} in {found.st_size:,} bytes, but a chunk's pixels take fewer by far",
                )
            count, nbytes = count + 1, nbytes + found.st_size
    return count, nbytes


def check_chunk(data: bytes, *, compressor: str, most_bytes: int) -> None:
    """Raise ValueError for a chunk that unpacks to more than it may, or that is shorter than it says.

    Args:
        data: The chunk as it is stored.
        compressor: Name of the codec that packed it; "" for none.
        most_bytes: Bytes that may come out.
    """
    too_long = f"it unpacks to more than {most_bytes:,} bytes"
    if compressor == "blosc":
        if len(data) < _BLOSC_HEADER.size:
            raise ValueError(f"it has {len(data)} bytes")
        unpacked, packed = _BLOSC_HEADER.unpack_from(data)
        if packed > len(data):  # Older versions of numcodecs read on behind them.
            raise ValueError(f"{len(data)} of its {packed} bytes are there")
    elif compressor == "lz4":
        unpacked = int.from_bytes(data[:4], "little")
    elif compressor == "zstd":
        import imagecodecs

        unpacked = len(imagecodecs.zstd_decode(data, out=most_bytes))  # raises where it is too short
    elif compressor in _STREAMS:
        unpacked = _length(_STREAMS[compressor], data, most_bytes)
    else:
        unpacked = len(data)
    if unpacked > most_bytes:
        raise ValueError(too_long)


_STREAMS: dict[str, Callable[[], Any]] = {
    "bz2": bz2.BZ2Decompressor,
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "lzma": lzma.LZMADecompressor,
    "zlib": zlib.decompressobj,
}


def _length(decompressor: Callable[[], Any], data: bytes, most_bytes: int) -> int:
    """Return how many bytes streams that stand one after another unpack to, or a number above `most_bytes`."""
    total = 0
    while data and total <= most_bytes:
        stream = decompressor()
        total += len(stream.decompress(data, most_bytes - total + 1))
        data = stream.unused_data if stream.eof else b""
    return total
