"""Decide what reaches the user of a command on stderr: our own notes, and nothing of what libraries have to say."""

import argparse
import functools
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from finer_core.distributed.ranks import ranks_of_environment

Command = Callable[[argparse.Namespace], None]
_OURS = ("finer_image", "finer_core")
"""Loggers whose warnings are for the user: of weights that were rounded, or of a folder that cannot be locked, too."""


def with_notes(run: Command) -> Command:
    """Make a command print the notes on what it reads, each once; `--quiet` drops them, `--debug` lets all through.

    Returns:
        The same, with notes.
    """

    @functools.wraps(run)
    def command(arguments: argparse.Namespace) -> None:
        quiet = getattr(arguments, "quiet", False) or not ranks_of_environment().is_first
        with _shown(quiet=quiet, everything=arguments.debug):
            run(arguments)

    return command


@contextmanager
def _shown(*, quiet: bool, everything: bool) -> Iterator[None]:
    """Print the warnings of our packages' loggers, and drop those of others and Python's."""
    ours, root, show = [logging.getLogger(name) for name in _OURS], logging.getLogger(), warnings.showwarning
    printer: logging.Handler = logging.NullHandler() if quiet else logging.StreamHandler()
    printer.setFormatter(logging.Formatter("note: %(message)s"))
    printer.addFilter(_Once())
    nowhere = logging.NullHandler()  # without any handler Python prints what libraries log
    for logger in ours:
        logger.addHandler(printer)
    if not everything:
        root.addHandler(nowhere)
        warnings.showwarning = _drop
    try:
        yield
    finally:
        for logger in ours:
            logger.removeHandler(printer)
        root.removeHandler(nowhere)
        warnings.showwarning = show


class _Once(logging.Filter):
    """Let every message pass once: a benchmark reads an image for each method."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is new."""
        message = record.getMessage()
        is_new = message not in self._seen
        self._seen.add(message)
        return is_new


def _drop(*_: object, **__: object) -> None:
    """Show nothing."""
