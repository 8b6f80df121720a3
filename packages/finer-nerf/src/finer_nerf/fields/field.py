"""What a radiance field is: density and features of a point, then color seen from a direction."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from finer_core.shapes import Float

_LEAST_DENSITY = 1e-30
"""What a density is raised to before its logarithm is taken."""


@runtime_checkable
class PointField(Protocol):
    """What a renderer needs of a field."""

    def density_and_features(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return sigmas (n,) and features (n, g) at points (n, 3)."""
        ...

    def color(self, directions: Tensor, features: Tensor) -> Tensor:
        """Return colors (n, 3)."""
        ...


class Field(nn.Module):
    """Hold a radiance field of the box; subclasses say what it computes.

    Attributes:
        directions: How it sees directions, as a model file says it.
        method: What it is called.
    """

    directions: str

    @property
    def method(self) -> str:
        """What it is called."""
        raise NotImplementedError

    @property
    def saved(self) -> nn.Module:
        """The module whose weights a model file holds."""
        raise NotImplementedError

    def density_and_features(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return sigmas (n,), per box unit, and features (n, g) at points (n, 3) of the box."""
        raise NotImplementedError

    def color(self, directions: Tensor, features: Tensor) -> Tensor:
        """Return colors (n, 3) in [0, 1] seen along unit directions (n, 3)."""
        raise NotImplementedError

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Return sigmas (n,), per box unit, at points (n, 3) of the box."""
        return self.density_and_features(points)[0]

    def log_density(self, points: Tensor) -> Tensor:
        """Return the logarithm of the density, (n, 1), whose gradient is the surface's normal."""
        return torch.log(self.density(points).clamp_min(_LEAST_DENSITY))[..., None]

    def forward(
        self, points: Float[Tensor, "points 3"], directions: Float[Tensor, "points 3"]
    ) -> tuple[Float[Tensor, " points"], Float[Tensor, "points 3"]]:
        """Return sigmas (n,) and colors (n, 3)."""
        sigmas, features = self.density_and_features(points)
        return sigmas, self.color(directions, features)
