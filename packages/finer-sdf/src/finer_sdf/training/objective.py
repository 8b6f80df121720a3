"""The distance objective: a weighted sum of pointwise errors, piece by piece."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.shapes import Float
from finer_core.training import StatelessObjective, accumulate_gradients
from finer_core.training.compiled_gradients import add_compiled_gradients, compiles_loss_of
from finer_core.training.objective import GradientSums, add_gradients
from finer_sdf.training.samples import Prefetcher, Sampler, SdfSamples

Error = Literal["squared", "absolute"]


def weighted_squares(
    network: nn.Module,
    coords: Float[Tensor, "points 3"],
    sdf: Float[Tensor, "points values"],
    weight: Float[Tensor, "points 1"],
) -> Float[Tensor, ""]:
    """Return sum_i w_i (f(x_i) - d_i)^2, of several heads the mean.

    Args:
        network: f, whose values are those of d, or (heads, n, 1).
        coords: x, (n, 3).
        sdf: d, (n, 1); of a color head (n, 3).
        weight: w, (n, 1).
    """
    return _weighted_sum((network(coords) - sdf).square(), weight)


def weighted_absolutes(
    network: nn.Module,
    coords: Float[Tensor, "points 3"],
    sdf: Float[Tensor, "points values"],
    weight: Float[Tensor, "points 1"],
) -> Float[Tensor, ""]:
    """Return sum_i w_i |f(x_i) - d_i|, of several heads the mean; the arguments are those of `weighted_squares`."""
    return _weighted_sum((network(coords) - sdf).abs(), weight)


def _weighted_sum(errors: Tensor, weight: Tensor) -> Tensor:
    heads = errors if errors.ndim == weight.ndim else errors.mean(dim=0)
    return (heads * weight).sum()


_LOSSES = {"squared": weighted_squares, "absolute": weighted_absolutes}


class WeightedError:
    """Give a piece's share of the loss, and its gradients.

    Args:
        network: f.
        error: "squared" or "absolute".
    """

    def __init__(self, network: nn.Module, *, error: Error) -> None:
        self.network, self.loss = network, _LOSSES[error]

    def __call__(self, piece: SdfSamples) -> Tensor:
        """Return the loss, differentiable."""
        return self.loss(self.network, piece.coords, piece.sdf, piece.weight)

    def add_gradients(self, piece: SdfSamples, sums: GradientSums) -> Tensor:
        """Add a piece's gradients to `sums`, and return its loss, detached."""
        if compiles_loss_of(self.network):
            return add_compiled_gradients(self.loss, self.network, piece.coords, piece.sdf, piece.weight, sums=sums)
        return add_gradients(self(piece), self.network, sums)


class DistanceObjective(StatelessObjective):
    """Sum the weighted errors of a step's samples over pieces that fit the cache.

    Args:
        sampler: Makes each step's samples.
        error: See `WeightedError`.
        chunk_points: Most points that go through the network at once.
        device: Where the network is.
        gradient_sum: Adds the gradients of the other processes' samples; None if there are none.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        error: Error,
        chunk_points: int,
        device: torch.device | str,
        gradient_sum: GradientReducer | None = None,
    ) -> None:
        if chunk_points < 1:
            raise ValueError(f"chunk_points must be at least 1, got {chunk_points}")
        self.sampler, self.error, self.chunk_points, self.device = sampler, error, chunk_points, device
        self.gradient_sum = gradient_sum or GradientReducer()

    def close(self) -> None:
        """End the threads that make samples ahead of time."""
        if isinstance(self.sampler, Prefetcher):
            self.sampler.close()

    def backward(self, network: nn.Module, step: int) -> Tensor:
        """Accumulate the gradients of one step and return its loss, both of all processes' samples."""
        coords, sdf, weight = self.batch_tensors(step)
        # Of a small batch there may be nothing for one of many processes.
        loss = self.backward_of(network, coords, sdf, weight) if len(coords) else weight.new_zeros(())
        return self.gradient_sum(network, loss)

    @property
    def is_capturable(self) -> bool:
        """Return whether a CUDA graph can repeat a step: alone, it follows from its samples, always as many."""
        return self.gradient_sum.ranks.is_alone

    def batch_tensors(self, step: int) -> Sequence[Tensor]:
        """Return coordinates, targets and weights of a step's samples, on the device."""
        batch = self.sampler.batch(step).to(self.device)
        return batch.coords, batch.sdf, batch.weight

    def backward_of(self, network: nn.Module, *batch: Tensor) -> Tensor:
        """Do what `backward` does, of what `batch_tensors` returned."""
        coords, sdf, weight = batch
        pieces = SdfSamples(coords=coords, sdf=sdf, weight=weight).split(self.chunk_points)
        return accumulate_gradients(network, pieces, WeightedError(network, error=self.error))
