"""Whether a mesh is one that a printer, a simulator or a boolean operation can use."""

from typing import Any

import igl
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from finer_sdf.geometry import Mesh
from finer_sdf.geometry.edges import Edges


def topology_report(mesh: Mesh) -> dict[str, Any]:
    """Count what is wrong with a mesh, and what it is.

    Vertices are taken as the faces index them: coincident vertices with different numbers are not the same. Faces that
    name a vertex twice enclose nothing: they are counted as degenerate, and otherwise as if they were not there.

    Returns:
        `watertight` (every edge in exactly two faces, run through in opposite directions), `manifold` (no edge in more
        than two faces, and the faces round every vertex in one fan), `components`, `boundary_edges`,
        `non_manifold_edges`, `non_manifold_vertices`, `inconsistent_edges` (run through twice the same way),
        `degenerate_faces`, `euler_number`, `genus` (of all components together; None unless watertight), `volume` (None
        unless watertight), `area`, and `outward` (the volume is positive; None unless watertight).
    """
    a, b, c = mesh.faces.T
    proper = mesh.faces[(a != b) & (b != c) & (c != a)]
    used, faces = np.unique(proper, return_inverse=True)
    faces = faces.reshape(-1, 3)
    edges = Edges.of(faces)
    boundary, crowded, inconsistent = int((edges.uses == 1).sum()), edges.crowded, edges.wound_against
    pinched = _pinched_vertices(faces, edges)
    components = int(igl.vertex_components(faces).max()) + 1
    euler = len(used) - len(edges.uses) + len(faces)
    watertight = boundary == 0 and crowded == 0 and inconsistent == 0
    volume = mesh.volume() if watertight else None  # an open mesh's depends on the point that it is closed from
    return {
        "watertight": watertight,
        "manifold": crowded == 0 and pinched == 0,
        "components": components,
        "boundary_edges": boundary,
        "non_manifold_edges": crowded,
        "non_manifold_vertices": pinched,
        "inconsistent_edges": inconsistent,
        "degenerate_faces": int((mesh.face_areas() == 0).sum()),
        "euler_number": euler,
        "genus": components - euler // 2 if watertight and pinched == 0 else None,
        "volume": volume,
        "area": mesh.area(),
        "outward": None if volume is None else volume > 0,
    }


def _pinched_vertices(faces: np.ndarray, edges: Edges) -> int:
    """Count the vertices whose faces form more than one fan.

    Every corner of a face is a node; corners of one vertex are joined when their faces share an edge at it. A vertex
    with more groups of corners than one is pinched.
    """
    vertex = faces.ravel()
    corners = np.arange(faces.size).reshape(-1, 3)
    # Edge k of a face joins its corners k and k + 1, so each edge is seen from two corners.
    corner = np.concatenate([corners.ravel(), np.roll(corners, -1, axis=1).ravel()])
    edge = np.tile(edges.index.ravel(), 2)
    shared = edges.uses[edge] == 2
    corner, edge = corner[shared], edge[shared]
    keys = edge * (int(vertex.max()) + 1) + vertex[corner]
    order = np.argsort(keys)
    # An edge of two faces has two corners at each of its ends: the sorted keys come in pairs.
    pairs = corner[order].reshape(-1, 2).T
    graph = coo_array((np.ones(pairs.shape[1], dtype=bool), pairs), shape=(faces.size, faces.size))
    groups, group = connected_components(graph, directed=False)
    # Every group lies at one vertex: count the groups that each vertex has.
    first = np.empty(groups, dtype=np.int64)
    first[group] = vertex
    return int((np.bincount(first) > 1).sum())
