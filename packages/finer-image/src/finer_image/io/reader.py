"""Read any still image a person has, at its true depth, or say in one line why it cannot be read."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from finer_core.errors import InputError, shortened
from finer_core.io.files import given_path
from finer_core.resources import parse_memory
from finer_core.surroundings import native_silence, no_warnings
from finer_image.io.formats.exr import decode_exr
from finer_image.io.formats.hdr import decode_hdr
from finer_image.io.formats.pillow import decode_pillow
from finer_image.io.formats.plain import decode_netpbm, open_npy
from finer_image.io.formats.png import decode_png
from finer_image.io.image import Image
from finer_image.io.library_guard import reading
from finer_image.io.source import DecodedImage, ImageSource, file_error, named
from finer_image.io.windows.reader import Parts
from finer_image.io.windows.tiff import open_tiff
from finer_image.io.windows.zarr import open_zarr
from finer_image.io.windows.zarr_metadata import is_zarr
from finer_image.memory import PROCESS_BYTES, room_for_pixels

logger = logging.getLogger(__name__)

Opened = DecodedImage | Parts


class Format(NamedTuple):
    """Say how a format is known and read.

    Attributes:
        name: What messages call it.
        suffixes: What its files usually end in.
        start: Pattern of its first 32 bytes.
        open: Checks a file and reads it, or returns what reads it in parts.
    """

    name: str
    suffixes: tuple[str, ...]
    start: bytes
    open: Callable[[ImageSource], Opened]


def _pillow(name: str, *suffixes: str, start: bytes, pillow_name: str = "") -> Format:
    return Format(name, suffixes, start, partial(decode_pillow, format_name=pillow_name or name.upper()))


FORMATS = (
    Format("PNG", (".png",), rb"\x89PNG\r\n\x1a\n", decode_png),
    _pillow("JPEG", ".jpg", ".jpeg", ".jpe", ".jfif", start=rb"\xff\xd8\xff"),
    Format("TIFF", (".tif", ".tiff", ".dng"), rb"(II[*+]\0|MM\0[*+])", open_tiff),
    Format("EXR", (".exr",), rb"v/1\x01", decode_exr),
    Format("HDR", (".hdr",), rb"#\?(RADIANCE|RGBE)", decode_hdr),
    Format(".npy", (".npy",), rb"\x93NUMPY", open_npy),
    Format("Netpbm", (".ppm", ".pgm", ".pnm", ".pfm"), rb"P[2356fF]", decode_netpbm),
    _pillow("PBM", ".pbm", start=rb"P[14]", pillow_name="PPM"),
    _pillow("BMP", ".bmp", start=rb"BM"),
    _pillow("GIF", ".gif", start=rb"GIF8[79]a"),
    _pillow("WebP", ".webp", start=rb"RIFF....WEBP"),
    _pillow("AVIF", ".avif", start=rb"....ftypavi[fs]"),
    _pillow("QOI", ".qoi", start=rb"qoif"),
    _pillow("PSD", ".psd", start=rb"8BPS"),
    _pillow("ICO", ".ico", start=rb"\0\0\x01\0"),
    _pillow("JPEG 2000", ".jp2", ".j2k", ".jpx", start=rb"(\0\0\0\x0cjP  |\xff\x4f\xff\x51)", pillow_name="JPEG2000"),
)
TGA = _pillow("TGA", ".tga", start=b"")
"""It has no signature."""
ZARR = Format("Zarr array", (".zarr",), b"", open_zarr)
READABLE = "PNG, JPEG, TIFF, WebP, BMP, GIF, AVIF, JPEG 2000, QOI, ICO, TGA, PSD, PNM, PFM, EXR, HDR or .npy"
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (rb"(II\*\0|MM\0\*)....CR|....ftypcrx |FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\0", "is raw camera data"),
    (rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "is a HEIF picture"),
    (rb"(\xff\x0a|\0\0\0\x0cJXL )", "is a JPEG XL picture"),
)
"""Patterns of files that hold pictures which are not read; the first would give a preview where it is read as TIFF."""


def read_image(path: str | os.PathLike[str], *, memory: str | int = "4GB") -> Image:
    """Read one still image.

    The format is recognized by content, not by suffix. Pictures come out upright (all 8 EXIF orientations),
    in native byte order, at the depth the file stores; palettes, CMYK, YCbCr, Lab and HSV become RGB. A file
    is read whole or refused: a cut one never gives a partly gray picture. Of several pages or frames the
    first is used; the image's notes, which are logged as warnings too, say so.

    Args:
        path: The file, or the folder of a Zarr array.
        memory: What the process may take; an image that needs more is refused before it is decoded.

    Returns:
        The image.

    Raises:
        InputError: One line naming the file and the reason: missing, unreadable, empty, not an image, cut, corrupt, too
            large, a decompression bomb, of wrong rank or dtype, or holding infinite values or no data at all.

    Example:
        >>> import numpy as np
        >>> from finer_image import read_image, write_image
        >>> path = write_image("black.png", np.zeros((4, 6, 3), dtype=np.uint8))
        >>> read_image(path).pixels.shape
        (4, 6, 3)
    """
    limit = parse_memory(memory)
    return load_image(path, memory_bytes=room_for_pixels(limit, copies=1), working_bytes=max(0, limit - PROCESS_BYTES))


def load_image(
    path: str | os.PathLike[str], *, memory_bytes: int | None = None, working_bytes: int | None = None
) -> Image:
    """Read an image as `read_image` does, within the limits that `opened` takes, in bytes."""
    with opened(given_path(path), memory_bytes=memory_bytes, working_bytes=working_bytes) as (source, content):
        return whole_image(source, content)


@contextmanager
def opened(
    path: Path, *, memory_bytes: int | None = None, working_bytes: int | None = None, takes_parts: bool = False
) -> Iterator[tuple[ImageSource, Opened]]:
    """Open an image by its format: this is where every file comes in, and where a library's errors become ours.

    Args:
        path: The file, or the folder of a Zarr array.
        memory_bytes: Most bytes the decoded pixels may take.
        working_bytes: Most bytes that decoding may take altogether.
        takes_parts: Whether an image that is too large may be returned for reading in parts.

    Yields:
        The open file with its notes, and its pixels or what reads them in parts.
    """
    with open_file(path) as handle, no_warnings():
        source = ImageSource(
            path=path,
            handle=handle,
            file_bytes=0 if is_zarr(path) else os.fstat(handle.fileno()).st_size,
            memory_bytes=memory_bytes,
            working_bytes=working_bytes,
            takes_parts=takes_parts,
        )
        with reading(path, "image"):
            kind = ZARR if is_zarr(path) else recognize(source)
        with reading(path, kind.name):
            with native_silence():
                content = kind.open(source)
            yield source, content


def whole_image(source: ImageSource, content: Opened) -> Image:
    """Return an opened image, held in memory, and log its notes.

    Raises:
        InputError: It is too large, cut or corrupt, or its pixels are of no kind that is supported.
    """
    decoded = content.whole(source) if isinstance(content, Parts) else content
    try:
        image = Image.from_pixels(
            _upright(decoded.pixels, decoded.orientation),
            mode=decoded.mode,
            channel_names=decoded.channel_names,
            icc_profile=decoded.icc_profile,
            source_mode=decoded.source_mode,
            nodata=decoded.nodata,
            notes=source.notes,
        )
    except InputError as error:
        raise named(source.path, error) from None
    log_notes(source.path, image.notes)
    return image


def log_notes(name: Path | str, notes: tuple[str, ...]) -> None:
    """Log what the user should know about an image; the commands print it."""
    for note in notes:
        logger.warning("%s", shortened(f"{name}: {note}"))


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading, or raise the one-line reason why not; a Zarr array gives an empty one."""
    try:
        if is_zarr(path):
            return BytesIO()
        if path.is_dir():
            raise file_error(path, "is a folder; name one image file in it")
        if path.exists() and not path.is_file():
            raise file_error(path, "is not a regular file; save the image to a file first")
        return path.open("rb")
    except InputError:
        raise
    except FileNotFoundError:
        raise file_error(path, f"no such file; check the spelling and the folder {Path.cwd()}") from None
    except PermissionError:
        raise file_error(path, "permission denied; make the file readable for this user") from None
    except (OSError, ValueError) as error:  # the latter for a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise file_error(path, f"cannot be opened ({reason}); check the path") from None


def recognize(source: ImageSource) -> Format:
    """Tell the format from the first bytes; the handle is left at the start."""
    head = source.handle.read(32)
    source.handle.seek(0)
    if not head:
        raise source.error("is empty (0 bytes); copy or download it again")
    for start, what in _REFUSED:
        if re.match(start, head, re.DOTALL):
            raise source.error(f"{what}, which is not read; save it as TIFF or PNG first")
    for known in FORMATS:
        if re.match(known.start, head, re.DOTALL):
            return known
    if source.path.suffix.lower() in TGA.suffixes:
        return TGA
    raise source.error(f"is not an image that can be read (it starts with {head[:12]!r}); give a {READABLE} file")


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (H, W, ...) pixels so that their EXIF orientation becomes 1."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    # After the transposition: 6 and 7 mirror columns, 7 and 8 mirror rows.
    flip_rows, flip_columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
