"""Read any surface a person has, or say in one line why it cannot be read."""

import os
from collections.abc import Callable
from pathlib import Path

from finer_core.errors import InputError
from finer_core.files import sha256_of_file
from finer_sdf.shapes.cloud_cleaning import clean_cloud
from finer_sdf.shapes.mesh_cleaning import clean_mesh
from finer_sdf.shapes.mesh_files import parse_mesh_file
from finer_sdf.shapes.point_files import parse_npz_file, parse_xyz_file
from finer_sdf.shapes.raw_shape import RawShape, counted
from finer_sdf.shapes.types import LoadedShape, Shape

_PARSERS: dict[str, Callable[[Path], RawShape]] = {
    **dict.fromkeys((".ply", ".obj", ".stl", ".off", ".glb", ".gltf"), parse_mesh_file),
    ".xyz": parse_xyz_file,
    ".npz": parse_npz_file,
}
SUFFIXES = tuple(_PARSERS)
"""Formats that can be read."""
_CLOUD_SUFFIXES = (".ply", ".xyz", ".npz")
"""Formats whose bare points are meant as a cloud; in the others, missing faces are a mistake."""


def read_shape(path: str | os.PathLike[str], *, seed: int = 0) -> LoadedShape:
    """Read a triangle mesh or a point cloud.

    Meshes: .ply .obj .stl .off .glb .gltf, and .npz with `vertices` and `faces`. Clouds: .xyz with 3 or 6 columns,
    .npz with `points` and `normals`, and .ply or .obj without faces. Normals that a cloud lacks are estimated. What is
    wrong and can be repaired is repaired, and named in the notes.

    Args:
        path: The file; its suffix chooses the format.
        seed: Of the faces sampled to tell inside from outside.

    Returns:
        The surface in the file's own coordinates, as float64 and int64.

    Raises:
        InputError: One line with the file and the reason: missing, a folder, of an unknown format, cut, corrupt,
            without a surface, or with numbers that are not finite.
    """
    path = Path(path)
    parse = _parser_of(path)
    try:
        shape, notes = _clean(parse, path, seed=seed)
    except InputError as error:
        raise _error(path, error) from error
    except MemoryError:
        raise _error(path, "does not fit in this machine's memory; give a smaller one") from None
    return LoadedShape(shape=shape, name=path.name, sha256=sha256_of_file(path), notes=notes)


def _parser_of(path: Path) -> Callable[[Path], RawShape]:
    """Return what reads the file, after the checks that need no look inside."""
    parse = _PARSERS.get(path.suffix.lower())
    try:
        if path.is_dir():
            raise _error(path, "is a folder; name one file in it")
        if not path.exists():
            raise _error(path, f"no such file; check the spelling and the folder {Path.cwd()}")
        if parse is None:
            raise _error(path, f"unknown format {path.suffix!r}; known are {' '.join(SUFFIXES)}")
        if not path.is_file():
            raise _error(path, "is not a regular file; save the shape to a file first")
        with path.open("rb") as file:
            if not file.read(1):
                raise _error(path, "is empty (0 bytes); copy or download it again")
    except OSError as error:
        raise _error(path, f"cannot be opened ({error.strerror}); check the path and its permissions") from None
    return parse


def _clean(parse: Callable[[Path], RawShape], path: Path, *, seed: int) -> tuple[Shape, tuple[str, ...]]:
    suffix = path.suffix.lower()
    try:
        raw = parse(path)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # every format has its own family of exceptions for broken files
        reason = str(error) or type(error).__name__
        raise InputError(
            f"cannot be read as {suffix} ({reason[:150]}); it may be cut, corrupt or of another format"
        ) from error
    if raw.faces is not None and len(raw.faces):
        return clean_mesh(raw.vertices, raw.faces, seed=seed)
    if raw.normals is None and suffix not in _CLOUD_SUFFIXES:
        found = counted(len(raw.vertices), "vertex", "vertices")
        raise InputError(
            f"it has no faces (only {found} without normals); give a mesh, or points as .xyz, .ply or .npz"
        )
    return clean_cloud(raw.vertices, raw.normals)


def _error(path: Path, reason: object) -> InputError:
    return InputError(" ".join(f"{path}: {reason}".split()))
