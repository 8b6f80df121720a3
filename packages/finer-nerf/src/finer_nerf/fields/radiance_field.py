"""A radiance field of two networks: density and features of a point, then color seen from a direction."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from finer_core.casts import in_own_type
from finer_core.encodings import PositionalEncoding
from finer_core.errors import InputError
from finer_core.networks.build import build_network, published_config
from finer_core.networks.config import NetworkConfig
from finer_core.networks.network_dict import NetworkDict
from finer_core.networks.own_network import AnyActivation
from finer_core.shapes import Float
from finer_nerf.fields.field import Field
from finer_nerf.fields.spherical_harmonics import spherical_harmonics
from finer_nerf.fields.trunc_exp import truncated_exponential

DirectionEncoding = Literal["none", "frequencies", "harmonics"]

_FREQUENCIES = 4
_DIRECTION_FEATURES = {"none": 3, "frequencies": 3 * (1 + 2 * _FREQUENCIES), "harmonics": 16}
_ENCODED: dict[str, DirectionEncoding] = {"pemlp": "frequencies", "ff": "frequencies", "ngp": "harmonics"}
"""How a method sees directions; those with periodic or local activations take them as they are, as published."""


@dataclass(frozen=True, kw_only=True)
class FieldConfig:
    """Describe a radiance field completely.

    Attributes:
        density: Network from points in the box to 1 + features values.
        color: Network from encoded direction and features to 3 values.
        directions: How the direction is encoded.
    """

    density: NetworkConfig
    color: NetworkConfig
    directions: DirectionEncoding = "none"

    def __post_init__(self) -> None:
        if self.directions not in _DIRECTION_FEATURES:
            raise InputError(f"unknown encoding of directions {self.directions!r}")
        expected = _DIRECTION_FEATURES[self.directions] + self.density.out_features - 1
        if self.density.in_features != 3 or self.color.out_features != 3 or self.color.in_features != expected:
            raise InputError(
                f"not a radiance field: density {self.density.in_features} -> {self.density.out_features}, color "
                f"{self.color.in_features} -> {self.color.out_features} (expected 3 -> 1 + features, {expected} -> 3)"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for `config.json`."""
        return {
            "density": self.density.to_dict(),
            "color": self.color.to_dict(),
            "directions": self.directions,
        }


def field_config(
    *,
    method: str,
    geometry_features: int | None = None,
    color_layers: int | None = None,
    hidden_features: int | None = None,
    hidden_layers: int | None = None,
    **options: Any,
) -> FieldConfig:
    """Return a method's published field, with overrides.

    Both networks take the method's options, so that an omega given by the user reaches both. The published field has
    four linear maps in each, 182 wide, and 182 geometry features.

    Args:
        method: A key of `METHODS` with values for "nerf".
        geometry_features: Features handed from density to color; None for the width (15 for ngp).
        color_layers: Hidden-to-hidden layers of the color network; None for as many as the density network has.
        hidden_features: Width of both networks.
        hidden_layers: Hidden-to-hidden layers of the density network.
        **options: Options of the method.

    Raises:
        InputError: For an unknown method or option, or a size that no network has.
    """
    sizes = {"hidden_features": hidden_features, "hidden_layers": hidden_layers}
    given = {**{name: value for name, value in sizes.items() if value is not None}, **options}
    directions = _ENCODED.get(method, "none")
    probe = published_config(method=method, task="nerf", in_features=3, out_features=2, **given)
    build_network(probe, device="meta")  # refuses bad sizes before others are made of them
    features = geometry_features or (15 if method == "ngp" else probe.hidden_features)
    density = published_config(method=method, task="nerf", in_features=3, out_features=1 + features, **given)
    color_in = _DIRECTION_FEATURES[directions] + features
    if color_layers is None:
        color_layers = 1 if method == "ngp" else density.hidden_layers
    sizes_of_color = {"hidden_features": density.hidden_features, "hidden_layers": color_layers}
    if directions == "none":
        options_of_color = dict(density.options)
        color_method = method
    else:  # already encoded: a plain ReLU network
        options_of_color = {"num_frequencies": 0}
        color_method = "pemlp"
    color = NetworkConfig(
        method=color_method, in_features=color_in, out_features=3, options=options_of_color, **sizes_of_color
    )
    return FieldConfig(density=density, color=color, directions=directions)


class RadianceField(Field):
    """Map points and directions to density and color.

    Formula: (s, g) = F(x), sigma = exp(s) with a bounded derivative, c = logistic(G([e(d), g])); direction first, e the
    encoding of directions (FINER, section 4.3, in torch-ngp's arrangement).

    Args:
        parts: The networks "density" and "color".
        directions: How the direction is encoded.
    """

    directions: DirectionEncoding

    def __init__(self, parts: NetworkDict, *, directions: DirectionEncoding) -> None:
        super().__init__()
        self.parts, self.directions = parts, directions
        self._frequencies = PositionalEncoding(in_features=3, num_frequencies=_FREQUENCIES)

    @classmethod
    def build(cls, config: FieldConfig, *, generator: torch.Generator | None = None) -> "RadianceField":
        """Build a fresh field."""
        parts = NetworkDict.build({"density": config.density, "color": config.color}, generator=generator)
        return cls(parts, directions=config.directions)

    @property
    def config(self) -> FieldConfig:
        """Return what the field was built from."""
        configs = self.parts.config
        return FieldConfig(density=configs["density"], color=configs["color"], directions=self.directions)

    @property
    def method(self) -> str:
        """Name of the method, and of an activation of the user's own that is in the place of the method's."""
        method, own = self.config.density.method, self.parts.own_activation
        return f"{method} with {own}" if own else method

    @property
    def saved(self) -> nn.Module:
        """The two networks."""
        return self.parts

    def set_activation(self, activation: AnyActivation) -> "RadianceField":
        """Put an activation of the user's own in the place of the method's; see `finer_core.set_activation`.

        Returns:
            The field.

        Raises:
            InputError: If it is none.
        """
        self.parts.set_activation(activation)
        return self

    def density_and_features(
        self, points: Float[Tensor, "points 3"]
    ) -> tuple[Float[Tensor, " points"], Float[Tensor, "points features"]]:
        """Return sigmas (n,), per box unit, and features (n, g) at points (n, 3) of the box."""
        out = in_own_type(self.parts["density"], points)
        return truncated_exponential(out[..., 0]), out[..., 1:]

    def log_density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 1"]:
        """Return the logarithm of the density, (n, 1), as the network has it."""
        return in_own_type(self.parts["density"], points)[..., :1]

    def color(
        self, directions: Float[Tensor, "points 3"], features: Float[Tensor, "points features"]
    ) -> Float[Tensor, "points 3"]:
        """Return colors (n, 3) in [0, 1] seen along unit directions (n, 3)."""
        if self.directions == "frequencies":
            directions = self._frequencies(directions)
        elif self.directions == "harmonics":
            directions = spherical_harmonics(directions)
        return torch.sigmoid(in_own_type(self.parts["color"], torch.cat([directions, features], dim=-1)))
