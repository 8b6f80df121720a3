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
from finer_core.shapes import Int, Real, UInt8

SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb", *USD_SUFFIXES)
_Y_UP = (".glb", *USD_SUFFIXES)
_WITH_ATTRIBUTES = (".ply", ".obj", *_Y_UP)
_WITH_TEXTURE = (".glb", ".usdz")
_SINGLE_PRECISION = (".stl", *_Y_UP)
STL_OFFSET = "finer: add "
"""Begins the header of an .stl file that is written less an offset, whose three numbers follow."""
_SMALLEST, _LARGEST = 1e-30, 1e30
"""Extents whose thousandths, and whose areas, single precision holds."""
_DIGITS = 9
"""Decimals of text formats, relative to the size of the mesh."""


def check_mesh_path(
    path: str | os.PathLike[str], *, package: str, file_type: str | None = None, is_textured: bool = False
) -> str:
    """Refuse a file name that no mesh can be written to, before any work.

    Args:
        path: The file.
        package: Whose extra [usd] installs what USD needs, "finer-sdf" for example.
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
        check_usd_library(path, extra=f"{package}[usd]")
    check_output_path(path)
    return suffix


def has_an_axis_up(suffix: str) -> bool:
    """Return whether a format says which axis is up, so that a mesh is turned for it."""
    return suffix in _Y_UP


def write_mesh(
    path: str | os.PathLike[str],
    vertices: Real[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    *,
    package: str,
    normals: Real[np.ndarray, "vertices 3"] | None = None,
    colors: UInt8[np.ndarray, "vertices 3"] | None = None,
    uv: Real[np.ndarray, "vertices 2"] | None = None,
    texture: UInt8[np.ndarray, "height width 3"] | None = None,
    file_type: str | None = None,
    up: str = "y",
) -> tuple[str, ...]:
    """Write .ply (binary), .obj, .stl (binary), .off, .glb, or USD: .usd and .usdc (binary), .usda (text), .usdz.

    Where single precision would lose the shape, one far from the origin, a .ply file has double-precision coordinates.
    Those of .stl, .glb and USD always have single precision and are then written less an offset: a .glb file says it by
    the place of its node, USD by the mesh's translation, an .stl file only by words in its header. In every .glb and
    USD file y is up: a transform turns a mesh that has another axis up. Both sides of a face are seen there. Colors are
    sRGB in .ply and .obj, and linear in .glb and USD; .stl and .off hold neither them nor normals.

    Args:
        path: The file; its folder exists.
        vertices: (n, 3), in the coordinates to write.
        faces: (m, 3), counter-clockwise seen from outside.
        package: As for `check_mesh_path`.
        normals: (n, 3) of length 1.
        colors: (n, 3) uint8, sRGB.
        uv: (n, 2), where vertices are in the texture, (0, 0) in its first row and column; with a texture alone.
        texture: (h, w, 3) uint8, sRGB, in the place of colors; for .glb and .usdz alone.
        file_type: As for `check_mesh_path`.
        up: Axis that is up in the mesh's coordinates, "x", "y", "z", "-x", "-y" or "-z"; only .glb and USD files ask.

    Returns:
        What a user should know about the file, a sentence each.

    Raises:
        InputError: If the file name does not do, the place cannot be written to, a library is missing, or the format
            holds no texture or no numbers of that size; or if there is no vertex, one that is not finite, or a face of
            vertices that do not exist.
        ValueError: If there is not one normal or color a vertex.
    """
    suffix = check_mesh_path(path, package=package, file_type=file_type, is_textured=texture is not None)
    _check_mesh(path, vertices, faces)
    for name, table in (("normals", normals), ("colors", colors)):
        if table is not None and table.shape != vertices.shape:
            raise ValueError(f"vertex {name} must be {vertices.shape}, got {table.shape}")
    notes = []
    if suffix not in _WITH_ATTRIBUTES:
        if colors is not None:
            notes.append(f"{suffix} files hold no vertex colors; {' '.join(_WITH_ATTRIBUTES)} do")
        normals = colors = None
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    offset = _offset(path, low, high) if suffix in _SINGLE_PRECISION else np.zeros(3)
    attributes = {"normals": normals, "colors": colors}
    tables: dict[str, Any] = {**attributes, "offset": offset, "up": up}
    if texture is not None:
        tables |= {"uv": uv, "texture": png_bytes(texture)}
    if suffix in USD_SUFFIXES:
        write_usd(path, vertices - offset, faces, file_type=suffix, **tables)
    else:
        with output_path(path) as temporary:
            if suffix == ".ply":
                is_double = not _single_precision_does(low, high)
                write_ply(temporary, vertices, faces, **attributes, is_double=is_double)
            elif suffix == ".glb":
                temporary.write_bytes(glb_bytes(vertices - offset, faces, **tables))
            else:
                _write_by_trimesh(temporary, suffix, vertices, faces, **attributes, offset=offset)
    node = "node" if suffix == ".glb" else "transform"
    if suffix in _Y_UP and up != "y":
        notes.append(f"y is up in {suffix} files: its {node} turns the mesh's {up} there")
    if offset.any():
        moved = f"{suffix} has single precision, too little so far from the origin: coordinates are less the offset"
        place = "add it" if suffix == ".stl" else f"its {node} adds it"
        notes.append(f"{moved} {_shown(offset)}; {place}, or use .ply")
    return tuple(notes)


def _check_mesh(path: str | os.PathLike[str], vertices: np.ndarray, faces: np.ndarray) -> None:
    """Raise InputError for tables that no mesh has, of which most formats would hold anything."""
    for name, table, kinds in (("vertices", vertices, "fiu"), ("faces", faces, "iu")):
        if not isinstance(table, np.ndarray) or table.dtype.kind not in kinds or table.shape[1:] != (3,):
            what = "integers" if kinds == "iu" else "numbers"
            kind = f"{table.dtype} {table.shape}" if isinstance(table, np.ndarray) else type(table).__name__
            raise InputError(f"{path}: {name} must be an array (n, 3) of {what}, got {kind}")
    if not len(vertices):
        raise InputError(f"{path}: a mesh without vertices is none, and nothing is written")
    if not np.isfinite(vertices).all():
        raise InputError(f"{path}: vertices have values that are not finite")
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise InputError(f"{path}: faces name vertices {faces.min()} to {faces.max()}, and there are {len(vertices)}")


def _write_by_trimesh(
    path: Path,
    suffix: str,
    vertices: np.ndarray,
    faces: np.ndarray,
    *,
    normals: np.ndarray | None,
    colors: np.ndarray | None,
    offset: np.ndarray,
) -> None:
    import trimesh  # here: PLY, which a fit writes, does without it

    options: dict[str, Any] = {}
    if suffix in (".obj", ".off"):
        options["digits"] = _decimals(vertices)
    if suffix == ".obj":
        options["header"] = None
        options["include_normals"] = normals is not None
    written = trimesh.Trimesh(
        vertices=vertices - offset, faces=faces, vertex_normals=normals, vertex_colors=colors, process=False
    )
    made: Any = written.export(file_type=suffix[1:], **options)  # written here: trimesh leaves a file open that fails
    content = made.encode() if isinstance(made, str) else made
    if suffix == ".stl" and offset.any():
        content = f"{STL_OFFSET}{_shown(offset)}".encode("ascii")[:80].ljust(80) + content[80:]
    path.write_bytes(content)


def _shown(offset: np.ndarray) -> str:
    return " ".join(f"{value:.12g}" for value in offset)


def _offset(path: str | os.PathLike[str], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return what to subtract from vertices before they are rounded to single precision: nothing, or a round number."""
    extent = float((high - low).max())
    if not _SMALLEST < extent < _LARGEST:
        raise InputError(f"{path}: single precision holds no shape of extent {extent:g}; use .ply, .obj or .off")
    if _single_precision_does(low, high):
        return np.zeros(3)
    step = 10.0 ** math.floor(math.log10(extent))
    offset: np.ndarray = np.round((low + high) / 2 / step) * step
    return offset


def _decimals(vertices: np.ndarray) -> int:
    extent = float(np.ptp(vertices, axis=0).max())
    return max(0, _DIGITS - math.floor(math.log10(extent))) if extent > 0 else _DIGITS


def _single_precision_does(low: np.ndarray, high: np.ndarray) -> bool:
    """Return whether rounding to single precision moves vertices by less than 1e-6 of the mesh's size."""
    extent = float((high - low).max())
    if not _SMALLEST < extent < _LARGEST:
        return False
    rounding = float(np.abs([low, high]).max()) * float(np.finfo(np.float32).eps) / 2
    return rounding <= 1e-6 * extent
