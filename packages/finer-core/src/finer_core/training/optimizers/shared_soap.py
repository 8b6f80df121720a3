"""SOAP whose matrices are shared out over processes.

A matrix's bases and covariances are kept up by its own process alone: they are most of the work. Whoever asks for the
state gets all of it, for which all processes must ask at once; any number of processes can go on from it.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from finer_core.distributed.ranks import Ranks
from finer_core.training.optimizers.shared_matrices import give_to_all, matrices_of, owners_of, without_gradients
from finer_core.training.optimizers.soap import RENEW_EVERY, Soap


class SharedSoap(Soap):
    """Update matrices as `Soap` does, by one more exchange a step, and one a `state_dict`.

    Args:
        matrices: Parameters, in the same order and with the same gradients in every process.
        ranks: The place of this process.
        lr: Rate.
        betas: As for `Soap`, and so are the others.
        nesterov: Whether momentum is Nesterov's.
        renew_every: Steps between two renewals.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        *,
        ranks: Ranks,
        lr: float,
        betas: tuple[float, float],
        nesterov: bool = False,
        renew_every: int = RENEW_EVERY,
    ) -> None:
        super().__init__(list(matrices), lr=lr, betas=betas, nesterov=nesterov, renew_every=renew_every)
        self._ranks = ranks
        self._others_are_behind = False

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update this process's share of the matrices, then exchange them.

        Raises:
            CollectiveError: If another process is gone.
        """
        matrices = matrices_of(self)
        owners = owners_of(matrices, self._ranks)
        others = [matrix for matrix, owner in zip(matrices, owners, strict=True) if owner != self._ranks.rank]
        with without_gradients(others):
            loss = super().step(closure)
        give_to_all(matrices, owners=owners, ranks=self._ranks)
        self._others_are_behind = True
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all matrices; all processes must call this, after the same step.

        Raises:
            CollectiveError: If another process is gone.
        """
        if self._others_are_behind:
            self._collect()
            self._others_are_behind = False
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        super().load_state_dict(state_dict)
        self._others_are_behind = False

    def _collect(self) -> None:
        """Bring the states of the other processes' matrices up to date."""
        matrices, tensors, owners, counts = matrices_of(self), [], [], []
        for matrix, owner in zip(matrices, owners_of(matrices, self._ranks), strict=True):
            state = self.state[matrix]
            if owner != self._ranks.rank:
                state.update(_room_for(matrix))
            counts.append(matrix.new_full((1,), float(state["step"])))
            parts = [*(state[name] for name in sorted(state) if isinstance(state[name], Tensor)), counts[-1]]
            tensors += parts
            owners += [owner] * len(parts)
        give_to_all(tensors, owners=owners, ranks=self._ranks)
        for matrix, count in zip(matrices, counts, strict=True):
            self.state[matrix]["step"] = int(count)


def _room_for(matrix: nn.Parameter) -> dict[str, Any]:
    """Return a state of the right shapes, for another process's numbers."""
    rows, columns = matrix.shape
    shapes = {
        "mean": matrix.shape,
        "square": matrix.shape,
        "left": (rows, rows),
        "right": (columns, columns),
        "left_basis": (rows, rows),
        "right_basis": (columns, columns),
    }
    return {
        "step": 0,
        **{name: torch.empty(shape, dtype=matrix.dtype, device=matrix.device) for name, shape in shapes.items()},
    }
