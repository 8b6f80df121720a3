"""The SHA-256 of an input, by which a resumed run knows it again; read in pieces, never whole."""

import hashlib
import os
from pathlib import Path

from finer_core.io.files import sha256_of_file


def sha256_of_input(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, or of a folder such as a Zarr array's.

    A folder's is the SHA-256 of a text with a line for every file in it and below: the file's SHA-256, two spaces, and
    "./" with its path inside the folder, the lines sorted by path. These commands print it:

        cd huge.zarr && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum

    Returns:
        64 hex digits.
    """
    folder = Path(path)
    if not folder.is_dir():
        return sha256_of_file(folder)
    names = sorted(
        (f"./{file.relative_to(folder).as_posix()}" for file in folder.rglob("*") if file.is_file()), key=os.fsencode
    )
    lines = (f"{sha256_of_file(folder / name)}  {name}\n" for name in names)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
