"""Open picture files with Pillow, which is a dependency of the packages that read some."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import reason_of
from finer_core.io.jpeg import never_half
from finer_core.surroundings import native_silence, no_warnings, once_for_all_threads

_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "TGA", "ICO", "JPEG2000", "AVIF")
"""Formats of pictures; Pillow has others, of which some start other programs."""
_KIND_OF_PAGE, _PHOTOMETRIC, _DESCRIPTION, _SAMPLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 254, 262, 270, 277, 338, 339
"""Tags of TIFF."""
_WHITE_IS_ZERO, _SIGNED = 0, 2
"""Values of two of them."""
_NATIVE_ORDER = {"F;32BF": "F;32NF", "I;32BS": "I;32NS", "I;16BS": "I;16NS"}
"""Pillow's names of big-endian samples, and of those that libtiff has brought into the machine's order."""


@once_for_all_threads
@contextmanager
def long_words() -> Iterator[None]:
    """Let Pillow unpack as much of one text of a PNG as it takes of all together: XMP and drawings may be long."""
    from PIL import PngImagePlugin

    before = PngImagePlugin.MAX_TEXT_CHUNK
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
    try:
        yield
    finally:
        PngImagePlugin.MAX_TEXT_CHUNK = before


@contextmanager
def opened_picture(source: str | os.PathLike[str] | bytes) -> Iterator[Any]:
    """Open a picture, not decoded yet; what libraries print or warn of in the meantime reaches nobody.

    Yields:
        The `PIL.Image.Image`.

    Raises:
        InputError: One line with the file and the reason for whatever is raised in the block, by decoders or by checks.
    """
    from PIL import Image

    name = "its content" if isinstance(source, bytes) else source
    if not isinstance(source, bytes) and not os.path.isfile(source):  # a pipe would be waited for
        raise InputError(f"{name}: no such file")
    try:
        # They warn of odd metadata and large pictures: memory is checked by the header.
        with no_warnings(), native_silence(), long_words(), np.errstate(all="ignore"):
            Image.init()
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(file, formats=[each for each in _FORMATS if each in Image.OPEN]) as picture:
                if picture.format == "TIFF":
                    _check_deep(picture)
                if picture.format == "PPM":
                    _skip_line_end(picture)
                yield never_half(picture) if picture.format in ("JPEG", "MPO") else picture
    except Exception as error:  # decoders raise what they please for damaged data
        raise InputError(f"{name}: cannot be read as a picture ({reason_of(error)})") from error


def _check_deep(picture: Any) -> None:
    """Let Pillow decode deep samples of a TIFF as they are meant: it turns the bytes of packed big-endian ones twice.

    Raises:
        InputError: If zero stands for white in more than 8 bits, which it takes for black.
    """
    picture.tile = [
        tile._replace(args=(_NATIVE_ORDER.get(tile.args[0], tile.args[0]), *tile.args[1:]))
        if tile.codec_name == "libtiff"
        else tile
        for tile in picture.tile
    ]
    if picture.mode[:1] in "IF" and picture.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise InputError("zero stands for white in it, in more than 8 bits; save it with zero for black")


def _skip_line_end(picture: Any) -> None:
    """Let Pillow begin behind the second character of a line end, with which DOS ends the header of a PPM, too."""
    (tile,) = picture.tile
    picture.fp.seek(tile.offset - 1)
    ends_so = picture.fp.read(2) == b"\r\n"
    values = picture.fp.seek(0, os.SEEK_END) - tile.offset - 1
    if ends_so and values in [size * picture.width * picture.height * len(picture.getbands()) for size in (1, 2, 4)]:
        picture.tile = [tile._replace(offset=tile.offset + 1)]


def has_sign(picture: Any) -> bool:
    """Return whether an opened TIFF says that its samples have a sign."""
    return set(np.ravel(getattr(picture, "tag_v2", {}).get(_SAMPLE_FORMAT, 1))) == {_SIGNED}


def count_pages(picture: Any) -> int:
    """Return how many pictures an opened file holds; reduced copies of the first, as in MPO and ICO, do not count.

    Raises:
        InputError: If its first picture is a reduced copy of another.
    """
    tags = getattr(picture, "tag_v2", {})
    if int(tags.get(_KIND_OF_PAGE, 0)) & 1:
        raise InputError("its first picture is a thumbnail, as in raw photographs; convert it to PNG or TIFF")
    if picture.format in ("MPO", "ICO"):
        return 1
    stack = re.search(r"^images=(\d+)", str(tags.get(_DESCRIPTION, "")), re.MULTILINE)  # ImageJ counts here
    return max(getattr(picture, "n_frames", 1), int(stack[1]) if stack else 1)


def is_transparent(picture: Any) -> bool:
    """Return whether an opened picture has an alpha channel or a transparent color."""
    return not {"A", "a"}.isdisjoint(picture.getbands()) or "transparency" in picture.info


def samples_left_out(picture: Any) -> int:
    """Return how many channels of an opened TIFF are neither color nor transparency, and are not decoded."""
    stored = int(getattr(picture, "tag_v2", {}).get(_SAMPLES, 0))
    return max(0, stored - sum(band != "X" for band in picture.getbands()))


def has_unnamed_alpha(picture: Any) -> bool:
    """Return whether an opened TIFF does not say what its last channel is, which is taken for transparency."""
    tags = getattr(picture, "tag_v2", None)
    return tags is not None and _EXTRA_SAMPLES not in tags and is_transparent(picture)


def converted(picture: Any, mode: str) -> Any:
    """Return an opened picture in another mode of Pillow's, which goes from gray with alpha times it only by LA."""
    return (picture.convert("LA") if picture.mode == "La" else picture).convert(mode)
