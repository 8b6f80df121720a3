"""What a fit minimizes, and the gradients of one piece of its batch."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

GradientSums = dict[nn.Parameter, Tensor]
"""Sums of parameters' gradients; what had none so far is absent."""


class Objective(Protocol):
    """Compute a training loss and its gradients.

    An objective that draws its samples from the step number alone has no state, and resuming it is exact for free;
    one with a running random generator returns the generator's state from `state_dict`.

    Example:
        >>> from finer_core.training import Objective, StatelessObjective
        >>> class Zero(StatelessObjective):
        ...     def backward(self, network, step):
        ...         loss = sum(weight.square().sum() for weight in network.parameters())
        ...         loss.backward()
        ...         return loss.detach()
        >>> objective: Objective = Zero()
    """

    def backward(self, network: nn.Module, step: int) -> Tensor:
        """Add the gradients of step `step` to the parameters and return the detached scalar loss.

        The objective may split its batch and call `backward` on each part, so that memory does not grow with the batch.
        """
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """Return what a resumed fit needs: tensors and plain data."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        ...


@runtime_checkable
class CapturableObjective(Protocol):
    """Compute a loss and its gradients from tensors alone, so that a CUDA graph can repeat it."""

    @property
    def is_capturable(self) -> bool:
        """Return whether that is so here; it follows from how the objective was made."""
        ...

    def batch_tensors(self, step: int) -> Sequence[Tensor]:
        """Return what the loss of a step depends on, on the device, of the same shapes at every step."""
        ...

    def backward_of(self, network: nn.Module, *batch: Tensor) -> Tensor:
        """Do what `backward` does, of what `batch_tensors` returned."""
        ...


@runtime_checkable
class PieceLoss(Protocol):
    """Return a piece's share of a loss, for `accumulate_gradients`, and know a faster way to its gradients.

    Example:
        >>> from finer_core.training import SquaredError
        >>> from finer_core.training.objective import PieceLoss
        >>> issubclass(SquaredError, PieceLoss)
        True
    """

    def __call__(self, piece: Any) -> Tensor:
        """Return the loss, differentiable."""
        ...

    def add_gradients(self, piece: Any, sums: GradientSums) -> Tensor:
        """Add a piece's gradients to `sums`, and return its loss, detached."""
        ...


class StatelessObjective:
    """Give an objective whose samples depend on the step alone its empty state.

    Example:
        >>> import torch
        >>> from finer_core.training import StatelessObjective, fit
        >>> class Nearer(StatelessObjective):
        ...     def backward(self, network, step):
        ...         loss = network(torch.ones(4, 2)).square().mean()
        ...         loss.backward()
        ...         return loss.detach()
        >>> network = torch.nn.Linear(2, 1)
        >>> fit(network, Nearer(), steps=20, log_every=10)["step"].tolist()
        [10, 20]
    """

    def state_dict(self) -> Mapping[str, Any]:
        """Return nothing: there is no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Accept the empty state.

        Raises:
            ValueError: If there is any.
        """
        if state:
            raise ValueError(f"this objective has no state, got {sorted(state)}")


def add_gradients(loss: Tensor, network: nn.Module, sums: GradientSums) -> Tensor:
    """Differentiate a loss, add the gradients of a network's trained parameters to `sums`, and return it detached."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    taken: set[int] = set()
    for parameter, grad in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
        if grad is not None and parameter in sums:
            sums[parameter].add_(grad)
        elif grad is not None:
            sums[parameter] = grad.clone(memory_format=torch.contiguous_format) if _is_shared(grad, taken) else grad
    return loss.detach()


def _is_shared(grad: Tensor, taken: set[int]) -> bool:
    """Return whether what is added to a gradient would be added to another's too, or to several of its numbers.

    Autograd gives the terms of a sum one tensor as their gradient, and a tensor that is summed up one number in memory.

    Args:
        grad: The gradient.
        taken: Where those before it are in memory; changed in place.
    """
    if grad.layout != torch.strided:
        return False
    place = grad.untyped_storage().data_ptr()
    is_repeated = any(count > 1 and not step for count, step in zip(grad.shape, grad.stride(), strict=True))
    is_shared = is_repeated or place in taken
    taken.add(place)
    return is_shared
