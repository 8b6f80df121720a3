"""Read points from files: pictures, NumPy arrays, archives of them, and text tables."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from finer_core.errors import InputError
from finer_core.io.arrays import read_arrays
from finer_core.io.files import input_suffix, reason_of
from finer_core.io.pictures import (
    converted,
    count_pages,
    has_sign,
    is_transparent,
    opened_picture,
    samples_left_out,
)
from finer_core.io.text import float_of
from finer_core.io.text_table import read_text_table
from finer_core.resources import check_room
from finer_ntk.inputs.points import Points, pixel_points

_BYTES_A_PIXEL = 16
"""Of a picture that is decoded, turned and converted, at most."""
_NO_DATA = 42113
"""Tag of GeoTIFF: the value of pixels without data."""
_BITS, _CHANNELS = 258, 277
"""Tags of TIFF."""
_OTHER_SIGN = str.maketrans("iu", "ui")
_COPIES = 4
"""Arrays of a file's numbers that reading holds at once: as stored, in double precision, checked, as a tensor."""
_MOST_BYTES = 8 * 10**9
"""What they may take where no limit is given: a small archive may hold anything."""
_LARGEST = 1e15
"""Coordinates beyond it have phases whose squares, as FINER takes them, are no single-precision numbers."""


def image_points(path: str, *, limit: int, memory: int | None = None) -> Points:
    """Return a picture's pixels as points, upright as its EXIF says, with their values in [-1, 1] as the target.

    Gray of more than 8 bits is scaled to its own range. At most `limit` points: every s-th row and column of a larger
    picture. InputError if it is none, has no room, or holds values that are none.
    """
    from PIL import ImageOps

    with opened_picture(path) as file:
        needed = _BYTES_A_PIXEL * file.height * file.width
        check_room(needed, memory, what=f"reading {file.height}x{file.width} pixels", advice="give a smaller picture")
        pages, tags = count_pages(file), getattr(file, "tag_v2", {})
        notes = [f"it holds {pages} pictures; took the first"] if pages > 1 else []
        notes += ["left out its transparency"] if is_transparent(file) else []
        more = samples_left_out(file)
        notes += [f"left out {more} of its {tags[_CHANNELS]} channels"] if more else []
        upright = ImageOps.exif_transpose(file)
        deep = upright.mode.startswith(("I", "F"))
        pixels = np.asarray(
            upright if deep else converted(upright, "L" if upright.mode in ("1", "L", "LA", "La") else "RGB")
        )
        is_whole = pixels.dtype.kind in "iu" and tuple(np.ravel(tags.get(_BITS, 0))) == (8 * pixels.itemsize,)
        if is_whole and has_sign(file) != (pixels.dtype.kind == "i"):  # which Pillow read the other way
            deep, pixels = True, pixels.view(pixels.dtype.str.translate(_OTHER_SIGN))
        if _NO_DATA in tags:
            _refuse_no_data(pixels, str(tags[_NO_DATA]).strip("\0 "))
        low, high = (float(pixels.min()), float(pixels.max())) if deep else (0.0, 255.0)
        if not np.isfinite(high - low):
            raise InputError("pixels hold NaN or infinity")
    points = pixel_points(*pixels.shape[:2], limit=limit, pixels=pixels)
    assert points.target is not None
    target = 2 * ((points.target - low) / ((high - low) or 1.0)) - 1
    return dataclasses.replace(points, target=target, what=f"{path}: {points.what}", notes=tuple(notes))


def _refuse_no_data(pixels: np.ndarray, text: str) -> None:
    value = float_of(text, pixels.dtype) if pixels.dtype.kind == "f" else float(text)
    empty = int((pixels == value if np.isfinite(value) else ~np.isfinite(pixels)).sum())
    if empty:
        raise InputError(f"{empty} of {pixels.size} values are its no-data value {value:g}; fill or crop them")


def file_points(path: str, *, memory: int = _MOST_BYTES) -> Points:
    """Read points from .npy (n, d), .npz (`points`, and `target` if wanted), or text; InputError for anything else."""

    def claim(count: int) -> None:
        check_room(8 * _COPIES * count, memory, what=f"reading {count} numbers", advice="give fewer points")

    try:
        stored, notes = FORMATS[input_suffix(Path(path), known=FORMATS)](Path(path), claim)
        for table in stored.values():
            claim(table.size)
            if table.dtype.kind not in "biuf":
                raise InputError(f"{table.dtype} values, not real numbers")
    except Exception as error:  # a damaged file makes NumPy and zipfile raise anything
        raise InputError(f"{path}: cannot be read as points ({reason_of(error)})") from error
    coords = np.array(stored["points"], dtype=np.float64)
    coords = coords[:, None] if coords.ndim == 1 else coords
    if coords.ndim != 2 or not coords.size:
        raise InputError(f"{path}: expected points of shape (n, coordinates), got {coords.shape}")
    if not np.isfinite(coords).all():
        raise InputError(f"{path}: point {int(np.argwhere(~np.isfinite(coords))[0, 0])} holds NaN or infinity")
    largest = float(np.abs(coords).max())
    if largest > _LARGEST:
        raise InputError(f"{path}: a coordinate of {largest:g}; they must be within {_LARGEST:g}, mostly within 1")
    target = None
    if "target" in stored:
        target = np.atleast_1d(np.array(stored["target"], dtype=np.float64))
        if len(target) != len(coords) or not target.size or not np.isfinite(target).all():
            raise InputError(f"{path}: a target of shape {target.shape} for {len(coords)} points, or not finite")
        target = target.reshape(len(coords), -1)
    what = f"{path}: {len(coords)} points"
    return Points(coords=torch.from_numpy(coords), shape=None, target=target, what=what, notes=tuple(notes))


_Stored = tuple[dict[str, np.ndarray], list[str]]
"""The arrays "points" and perhaps "target", and what was taken for something or left out, a sentence each."""


def _read_arrays(path: Path, claim: Callable[[int], None]) -> _Stored:
    wanted = (("points", "target"), ("points",))
    return read_arrays(path, wanted=wanted, claim=lambda size: claim(size // 8)), []


def _read_text(path: Path, claim: Callable[[int], None]) -> _Stored:
    """Read a text table; a cloud (.xyz) without what follows the position, a normal or a color."""
    claim(path.stat().st_size // 2)
    read = read_text_table(path)
    values, notes = read.values, []
    if not len(values):
        raise InputError("no points in it")
    if read.commas == "decimal":
        notes.append("its commas are read as decimal commas")
    elif read.commas == "separate" and not read.points and (values == np.floor(values)).all():
        notes.append(f"its commas are read as between {read.columns} whole numbers a row, not as decimal commas")
    if path.suffix.lower() == ".xyz" and read.columns > 3:
        notes.append(f"left out its columns 4 to {read.columns}")
        values = values[:, :3]
    return {"points": values}, notes


FORMATS: dict[str, Callable[[Path, Callable[[int], None]], _Stored]] = {
    **dict.fromkeys((".npy", ".npz"), _read_arrays),
    **dict.fromkeys((".csv", ".txt", ".xyz"), _read_text),
}
"""Readers by suffix; each tells how many numbers there are, as soon as it knows, to what refuses too many."""
