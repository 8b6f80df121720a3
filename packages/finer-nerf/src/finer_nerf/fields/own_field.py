"""A radiance field of the user's own: any module of points and directions, in the place of our two networks."""

import torch
from torch import Tensor, nn

from finer_core.casts import in_own_type
from finer_core.errors import InputError
from finer_core.networks.own_network import OwnNetwork, describe_network
from finer_core.shapes import Float
from finer_nerf.fields.field import Field, PointField

OWN = "own"
"""How a model file says that a field sees directions in its user's own way."""


class OwnField(Field):
    """Make a field of a module.

    A `PointField` is asked for densities and colors apart, as ours are; of another module the colors are computed
    with the densities, so it is called twice for what is seen.

    Args:
        network: Maps points (n, 3) of the box and unit directions (n, 3) to sigmas (n,), not negative, and rgbs (n, 3)
            in [0, 1], each row by itself.
    """

    directions = OWN

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def method(self) -> str:
        """Name of the module's class."""
        return type(self.network).__name__

    @property
    def saved(self) -> nn.Module:
        """The module."""
        return self.network

    def density_and_features(
        self, points: Float[Tensor, "points 3"]
    ) -> tuple[Float[Tensor, " points"], Float[Tensor, "points features"]]:
        """Return sigmas (n,) and features at points (n, 3) of the box; the points themselves stand for features."""
        if isinstance(self.network, PointField):
            return in_own_type(self.network, points, call=lambda own, at: own.density_and_features(at))
        ahead = torch.zeros_like(points)
        ahead[:, 2] = 1
        sigmas: Tensor = in_own_type(self.network, points, ahead)[0]
        return sigmas, points

    def color(
        self, directions: Float[Tensor, "points 3"], features: Float[Tensor, "points features"]
    ) -> Float[Tensor, "points 3"]:
        """Return colors (n, 3) seen along unit directions (n, 3)."""
        if isinstance(self.network, PointField):
            return in_own_type(self.network, directions, features, call=lambda own, *rows: own.color(*rows))
        rgbs: Tensor = in_own_type(self.network, features, directions)[1]
        return rgbs


def describe_field(network: nn.Module) -> OwnNetwork:
    """Try a copy of a module on a few points, and describe it.

    Args:
        network: See `OwnField`.

    Raises:
        InputError: If it is no radiance field, has nothing to train, or computes in another precision.
    """
    return describe_network(
        network,
        in_features=6,
        out_features=4,
        call=_density_and_color,
        inputs="points and directions",
    )


def _density_and_color(network: nn.Module, rows: Float[Tensor, "points 6"]) -> Float[Tensor, "points 4"]:
    """Return sigmas and rgbs, (n, 4), at points and along directions, (n, 6)."""
    points, directions = rows[:, :3], nn.functional.normalize(rows[:, 3:], dim=-1)
    try:
        sigmas, rgbs = OwnField(network)(points, directions)
        shapes = tuple(sigmas.shape), tuple(rgbs.shape)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"it must return sigmas (n,) and rgbs (n, 3) ({error})") from error
    if shapes != ((len(rows),), (len(rows), 3)):
        raise InputError(f"it must return sigmas (n,) and rgbs (n, 3), got {shapes[0]} and {shapes[1]}")
    if not bool((sigmas >= 0).all()):
        raise InputError("densities must not be negative; end them with exp or softplus")
    return torch.cat([sigmas[:, None], rgbs], dim=1)
