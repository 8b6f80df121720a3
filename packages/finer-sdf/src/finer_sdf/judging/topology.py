"""Whether a mesh is one that a printer, a simulator or a boolean operation can use."""

from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from finer_sdf.shapes import Mesh


def topology_report(mesh: Mesh) -> dict[str, Any]:
    """Count what is wrong with a mesh, and what it is.

    Vertices are taken as the faces index them: coincident vertices with different numbers are not the same.

    Returns:
        `watertight` (every edge in exactly two faces, run through in opposite directions), `manifold` (no edge in more
        than two faces, and the faces round every vertex in one fan), `components`, `boundary_edges`,
        `non_manifold_edges`, `non_manifold_vertices`, `inconsistent_edges` (run through twice the same way),
        `degenerate_faces`, `euler_number`, `genus` (of all components together; None unless watertight), `volume`,
        `area`, and `outward` (the volume is positive; None unless watertight).
    """
    used, faces = np.unique(mesh.faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    directed = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    edges, edge_of, count = np.unique(np.sort(directed, axis=1), axis=0, return_inverse=True, return_counts=True)
    edge_of = edge_of.reshape(-1)
    forward = np.bincount(edge_of, weights=directed[:, 0] < directed[:, 1], minlength=len(edges))
    inconsistent = int(((count == 2) & (forward != 1)).sum())
    boundary, crowded = int((count == 1).sum()), int((count > 2).sum())
    pinched = _pinched_vertices(faces, edge_of.reshape(-1, 3), count)
    components = _components(directed, len(used))
    euler = len(used) - len(edges) + len(faces)
    watertight = boundary == 0 and crowded == 0 and inconsistent == 0
    volume = mesh.volume()
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
        "outward": volume > 0 if watertight else None,
    }


def _components(edges: np.ndarray, vertices: int) -> int:
    """Count the parts that hang together through edges."""
    graph = coo_array((np.ones(len(edges), dtype=bool), edges.T), shape=(vertices, vertices))
    return int(connected_components(graph, directed=False)[0])


def _pinched_vertices(faces: np.ndarray, edges_of_face: np.ndarray, count: np.ndarray) -> int:
    """Count the vertices whose faces form more than one fan.

    Every corner of a face is a node; corners of one vertex are joined when their faces share an edge at it. A vertex
    with more groups of corners than one is pinched.
    """
    corners = np.arange(faces.size)
    vertex = faces.ravel()
    # Edge k of a face joins its corners k and k + 1, so each edge is seen from two corners.
    edge = np.concatenate([edges_of_face.ravel(), edges_of_face.ravel()])
    corner = np.concatenate([corners, corners.reshape(-1, 3)[:, [1, 2, 0]].ravel()])
    keys = edge * (int(vertex.max()) + 1) + vertex[corner]
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero((keys[order][1:] == keys[order][:-1]) & (count[edge[order][1:]] == 2))
    pairs = np.stack([corner[order][same], corner[order][same + 1]])
    graph = coo_array((np.ones(pairs.shape[1], dtype=bool), pairs), shape=(faces.size, faces.size))
    groups, group = connected_components(graph, directed=False)
    # A vertex of one fan has one group: count the groups that each vertex has.
    first = np.full(groups, -1)
    first[group] = vertex
    fans = np.bincount(first, minlength=int(vertex.max()) + 1)
    return int((fans > 1).sum())
