"""A fitted surface: the network together with the way back to the user's coordinates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finer_core.differential import value_and_gradient
from finer_core.errors import InputError
from finer_core.model_file import load_network
from finer_core.networks import Network
from finer_core.schema import build, check_entries, fits
from finer_sdf.normalization import SHAPE_HALF_SIDE, Normalization

TASK = "sdf"


@dataclass(frozen=True, kw_only=True)
class SdfModel:
    """Hold a signed distance field: negative inside, positive outside, zero on the surface.

    Attributes:
        network: Maps coords (n, 3) in the box [-0.5, 0.5]^3 to (n, 1), or (heads, n, 1) for multiscale networks.
        normalization: From the input's coordinates to the box.
        shape: What was fitted: name, digest, kind; plain data.
    """

    network: Network
    normalization: Normalization
    shape: Mapping[str, Any] = field(default_factory=dict)

    def task_data(self) -> dict[str, Any]:
        """Return the plain data that a model file keeps."""
        return {"frame": self.normalization.to_dict(), "shape": dict(self.shape)}

    def field(self, coords: Tensor) -> Tensor:
        """Return the distance in box units at coords (..., 3) of the box, as (..., 1); the finest of several heads."""
        values = self.network(coords)
        return values[-1] if values.ndim > coords.ndim else values

    def field_and_gradient(self, coords: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance (..., 1) and its exact gradient (..., 3) at coords (..., 3) of the box, detached."""
        return value_and_gradient(self.field, coords)

    def bounds(self) -> np.ndarray:
        """Return the box around the fitted shape, in box coordinates, (2, 3); all of it where that is not known."""
        bounds = self.shape.get("bounds")
        point = tuple[float, float, float]
        if not fits(bounds, tuple[point, point]):
            return np.array([[-SHAPE_HALF_SIDE] * 3, [SHAPE_HALF_SIDE] * 3])
        return self.normalization.to_box(np.asarray(bounds, dtype=np.float64))

    @property
    def device(self) -> torch.device:
        """Return where the network computes."""
        return next(self.network.parameters()).device


def load_sdf_model(path: str, *, device: str = "cpu") -> SdfModel:
    """Load a model file of this application.

    Raises:
        InputError: If it is not a model file, or one of another task.
    """
    network = load_network(path, device=device)
    info = network.info
    if info.task != TASK:
        raise InputError(f"{path}: a model of task {info.task!r}, not a distance field; use the command of that task")
    data = info.task_data
    check_entries(data, {"frame": Mapping, "shape": Mapping[str, Any]}, what=f"{path}: shape data")
    if info.config.in_features != 3 or info.config.out_features != 1:
        sizes = f"{info.config.in_features} coordinates to {info.config.out_features} values"
        raise InputError(f"{path}: not a distance field (it maps {sizes})")
    normalization = build(Normalization, data["frame"], what=f"{path}: frame")
    return SdfModel(network=network, normalization=normalization, shape=data["shape"])
