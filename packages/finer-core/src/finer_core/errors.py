"""Errors that a command turns into an exit code, and how long a message may be."""

import errno

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

LONGEST_MESSAGE = 300
"""Characters of a message. A value that a file holds may have millions, and nobody reads beyond a few lines."""

_LONGEST_WORD = 120
"""Characters of a word in a message that is too long; most paths are shorter."""


def shortened(text: str, limit: int = LONGEST_MESSAGE) -> str:
    """Return a text in one line of at most `limit` characters, all of which can be shown.

    A file may hold what moves a terminal's cursor, or halves of characters. Long words lose their middle first, because
    they are values, whose ends tell most; then the text does, because its beginning names the file and says what is
    wrong, and its end what to do.
    """
    line = "".join(_shown(character) for character in " ".join(text.split()))
    if len(line) > limit:
        line = " ".join(_without_middle(word, _LONGEST_WORD) for word in line.split(" "))
    return _without_middle(line, limit)


def _shown(character: str) -> str:
    """Return a character, or another in its place; bytes of file names that are not UTF-8 stay."""
    stays = character.isprintable() or "\udc80" <= character <= "\udcff"
    return character if stays else "\N{REPLACEMENT CHARACTER}"


def _without_middle(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    tail = (length - 3) // 3
    return f"{text[: length - 3 - tail]}...{text[-tail:]}"


class InputError(ValueError):
    """Report wrong user input: one line that names the offending value and says what to do.

    Args:
        message: The line; made short by `shortened`.

    Example:
        >>> from finer_core import InputError, build_network
        >>> try:
        ...     build_network("finner", in_features=2, out_features=1)
        ... except InputError as error:
        ...     print(str(error).partition(" (")[0])
        unknown method 'finner'; did you mean 'finer'?
    """

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message))


class DivergenceError(RuntimeError):
    """Report a fit whose loss stopped being finite and could not be recovered."""


class CollectiveError(RuntimeError):
    """Report that the processes of a job cannot go on together: one of them is gone, or computed something else."""


class Interrupted(Exception):
    """Report that a fit stopped on request; its checkpoint, if it has a file, is written.

    Args:
        step: Updates done.

    Example:
        >>> from finer_core.training import Interrupted
        >>> print(Interrupted(40))
        interrupted; saved at step 40
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"interrupted; saved at step {step}")
        self.step = step


class ToldByFirst(Exception):
    """End a process without a message, because the first process of the job reports what happened.

    Args:
        exit_code: What the process ends with.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"reported by the first process; exit code {exit_code}")
        self.exit_code = exit_code


def exit_code_and_line(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the one line for an exception."""
    code, text = _exit_code_and_text(error, " ".join(str(error).split()) or type(error).__name__)
    return code, shortened(text)


def _exit_code_and_text(error: BaseException, text: str) -> tuple[int, str]:
    if isinstance(error, InputError):
        return EXIT_USAGE, text
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED, "interrupted"
    if isinstance(error, Interrupted):
        return EXIT_INTERRUPTED, text
    if isinstance(error, ToldByFirst):
        return error.exit_code, text
    if isinstance(error, CollectiveError):
        return EXIT_FAILED, text
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        if place and error.errno in _CLOSED:
            return (
                EXIT_USAGE,
                f"{place}cannot be used ({error.strerror}); change its permissions, or name another place",
            )
        if error.errno in NO_ROOM:
            advice = "make room and start again, a run with --resume"
            return EXIT_FAILED, f"{place}nothing more can be written ({error.strerror}); {advice}"
    if is_out_of_memory(error):
        return EXIT_FAILED, f"out of memory ({text}); lower --memory or the size of the job"
    return EXIT_FAILED, f"{type(error).__name__}: {shortened(text, 240)} (--debug shows the traceback)"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there is no memory: Python's, or one of a library, known by its words."""
    words = ("not enough memory", "out of memory", "can't allocate memory")
    return isinstance(error, MemoryError) or any(each in str(error) for each in words)


def error_of_one_fit(error: Exception) -> Exception:
    """Return the error that ended one fit of many, for its row of the table; raise it again if it is of all of them."""
    if isinstance(error, InputError | DivergenceError):
        return error
    if is_out_of_memory(error):
        return InputError(exit_code_and_line(error)[1])
    raise error


_CLOSED = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system says of a file that the user may not use, or that no file can be called."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where a disk, a quota or a limit is full."""
