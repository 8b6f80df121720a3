"""Progress on stderr: a bar of tqdm on a terminal and in a notebook, plain lines elsewhere.

And what `progress=` of a function means: nothing, such a bar, or a function of the caller's.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from finer_core.errors import InputError
from finer_core.schema import plain, shown

ProgressOption = bool | Callable[[int, int, Mapping[str, float]], None]
"""False shows nothing, True shows progress on stderr, a function is called with (done, total, metrics)."""
_BETWEEN_DRAWINGS, _BETWEEN_LINES = 0.2, 5.0  # seconds


class Progress:
    """Show how far a long piece of work is, how fast it goes, how long it will take, and its current figure.

    Where somebody watches, on a terminal or in a notebook, by tqdm (https://tqdm.github.io), if it is installed: every
    application needs it, finer-core does not. Elsewhere a line every five seconds.

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
        self._first, self._started = done, time.monotonic()
        self._bar: Any = None
        with self._unseen_where_writing_fails():
            if not self._quiet and _is_watched(self._stream):
                self._bar = _bar(what, total=total, unit=unit, stream=self._stream, done=done)
        self._interval = _BETWEEN_LINES if self._bar is None else _BETWEEN_DRAWINGS
        self._shown = self._started
        if self._bar is None:
            self._print(self._line(done, ""))

    def update(self, done: int, figure: Callable[[], str] = lambda: "") -> None:
        """Report `done` units; `figure` is asked only when something is drawn, so it may cost a little."""
        if self._quiet:
            return
        now = time.monotonic()
        if now - self._shown >= self._interval or done >= self.total:
            self._show(done, figure())

    def note(self, text: str) -> None:
        """Print a line that stays, unless quiet."""
        self._print(f"{self._what}: {text}")

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None and not self._quiet:
            with self._unseen_where_writing_fails():
                self._bar.close()

    def _show(self, done: int, figure: str) -> None:
        self._shown = time.monotonic()
        if self._bar is None:
            self._print(self._line(done, figure))
            return
        self._bar.n, self._bar.total = done, self.total
        self._bar.set_postfix_str(figure, refresh=False)
        with self._unseen_where_writing_fails():
            self._bar.refresh()

    def _line(self, done: int, figure: str) -> str:
        elapsed = self._shown - self._started
        rate = (done - self._first) / elapsed if elapsed > 0 else 0.0
        parts = [f"{self._what} {100 * done / self.total:5.1f}%", f"{done}/{self.total} {self._unit}s"]
        if rate > 0:
            parts += [_rate(rate, self._unit), f"{_clock((self.total - done) / rate)} left"]
        return " | ".join([*parts, figure] if figure else parts)

    def _print(self, line: str) -> None:
        if self._quiet:
            return
        with self._unseen_where_writing_fails():
            if self._bar is None:
                print(line, file=self._stream, flush=True)
            else:
                self._bar.write(line, file=self._stream)

    @contextmanager
    def _unseen_where_writing_fails(self) -> Iterator[None]:
        """Go on unseen where the disk is full, the reader gone, the stream closed."""
        try:
            yield
        except (OSError, ValueError):
            self._quiet = True
            if self._bar is not None:
                self._bar.disable = True  # or it writes once more when it is collected


def checked_progress(progress: Any) -> ProgressOption:
    """Return a `ProgressOption`, NumPy's true and false as Python's.

    Raises:
        InputError: If it is something else: Python takes any value for true or false.
    """
    found: ProgressOption = plain(progress)
    if not isinstance(found, bool) and not callable(found):
        raise InputError(
            f"progress must be True, False or a function of (done, total, metrics), got {shown(progress)[:100]}"
        )
    return found


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

    Raises:
        InputError: If that is something else.
    """
    progress = checked_progress(progress)
    bar: Progress | None = None

    def tell(done: int, total: int, figure: str = "") -> None:
        nonlocal bar
        if callable(progress):
            progress(done, total, {})
        elif progress:
            total = max(total, 1)  # nobody may know it
            bar = bar or Progress(what, total=total, unit=unit, done=max(0, done - 1))
            bar.total = total
            bar.update(done, lambda: figure)

    try:
        yield tell
    finally:
        if bar:
            bar.close()


def _is_watched(stream: TextIO) -> bool:
    """Say whether somebody sees what is drawn now: a terminal, or the stream of a notebook, which is none."""
    return stream.isatty() or type(stream).__module__.startswith("ipykernel.")


def _bar(what: str, *, total: int, unit: str, stream: TextIO, done: int) -> Any:
    """Return a bar of tqdm, or None where it is not installed."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None

    class Bar(tqdm):
        monitor_interval = 0  # no thread that looks whether the bar is drawn often enough: `Progress` sees to it

    shape = {"ncols": 80, "nrows": 24} if _has_no_shape(stream) else {"dynamic_ncols": True}
    return Bar(desc=what, total=total, unit=unit, initial=done, file=stream, **shape)


def _has_no_shape(stream: TextIO) -> bool:
    """Say whether this is a terminal of no columns, as containers and `script` have them: tqdm fits into none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns == 0
    except (OSError, ValueError, AttributeError):
        return False


def _rate(rate: float, unit: str) -> str:
    return f"{rate:.1f} {unit}s/s" if rate >= 1 else f"{1 / rate:.1f} s/{unit}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
