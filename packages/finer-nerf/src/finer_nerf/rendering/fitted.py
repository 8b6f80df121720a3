"""What rendering, meshing and camera paths need of a fitted scene."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from finer_nerf.cameras import Camera
from finer_nerf.fields.field import Field
from finer_nerf.normalization import Normalization
from finer_nerf.rendering.occupancy import OccupancyGrid


class FittedScene(Protocol):
    """A radiance field, its box, and the way from there to the user's coordinates.

    `finer_nerf.model.NerfModel` is one.

    Attributes:
        field: Density and color in the box.
        frame: From the input's coordinates to the box.
        bound: The box is [-bound, bound]^3.
        grid: Where the box is not empty.
        background: "white", "black" or "#rrggbb".
        min_near: Nearest that a ray sees, in box units.
        max_samples: Most samples a ray.
        min_weight: Smallest weight of a sample that is seen.
        camera: Of the first training picture.
        train_poses: Camera-to-box matrices of the training views, (n, 4, 4): x right, y down, z forwards.
    """

    field: Field
    frame: Normalization
    bound: float
    grid: OccupancyGrid
    background: str
    min_near: float
    max_samples: int
    min_weight: float
    camera: Camera
    train_poses: np.ndarray

    @property
    def device(self) -> torch.device:
        """Where the field computes."""
        ...

    def density(self, points: Tensor) -> Tensor:
        """Return sigmas (n,) at points (n, 3) of the box, per box unit."""
        ...
