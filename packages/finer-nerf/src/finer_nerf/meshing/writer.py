"""Write coloured meshes."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.io.figures import png_bytes
from finer_core.io.files import output_path
from finer_core.io.glb import glb_bytes
from finer_core.io.ply import write_ply
from finer_core.io.usd import USD_SUFFIXES, check_usd_library, write_usd
from finer_nerf.meshing.extract import ColoredMesh

_SUFFIXES = (".ply", ".glb", *USD_SUFFIXES)
_WITH_TEXTURE = (".glb", ".usdz")
_LARGEST_ROUNDING = 1e-5
"""Of single precision, as a share of the mesh's size: a four-hundredth of a cell at the default resolution."""


def check_mesh_path(path: str | os.PathLike[str], *, is_textured: bool = False) -> None:
    """Raise InputError for a file that a coloured mesh cannot be written to."""
    out = Path(path)
    suffix = out.suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(f"{out}: a coloured mesh is written as {' or '.join(_SUFFIXES)}")
    if is_textured and suffix not in _WITH_TEXTURE:
        raise InputError(f"{out}: {suffix} files hold no texture; use {' or '.join(_WITH_TEXTURE)}, or no --texture")
    if suffix in USD_SUFFIXES:
        check_usd_library(out, extra="finer-nerf[usd]")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: the folder does not exist")


def write_mesh(path: str | os.PathLike[str], mesh: ColoredMesh, *, up: str = "z") -> str:
    """Write a mesh with vertex colours as binary PLY, GLB or USD, one with a texture as GLB or a package of USD.

    The numbers of vertices are the scene's own in all, and all have normals. In GLB and USD y is up: a transform turns
    the axis that is up in the scene there. Colours are sRGB in PLY and linear in GLB, whose material is a dull one, and
    in USD. Far from the origin, where single precision would lose the shape, PLY gets double precision, and GLB and
    USD, which have none, an offset as part of that transform.

    Args:
        path: A .ply, .glb, .usd, .usdc, .usda or .usdz file, which is replaced.
        mesh: The mesh.
        up: Axis that is up in the scene: "x", "y", "z", "-x", "-y" or "-z".

    Returns:
        What was done to the coordinates, for the user; empty for nothing.

    Raises:
        InputError: If the format is none of those or holds no texture, or the file cannot be written.
    """
    out = Path(path)
    check_mesh_path(out, is_textured=mesh.texture is not None)
    suffix = out.suffix.lower()
    lowest, highest = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    rounding = np.spacing(np.float32(np.abs([lowest, highest]).max()))
    is_far = bool(rounding > _LARGEST_ROUNDING * (highest - lowest).max())
    if suffix == ".ply":
        with output_path(out) as temporary:
            write_ply(temporary, mesh.vertices, mesh.faces, normals=mesh.normals, colors=mesh.colors, is_double=is_far)
        return "double precision" if is_far else ""
    offset = (lowest + highest) / 2 if is_far else np.zeros(3)
    tables: dict[str, Any] = {"normals": mesh.normals, "offset": offset, "up": up}
    if mesh.texture is None:
        tables |= {"colors": mesh.colors}
    else:
        tables |= {"uv": mesh.uv, "texture": png_bytes(mesh.texture)}
    if suffix == ".glb":
        with output_path(out) as temporary:
            temporary.write_bytes(glb_bytes(mesh.vertices - offset, mesh.faces, **tables))
    else:
        write_usd(out, mesh.vertices - offset, mesh.faces, **tables)
    kind, node = ("GLB", "node") if suffix == ".glb" else ("USD", "mesh")
    shown = ", ".join(f"{value:.10g}" for value in offset)
    notes = [f"the scene's {up} turned to y, which is up in {kind}"] if up != "y" else []
    notes += [f"offset by its {node}'s translation, {shown}"] if is_far else []
    return ", ".join(notes)
