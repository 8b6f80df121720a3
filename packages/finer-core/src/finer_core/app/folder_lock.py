"""Keep a second run out of a folder while the first lives: a lock that its death releases, and that leaves nothing."""

import errno
import logging
import os
import sys
import weakref
from contextlib import suppress
from pathlib import Path

from finer_core.errors import InputError

_log = logging.getLogger(__name__)
_held: weakref.WeakValueDictionary[tuple[int, int], "FolderLock"] = weakref.WeakValueDictionary()
"""Locks of this process by the folder's identity: within one process the folder may be opened again."""


class FolderLock:
    """Hold a locked folder; the lock ends with this object, or with the process, however that ends.

    Args:
        descriptor: Of the folder.
    """

    def __init__(self, descriptor: int) -> None:
        self.release = weakref.finalize(self, os.close, descriptor)


def release_folders() -> None:
    """End all locks of this process, whoever still refers to them: its work is done."""
    for lock in list(_held.values()):
        lock.release()
    _held.clear()


def is_at_work(path: str | os.PathLike[str]) -> bool:
    """Return whether this process has locked the folder that a file is in, or one above it."""
    for place in Path(path).absolute().parents:
        with suppress(OSError):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in _held:
                return True
    return False


def lock_folder(folder: Path) -> FolderLock | None:
    """Lock a folder for this process; where the file system has no locks for folders, that is logged.

    Returns:
        The lock; None on Windows, which has none.

    Raises:
        InputError: If another process holds it, or it cannot be looked into.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{folder}: cannot be opened ({error.strerror}); choose another --out") from error
    status = os.fstat(descriptor)
    held = _held.get((status.st_dev, status.st_ino))
    if held is not None:
        os.close(descriptor)
        return held
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            os.close(descriptor)
            raise InputError(
                f"{folder}: another process is at work in this folder; wait for it, or choose another --out"
            ) from error
        _log.warning("%s: no lock (%s): two runs in it would not notice each other", folder, error.strerror)
    lock = _held[status.st_dev, status.st_ino] = FolderLock(descriptor)
    return lock
