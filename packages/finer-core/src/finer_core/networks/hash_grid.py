"""A small ReLU network on a multiresolution hash grid (instant-ngp)."""

from typing import Any

import torch
from torch import Generator, Tensor, nn

from finer_core import initializers
from finer_core.encodings.hash_grid import HashGrid
from finer_core.layers import ReluLayer
from finer_core.networks.base import CoordinateMLP, check_sizes


class _Unit(nn.Module):
    """Map coordinates in [-1, 1] to [0, 1], then encode them."""

    def __init__(self, grid: HashGrid) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, coords: Tensor) -> Tensor:
        return self.grid((coords + 1) / 2)


class HashGridMLP(CoordinateMLP):
    """Build a ReLU network on a hash grid (Mueller et al., SIGGRAPH 2022).

    Args:
        in_features: Number of coordinates, up to 3, each in [-1, 1].
        out_features: Number of signal channels.
        hidden_features: Width.
        hidden_layers: Hidden-to-hidden layers; see `CoordinateMLP`.
        levels: Number of grids.
        features_per_level: Features of each.
        log2_table_size: Logarithm of the largest number of rows of a grid.
        base_resolution: Corners per axis of the coarsest grid.
        finest_resolution: Of the finest.
        bias: Whether the linear maps have one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their type.

    Example:
        >>> import torch
        >>> from finer_core import HashGridMLP
        >>> network = HashGridMLP(in_features=2, out_features=1, hidden_features=32)
        >>> network(torch.zeros(5, 2)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        hidden_features: int = 64,
        hidden_layers: int = 0,
        levels: int = 16,
        features_per_level: int = 2,
        log2_table_size: int = 19,
        base_resolution: int = 16,
        finest_resolution: int = 2048,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_sizes(in_features=in_features, out_features=out_features, hidden_features=hidden_features)
        grid = HashGrid(
            in_features=in_features,
            levels=levels,
            features_per_level=features_per_level,
            log2_table_size=log2_table_size,
            base_resolution=base_resolution,
            finest_resolution=finest_resolution,
            generator=generator,
            device=device,
            dtype=dtype,
        )

        def make_layer(*, is_first: bool, **linear: Any) -> ReluLayer:
            return ReluLayer(weight_init=initializers.he_uniform_, **linear)

        super().__init__(
            in_features=in_features,
            out_features=out_features,
            hidden_features=hidden_features,
            hidden_layers=hidden_layers,
            make_layer=make_layer,
            head_init=initializers.he_uniform_,
            bias=bias,
            encoding=_Unit(grid),
            encoded_features=grid.out_features,
            generator=generator,
            device=device,
            dtype=dtype,
        )
