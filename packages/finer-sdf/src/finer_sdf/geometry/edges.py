"""Edges of a triangle mesh: how often, and in which directions, faces run through them."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components

from finer_core.shapes import Bool, Float, Int
from finer_sdf.geometry.shapes import Faces


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Hold the edges of some faces.

    Attributes:
        index: (m, 3) which edge leads from each corner of a face to the next.
        balance: (e,) how much oftener an edge is run through forwards than backwards.
        uses: (e,) by how many faces it is used.
    """

    index: np.ndarray
    balance: np.ndarray
    uses: np.ndarray

    @classmethod
    def of(cls, faces: Faces) -> "Edges":
        """Find the edges of faces (m, 3)."""
        start, end = faces, np.roll(faces, -1, axis=1)
        # One integer for an edge sorts much faster than a pair.
        key = np.minimum(start, end) * (int(faces.max()) + 1) + np.maximum(start, end)
        _, index, uses = np.unique(key, return_inverse=True, return_counts=True)
        balance = np.bincount(index.ravel(), weights=forwards(faces).ravel(), minlength=len(uses))
        return cls(index=index.reshape(faces.shape), balance=balance.astype(np.int64), uses=uses)

    @property
    def crowded(self) -> int:
        """Return how many edges have more than two faces."""
        return int((self.uses > 2).sum())

    @property
    def wound_against(self) -> int:
        """Return how many edges two faces share that both run through in the same direction."""
        return int(((self.uses == 2) & (self.balance != 0)).sum())

    @property
    def open(self) -> int:
        """Return how many edges do not close the surface; two faces wound against each other do close it."""
        return int(((self.uses != 2) & (self.balance != 0)).sum())

    def patches(self) -> Int[np.ndarray, " faces"]:
        """Return the number of the patch (m,) that each face is in: faces connected over edges that two of them share.

        Edges of more faces connect none, so that thousands of faces about one edge make no graph of millions.
        """
        labels: np.ndarray = connected_components(_graph(self._pairs(), len(self.index)), directed=False)[1]
        return labels

    def turned(self, faces: Faces, patches: Int[np.ndarray, " faces"]) -> Bool[np.ndarray, " faces"]:
        """Return which faces (m,) to reverse so that no two of a patch disagree, where that can be.

        Every face follows the one from which a search in breadth, begun at the first face of its patch, came to it.
        """
        count, pairs = len(faces), self._pairs()
        key, first = np.unique(pairs.min(axis=0) * count + pairs.max(axis=0), return_index=True)
        disagree = (self.balance[self.uses == 2] != 0)[first]
        starts = np.unique(patches, return_index=True)[1]
        roots = np.stack([starts, np.full(len(starts), count)])  # one more face, the neighbor of all of them
        graph = _graph(np.concatenate([pairs, roots], axis=1), count + 1)
        came_from = breadth_first_order(graph, count, directed=False)[1][:count]
        faces_of_tree = np.flatnonzero(came_from < count)
        parents = came_from[faces_of_tree]
        place = np.searchsorted(key, np.minimum(faces_of_tree, parents) * count + np.maximum(faces_of_tree, parents))
        odd = np.zeros(count + 1, dtype=bool)
        odd[faces_of_tree] = disagree[place]
        ancestor = np.append(came_from, count)
        while (ancestor < count).any():  # twice as far up the tree each time
            odd ^= odd[ancestor]
            ancestor = ancestor[ancestor]
        return odd[:count]

    def _pairs(self) -> np.ndarray:
        """Return the two faces (2, p) of every edge that has two, in the order of the edges."""
        edge = self.index.ravel()
        order = np.argsort(edge, kind="stable")
        return (order[self.uses[edge[order]] == 2] // 3).reshape(-1, 2).T


def _graph(pairs: np.ndarray, count: int) -> coo_matrix:
    return coo_matrix((np.ones(pairs.shape[1], dtype=np.int8), tuple(pairs)), shape=(count, count))


def forwards(faces: Faces) -> Float[np.ndarray, "faces 3"]:
    """Return 1 for every edge (m, 3) of a face that leads to a higher vertex number, -1 for the others."""
    return np.where(faces < np.roll(faces, -1, axis=1), 1.0, -1.0)
