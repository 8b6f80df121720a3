"""Read pictures and masks as bytes, and make them smaller as the published loader does."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from finer_core.errors import InputError
from finer_core.io.pictures import (
    converted,
    count_pages,
    has_sign,
    has_unnamed_alpha,
    is_transparent,
    opened_picture,
    samples_left_out,
)
from finer_core.io.text import counted
from finer_nerf.scenes.checks import brief


class Header(NamedTuple):
    """What a picture says of itself before it is decoded.

    Attributes:
        height: In pixels, as stored.
        width: In pixels, as stored.
        channels: 3, or 4 with transparency.
        orientation: EXIF's; 1 for none.
        pages: Pictures in the file.
        other: What happens to channels that do not say that they are color or transparency; empty without such.
    """

    height: int
    width: int
    channels: int
    orientation: int
    pages: int
    other: str


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read what a picture says of itself, without decoding it; InputError if it is missing or no picture."""
    with opened_picture(path) as picture:
        # Pillow turns TIFF files by itself when it decodes them; and a PNG's own getexif decodes it.
        orientation = 1 if picture.format == "TIFF" else Image.Image.getexif(picture).get(ExifTags.Base.Orientation, 1)
        channels = 4 if is_transparent(picture) else 3
        other = "channels that are neither color nor transparency, which are left out"
        if has_unnamed_alpha(picture):
            other = "a fourth channel that does not say what it is, taken for transparency"
        elif not samples_left_out(picture):
            other = ""
        return Header(picture.height, picture.width, channels, orientation, count_pages(picture), other)


def read_picture(path: str | os.PathLike[str], *, turn: bool = False) -> np.ndarray:
    """Read a picture as uint8 (height, width, 3), or 4 with straight alpha.

    Gray becomes RGB; 16-bit gray becomes 8-bit by rounding.

    Raises:
        InputError: If it is missing, no picture, or has values outside the range of its format.
    """
    with opened_picture(path) as stored:
        picture = ImageOps.exif_transpose(stored) if turn else stored
        if picture.mode.startswith("I") or picture.mode == "F":
            values = np.asarray(picture, dtype=np.float64)
            most = 65535.0 if picture.mode.startswith("I") else 1.0
            if not (values.min() >= 0 and values.max() <= most):
                found = f"{values.min():.4g} to {values.max():.4g}"
                raise InputError(f"values from {found}; gray pictures of this kind have 0 to {most:g}")
            gray = np.rint(values / most * 255).astype(np.uint8)
            return np.repeat(gray[..., None], 3, axis=-1)
        if has_sign(stored):
            raise InputError("values with a sign; pictures have none")
        return np.asarray(converted(picture, "RGBA" if is_transparent(picture) else "RGB"))


def read_mask(masks: Sequence[tuple[Path, bool]], *, size: tuple[int, int], downscale: int) -> np.ndarray:
    """Return which pixels count, bool (height, width), of a picture reduced by `downscale`.

    A reduced pixel counts if every pixel that is averaged in it does. Pixels that a mask shows transparent are as black
    ones; of a mask of one color, only its transparency says something.

    Args:
        masks: Files, and whether black pixels count or the others do; a pixel counts if all files say so.
        size: Height and width of the picture.
        downscale: See `downscale_picture`.

    Raises:
        InputError: If a mask cannot be read or has another size than its picture.
    """
    counts = np.ones(size, dtype=bool)
    for path, black_counts in masks:
        header = read_header(path)
        if (header.height, header.width) != size:
            found = f"{header.height}x{header.width}"
            raise InputError(f"{path}: a mask of {found} for a picture of {size[0]}x{size[1]}; make them alike")
        with opened_picture(path) as picture:
            counts &= _marked(picture, is_lossy=_is_lossy(path, picture.format)) != black_counts
    reduced = downscale_picture(np.where(counts, np.uint8(0), np.uint8(255))[..., None], downscale, average=False)
    return reduced[..., 0] == 0


def _is_lossy(path: Path, kind: str | None) -> bool:
    """Return whether pixels of a picture may be others than were saved, next to an edge."""
    return kind in ("JPEG", "MPO", "JPEG2000", "AVIF") or (kind == "WEBP" and b"VP8L" not in path.read_bytes())


def _marked(mask: Image.Image, *, is_lossy: bool) -> np.ndarray:
    """Return which pixels of a mask are neither black nor transparent, bool (height, width)."""
    gray = mask.mode[:1] in "1LIF" and not is_transparent(mask)  # as stored: others have no shares, or another range
    bands = np.asarray(mask if gray else converted(mask, "RGBA")).reshape(mask.height, mask.width, -1)
    colors, opaque = bands[..., :3], bands[..., -1] > 0
    if opaque.all() or (colors != colors[0, 0]).any():
        brightest = colors.max(axis=-1)
        # So much rounding leaves next to an edge; lossy WebP makes 1 of black even where there is none.
        black = max(brightest.max() / 2, 1 if mask.format == "WEBP" else 0) if is_lossy else 0
        opaque = opaque & (brightest > black)
    return np.asarray(opaque)


def downscale_picture(picture: np.ndarray, factor: int, *, average: bool = True) -> np.ndarray:
    """Return a picture at a `factor`-th of its size, by area averaging.

    Formula: size // factor; every channel averaged by itself, colors straight and not weighted by alpha, rounded to 8
    bits (the published loader, held by golden vectors).

    Args:
        picture: uint8 (height, width, channels).
        factor: Divisor of the size.
        average: False for the least whole number that is not below the average, which is 0 of zeros only.

    Raises:
        InputError: If no pixel would be left.
    """
    if factor == 1:
        return picture
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    if min(height, width) < 1:
        raise InputError(f"--downscale {factor} leaves no pixel of a picture of {picture.shape[0]}x{picture.shape[1]}")
    rounded = np.rint if average else np.ceil
    if picture.shape[0] % height == 0 and picture.shape[1] % width == 0:
        tall, wide = picture.shape[0] // height, picture.shape[1] // width
        blocks = picture.reshape(height, tall, width, wide, -1).sum(axis=(1, 3), dtype=np.int64)
        if tall == wide == 2 and average:
            return ((blocks + 2) // 4).astype(np.uint8)  # the library behind the published loader rounds halves up here
        return rounded(blocks.astype(np.float32) * np.float32(1 / (tall * wide))).astype(np.uint8)
    rows = _area_weights(picture.shape[0], height)
    columns = _area_weights(picture.shape[1], width).T
    reduced = np.empty((height, width, picture.shape[2]), dtype=np.uint8)
    for channel in range(picture.shape[2]):  # one after another: float64 takes eight times a channel's bytes
        averaged = rows @ picture[..., channel].astype(np.float64) @ columns
        reduced[..., channel] = np.clip(rounded(averaged), 0, 255)
    return reduced


def _area_weights(old: int, new: int) -> np.ndarray:
    """Return the share of each old line in each new one, (new, old)."""
    edges = np.linspace(0, old, new + 1)
    left, right = edges[:-1, None], edges[1:, None]
    covered = np.minimum(right, np.arange(1, old + 1)) - np.maximum(left, np.arange(old))
    return np.clip(covered, 0, None) / (right - left)


def find_picture(folder: Path, name: str) -> Path | None:
    """Return the picture that a frame names, with or without its suffix and with either slash, or None."""
    for spelled in dict.fromkeys((name, name.replace("\\", "/"))):
        for suffix in ("", ".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".webp"):
            candidate = os.path.join(folder, spelled + suffix)
            if os.path.isfile(candidate):  # False, and no error, for a name that no file system takes
                return Path(candidate)
    return None


def missing_note(missing: Sequence[str]) -> list[str]:
    """Return the note on frames whose pictures are missing."""
    if not missing:
        return []
    return [f"{counted(len(missing), 'frame')} skipped: the picture is missing (the first: {brief(missing[0])})"]
