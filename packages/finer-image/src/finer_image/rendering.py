"""Evaluate a fitted image at any size or crop, in tiles of bounded memory."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.casts import as_array, home_of
from finer_core.coords import axis_coords
from finer_core.errors import InputError
from finer_core.parallel import parallel_map
from finer_core.schema import check_number, shown, whole_numbers
from finer_core.shapes import Float
from finer_image.io.image import LARGEST_SIDE, Image

CHUNK_PIXELS = 16384
"""Pixels that go through a network at once when nothing has to be kept for gradients."""
_CACHED_PIXELS = 4096
"""Pixels that a core takes at once."""


class FittedImage(Protocol):
    """What is rendered: a function of the image plane and the kind of pixels that its values become.

    `finer_image.model.ImageModel` is one.
    """

    network: nn.Module
    height: int
    width: int
    image: Mapping[str, Any]

    @property
    def channels(self) -> int:
        """Number of channels."""
        ...

    def __call__(self, coords: Tensor) -> Tensor:
        """Return the image at coords (n, 2), as (n, channels) in [0, 1], not clipped."""
        ...

    def pixels_of(self, unit: np.ndarray) -> np.ndarray:
        """Turn values (..., channels) in [0, 1], clipped here, into pixels."""
        ...

    def with_pixels(self, pixels: np.ndarray) -> Image:
        """Return pixels as an image of the fitted one's kind."""
        ...


class Crop(NamedTuple):
    """Hold a pixel window: rows y0..y1, columns x0..x1, the ends excluded."""

    y0: int
    y1: int
    x0: int
    x1: int


def render(
    model: FittedImage,
    *,
    height: int,
    width: int,
    crop: Crop | None = None,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Image:
    """Render a fitted image.

    The size names the whole image, whose border pixels stay at coordinates -1 and 1; a crop is a window of it.

    Args:
        model: The image.
        height: Rows of the whole.
        width: Columns of the whole.
        crop: Window of the whole; all of it if None.
        on_rows: Called with the number of rows done.

    Returns:
        An image of the fitted one's type, range and profile.

    Raises:
        InputError: If the size is not positive or the crop lies outside it.
    """
    window = window_of(crop, height=height, width=width)
    shape = (window.y1 - window.y0, window.x1 - window.x0, model.channels)
    pixels = _room_for(shape, dtype=model.image["dtype"])
    done = 0
    for band in pixel_bands(model, height=height, width=width, window=window):
        pixels[done : done + len(band)] = band
        done += len(band)
        on_rows(done)
    return model.with_pixels(pixels)


def _room_for(shape: tuple[int, int, int], *, dtype: str) -> np.ndarray:
    """Return an array for pixels; raise InputError if no array is that large, or there is no memory for it."""
    try:
        return np.empty(shape, dtype=dtype)
    except (MemoryError, ValueError) as error:
        size = np.dtype(dtype).itemsize * float(shape[0]) * shape[1] * shape[2]
        raise InputError(
            f"an image of {shape[0]}x{shape[1]} pixels takes {size / 1e9:.3g} GB, more than there is; render it "
            "smaller, or window by window by crop="
        ) from error


def pixel_bands(model: FittedImage, *, height: int, width: int, window: Crop) -> Iterator[np.ndarray]:
    """Render a fitted image band by band.

    Yields:
        (rows, columns, channels) pixels of the fitted image's type, from the window's top.
    """
    step = max(1, 4 * CHUNK_PIXELS // (window.x1 - window.x0))
    for band in unit_bands(model, height=height, width=width, window=window, step=step):
        yield model.pixels_of(band)


def unit_bands(model: FittedImage, *, height: int, width: int, window: Crop, step: int) -> Iterator[np.ndarray]:
    """Evaluate a fitted image band by band, without gradients; on a CPU each core takes whole pieces.

    Yields:
        (rows, columns, channels) in [0, 1], not clipped, from the window's top.
    """
    all_rows, all_columns = pixel_axes(height, width, like=home_of(model.network))
    columns = all_columns[window.x0 : window.x1]
    on_cpu = columns.device.type == "cpu"

    def unit(piece: Tensor) -> Tensor:
        with torch.no_grad():
            return model(piece).cpu()

    for rows in all_rows[window.y0 : window.y1].split(step):
        pieces = torch.cartesian_prod(rows, columns).reshape(-1, 2).split(_CACHED_PIXELS if on_cpu else CHUNK_PIXELS)
        values = torch.cat(parallel_map(unit, pieces, device=columns.device))
        yield as_array(values.reshape(len(rows), len(columns), -1))


def window_of(crop: Crop | None, *, height: int, width: int) -> Crop:
    """Return the crop of a height x width image, or all of it.

    Raises:
        InputError: If the size is not positive, or too large even for a window, or the crop lies outside it.
    """
    if height < 1 or width < 1:
        raise InputError(f"cannot render an image of {height}x{width} pixels")
    if max(height, width) > LARGEST_SIDE:
        raise InputError(f"cannot render an image of {height}x{width} pixels; a side has at most {LARGEST_SIDE} pixels")
    window = crop or Crop(0, height, 0, width)
    if not (0 <= window.y0 < window.y1 <= height and 0 <= window.x0 < window.x1 <= width):
        raise InputError(
            f"crop {window.y0}:{window.y1},{window.x0}:{window.x1} does not lie inside the {height}x{width} image"
        )
    return window


def parse_crop(text: str) -> Crop:
    """Turn "Y0:Y1,X0:X1" into a window.

    Raises:
        InputError: If it is not of that form.
    """
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9}),(\d{1,9}):(\d{1,9})", text.strip())
    if not match:
        raise InputError(f"--crop {text!r} is not Y0:Y1,X0:X1, e.g. 0:256,128:384")
    return Crop(*(int(part) for part in match.groups()))


def scaled_size(model: FittedImage, scale: float) -> tuple[int, int]:
    """Return the fitted size times `scale`, at least one pixel a side.

    Raises:
        InputError: If `scale` is not a positive finite number.
    """
    check_number(scale, what="--scale")
    if not 0 < scale < float("inf"):
        raise InputError(f"--scale must be a positive number, got {scale!r}")
    return max(1, round(model.height * scale)), max(1, round(model.width * scale))


def wanted_size(model: FittedImage, *, scale: float, size: Any) -> tuple[int, int]:
    """Return height and width of the whole, by the scale or by the size that was given.

    Raises:
        InputError: If both were given, or one is no size.
    """
    if size is None:
        return scaled_size(model, scale)
    if scale != 1.0:
        raise InputError(f"scale {scale!r} and size {shown(size)} both say how large the image is; give one of them")
    height, width = whole_numbers(size, count=2, what="size (height, width)")
    return height, width


def pixel_axes(
    height: int, width: int, *, like: Tensor
) -> tuple[Float[Tensor, " {height}"], Float[Tensor, " {width}"]]:
    """Return row and column coordinates of an image of that size, on the device and of the type of `like`."""
    place: dict[str, Any] = {"device": like.device, "dtype": like.dtype}
    return axis_coords(height, **place), axis_coords(width, **place)
