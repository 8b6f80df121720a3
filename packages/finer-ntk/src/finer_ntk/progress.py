"""What `progress=` of a verb means: nothing, a line on stderr, or a function of the caller's."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from finer_core.progress import Progress

ProgressOption = bool | Callable[[int, int, Mapping[str, float]], None]
"""False shows nothing, True shows progress on stderr, a function is called with (done, total, metrics)."""


@contextmanager
def reporting(what: str, *, unit: str, progress: ProgressOption) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to be told units done and units in all.

    Args:
        what: Name of the work.
        unit: What one unit is called.
        progress: See `ProgressOption`.
    """
    if callable(progress):
        tell = progress
        yield lambda done, total: tell(done, total, {})
        return
    shown: Progress | None = None

    def update(done: int, total: int) -> None:
        nonlocal shown
        shown = shown or Progress(what, total=total, unit=unit, quiet=not progress, done=done - 1)
        shown.update(done)

    try:
        yield update
    finally:
        if shown:
            shown.close()
