"""Make the faces of a mesh look outwards: consistent within every patch first, then the right way round."""

import igl
import numpy as np

from finer_core.shapes import Bool, Shaped
from finer_sdf.geometry.edges import Edges, forwards
from finer_sdf.geometry.shapes import Faces, Mesh, Vertices, bounds_of, unit_vectors

_OFFSET = 1e-5
"""How far above a face the winding number is asked, in units of the box: libigl answers it in single precision."""
_SAMPLES, _SAMPLES_OPEN = 32, 1024
"""Faces asked per closed patch, and for all open patches together."""
_ROUNDS = 8
"""Solids nested deeper than this inside reversed ones are left as they are."""


def orient_outwards(vertices: Vertices, faces: Faces, *, edges: Edges | None = None) -> tuple[Faces, list[str]]:
    """Reverse the faces that are wound against their neighbors, then the patches that look inwards.

    A patch is a set of faces connected over edges that two faces share. Within one, the smaller part (by area) is
    reversed. Then a patch looks inwards if the winding number just above its faces is -1, not 0: just above an
    outward face is outside, also where that outside is a cavity, so cavities stay. Outer patches are turned before
    inner ones are judged. Open patches are judged together, because a winding number needs all of a surface.

    Args:
        vertices: (n, 3) float64.
        faces: (m, 3) int64; no repeated corners, no face without area.
        edges: Of the faces, if they are known already.

    Returns:
        The faces, and what was changed, a sentence each.
    """
    notes = []
    edges = edges or Edges.of(faces)
    patches = edges.patches()
    if edges.wound_against:
        turned, area = edges.turned(faces, patches), Mesh(vertices=vertices, faces=faces).face_areas()
        share = np.bincount(patches, weights=area * turned) / np.bincount(patches, weights=area)
        turned ^= (share > 0.5)[patches]  # the search starts anywhere; the larger part is taken to be right
        faces = np.where(turned[:, None], faces[:, ::-1], faces)
        edges = Edges.of(faces)
        if turned.any():
            notes.append(f"{turned.sum()} of {len(faces)} faces were wound against their neighbors; reversed them")
        if edges.wound_against:
            notes.append("it has only one side (like a Moebius strip): inside and outside cannot be told everywhere")
    inwards = _inward_faces(vertices, faces, patches, closed=_closed_patches(faces, patches, edges))
    if inwards.any():
        faces = np.where(inwards[:, None], faces[:, ::-1], faces)
        which = "its" if inwards.all() else f"{int(inwards.sum())} of {len(faces)}"
        notes.append(f"{which} faces looked inwards; reversed them")
    return np.ascontiguousarray(faces), notes


def _inward_faces(
    vertices: Vertices, faces: Faces, patches: Shaped[np.ndarray, " faces"], *, closed: np.ndarray
) -> Bool[np.ndarray, " faces"]:
    corners = bounds_of(vertices)
    unit = (vertices - corners.mean(axis=0)) / np.ptp(corners, axis=0).max()
    groups = np.where(closed[patches], patches + 1, 0)  # 0: all open ones
    samples = np.append(_SAMPLES_OPEN, np.full(len(closed), _SAMPLES))
    asked = _faces_by_area(Mesh(vertices=unit, faces=faces).face_areas(), groups, samples=samples)
    inwards = np.zeros(len(closed) + 1, dtype=bool)
    for _ in range(_ROUNDS):
        current = np.where(inwards[groups][:, None], faces[:, ::-1], faces)
        triangles = Mesh(vertices=unit, faces=current[asked])
        over = triangles.triangles.mean(axis=1) + _OFFSET * unit_vectors(triangles.face_vectors())
        above = igl.fast_winding_number(unit, np.ascontiguousarray(current), np.ascontiguousarray(over))
        above = np.atleast_1d(above)
        order = np.lexsort((above, groups[asked]))
        present, first, length = np.unique(groups[asked][order], return_index=True, return_counts=True)
        medians = above[order][first + length // 2]
        # An open sheet has -1/2 on one side and 1/2 on the other; only clearly more than that is a side.
        looks_inwards = np.zeros_like(inwards)
        looks_inwards[present] = np.where(present == 0, medians < -0.6, np.round(medians) == -1)
        if not looks_inwards.any():
            break
        inwards ^= looks_inwards
    return inwards[groups]


def _closed_patches(faces: np.ndarray, patches: np.ndarray, edges: Edges) -> np.ndarray:
    """Return for every patch whether each of its edges is used as often forwards as backwards by it."""
    closed = np.ones(int(patches.max()) + 1, dtype=bool)
    # Faces that share an edge with one other face are in its patch, so only other edges need a look.
    doubtful = ((edges.uses != 2) | (edges.balance != 0))[edges.index]
    if doubtful.any():
        within = (patches[:, None] * len(edges.uses) + edges.index)[doubtful]
        keys, which = np.unique(within, return_inverse=True)
        balance = np.bincount(which.ravel(), weights=forwards(faces)[doubtful])
        closed[keys[balance != 0] // len(edges.uses)] = False
    return closed


def _faces_by_area(areas: np.ndarray, groups: np.ndarray, *, samples: np.ndarray) -> np.ndarray:
    """Draw faces of every group that has any, by area, `samples[group]` each; return their indices."""
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(areas[order])
    present, first = np.unique(groups[order], return_index=True)
    last = np.append(first[1:], len(order)) - 1
    low = np.where(first > 0, ends[first - 1], 0.0)
    drawn = np.repeat(np.arange(len(present)), samples[present])
    place = low[drawn] + np.random.default_rng(0).random(len(drawn)) * (ends[last] - low)[drawn]
    return order[np.clip(np.searchsorted(ends, place, side="right"), first[drawn], last[drawn])]
