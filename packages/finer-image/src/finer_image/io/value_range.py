"""Check pixel values, choose the interval that [0, 1] stands for, and convert between the two.

Everything here works element by element on any block of rows, so callers stay in bounded memory.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from finer_core.errors import InputError
from finer_core.shapes import Float, Shaped

# Conversions go through float64; about a million numbers at a time keeps that copy near 8 MB for any image.
_BLOCK_NUMBERS = 1 << 20


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices over the first axis that together cover it in blocks of bounded size.

    Args:
        shape: Shape of the array to walk, at least one axis.

    Yields:
        Slices of at least one row and, beyond that, of about a million numbers.
    """
    numbers_in_row = int(np.prod(shape[1:], dtype=np.int64))
    rows = max(1, _BLOCK_NUMBERS // max(1, numbers_in_row))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))


def interval_of(low: float, high: float, *, dtype: np.dtype) -> tuple[float, float]:
    """Choose the interval of pixel values that [0, 1] stands for, from the extremes of an image.

    8-bit images use 0..255, as every published PSNR does. Every other type uses the data's own minimum and
    maximum: a 16-bit elevation model of 236..1076 would otherwise fill 1 % of the interval, and a float image
    has no other natural limits. A constant image has no width, so its interval is widened by max(1, |value|),
    upwards where the dtype can hold that and downwards where it cannot.

    Args:
        low: Least value; 8-bit images need no look.
        high: Greatest value.
        dtype: Type of the pixels.

    Returns:
        (low, high) with low < high, in pixel values.

    Raises:
        InputError: The values are so far apart that float64 cannot hold the difference.
    """
    if dtype == np.uint8:
        return 0.0, 255.0
    if low == high:
        width = max(1.0, abs(low))
        top = float(np.finfo(dtype).max if dtype.kind == "f" else np.iinfo(dtype).max)
        # Compared as a difference: low + width itself can overflow float64.
        low, high = (low, low + width) if width <= top - max(low, 0.0) else (low - width, low)
    if not np.isfinite(high - low):
        raise InputError(f"spans {low} to {high}, which is too wide for float64; rescale the values")
    return low, high


def stretched(samples: Shaped[np.ndarray, "*shape"], *, largest: int) -> Shaped[np.ndarray, "*shape"]:
    """Stretch samples of fewer than 8 bits to the 0 to 255 that every 8-bit image has.

    Args:
        samples: (...,) integers, 0 to `largest`.
        largest: Below 256.

    Returns:
        (...,) uint8, rounded to the nearest.
    """
    table = (np.arange(largest + 1) * 255 + largest // 2) // largest
    return table.astype(np.uint8)[samples]


def unit_from_pixels(
    pixels: Shaped[np.ndarray, "*shape"], *, value_range: tuple[float, float]
) -> Float[np.ndarray, "*shape"]:
    r"""Map pixel values to the unit interval, element by element.

    $u = (p - low) / (high - low)$. Any block of rows may be converted on its own. Values outside
    `value_range` map outside [0, 1] (they are not clipped, so an error measured on them stays honest).

    Args:
        pixels: (...,) any real dtype, in pixel values.
        value_range: (low, high) in pixel values.

    Returns:
        (...,) float32. uint8 and uint16 survive the way back exactly; wider types to float32 precision.
    """
    low, high = value_range
    unit = np.empty(pixels.shape, dtype=np.float32)
    for rows in row_blocks(pixels.shape):
        block = pixels[rows].astype(np.float64)
        block -= low
        block /= high - low
        with np.errstate(over="ignore"):  # a value for "no data" may be farther away than float32 reaches
            unit[rows] = block
    return unit


def pixels_from_unit(
    unit: Float[np.ndarray, "*shape"], *, dtype: npt.DTypeLike, value_range: tuple[float, float]
) -> Shaped[np.ndarray, "*shape"]:
    r"""Map unit-interval values back to pixels, element by element.

    $p = low + clip(u, 0, 1)\,(high - low)$, rounded to the nearest integer for integer types. Any block of
    rows may be converted on its own.

    Args:
        unit: (...,) floating point; values outside [0, 1] are clipped.
        dtype: Type of the pixels.
        value_range: (low, high) in pixel values.

    Returns:
        (...,) of `dtype`, inside `value_range` and inside what `dtype` holds.

    Raises:
        ValueError: `unit` holds NaN, which no pixel can show.
    """
    dtype = np.dtype(dtype)
    low, high = value_range
    lowest, highest = _limits(dtype)
    pixels = np.empty(unit.shape, dtype=dtype)
    for rows in row_blocks(unit.shape):
        block = np.clip(unit[rows].astype(np.float64), 0.0, 1.0)
        if np.isnan(block).any():
            raise ValueError(f"{int(np.isnan(block).sum())} predicted values are NaN and cannot become {dtype} pixels")
        block *= high - low
        block += low
        if dtype.kind != "f":
            np.rint(block, out=block)
        # The second clip absorbs rounding in low + (high - low), and a widened range beyond the dtype.
        pixels[rows] = np.clip(block, max(low, lowest), min(high, highest), out=block)
    return pixels


def _limits(dtype: np.dtype) -> tuple[float, float]:
    """Return the least and greatest float64 that fit in a dtype."""
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    info = np.iinfo(dtype)
    lowest, highest = float(info.min), float(info.max)
    # float(2**63 - 1) rounds up to 2**63, which int64 cannot hold.
    return lowest, (highest if int(highest) <= info.max else float(np.nextafter(highest, 0.0)))
