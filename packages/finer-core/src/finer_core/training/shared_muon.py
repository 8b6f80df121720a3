"""Muon whose matrices are shared out over processes: each orthogonalises its own, and all receive the results.

Orthogonalising is most of Muon's work and the same in every process once the gradients are summed, so repeating it
everywhere would be the part of a step that more processes do not shorten. The momenta are cheap and kept everywhere:
every process can write the whole state, and any number of processes can go on from it.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from finer_core.ranks import Ranks, my_share
from finer_core.team import collective
from finer_core.training.muon import Muon


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
        self._buffer: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update this process's share of the matrices, then exchange them.

        Raises:
            CollectiveError: If another process is gone.
        """
        from torch import distributed as dist

        matrices = [parameter for group in self.param_groups for parameter in group["params"]]
        mine = {id(matrix) for matrix in my_share(matrices, self._ranks)}
        gradients = {matrix: matrix.grad for matrix in matrices if id(matrix) not in mine}
        for matrix in gradients:
            matrix.grad = None  # Muon passes over these
        loss = super().step(closure)
        for group in self.param_groups:
            for matrix in group["params"]:
                if gradients.get(matrix) is not None:
                    self._remember(matrix, gradients[matrix], momentum=group["momentum"])
        if self._buffer is None:
            self._buffer = matrices[0].new_empty(sum(matrix.numel() for matrix in matrices))
        pieces = self._buffer.split([matrix.numel() for matrix in matrices])
        for matrix, piece in zip(matrices, pieces, strict=True):
            if id(matrix) in mine:
                piece.copy_(matrix.reshape(-1))
            else:
                piece.zero_()
        with collective():
            dist.all_reduce(self._buffer)  # each matrix plus zeros: itself, bit for bit
        for matrix, piece in zip(matrices, pieces, strict=True):
            matrix.copy_(piece.view_as(matrix))
        return loss

    def _remember(self, matrix: nn.Parameter, gradient: Tensor, *, momentum: float) -> None:
        """Keep the momentum of a matrix that another process updates, as that one does."""
        matrix.grad = gradient
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient, memory_format=torch.preserve_format)
        state["momentum_buffer"].lerp_(gradient, 1 - momentum)
