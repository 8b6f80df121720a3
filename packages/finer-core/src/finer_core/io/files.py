"""Write files so that a reader, or a killed writer, never sees half of one."""

import hashlib
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from finer_core.errors import NO_ROOM, InputError
from finer_core.io.partial_files import TEMPORARY_PREFIX, temporary_file
from finer_core.schema import shown


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` if the block succeeds, remove it if not.

    The suffix is kept, so that writers which choose a format by it work. What killed writers left beside it is removed.

    Raises:
        OSError: If the file cannot be written; it names `path`, since nobody knows the temporary file.
    """
    final = Path(path)
    try:
        temporary = temporary_file(final)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())  # a rename that outlives its content would leave an empty file after a crash
            os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if TEMPORARY_PREFIX not in str(error.filename):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically; what UTF-8 cannot hold (bytes of a file's name) becomes escapes."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
    """Write a JSON object atomically; infinities and NaN become null, which every JSON reader takes."""
    write_text(path, json_text(data) + "\n")


def json_text(data: Mapping[str, Any], *, indent: int | None = 2) -> str:
    """Return strict JSON: non-finite numbers become null."""
    return json.dumps(finite(data), indent=indent, allow_nan=False)


def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, for `json.loads(..., object_pairs_hook=)`; ValueError for a name that it has twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice[:80]!r} stands there twice")
    return found


def small_file(path: str | os.PathLike[str], *, most: int) -> bytes:
    """Return the content of a file that programs write, and that anybody may have put another in the place of.

    Raises:
        InputError: Without the file's name, which the caller adds: it is no regular file, which may have no end, or
            has more than `most` bytes.
        OSError: If it is missing, or cannot be read.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError("is not a regular file")
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"has more than {most:,} bytes")
    return content


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """Return a file's SHA-256 as hex, reading it in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def input_suffix(path: Path, *, known: Collection[str]) -> str:
    """Return the suffix, in lower case, of a file that a reader can be tried on.

    Raises:
        InputError: Without the file's name, which the caller adds: it is a folder, missing, of another format, no
            regular file, not to be opened, empty, or text as UTF-16.
    """
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            raise InputError("is a folder; name one file in it")
        if not path.exists():
            raise InputError(f"no such file; check the spelling and the folder {Path.cwd()}")
        if suffix not in known:
            raise InputError(f"unknown format {path.suffix!r}; known are {' '.join(known)}")
        if not path.is_file():
            raise InputError("is not a regular file; save the data to a file first")
        with path.open("rb") as file:
            start = file.read(2)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be opened ({reason_of(error)}); check the path and its permissions") from None
    if not start:
        raise InputError("is empty (0 bytes); copy or download it again")
    if start in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"cannot be read as {suffix} (it is UTF-16 text); save it as UTF-8")
    return suffix


def printable(path: str | os.PathLike[str]) -> str:
    """Return a path as text of one line that every terminal and file can hold."""
    return "".join(
        c if c.isprintable() else " " if c.isspace() else c.encode("unicode_escape").decode("ascii")
        for c in os.fspath(path)
    )


def folder_name(name: str) -> str:
    """Return a name of an input for the folder of its run: what is not text in this locale is %E9, as in addresses.

    Example:
        >>> folder_name("caf\udce9")
        'caf%E9'
    """
    return "".join(f"%{ord(c) - 0xDC00:02X}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in name)


def reason_of(error: Exception) -> str:
    """Return why something failed, without a file's name: what the system says, the message, or the error's name."""
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def given_path(path: Any) -> Path:
    """Return the path that a program gave.

    Raises:
        InputError: If it is none: None, a number, an open file, bytes, or an empty text, which is no folder's name.
    """
    if isinstance(path, str) and not path:
        raise InputError("a path is empty ('', an unset variable?); give one, or '.' for the current folder")
    try:
        return Path(path)
    except TypeError:
        raise InputError(f"a path is a text or a pathlib.Path, got {shown(path)[:100]}; give one") from None


@contextmanager
def output_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield what `atomic_path` does for a file that the user named, whose place is the user's to change.

    Raises:
        InputError: If the file cannot be written; names it, and no temporary one.
        OSError: If there is no more room, which is a failure and nobody's wrong input.
    """
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except OSError as error:
        raise unwritable(path, error) from error


def check_output_path(path: str | os.PathLike[str], *, overwrite: bool = True, may_be_folder: bool = False) -> None:
    """Refuse a file that cannot be written, or must not be, before any work; nothing is left or changed.

    Args:
        path: The file.
        overwrite: Whether it may be replaced.
        may_be_folder: Whether the format is a folder, which its writer looks into before it replaces it.

    Raises:
        InputError: If it exists and may not be replaced, its folder is missing or cannot be written, or the name is a
            folder's or no file's.
        OSError: If there is no room for it.
    """
    # os.path, because pathlib raises for a name that is too long or that may not be looked up.
    final = given_path(path)
    if os.path.isdir(final) and not (overwrite and may_be_folder):
        raise InputError(f"{path}: is a folder; name a file in it")
    if os.path.exists(final) and not overwrite:
        raise InputError(f"{path}: already exists; use --overwrite or another --out")
    if not os.path.isdir(final.parent):
        raise InputError(f"{path}: the folder {final.parent} does not exist; make it, or choose another place")
    try:
        with suppress(FileNotFoundError):
            os.lstat(final)  # raises for a name that no file can have
        handle, name = tempfile.mkstemp(dir=final.parent, prefix=TEMPORARY_PREFIX, suffix=final.suffix)
        os.close(handle)
        os.unlink(name)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


def unwritable(
    place: str | os.PathLike[str], error: Exception, *, advice: str = "choose another place"
) -> InputError | OSError:
    """Return the error, to be raised, of a place that cannot be written to: wrong input, or a failure of no room.

    Args:
        place: The file or folder that the user named.
        error: What the system says.
        advice: What to do where the input is wrong.
    """
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return OSError(error.errno, error.strerror, os.fspath(place))
    return InputError(f"{place}: cannot be written ({reason_of(error)}); {advice}")


def finite(value: Any) -> Any:
    """Return plain data as JSON can hold it: None for infinities and NaN, a list for a tuple."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
