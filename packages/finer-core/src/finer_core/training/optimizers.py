"""Optimisers by name, each a list so that two can share a network.

The list is what `fit` steps; every group remembers its `initial_lr`, which the schedule multiplies.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

from finer_core.errors import InputError
from finer_core.ranks import ALONE, Ranks

OPTIMIZERS = ("adam", "muon")


def build_optimizers(
    network: nn.Module,
    *,
    name: str = "adam",
    learning_rate: float,
    muon_learning_rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    amsgrad: bool = False,
    ranks: Ranks = ALONE,
) -> list[Optimizer]:
    """Build the optimisers of a network.

    "adam" is Adam on everything. "muon" updates the square hidden matrices by Muon (orthogonalised momentum, Jordan
    et al., 2024) and everything else by Adam; a network without such real matrices gets Adam alone.

    Args:
        network: The network.
        name: "adam" or "muon".
        learning_rate: Adam's rate.
        muon_learning_rate: Muon's rate.
        betas: Adam's decay rates.
        eps: Adam's epsilon.
        amsgrad: Whether Adam keeps the maximum of its second moments.
        ranks: The place of this process among those that share the fit; they also share Muon's work.

    Raises:
        InputError: For an unknown name or a rate that is not positive.
    """
    if name not in OPTIMIZERS:
        raise InputError(f"unknown optimizer {name!r} (known: {', '.join(OPTIMIZERS)})")
    if not learning_rate > 0 or not muon_learning_rate > 0:
        raise InputError(f"learning rates must be positive, got {learning_rate!r} and {muon_learning_rate!r}")
    if name == "muon" and not hasattr(torch.optim, "Muon"):
        raise InputError(f"optimizer 'muon' needs PyTorch 2.9 or newer, this is {torch.__version__}; use 'adam'")
    parameters = [p for p in network.parameters() if p.requires_grad]
    hidden = [p for p in parameters if name == "muon" and _is_hidden_matrix(p)]
    chosen = {id(p) for p in hidden}
    rest = [p for p in parameters if id(p) not in chosen]
    # The fused form is several times faster on small networks; it has no complex arithmetic.
    fused = None if any(p.is_complex() for p in rest) else True
    optimizers: list[Optimizer] = []
    if rest:
        optimizers.append(torch.optim.Adam(rest, lr=learning_rate, betas=betas, eps=eps, amsgrad=amsgrad, fused=fused))
    if hidden and ranks.is_alone:
        optimizers.append(torch.optim.Muon(hidden, lr=muon_learning_rate, weight_decay=0.0))
    elif hidden:
        from finer_core.training.shared_muon import SharedMuon  # an older PyTorch has no Muon to inherit from

        optimizers.append(SharedMuon(hidden, ranks=ranks, lr=muon_learning_rate, weight_decay=0.0))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def set_learning_rates(optimizers: list[Optimizer], *, factor: float) -> None:
    """Set every group's rate to `factor` times its initial one."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


def each(optimizers: list[Optimizer], action: Callable[[Optimizer], object]) -> None:
    """Apply `action` to every optimiser."""
    for optimizer in optimizers:
        action(optimizer)


def _is_hidden_matrix(parameter: nn.Parameter) -> bool:
    return (
        parameter.ndim == 2
        and not parameter.is_complex()
        and parameter.shape[0] == parameter.shape[1]
        and parameter.shape[0] > 8
    )
