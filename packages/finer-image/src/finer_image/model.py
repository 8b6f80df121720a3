"""A fitted image: the network together with what turns its outputs back into pixels."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.coords import axis_coords
from finer_core.errors import InputError
from finer_core.model_file import load_network
from finer_core.networks import Network
from finer_core.schema import check_entries
from finer_core.threads import in_threads
from finer_image.nodata import keep_apart
from finer_image.pixels import DTYPES, Image, pixels_from_unit
from finer_image.raster import Raster

logger = logging.getLogger(__name__)

TASK = "image"


@dataclass(frozen=True, kw_only=True)
class ImageModel:
    """Hold a network and the image it stands for.

    Attributes:
        network: Maps coords (n, 2), (row, column) in [-1, 1], to (n, channels) in `target_range`.
        height: Rows of the fitted image.
        width: Columns of the fitted image.
        target_range: What the network's output range stands for: (low, high) is [0, 1] of the image.
        image: The fitted image's type, mode, value range and colour profile; see `Image.to_metadata`.
    """

    network: Network
    height: int
    width: int
    target_range: tuple[float, float]
    image: Mapping[str, Any]

    @classmethod
    def of(cls, network: Network, image: Raster, *, target_range: tuple[float, float]) -> "ImageModel":
        """Pair a network with the image it is, or will be, fitted to."""
        return cls(
            network=network,
            height=image.height,
            width=image.width,
            target_range=target_range,
            image=image.to_metadata(),
        )

    def task_data(self) -> dict[str, Any]:
        """Return the plain data that a model file keeps."""
        return {
            "height": self.height,
            "width": self.width,
            "target_range": list(self.target_range),
            "image": dict(self.image),
        }

    def unit(self, coords: Tensor) -> Tensor:
        """Return the image at coords (n, 2), as (n, channels) in [0, 1], not clipped."""
        low, high = self.target_range
        return (self.network(coords) - low) / (high - low)

    def kind(self) -> Image:
        """Return a one-pixel image of the fitted one's type and mode, to ask what a file format can hold."""
        return self.with_pixels(np.zeros((1, 1, self.network.config.out_features), dtype=self.image["dtype"]))

    def pixels_of(self, unit: np.ndarray) -> np.ndarray:
        """Turn values (..., channels) in [0, 1], clipped here, into pixels of the fitted image's type and range.

        None of them has the value that stands for "no data", since a network has data everywhere.
        """
        low, high = self.image["value_range"]
        pixels = pixels_from_unit(unit, dtype=self.image["dtype"], value_range=(low, high))
        kind = self.kind()
        keep_apart(pixels, nodata=kind.nodata, mode=kind.mode)
        return pixels

    def with_pixels(self, pixels: np.ndarray) -> Image:
        """Return pixels as an image of the fitted one's mode, value range and profile."""
        return Image.from_metadata(self.image, pixels=pixels)


def load_image_model(path: str, *, device: str = "cpu") -> ImageModel:
    """Load a model file of this application.

    Raises:
        InputError: If it is not a model file, or one of another task.
    """
    network = load_network(path, device=device)
    info = network.info
    if info.task != TASK:
        raise InputError(f"{path}: a model of task {info.task!r}, not an image; use the command of that task")
    data = info.task_data
    check_entries(data, _TASK_DATA, what=f"{path}: image data")
    check_entries(data["image"], _IMAGE, what=f"{path}: image")
    (low, high), (black, white) = data["target_range"], data["image"]["value_range"]
    if not (low < high and black <= white) or data["image"]["dtype"] not in DTYPES:
        raise InputError(
            f"{path}: no image has a range of {low!r} to {high!r}, or pixels of {data['image']['dtype']!r}"
        )
    if not all(1 <= data[side] <= _LARGEST_SIDE for side in ("height", "width")):
        raise InputError(
            f"{path}: a size of {data['height']} x {data['width']}; each side must be 1 to {_LARGEST_SIDE} pixels"
        )
    if info.config.in_features != 2:
        raise InputError(f"{path}: not a model of an image (it maps {info.config.in_features} coordinates)")
    model = ImageModel(
        network=network,
        height=data["height"],
        width=data["width"],
        target_range=(float(low), float(high)),
        image=data["image"],
    )
    try:
        model.kind()
    except ValueError as error:
        raise InputError(f"{path}: its image data contradicts itself ({error})") from error
    return model


_TASK_DATA = {"height": int, "width": int, "target_range": tuple[float, float], "image": Mapping[str, Any]}
_IMAGE = {
    **{"dtype": str, "channels": int, "mode": str, "value_range": tuple[float, float]},
    **{"channel_names": Sequence[str], "icc_profile": str | None, "source_mode": str},
}
_LARGEST_SIDE = 10**7


def log_filled_pixels(model: ImageModel) -> None:
    """Warn that a rendering has data where the fitted image had none."""
    missing = model.image.get("missing")
    if missing:
        logger.warning("the fitted image has no data in %s of its pixels; what is rendered there is a guess", missing)


def pixel_axes(height: int, width: int, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return row and column coordinates of an image of that size, on the device and of the type of `like`."""
    dtype = like.dtype.to_real() if like.is_complex() else like.dtype
    return axis_coords(height, device=like.device, dtype=dtype), axis_coords(width, device=like.device, dtype=dtype)


def first_parameter(network: nn.Module) -> Tensor:
    """Return the first parameter, which says where a network lives."""
    return next(network.parameters())


_CACHED_PIXELS = 4096
"""Pixels that a core takes at once."""


def unit_rows(model: ImageModel, rows: Tensor, columns: Tensor, *, chunk_pixels: int) -> Tensor:
    """Evaluate the image on a block of rows, without gradients; on a CPU each core takes whole pieces.

    Args:
        model: The image.
        rows: (h,) row coordinates.
        columns: (w,) column coordinates.
        chunk_pixels: Most pixels that go through the network at once.

    Returns:
        (h, w, channels) on the CPU, in [0, 1], not clipped.
    """
    coords = torch.cartesian_prod(rows, columns).reshape(-1, 2)
    on_cpu = coords.device.type == "cpu"

    def unit(piece: Tensor) -> Tensor:
        with torch.no_grad():  # a thread has its own grad mode
            return model.unit(piece).cpu()

    pieces = coords.split(min(chunk_pixels, _CACHED_PIXELS) if on_cpu else chunk_pixels)
    return torch.cat(in_threads(unit, pieces) if on_cpu else [unit(piece) for piece in pieces]).reshape(
        rows.shape[0], columns.shape[0], -1
    )
