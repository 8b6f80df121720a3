"""What a fit tells of its course: an entry a log interval, kept as a history that is easy to plot."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """Hold what a fit says of one log interval.

    Attributes:
        step: Updates done at its end.
        loss: Mean training loss over it.
        learning_rate: First optimizer's rate at its last update.
        seconds: Training time so far, over all resumptions.
        rollbacks: How often the divergence guard went back so far.
        steps: Updates in all; 0 where that is not known.
        is_reached: Whether the fit ends here because its target is reached.
        ended_early: Whether the guard ended the fit here, before its last step, with its best state.
        metrics: What the application makes of the loss, by name, such as "psnr" in dB.

    Example:
        >>> from finer_core.training import LogEntry
        >>> LogEntry(step=10, loss=0.5, learning_rate=1e-3, seconds=2.0, rollbacks=0, metrics={"psnr": 3.0}).step
        10
    """

    step: int
    loss: float
    learning_rate: float
    seconds: float
    rollbacks: int
    steps: int = 0
    is_reached: bool = False
    ended_early: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)

    def line(self) -> dict[str, float]:
        """Return what a log has of it: the loss, the rate, the time to the millisecond, the rollbacks, the metrics."""
        own = {"loss": self.loss, "learning_rate": self.learning_rate, "seconds": round(self.seconds, 3)}
        return {**own, "rollbacks": self.rollbacks, **self.metrics}


COLUMNS = ("step", "loss", "learning_rate", "seconds", "rollbacks")
"""Of every history, before the metrics."""


class TrainingHistory(Sequence[LogEntry]):
    """Hold the entries of a fit in order: a sequence of them, whose columns have names.

    Args:
        entries: The entries.
        interrupted: Whether the fit was stopped before its end.
        ended_early: Whether the divergence guard ended the fit before its last step, with its best state.

    Example:
        >>> from finer_core.training import LogEntry, TrainingHistory
        >>> entry = LogEntry(step=10, loss=0.5, learning_rate=1e-3, seconds=2.0, rollbacks=0, metrics={"psnr": 3.0})
        >>> history = TrainingHistory([entry])
        >>> history[0].step, history["psnr"].tolist(), history.metrics
        (10, [3.0], {'loss': 0.5, 'psnr': 3.0})
    """

    def __init__(
        self, entries: Iterable[LogEntry] = (), *, interrupted: bool = False, ended_early: bool = False
    ) -> None:
        self._entries = list(entries)
        self.interrupted = interrupted
        self.ended_early = ended_early

    def append(self, entry: LogEntry) -> None:
        """Add an entry."""
        self._entries.append(entry)

    @property
    def metrics(self) -> dict[str, float]:
        """Return loss and metrics of the last entry; empty if there is none."""
        return {"loss": self._entries[-1].loss, **self._entries[-1].metrics} if self._entries else {}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (*COLUMNS, *(self._entries[-1].metrics if self._entries else ()))

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> LogEntry: ...
    @overload
    def __getitem__(self, index: slice) -> "TrainingHistory": ...
    @overload
    def __getitem__(self, index: str) -> np.ndarray: ...
    def __getitem__(self, index: int | slice | str) -> "LogEntry | TrainingHistory | np.ndarray":
        """Return an entry, some of them, or a column by its name, (n,): NaN where an entry has no such metric.

        Raises:
            KeyError: For a name that is no column; it lists those there are.
        """
        if isinstance(index, str):
            if index not in self.columns:
                raise KeyError(f"no column {index!r}; there are {', '.join(self.columns)}")
            return np.array([each.metrics.get(index, getattr(each, index, math.nan)) for each in self._entries])
        if isinstance(index, slice):
            return TrainingHistory(self._entries[index], interrupted=self.interrupted, ended_early=self.ended_early)
        return self._entries[index]

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {value:.5g}" for name, value in self.metrics.items())
        end = f", step {self._entries[-1].step}: {last}" if self._entries else ""
        how = f"{', interrupted' if self.interrupted else ''}{', ended early' if self.ended_early else ''}"
        return f"{type(self).__name__}: {len(self)} {'entry' if len(self) == 1 else 'entries'}{end}{how}"
