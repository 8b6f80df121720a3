"""Read the pictures that files of surfaces name or hold."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.io.pictures import opened_picture
from finer_sdf.geometry.raw import Room
from finer_sdf.geometry.textures import Texture


def read_texture(source: Path | bytes, room: Room, *, held: Collection[Texture]) -> Texture:
    """Read a picture; what is transparent in it has its color all the same.

    Args:
        source: A file, or its content.
        room: Refuses what does not fit, before it is decoded.
        held: Textures that are in memory already.

    Raises:
        InputError: If it cannot be read as a picture.
    """
    with opened_picture(source) as picture:
        width, height = picture.size
        others = sum(texture.pixels.nbytes for texture in held)
        room.claim(text=6 * width * height + others // 2)  # half of what the picture, its copies and those take
        return Texture(pixels=pixels_of(picture))


def pixels_of(picture: Any) -> np.ndarray:
    """Return the colors of an opened picture of Pillow's, (h, w, 3) uint8; InputError if it has more than 8 bits."""
    if picture.mode.startswith(("I", "F")):
        raise InputError(f"its pixels are of mode {picture.mode}; save it with 8 bits a channel")
    return np.array(picture.convert("RGB"))


def neighbor(folder: Path, name: str, *, what: str = "it is") -> Path:
    """Return a file that stands beside the one that names it or below its folder.

    Args:
        folder: Of the file that names it.
        name: As that has it.
        what: Begins the message.

    Raises:
        InputError: If it is not there, or the name leads elsewhere: what is there is the user's own.
    """
    name = name.replace("\\", "/")
    parts = name.split("/")
    if not name or name.startswith("/") or ".." in parts or ":" in parts[0]:
        raise InputError(f"{what} in {name[:80]!r}, which is not in its folder; keep the files together")
    if not (folder / name).is_file():
        raise InputError(f"{what} in {name[:80]!r}, which is not there; keep the files together")
    return folder / name
