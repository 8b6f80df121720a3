"""Write coloured meshes."""

import os
from pathlib import Path

from finer_core.errors import InputError
from finer_core.files import atomic_path
from finer_nerf.mesh import ColoredMesh

_SUFFIXES = (".ply", ".glb")


def check_mesh_path(path: str | os.PathLike[str]) -> None:
    """Raise InputError for a file that a coloured mesh cannot be written to."""
    out = Path(path)
    if out.suffix.lower() not in _SUFFIXES:
        raise InputError(f"{out}: a coloured mesh is written as {' or '.join(_SUFFIXES)}")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: the folder does not exist")


def write_mesh(path: str | os.PathLike[str], mesh: ColoredMesh) -> None:
    """Write a mesh with vertex colours as binary PLY or GLB.

    Coordinates are the scene's own in both; glTF viewers take y for up, whatever is up in the scene.
    """
    import trimesh

    out = Path(path)
    shape = trimesh.Trimesh(
        vertices=mesh.vertices, faces=mesh.faces, vertex_colors=mesh.colors, process=False, validate=False
    )
    content = shape.export(file_type=out.suffix.lower()[1:])
    assert isinstance(content, bytes)
    with atomic_path(out) as temporary:
        temporary.write_bytes(content)
