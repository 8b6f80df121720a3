"""Fewer triangles for nearly the same surface."""

from importlib.util import find_spec

import numpy as np

from finer_core.errors import InputError
from finer_core.schema import check_number
from finer_sdf.geometry import Mesh

_FEWEST = 4
"""Faces of a tetrahedron: no closed surface has fewer."""
_AGGRESSIONS = (2, 4, 7)
"""Of fast-simplification, tried until few enough faces are left. Its default, 7, leaves 2.5 times the error of 2."""
_PACKAGE = "fast_simplification"


def check_simplify(faces: int | None) -> None:
    """Refuse a number of faces that no mesh can be simplified to, or any where the library is missing.

    Raises:
        InputError: If so; with the line that installs the library.
    """
    if faces is None:
        return
    check_number(faces, what="--simplify", is_whole=True)
    if faces < _FEWEST:
        raise InputError(f"--simplify must leave at least {_FEWEST} faces, got {faces}")
    if find_spec(_PACKAGE) is None:
        raise InputError('--simplify needs the package fast-simplification: pip install "finer-sdf[simplify]"')


def simplify_mesh(mesh: Mesh, *, faces: int) -> Mesh:
    """Collapse edges until a number of faces is left, by quadric errors (Garland and Heckbert, SIGGRAPH 1997).

    Where no edge can be collapsed without turning a face over, more faces are left.

    Args:
        mesh: The mesh; best near the origin and of size about 1.
        faces: How many faces are wanted; a mesh of no more comes back as it is.

    Raises:
        InputError: If no mesh has so few faces, or fast-simplification is not installed.
    """
    check_simplify(faces)
    if len(mesh.faces) <= faces:
        return mesh
    import trimesh

    whole = trimesh.Trimesh(vertices=mesh.vertices, faces=mesh.faces, process=False)
    for aggression in _AGGRESSIONS:
        fewer = whole.simplify_quadric_decimation(face_count=faces, aggression=aggression)
        if len(fewer.faces) <= faces:
            break
    return Mesh(vertices=np.asarray(fewer.vertices, dtype=np.float64), faces=np.asarray(fewer.faces, dtype=np.int64))
