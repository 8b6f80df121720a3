"""Write training figures: JSON lines always, TensorBoard on request."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from finer_core.errors import InputError
from finer_core.io.files import json_text, write_text
from finer_core.schema import fits
from finer_core.training.callbacks import Callback
from finer_core.training.history import LogEntry


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
        folder: Where the event file goes.

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

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("--tensorboard needs an extra: pip install 'finer-core[tensorboard]'") from error
        self._writer = SummaryWriter(os.fspath(folder))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record `metrics` at `step`."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and release."""
        self._writer.close()


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
