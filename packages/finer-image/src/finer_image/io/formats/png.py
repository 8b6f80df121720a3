"""Decode PNG at its true depth."""

import io
import struct
import zlib

import numpy as np

from finer_core.io.pictures import long_words
from finer_image.io.formats.pillow import orientation_of
from finer_image.io.source import DecodedImage, ImageSource
from finer_image.io.value_meaning import note_of_colors, other_primaries

_SIGNATURE_BYTES, _HEAD_BYTES = 8, 33
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_GRAY = (0, 4)
_MAX_PROFILE_BYTES = 1 << 25
_SRGB, _GAMMA = (1, 13), 0.45455
"""Primaries and transfer function of sRGB by ITU-T H.273, and about its exponent."""
_TEXTS, _WORDS = (b"tEXt", b"zTXt", b"iTXt"), b"words"
_WITH_ORIENTATION = (b"exif\0", b"Raw profile type exif\0", b"xmp\0", b"XML:com.adobe.xmp\0")
"""How texts begin that Pillow looks for an orientation in; others may be long, and damaged."""


def decode_png(source: ImageSource) -> DecodedImage:
    """Decode a PNG of any color type and depth, its transparency included.

    Pillow reduces 16-bit gray-alpha, RGB and RGBA to 8 bits without a word, and scales `tRNS` of 2- and 4-bit
    gray wrongly, so libpng (through imagecodecs) decodes all of them. Chunks are checked first: a cut file
    then says so.

    Returns:
        uint8 or uint16 pixels.

    Raises:
        InputError: The file is cut, corrupt or too large.
    """
    import imagecodecs

    data = source.handle.read(_HEAD_BYTES)
    if len(data) < _HEAD_BYTES or data[12:16] != b"IHDR":
        raise source.error("is a truncated PNG; copy or download it again")
    width, height, depth, color_type = struct.unpack(">IIBB", data[16:26])
    if color_type not in _CHANNELS:
        raise source.error(f"is a PNG with the impossible color type {color_type}; save it again")
    # Transparency in a tRNS chunk, which comes later, adds a channel; the limit is checked again with it.
    item_bytes = 2 if depth == 16 else 1
    size = {"height": height, "width": width, "item_bytes": item_bytes}
    # The file is in memory whole; turning a picture upright takes another one.
    size["beside"] = max(source.file_bytes, height * width * _CHANNELS[color_type] * item_bytes)
    source.check_size(channels=_CHANNELS[color_type], **size)
    source.handle.seek(0)
    data = source.handle.read()
    chunks = _chunks(source, data)
    source.check_size(channels=_CHANNELS[color_type] + (b"tRNS" in chunks), **size)
    if b"fdAT" in chunks:  # a picture beside that of IDAT, which may be no part of the animation
        source.note("is animated; only its first picture is used")
    if space := _other_space(chunks, is_gray=color_type in _GRAY):
        source.note(note_of_colors(space))
    return DecodedImage(
        pixels=imagecodecs.png_decode(data),
        orientation=_orientation(chunks),
        icc_profile=_profile(chunks.get(b"iCCP", b"")),
        source_mode="1" if depth == 1 and color_type == 0 else "P" if color_type == 3 else "",
    )


def _chunks(source: ImageSource, data: bytes) -> dict[bytes, bytes]:
    """Check every chunk's length and checksum; return the first of each kind, IDAT left empty.

    Under `_WORDS` stand all chunks that may name an orientation, as they are in the file.
    """
    chunks: dict[bytes, bytes] = {}
    view, position = memoryview(data), _SIGNATURE_BYTES
    while b"IEND" not in chunks:
        if position + 12 > len(data):
            raise source.error("is a truncated PNG; copy or download it again")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise source.error("is a truncated PNG; copy or download it again")
        (stored,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[position + 4 : end - 4]) == stored:
            chunks.setdefault(name, b"" if name == b"IDAT" else data[position + 8 : end - 4])
            if name == b"eXIf" or (name in _TEXTS and data.startswith(_WITH_ORIENTATION, position + 8)):
                chunks[_WORDS] = chunks.get(_WORDS, b"") + data[position:end]
        elif name[:1].isupper():
            label = name.decode("ascii", "replace")
            raise source.error(
                f"is a corrupt PNG: the checksum of its {label} data is wrong; copy or download it again"
            )
        position = end
    if b"IDAT" not in chunks:
        raise source.error("is a PNG without image data; save it again")
    return chunks


def _other_space(chunks: dict[bytes, bytes], *, is_gray: bool) -> str:
    """Return in words which colors the chunks name that count beside no profile, if they are not those of sRGB."""
    space, gamma = chunks.get(b"cICP", b"")[:2], chunks.get(b"gAMA", b"")
    if len(space) == 2:
        return "" if tuple(space) == _SRGB else f"the color space {space[0]}, {space[1]} (cICP)"
    if not chunks.keys().isdisjoint((b"sRGB", b"iCCP")):
        return ""
    exponent = int.from_bytes(gamma, "big") / 1e5 if any(gamma) and len(gamma) == 4 else _GAMMA
    named = chunks.get(b"cHRM", b"")
    numbers = (np.frombuffer(named, ">u4") / 1e5).tolist() if len(named) == 32 else []  # of white first
    found = [
        "" if abs(exponent - _GAMMA) < 0.01 else f"a gamma of {exponent:g} (gAMA)",
        "" if is_gray else other_primaries(numbers[2:] + numbers[:2], place="cHRM"),
    ]
    return " and ".join(filter(None, found))


def _profile(chunk: bytes) -> bytes | None:
    """Unpack the color profile of an iCCP chunk: name, zero byte, method byte, zlib data."""
    compressed = chunk.partition(b"\0")[2][1:]
    try:
        return zlib.decompressobj().decompress(compressed, _MAX_PROFILE_BYTES) or None
    except zlib.error:
        return None


def _orientation(chunks: dict[bytes, bytes]) -> int:
    """Return the orientation by EXIF, by EXIF in a text as ImageMagick writes it, or by XMP, all as Pillow reads them.

    Pillow decodes a whole PNG before it tells, so it gets one of a single pixel with the same words.
    """
    from PIL import Image as pillow

    if _WORDS not in chunks:
        return 1
    whole = io.BytesIO()
    pillow.new("L", (1, 1)).save(whole, "PNG")
    first, rest = whole.getvalue()[:_HEAD_BYTES], whole.getvalue()[_HEAD_BYTES:]
    with long_words(), pillow.open(io.BytesIO(first + chunks[_WORDS] + rest), formats=["PNG"]) as image:
        return orientation_of(image)
