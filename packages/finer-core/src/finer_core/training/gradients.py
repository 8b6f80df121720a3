"""Gradients of one piece of a batch."""

import torch
from torch import Tensor, nn

GradientSums = dict[nn.Parameter, Tensor]
"""Sums of parameters' gradients; what had none so far is absent."""


def add_gradients(loss: Tensor, network: nn.Module, sums: GradientSums) -> Tensor:
    """Differentiate a loss, add the gradients of a network's trained parameters to `sums`, and return it detached."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter, grad in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
        if grad is not None:
            sums[parameter] = sums[parameter].add_(grad) if parameter in sums else grad
    return loss.detach()
