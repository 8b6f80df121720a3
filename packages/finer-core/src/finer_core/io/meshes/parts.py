"""The connected parts of a mesh, and leaving out the small ones."""

import numpy as np

from finer_core.errors import InputError
from finer_core.schema import check_number
from finer_core.shapes import Int, Real


def part_sizes(faces: Int[np.ndarray, "faces 3"]) -> tuple[Int[np.ndarray, " faces"], Int[np.ndarray, " parts"]]:
    """Return the part of every face (m,), and the number of faces of every part; vertices hold a part together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = int(faces.max(initial=-1)) + 1
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    joined = coo_array((np.ones(len(edges), dtype=np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, of_vertex = connected_components(joined, directed=False)
    _, part = np.unique(of_vertex[faces[:, 0]], return_inverse=True)
    return part, np.bincount(part)


def check_min_component(share: float) -> None:
    """Raise InputError for a share of the faces that is none."""
    check_number(share, what="--min-component")
    if not 0 <= share <= 1:
        raise InputError(f"--min-component must be a share of the faces between 0 and 1, got {share:g}")


def large_parts(
    vertices: Real[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"], *, share: float
) -> tuple[Real[np.ndarray, "kept 3"], Int[np.ndarray, "left 3"], int, int]:
    """Leave out the connected parts of a mesh with fewer than a share of all its faces.

    Args:
        vertices: (n, 3).
        faces: (m, 3).
        share: 0 keeps all parts; the largest is always kept.

    Returns:
        Vertices and faces, how many parts they have, and how many were left out. Vertices keep their order; those of
        no face are left out with the parts, if any are.

    Raises:
        InputError: If the share is not between 0 and 1.

    Example:
        >>> import numpy as np
        >>> strip, far = np.array([[0, 1, 2], [1, 2, 3]]), np.array([[4, 5, 6]])
        >>> _, faces, parts, left_out = large_parts(np.zeros((7, 3)), np.concatenate([strip, far]), share=0.5)
        >>> faces.tolist(), parts, left_out
        ([[0, 1, 2], [1, 2, 3]], 1, 1)
    """
    check_min_component(share)
    part, sizes = part_sizes(faces)
    kept = sizes >= min(share * len(faces), sizes.max(initial=0))
    if kept.all():
        return vertices, faces, len(sizes), 0
    used, renamed = np.unique(faces[kept[part]], return_inverse=True)
    return vertices[used], renamed.reshape(-1, 3).astype(np.int64), int(kept.sum()), int((~kept).sum())
