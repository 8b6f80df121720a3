"""What surrounds a command: standard streams that cannot end its work, and an environment that cannot either.

A fit takes minutes or days, and what it prints meanwhile may go to a terminal that was closed, to a full disk, or to a
program that ended. Its results are files. So what cannot be printed is lost, and remembered.
"""

import codecs
import errno
import functools
import io
import logging
import os
import re
import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from finer_core.errors import InputError

_ERRORS = "finer-any-name"
"""Our error handler: bytes of a file name come out as they came in, other characters that do not fit as escapes."""
_VARIABLES = {
    "MPLBACKEND": "agg",  # figures go to files, and an unknown name stops matplotlib when it is loaded, at the end
    "MATPLOTLIBRC": os.devnull,  # a user's style may need LaTeX, or fonts that are not here
}


def _encode_anything(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    if all(0xDC80 <= ord(character) <= 0xDCFF for character in text):
        return bytes(ord(character) - 0xDC00 for character in text), error.end
    return codecs.backslashreplace_errors(error)


codecs.register_error(_ERRORS, _encode_anything)


class SteadyStream(io.TextIOBase):
    """Write to a stream as long as that works, and drop what comes after.

    Args:
        stream: The stream; None where the process has none.

    Attributes:
        failure: Why something was lost; None if nothing was.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failure: OSError | ValueError | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)

    def write(self, text: str) -> int:
        """Write, or drop, a text."""
        if self._stream is None:
            self.failure = OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._attempt("write", text)
        return len(text)

    def flush(self) -> None:
        """Write out what is waiting."""
        self._attempt("flush")

    def isatty(self) -> bool:
        """Return whether somebody looks at a terminal."""
        return self._stream is not None and self.failure is None and bool(self._stream.isatty())

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        if self._stream is None:
            raise io.UnsupportedOperation("no stream")
        number: int = self._stream.fileno()
        return number

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return what text is turned into."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def _attempt(self, name: str, *arguments: str) -> None:
        if self._stream is None or self.failure is not None:
            return
        try:
            getattr(self._stream, name)(*arguments)
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self.failure = error
            self._lead_to_nowhere()

    def _lead_to_nowhere(self) -> None:
        """Point the descriptor elsewhere, else Python tries again at its end, and complains."""
        try:
            target = self._stream.fileno()
        except (OSError, ValueError):  # a stream without a descriptor, or a closed one
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, target)
        os.close(nowhere)


@contextmanager
def steady_streams() -> Iterator[SteadyStream]:
    """Let nothing that is printed in a block fail; yield its stdout, which remembers what was lost."""
    _open_standard_descriptors()
    before = sys.stdout, sys.stderr
    out, err = SteadyStream(before[0]), SteadyStream(before[1])
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def once_for_all_threads(
    change: Callable[[], AbstractContextManager[None]],
) -> Callable[[], AbstractContextManager[None]]:
    """Return a context that changes something of the whole process: the first one in does, the last one out undoes it.

    If every thread put back what it had found, the last one could put back what another one had changed.
    """
    lock, changed, inside = threading.Lock(), ExitStack(), 0

    @contextmanager
    @functools.wraps(change)
    def shared() -> Iterator[None]:
        nonlocal inside
        with lock:
            if not inside:
                changed.enter_context(change())
            inside += 1
        try:
            yield
        finally:
            with lock:
                inside -= 1
                if not inside:
                    changed.close()

    return shared


@once_for_all_threads
@contextmanager
def no_warnings() -> Iterator[None]:
    """Keep Python's warnings from all threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@once_for_all_threads
@contextmanager
def native_silence() -> Iterator[None]:
    """Keep what libraries in C print to the process's stderr, past Python, from getting there.

    It holds for all threads, so it is for the short time in which a file is opened.
    """
    if sys.__stderr__ is None:  # It is closed, and its number may be that of any file by now.
        yield
        return
    sys.__stderr__.flush()
    saved = os.dup(2)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _open_standard_descriptors() -> None:
    """Open descriptors 0 to 2 where they are closed: a file opened later would get the number, and libraries' words."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)


def check_surroundings() -> None:
    """Neutralise what in the environment would stop the work at its end, and refuse what cannot be.

    Raises:
        InputError: If the working folder was deleted.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise InputError(
            f"the current folder is gone ({error.strerror or error}); change to a folder that exists"
        ) from error
    os.environ.update(_VARIABLES)
    # matplotlib dates its files by it, of which it takes years of four digits.
    if not re.fullmatch(r"[0-9]{1,11}", os.environ.get("SOURCE_DATE_EPOCH", "0")):
        del os.environ["SOURCE_DATE_EPOCH"]
    if shutil.which(os.environ.get("IMAGEIO_FFMPEG_EXE", "")) is None:  # else the films at the end fail
        os.environ.pop("IMAGEIO_FFMPEG_EXE", None)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # of a cache that it cannot write it need not tell
