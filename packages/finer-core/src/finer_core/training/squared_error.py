"""The squared error of a piece: without a graph where a network is a run of maps, compiled, or by autograd."""

from collections.abc import Callable
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finer_core.activations._kernels.fused_mlp import FusedLayer, evaluate, fused_backward, is_hooked
from finer_core.networks.base import CoordinateMLP
from finer_core.shapes import Float
from finer_core.training.compiled_gradients import add_compiled_gradients, compiles_loss_of
from finer_core.training.objective import GradientSums, add_gradients


class SquaredError:
    """Give a piece's share of the loss L = sum (f(x) - t)^2 / count, for `accumulate_gradients`.

    Args:
        network: f.
        examples: Returns a piece's inputs x (n, in_features) and targets t (n, out_features).
        count: What the sum of squares is divided by: the number of values that the whole batch has.
        weight_of: Returns a factor on the squares of each of a piece's rows, (n, 1); None for 1.

    Example:
        >>> import torch
        >>> from finer_core.training import SquaredError, accumulate_gradients
        >>> x, network = torch.linspace(-1, 1, 8)[:, None], torch.nn.Linear(1, 1)
        >>> error = SquaredError(network, lambda piece: (x[piece], 2 * x[piece]), count=8)
        >>> loss = accumulate_gradients(network, [slice(0, 4), slice(4, 8)], error)
        >>> bool(torch.isclose(loss, (network(x) - 2 * x).square().mean()))
        True
    """

    def __init__(
        self,
        network: nn.Module,
        examples: Callable[[Any], tuple[Tensor, Tensor]],
        *,
        count: int,
        weight_of: Callable[[Any], Tensor] | None = None,
    ) -> None:
        self.network, self.examples, self.count, self.weight_of = network, examples, count, weight_of

    def __call__(self, piece: Any) -> Tensor:
        """Return the loss, differentiable."""
        return self._loss(*self.examples(piece), self._weight(piece))

    def add_gradients(self, piece: Any, sums: GradientSums) -> Tensor:
        """Add a piece's gradients to `sums`, and return its loss, detached."""
        inputs, targets = self.examples(piece)
        weight = self._weight(piece)
        if weight is None and compiles_loss_of(self.network) and targets.shape[:-1] == inputs.shape[:-1]:
            share = targets.new_full((len(targets), 1), 1 / self.count)
            return add_compiled_gradients(weighted_squares, self.network, inputs, targets, share, sums=sums)
        features, maps = _run_of_maps(self.network, inputs)
        tensors = [tensor for each in maps for tensor in (each.weight, each.bias)]
        fits = maps and targets.dtype == features.dtype and targets.shape == (len(features), maps[-1].weight.shape[0])
        if not fits or not all(map(_ends_here, tensors)):
            return add_gradients(self._loss(inputs, targets, weight), self.network, sums)
        wants = [tensor is not None and tensor.requires_grad for tensor in tensors]
        before = [sums.get(tensor) if isinstance(tensor, nn.Parameter) else None for tensor in tensors]
        with torch.no_grad():
            value, kept = evaluate(features, maps)
            error = value.sub_(targets)
            squares = error.square()
            loss = (squares if weight is None else squares.mul_(weight)).sum() / self.count
            error.mul_(2 / self.count)
            _, grads = fused_backward(error if weight is None else error.mul_(weight), kept, wants=wants, sums=before)
        for tensor, old, grad in zip(tensors, before, grads, strict=True):
            if isinstance(tensor, nn.Parameter) and grad is not None and grad is not old:
                # A tensor that stands in two maps comes here twice.
                sums[tensor] = sums[tensor].add_(grad) if tensor in sums else grad
        return loss

    def _loss(self, inputs: Tensor, targets: Tensor, weight: Tensor | None) -> Tensor:
        if weight is not None:
            return weighted_squares(self.network, inputs, targets, weight) / self.count
        return F.mse_loss(self.network(inputs), targets, reduction="sum") / self.count

    def _weight(self, piece: Any) -> Tensor | None:
        return None if self.weight_of is None else self.weight_of(piece)


def weighted_squares(
    network: nn.Module,
    inputs: Float[Tensor, "*points in_features"],
    targets: Float[Tensor, "*points out_features"],
    weight: Float[Tensor, "*points 1"],
) -> Float[Tensor, ""]:
    """Return sum w |f(x) - t|^2.

    Args:
        network: f.
        inputs: x, (n, in_features).
        targets: t, (n, out_features).
        weight: w, (n, 1).
    """
    return ((network(inputs) - targets).square() * weight).sum()


def _run_of_maps(network: nn.Module, coords: Tensor) -> tuple[Tensor, list[FusedLayer]]:
    """Return the encoded coordinates and the maps that a network is on them; no maps where it is more than that."""
    if not isinstance(network, CoordinateMLP) or unwrap(type(network).forward) is not unwrap(CoordinateMLP.forward):
        return coords, []
    encoding = network.encoding
    if is_hooked(network) or (encoding is not None and any(p.requires_grad for p in encoding.parameters())):
        return coords, []
    features = coords if encoding is None else encoding(coords)
    return features, network.as_fused_layers(features) or []


def _ends_here(tensor: Tensor | None) -> bool:
    """Return whether a gradient goes no further than this tensor: it is not made of others, and nobody waits for it."""
    return tensor is None or (isinstance(tensor, nn.Parameter) and not tensor._backward_hooks)
