"""Read the pictures that files of surfaces name or hold."""

from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import reason_of
from finer_core.io.pictures import converted, opened_picture
from finer_sdf.geometry.raw import Room
from finer_sdf.geometry.textures import Texture


def read_texture(source: Path | bytes, room: Room) -> Texture:
    """Read a picture.

    Raises:
        InputError: If it cannot be read as a picture.
    """
    with opened_picture(source) as picture:
        return texture_of(picture, room)


def texture_of(picture: Any, room: Room) -> Texture:
    """Return an opened picture of Pillow's; what is transparent in it has its color all the same.

    Raises:
        InputError: If it does not fit, or has more than 8 bits a channel.
    """
    width, height = picture.size
    room.claim(text=6 * width * height)  # half of what the picture and its copies take
    if picture.mode.startswith(("I", "F")):
        raise InputError(f"its pixels are of mode {picture.mode}; save it with 8 bits a channel")
    texture = Texture(pixels=np.array(converted(picture, "RGB")))
    room.pictures.append(texture.pixels.nbytes)
    return texture


def reason_for(error: Exception) -> str:
    """Return why a picture, or the file that names it, cannot be read."""
    return str(error) if isinstance(error, InputError) else reason_of(error)


def neighbor(folder: Path, name: str, *, what: str = "it is") -> Path:
    """Return a file that stands beside the one that names it or below its folder.

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
