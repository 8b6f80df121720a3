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
        ended_early: Whether the guard ended the fit here, before its last step, with its best state.

    Example:
        >>> from finer_core.training import LogPoint
        >>> LogPoint(step=10, steps=100, loss=0.5, learning_rate=1e-3, seconds=2.0, rollbacks=0).is_reached
        False
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    rollbacks: int
    is_reached: bool = False
    ended_early: bool = False
