"""Read any surface a person has, or say in one line why it cannot be read."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import given_path, input_suffix, reason_of, sha256_of_file
from finer_core.io.text import counted
from finer_core.resources import parse_memory
from finer_sdf.formats import FORMATS, SUFFIXES
from finer_sdf.geometry.loaded_shape import LoadedShape, colors_of
from finer_sdf.geometry.point_cloud import clean_cloud
from finer_sdf.geometry.raw import RawShape, Room, without_unknown
from finer_sdf.geometry.repair import clean_mesh
from finer_sdf.geometry.shapes import Shape


def read_shape(path: str | os.PathLike[str], *, memory: str | int = "4GB") -> LoadedShape:
    """Read a triangle mesh or a point cloud.

    Meshes: .ply .obj .stl .off .glb .gltf, and .npz with `vertices` and `faces`; polygons are cut into triangles.
    Clouds: .xyz, .npy, .npz with `points` and `normals`, and .ply, .obj or .glb without faces. Normals that a cloud
    lacks are estimated. What is wrong and can be repaired is repaired and named in the notes, as is a texture left out.

    Args:
        path: The file; its suffix chooses the format.
        memory: What the process may take; a surface that needs more is refused before it is read.

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
    return load_shape(path, memory=parse_memory(memory))


def load_shape(path: str | os.PathLike[str], *, memory: int | None = None) -> LoadedShape:
    """Read a surface as `read_shape` does, within bytes of memory; None for no limit."""
    path, room = given_path(path), Room(memory=memory)
    with named(path):
        raw = without_unknown(read_raw(path, room, known=SUFFIXES))
        bare_points = FORMATS[path.suffix.lower()].bare_points
        shape, notes = clean(raw, bare_points=bare_points, room=room)
    colors = colors_of(raw, shape)
    return LoadedShape(shape=shape, name=path.name, sha256=_digest(path, raw), notes=raw.notes + notes, colors=colors)


def _digest(path: Path, raw: RawShape) -> str:
    """Return the SHA-256 of a file, and of the pictures that may lie beside it."""
    digest = sha256_of_file(path)
    if raw.texture is None or path.suffix.lower() == ".glb":
        return digest
    whole = hashlib.sha256(digest.encode())
    for texture in raw.texture.textures:
        whole.update(texture.pixels.tobytes())
    return whole.hexdigest()


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Let what refuses a file name it; InputError if there is not the memory for it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except MemoryError:
        raise InputError(f"{path}: does not fit in this machine's memory; give a smaller one") from None


def read_raw(path: Path, room: Room, *, known: Sequence[str]) -> RawShape:
    """Read a file's tables, unrepaired, if its suffix is a known one; InputError without the file's name if not."""
    suffix = input_suffix(path, known=known)
    module, function = FORMATS[suffix].reader.split(".")
    read: Callable[[Path, Room], RawShape] = getattr(import_module(f"finer_sdf.geometry.formats.{module}"), function)
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused by name later
            return read(path, room)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # every library and every format has its own family of exceptions for broken files
        reason = f"it lacks {error}" if isinstance(error, KeyError) else reason_of(error)
        raise InputError(
            f"cannot be read as {suffix} ({reason[:100]}); it may be cut, corrupt or of another format"
        ) from error


def clean(raw: RawShape, *, bare_points: bool, room: Room) -> tuple[Shape, tuple[str, ...]]:
    """Return the surface that tables make, repaired, and what was done, a sentence each."""
    if raw.faces is not None and len(raw.faces):
        return clean_mesh(raw.vertices, raw.faces)
    if not len(raw.vertices):
        raise InputError("it holds no triangles and no points; it may be empty, cut short, or of another format")
    if raw.normals is None and not bare_points:
        found = counted(len(raw.vertices), "vertex", "vertices")
        raise InputError(
            f"it has no faces (only {found} without normals); give a mesh, or points as .xyz, .ply, .npz or .npy"
        )
    if raw.normals is None or not raw.normals.any():
        room.claim(bare_points=len(raw.vertices))
    return clean_cloud(raw.vertices, raw.normals)
