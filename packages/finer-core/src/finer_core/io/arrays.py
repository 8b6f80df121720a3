"""Read the files of NumPy: an array (.npy), or an archive of some (.npz)."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.surroundings import no_warnings


def map_array(path: str | Path) -> Any:
    """Return what NumPy makes of a file without reading the numbers: an array, or an archive; nothing is unpickled."""
    with no_warnings():  # of headers as Python 2 wrote them, which are read all the same
        return np.load(path, allow_pickle=False, mmap_mode="r")  # maps no more than the file has


def read_arrays(path: Path, *, wanted: Sequence[Sequence[str]], claim: Callable[[int], None]) -> dict[str, np.ndarray]:
    """Return arrays by name; nothing is unpickled.

    Args:
        path: The file; its suffix tells which of the two it is.
        wanted: Names that belong together; the first of which an archive has all are read. An array by itself has the
            last name.
        claim: Called before reading with the bytes that it takes; refuses what does not fit.

    Raises:
        InputError: If an archive has other names, or is none.
        Exception: Whatever NumPy and zipfile raise for a damaged file.
    """
    if path.suffix.lower() == ".npy":
        array = map_array(path)
        claim(8 * array.size)  # in double precision, which all become
        return {wanted[-1][-1]: array}
    with path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise InputError("it is a single array, not an archive; write it with numpy.savez")
        with zipfile.ZipFile(file) as packed:  # says what is wrong with it; NumPy would take it for a pickle
            sizes = [(entry.filename.removesuffix(".npy"), entry.file_size) for entry in packed.infolist()]
    present = {name for name, _ in sizes}
    names = next((names for names in wanted if present.issuperset(names)), None)
    if names is None:
        needed = ", or ".join(" and ".join(f"`{name}`" for name in names) for names in wanted)
        raise InputError(f"it needs arrays {needed}; its arrays: {', '.join(sorted(present))[:80] or 'none'}")
    claim(sum(size for name, size in sizes if name in names))  # a small archive may hold anything
    with no_warnings(), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in names}
