"""Gradients of many networks in one pass: their weights stacked, every product a batched product.

A small network keeps a GPU waiting for the next short operation. N of them side by side are the same number of
operations, each N times as long.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from finer_core.training.objective import SquaredErrorObjective
from finer_core.training.transfer import send

Examples = tuple[Tensor, Tensor]


def accumulate_gradients_stacked(
    networks: Sequence[nn.Module], objectives: Sequence[SquaredErrorObjective], steps: Sequence[int]
) -> list[Tensor]:
    """Add the gradients of each network's own step of its own objective to its parameters' `grad`.

    Equal to N calls of `Objective.backward` up to rounding. The first pieces of all batches go through together, then
    the second ones, so memory grows with a piece and with N. Not for several threads at once.

    Args:
        networks: N networks that differ in nothing but their weights and buffers, on one device. All that they compute
            must be open to `torch.func.vmap`, which the hash grid is not.
        objectives: One a network.
        steps: The step wanted of each.

    Returns:
        The detached losses, one a network.

    Raises:
        ValueError: If the networks are not of one kind, or a batch has no pieces.
    """
    _check_one_kind(networks)
    batches = [objective.pieces(step) for objective, step in zip(objectives, steps, strict=True)]
    if not all(pieces for pieces, _ in batches):
        raise ValueError("a batch needs at least one piece, got none")
    weights = _stack([dict(network.named_parameters()) for network in networks])
    buffers = _stack([dict(network.named_buffers()) for network in networks])
    trained = {name for name, parameter in networks[0].named_parameters() if parameter.requires_grad}
    leaves = {name: weight.requires_grad_() for name, weight in weights.items() if name in trained}
    sums: dict[str, Tensor] = {}
    total = torch.zeros(())
    for number in range(max(len(pieces) for pieces, _ in batches)):
        examples = [
            objective.examples(pieces[number]) if number < len(pieces) else None
            for objective, (pieces, _) in zip(objectives, batches, strict=True)
        ]
        inputs, targets, kept = _pad(examples)
        counts = send(torch.tensor([count for _, count in batches], dtype=targets.dtype), targets.device)
        errors = vmap(lambda w, b, x: functional_call(networks[0], (w, b), (x,)))(weights, buffers, inputs) - targets
        squares = errors.square() if kept is None else errors.square() * kept
        losses = squares.sum(dim=(1, 2)) / counts
        grads = torch.autograd.grad(losses.sum(), list(leaves.values()), allow_unused=True)
        for name, grad in zip(leaves, grads, strict=True):
            if grad is not None:
                # Batched products give transposed layouts, which the fused optimisers would misread.
                sums[name] = sums[name].add_(grad) if name in sums else grad.contiguous()
        total = losses.detach() if number == 0 else total + losses.detach()
    for place, network in enumerate(networks):
        for name, parameter in network.named_parameters():
            if name in sums:
                grad = sums[name][place]
                parameter.grad = grad if parameter.grad is None else parameter.grad.add_(grad)
    return list(total.unbind())


def _check_one_kind(networks: Sequence[nn.Module]) -> None:
    """Raise ValueError unless all networks compute the same function of their weights."""
    first = networks[0]
    config, layout = getattr(first, "config", None), _layout(first)
    for network in networks[1:]:
        if getattr(network, "config", None) != config or _layout(network) != layout:
            raise ValueError(f"networks that are trained together must be of one kind: {first} is not {network}")


def _layout(network: nn.Module) -> list[tuple[Any, ...]]:
    return [(name, value.shape, value.dtype, value.device) for name, value in network.state_dict().items()]


def _stack(tensors: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    return {name: torch.stack([each[name].detach() for each in tensors]) for name in tensors[0]}


def _pad(examples: Sequence[Examples | None]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Stack pieces, the shorter ones filled up with examples that do not count.

    Returns:
        Inputs (N, n, in_features), targets (N, n, out_features), and 1 or 0 for each row (N, n, 1) that counts or not,
        or None where all do.
    """
    given = [pair for pair in examples if pair is not None]
    rows = [0 if pair is None else pair[0].shape[0] for pair in examples]
    if min(rows) == max(rows):
        return torch.stack([x for x, _ in given]), torch.stack([t for _, t in given]), None
    inputs = given[0][0].new_zeros(len(examples), max(rows), given[0][0].shape[1])
    targets = given[0][1].new_zeros(len(examples), max(rows), given[0][1].shape[1])
    kept = targets.new_zeros(len(examples), max(rows), 1)
    for place, pair in enumerate(examples):
        if pair is not None:
            inputs[place, : rows[place]], targets[place, : rows[place]] = pair
            kept[place, : rows[place]] = 1
    return inputs, targets, kept
