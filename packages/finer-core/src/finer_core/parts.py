"""Several networks in one model: a radiance field, say, has one for density and one for colour."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Generator, nn

from finer_core.config import NetworkConfig, build_network
from finer_core.networks import Network

if TYPE_CHECKING:
    from finer_core.model_file import ModelInfo


class NetworkParts(nn.ModuleDict):
    """Hold networks by name; what using them together means is the application's business.

    `save_model` and `load_model` take it as they take a network.

    Args:
        networks: Networks made by `build_network`, by name.

    Attributes:
        info: What its file says; set by `load_model`.
    """

    info: "ModelInfo"

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
    ) -> "NetworkParts":
        """Build every network, in the order of `configs`, from one generator."""
        return cls(
            {name: build_network(config, generator=generator, device=device) for name, config in configs.items()}
        )

    @property
    def config(self) -> dict[str, NetworkConfig]:
        """Return what each network was built from."""
        return {name: network.config for name, network in self.items()}  # type: ignore[misc]
