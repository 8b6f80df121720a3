"""Decode the formats that are plain numbers after a short text header: NumPy, Radiance HDR and Netpbm."""

import math
import re
from dataclasses import dataclass

import numpy as np

from finer_image.image_source import DecodedImage, ImageSource, import_library


@dataclass(frozen=True, kw_only=True)
class NpyLayout:
    """Say where the values of a .npy file stand.

    Attributes:
        shape: (H, W) or (H, W, C).
        dtype: Type of a value, in the file's byte order.
        fortran_order: Whether the first axis is the fastest.
        offset: Place of the first value.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    offset: int


def npy_layout(source: ImageSource) -> NpyLayout:
    """Read the header of a NumPy .npy file and check it.

    Args:
        source: The open file; left behind the header.

    Returns:
        The layout.

    Raises:
        InputError: The file is cut or too large, or holds no array of real numbers of rank 2 or 3.
    """
    version = np.lib.format.read_magic(source.handle)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read_header(source.handle)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise source.error(f"holds {dtype} values; save an array of real numbers")
    if len(shape) not in (2, 3):
        raise source.error(f"has shape {shape}; give an array of (height, width) or (height, width, channels)")
    if 0 in shape:
        raise source.error(f"has shape {shape}, which holds no pixels")
    source.check_size(height=shape[0], width=shape[1], channels=math.prod(shape[2:]), item_bytes=dtype.itemsize)
    numbers, offset = math.prod(shape), source.handle.tell()
    present = (source.file_bytes - offset) // dtype.itemsize
    if present < numbers:
        raise source.error(f"is a truncated .npy: {present} of {numbers} values are there; save it again")
    return NpyLayout(shape=shape, dtype=dtype, fortran_order=fortran_order, offset=offset)


def decode_npy(source: ImageSource) -> DecodedImage:
    """Decode a NumPy .npy file of (H, W) or (H, W, C); nothing is ever unpickled.

    Args:
        source: The open file.

    Returns:
        Pixels in the array's dtype.

    Raises:
        InputError: See `npy_layout`.
    """
    layout = npy_layout(source)
    values = np.fromfile(source.handle, dtype=layout.dtype, count=math.prod(layout.shape))
    if layout.fortran_order:
        return DecodedImage(pixels=values.reshape(layout.shape[::-1]).transpose())
    return DecodedImage(pixels=values.reshape(layout.shape))


def decode_hdr(source: ImageSource) -> DecodedImage:
    """Decode a Radiance .hdr picture (RGBE), as stored: EXPOSURE is not divided out.

    Args:
        source: The open file.

    Returns:
        (H, W, 3) float32 pixels, not negative.

    Raises:
        InputError: The file is cut, too large, in XYZE colours, or stored column by column.
    """
    imagecodecs = import_library("imagecodecs", package="imagecodecs", purpose="Radiance HDR")
    data = source.handle.read()
    header, _, rest = data.partition(b"\n\n")
    resolution, _, scanlines = rest.partition(b"\n")
    if b"FORMAT=32-bit_rle_xyze" in header:
        raise source.error("stores XYZE colours; convert it to RGBE first")
    match = re.fullmatch(rb"([-+])Y (\d{1,9}) ([-+])X (\d{1,9})\s*", resolution)
    if match is None:
        raise source.error(f"has the unusual resolution line {resolution[:40]!r}; save it with '-Y height +X width'")
    height, width = int(match[2]), int(match[4])
    source.check_size(height=height, width=width, channels=3, item_bytes=4)
    # The decoder knows the usual row order only, and few header lines.
    usual = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (height, width)
    pixels = imagecodecs.rgbe_decode(usual + scanlines)
    return DecodedImage(pixels=pixels[:: 1 if match[1] == b"-" else -1, :: 1 if match[3] == b"+" else -1])


def decode_netpbm(source: ImageSource) -> DecodedImage:
    """Decode PGM and PPM (P2, P3, P5, P6) at their true depth, and PFM (Pf, PF).

    Pillow reduces deep PPM to 8 bits and stretches deep PGM. Here a maximum above 255 gives the stored
    numbers as uint16, and a smaller one is stretched to 0..255.

    Args:
        source: The open file.

    Returns:
        uint8, uint16 or float32 pixels.

    Raises:
        InputError: The file is cut, corrupt or too large.
    """
    data = source.handle.read()
    # A comment may stand between any two fields; exactly one white-space character ends the header.
    gap = rb"(?:\s|#[^\n]*\n)+"
    match = re.match(rb"P([2356fF])" + gap + rb"(\d{1,9})" + gap + rb"(\d{1,9})" + gap + rb"([-+.\deE]{1,20})\s", data)
    if match is None:
        raise source.error("has a malformed or truncated Netpbm header; save it again")
    kind, width, height = match[1], int(match[2]), int(match[3])
    channels = 3 if kind in b"36F" else 1
    if kind in b"fF":
        # The sign of the scale tells the byte order, and rows run upwards.
        dtype: np.dtype[np.generic] = np.dtype("<f4" if float(match[4]) < 0 else ">f4")
        largest = 0
    else:
        largest = int(match[4])
        dtype = np.dtype(np.uint8 if largest < 256 else ">u2")
        if not 0 < largest < 65536:
            raise source.error(f"declares the maximum {largest}; a Netpbm file allows 1 to 65535")
    source.check_size(height=height, width=width, channels=channels, item_bytes=dtype.itemsize)
    numbers = height * width * channels
    if kind in b"23":
        words = re.sub(rb"#[^\n]*", b"", data[match.end() - 1 :]).split(None, numbers)[:numbers]
        if any(len(word) > 5 for word in words):
            raise source.error("holds a value above 65535; a Netpbm file allows none")
        values = np.array(words, dtype="S5").astype(np.uint32)
    else:
        present = min(numbers, (len(data) - match.end()) // dtype.itemsize)
        values = np.frombuffer(data, dtype=dtype, offset=match.end(), count=present)
    if values.size < numbers:
        raise source.error(f"is truncated: {values.size} of {numbers} values are there; copy or download it again")
    if kind in b"fF":
        return DecodedImage(pixels=values.reshape(height, width, channels)[::-1])
    if values.max() > largest:
        raise source.error(f"holds the value {values.max()} above its declared maximum {largest}; save it again")
    if largest < 255:
        values = (values.astype(np.uint32) * 255 + largest // 2) // largest
    pixels = values.astype(np.uint8 if largest < 256 else np.uint16)
    return DecodedImage(pixels=pixels.reshape(height, width, channels))
