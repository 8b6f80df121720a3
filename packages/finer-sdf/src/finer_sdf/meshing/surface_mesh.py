"""The mesh that is handed over: extracted, without small parts, simplified, with exact normals."""

from dataclasses import dataclass

import numpy as np
import torch

from finer_core.io.meshes.parts import large_parts, part_sizes
from finer_core.io.meshes.simplify import simplify as simplified
from finer_sdf.geometry import Mesh
from finer_sdf.meshing.extract import Extraction
from finer_sdf.meshing.vertex_normals import vertex_normals
from finer_sdf.normalization import Field

SIMPLIFY_EXTRA = "finer-sdf[simplify]"


@dataclass(frozen=True, kw_only=True)
class SurfaceMesh:
    """Hold a mesh with its normals.

    Attributes:
        mesh: The triangles.
        normals: (n, 3) float64 at the vertices, of length 1, in the direction in which the distance grows.
        parts: Connected parts it has.
        left_out: Parts that were left out for their size.
        vanished: Parts that were lost to simplifying.
        faces_found: Faces before it was simplified.
        faces_wanted: Faces that it was to be simplified to; None if it was not.
        uv: (n, 2), where vertices are in the texture, (0, 0) in its first row and column; None without one.
        texture: uint8 (size, size, 3), sRGB.
    """

    mesh: Mesh
    normals: np.ndarray
    parts: int
    left_out: int
    vanished: int
    faces_found: int
    faces_wanted: int | None = None
    uv: np.ndarray | None = None
    texture: np.ndarray | None = None

    def title(self) -> str:
        """Return its sizes in words."""
        mesh = self.mesh
        parts = f"{self.parts} part{'s' if self.parts != 1 else ''}"
        words = [f"{len(mesh.vertices)} vertices", f"{len(mesh.faces)} faces", parts]
        if self.left_out:
            words.append(f"{self.left_out} smaller left out")
        if self.faces_found > len(mesh.faces):
            words.append(f"simplified from {self.faces_found} faces")
        if self.vanished:
            words.append(f"of {self.parts + self.vanished} parts")
        if self.faces_wanted is not None and len(mesh.faces) > self.faces_wanted:
            words.append("none fewer without turning some over")
        return ", ".join(words)


def surface_mesh(
    field: Field,
    found: Extraction,
    *,
    min_component: float = 0.0,
    simplify: int | None = None,
    memory: int | None = None,
    device: torch.device | str = "cpu",
) -> SurfaceMesh:
    """Finish an extracted mesh, in the box.

    Args:
        field: What it was extracted from.
        found: The extraction.
        min_component: Parts with fewer than this share of the faces are left out.
        simplify: Faces that the rest is simplified to; None to leave it as it is.
        memory: Bytes that the process may use for that; None for no limit.
        device: Where the field computes.

    Raises:
        InputError: As `large_parts` and `simplify`.
    """
    vertices, faces, parts, left_out = large_parts(found.mesh.vertices, found.mesh.faces, share=min_component)
    faces_found, vanished = len(faces), 0
    if simplify is not None:
        vertices, faces = simplified(vertices, faces, count=simplify, extra=SIMPLIFY_EXTRA, memory=memory)
        left = len(part_sizes(faces)[1])
        parts, vanished = left, max(0, parts - left)
    mesh = Mesh(vertices=vertices, faces=faces)
    return SurfaceMesh(
        mesh=mesh,
        normals=vertex_normals(field, mesh, device=device),
        parts=parts,
        left_out=left_out,
        vanished=vanished,
        faces_found=faces_found,
        faces_wanted=simplify,
    )
