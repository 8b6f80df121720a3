"""Decode everything that Pillow reads."""

import struct
from typing import Any

import numpy as np

from finer_core.io.jpeg import never_half
from finer_image.io.library_guard import strict_pillow
from finer_image.io.source import DecodedImage, ImageSource
from finer_image.io.value_range import row_blocks, stretched

_ORIENTATION_TAG = 0x0112
_PSD_VERSION, _PSD_CHANNELS, _PSD_BYTES = 1057, 12, 26
"""Number of a resource, where the header has the number of channels, and how long it is."""
_RUNS = (1, 2)
"""Compressions of a BMP."""
_CODESTREAM = b"\xff\x4f\xff\x51"
"""Its first two markers, SOC and SIZ, by which a JPEG 2000 also begins where no boxes are around it."""
_MOST_BOXES = 1000
"""Boxes before the picture of a JPEG 2000 that are looked at."""
_BESIDE = {"AVIF": 8, "BMP": 4, "GIF": 8, "JPEG2000": 16, "QOI": 8, "WEBP": 16}
"""Bytes a pixel that a decoder keeps beside the picture that it makes."""


def decode_pillow(source: ImageSource, *, format_name: str) -> DecodedImage:
    """Decode one of the 8-bit formats: JPEG, WebP, BMP, GIF, ICO, TGA, QOI, PSD, PBM, Lab and YCbCr TIFF.

    Palettes, CMYK, YCbCr, Lab and HSV become RGB, with alpha where the file has transparency. JPEG 2000 and
    AVIF of other samples than unsigned 8 bits, which Pillow would turn into such, are decoded by imagecodecs instead.

    Returns:
        uint8 pixels, or the samples of the other variants, fewer than 8 bits stretched to 0 to 255.

    Raises:
        InputError: The image is too large, or stores layers and no picture.
    """
    from PIL import Image as pillow

    if format_name == "PSD":
        _check_psd(source)
    head = _codestream_head(source) if format_name == "JPEG2000" else b""
    bits, is_signed = _samples(source, format_name, head)
    # An icon is a picture of its own, which Pillow decodes when it opens the file.
    most_pixels = source.most_pixels if format_name == "ICO" else None
    with strict_pillow(most_pixels=most_pixels), pillow.open(source.handle, formats=[format_name]) as image:
        mode = mode_after_decoding(image)
        _check_picture(source, image, format_name)
        other = (bits != 8 or is_signed) and image.mode not in ("P", "PA")  # of a palette the colors matter
        channels = len(image.getbands()) if other else len(mode)
        item_bytes = 1 if bits <= 8 or not other else 2 if bits <= 16 else 4
        for height, width in {(image.height, image.width), _codestream_size(head) or (image.height, image.width)}:
            beside = height * width * (_BESIDE.get(format_name, 0) + (1 if image.mode in ("1", "L", "P") else 4))
            source.check_size(height=height, width=width, channels=channels, item_bytes=item_bytes, beside=beside)
        if format_name == "JPEG":
            pixels = in_bands(never_half(image), mode)
        else:
            pixels = _decode_other(source, format_name) if other else _decode(source, image, mode)
            if other and bits < 8 and not is_signed:
                pixels = stretched(pixels, largest=2**bits - 1)
        if format_name == "PSD" and image.mode == "1":
            pixels = 255 - pixels  # a set bit is black, which Pillow takes for white
        orientation = orientation_of(image)
        # A phone's multi-picture JPEG holds previews and depth maps, which nobody takes for more images.
        if image.format in ("GIF", "WEBP", "AVIF") and getattr(image, "is_animated", False):
            source.note("is animated; only its first picture is used")
        icc_profile = image.info.get("icc_profile") or None
        if lost := lost_profile(image):
            source.note(lost)
            icc_profile = None
        return DecodedImage(
            pixels=pixels,
            mode=None if other else mode,
            orientation=orientation,
            icc_profile=icc_profile,
            source_mode="" if image.mode == mode else image.mode,
        )


def _decode(source: ImageSource, image: Any, mode: str) -> np.ndarray:
    """Decode as `in_bands` does; a BMP whose runs skip its last pixels is whole, but none to Pillow."""
    try:
        return in_bands(image, mode)
    except (OSError, ValueError) as error:
        if image.format == "BMP" and image.info.get("compression") in _RUNS:
            reason = "is a BMP of runs (RLE) that leave pixels out, or are cut; save it without compression, or as PNG"
            raise source.error(reason) from error
        raise


def in_bands(image: Any, mode: str) -> np.ndarray:
    """Decode a Pillow image, and convert it band by band, so that there is no second one of its size.

    Returns:
        (H, W) or (H, W, C) uint8.
    """
    image.load()
    shape = (image.height, image.width, len(mode)) if len(mode) > 1 else (image.height, image.width)
    pixels = np.empty(shape, dtype=np.uint8)
    for rows in row_blocks(shape):
        band = image.crop((0, rows.start, image.width, rows.stop))
        pixels[rows] = np.asarray(band if band.mode == mode else band.convert(mode))
    return pixels


def _check_psd(source: ImageSource) -> None:
    """Refuse a PSD of another kind than those that Pillow reads, which says of all of them that it knows none."""
    from PIL import PsdImagePlugin

    head = source.handle.read(_PSD_BYTES)
    source.handle.seek(0)
    if len(head) < _PSD_BYTES:
        raise source.error("is a truncated PSD; copy or download it again")
    version, bits, mode = (int.from_bytes(head[start : start + 2], "big") for start in (4, 22, 24))
    known = {colors for colors, depth in PsdImagePlugin.MODES if depth == bits}
    if version == 1 and mode in known:
        return
    what = "is a PSB" if version == 2 else f"is a PSD of {bits} bits a value" if not known else ""
    raise source.error(
        f"{what or f'is a PSD with colors of kind {mode} in {bits} bits'}, which is not read; save it as TIFF"
    )


def _check_picture(source: ImageSource, image: Any, format_name: str) -> None:
    """Refuse a PSD of layers alone: what stands in the place of its picture is white; note what is left of a file."""
    if format_name == "PPM" and image.tile[0].codec_name == "raw":
        source.handle.seek(image.tile[0].offset + image.height * -(-image.width // 8))
        if source.handle.read(1).strip():
            source.note("holds more behind its first picture, which is not used")
    if format_name != "PSD":
        return
    source.handle.seek(_PSD_CHANNELS)
    channels = int.from_bytes(source.handle.read(2), "big")
    if more := channels - len(image.getbands()):
        source.note(f"has {channels} channels, of which the last {more} are not used")
    versions = [data for number, _, data in image.resources if number == _PSD_VERSION]
    if versions and len(versions[0]) > 4 and not versions[0][4]:
        raise source.error("stores its layers without the picture that they make; save it with maximum compatibility")


def lost_profile(image: Any) -> str:
    """Return a note where the stored profile describes inks or Lab, not the RGB made from them; else nothing."""
    lost = image.mode in ("CMYK", "LAB")
    return f"is {image.mode}; converted to RGB without its color profile" if lost else ""


def mode_after_decoding(image: Any) -> str:
    """Choose L, LA, RGB or RGBA for a Pillow image that is open but not decoded."""
    mode, info, palette = image.mode, image.info, image.palette
    alpha = mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in info
    alpha = alpha or (mode == "P" and palette is not None and palette.mode.endswith("A"))
    color = "L" if mode in ("1", "L", "LA", "La") else "RGB"
    return color + "A" * alpha


def _codestream_head(source: ImageSource) -> bytes:
    """Return the first bytes of a JPEG 2000's codestream; the handle is left at the start.

    Boxes of any length may stand before it: color profiles, and a map's coordinates in XML.
    """
    head, position = b"", 0
    for _ in range(_MOST_BOXES):
        source.handle.seek(position)
        head = source.handle.read(64)
        if len(head) < 64 or head.startswith(_CODESTREAM):
            break
        length, kind, long_length = struct.unpack_from(">I4sQ", head)
        content = 16 if length == 1 else 8
        step = content if kind == b"jp2c" else long_length if length == 1 else length
        position += step if step >= content else source.file_bytes  # 0: until the end
    if not head.startswith(_CODESTREAM):
        raise source.error("is a truncated or corrupt JPEG 2000 (it has no picture); copy or download it again")
    source.handle.seek(0)
    return head


def _samples(source: ImageSource, format_name: str, head: bytes) -> tuple[int, bool]:
    """Return the bits of a sample, and whether it has a sign."""
    if format_name == "AVIF":
        content = source.handle.read(1 << 16)
        source.handle.seek(0)
        # av1C box: version, profile and level, then a byte whose bit 6 is high_bitdepth.
        start = content.find(b"av1C")
        return (16 if 0 <= start < len(content) - 6 and content[start + 6] & 0x40 else 8), False
    # SIZ marker: sizes, then from byte 40 on the number of components and one byte of the first, its depth - 1.
    return ((head[42] & 0x7F) + 1, bool(head[42] & 0x80)) if len(head) > 42 else (8, False)


def _codestream_size(head: bytes) -> tuple[int, int] | None:
    """Return rows and columns by the SIZ marker of a JPEG 2000, which may be others than the file around it says."""
    if len(head) < 24:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", head, 8)
    return bottom - top, right - left


def _decode_other(source: ImageSource, format_name: str) -> np.ndarray:
    """Decode a JPEG 2000 or AVIF to (H, W) or (H, W, C) of the samples that it stores."""
    import imagecodecs

    source.handle.seek(0)
    decode = imagecodecs.avif_decode if format_name == "AVIF" else imagecodecs.jpeg2k_decode
    return decode(source.handle.read())


def orientation_of(image: Any) -> int:
    """Return the orientation that a Pillow image's EXIF block, or its XMP, names; 1 for none, or a broken block."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # A broken EXIF block is no reason to refuse the picture.
        return 1
