"""Fewer triangles for nearly the same surface."""

from importlib.util import find_spec

import numpy as np

from finer_core.errors import InputError
from finer_core.schema import check_number
from finer_core.shapes import Float, Int, Real

_FEWEST = 4
"""Faces of a tetrahedron: no closed surface has fewer."""
_AGGRESSIONS = (2, 4, 7)
"""Of fast-simplification, tried until few enough faces are left. Its default, 7, leaves 2.5 times the error of 2."""
_PACKAGE = "fast_simplification"


def check_simplify(count: int | None, *, extra: str) -> None:
    """Refuse a number of faces that no mesh can be simplified to, or any where the library is missing.

    Args:
        count: Faces; None for a mesh that stays as it is.
        extra: What installs the library, "finer-sdf[simplify]" for example.

    Raises:
        InputError: If so; with the line that installs the library.
    """
    if count is None:
        return
    check_number(count, what="--simplify", is_whole=True)
    if count < _FEWEST:
        raise InputError(f"--simplify must leave at least {_FEWEST} faces, got {count}")
    if find_spec(_PACKAGE) is None:
        raise InputError(f'--simplify needs the package fast-simplification: pip install "{extra}"')


def simplify(
    vertices: Real[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"], *, count: int, extra: str
) -> tuple[Float[np.ndarray, "kept 3"], Int[np.ndarray, "left 3"]]:
    """Collapse edges until a number of faces is left, by quadric errors (Garland and Heckbert, SIGGRAPH 1997).

    Where no edge can be collapsed without turning a face over, more faces are left. Parts of few faces may vanish.

    Args:
        vertices: (n, 3); best near the origin and of size about 1.
        faces: (m, 3).
        count: How many faces are wanted; a mesh of no more comes back as it is.
        extra: As for `check_simplify`.

    Returns:
        Vertices (k, 3) and faces (l, 3).

    Raises:
        InputError: If no mesh has so few faces, or fast-simplification is not installed.
    """
    check_simplify(count, extra=extra)
    if len(faces) <= count:
        return vertices, faces
    import trimesh

    whole = trimesh.Trimesh(vertices=vertices, faces=faces, process=False)
    for aggression in _AGGRESSIONS:
        fewer = whole.simplify_quadric_decimation(face_count=count, aggression=aggression)
        if len(fewer.faces) <= count:
            break
    return np.asarray(fewer.vertices, dtype=np.float64), np.asarray(fewer.faces, dtype=np.int64)
