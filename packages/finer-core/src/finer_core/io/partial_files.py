"""Files that are being written, under temporary names, and what killed writers left of them."""

import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

TEMPORARY_PREFIX = ".finer-partial-"
"""Start of every temporary name, so that what a killed writer left can be recognized and removed."""
_BOOT, _NAMESPACE = "/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"
"""Where Linux says which machine this is since its start, and in which container of it processes are numbered."""


def temporary_file(final: Path) -> Path:
    """Make an empty temporary file beside `final`; what killed writers left there is removed.

    Its name says by which process it is made. A lock would say so too, but on a network drive of SMB nobody can write
    to a locked file by another descriptor.
    """
    remove_abandoned(final.parent)
    while True:
        path = final.parent / f"{_prefix_of_process()}{secrets.token_hex(4)}{final.suffix}"
        with suppress(FileExistsError):  # else than by mkstemp, whose files are private: the system takes the umask off
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            return path


@contextmanager
def temporary_folder(final: Path) -> Iterator[Path]:
    """Make an empty folder beside `final`, named as `temporary_file` does, and remove it with all that is in it."""
    remove_abandoned(final.parent)
    folder = Path(tempfile.mkdtemp(dir=final.parent, prefix=_prefix_of_process()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@lru_cache(maxsize=64)
def remove_abandoned(folder: Path) -> None:
    """Remove what writers left in a folder whose processes are surely gone: numbered as this one, and not there.

    A process looks through a folder once, because it may write thousands of files into it.
    """
    prefix = _own_prefix()
    if prefix == TEMPORARY_PREFIX:
        return
    with suppress(OSError):  # a folder that may be written to, but not be looked into
        for name in os.listdir(folder):
            of_process = re.match(re.escape(prefix) + r"(\d{1,9})-", name)
            if of_process and not _is_alive(int(of_process[1])):
                with suppress(OSError):  # another user's, or removed by another process at this moment
                    if (folder / name).is_dir() and not (folder / name).is_symlink():
                        shutil.rmtree(folder / name, ignore_errors=True)
                    else:
                        os.unlink(folder / name)


def _prefix_of_process() -> str:
    return f"{_own_prefix()}{os.getpid()}-"


def _own_prefix() -> str:
    """Return how temporary names begin of all processes that are numbered together with this one.

    Where the system does not say which those are, it is that of everybody.
    """
    try:
        place = Path(_BOOT).read_text(encoding="ascii") + os.readlink(_NAMESPACE)
    except OSError:
        return TEMPORARY_PREFIX
    return f"{TEMPORARY_PREFIX}{hashlib.sha256(place.encode()).hexdigest()[:16]}-"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def is_partial(path: Path) -> bool:
    """Return whether a file is what a killed writer left; of a folder, only `remove_abandoned` can be sure."""
    return path.name.startswith(TEMPORARY_PREFIX) and (path.is_symlink() or not path.is_dir())


def remove_partial_files(folder: str | os.PathLike[str]) -> None:
    """Remove what killed writers left in a folder and those below it."""
    for path in Path(folder).rglob(TEMPORARY_PREFIX + "*"):
        if is_partial(path):
            path.unlink(missing_ok=True)
