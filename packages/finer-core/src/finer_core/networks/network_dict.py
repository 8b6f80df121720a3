"""Several networks in one model: a radiance field, say, has one for density and one for color."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, nn

from finer_core.networks import Network
from finer_core.networks.build import build_network
from finer_core.networks.config import NetworkConfig
from finer_core.networks.own_network import AnyActivation, set_activation


class NetworkDict(nn.ModuleDict):
    """Hold networks by name; what using them together means is the application's business.

    `save_model` and `load_model` take it as they take a network.

    Args:
        networks: Networks made by `build_network`, by name.

    Attributes:
        info: What its file says; set by `load_model`.

    Raises:
        ValueError: If there are none.

    Example:
        >>> from finer_core import NetworkDict, published_config
        >>> config = published_config(method="finer", task="nerf", in_features=3, out_features=16)
        >>> model = NetworkDict.build({"density": config})
        >>> model["density"].config == config
        True
    """

    info: Any

    def __init__(self, networks: Mapping[str, Network]) -> None:
        if not networks:
            raise ValueError("a model of several networks needs at least one, got none")
        super().__init__(dict(networks))

    @classmethod
    def build(
        cls,
        configs: Mapping[str, NetworkConfig],
        *,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
    ) -> "NetworkDict":
        """Build every network, in the order of `configs`, from one generator."""
        return cls(
            {name: build_network(config, generator=generator, device=device) for name, config in configs.items()}
        )

    @property
    def config(self) -> dict[str, NetworkConfig]:
        """Return what each network was built from."""
        return {name: network.config for name, network in self.items()}  # type: ignore[misc]

    @property
    def own_activation(self) -> str:
        """Name of the activation that its user put in the place of the methods'; "" for none.

        Raises:
            ValueError: If the networks differ in it, which no file can say.
        """
        names = {network.own_activation for network in self.values()}
        if len(names) > 1:
            raise ValueError("either all networks of a model have the same activation of its user's own, or none has")
        return str(names.pop())

    def set_activation(self, activation: AnyActivation) -> "NetworkDict":
        """Do what `finer_core.set_activation` does in every network, and return this.

        Args:
            activation: Elementwise; see there.

        Raises:
            InputError: If it is none, or a network has no activations to replace.
        """
        for network in self.values():
            set_activation(network, activation)  # type: ignore[type-var]
        return self
