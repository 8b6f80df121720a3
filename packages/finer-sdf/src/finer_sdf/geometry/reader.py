"""Read any surface a person has, or say in one line why it cannot be read."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import sha256_of_file
from finer_sdf.geometry.colors import SurfaceColors
from finer_sdf.geometry.gltf_file import read_gltf
from finer_sdf.geometry.limits import Room
from finer_sdf.geometry.obj_file import read_obj
from finer_sdf.geometry.off_file import read_off
from finer_sdf.geometry.ply_file import read_ply
from finer_sdf.geometry.point_cloud import clean_cloud
from finer_sdf.geometry.point_files import read_npz, read_xyz
from finer_sdf.geometry.raw import RawShape, counted
from finer_sdf.geometry.repair import clean_mesh
from finer_sdf.geometry.shapes import LoadedShape, Shape
from finer_sdf.geometry.stl_file import read_stl


@dataclass(frozen=True, kw_only=True)
class Format:
    """Describe a format.

    Attributes:
        read: Takes the file, and a `Room` that it asks as soon as it knows how large the surface is; returns what the
            file holds, and raises `InputError` for what it understands to be wrong, anything else for what it does not.
        bare_points: Whether points without faces and normals are meant as a cloud; else missing faces are a mistake.
    """

    read: Callable[[Path, Room], RawShape]
    bare_points: bool = False


FORMATS = {
    ".ply": Format(read=read_ply, bare_points=True),
    ".obj": Format(read=read_obj),
    ".stl": Format(read=read_stl),
    ".off": Format(read=read_off),
    ".glb": Format(read=read_gltf),
    ".gltf": Format(read=read_gltf),
    ".xyz": Format(read=read_xyz, bare_points=True),
    ".npz": Format(read=read_npz, bare_points=True),
}
"""Formats that can be read, by suffix."""
SUFFIXES = tuple(FORMATS)


def read_shape(path: str | os.PathLike[str], *, seed: int = 0, memory: int | None = None) -> LoadedShape:
    """Read a triangle mesh or a point cloud.

    Meshes: .ply .obj .stl .off .glb .gltf, and .npz with `vertices` and `faces`; polygons are cut into triangles.
    Clouds: .xyz, .npz with `points` and `normals`, and .ply or .obj without faces. Normals that a cloud lacks are
    estimated. What is wrong and can be repaired is repaired, and named in the notes.

    Args:
        path: The file; its suffix chooses the format.
        seed: Of the faces sampled to tell inside from outside.
        memory: Bytes that the process may use, which the surface is refused before it takes more than; None for all.

    Returns:
        The surface in the file's own coordinates, as float64 and int64.

    Raises:
        InputError: One line with the file and the reason: missing, a folder, of an unknown format, cut, corrupt, too
            large, without a surface, or with numbers that cannot be computed with.

    Example:
        >>> import trimesh
        >>> from finer_sdf import read_shape
        >>> _ = trimesh.creation.box((1, 2, 3)).export("box.ply")
        >>> read_shape("box.ply").shape.volume()
        6.0
    """
    path = Path(path)
    kind = format_of(path, FORMATS)
    room = Room(memory=memory)
    try:
        raw = read_raw(kind, path, room)
        shape, notes = _clean(raw, bare_points=kind.bare_points, seed=seed, room=room)
        notes = raw.notes + notes
    except InputError as error:
        raise _error(path, error) from error
    except MemoryError:
        raise _error(path, "does not fit in this machine's memory; give a smaller one") from None
    colors = None
    if raw.colors is not None:
        colors = SurfaceColors(points=raw.vertices, colors=raw.colors, faces=raw.faces)
    return LoadedShape(shape=shape, name=path.name, sha256=sha256_of_file(path), notes=notes, colors=colors)


def format_of(path: Path, formats: Mapping[str, Format]) -> Format:
    """Return the file's format, one of those given by suffix, after the checks that need no look inside."""
    kind = formats.get(path.suffix.lower())
    try:
        if path.is_dir():
            raise _error(path, "is a folder; name one file in it")
        if not path.exists():
            raise _error(path, f"no such file; check the spelling and the folder {Path.cwd()}")
        if kind is None:
            raise _error(path, f"unknown format {path.suffix!r}; known are {' '.join(formats)}")
        if not path.is_file():
            raise _error(path, "is not a regular file; save the shape to a file first")
        with path.open("rb") as file:
            start = file.read(2)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise _error(path, f"cannot be opened ({reason}); check the path and its permissions") from None
    if not start:
        raise _error(path, "is empty (0 bytes); copy or download it again")
    if start in (b"\xff\xfe", b"\xfe\xff"):
        raise _error(path, f"cannot be read as {path.suffix.lower()} (it is UTF-16 text); save it as UTF-8")
    return kind


def read_raw(kind: Format, path: Path, room: Room) -> RawShape:
    """Read a file's tables, unrepaired; InputError, without the file's name, if they cannot be read."""
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused by name later
            return kind.read(path, room)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # every library and every format has its own family of exceptions for broken files
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise InputError(
            f"cannot be read as {path.suffix.lower()} ({reason[:100]}); it may be cut, corrupt or of another format"
        ) from error


def _clean(raw: RawShape, *, bare_points: bool, seed: int, room: Room) -> tuple[Shape, tuple[str, ...]]:
    if raw.faces is not None and len(raw.faces):
        return clean_mesh(raw.vertices, raw.faces, seed=seed)
    if not len(raw.vertices):
        raise InputError("it holds no triangles and no points; it may be empty, cut short, or of another format")
    if raw.normals is None and not bare_points:
        found = counted(len(raw.vertices), "vertex", "vertices")
        raise InputError(
            f"it has no faces (only {found} without normals); give a mesh, or points as .xyz, .ply or .npz"
        )
    if raw.normals is None or not raw.normals.any():
        room.claim(bare_points=len(raw.vertices))
    return clean_cloud(raw.vertices, raw.normals)


def _error(path: Path, reason: object) -> InputError:
    return InputError(f"{path}: {reason}")
