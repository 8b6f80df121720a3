"""Pixels without data: the value that a file names for them, and NaN. They are left out of fit and figures."""

import base64
import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from finer_core.io.text import float_of
from finer_core.shapes import Bool, Shaped

Nodata = int | float | None
"""A value that stands for "no data"; None if the file names none. NaN stands for it in any case."""
_GDAL_VALUES = re.compile(r"""<Item\b[^>]*\bname=["']NODATA_VALUES["'][^>]*>([^<]{1,1000})</Item>""")
_MOST_NAMED = 100
"""Values of a list of such values that are looked at."""


def nodata_of_text(text: str, dtype: np.dtype) -> Nodata:
    """Read a value that a file names for pixels without data.

    Returns:
        The value as the pixels hold it; None for NaN, and for a value that pixels of this type cannot have.

    Raises:
        ValueError: It is no number.
    """
    words = text.strip(" \t\n\0")
    if dtype.kind == "f":
        value = float_of(words, dtype)
        return None if np.isnan(value) else value
    try:
        whole = int(words)
    except ValueError:
        number = float(words)
        if not number.is_integer():
            return None
        whole = int(number)
    info = np.iinfo(dtype) if dtype.kind in "iu" else np.iinfo(np.uint8)
    return whole if info.min <= whole <= info.max else None


def nodata_of_gdal(metadata: str) -> list[str]:
    """Return the values that GDAL_METADATA names for colors without data (NODATA_VALUES), one a band, each once."""
    found = _GDAL_VALUES.search(metadata)
    return list(dict.fromkeys(found[1].split())) if found else []


def nodata_of_attributes(
    attributes: Mapping[str, Any], dtype: np.dtype, *, fill_value: Any = None
) -> list[int | float]:
    """Return the values that the attributes of a Zarr array name, as CF conventions, rasters and xarray do.

    Args:
        attributes: The array's attributes; `_FillValue`, `missing_value` and `nodata` name such values.
        dtype: Type of the pixels.
        fill_value: The array's own fill value, which xarray takes for such a value in Zarr's format 2; else None.

    Returns:
        The values that pixels may have, without NaN, each once.
    """
    named = [attributes.get(name) for name in ("_FillValue", "missing_value", "nodata")]
    if "_ARRAY_DIMENSIONS" in attributes and named == [None] * 3:  # what xarray wrote
        named.append(fill_value)
    each = [value for values in named for value in (values[:_MOST_NAMED] if isinstance(values, list) else [values])]
    found = [_nodata_of_value(value, dtype) for value in each if isinstance(value, int | float | str)]
    return list(dict.fromkeys(value for value in found if value is not None))


def _nodata_of_value(value: int | float | str, dtype: np.dtype) -> Nodata:
    """Return a named value as pixels of a type have it; None if they cannot, or it is none."""
    if isinstance(value, bool):
        return None
    try:
        return nodata_of_text(str(value), dtype)
    except (ValueError, OverflowError):
        packed = _packed_double(str(value))
        return None if packed is None else nodata_of_text(repr(packed), dtype)


def _packed_double(text: str) -> float | None:
    """Read the 8 bytes in base64 as which xarray stores a fill value that JSON cannot hold."""
    try:
        return float(struct.unpack("<d", base64.b64decode(text, validate=True))[0])
    except (ValueError, struct.error):
        return None


def missing_pixels(
    pixels: Shaped[np.ndarray, "rows columns bands"], *, nodata: Nodata, mode: str
) -> Bool[np.ndarray, "rows columns"] | None:
    """Tell which pixels hold no data: those with NaN in any channel, or with the named value.

    In a color picture the named value stands in every color of such a pixel, since a color may well have no red; in
    any other image one channel is enough.

    Args:
        pixels: (..., C).
        nodata: The named value.
        mode: Mode of the image; see `finer_image.io.image.MODES`.

    Returns:
        (...,) True where there is no data; None where there is data everywhere.
    """
    missing = None
    if pixels.dtype.kind == "f":
        missing = np.isnan(pixels).any(axis=-1)
    if nodata is not None:
        named = _colors(pixels, mode) == nodata
        found = named.all(axis=-1) if mode in ("RGB", "RGBA") else named.any(axis=-1)
        missing = found if missing is None else missing | found
    return missing if missing is not None and missing.any() else None


def _colors(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Return a view of pixels (..., C) without their alpha."""
    return pixels[..., : {"LA": 1, "RGBA": 3}.get(mode)]


def mark_missing(
    pixels: Shaped[np.ndarray, "rows columns bands"], missing: Bool[np.ndarray, "rows columns"], *, nodata: Nodata
) -> None:
    """Put the value for "no data" into pixels, in place.

    Args:
        pixels: (..., C) that may be written to.
        missing: (...,) True where there is no data.
        nodata: The named value; None for NaN.
    """
    pixels[missing] = np.nan if nodata is None else nodata


def keep_apart(pixels: np.ndarray, *, nodata: Nodata, mode: str) -> None:
    """Move pixels that have data, but happen to have the named value, to the next value, in place.

    Their channels of other values stay as they are, and so does alpha.
    """
    missing = None if nodata is None else missing_pixels(pixels, nodata=nodata, mode=mode)
    if missing is None or nodata is None:
        return
    colors = _colors(pixels, mode)
    named = missing[..., None] & (colors == nodata)
    if pixels.dtype.kind == "f":
        colors[named] = np.nextafter(pixels.dtype.type(nodata), pixels.dtype.type(0 if nodata > 0 else 1))
    else:
        colors[named] = nodata + 1 if nodata < np.iinfo(pixels.dtype).max else nodata - 1
