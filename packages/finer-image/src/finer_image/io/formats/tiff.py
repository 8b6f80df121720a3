"""Check a page of a TIFF, and turn samples of any depth, format and meaning into pixels."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from finer_image.io.nodata import Nodata, nodata_of_gdal, nodata_of_text
from finer_image.io.source import DecodedImage, ImageSource
from finer_image.io.tiff_pages import MOSAIC
from finer_image.io.value_meaning import note_of_colors, note_of_gdal, other_primaries
from finer_image.io.value_range import row_blocks, stretched

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _CIELAB = 0, 1, 2, 3, 5, 6, 8
_LINEAR_RAW, _DEPTH = 34892, 51177
_KNOWN = (*range(7), _CIELAB, MOSAIC, _LINEAR_RAW, _DEPTH)
"""Meanings of samples; other ones, such as ICCLab and LogLuv, would look like RGB."""
_JPEG_COMPRESSIONS = (6, 7)
_ASSOCIATED_ALPHA, _STRAIGHT_ALPHA = 1, 2
_MEANING_TAG, _INK_SET_TAG, _NO_CMYK = 262, 332, 2
_PRIMARIES_TAGS = (319, 318)
"""Those of red, green and blue, and that of white."""
_ORIENTATION_TAG, _ICC_TAG, _FIRST_PRIVATE_TAG, _METADATA_TAG, _NODATA_TAG = 274, 34675, 32768, 42112, 42113
_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # else 1


def check_page(source: ImageSource, page: Any) -> None:
    """Refuse a page that is too large, cut, incomplete, or no still image, before decoding it; note what it is.

    Raises:
        InputError: The page cannot be decoded.
    """
    _check_directory(source, page)
    _check_samples(source, page)
    meaning = _meaning_of(page)
    if _MEANING_TAG not in page.tags and meaning == _BLACK_IS_ZERO:
        source.note("does not say what its values mean (photometric interpretation); zero is taken for black")
    if meaning == _WHITE_IS_ZERO and page.dtype.kind not in "ub":
        source.note(f"counts from white, which is not turned round in {page.dtype} values: dark and light are swapped")
    if meaning != _CMYK == int(page.photometric):
        source.note("holds inks other than those of CMYK; they are kept as they are")
    if meaning == _CMYK:
        is_converted = page.samplesperpixel == 4 and page.dtype.kind == "u"
        source.note(f"is CMYK; {'converted to RGB without its color profile' if is_converted else 'kept as it is'}")
    if meaning == _LINEAR_RAW:
        source.note("holds linear camera data, which are used as they are; develop them for the usual colors")


def _meaning_of(page: Any) -> int:
    """Return what the samples of a page mean; of what is not said, or is no usual ink, that they are numbers."""
    meaning, inks = int(page.photometric), page.tags.get(_INK_SET_TAG)
    if _MEANING_TAG not in page.tags:
        return meaning if page.bitspersample == 1 else _BLACK_IS_ZERO  # of a fax, zero is white
    return _BLACK_IS_ZERO if meaning == _CMYK and inks is not None and inks.value == _NO_CMYK else meaning


def needs_pillow(page: Any) -> bool:
    """Return whether a page holds colors that tifffile hands out unconverted."""
    meaning = _meaning_of(page)
    return meaning == _CIELAB or (meaning == _YCBCR and int(page.compression) not in _JPEG_COMPRESSIONS)


def _check_directory(source: ImageSource, page: Any) -> None:
    """Check that the page's directory and its tags' values lie inside the file.

    It often stands at the end. tifffile drops tags that were cut off and assumes defaults, such as 1 bit.
    """
    order, big = page.parent.byteorder, page.parent.is_bigtiff
    count_format, entry_format = (order + "Q", order + "HHQQ") if big else (order + "H", order + "HHII")
    count_bytes, entry_bytes = struct.calcsize(count_format), struct.calcsize(entry_format)
    source.handle.seek(page.offset)
    (count,) = struct.unpack(count_format, source.handle.read(count_bytes))
    entries = source.handle.read(count * entry_bytes)
    cut = len(entries) < count * entry_bytes
    whole = len(entries) - len(entries) % entry_bytes
    for code, kind, number, offset in struct.iter_unpack(entry_format, entries[:whole]):
        value_bytes = number * _VALUE_BYTES.get(kind, 1)
        # Values of up to 4 (BigTIFF: 8) bytes stand in the entry itself; broken private tags do no harm.
        if code < _FIRST_PRIVATE_TAG and value_bytes > (8 if big else 4):
            cut = cut or offset + value_bytes > source.file_bytes
    if cut:
        raise source.error("is a truncated TIFF; copy or download it again")


def _check_samples(source: ImageSource, page: Any) -> None:
    """Check what the page holds, and that all of its data lies inside the file."""
    if "Z" in page.axes:
        raise source.error(f"is a volume of shape {page.shape}; extract one slice")
    if int(page.photometric) == MOSAIC:
        raise source.error("is a raw camera mosaic; develop it to TIFF or PNG first")
    if _meaning_of(page) not in _KNOWN:
        raise source.error(f"stores colors as photometric interpretation {int(page.photometric)}; save them as RGB")
    if not page.imagewidth or not page.imagelength:
        raise source.error("names no size of its picture; save it again")
    if page.dtype is None:
        raise source.error(f"stores {page.bitspersample}-bit samples, which no array type holds; save it as 16-bit")
    height, width = (page.shape[page.axes.index(axis)] for axis in "YX")
    if int(page.photometric) == _PALETTE and page.samplesperpixel > 1:
        raise source.error("has a palette and other samples beside it; save it as RGB or RGBA")
    channels = 3 if int(page.photometric) == _PALETTE else page.samplesperpixel
    source.check_size(height=height, width=width, channels=channels, item_bytes=page.dtype.itemsize, in_parts=True)
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    missing = sum(not (offset and count) for offset, count in segments)
    if missing or not segments:
        # tifffile would fill the gaps with zeros.
        raise source.error(f"lacks the data of {missing} of its {len(segments)} strips or tiles; save it again")
    if any(offset + count > source.file_bytes for offset, count in segments):
        raise source.error("is a truncated TIFF; copy or download it again")


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleKind:
    """Hold what turns the samples of a page into pixels, whichever window of it they are of.

    Attributes:
        photometric: What the samples mean.
        bits: Bits a sample.
        extrasamples: What the samples beyond the colors are.
        colormap: (3, N) colors of a palette, or None.
        icc_profile: Color profile, or None.
        orientation: EXIF orientation.
        nodata: Value of the pixels without data, or None.
    """

    photometric: int
    bits: int
    extrasamples: tuple[int, ...]
    colormap: np.ndarray | None
    icc_profile: bytes | None
    orientation: int
    nodata: Nodata

    @classmethod
    def of(cls, source: ImageSource, page: Any) -> "SampleKind":
        """Read the kind from a page of tifffile whose file is open."""
        profile = page.tags[_ICC_TAG].value if _ICC_TAG in page.tags else None
        scaled = note_of_gdal(str(page.tags[_METADATA_TAG].value)) if _METADATA_TAG in page.tags else None
        if scaled:
            source.note(scaled)
        meaning = _meaning_of(page)
        is_told = profile or meaning in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
        if not is_told and (space := other_primaries(_primaries_of(page), place="PrimaryChromaticities")):
            source.note(note_of_colors(space))
        return cls(
            photometric=meaning,
            bits=page.bitspersample if isinstance(page.bitspersample, int) else page.dtype.itemsize * 8,
            extrasamples=tuple(int(extra) for extra in page.extrasamples),
            colormap=np.asarray(page.colormap) if int(page.photometric) == _PALETTE else None,
            icc_profile=bytes(profile) if profile else None,
            orientation=int(page.tags[_ORIENTATION_TAG].value) if _ORIENTATION_TAG in page.tags else 1,
            nodata=_nodata_of(source, page),
        )

    def decoded(self, pixels: np.ndarray) -> DecodedImage:
        """Bring samples to gray, RGB or plain channels.

        Args:
            pixels: (H, W) or (H, W, S), any window of the page.

        Returns:
            The window.
        """
        mode, source_mode, icc_profile = None, "1" if pixels.dtype == np.bool_ else "", self.icc_profile
        bits = self.bits
        if self.colormap is not None:
            pixels, source_mode = _apply_palette(pixels, self.colormap), "P"
        elif pixels.dtype == np.uint8 and bits < 8:
            pixels, bits = stretched(pixels, largest=2**bits - 1), 8  # 0..3 and 0..15 would look black
        if self.photometric == _WHITE_IS_ZERO and pixels.dtype.kind in "ub":
            pixels = ~pixels if pixels.dtype == np.bool_ else pixels.dtype.type(2**bits - 1) - pixels
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        if self.photometric == _CMYK and channels == 4 and pixels.dtype.kind == "u":
            pixels, source_mode, icc_profile = _rgb_from_cmyk(pixels), "CMYK", None
        elif channels in (2, 4):
            has_alpha = self.extrasamples in ((_ASSOCIATED_ALPHA,), (_STRAIGHT_ALPHA,))
            if not (has_alpha and (self.photometric == _RGB) == (channels == 4)):
                mode = "CHANNELS"
            elif self.extrasamples == (_ASSOCIATED_ALPHA,):
                pixels = _straight_alpha(pixels)
        return DecodedImage(
            pixels=pixels,
            mode=mode,
            orientation=self.orientation,
            icc_profile=icc_profile,
            source_mode=source_mode,
            nodata=self.nodata,
        )


def _primaries_of(page: Any) -> list[float]:
    """Return x and y of red, green, blue and white; fewer numbers where the page does not say all of them."""
    parts = [part for tag in _PRIMARIES_TAGS if tag in page.tags for part in np.ravel(page.tags[tag].value).tolist()]
    if not all(isinstance(part, int) for part in parts):  # of rational numbers, which alone the tags may hold
        return []
    return [above / below for above, below in zip(parts[::2], parts[1::2], strict=False) if below]


def _nodata_of(source: ImageSource, page: Any) -> Nodata:
    """Return the value that GDAL's tag names for pixels without data, if the samples are pixels as they are."""
    converted = (_WHITE_IS_ZERO, _PALETTE, _CMYK, _YCBCR, _CIELAB)
    if _meaning_of(page) in converted or page.dtype.kind == "b" or np.min(page.bitspersample) < 8:
        return None
    of_colors = nodata_of_gdal(str(page.tags[_METADATA_TAG].value)) if _METADATA_TAG in page.tags else []
    if len(of_colors) > 1 or (of_colors and _meaning_of(page) != _RGB):
        source.note(f"names {', '.join(of_colors)[:60]} as the values without data (NODATA_VALUES), which is not used")
        of_colors = []
    if _NODATA_TAG not in page.tags and not of_colors:
        return None
    text = str(page.tags[_NODATA_TAG].value) if _NODATA_TAG in page.tags else of_colors[0]
    try:
        return nodata_of_text(text, page.dtype)
    except (ValueError, OverflowError):
        source.note(f"names {text[:40]!r} as the value without data (nodata), which is no number and is not used")
        return None


def _apply_palette(indices: np.ndarray, colormap: np.ndarray) -> np.ndarray:
    """Look (H, W) indices up in a (3, N) 16-bit color map; return (H, W, 3) uint8."""
    # Some writers put 8-bit colors into the 16-bit map.
    table = colormap if colormap.max() < 256 else colormap >> 8
    return np.take(np.ascontiguousarray(table.T.astype(np.uint8)), indices, axis=0)


def _rgb_from_cmyk(inks: np.ndarray) -> np.ndarray:
    """Convert (H, W, 4) unsigned CMYK to (H, W, 3) RGB: each color is (1 - ink)(1 - black)."""
    full = np.iinfo(inks.dtype).max
    colors = np.empty((*inks.shape[:2], 3), dtype=inks.dtype)
    for rows in row_blocks(inks.shape):
        light = full - inks[rows].astype(np.float64)
        colors[rows] = np.rint(light[..., :3] * light[..., 3:] / full)
    return colors


def _straight_alpha(pixels: np.ndarray) -> np.ndarray:
    """Divide the colors of (H, W, C) by their last channel, alpha, where it is not zero."""
    full = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1
    straight = pixels.copy()
    for rows in row_blocks(pixels.shape):
        colors, alpha = pixels[rows, :, :-1].astype(np.float64), pixels[rows, :, -1:].astype(np.float64)
        colors = np.divide(colors * full, alpha, out=colors, where=alpha != 0)
        if pixels.dtype.kind in "ui":
            colors = np.clip(np.rint(colors), 0, full)
        straight[rows, :, :-1] = colors
    return straight
