"""Read any still image a person has, at its true depth, or say in one line why it cannot be read."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from finer_core.errors import InputError
from finer_image.decode_arrays import decode_hdr, decode_netpbm, decode_npy
from finer_image.decode_exr import decode_exr
from finer_image.decode_pillow import decode_pillow, decode_png
from finer_image.decode_tiff import decode_tiff
from finer_image.image_source import DecodedImage, ImageSource, file_error
from finer_image.pixels import Image

Decoder = Callable[[ImageSource], DecodedImage]
Result = TypeVar("Result")

READABLE = "PNG, JPEG, TIFF, WebP, BMP, GIF, AVIF, JPEG 2000, QOI, ICO, TGA, PSD, PNM, PFM, EXR, HDR or .npy"
_SIGNATURES: tuple[tuple[bytes, str, Decoder], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG", decode_png),
    (b"\xff\xd8\xff", "JPEG", partial(decode_pillow, format_name="JPEG")),
    *((magic, "TIFF", decode_tiff) for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"v/1\x01", "EXR", decode_exr),
    *((magic, "HDR", decode_hdr) for magic in (b"#?RADIANCE", b"#?RGBE")),
    (b"\x93NUMPY", ".npy", decode_npy),
    *((b"P" + kind, "Netpbm", decode_netpbm) for kind in (b"2", b"3", b"5", b"6", b"f", b"F")),
    *((b"P" + kind, "PBM", partial(decode_pillow, format_name="PPM")) for kind in (b"1", b"4")),
    (b"BM", "BMP", partial(decode_pillow, format_name="BMP")),
    *((magic, "GIF", partial(decode_pillow, format_name="GIF")) for magic in (b"GIF87a", b"GIF89a")),
    (b"qoif", "QOI", partial(decode_pillow, format_name="QOI")),
    (b"8BPS", "PSD", partial(decode_pillow, format_name="PSD")),
    (b"\0\0\1\0", "ICO", partial(decode_pillow, format_name="ICO")),
    (b"\0\0\0\x0cjP  ", "JPEG 2000", partial(decode_pillow, format_name="JPEG2000")),
    (b"\xff\x4f\xff\x51", "JPEG 2000", partial(decode_pillow, format_name="JPEG2000")),
)


def read_image(path: str | os.PathLike[str], *, memory_bytes: int | None = None) -> Image:
    """Read one still image.

    The format is recognised by content, not by suffix. Pictures come out upright (all 8 EXIF orientations),
    in native byte order, at the depth the file stores; palettes, CMYK, YCbCr, Lab and HSV become RGB. A file
    is read whole or refused: a cut one never gives a partly grey picture. Of several pages or frames the
    first is used, with a logged warning.

    Args:
        path: The file.
        memory_bytes: Most bytes the decoded pixels may take, checked before decoding; None for no limit.

    Returns:
        The image.

    Raises:
        InputError: One line naming the file and the reason: missing, a folder, unreadable, empty, not an
            image, cut, corrupt, too large, a decompression bomb, of wrong rank or dtype, or holding NaN or
            infinite values.
    """
    path = Path(path)
    with open_file(path) as handle:
        source = ImageSource(
            path=path, handle=handle, file_bytes=os.fstat(handle.fileno()).st_size, memory_bytes=memory_bytes
        )
        format_name, decoder = recognise(source)
        decoded = decode_guarded(source, format_name, decoder)
    try:
        return Image.from_pixels(
            _upright(decoded.pixels, decoded.orientation),
            mode=decoded.mode,
            channel_names=decoded.channel_names,
            icc_profile=decoded.icc_profile,
            source_mode=decoded.source_mode,
        )
    except InputError as error:
        raise file_error(path, error) from None


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading, or raise the one-line reason why not."""
    try:
        if path.is_dir():
            raise file_error(path, "is a folder; name one image file in it")
        if path.exists() and not path.is_file():
            raise file_error(path, "is not a regular file; save the image to a file first")
        return path.open("rb")
    except FileNotFoundError:
        raise file_error(path, f"no such file; check the spelling and the folder {Path.cwd()}") from None
    except PermissionError:
        raise file_error(path, "permission denied; make the file readable for this user") from None
    except OSError as error:
        raise file_error(path, f"cannot be opened ({error.strerror}); check the path") from None


def recognise(source: ImageSource) -> tuple[str, Decoder]:
    """Tell the format from the first bytes; the handle is left at the start."""
    head = source.handle.read(32)
    source.handle.seek(0)
    if not head:
        raise source.error("is empty (0 bytes); copy or download it again")
    for magic, name, decoder in _SIGNATURES:
        if head.startswith(magic):
            return name, decoder
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP", partial(decode_pillow, format_name="WEBP")
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return "AVIF", partial(decode_pillow, format_name="AVIF")
    if source.path.suffix.lower() == ".tga":  # TGA has no signature.
        return "TGA", partial(decode_pillow, format_name="TGA")
    raise source.error(f"is not an image that can be read (it starts with {head[:12]!r}); give a {READABLE} file")


def decode_guarded(source: ImageSource, format_name: str, decoder: Callable[[ImageSource], Result]) -> Result:
    """Run what reads a file with an imaging library, turning whatever its library raises into one line."""
    try:
        return decoder(source)
    except InputError:
        raise
    except ImportError as error:
        raise source.error(error) from None
    except MemoryError:
        raise source.error("does not fit in this machine's memory; give a smaller image") from None
    except Exception as error:  # Each imaging library has its own family of exceptions for broken files.
        reason = str(error) or type(error).__name__
        raise source.error(f"is a truncated or corrupt {format_name} ({reason}); copy or download it again") from error


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (H, W, ...) pixels so that their EXIF orientation becomes 1."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    # After the transposition: 6 and 7 mirror columns, 7 and 8 mirror rows.
    flip_rows, flip_columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
