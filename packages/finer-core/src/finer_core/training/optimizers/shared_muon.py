"""Muon whose matrices are shared out over processes.

The momenta are cheap and kept everywhere: every process can write the whole state, and any number of processes can go
on from it.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from finer_core.distributed.ranks import Ranks
from finer_core.training.optimizers.muon import Muon
from finer_core.training.optimizers.shared_matrices import give_to_all, matrices_of, owners_of, without_gradients


class SharedMuon(Muon):
    """Update matrices as `Muon` does, by one more exchange a step.

    Args:
        matrices: Parameters, in the same order and with the same gradients in every process.
        ranks: The place of this process.
        lr: Rate.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], *, ranks: Ranks, lr: float) -> None:
        super().__init__(list(matrices), lr=lr)
        self._ranks = ranks

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update this process's share of the matrices, then exchange them.

        Raises:
            CollectiveError: If another process is gone.
        """
        matrices = matrices_of(self)
        owners = owners_of(matrices, self._ranks)
        others = [matrix for matrix, owner in zip(matrices, owners, strict=True) if owner != self._ranks.rank]
        with without_gradients(others):
            loss = super().step(closure)
        theirs = {id(matrix) for matrix in others}
        for group in self.param_groups:
            for matrix in group["params"]:
                if id(matrix) in theirs and matrix.grad is not None:
                    self._remember(matrix, momentum=group["momentum"])
        give_to_all(matrices, owners=owners, ranks=self._ranks)
        return loss

    def _remember(self, matrix: nn.Parameter, *, momentum: float) -> None:
        """Keep the momentum of a matrix that another process updates, as that one does."""
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix, memory_format=torch.preserve_format)
        state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
