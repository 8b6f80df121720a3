"""A model that needs no training: a ball in the fields that tests ask for."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from finer_nerf.model import NerfModel
from finer_nerf.normalization import Normalization
from finer_nerf.rendering.occupancy import OccupancyGrid

from .small_scenes import ball_views

BALL = 0.5


class BallField(nn.Module):
    """A dense ball of radius 0.5 in the box, colored by position."""

    directions = "none"

    def __init__(self, *, sharpness: float = 200.0, empty: bool = False) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(sharpness))
        self.offset = -1e3 if empty else 0.0

    def log_density(self, points: Tensor) -> Tensor:
        return (self.sharpness * (BALL - points.norm(dim=-1, keepdim=True))).clamp(-20, 12) + self.offset

    @property
    def parts(self):
        return {"density": self.log_density}

    def density_and_features(self, points: Tensor) -> tuple[Tensor, Tensor]:
        return torch.exp(self.log_density(points)[..., 0]), points

    def density(self, points: Tensor) -> Tensor:
        return self.density_and_features(points)[0]

    def color(self, directions: Tensor, features: Tensor) -> Tensor:
        return (features + 1) / 2

    def forward(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        sigmas, features = self.density_and_features(points)
        return sigmas, self.color(directions, features)


def ball_model(*, views: int = 12, empty: bool = False, scale: float = 0.8) -> NerfModel:
    """Return the ball with a ring of training cameras."""
    field, frame = BallField(empty=empty), Normalization(scale=scale, offset=(0.0, 0.0, 0.0))
    grid = OccupancyGrid(resolution=32, bound=1.0, threshold=1.0)
    if not empty:
        axis = (torch.arange(32) + 0.5) * grid.cell - 1
        radius = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
        grid.occupied = radius < BALL + math.sqrt(3) * grid.cell
    ring = ball_views(views, size=24)
    return NerfModel(
        field=field,  # type: ignore[arg-type]
        frame=frame,
        bound=1.0,
        grid=grid,
        background="white",
        min_near=0.2,
        max_samples=256,
        min_weight=0.0,
        camera=ring.cameras[0],
        train_poses=np.asarray(frame.poses_to_box(ring.poses), dtype=np.float64),
    )
