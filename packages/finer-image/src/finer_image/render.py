"""Evaluate a fitted image at any size or crop, in tiles of bounded memory."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from finer_core.errors import InputError
from finer_image.model import ImageModel, first_parameter, pixel_axes, unit_rows
from finer_image.pixels import Image

CHUNK_PIXELS = 16384
"""Pixels that go through a network at once when nothing has to be kept for gradients."""


class Crop(NamedTuple):
    """Hold a pixel window: rows y0..y1, columns x0..x1, the ends excluded."""

    y0: int
    y1: int
    x0: int
    x1: int


def render(
    model: ImageModel,
    *,
    height: int | None = None,
    width: int | None = None,
    crop: Crop | None = None,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Image:
    """Render a fitted image.

    The size names the whole image, whose border pixels stay at coordinates -1 and 1; a crop is a window of it.

    Args:
        model: The image.
        height: Rows of the whole; the fitted image's if None.
        width: Columns of the whole.
        crop: Window of the whole; all of it if None.
        on_rows: Called with the number of rows done.

    Returns:
        An image of the fitted one's type, range and profile.

    Raises:
        InputError: If the size is not positive or the crop lies outside it.
    """
    height, width = height or model.height, width or model.width
    window = window_of(crop, height=height, width=width)
    shape = (window.y1 - window.y0, window.x1 - window.x0, model.network.config.out_features)
    pixels = np.empty(shape, dtype=model.image["dtype"])
    done = 0
    for band in pixel_bands(model, height=height, width=width, window=window):
        pixels[done : done + len(band)] = band
        done += len(band)
        on_rows(done)
    return model.with_pixels(pixels)


def pixel_bands(model: ImageModel, *, height: int, width: int, window: Crop) -> Iterator[np.ndarray]:
    """Render a fitted image band by band.

    Args:
        model: The image.
        height: Rows of the whole.
        width: Columns of the whole.
        window: What to render of it.

    Yields:
        (rows, columns, channels) pixels of the fitted image's type, from the window's top.
    """
    all_rows, all_columns = pixel_axes(height, width, like=first_parameter(model.network))
    rows, columns = all_rows[window.y0 : window.y1], all_columns[window.x0 : window.x1]
    step = max(1, 4 * CHUNK_PIXELS // len(columns))
    for start in range(0, len(rows), step):
        block = unit_rows(model, rows[start : start + step], columns, chunk_pixels=CHUNK_PIXELS)
        yield model.pixels_of(block.numpy())


def window_of(crop: Crop | None, *, height: int, width: int) -> Crop:
    """Return the crop of a height x width image, or all of it.

    Raises:
        InputError: If the size is not positive or the crop lies outside it.
    """
    if height < 1 or width < 1:
        raise InputError(f"cannot render an image of {height}x{width} pixels")
    window = crop or Crop(0, height, 0, width)
    if not (0 <= window.y0 < window.y1 <= height and 0 <= window.x0 < window.x1 <= width):
        raise InputError(
            f"crop {window.y0}:{window.y1},{window.x0}:{window.x1} does not lie inside the {height}x{width} image"
        )
    return window


def parse_size(text: str) -> tuple[int, int]:
    """Turn "HxW" into (height, width).

    Raises:
        InputError: If it is not of that form, or not positive.
    """
    match = re.fullmatch(r"(\d+)[xX](\d+)", text.strip())
    if not match or min(int(match[1]), int(match[2])) < 1:
        raise InputError(f"--size {text!r} is not HEIGHTxWIDTH, e.g. 1024x768")
    return int(match[1]), int(match[2])


def parse_crop(text: str) -> Crop:
    """Turn "Y0:Y1,X0:X1" into a window.

    Raises:
        InputError: If it is not of that form.
    """
    match = re.fullmatch(r"(\d+):(\d+),(\d+):(\d+)", text.strip())
    if not match:
        raise InputError(f"--crop {text!r} is not Y0:Y1,X0:X1, e.g. 0:256,128:384")
    return Crop(*(int(part) for part in match.groups()))


def scaled_size(model: ImageModel, scale: float) -> tuple[int, int]:
    """Return the fitted size times `scale`, at least one pixel a side.

    Raises:
        InputError: If `scale` is not a positive finite number.
    """
    if not 0 < scale < float("inf"):
        raise InputError(f"--scale must be a positive number, got {scale!r}")
    return max(1, round(model.height * scale)), max(1, round(model.width * scale))
