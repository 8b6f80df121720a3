"""Load the modules of a command, which takes seconds; Ctrl-C or SIGTERM then ends the process without a traceback."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def loading() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process at once, as the shell expects it, while modules are loaded in the block.

    A KeyboardInterrupt would leave half of a module, or reach the user as another error of a library's. Who handles
    these signals in a way of their own keeps that.
    """
    is_main = threading.current_thread() is threading.main_thread()
    both = (signal.SIGINT, signal.SIGTERM) if is_main else ()
    raising = [each for each in both if signal.getsignal(each) is signal.default_int_handler]
    for each in raising:
        signal.signal(each, signal.SIG_DFL)
    try:
        yield
    finally:
        for each in raising:
            signal.signal(each, signal.default_int_handler)


def main_of(module: str) -> Callable[..., int]:
    """Return what loads the module of a command line, runs it, by default as this process was called, and its code."""

    def main(arguments: Sequence[str] | None = None) -> int:
        with loading():
            run = import_module(module).main
        code: int = run(arguments)
        return code

    return main
