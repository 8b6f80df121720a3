"""The loss of a piece and its gradients as one compiled function, which an NVIDIA GPU runs as one CUDA graph.

A small network is a hundred short operations, and a GPU is done with one before the processor has asked for the next.
A recorded graph is asked for once. It is recorded for one number of rows, so pieces are filled up to round numbers.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finer_core.activations._kernels.dispatch import compiles_on
from finer_core.training.objective import GradientSums, add_gradients

Loss = Callable[..., Tensor]
"""Returns a scalar from a network and tensors (n, ...), to which a row of zeros in all of them adds nothing."""
_ROUND = 256
"""Rows of a piece are filled up to a multiple of this."""


def compiles_loss_of(network: nn.Module) -> bool:
    """Return whether a network's loss is to be compiled: that was asked for, elsewhere than on a CPU.

    Networks of complex numbers are not: PyTorch's compiler leaves complex operations as they are.
    """
    first = next(network.parameters(), None)
    return first is not None and compiles_on(first.device) and not any(p.is_complex() for p in network.parameters())


def add_compiled_gradients(loss: Loss, network: nn.Module, *tensors: Tensor, sums: GradientSums) -> Tensor:
    """Add the gradients of loss(network, *tensors) to `sums`, and return the loss, detached.

    Args:
        loss: A function that lives on, such as one of a module, for it is compiled once.
        network: Whose parameters get gradients.
        *tensors: (n, ...) each.
        sums: Gradients so far; changed in place.
    """
    more = -tensors[0].shape[0] % _ROUND
    filled = [F.pad(tensor, (0, 0) * (tensor.ndim - 1) + (0, more)) for tensor in tensors]
    mine: GradientSums = {}
    value = add_gradients(_compiled(loss)(network, *filled), network, mine).clone()
    for parameter, grad in mine.items():
        # What a graph returns is overwritten when it runs again.
        sums[parameter] = sums[parameter].add_(grad) if parameter in sums else grad.clone()
    return value


@lru_cache(maxsize=16)
def _compiled(loss: Loss) -> Loss:
    return torch.compile(loss, mode="reduce-overhead")
