"""Matrices shared out over processes: each works on its own, and all receive the results.

What an optimiser does for a matrix is the same in every process once the gradients are summed, so repeating it
everywhere would be the part of a step that more processes do not shorten.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from finer_core.ranks import Ranks, my_share
from finer_core.team import collective


def matrices_of(optimizer: Optimizer) -> list[nn.Parameter]:
    """Return all parameters of an optimiser, in order."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def own_matrices(optimizer: Optimizer, ranks: Ranks) -> set[int]:
    """Return the ids of those parameters that are this process's."""
    return {id(matrix) for matrix in my_share(matrices_of(optimizer), ranks)}


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
def give_to_all(tensors: Sequence[Tensor], *, mine: Sequence[bool]) -> None:
    """Overwrite every tensor, in every process, by what the one process has that calls it its own.

    Args:
        tensors: Of the same shapes, on one device and of one type, in every process.
        mine: Which of them are this process's.

    Raises:
        CollectiveError: If another process is gone.
    """
    from torch import distributed as dist

    buffer = tensors[0].new_zeros(sum(tensor.numel() for tensor in tensors))
    pieces = buffer.split([tensor.numel() for tensor in tensors])
    for tensor, piece, is_mine in zip(tensors, pieces, mine, strict=True):
        if is_mine:
            piece.copy_(tensor.reshape(-1))
    with collective():
        dist.all_reduce(buffer)  # each number plus zeros: itself, bit for bit
    for tensor, piece, is_mine in zip(tensors, pieces, mine, strict=True):
        if not is_mine:
            tensor.copy_(piece.view_as(tensor))
