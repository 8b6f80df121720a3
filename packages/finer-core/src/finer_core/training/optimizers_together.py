"""One update of many networks' optimisers, with the matrices that Muon orthogonalises in one batched product.

Each optimiser keeps its own state and rates, so it can be saved, restored and stepped alone before and after. A step of
Muon is some twenty short operations a matrix, which would cost more than the stacked gradients of a small network.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_SHARED = ("weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn")
"""What groups must have in common to be stepped in one go; the learning rate need not be."""


def step_together(optimizers: Sequence[Optimizer]) -> None:
    """Do what `optimizer.step()` would do for each, up to rounding.

    Args:
        optimizers: Of any kinds; those of Muon that agree in everything but the rate go together.
    """
    alike: dict[tuple[Any, ...], list[tuple[Tensor, dict[str, Any], float]]] = {}
    for optimizer in optimizers:
        if not _goes_together(optimizer):
            optimizer.step()
            continue
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    key = (parameter.shape, parameter.dtype, parameter.device, *(group[name] for name in _SHARED))
                    alike.setdefault(key, []).append((parameter, optimizer.state[parameter], float(group["lr"])))
    for key, entries in alike.items():
        _muon(entries, **dict(zip(_SHARED, key[3:], strict=True)))


def _goes_together(optimizer: Optimizer) -> bool:
    """Return whether it is the Muon that `build_optimizers` makes, the only kind that is written out here."""
    muon = getattr(torch.optim, "Muon", None)  # since PyTorch 2.9
    return (
        muon is not None and type(optimizer) is muon and all(g["adjust_lr_fn"] is None for g in optimizer.param_groups)
    )


@torch.no_grad()
def _muon(
    entries: Sequence[tuple[Tensor, dict[str, Any], float]],
    *,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
    ns_coefficients: tuple[float, float, float],
    eps: float,
    ns_steps: int,
    adjust_lr_fn: None,
) -> None:
    """Update matrices of one shape by Muon (Jordan et al., 2024), as `torch.optim.Muon` does.

    Formula: B <- momentum B + (1 - momentum) G; U = G + momentum (B - G) with Nesterov's rule, else B;
    W <- (1 - lr weight_decay) W - lr sqrt(max(1, rows / columns)) NS(U).

    Each entry is a parameter, its state and its rate; the others are `torch.optim.Muon`'s own.
    """
    parameters = [parameter for parameter, _, _ in entries]
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for parameter, state, _ in entries:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    buffers = [state["momentum_buffer"] for _, state, _ in entries]
    torch._foreach_lerp_(buffers, grads, 1 - momentum)
    updates = torch._foreach_lerp(grads, buffers, momentum) if nesterov else buffers
    steps = list(
        _orthogonalised(torch.stack(list(updates)), ns_coefficients, ns_steps, eps).to(grads[0].dtype).unbind()
    )
    rows, columns = parameters[0].shape
    adjusted = max(1.0, rows / columns) ** 0.5
    if weight_decay:
        torch._foreach_mul_(parameters, [1 - rate * weight_decay for _, _, rate in entries])
    torch._foreach_mul_(steps, [-rate * adjusted for _, _, rate in entries])
    torch._foreach_add_(parameters, steps)


def _orthogonalised(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Bring the singular values of (N, rows, columns) matrices near 1 by Newton and Schulz's iteration, in bfloat16.

    Formula: X <- a X + (b X X^T + c (X X^T)^2) X, from X = M / ||M||; of the transpose where there are more rows.
    """
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.bfloat16()
    x = x.mT if tall else x
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
