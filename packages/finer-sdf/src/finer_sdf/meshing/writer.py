"""Write a triangle mesh to a file, atomically."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.io.figures import png_bytes
from finer_core.io.files import check_output_path, output_path
from finer_core.io.glb import glb_bytes
from finer_core.io.ply import write_ply
from finer_core.io.usd import USD_SUFFIXES, check_usd_library, write_usd
from finer_sdf.geometry import Mesh
from finer_sdf.geometry.formats.stl import OFFSET

SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb", *USD_SUFFIXES)
_Y_UP = (".glb", *USD_SUFFIXES)
_WITH_ATTRIBUTES = (".ply", ".obj", *_Y_UP)
_WITH_TEXTURE = (".glb", ".usdz")
_SINGLE_PRECISION = (".stl", *_Y_UP)
_SMALLEST, _LARGEST = 1e-30, 1e30
"""Extents whose thousandths, and whose areas, single precision holds."""
_DIGITS = 9
"""Decimals of text formats, relative to the size of the mesh."""


def check_mesh_path(path: str | os.PathLike[str], *, file_type: str | None = None, is_textured: bool = False) -> str:
    """Refuse a file name that no mesh can be written to, before any work.

    Args:
        path: The file.
        file_type: "ply", "obj", "stl", "off", "glb", "usd", "usdc", "usda" or "usdz"; None to go by the suffix.
        is_textured: Whether the mesh has a texture.

    Returns:
        The format, as a suffix.

    Raises:
        InputError: If the format is unknown or holds no texture, a library is missing, or no file can be written there.
    """
    suffix = Path(path).suffix.lower() if file_type is None else f".{file_type.lower().lstrip('.')}"
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: cannot write a mesh as {suffix or 'no suffix'!r} (known: {' '.join(SUFFIXES)})")
    if is_textured and suffix not in _WITH_TEXTURE:
        raise InputError(f"{path}: {suffix} files hold no texture; use {' or '.join(_WITH_TEXTURE)}, or no --texture")
    if suffix in USD_SUFFIXES:
        check_usd_library(path, extra="finer-sdf[usd]")
    check_output_path(path)
    return suffix


def holds_normals(suffix: str) -> bool:
    """Return whether a format holds normals and colors of vertices."""
    return suffix in _WITH_ATTRIBUTES


def has_an_axis_up(suffix: str) -> bool:
    """Return whether a format says which axis is up, so that a mesh is turned for it."""
    return suffix in _Y_UP


def write_mesh(
    path: str | os.PathLike[str],
    mesh: Mesh,
    *,
    vertex_normals: np.ndarray | None = None,
    vertex_colors: np.ndarray | None = None,
    uv: np.ndarray | None = None,
    texture: np.ndarray | None = None,
    file_type: str | None = None,
    up: str = "y",
) -> tuple[str, ...]:
    """Write .ply (binary), .obj, .stl (binary), .off, .glb, or USD: .usd and .usdc (binary), .usda (text), .usdz.

    Where single precision would lose the shape, one far from the origin, a .ply file has double-precision coordinates.
    Those of .stl, .glb and USD always have single precision and are then written less an offset: a .glb file says it by
    the place of its node, USD by the mesh's translation, an .stl file only by words in its header. In every .glb and
    USD file y is up: a transform turns a mesh that has another axis up. Both sides of a face are seen there.

    Args:
        path: The file; its folder exists.
        mesh: In the coordinates to write.
        vertex_normals: (n, 3); not for .stl and .off.
        vertex_colors: (n, 3) uint8; not for .stl and .off.
        uv: (n, 2), where vertices are in the texture, (0, 0) in its first row and column; with a texture alone.
        texture: (h, w, 3) uint8, sRGB, in the place of colors; for .glb and .usdz alone.
        file_type: See `check_mesh_path`.
        up: Axis that is up in the mesh's coordinates, "x", "y", "z", "-x", "-y" or "-z"; only .glb and USD files ask.

    Returns:
        What a user should know about the file, a sentence each.

    Raises:
        InputError: If the file name does not do, the place cannot be written to, a library is missing, or the format
            holds no normals, no colours, no texture or no numbers of that size.
        ValueError: If there is not one normal or colour a vertex.
    """
    suffix = check_mesh_path(path, file_type=file_type, is_textured=texture is not None)
    for name, table in (("normals", vertex_normals), ("colors", vertex_colors)):
        if table is None:
            continue
        if table.shape != mesh.vertices.shape:
            raise ValueError(f"vertex {name} must be {mesh.vertices.shape}, got {table.shape}")
        if suffix not in _WITH_ATTRIBUTES:
            raise InputError(f"{path}: {suffix} files hold no vertex {name}; use {' '.join(_WITH_ATTRIBUTES)}")
    offset = _offset(path, mesh) if suffix in _SINGLE_PRECISION else np.zeros(3)
    attributes = {"normals": vertex_normals, "colors": vertex_colors}
    tables: dict[str, Any] = {**attributes, "offset": offset, "up": up}
    if texture is not None:
        tables |= {"uv": uv, "texture": png_bytes(texture)}
    if suffix in USD_SUFFIXES:
        write_usd(path, mesh.vertices - offset, mesh.faces, file_type=suffix, **tables)
    else:
        with output_path(path) as temporary:
            if suffix == ".ply":
                write_ply(
                    temporary, mesh.vertices, mesh.faces, **attributes, is_double=not _single_precision_does(mesh)
                )
            elif suffix == ".glb":
                temporary.write_bytes(glb_bytes(mesh.vertices - offset, mesh.faces, **tables))
            else:
                _write_by_trimesh(temporary, suffix, mesh, **attributes, offset=offset)
    node = "node" if suffix == ".glb" else "transform"
    is_turned = suffix in _Y_UP and up != "y"
    turned = (f"y is up in {suffix} files: its {node} turns the mesh's {up} there",) if is_turned else ()
    if not offset.any():
        return turned
    moved = f"{suffix} has single precision, too little so far from the origin: coordinates are less the offset"
    place = "add it" if suffix == ".stl" else f"its {node} adds it"
    return (*turned, f"{moved} {_shown(offset)}; {place}, or use .ply")


def _write_by_trimesh(
    path: Path,
    suffix: str,
    mesh: Mesh,
    *,
    normals: np.ndarray | None,
    colors: np.ndarray | None,
    offset: np.ndarray,
) -> None:
    import trimesh  # here: PLY, which a fit writes, does without it

    options: dict[str, Any] = {}
    if suffix in (".obj", ".off"):
        options["digits"] = _decimals(mesh)
    if suffix == ".obj":
        options["header"] = None
        options["include_normals"] = normals is not None
    written = trimesh.Trimesh(
        vertices=mesh.vertices - offset, faces=mesh.faces, vertex_normals=normals, vertex_colors=colors, process=False
    )
    made: Any = written.export(file_type=suffix[1:], **options)  # written here: trimesh leaves a file open that fails
    content = made.encode() if isinstance(made, str) else made
    if suffix == ".stl" and offset.any():
        content = f"{OFFSET}{_shown(offset)}".encode("ascii")[:80].ljust(80) + content[80:]
    path.write_bytes(content)


def _shown(offset: np.ndarray) -> str:
    return " ".join(f"{value:.12g}" for value in offset)


def _offset(path: str | os.PathLike[str], mesh: Mesh) -> np.ndarray:
    """Return what to subtract from vertices before they are rounded to single precision: nothing, or a round number."""
    low, high = mesh.bounds
    extent = float((high - low).max())
    if not _SMALLEST < extent < _LARGEST:
        raise InputError(f"{path}: single precision holds no shape of extent {extent:g}; use .ply, .obj or .off")
    if _single_precision_does(mesh):
        return np.zeros(3)
    step = 10.0 ** math.floor(math.log10(extent))
    offset: np.ndarray = np.round((low + high) / 2 / step) * step
    return offset


def _decimals(mesh: Mesh) -> int:
    extent = float(np.ptp(mesh.bounds, axis=0).max())
    return max(0, _DIGITS - math.floor(math.log10(extent))) if extent > 0 else _DIGITS


def _single_precision_does(mesh: Mesh) -> bool:
    """Return whether rounding to single precision moves vertices by less than 1e-6 of the mesh's size."""
    bounds = mesh.bounds
    if not _SMALLEST < float(np.ptp(bounds, axis=0).max()) < _LARGEST:
        return False
    rounding = float(np.abs(bounds).max()) * float(np.finfo(np.float32).eps) / 2
    return rounding <= 1e-6 * float(np.ptp(bounds, axis=0).max())
