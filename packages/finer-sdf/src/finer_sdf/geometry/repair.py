"""Turn the faces of a file into a mesh that distances and winding numbers can be asked of, saying what was changed."""

import igl
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from finer_core.errors import InputError
from finer_core.io.text import counted, notes_of
from finer_core.shapes import Bool
from finer_sdf.geometry.edges import Edges
from finer_sdf.geometry.orientation import orient_outwards
from finer_sdf.geometry.raw import check_coordinates, check_indices, check_spread, first_of_equals, row_text
from finer_sdf.geometry.shapes import Faces, Mesh, Vertices

_MOST_FACES = 1000
"""At one edge: a surface has two there, and what is asked of thousands takes a time of their square."""

_NO_VOLUME = 1e-12
"""Share of area times extent that no solid is as small as, and what rounding leaves of volumes that cancel out."""


def clean_mesh(vertices: Vertices, faces: Faces) -> tuple[Mesh, tuple[str, ...]]:
    """Merge, drop and orient what needs it.

    Vertices at exactly the same place are merged where the mesh has open edges, as triangles without shared corners
    have (STL); a mesh that is closed as it is keeps them, because merging could make it non-manifold. Faces without
    area, repeated faces and vertices that no face uses are dropped. Faces are made to look outwards. Open edges and
    several parts are kept and named.

    Args:
        vertices: (n, 3) float64.
        faces: (m, 3) int64.

    Returns:
        The mesh, and a sentence for everything a user should know.

    Raises:
        InputError: If numbers cannot be computed with, faces name vertices that do not exist, or no surface is left.
    """
    check_indices(faces, count=len(vertices))
    check_coordinates("vertices", vertices, corners=faces)
    given = len(faces)
    corners = np.unique(faces)
    loose = len(vertices) - len(corners)
    if np.ptp(vertices[corners], axis=0).max() == 0:
        raise InputError("it has no extent: all its vertices are at one place")
    spread_notes = check_spread("vertices", vertices[corners])
    faces = _with_three_corners(faces)
    edges = Edges.of(faces)
    merged = twice = 0
    if edges.open:
        faces, merged = _merge(vertices, faces)
        faces = _with_three_corners(faces)
        edges = Edges.of(faces)
    elif igl.vertex_components(faces).max() > 0:  # one may lie on another
        joined, shared = _merge(vertices, faces)
        if shared:
            second, is_twofold = _second_sides(joined)
            # Of either side some faces are left, in the file's order: they close where they have the same vertices.
            faces, twice = np.where(is_twofold[:, None], joined, faces)[~second], int(second.sum())
            edges = Edges.of(faces)
    flat = given - len(faces) - twice
    if edges.crowded or edges.wound_against:  # as repeated faces make them
        faces, dropped = _without_repeats(faces)
        twice += dropped
        edges = Edges.of(faces)
    _check_crowds(vertices, faces, edges)
    crowded, holes = edges.crowded, edges.open  # before slivers go: the hole that one leaves has no area either
    slivers = _without_area(vertices, faces)
    if slivers.any():
        faces, flat = _keep(faces, ~slivers), flat + int(slivers.sum())
        edges = Edges.of(faces)
    used, inverse = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], inverse.reshape(-1, 3).astype(np.int64)
    faces, orientation_notes = orient_outwards(vertices, faces, edges=edges)
    parts = int(igl.vertex_components(faces).max()) + 1
    mesh = Mesh(vertices=np.ascontiguousarray(vertices), faces=faces)
    is_empty = not holes and abs(mesh.volume()) <= _NO_VOLUME * mesh.area() * np.ptp(vertices, axis=0).max()
    changes = {
        f"dropped {counted(loose, 'vertex', 'vertices')} that no face uses": loose,
        f"merged {counted(merged, 'vertex', 'vertices')} with others at the same place": merged,
        f"dropped {counted(flat, 'face')} without area": flat,
        f"dropped {counted(twice, 'repeated face')}": twice,
    }
    kept = {
        f"more than two faces meet at {counted(crowded, 'edge')}": crowded,
        f"it is not watertight ({counted(holes, 'open edge')}); the winding number decides what is inside": holes,
        "the volumes that its faces enclose cancel out, as both sides of a surface do; give it with one side": is_empty,
        f"it has {parts} separate parts; all are kept": parts > 1,
    }
    notes = (*spread_notes, *notes_of(changes), *orientation_notes, *notes_of(kept))
    return mesh, notes


def _keep(faces: np.ndarray, which: np.ndarray) -> np.ndarray:
    if not which.any():
        raise InputError("none of its faces has an area; there is no surface")
    return faces if which.all() else faces[which]


def _with_three_corners(faces: np.ndarray) -> np.ndarray:
    return _keep(faces, (faces != np.roll(faces, 1, axis=1)).all(axis=1))


def _without_area(vertices: Vertices, faces: Faces) -> Bool[np.ndarray, " faces"]:
    """Return which faces have no more area than the rounding of their corners gives."""
    corners = vertices[faces]
    sides = np.roll(corners, -1, axis=1) - corners
    longest = np.linalg.norm(sides, axis=2).max(axis=1)
    double_area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    rounding = np.finfo(np.float64).eps * np.abs(corners).max(axis=(1, 2))
    return double_area <= 4 * rounding * longest


def _merge(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, int]:
    """Let faces use the first of all vertices at one place; return them and how many vertices fell out of use."""
    used = np.unique(faces)
    first, number = first_of_equals(vertices[used])
    target = np.arange(len(vertices))
    target[used] = used[first[number]]
    return target[faces], len(used) - len(first)


def _without_repeats(faces: np.ndarray) -> tuple[np.ndarray, int]:
    """Drop faces with the same corners in the same sense, and back sides of what is closed without them.

    Other pairs of back-to-back faces are left: they may be thin fins, whose edges would open.
    """
    first = np.argmin(faces, axis=1)
    turned = np.take_along_axis(faces, (first[:, None] + np.arange(3)) % 3, axis=1)
    kept = np.sort(first_of_equals(turned)[0])  # of two sides the one that the file has first
    second, _ = _second_sides(turned[kept])
    kept = kept[~second]
    return faces[kept], len(faces) - len(kept)


def _second_sides(faces: Faces) -> tuple[Bool[np.ndarray, " faces"], Bool[np.ndarray, " faces"]]:
    """Return the second faces of the same corners where no surface is without them, and the faces of twofold parts.

    The winding numbers of two sides cancel out. A part that has every face twice has no inside; one that would be open
    without its back sides is left, for that has no inside either, unless all parts are of that kind. Among faces that
    are there once, both sides are a hole, which closes without the back sides; a fin or an inner wall would open.
    """
    sides, number = first_of_equals(np.sort(faces, axis=1))
    part = igl.vertex_components(faces)[faces[:, 0]]
    edges = Edges.of(faces[sides])
    is_open = (edges.uses == 1)[edges.index].any(axis=1)
    parts = int(part.max()) + 1
    all_faces, all_sides = (np.bincount(each, minlength=parts) for each in (part, part[sides]))
    open_sides = np.bincount(part[sides], weights=is_open, minlength=parts)
    is_twofold = 2 * all_sides == all_faces
    if not is_twofold.all():
        is_twofold &= open_sides == 0
    second = is_twofold[part] | _fill_holes(edges, is_twice=np.bincount(number) > 1)[number]
    second[sides] = False
    return second, is_twofold[part]


def _fill_holes(edges: Edges, *, is_twice: Bool[np.ndarray, " sides"]) -> Bool[np.ndarray, " sides"]:
    """Return which sides that are there twice leave fewer open edges if each of those about them is there once.

    They are asked in patches that no edge of three sides goes through: a fin, or a wall, is a patch of its own.
    """
    index, total, count = edges.index[is_twice], len(edges.uses), int(is_twice.sum())
    once = edges.uses - np.bincount(index.ravel(), minlength=total)
    joins = (edges.uses == 2)[index].ravel()
    ends = np.repeat(np.arange(count), 3)[joins], count + index.ravel()[joins]
    graph = coo_matrix((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(count + total, count + total))
    named = connected_components(graph, directed=False)[1][:count]
    patch, sizes = np.unique(named, return_inverse=True, return_counts=True)[1:]
    pairs, uses = np.unique(patch[:, None] * total + index, return_counts=True)
    patch_of, edge_of = np.divmod(pairs, total)
    fills = np.zeros(len(sizes), dtype=bool)
    while True:  # what fills holes may open those of a patch beside it
        before, after = (
            np.bincount(patch_of, weights=each % 2, minlength=len(fills))
            for each in (once[edge_of], once[edge_of] + uses)
        )
        better = ~fills & (after < before)
        if not better.any():
            break
        # One after another: before the faces about a wall are there once, it may seem to fill what they do.
        better &= after == after[better].min()
        better &= sizes == sizes[better].max()
        fills |= better
        gone = better[patch_of]
        once += np.bincount(edge_of[gone], weights=uses[gone], minlength=total).astype(once.dtype)
    fill = np.zeros(len(is_twice), dtype=bool)
    fill[is_twice] = fills[patch]
    return fill


def _check_crowds(vertices: np.ndarray, faces: np.ndarray, edges: Edges) -> None:
    if edges.uses.max() > _MOST_FACES:
        face, corner = np.argwhere(edges.index == edges.uses.argmax())[0]
        ends = " and ".join(row_text(vertices, faces[face, at]) for at in (corner, (corner + 1) % 3))
        raise InputError(
            f"{edges.uses.max()} faces meet at one edge, between vertices {ends}; no surface has more than "
            f"{_MOST_FACES} there; remove what is not of it"
        )
