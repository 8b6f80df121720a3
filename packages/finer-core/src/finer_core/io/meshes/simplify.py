"""Fewer triangles for nearly the same surface."""

from importlib.util import find_spec

import numpy as np

from finer_core.errors import InputError
from finer_core.io.meshes.normals import vertex_normals
from finer_core.resources import check_room
from finer_core.schema import check_number
from finer_core.shapes import Float, Int, Real

_FEWEST = 4
"""Faces of a tetrahedron: no closed surface has fewer."""
_AGGRESSIONS = (2, 4, 7)
"""Of fast-simplification, tried until few enough faces are left. Its default, 7, leaves 2.5 times the error of 2."""
_PACKAGE = "fast_simplification"
_BYTES_A_FACE = 900
"""Of those given, of which half are left: 830 measured with a million."""
_LATTICE = 3
"""Points of a triangle are compared in so many rows, none on its edges."""
_DAMPING = 0.3
"""Of the moves of vertices, beside residuals whose mean square is 1 a vertex: what no point speaks of stays."""
_FARTHEST_MOVE = 0.2
"""Of a vertex, in its shortest edges, so that no triangle turns over."""
_TOLERANCE = 1e-5
"""Of the residual of the equations for the moves."""
_FACES_AT_ONCE = 1 << 16
"""Whose points are compared: bounds the memory of these."""


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
    vertices: Real[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    *,
    count: int,
    extra: str,
    memory: int | None = None,
) -> tuple[Float[np.ndarray, "kept 3"], Int[np.ndarray, "left 3"]]:
    """Collapse edges until a number of faces is left, by quadric errors (Garland and Heckbert, SIGGRAPH 1997).

    Where no edge can be collapsed without turning a face over, more faces are left. Parts of few faces may vanish. Then
    the vertices left move along their normals to where, in the mean square over the area, the triangles are closest to
    the planes of those given: minimize sum_s (m_s . (q_s - s - sum_i b_si t_i n_i))^2 over the moves t, with s points
    of the triangles, b their barycentric coordinates, q and m the middle and the normal of the given face whose middle
    is nearest, and n the normals of the vertices; none by more than a fifth of its shortest edge. What is flat stays
    where it is, and so do sharp edges.

    Args:
        vertices: (n, 3); best near the origin and of size about 1.
        faces: (m, 3).
        count: How many faces are wanted; a mesh of no more comes back as it is.
        extra: As for `check_simplify`.
        memory: Bytes that the process may use; None for no limit.

    Returns:
        Vertices (k, 3) and faces (l, 3).

    Raises:
        InputError: If no mesh has so few faces, fast-simplification is not installed, or the memory does not suffice.
    """
    check_simplify(count, extra=extra)
    if len(faces) <= count:
        return vertices, faces
    needed, advice = _BYTES_A_FACE * len(faces), "lower --resolution"
    check_room(needed, memory, what=f"--simplify of {len(faces)} faces", advice=advice)
    import trimesh

    whole = trimesh.Trimesh(vertices=vertices, faces=faces, process=False)
    for aggression in _AGGRESSIONS:
        fewer = whole.simplify_quadric_decimation(face_count=count, aggression=aggression)
        if len(fewer.faces) <= count:
            break
    kept, left = np.asarray(fewer.vertices, dtype=np.float64), np.asarray(fewer.faces, dtype=np.int64)
    return _settled(kept, left, vertices[faces]), left


def _settled(kept: np.ndarray, left: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the vertices of a simplified mesh moved along their normals, see `simplify`.

    Points whose nearest face of the `given`, (m, 3, 3), is of another side of a thin part or an edge count for nothing.
    """
    from scipy.sparse import csr_array, diags_array
    from scipy.sparse.linalg import cg
    from scipy.spatial import cKDTree

    corners, middles = kept[left], given.mean(axis=1)
    across, area = _crosses(corners)
    if not area.any():
        return kept
    planes, size = _crosses(given)
    planes /= np.maximum(size, np.finfo(float).tiny)[:, None]
    tree, ours = cKDTree(middles), vertex_normals(kept, left)
    inside = [(i, j) for i in range(_LATTICE) for j in range(_LATTICE - i)]
    weights = (np.array([(i, j, _LATTICE - 1 - i - j) for i, j in inside]) + 1 / 3) / _LATTICE
    # The normal equations, by faces; one vertex, of about six triangles, has a mean square of 1.
    squares, sums = np.empty((len(left), 3, 3)), np.empty((len(left), 3))
    for start in range(0, len(left), _FACES_AT_ONCE):
        part = slice(start, start + _FACES_AT_ONCE)
        points = np.einsum("kc,fcd->fkd", weights, corners[part])
        nearest = tree.query(points)[1]
        towards = planes[nearest]
        same_side = np.einsum("fkd,fd->fk", towards, across[part]) > 0.5 * area[part, None]
        counts = same_side * (area[part, None] / area.mean() / len(weights))
        shares = np.einsum("fcd,fkd->fkc", ours[left[part]], towards) * weights
        distance = np.einsum("fkd,fkd->fk", towards, middles[nearest] - points)
        squares[part] = np.einsum("fk,fkc,fke->fce", counts, shares, shares)
        sums[part] = np.einsum("fk,fkc,fk->fc", counts, shares, distance)
    places = np.repeat(left, 3, axis=1).ravel(), np.tile(left, (1, 3)).ravel()
    matrix = csr_array((squares.ravel(), places), shape=(len(kept), len(kept)))
    right = np.bincount(left.ravel(), weights=sums.ravel(), minlength=len(kept))
    damped = matrix + diags_array(np.full(len(kept), _DAMPING**2))
    moves = cg(damped, right, rtol=_TOLERANCE, maxiter=100)[0]
    most = _FARTHEST_MOVE * _shortest_edges(corners, left, len(kept))
    return kept + np.clip(moves, -most, most)[:, None] * ours


def _shortest_edges(corners: np.ndarray, left: np.ndarray, count: int) -> np.ndarray:
    """Return the length of every vertex's shortest edge, (n,)."""
    edges = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
    shortest = np.full(count, np.inf)
    for corner in range(3):
        np.minimum.at(shortest, left[:, corner], np.minimum(edges[:, corner], edges[:, corner - 1]))
    return shortest


def _crosses(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cross products of two edges of triangles (m, 3, 3), and their lengths."""
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return across, np.linalg.norm(across, axis=1)
