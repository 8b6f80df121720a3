"""The connected parts of a mesh, and leaving out the small ones."""

import igl
import numpy as np

from finer_core.errors import InputError
from finer_core.schema import check_number
from finer_core.shapes import Int
from finer_sdf.geometry import Mesh


def part_sizes(faces: Int[np.ndarray, "faces 3"]) -> tuple[Int[np.ndarray, " faces"], Int[np.ndarray, " parts"]]:
    """Return the part of every face (m,), and the number of faces of every part; vertices hold a part together."""
    _, part = np.unique(igl.vertex_components(faces)[faces[:, 0]], return_inverse=True)
    return part, np.bincount(part)


def check_min_component(share: float) -> None:
    """Raise InputError for a share of the faces that is none."""
    check_number(share, what="--min-component")
    if not 0 <= share <= 1:
        raise InputError(f"--min-component must be a share of the faces between 0 and 1, got {share:g}")


def large_parts(mesh: Mesh, *, share: float) -> tuple[Mesh, int, int]:
    """Leave out the connected parts of a mesh with fewer than a share of all its faces.

    Args:
        mesh: At least one face.
        share: 0 keeps all parts; the largest is always kept.

    Returns:
        The mesh, how many parts it has, and how many were left out. Its vertices keep their order.

    Raises:
        InputError: If the share is not between 0 and 1.
    """
    check_min_component(share)
    part, sizes = part_sizes(mesh.faces)
    kept = sizes >= min(share * len(mesh.faces), sizes.max())
    if kept.all():
        return mesh, len(sizes), 0
    used, faces = np.unique(mesh.faces[kept[part]], return_inverse=True)
    smaller = Mesh(vertices=mesh.vertices[used], faces=faces.reshape(-1, 3).astype(np.int64))
    return smaller, int(kept.sum()), int((~kept).sum())
