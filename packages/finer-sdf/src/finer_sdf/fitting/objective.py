"""The distance objective: a weighted sum of pointwise errors, piece by piece."""

from typing import Literal

import torch
from torch import Tensor, nn

from finer_core.training import StatelessObjective, accumulate_gradients
from finer_sdf.fitting.samples import Sampler, Samples

Error = Literal["squared", "absolute"]


def weighted_error(prediction: Tensor, samples: Samples, *, error: Error) -> Tensor:
    """Return the weighted sum of errors, a scalar.

    Formula: L = sum_i w_i e(f(x_i) - d_i), e(r) = r^2 or |r|; with several heads e is their mean.

    Args:
        prediction: (n, 1), or (heads, n, 1).
        samples: n points.
        error: "squared" or "absolute".
    """
    difference = prediction - samples.sdf
    each = difference.square() if error == "squared" else difference.abs()
    heads = each if each.ndim == samples.sdf.ndim else each.mean(dim=0)
    total: Tensor = (heads * samples.weight).sum()
    return total


class DistanceObjective(StatelessObjective):
    """Sum the weighted errors of a step's samples over pieces that fit the cache.

    Args:
        sampler: Makes each step's samples.
        error: See `weighted_error`.
        chunk_points: Most points that go through the network at once.
        device: Where the network is.
    """

    def __init__(self, sampler: Sampler, *, error: Error, chunk_points: int, device: torch.device | str) -> None:
        if chunk_points < 1:
            raise ValueError(f"chunk_points must be at least 1, got {chunk_points}")
        self.sampler, self.error, self.chunk_points, self.device = sampler, error, chunk_points, device

    def backward(self, network: nn.Module, step: int) -> Tensor:
        """Accumulate the gradients of one step and return its loss."""
        pieces = self.sampler.batch(step).to(self.device).split(self.chunk_points)
        return accumulate_gradients(
            network, pieces, lambda piece: weighted_error(network(piece.coords), piece, error=self.error)
        )
