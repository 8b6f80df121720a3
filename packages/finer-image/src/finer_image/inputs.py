"""The image that is worked on: a file of any size, the built-in one, or what a program holds in memory."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from finer_core.casts import as_array
from finer_core.errors import InputError
from finer_core.io.files import reason_of
from finer_core.io.text import notes_of
from finer_image import memory as budget
from finer_image.config import BUILT_IN
from finer_image.io.formats.pillow import in_bands, lost_profile, mode_after_decoding, orientation_of
from finer_image.io.image import Image
from finer_image.io.opening import open_image
from finer_image.io.raster import Raster
from finer_image.io.reader import log_notes

_AS_THEY_ARE = ("1", "L", "LA", "RGB", "RGBA", "F", "I", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes of Pillow's pictures that are arrays of their own pixels; the others are converted."""
_DEEP_GRAY = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Those that hold a PNG of 16 bits, which Pillow's conversion would cut off at 255."""
_OPAQUE = 65535
_WITH_CHANNELS = 3
_LAST_ORIENTATION = 8


def as_image(image: Any, *, memory: int, copies: int = 2) -> Raster:
    """Take what a program calls an image.

    Args:
        image: An array or a tensor (H, W) or (H, W, C) of any real type, an `Image`, a picture of Pillow's, or a path:
            see `open_signal`. Pillow's palettes, CMYK, YCbCr, Lab and HSV become RGB.
        memory: Bytes the process may use; a file that does not fit is read in parts.
        copies: Arrays of the image's size that the work keeps.

    Returns:
        The image; it shares memory with an array where nothing had to change.

    Raises:
        InputError: If it is none of these, or its pixels cannot be used.
    """
    if isinstance(image, Raster):
        return image
    if isinstance(image, str | os.PathLike):
        return open_signal(os.fspath(image), memory=memory, copies=copies)
    pillow = sys.modules.get("PIL.Image")  # who has a picture of Pillow's has loaded it
    if pillow and isinstance(image, pillow.Image):
        return _of_pillow(image)
    if isinstance(image, np.ma.MaskedArray):
        return _of_masked(image)
    try:
        pixels = as_array(image) if isinstance(image, Tensor) else np.asarray(image)
    except (ValueError, TypeError, RuntimeError) as error:  # of other lengths, or of no numbers, as on device meta
        raise InputError(f"the image, a {type(image).__name__}, cannot be read as an array: {error}") from error
    if pixels.dtype == object and not isinstance(image, np.ndarray):
        raise InputError(
            f"the image is one of type {type(image).__name__}; "
            "give an array, a tensor, an Image, a picture of Pillow's or a path"
        )
    return _named(pixels)


def _of_masked(image: np.ma.MaskedArray) -> Image:
    """Return an image whose masked pixels hold no data: NaN, or an integer that no other pixel has.

    A pixel is missing where any of its channels is masked; then it has the value in all of them, which of a color
    picture alone means that there is no data.
    """
    mask = np.ma.getmaskarray(image)
    if not mask.any():
        return _named(np.array(image.data))
    if image.ndim == _WITH_CHANNELS:
        mask = np.broadcast_to(mask.any(axis=-1, keepdims=True), image.shape)
        image = np.ma.masked_array(image.data, mask=mask, fill_value=image.fill_value)
    if image.dtype.kind == "f":
        return _named(image.filled(np.nan))
    if image.dtype.kind in "iu":
        limits, used = np.iinfo(image.dtype), image.compressed()
        for value in (int(image.fill_value), limits.max, limits.min):
            if limits.min <= value <= limits.max and not (used == value).any():
                return _named(image.filled(value), nodata=value)
    raise InputError(
        f"the image, a masked array of {image.dtype}, has no value left for its masked pixels; "
        "give image.astype(float).filled(numpy.nan)"
    )


def _of_pillow(picture: Any) -> Image:
    try:
        picture.load()  # what was opened is read only now
        np.array(picture.crop((0, 0, 1, 1)))  # of a closed one no pixel can be
    except (ValueError, OSError, SyntaxError, AssertionError, AttributeError) as error:
        raise InputError(
            f"the image, a picture of Pillow's, cannot be read ({reason_of(error)}); open it anew"
        ) from error
    transparent = picture.info.get("transparency")
    if picture.mode in _AS_THEY_ARE and (transparent is None or picture.mode in _DEEP_GRAY):
        mode, pixels = picture.mode, np.array(picture)
        if isinstance(transparent, int):  # the value that has none, as in the file
            pixels = np.dstack([pixels, np.where(pixels == transparent, 0, _OPAQUE).astype(pixels.dtype)])
    else:
        mode = mode_after_decoding(picture)
        pixels = in_bands(picture, mode)
    lost, turn = lost_profile(picture), orientation_of(picture)
    profile = None if lost else picture.info.get("icc_profile") or None
    turned = f"has the EXIF orientation {turn}, which is left aside; PIL.ImageOps.exif_transpose turns it upright"
    notes = notes_of({lost: lost, turned: 1 < turn <= _LAST_ORIENTATION})
    source_mode = "" if picture.mode == mode else picture.mode
    return _named(pixels, icc_profile=profile, source_mode=source_mode, notes=notes)


def _named(pixels: np.ndarray, **kind: Any) -> Image:
    try:
        image = Image.from_pixels(pixels, **kind)
    except InputError as error:
        raise InputError(f"the image {error}") from None
    log_notes("the image", image.notes)
    return image


def open_signal(signal: str | None, *, memory: int, copies: int = 2) -> Raster:
    """Open the input image, or the built-in one: in memory if it fits, else in parts if its format allows that.

    Args:
        signal: File name; None or "astronaut" for the built-in image, unless a file has that name.
        memory: Bytes the process may use.
        copies: Arrays of the image's size that the work keeps; see `room_for_pixels`.

    Returns:
        The image.

    Raises:
        InputError: If the file cannot be read as an image that fits into the memory.
    """
    if is_built_in(signal):
        from skimage import data

        return Image.from_pixels(data.astronaut())
    assert signal is not None
    room = max(0, memory - budget.PROCESS_BYTES)
    return open_image(
        signal,
        memory_bytes=budget.room_for_pixels(memory, copies=copies),
        cache_bytes=room // 4,
        working_bytes=room,
    )


def is_built_in(signal: str | None) -> bool:
    """Return whether the built-in image is meant: no name is given, or its own and no file has it."""
    return signal is None or (signal == BUILT_IN and not Path(signal).exists())
