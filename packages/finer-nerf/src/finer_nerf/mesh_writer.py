"""Write coloured meshes."""

import os
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import output_path
from finer_nerf.meshing import ColoredMesh

_SUFFIXES = (".ply", ".glb")
_LARGEST_ROUNDING = 1e-5
"""Of single precision, as a share of the mesh's size: a four-hundredth of a cell at the default resolution."""


def check_mesh_path(path: str | os.PathLike[str]) -> None:
    """Raise InputError for a file that a coloured mesh cannot be written to."""
    out = Path(path)
    if out.suffix.lower() not in _SUFFIXES:
        raise InputError(f"{out}: a coloured mesh is written as {' or '.join(_SUFFIXES)}")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: the folder does not exist")


def write_mesh(path: str | os.PathLike[str], mesh: ColoredMesh) -> str:
    """Write a mesh with vertex colours as binary PLY or GLB.

    Coordinates are the scene's own in both; glTF viewers take y for up, whatever is up in the scene. Far from the
    origin, where single precision would lose the shape, PLY gets double precision, and GLB, which has none, an offset
    as the translation of its node.

    Returns:
        What was done about precision, for the user; empty for nothing.
    """
    out = Path(path)
    lowest, highest = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    rounding = np.spacing(np.float32(np.abs([lowest, highest]).max()))
    is_far = bool(rounding > _LARGEST_ROUNDING * (highest - lowest).max())
    if out.suffix.lower() == ".ply":
        content, note = _ply(mesh, number="f8" if is_far else "f4"), "double precision"
    else:
        offset = (lowest + highest) / 2 if is_far else np.zeros(3)
        shown = ", ".join(f"{value:.10g}" for value in offset)
        content, note = _glb(mesh, offset), f"offset by its node's translation, {shown}"
    with output_path(out) as temporary:
        temporary.write_bytes(content)
    return note if is_far else ""


def _ply(mesh: ColoredMesh, *, number: str) -> bytes:
    """Return a binary PLY file; `number` is the type of coordinates, "f4" or "f8"."""
    name = {"f4": "float", "f8": "double"}[number]
    vertices = np.empty(len(mesh.vertices), dtype=[("at", f"<{number}", 3), ("color", "u1", 3)])
    vertices["at"], vertices["color"] = mesh.vertices, mesh.colors
    faces = np.empty(len(mesh.faces), dtype=[("corners", "u1"), ("vertex", "<i4", 3)])
    faces["corners"], faces["vertex"] = 3, mesh.faces
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property {name} {axis}" for axis in "xyz"),
        *(f"property uchar {color}" for color in ("red", "green", "blue")),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return "\n".join([*lines, ""]).encode() + vertices.tobytes() + faces.tobytes()


def _glb(mesh: ColoredMesh, offset: np.ndarray) -> bytes:
    """Return a GLB file whose one node is moved by the offset."""
    import trimesh

    scene = trimesh.Scene()
    scene.add_geometry(mesh.to_trimesh(offset=offset), transform=trimesh.transformations.translation_matrix(offset))
    content = scene.export(file_type="glb")
    assert isinstance(content, bytes)
    return content
