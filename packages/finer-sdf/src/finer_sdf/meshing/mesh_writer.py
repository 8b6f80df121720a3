"""Write a triangle mesh to a file, atomically."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from finer_core.errors import InputError
from finer_core.files import atomic_path
from finer_sdf.shapes import Mesh

SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb")
_WITH_ATTRIBUTES = (".ply", ".obj", ".glb")
_DIGITS = 9
"""Decimals of text formats, relative to the size of the mesh."""


def check_mesh_path(path: str | os.PathLike[str]) -> None:
    """Refuse a file name that no mesh can be written to, before any work.

    Raises:
        InputError: If the suffix is unknown, or the folder does not exist.
    """
    name = Path(path)
    if name.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: cannot write a mesh as {name.suffix or 'no suffix'!r} (known: {' '.join(SUFFIXES)})")
    if not name.parent.is_dir():
        raise InputError(f"{path}: the folder {name.parent} does not exist")
    if name.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")


def write_mesh(
    path: str | os.PathLike[str],
    mesh: Mesh,
    *,
    vertex_normals: np.ndarray | None = None,
    vertex_colours: np.ndarray | None = None,
) -> None:
    """Write .ply (binary), .obj, .stl (binary), .off or .glb.

    A .ply file has single-precision coordinates, and double ones where single precision would lose the shape (one far
    from the origin); .stl and .glb always have single precision.

    Args:
        path: The file; its folder exists.
        mesh: In the coordinates to write.
        vertex_normals: (n, 3); not for .stl and .off.
        vertex_colours: (n, 3) uint8; not for .stl and .off.

    Raises:
        InputError: If the file name does not do, or its format holds no normals or colours.
        ValueError: If there is not one normal or colour a vertex.
    """
    check_mesh_path(path)
    suffix = Path(path).suffix.lower()
    for name, table in (("normals", vertex_normals), ("colours", vertex_colours)):
        if table is None:
            continue
        if table.shape != mesh.vertices.shape:
            raise ValueError(f"vertex {name} must be {mesh.vertices.shape}, got {table.shape}")
        if suffix not in _WITH_ATTRIBUTES:
            raise InputError(f"{path}: {suffix} files hold no vertex {name}; use {' '.join(_WITH_ATTRIBUTES)}")
    with atomic_path(path) as temporary:
        if suffix == ".ply":
            _write_ply(temporary, mesh, normals=vertex_normals, colours=vertex_colours)
        else:
            _write_by_trimesh(temporary, mesh, normals=vertex_normals, colours=vertex_colours)


def _write_by_trimesh(path: Path, mesh: Mesh, *, normals: np.ndarray | None, colours: np.ndarray | None) -> None:
    options: dict[str, Any] = {}
    suffix = path.suffix.lower()
    if suffix in (".obj", ".off"):
        options["digits"] = _decimals(mesh)
    if suffix == ".obj":
        options["header"] = None
    if suffix in (".obj", ".glb"):
        options["include_normals"] = normals is not None
    written = trimesh.Trimesh(
        vertices=mesh.vertices, faces=mesh.faces, vertex_normals=normals, vertex_colors=colours, process=False
    )
    written.export(str(path), file_type=suffix[1:], **options)


def _decimals(mesh: Mesh) -> int:
    extent = float(np.ptp(mesh.bounds, axis=0).max())
    return max(0, _DIGITS - math.floor(math.log10(extent))) if extent > 0 else _DIGITS


def _write_ply(path: Path, mesh: Mesh, *, normals: np.ndarray | None, colours: np.ndarray | None) -> None:
    """Write a binary PLY; trimesh's would always round coordinates to single precision."""
    kind, name = ("<f4", "float") if _single_precision_does(mesh) else ("<f8", "double")
    columns: list[tuple[str, str, str, np.ndarray]] = [
        (axis, kind, name, mesh.vertices[:, i]) for i, axis in enumerate("xyz")
    ]
    if normals is not None:
        columns += [(f"n{axis}", "<f4", "float", normals[:, i]) for i, axis in enumerate("xyz")]
    if colours is not None:
        columns += [(channel, "u1", "uchar", colours[:, i]) for i, channel in enumerate(("red", "green", "blue"))]
    vertices = np.empty(len(mesh.vertices), dtype=[(column, dtype) for column, dtype, _, _ in columns])
    for column, _, _, values in columns:
        vertices[column] = values
    faces = np.empty(len(mesh.faces), dtype=[("count", "u1"), ("index", "<i4", 3)])
    faces["count"], faces["index"] = 3, mesh.faces
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property {name} {column}" for column, _, name, _ in columns]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    with open(path, "wb") as file:
        file.write("\n".join(header).encode("ascii"))
        vertices.tofile(file)
        faces.tofile(file)


def _single_precision_does(mesh: Mesh) -> bool:
    """Return whether rounding to single precision moves vertices by less than 1e-6 of the mesh's size."""
    bounds = mesh.bounds
    rounding = float(np.abs(bounds).max()) * float(np.finfo(np.float32).eps) / 2
    return rounding <= 1e-6 * float(np.ptp(bounds, axis=0).max())
