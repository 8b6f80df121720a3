"""Turn Ctrl-C and SIGTERM into a polite request, once."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible(
    *, insisting: bool = True, signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)
) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGINT or SIGTERM arrived; a second SIGINT interrupts at once.

    Outside the main thread signals cannot be caught; the function then always says no.

    Args:
        insisting: Whether a second SIGINT interrupts. A launcher of several processes repeats the terminal's SIGINT to
            each of them, so there the second one means nothing.
        signals: Those that are caught.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if insisting and asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in signals}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is ask:  # who replaced it since means it to last
                signal.signal(number, handler)
