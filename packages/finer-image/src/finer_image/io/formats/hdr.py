"""Decode Radiance HDR: colors of 8 bits with a common exponent, plain or in either of the two kinds of runs."""

import re

import numpy as np

from finer_core.io.text import counted
from finer_image.io.source import DecodedImage, ImageSource
from finer_image.io.value_meaning import as_number, note_of_colors, note_of_scaling, other_primaries

_MOST_HEADER_BYTES = 1 << 16
_NEW_RUNS = b"\2\2"
_BIAS = 136
"""Of the exponent, for mantissas from 0 to 255."""
_BESIDE = 16
"""Bytes a byte of the file that old runs take at most while they are written out."""


def decode_hdr(source: ImageSource) -> DecodedImage:
    """Decode a Radiance .hdr picture (RGBE), as stored: EXPOSURE is not divided out.

    Returns:
        (H, W, 3) float32 pixels, not negative.

    Raises:
        InputError: The file is cut, too large, in XYZE colors, or stored column by column.
    """
    header, _, rest = source.handle.read(_MOST_HEADER_BYTES).partition(b"\n\n")
    resolution, _, _ = rest.partition(b"\n")
    if b"FORMAT=32-bit_rle_xyze" in header:
        raise source.error("stores XYZE colors; convert it to RGBE first")
    _note_words(source, header.decode("latin-1"))
    match = re.fullmatch(rb"([-+])Y (\d{1,9}) ([-+])X (\d{1,9})\s*", resolution)
    if match is None:
        raise source.error(f"has the unusual resolution line {resolution[:40]!r}; save it with '-Y height +X width'")
    height, width = int(match[2]), int(match[4])
    start = len(header) + 2 + len(resolution) + 1
    source.handle.seek(start)
    has_new_runs = 8 <= width < 1 << 15 and source.handle.read(2) == _NEW_RUNS
    is_plain = source.file_bytes - start == 4 * height * width
    # The scan lines twice, and a copy of the picture where it is turned, or its exponents beside it.
    beside = (2 if has_new_runs or is_plain else _BESIDE) * source.file_bytes
    beside = max(beside, height * width * 12) if has_new_runs else beside + height * width * 16
    source.check_size(height=height, width=width, channels=3, item_bytes=4, beside=beside)
    source.handle.seek(start)
    content = source.handle.read()
    decode = _of_new_runs if has_new_runs else _of_old_runs
    pixels, end = decode(content, height=height, width=width)
    if end < len(content):
        source.note(f"holds {counted(len(content) - end, 'byte')} behind its picture, which are not used")
    return DecodedImage(pixels=pixels[:: 1 if match[1] == b"-" else -1, :: 1 if match[3] == b"+" else -1])


def _note_words(source: ImageSource, header: str) -> None:
    """Tell of lines of the header by which the values, or their colors, are others than they look."""
    exposures = re.findall(r"^EXPOSURE=\s*(\S{1,40})", header, re.MULTILINE)
    if said := note_of_scaling([("exposure", text) for text in exposures]):
        source.note(said)
    (*_, last) = ("", *re.findall(r"^PRIMARIES=(.*)", header, re.MULTILINE))
    numbers = [number for word in last.split() if (number := as_number(word)) is not None]
    if space := other_primaries(numbers, place="PRIMARIES"):
        source.note(note_of_colors(space))


def _of_new_runs(content: bytes, *, height: int, width: int) -> tuple[np.ndarray, int]:
    """Decode scan lines whose channels are packed one after another; return the pixels and where they end."""
    import imagecodecs

    # The decoder knows the usual row order only, and few header lines.
    usual = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (height, width)
    try:
        return imagecodecs.rgbe_decode(usual + content), len(content)
    except ValueError:  # for what follows the picture
        end = _end_of_new_runs(content, height=height, width=width)
        if not 0 < end < len(content):
            raise
        return imagecodecs.rgbe_decode(usual + content[:end]), end


def _end_of_new_runs(content: bytes, *, height: int, width: int) -> int:
    """Return where the last scan line ends; 0 if there are not so many."""
    at = 0
    for _ in range(height):
        at, done = at + 4, 0
        while done < 4 * width:
            if at >= len(content):
                return 0
            code = content[at]  # above 128 one value follows, to be repeated, else as many as it says
            done += code - 128 if code > 128 else code
            at += 2 if code > 128 else code + 1
    return at


def _of_old_runs(content: bytes, *, height: int, width: int) -> tuple[np.ndarray, int]:
    """Decode pixels one after another, 1 1 1 n for n more of the last; return them and where they end.

    Of several such counts in a row, each is worth 256 times the one before.
    """
    count = height * width
    colors = np.frombuffer(content, dtype=np.uint8, count=len(content) // 4 * 4).reshape(-1, 4)
    is_run = (colors[:, :3] == 1).all(axis=1)
    end = min(count, len(colors))
    if len(content) != 4 * count and is_run.any():
        place = np.arange(len(colors))
        last = np.maximum.accumulate(np.where(is_run, -1, place))
        in_a_row = np.minimum(place - last - 1, 4)
        lengths = np.where(is_run, np.minimum(colors[:, 3].astype(np.int64) << 8 * in_a_row, count), 1)
        end = int(np.searchsorted(np.cumsum(lengths), count)) + 1
        if last[0] < 0 or lengths[:end].sum() > count:
            raise ValueError("a run of equal pixels begins or ends outside the picture")
        colors, end = colors[np.repeat(last[:end], lengths[:end])], min(end, len(colors))
    if len(colors) < count:
        raise ValueError(f"{len(colors)} of {count} pixels are there")
    exponents = colors[:count, 3:].astype(np.int32) - _BIAS
    pixels = np.ldexp(colors[:count, :3].astype(np.float32), exponents)
    pixels[colors[:count, 3] == 0] = 0
    return pixels.reshape(height, width, 3), 4 * end
