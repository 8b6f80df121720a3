"""Decode PNG at its true depth, and everything that Pillow reads."""

import logging
import struct
import zlib
from typing import Any

import numpy as np

from finer_image.image_source import DecodedImage, ImageSource, import_library, silenced, strict_pillow

logger = logging.getLogger(__name__)

_ORIENTATION_TAG = 0x0112
_PNG_SIGNATURE_BYTES = 8
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_MAX_PROFILE_BYTES = 1 << 25


def decode_png(source: ImageSource) -> DecodedImage:
    """Decode a PNG of any colour type and depth, its transparency included.

    Pillow reduces 16-bit grey-alpha, RGB and RGBA to 8 bits without a word, and scales `tRNS` of 2- and 4-bit
    grey wrongly, so libpng (through imagecodecs) decodes all of them. Chunks are checked first: a cut file
    then says so.

    Args:
        source: The open file.

    Returns:
        uint8 or uint16 pixels.

    Raises:
        InputError: The file is cut, corrupt or too large.
    """
    imagecodecs = import_library("imagecodecs", package="imagecodecs", purpose="PNG")
    data = source.handle.read(33)
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise source.error("is a truncated PNG; copy or download it again")
    width, height, depth, colour_type = struct.unpack(">IIBB", data[16:26])
    if colour_type not in _PNG_CHANNELS:
        raise source.error(f"is a PNG with the impossible colour type {colour_type}; save it again")
    # Transparency in a tRNS chunk, which comes later, adds a channel; the limit is checked again with it.
    item_bytes = 2 if depth == 16 else 1
    size = {"height": height, "width": width, "item_bytes": item_bytes}
    source.check_size(channels=_PNG_CHANNELS[colour_type], **size)
    source.handle.seek(0)
    data = source.handle.read()
    chunks = _png_chunks(source, data)
    source.check_size(channels=_PNG_CHANNELS[colour_type] + (b"tRNS" in chunks), **size)
    if struct.unpack(">I", chunks.get(b"acTL", bytes(4))[:4])[0] > 1:
        logger.warning("%s: is animated; only its first picture is used", source.path)
    with silenced("imagecodecs"):
        pixels = imagecodecs.png_decode(data)
    return DecodedImage(
        pixels=pixels,
        orientation=_exif_orientation(chunks.get(b"eXIf", b"")),
        icc_profile=_png_profile(chunks.get(b"iCCP", b"")),
        source_mode="1" if depth == 1 and colour_type == 0 else "P" if colour_type == 3 else "",
    )


def _png_chunks(source: ImageSource, data: bytes) -> dict[bytes, bytes]:
    """Check every chunk's length and checksum; return the first of each kind, IDAT left empty."""
    chunks: dict[bytes, bytes] = {}
    view, position = memoryview(data), _PNG_SIGNATURE_BYTES
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
        elif name[:1].isupper():
            label = name.decode("ascii", "replace")
            raise source.error(
                f"is a corrupt PNG: the checksum of its {label} data is wrong; copy or download it again"
            )
        position = end
    if b"IDAT" not in chunks:
        raise source.error("is a PNG without image data; save it again")
    return chunks


def _png_profile(chunk: bytes) -> bytes | None:
    """Unpack the colour profile of an iCCP chunk: name, zero byte, method byte, zlib data."""
    compressed = chunk.partition(b"\0")[2][1:]
    try:
        return zlib.decompressobj().decompress(compressed, _MAX_PROFILE_BYTES) or None
    except zlib.error:
        return None


def _exif_orientation(exif: bytes) -> int:
    """Read the orientation from a raw EXIF block; 1 where there is none or the block is broken."""
    from PIL import Image as pillow

    tags = pillow.Exif()
    try:
        with strict_pillow():
            tags.load(exif)
            return int(tags.get(_ORIENTATION_TAG, 1))
    except Exception:  # A broken EXIF block is no reason to refuse the picture.
        return 1


def decode_pillow(source: ImageSource, *, format_name: str) -> DecodedImage:
    """Decode one of the 8-bit formats: JPEG, WebP, BMP, GIF, ICO, TGA, QOI, PSD, PBM, Lab and YCbCr TIFF.

    Palettes, CMYK, YCbCr, Lab and HSV become RGB, with alpha where the file has transparency. JPEG 2000 and
    AVIF deeper than 8 bits, which Pillow would reduce, are decoded by imagecodecs instead.

    Args:
        source: The open file.
        format_name: Pillow's name of the format.

    Returns:
        uint8 pixels, or uint16 from the deep variants.

    Raises:
        InputError: The image is too large.
    """
    from PIL import Image as pillow

    deep = _is_deep(source, format_name)
    source.handle.seek(0)
    with strict_pillow(), pillow.open(source.handle, formats=[format_name]) as image:
        mode = _mode_after_decoding(image)
        bands = len(image.getbands()) if deep else len(mode)
        source.check_size(height=image.height, width=image.width, channels=bands, item_bytes=2 if deep else 1)
        icc_profile = image.info.get("icc_profile") or None
        if deep:
            pixels = _decode_deep(source, format_name)
        else:
            image.load()
            pixels = np.asarray(image if image.mode == mode else image.convert(mode))
        try:
            orientation = int(image.getexif().get(_ORIENTATION_TAG, 1))
        except Exception:  # A broken EXIF block is no reason to refuse the picture.
            orientation = 1
        # A phone's multi-picture JPEG holds previews and depth maps, which nobody takes for more images.
        if image.format in ("GIF", "WEBP", "AVIF") and getattr(image, "is_animated", False):
            logger.warning("%s: is animated; only its first picture is used", source.path)
        if image.mode in ("CMYK", "LAB"):
            # The stored profile describes inks or Lab, not the RGB made from them.
            logger.warning("%s: is %s; converted to RGB without its colour profile", source.path, image.mode)
            icc_profile = None
        return DecodedImage(
            pixels=pixels,
            mode=None if deep else mode,
            orientation=orientation,
            icc_profile=icc_profile,
            source_mode="" if image.mode == mode else image.mode,
        )


def _mode_after_decoding(image: Any) -> str:
    """Choose L, LA, RGB or RGBA for a Pillow image that is open but not decoded."""
    mode, info, palette = image.mode, image.info, image.palette
    alpha = mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in info
    alpha = alpha or (mode == "P" and palette is not None and palette.mode.endswith("A"))
    colour = "L" if mode in ("1", "L", "LA", "La") else "RGB"
    return colour + "A" * alpha


def _is_deep(source: ImageSource, format_name: str) -> bool:
    """Tell whether a JPEG 2000 or AVIF file holds more than 8 bits a channel."""
    if format_name not in ("JPEG2000", "AVIF"):
        return False
    source.handle.seek(0)
    head = source.handle.read(1 << 16)
    if format_name == "AVIF":
        # av1C box: version, profile and level, then a byte whose bit 6 is high_bitdepth.
        start = head.find(b"av1C")
        return 0 <= start < len(head) - 6 and bool(head[start + 6] & 0x40)
    # SIZ marker: markers and sizes, then from byte 40 on one Ssiz byte, depth - 1, for each component.
    start = head.find(b"\xff\x4f\xff\x51")
    return 0 <= start < len(head) - 42 and (head[start + 42] & 0x7F) + 1 > 8


def _decode_deep(source: ImageSource, format_name: str) -> np.ndarray:
    """Decode a deep JPEG 2000 or AVIF to (H, W) or (H, W, C) at its own depth."""
    imagecodecs = import_library("imagecodecs", package="imagecodecs", purpose=f"deep {format_name}")
    source.handle.seek(0)
    decode = imagecodecs.avif_decode if format_name == "AVIF" else imagecodecs.jpeg2k_decode
    with silenced("imagecodecs"):
        return decode(source.handle.read())
