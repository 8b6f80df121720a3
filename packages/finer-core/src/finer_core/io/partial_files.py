"""Files that are being written, under temporary names, and what killed writers left of them."""

import os
import platform
import re
import sys
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

TEMPORARY_PREFIX = ".finer-partial-"
"""Start of every temporary name, so that what a killed writer left can be recognized and removed."""


def locked_file(final: Path) -> tuple[int | None, Path]:
    """Make a temporary file beside `final`; return the descriptor that keeps it locked, None on Windows, and its name.

    The name says by which process of which machine it is made. Beside it there is the lock, because containers of one
    name number their processes apart; and beside that the name, because a writer may put another file in the place.
    """
    while True:
        prefix = f"{_own_prefix()}{os.getpid()}-"
        handle, name = tempfile.mkstemp(dir=final.parent, prefix=prefix, suffix=final.suffix)
        if sys.platform == "win32":
            os.close(handle)
            return None, Path(name)
        import fcntl

        with suppress(OSError):  # a file system without locks, where nobody removes what others leave either
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(name):
            return handle, Path(name)
        os.close(handle)  # another process took it for abandoned before it was locked


def remove_abandoned(folder: Path) -> None:
    """Remove what writers of this machine left in a folder: no such process lives, and nobody has the file locked."""
    if sys.platform == "win32":
        return
    import fcntl

    for path in folder.glob(f"{_own_prefix()}*"):
        of_process = re.match(r"(\d{1,9})-", path.name.removeprefix(_own_prefix()))
        if of_process is None or _is_alive(int(of_process[1])):
            continue
        with suppress(OSError):
            if not path.is_file():
                continue
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            finally:
                os.close(handle)


def _own_prefix() -> str:
    return f"{TEMPORARY_PREFIX}{zlib.crc32(platform.node().encode()):08x}-"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def is_partial(path: Path) -> bool:
    """Return whether a file is what a killed writer left; folders are never ours, whatever their names."""
    return path.name.startswith(TEMPORARY_PREFIX) and (path.is_symlink() or not path.is_dir())


def remove_partial_files(folder: str | os.PathLike[str]) -> None:
    """Remove what killed writers left in a folder and those below it."""
    for path in Path(folder).rglob(TEMPORARY_PREFIX + "*"):
        if is_partial(path):
            path.unlink(missing_ok=True)
