"""Notice a diverging fit, and go back to the last good state at a lower rate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True)
class DivergenceGuard:
    """Judge the mean loss of each stretch of steps.

    A stretch is bad when its loss is not finite, or exceeds `spike_factor` times the best so far. After a bad stretch
    the loop goes back to the state before it and multiplies every learning rate by `rate_factor`, for good.

    Attributes:
        max_rollbacks: How often to go back before giving up; 0 only reports a loss that is not finite.
        spike_factor: How much worse than the best a stretch may be.
        rate_factor: What a rollback multiplies the rates by.
        best: Lowest mean loss so far.
        rate: Product of all factors so far.
        rollbacks: How often the loop went back.
    """

    max_rollbacks: int = 8
    spike_factor: float = 10.0
    rate_factor: float = 0.7
    best: float = math.inf
    rate: float = 1.0
    rollbacks: int = 0

    def is_bad(self, loss: float) -> bool:
        """Return whether a stretch of mean loss `loss` must be undone."""
        if not math.isfinite(loss):
            return True
        return self.max_rollbacks > 0 and loss > self.spike_factor * self.best

    def accept(self, loss: float) -> None:
        """Remember a good stretch."""
        self.best = min(self.best, loss)

    def roll_back(self) -> bool:
        """Count a rollback and lower the rate; return False when there have been too many."""
        self.rollbacks += 1
        self.rate *= self.rate_factor
        return self.rollbacks <= self.max_rollbacks

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed fit needs."""
        return {"best": self.best, "rate": self.rate, "rollbacks": self.rollbacks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        self.best, self.rate, self.rollbacks = state["best"], state["rate"], state["rollbacks"]
