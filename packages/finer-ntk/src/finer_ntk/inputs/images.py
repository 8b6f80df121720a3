"""Read pictures as target signals."""

import dataclasses
import math
import re
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.io.pictures import opened_picture
from finer_core.resources import check_room
from finer_ntk.inputs.points import Points, pixel_points, stride_for

_BYTES_A_PIXEL = 16
"""Of a picture that is decoded, turned and converted, at most."""
_KIND_OF_PAGE, _DESCRIPTION, _NODATA = 254, 270, 42113
"""Tags of TIFF."""


def image_points(path: str, *, limit: int, memory: int | None = None) -> Points:
    """Return an image's pixels as points, upright as its EXIF says, with their values in [-1, 1] as the target.

    Gray of more than 8 bits is scaled to its own range.

    Args:
        path: The file.
        limit: Most points; every s-th row and column of a larger image.
        memory: Bytes that the process may take; None for no limit.

    Raises:
        InputError: If it is missing, no picture, has no room, holds values that are none, or a reduced copy first.
    """
    from PIL import ImageOps

    with opened_picture(path) as file:
        needed = _BYTES_A_PIXEL * file.height * file.width
        check_room(needed, memory, what=f"reading {file.height}x{file.width} pixels", advice="give a smaller picture")
        tags = dict(getattr(file, "tag_v2", {}))
        notes = _notes(file, tags)
        upright = ImageOps.exif_transpose(file)
        deep = upright.mode.startswith(("I", "F"))
        whole = np.asarray(upright if deep else upright.convert("L" if upright.mode in ("1", "L", "LA") else "RGB"))
        low, high = (float(whole.min()), float(whole.max())) if deep else (0.0, 255.0)
        _check_values(whole, tags)
        if not math.isfinite(high - low):
            raise InputError("pixels hold NaN or infinity")
    height, width = whole.shape[:2]
    points = pixel_points(height, width, limit=limit)
    step = stride_for(height, width, limit=limit)
    values = (whole[::step, ::step].astype(np.float64) - low) / ((high - low) or 1.0)
    target = 2 * values.reshape(len(points.coords), -1) - 1
    return dataclasses.replace(points, target=target, what=f"{path}: {points.what}", notes=notes)


def _notes(file: Any, tags: dict[int, Any]) -> tuple[str, ...]:
    """Return what a picture file holds besides what is taken.

    Raises:
        InputError: If its first picture is a reduced copy of another.
    """
    if int(tags.get(_KIND_OF_PAGE, 0)) & 1:
        raise InputError("its first picture is a thumbnail, as in raw photographs; convert it to PNG or TIFF")
    notes = []
    stack = re.search(r"^images=(\d+)", str(tags.get(_DESCRIPTION, "")), re.MULTILINE)
    pages = 1 if file.format in ("MPO", "ICO") else max(getattr(file, "n_frames", 1), int(stack[1]) if stack else 1)
    if pages > 1:
        notes.append(f"it holds {pages} pictures; took the first")
    if "A" in file.getbands() or "transparency" in file.info:
        notes.append("left out its transparency")
    return tuple(notes)


def _check_values(pixels: np.ndarray, tags: dict[int, Any]) -> None:
    """Refuse pixels of the value that a GeoTIFF names for no data."""
    if _NODATA not in tags:
        return
    named = float(str(tags[_NODATA]).strip("\0 "))
    empty = int((pixels == pixels.dtype.type(named) if math.isfinite(named) else ~np.isfinite(pixels)).sum())
    if empty:
        raise InputError(f"{empty} of {pixels.size} values are its no-data value {named:g}; fill or crop them")
