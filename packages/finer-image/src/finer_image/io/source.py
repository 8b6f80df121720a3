"""Carry an open image file from the reader to the decoders, with its limits and what there is to say."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import printable

# Pillow's own hard limit, twice its warning level. A larger image must not expand more than MAX_EXPANSION.
BOMB_PIXELS = 178_956_970
# Photographs and renderings expand 2 to 50 times; only nearly empty pictures, such as bombs, exceed this.
MAX_EXPANSION = 200
_LONGEST_MESSAGE, _LONGEST_NAME = 300, 130


def file_error(path: Path, reason: object) -> InputError:
    """Make the one-line error for a file, of at most 300 characters, for the caller to raise.

    Args:
        path: The file.
        reason: What is wrong and what to do, starting with a verb; line breaks are flattened.

    Returns:
        The error.
    """
    name = _short_name(path)
    text, room = " ".join(str(reason).split()), _LONGEST_MESSAGE - len(name) - 2
    if len(text) > room:  # What is wrong stands at its beginning, what to do at its end.
        text = f"{text[: room - 75]} ... {text[-70:]}"
    return InputError(f"{name}: {text}")


def named(path: Path, error: InputError) -> InputError:
    """Return an error with the file's name, if it does not begin with it yet."""
    return error if str(error).startswith(f"{_short_name(path)}: ") else file_error(path, error)


def _short_name(path: Path) -> str:
    name = printable(path)
    return name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSource:
    """Describe an image file that is open for reading.

    Args:
        path: Where it is, for messages and for libraries that open files themselves.
        handle: The open file, at its start.
        file_bytes: Its length in bytes.
        memory_bytes: Most bytes the decoded pixels may take, or None for no limit.
        working_bytes: Most bytes that decoding may take with the pixels and all that it needs beside, or None.
        takes_parts: Whether the caller can do with parts of an image that is too large.
        notes: What the user should know about what is read, a sentence each.
    """

    path: Path
    handle: BinaryIO
    file_bytes: int
    memory_bytes: int | None = None
    working_bytes: int | None = None
    takes_parts: bool = False
    notes: list[str] = field(default_factory=list)

    def error(self, reason: object) -> InputError:
        """Make the one-line error for this file; see `file_error`."""
        return file_error(self.path, reason)

    def note(self, text: str) -> None:
        """Keep a sentence that the user should read, without the file's name."""
        self.notes.append(text)

    def check_size(
        self, *, height: int, width: int, channels: int, item_bytes: int, beside: int = 0, in_parts: bool = False
    ) -> None:
        """Refuse a declared size before anything of that size is allocated.

        Args:
            height: Declared rows.
            width: Declared columns.
            channels: Channels after decoding.
            item_bytes: Bytes of one decoded value.
            beside: Bytes that decoding takes beside the decoded pixels.
            in_parts: Whether the image can be read in parts, so that it need not fit into the memory if the caller
                can do with parts.

        Raises:
            InputError: The image is empty, does not fit into the memory, or is a decompression bomb.
        """
        size = f"{width} x {height} pixels of {channels} x {item_bytes} bytes"
        if min(height, width, channels) < 1:
            raise self.error(f"declares {size}, which is no image")
        decoded = height * width * channels * item_bytes
        for needed, limit, purpose in (
            (decoded, self.memory_bytes, "for pixels"),
            (decoded + beside, self.working_bytes, "to decode it"),
        ):
            if limit is not None and needed > limit and not (in_parts and self.takes_parts):
                raise self.error(
                    f"needs {needed:,} bytes ({size}) but --memory leaves {limit:,} {purpose}; "
                    "raise it, or store the image as .npy, TIFF or Zarr, which are read in parts"
                )
        # Four channels count as a pixel: a bomb may as well declare one pixel of a thousand million channels.
        if height * width * max(1, channels // 4) > BOMB_PIXELS and decoded > MAX_EXPANSION * self.file_bytes:
            raise self.error(
                f"declares {size} in a file of {self.file_bytes:,} bytes, which looks like a decompression "
                "bomb; if it is genuine, store it uncompressed (.npy or .tif)"
            )

    @property
    def most_pixels(self) -> int:
        """Pixels of the largest picture that `check_size` lets pass, whatever its channels."""
        limits = [limit for limit in (self.memory_bytes, self.working_bytes) if limit is not None]
        return max(1, min([max(BOMB_PIXELS, MAX_EXPANSION * self.file_bytes), *limits]))


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedImage:
    """Hold what a decoder found in a file, before it is turned upright and checked.

    Args:
        pixels: (H, W) or (H, W, C) as stored.
        mode: One of `finer_image.io.image.MODES`, or None to take it from the channel count.
        orientation: EXIF orientation, 1 to 8; anything else counts as 1, upright.
        channel_names: Names of the channels where the file has them.
        icc_profile: Color profile that applies to `pixels`, or None.
        source_mode: The file's own mode where it differs from `mode`.
        nodata: Value of the pixels that hold no data, or None.
    """

    pixels: np.ndarray
    mode: str | None = None
    orientation: int = 1
    channel_names: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    source_mode: str = ""
    nodata: int | float | None = None
