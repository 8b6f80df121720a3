"""Decode the formats that are plain numbers after a short text header: NumPy and Netpbm."""

import math
import re

import numpy as np

from finer_image.io.source import DecodedImage, ImageSource
from finer_image.io.value_meaning import as_number, note_of_scaling
from finer_image.io.value_range import stretched
from finer_image.io.windows.positioned_file import PositionedFile
from finer_image.io.windows.reader import Parts, PlainReader

_MOST_HEADER_BYTES = 1 << 16
_TEXT_PIECE = 1 << 18


def open_npy(source: ImageSource) -> Parts:
    """Open a NumPy .npy file of (H, W) or (H, W, C) for reading in parts; nothing is ever unpickled.

    Returns:
        The parts, in the array's dtype.

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
    height, width, channels = (*shape, 1)[:3]
    source.check_size(height=height, width=width, channels=channels, item_bytes=dtype.itemsize, in_parts=True)
    numbers, offset = math.prod(shape), source.handle.tell()
    present = (source.file_bytes - offset) // dtype.itemsize
    if present < numbers:
        raise source.error(f"is a truncated .npy: {present} of {numbers} values are there; save it again")
    if source.file_bytes - offset > numbers * dtype.itemsize:
        source.note("holds more behind its first array, which is not used")
    reader = PlainReader(
        PositionedFile(source.path),
        offset=offset,
        shape=(height, width, channels),
        dtype=dtype,
        axes="CXY" if fortran_order else "YXC",
    )
    return Parts(reader, lambda samples: DecodedImage(pixels=samples), channels)


def decode_netpbm(source: ImageSource) -> DecodedImage:
    """Decode PGM and PPM (P2, P3, P5, P6) at their true depth, and PFM (Pf, PF).

    Pillow reduces deep PPM to 8 bits and stretches deep PGM. Here a maximum above 255 gives the stored
    numbers as uint16, and a smaller one is stretched to 0..255.

    Returns:
        uint8, uint16 or float32 pixels.

    Raises:
        InputError: The file is cut, corrupt or too large.
    """
    # A comment may stand between any two fields; exactly one white-space character ends the header.
    gap = rb"(?:\s|#[^\n]*\n)+"
    head = source.handle.read(_MOST_HEADER_BYTES)
    match = re.match(rb"P([2356fF])" + gap + rb"(\d{1,9})" + gap + rb"(\d{1,9})" + gap + rb"([-+.\deE]{1,20})\s", head)
    if match is None:
        raise source.error("has a malformed or truncated Netpbm header; save it again")
    kind, width, height = match[1], int(match[2]), int(match[3])
    channels = 3 if kind in b"36F" else 1
    if kind in b"fF":
        # The sign of the scale tells the byte order, and rows run upwards.
        dtype: np.dtype[np.generic] = np.dtype(_byte_order(source, match[4].decode()) + "f4")
        largest = 0
    else:
        largest = int(match[4])
        dtype = np.dtype(np.uint8 if largest < 256 else ">u2")
        if not 0 < largest < 65536:
            raise source.error(f"declares the maximum {largest}; a Netpbm file allows 1 to 65535")
    numbers = height * width * channels
    # Big-endian values, rows from below, and numbers in text, which are 16 bits wide at first, are copied once.
    beside = numbers * (2 if kind in b"23" else dtype.itemsize)
    source.check_size(height=height, width=width, channels=channels, item_bytes=dtype.itemsize, beside=beside)
    start = match.end()
    # Where text was written, a line of the header may end in two characters.
    if (
        kind in b"56fF"
        and head[start - 1 : start + 1] == b"\r\n"
        and source.file_bytes == start + 1 + numbers * dtype.itemsize
    ):
        start += 1
    source.handle.seek(start - 1 if kind in b"23" else start)
    values = _numbers_in_text(source, numbers) if kind in b"23" else np.fromfile(source.handle, dtype, numbers)
    if values.size < numbers:
        raise source.error(f"is truncated: {values.size} of {numbers} values are there; copy or download it again")
    if kind in b"356fF" and source.handle.read(1).strip():
        source.note("holds more behind its first picture, which is not used")
    if kind in b"fF":
        return DecodedImage(pixels=values.reshape(height, width, channels)[::-1])
    if values.max() > largest:
        raise source.error(f"holds the value {values.max()} above its declared maximum {largest}; save it again")
    pixels = values.astype(np.uint8 if largest < 256 else np.uint16, copy=False)
    if largest < 255:
        pixels = stretched(pixels, largest=largest)
    return DecodedImage(pixels=pixels.reshape(height, width, channels))


def _byte_order(source: ImageSource, scale: str) -> str:
    """Return the order of bytes that a PFM's scale says by its sign, "<" or ">"; note a scale of another size than 1.

    Raises:
        InputError: It says none.
    """
    number = as_number(scale)
    if number is None or not number or not math.isfinite(number):
        raise source.error(f"has the scale {scale}, whose sign is to say the order of its bytes; save it again")
    if said := note_of_scaling([("scale", scale.lstrip("+-"))]):
        source.note(said)
    return "<" if number < 0 else ">"


def _numbers_in_text(source: ImageSource, count: int) -> np.ndarray:
    """Read numbers in plain text, piece by piece: a list of their words would take many times the memory."""
    values, done, rest = np.empty(count, dtype=np.uint16), 0, b""
    while done < count and (piece := source.handle.read(_TEXT_PIECE)):
        # A word, or a comment, may go on in the next piece.
        text = re.sub(rb"#[^\n]*\n", b"\n", rest + piece)
        cut = text.rfind(b"#") if b"#" in text else max(text.rfind(blank) for blank in b" \t\n\r") + 1
        text, rest = text[:cut], text[cut:]
        if len(rest) > _TEXT_PIECE:
            raise source.error(f"holds a word or comment of more than {_TEXT_PIECE:,} characters; save it again")
        done += _store(source, text, values[done:])
    if done < count:
        done += _store(source, rest.partition(b"#")[0], values[done:])
    return values[:done]


def _store(source: ImageSource, text: bytes, values: np.ndarray) -> int:
    """Store the numbers of a text, as many as there is room for; return how many."""
    words = text.split(None, len(values))[: len(values)]
    if any(len(word) > 5 for word in words):
        raise source.error("holds a value above 65535; a Netpbm file allows none")
    numbers = np.array(words, dtype="S5").astype(np.uint32)
    if numbers.size and numbers.max() > 65535:
        raise source.error(f"holds the value {numbers.max()}; a Netpbm file allows at most 65535")
    values[: len(numbers)] = numbers
    return len(numbers)
