"""Matrices shared out over processes: each works on its own, and all receive the results.

What an optimiser does for a matrix is the same in every process once the gradients are summed, so repeating it
everywhere would be the part of a step that more processes do not shorten.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from finer_core.distributed.ranks import Ranks
from finer_core.distributed.team import collective


def matrices_of(optimizer: Optimizer) -> list[nn.Parameter]:
    """Return all parameters of an optimiser, in order."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def owners_of(matrices: Sequence[nn.Parameter], ranks: Ranks) -> list[int]:
    """Return the place of the process that works on each matrix: neighbours are often equally heavy."""
    return [i % ranks.size for i in range(len(matrices))]


@contextmanager
def without_gradients(matrices: Sequence[nn.Parameter]) -> Iterator[None]:
    """Take matrices' gradients away for a block, in which an optimiser then passes over them."""
    gradients = [matrix.grad for matrix in matrices]
    for matrix in matrices:
        matrix.grad = None
    try:
        yield
    finally:
        for matrix, gradient in zip(matrices, gradients, strict=True):
            matrix.grad = gradient


@torch.no_grad()
def give_to_all(tensors: Sequence[Tensor], *, owners: Sequence[int], ranks: Ranks) -> None:
    """Overwrite every tensor, in every process, by what its owner has.

    Args:
        tensors: Of the same shapes, on one device and of one type, in every process.
        owners: The place of the process whose numbers count, a tensor.
        ranks: The place of this process.

    Raises:
        CollectiveError: If another process is gone.
    """
    from torch import distributed as dist

    buffers: dict[int, Tensor] = {}
    for owner in sorted(set(owners)):
        theirs = [tensor.reshape(-1) for tensor, of in zip(tensors, owners, strict=True) if of == owner]
        size = sum(tensor.numel() for tensor in theirs)
        buffers[owner] = torch.cat(theirs) if owner == ranks.rank else tensors[0].new_empty(size)
    with collective():
        # All at once: every number travels to each process once, half of what a sum with zeros would send.
        for sending in [dist.broadcast(buffer, owner, async_op=True) for owner, buffer in buffers.items()]:
            sending.wait()
    for owner, buffer in buffers.items():
        if owner != ranks.rank:
            theirs = [tensor for tensor, of in zip(tensors, owners, strict=True) if of == owner]
            for tensor, piece in zip(theirs, buffer.split([tensor.numel() for tensor in theirs]), strict=True):
                tensor.copy_(piece.view_as(tensor))
