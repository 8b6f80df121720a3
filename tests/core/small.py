"""Small networks of every method, and a small problem to fit, for tests that need any of them."""

import torch
from torch import Tensor, nn

from finer_core import METHODS, NetworkConfig, build_network
from finer_core.coords import grid_coords
from finer_core.training import StatelessObjective

NAMES = tuple(METHODS)
COMPLEX_NAMES = ("wire", "wire-finer")
BACON_NAMES = ("bacon", "multiscale-bacon")


def config_of(method: str, *, in_features: int = 2, out_features: int = 3, **options) -> NetworkConfig:
    """Describe a small network of two hidden layers (multiscale BACON needs its eight)."""
    if method == "ngp":
        options = {"levels": 3, "log2_table_size": 7, "base_resolution": 4, "finest_resolution": 12, **options}
    return NetworkConfig(
        method=method,
        in_features=in_features,
        out_features=out_features,
        hidden_features=options.pop("hidden_features", 16),
        hidden_layers=options.pop("hidden_layers", 8 if method == "multiscale-bacon" else 2),
        options=options,
    )


def network_of(method: str, *, seed: int = 0, dtype: torch.dtype | None = None, **config) -> nn.Module:
    """Build that network, reproducibly."""
    generator = torch.Generator().manual_seed(seed)
    return build_network(config_of(method, **config), generator=generator, dtype=dtype)


def coords_of(count: int = 32, in_features: int = 2, *, dtype: torch.dtype | None = None) -> Tensor:
    """Draw points in [-1, 1]."""
    generator = torch.Generator().manual_seed(7)
    return torch.rand(count, in_features, dtype=dtype, generator=generator) * 2 - 1


class WaveObjective(StatelessObjective):
    """Fit a plane wave at points that depend on the step alone; multiply the loss where `factors` says so.

    `seen` lists the steps asked for, in order.
    """

    def __init__(self, factors: dict[int, list[float]] | None = None) -> None:
        self.factors = factors or {}
        self.seen: list[int] = []

    def backward(self, network: nn.Module, step: int) -> Tensor:
        self.seen.append(step)
        shift = torch.rand(2, generator=torch.Generator().manual_seed(step))
        x = grid_coords(6, 6) + 0.1 * shift
        target = torch.sin(x @ torch.tensor([[2.0, 1.0, -2.0], [1.0, 3.0, 2.0]]))
        loss = (network(x) - target).square().mean()
        planned = self.factors.get(step)
        if planned:
            loss = loss * planned.pop(0)
        loss.backward()
        return loss.detach()
