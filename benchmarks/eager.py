"""The plain eager implementation that every ratio is measured against: autograd, full batch, nothing fused.

Written from the formulas alone, with nothing of this project, so that a slow-down of ours cannot slow it down too.
"""

import itertools
import math

import torch
from torch import Tensor, nn


class EagerFiner(nn.Module):
    """FINER as anyone would write it: nn.Linear, then sin(omega (|z| + 1) z) with the factor detached."""

    def __init__(self, *, in_features: int, out_features: int, hidden_features: int, hidden_layers: int) -> None:
        super().__init__()
        sizes = [in_features, *[hidden_features] * (hidden_layers + 1), out_features]
        self.maps = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        for index, linear in enumerate(self.maps):
            n = linear.in_features
            bound = 1 / n if index == 0 else math.sqrt(6 / n) / 30
            nn.init.uniform_(linear.weight, -bound, bound)

    def forward(self, coords: Tensor) -> Tensor:
        h = coords
        for linear in self.maps[:-1]:
            z = linear(h)
            with torch.no_grad():
                factor = z.abs() + 1
            h = torch.sin(30 * factor * z)
        return self.maps[-1](h)


def full_batch_step(network: nn.Module, coords: Tensor, target: Tensor) -> Tensor:
    """Return the loss of one full-batch step after its backward pass."""
    network.zero_grad(set_to_none=True)
    loss = torch.mean((network(coords) - target) ** 2)
    loss.backward()
    return loss.detach()
