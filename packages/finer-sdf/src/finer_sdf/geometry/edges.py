"""Edges of a triangle mesh: how often, and in which directions, faces run through them."""

from dataclasses import dataclass

import numpy as np

from finer_core.shapes import Float, Int


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
    def of(cls, faces: Int[np.ndarray, "faces 3"]) -> "Edges":
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


def forwards(faces: Int[np.ndarray, "faces 3"]) -> Float[np.ndarray, "faces 3"]:
    """Return 1 for every edge (m, 3) of a face that leads to a higher vertex number, -1 for the others."""
    return np.where(faces < np.roll(faces, -1, axis=1), 1.0, -1.0)
