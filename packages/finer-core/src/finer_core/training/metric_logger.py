"""Write training figures: JSON lines always, TensorBoard on request."""

import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from finer_core.errors import InputError
from finer_core.io.files import json_text, write_text
from finer_core.schema import fits
from finer_core.training.callbacks import Callback
from finer_core.training.history import COLUMNS, LogEntry, TrainingHistory


class MetricLogger(Callback, ABC):
    """Take figures by step; as a `Callback` those of its fit.

    Example:
        >>> from finer_core.training import MetricLogger
        >>> class Printer(MetricLogger):
        ...     def log(self, step, metrics):
        ...         print(step, metrics)
        ...
        ...     def close(self):
        ...         print("end")
        >>> logger = Printer()
        >>> logger.log(10, {"loss": 0.5})
        10 {'loss': 0.5}
    """

    @abstractmethod
    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record `metrics` at `step`."""

    @abstractmethod
    def close(self) -> None:
        """Flush and release."""

    def on_log(self, entry: LogEntry) -> None:
        """Record an entry."""
        self.log(entry.step, entry.line())

    def on_end(self) -> None:
        """Close what is written to."""
        self.close()


class JsonlLogger(MetricLogger):
    """Append one JSON object a log point to a file; as a `Callback` it logs the entries of its fit.

    Args:
        path: The file.
        keep_until: Drop lines of later steps first: a resumed fit writes them again. A fit whose callback this is says
            itself where it begins.

    Example:
        >>> import os, tempfile
        >>> from finer_core.training import JsonlLogger, read_jsonl
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "metrics.jsonl")
        ...     logger = JsonlLogger(path)
        ...     logger.log(10, {"loss": 0.5})
        ...     logger.close()
        ...     read_jsonl(path)
        [{'step': 10, 'loss': 0.5}]
    """

    def __init__(self, path: str | os.PathLike[str], *, keep_until: int = 0) -> None:
        self._path, self._keep_until = path, keep_until
        self._file: TextIO | None = None

    def on_start(self, step: int, steps: int) -> None:
        """Begin after the lines up to a step."""
        self._keep_until, self._file = step, None

    def _opened(self) -> TextIO:
        if self._file is None:
            kept = [line for line in read_jsonl(self._path) if line["step"] <= self._keep_until]
            write_text(self._path, "".join(json_text(line, indent=None) + "\n" for line in kept))
            self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 - open for the logger's life
        return self._file

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record `metrics` at `step`."""
        file = self._opened()
        file.write(json_text({"step": step, **metrics}, indent=None) + "\n")
        file.flush()

    def close(self) -> None:
        """Flush and release."""
        self._opened().close()


class TensorBoardLogger(MetricLogger):
    """Write scalars for TensorBoard; as a `Callback` those of its fit.

    Args:
        folder: Where the event files go.
        keep_until: Steps of earlier files after this one are no longer shown: a resumed fit writes them again. A fit
            whose callback this is says itself where it begins.

    Raises:
        InputError: If the tensorboard package is not installed.

    Example:
        >>> import tempfile
        >>> from finer_core.training import TensorBoardLogger
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     logger = TensorBoardLogger(folder)
        ...     logger.log(10, {"loss": 0.5})
        ...     logger.close()
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep_until: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("--tensorboard needs an extra: pip install 'finer-core[tensorboard]'") from error
        self._folder, self._keep_until, self._kind = os.fspath(folder), keep_until, SummaryWriter
        self._writer: Any = None

    def on_start(self, step: int, steps: int) -> None:
        """Begin after the figures up to a step."""
        self._keep_until, self._writer = step, None

    def _opened(self) -> Any:
        if self._writer is None:
            self._writer = self._kind(self._folder, purge_step=self._keep_until + 1)
        return self._writer

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record `metrics` at `step`."""
        for name, value in metrics.items():
            self._opened().add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and release."""
        self._opened().close()


def read_history(run: str | os.PathLike[str]) -> TrainingHistory:
    """Return the history of a run, such as `finer-image fit` leaves in its folder; infinities in it are NaN.

    Args:
        run: The run folder, or the `metrics.jsonl` in it.

    Raises:
        InputError: If there is none, or a line is not one of a fit's.

    Example:
        >>> import tempfile
        >>> from finer_core.training import JsonlLogger, LogEntry, read_history
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     logger = JsonlLogger(f"{folder}/metrics.jsonl")
        ...     entry = LogEntry(step=10, loss=0.5, learning_rate=1e-3, seconds=2.0, rollbacks=0, metrics={"psnr": 3.0})
        ...     logger.on_log(entry)
        ...     logger.close()
        ...     read_history(folder)
        TrainingHistory: 1 entry, step 10: loss 0.5, psnr 3
    """
    path = Path(run)
    file = path / "metrics.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{path}: no metrics.jsonl there; name a run folder")
    return TrainingHistory(_entry_of(line, file) for line in read_jsonl(file))


def _entry_of(line: Mapping[str, float | None], file: Path) -> LogEntry:
    found: dict[str, Any] = {name: math.nan if value is None else value for name, value in line.items()}
    for name in COLUMNS:
        if name not in found:
            raise InputError(f"{file}: line of step {line['step']} has no {name!r}; it is no log of a fit")
    return LogEntry(**{name: found.pop(name) for name in COLUMNS}, metrics=found)


def read_jsonl(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """Return the complete lines of a JSON-lines file; a half-written last line of a killed run is left out.

    Args:
        path: The file; one that is not there has no lines.

    Raises:
        InputError: If another line is no object of numbers with a step.

    Example:
        >>> import os, tempfile
        >>> from finer_core.training import JsonlLogger, read_jsonl
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "metrics.jsonl")
        ...     logger = JsonlLogger(path)
        ...     logger.log(10, {"loss": 0.5})
        ...     logger.close()
        ...     read_jsonl(path)
        [{'step': 10, 'loss': 0.5}]
    """
    file = Path(path)
    texts = file.read_bytes().splitlines() if file.is_file() else []
    lines: list[dict[str, float]] = []
    for text in texts:
        try:
            line = json.loads(text)
            usable = fits(line, dict[str, float | bool | None]) and fits(line.get("step"), int)
        except (ValueError, RecursionError):
            usable = False
        if usable:
            lines.append(line)
        elif len(lines) + 1 < len(texts):
            raise InputError(f"{file}: line {len(lines) + 1} is no log line; remove it, or start again by --overwrite")
    return lines
