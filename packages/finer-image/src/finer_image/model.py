"""A fitted image: the network together with what turns its outputs back into pixels."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.casts import as_array, check_real, home_of, in_own_type, real_numbers, without_halves
from finer_core.errors import InputError
from finer_core.io.files import given_path
from finer_core.io.model_file import check_finite, load_model, load_network, save_model
from finer_core.io.model_header import model_info
from finer_core.networks.base import check_coords
from finer_core.networks.config import NetworkConfig
from finer_core.networks.own_network import AnyActivation, config_of, title_of
from finer_core.schema import whole_numbers
from finer_image.io.image import Image, pixels_from_unit, unit_from_pixels
from finer_image.io.nodata import keep_apart
from finer_image.io.raster import Raster
from finer_image.model_data import TASK, checked_task_data
from finer_image.preview import PREVIEW_SIDE, png_bytes
from finer_image.rendering import Crop, render, scaled_size, wanted_size

logger = logging.getLogger(__name__)


class ImageModel(nn.Module):
    """Hold a network and the image it stands for: a function of the plane that gives pixels of the fitted kind.

    Called with coords (..., 2), (row, column) with the border pixels' centers at -1 and 1, it returns (..., C) in
    [0, 1], not clipped: a tensor with a graph for a tensor, an array for an array. `np.asarray(model)` renders it.

    Args:
        network: Maps coords (n, 2) to (n, channels) in `target_range`.
        height: Rows of the fitted image.
        width: Columns of the fitted image.
        target_range: What the network's output range stands for: (low, high) is [0, 1] of the image.
        image: The fitted image's type, mode, value range and color profile; see `Image.to_metadata`.

    Example:
        >>> import numpy as np
        >>> from finer_image import fit
        >>> model, _ = fit(np.eye(16), steps=5, network={"hidden_features": 16})
        >>> model
        ImageModel: finer of 881 parameters, a 16x16 L image of float64
        >>> model.shape, model.dtype, np.asarray(model).shape, model.render(scale=2).shape
        ((16, 16), dtype('float64'), (16, 16), (32, 32))
        >>> model(np.zeros((4, 5, 2))).shape, model.at(0.5, np.arange(16)).shape
        ((4, 5, 1), (16, 1))
    """

    network: nn.Module
    in_features = 2

    def __init__(
        self,
        *,
        network: nn.Module,
        height: int,
        width: int,
        target_range: tuple[float, float],
        image: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.network = network
        self.height, self.width = height, width
        self.target_range = target_range
        self.image = image

    @classmethod
    def of(cls, network: nn.Module, image: Raster, *, target_range: tuple[float, float]) -> "ImageModel":
        """Pair a network with the image it is, or will be, fitted to."""
        return cls(
            network=network,
            height=image.height,
            width=image.width,
            target_range=target_range,
            image=image.to_metadata(),
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        network: nn.Module | None = None,
        activation: AnyActivation | None = None,
    ) -> "ImageModel":
        """Load a model file, of `save` or of `finer-image fit`; no code in it is run.

        Args:
            path: The file.
            device: Where the network goes.
            network: The module of your own that was fitted, built anew, which takes the weights.
            activation: The activation of your own that it was fitted with.

        Returns:
            The model, in evaluation mode.

        Raises:
            InputError: If it is not a model file, one of another task, or of other code than is given.
        """
        path = str(given_path(path))
        if network is None:
            network = without_halves(load_network(path, device=device, activation=activation))
        else:
            network = load_model(path, device=device, network=network)
            check_finite(network, path)
        info = model_info(path)
        data = checked_task_data(info, path)
        channels = data["image"]["channels"]
        if not info.own_network:
            channels = info.config.out_features
            if info.config.in_features != 2:
                raise InputError(f"{path}: not a model of an image (it maps {info.config.in_features} coordinates)")
        model = cls(
            network=network,
            height=data["height"],
            width=data["width"],
            target_range=(float(data["target_range"][0]), float(data["target_range"][1])),
            image=data["image"],
        )
        try:
            model.with_pixels(np.zeros((1, 1, channels), dtype=model.dtype))
        except ValueError as error:
            raise InputError(f"{path}: its image data contradicts itself ({error})") from error
        return model.eval()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one safetensors file, the same that `finer-image fit` writes, replacing what is there.

        Of code of your own, a network or an activation, it has the name alone: `load` is given it again.

        Args:
            path: The file; its folder exists.
        """
        save_model(self.network, path, task=TASK, task_data=self.task_data())

    @property
    def config(self) -> NetworkConfig:
        """What the network was built from.

        Raises:
            InputError: If it is a module of the user's own.
        """
        return config_of(self.network)

    @property
    def channels(self) -> int:
        """Number of channels, alpha included."""
        return int(self.image["channels"])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the fitted image: (H, W), or (H, W, C) if it has several channels."""
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, self.channels)

    @property
    def dtype(self) -> np.dtype:
        """Type of the fitted image's pixels."""
        return np.dtype(self.image["dtype"])

    def forward(self, coords: Any) -> Any:
        """Return the image at coordinates.

        Args:
            coords: (..., 2), (row, column) in [-1, 1]; a tensor of the network's type and device, or an array.

        Returns:
            (..., C) in [0, 1], not clipped; an array, without a graph, for an array.
        """
        if isinstance(coords, Tensor):
            check_coords(coords, in_features=self.in_features)
            low, high = self.target_range
            values = in_own_type(self.network, coords.reshape(-1, 2))
            return ((values - low) / (high - low)).reshape(*coords.shape[:-1], values.shape[-1])
        with torch.no_grad():
            like = home_of(self.network)
            table = real_numbers(coords, what="coords")
            return as_array(self(torch.as_tensor(table, dtype=like.dtype, device=like.device)))

    def at(self, rows: Any, columns: Any) -> Any:
        """Return the image at fractional pixel positions, counted as `scipy.ndimage.map_coordinates` does.

        Args:
            rows: Positions in pixels of the fitted image, 0 at the first row's centers; numbers, an array or a tensor.
            columns: The same of columns; the two are broadcast against each other.

        Returns:
            (..., C) in [0, 1], not clipped; an array, unless one of the two is a tensor.

        Raises:
            InputError: If they are no real numbers, or their shapes do not go together.
        """
        like = home_of(self.network)
        wide = torch.float32 if like.device.type == "mps" else torch.float64
        given = [each if isinstance(each, Tensor) else real_numbers(each, what="positions") for each in (rows, columns)]
        for each in given:
            if isinstance(each, Tensor):
                check_real(each, what="positions")
        places = (
            torch.as_tensor(each, dtype=wide, device=like.device) * (2 / max(1, side - 1)) - int(side > 1)
            for each, side in zip(given, (self.height, self.width), strict=True)
        )
        vertical, horizontal = places
        try:
            coords = torch.stack(torch.broadcast_tensors(vertical, horizontal), dim=-1).to(like.dtype)
        except RuntimeError as error:
            shapes = f"{tuple(vertical.shape)} and {tuple(horizontal.shape)}"
            raise InputError(f"rows and columns of shapes {shapes} do not go together; give as many of both") from error
        if isinstance(rows, Tensor) or isinstance(columns, Tensor):
            return self(coords)
        with torch.no_grad():
            return as_array(self(coords))

    def render(
        self,
        *,
        scale: float = 1.0,
        size: tuple[int, int] | None = None,
        crop: tuple[int, int, int, int] | None = None,
    ) -> np.ndarray:
        """Render the image at any size, or a window of it.

        Args:
            scale: Size relative to the fitted image.
            size: (height, width) of the whole in pixels, in place of `scale`; a tuple or an array, as is `crop`.
            crop: (y0, y1, x0, x1) of a window of the whole, ends excluded, in pixels of the rendered size.

        Returns:
            (H, W), or (H, W, C) if the image has several channels, of the fitted image's type and value range.

        Raises:
            InputError: If the size is not positive and whole, given twice, or the crop lies outside it.
        """
        height, width = wanted_size(self, scale=scale, size=size)
        window = None if crop is None else Crop(*whole_numbers(crop, count=4, what="crop (y0, y1, x0, x1)"))
        rendered = render(self, height=height, width=width, crop=window)
        return rendered.pixels[:, :, 0] if self.channels == 1 else rendered.pixels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a model is rendered anew each time; it has no array to share")
        return self.render().astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        what = f"{self.height}x{self.width} {self.image['mode']} image of {self.dtype}"
        return f"{type(self).__name__}: {title_of(self.network)}, a {what}"

    def _repr_png_(self) -> bytes:
        """Return the picture that a notebook shows: an 8-bit PNG of at most 512 pixels a side."""
        scale = min(1.0, PREVIEW_SIDE / max(self.height, self.width))
        height, width = scaled_size(self, scale)
        pixels = render(self, height=height, width=width).pixels
        low, high = self.image["value_range"]
        return png_bytes(unit_from_pixels(pixels, value_range=(low, high)), mode=self.image["mode"])

    def task_data(self) -> dict[str, Any]:
        """Return the plain data that a model file keeps."""
        return {
            "height": self.height,
            "width": self.width,
            "target_range": list(self.target_range),
            "image": dict(self.image),
        }

    def kind(self) -> Image:
        """Return a one-pixel image of the fitted one's type and mode, to ask what a file format can hold."""
        return self.with_pixels(np.zeros((1, 1, self.channels), dtype=self.image["dtype"]))

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


def log_filled_pixels(model: ImageModel) -> None:
    """Warn that a rendering has data where the fitted image had none."""
    missing = model.image.get("missing")
    if missing:
        logger.warning("the fitted image has no data in %s of its pixels; what is rendered there is a guess", missing)
