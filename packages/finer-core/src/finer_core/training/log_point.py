"""What the fit loop tells of each stretch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LogPoint:
    """Hold the figures of one stretch.

    Attributes:
        step: Updates done.
        steps: Updates in all.
        loss: Mean training loss over the stretch.
        learning_rate: First optimiser's rate at its last update.
        seconds: Training time so far, over all resumptions.
        rollbacks: How often the guard went back.
        is_reached: Whether the fit ends here because its target is reached.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    rollbacks: int
    is_reached: bool = False
