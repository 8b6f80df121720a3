"""Progress on stderr: one line that redraws itself on a terminal, plain lines elsewhere.

And what `progress=` of a function means: nothing, such a line, or a function of the caller's.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TextIO

ProgressOption = bool | Callable[[int, int, Mapping[str, float]], None]
"""False shows nothing, True shows progress on stderr, a function is called with (done, total, metrics)."""


class Progress:
    """Show how far a long piece of work is, how fast it goes, how long it will take, and its current figure.

    Args:
        what: Name of the work.
        total: Units of work in all.
        unit: What one is called.
        stream: Where it is shown.
        quiet: Show nothing; so it is, too, without a stream, and once writing to it has failed.
        done: Units done before this process (a resumed fit).
    """

    def __init__(
        self,
        what: str,
        *,
        total: int,
        unit: str = "step",
        stream: TextIO | None = None,
        quiet: bool = False,
        done: int = 0,
    ) -> None:
        self._what, self.total, self._unit = what, total, unit
        self._stream = stream or sys.stderr  # None where the process has no stderr
        self._quiet = quiet or self._stream is None
        self._terminal = not self._quiet and self._stream.isatty()
        self._interval = 0.2 if self._terminal else 5.0
        self._first, self._started = done, time.monotonic()
        self._shown = -float("inf")
        self._width = 0
        if not self._quiet:
            self._show(done, "")

    def update(self, done: int, figure: Callable[[], str] = lambda: "") -> None:
        """Report `done` units; `figure` is asked only when something is drawn, so it may cost a little."""
        if self._quiet:
            return
        now = time.monotonic()
        if now - self._shown >= self._interval or done >= self.total:
            self._show(done, figure())

    def note(self, text: str) -> None:
        """Print a line that stays, unless quiet."""
        if not self._quiet:
            self.close()
            self._print(f"{self._what}: {text}\n")

    def close(self) -> None:
        """End the line on a terminal."""
        if not self._quiet and self._terminal and self._width:
            self._print("\n")
            self._width = 0

    def _show(self, done: int, figure: str) -> None:
        self._shown = time.monotonic()
        elapsed = self._shown - self._started
        rate = (done - self._first) / elapsed if elapsed > 0 else 0.0
        parts = [f"{self._what} {100 * done / self.total:5.1f}%", f"{done}/{self.total} {self._unit}s"]
        if rate > 0:
            parts += [_rate(rate, self._unit), f"{_clock((self.total - done) / rate)} left"]
        if figure:
            parts.append(figure)
        line = " | ".join(parts)
        if self._terminal:
            self._print("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._print(line + "\n")

    def _print(self, text: str) -> None:
        try:
            print(text, end="", file=self._stream, flush=True)
        except (OSError, ValueError):  # a full disk, a reader that is gone, a closed stream: the work goes on unseen
            self._quiet = True


class Tell(Protocol):
    """Be told how far a piece of work is."""

    def __call__(self, done: int, total: int, figure: str = "") -> None:
        """Take units done, units in all, which may rise, and what a line says beside them."""
        ...


@contextmanager
def reporting(what: str, *, unit: str, progress: ProgressOption) -> Iterator[Tell]:
    """Yield a function to be told units done and units in all.

    Args:
        what: Name of the work.
        unit: What one unit is called.
        progress: See `ProgressOption`.
    """
    shown: Progress | None = None

    def tell(done: int, total: int, figure: str = "") -> None:
        nonlocal shown
        if callable(progress):
            progress(done, total, {})
        elif progress:
            total = max(total, 1)  # nobody may know it
            shown = shown or Progress(what, total=total, unit=unit, done=max(0, done - 1))
            shown.total = total
            shown.update(done, lambda: figure)

    try:
        yield tell
    finally:
        if shown:
            shown.close()


def _rate(rate: float, unit: str) -> str:
    return f"{rate:.1f} {unit}s/s" if rate >= 1 else f"{1 / rate:.1f} s/{unit}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
