"""Load the modules of a command, which takes seconds; Ctrl-C then ends the process without a traceback."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Let Ctrl-C end the process at once, as the shell expects it, while modules are loaded in the block.

    A KeyboardInterrupt would leave half of a module, or reach the user as another error of a library's. Who handles
    Ctrl-C in a way of their own keeps that.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
