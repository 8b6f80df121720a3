"""Gradients of a batch, piece by piece: in memory that does not grow with the batch, and on a CPU one core a piece.

A small network's layers are short operations. Splitting each of them over the cores makes the cores wait for each other
thousands of times a step; giving each core whole pieces makes them wait once. The sums are formed in a fixed order, so
a fit with the same number of threads is reproducible to the bit.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from finer_core.activations import first_order_only
from finer_core.parallel import one_thread_per_op, parallel_map, worker_count
from finer_core.training.objective import GradientSums, PieceLoss, add_gradients

Piece = TypeVar("Piece")


def accumulate_gradients(network: nn.Module, pieces: Sequence[Piece], loss_of: Callable[[Piece], Tensor]) -> Tensor:
    """Add the gradients of the sum of all pieces' losses to the parameters' `grad`.

    Args:
        network: Whose parameters the losses depend on; on a CPU the pieces run in as many threads as PyTorch has.
        pieces: Parts of a batch, at least one.
        loss_of: Returns a piece's share of the loss, a scalar. It is called from several threads and must not change
            anything. Derivatives in it (an eikonal term) come from `finer_core.differential`. A `PieceLoss`
            has its own way to its gradients.

    Returns:
        The detached sum of the losses.

    Raises:
        ValueError: If there are no pieces.

    Example:
        >>> import torch
        >>> from finer_core.training import accumulate_gradients
        >>> network, x = torch.nn.Linear(2, 1), torch.rand(8, 2)
        >>> loss = accumulate_gradients(network, x.split(4), lambda piece: network(piece).square().sum() / 8)
        >>> network.weight.grad.shape
        torch.Size([1, 2])
    """
    if not pieces:
        raise ValueError("a batch needs at least one piece, got none")
    shares = _shares(network, pieces)
    with one_thread_per_op():
        results = parallel_map(lambda share: _share(network, share, loss_of), shares)
        return _add_up(network, results)


def _shares(network: nn.Module, pieces: Sequence[Piece]) -> list[Sequence[Piece]]:
    """Deal the pieces out to the threads, in runs of neighbors; elsewhere than on a CPU there is one thread.

    The runs are those that as many processes of one thread each would take of the batch where it divides evenly, so
    sums over threads and over processes then have the same bits.
    """
    on_cpu = all(p.device.type == "cpu" for p in network.parameters() if p.requires_grad)
    workers = min(worker_count(), len(pieces)) if on_cpu else 1
    ends = [len(pieces) * i // workers for i in range(workers + 1)]
    return [pieces[start:end] for start, end in itertools.pairwise(ends)]


def _add_up(network: nn.Module, results: Sequence[tuple[Tensor, GradientSums]]) -> Tensor:
    """Add the threads' gradients to the parameters', in order, and return the sum of their losses."""
    for _, sums in results:
        for parameter in network.parameters():
            grad = sums.get(parameter)
            if grad is not None:
                parameter.grad = grad if parameter.grad is None else parameter.grad.add_(grad)
    return torch.stack([loss for loss, _ in results]).sum()


def _share(
    network: nn.Module, pieces: Sequence[Piece], loss_of: Callable[[Piece], Tensor]
) -> tuple[Tensor, GradientSums]:
    """Return the loss and the gradients of one worker's pieces."""
    total: Tensor | None = None
    sums: GradientSums = {}
    own_way = loss_of.add_gradients if isinstance(loss_of, PieceLoss) else None
    for piece in pieces:
        with first_order_only(), torch.enable_grad():
            loss = own_way(piece, sums) if own_way else add_gradients(loss_of(piece), network, sums)
        total = loss if total is None else total + loss
    assert total is not None
    return total, sums
