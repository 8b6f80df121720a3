"""Map arrays of .npy files, and write arrays for other programs: NumPy's .npz and MATLAB's .mat."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_core.io.arrays import map_array
from finer_core.io.files import atomic_path

_LARGEST_BYTES = 256 * 10**6
"""Arrays above this are left out: a large kernel stays in its own .npy file, from which it can be mapped."""


def mapped_array(path: str | Path) -> np.ndarray:
    """Return the array of a .npy file without reading it.

    Raises:
        InputError: If it is none, or cut short.
    """
    try:
        found = map_array(path)
    except Exception as error:  # NumPy reads a damaged header as Python, and raises what that raises
        raise InputError(f"{path}: cannot be read as a kernel ({getattr(error, 'strerror', None) or error})") from error
    if isinstance(found, np.ndarray):
        return found
    found.close()
    raise InputError(f"{path}: cannot be read as a kernel (it is an archive)")


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as a .npz file."""
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def write_arrays(stem: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as `stem`.npz and `stem`.mat."""
    from scipy.io import savemat

    kept = {name: np.asarray(array) for name, array in arrays.items() if array.nbytes <= _LARGEST_BYTES}
    write_npz(stem.with_suffix(".npz"), kept)
    with atomic_path(stem.with_suffix(".mat")) as temporary:
        savemat(temporary, kept, do_compression=False)
