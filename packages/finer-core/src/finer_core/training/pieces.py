"""Gradients of a batch, piece by piece: in memory that does not grow with the batch, and on a CPU one core a piece.

A small network's layers are short operations. Splitting each of them over the cores makes the cores wait for each other
thousands of times a step; giving each core whole pieces makes them wait once. The sums are formed in a fixed order, so
a fit with the same number of threads is reproducible to the bit.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from finer_core.activations import first_derivatives_only
from finer_core.threads import map_in_threads

Piece = TypeVar("Piece")


def accumulate_gradients(network: nn.Module, pieces: Sequence[Piece], loss_of: Callable[[Piece], Tensor]) -> Tensor:
    """Add the gradients of the sum of all pieces' losses to the parameters' `grad`.

    Args:
        network: Whose parameters the losses depend on; on a CPU the pieces run in as many threads as PyTorch has.
        pieces: Parts of a batch, at least one.
        loss_of: Returns a piece's share of the loss, a scalar. It is called from several threads and must not change
            anything. Derivatives in it (an eikonal term) come from `finer_core.differential`.

    Returns:
        The detached sum of the losses.

    Raises:
        ValueError: If there are no pieces.
    """
    if not pieces:
        raise ValueError("a batch needs at least one piece, got none")
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    on_cpu = all(parameter.device.type == "cpu" for parameter in parameters)
    workers = min(torch.get_num_threads(), len(pieces)) if on_cpu else 1
    shares = [pieces[start::workers] for start in range(workers)]
    results = map_in_threads(lambda share: _share(share, loss_of, parameters), shares)
    total = torch.stack([loss for loss, _ in results]).sum()
    for _, grads in results:
        for parameter, grad in zip(parameters, grads, strict=True):
            if grad is not None:
                parameter.grad = grad if parameter.grad is None else parameter.grad.add_(grad)
    return total


def _share(
    pieces: Sequence[Piece], loss_of: Callable[[Piece], Tensor], parameters: Sequence[nn.Parameter]
) -> tuple[Tensor, list[Tensor | None]]:
    """Return the loss and the gradients of one worker's pieces."""
    total: Tensor | None = None
    sums: list[Tensor | None] = [None] * len(parameters)
    for piece in pieces:
        with first_derivatives_only():  # here, because a thread does not inherit its caller's context
            loss = loss_of(piece)
        for i, grad in enumerate(torch.autograd.grad(loss, parameters, allow_unused=True)):
            before = sums[i]
            if grad is not None:
                sums[i] = grad if before is None else before.add_(grad)
        total = loss.detach() if total is None else total + loss.detach()
    assert total is not None
    return total, sums
