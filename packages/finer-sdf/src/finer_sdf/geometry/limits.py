"""What a surface may be: how large a file, how many faces for the memory, how far out."""

from dataclasses import dataclass

import numpy as np

from finer_core.errors import InputError
from finer_core.resources import check_room
from finer_sdf.geometry.raw import check_finite, row_text

PROCESS_BYTES = 450_000_000
"""What Python, PyTorch and the geometry libraries take by themselves."""
BYTES_A_FACE = 750
"""What reading and cleaning take at their peak per face, with its edges and its share of the vertices."""
_BYTES_A_VERTEX = 100
"""Likewise per vertex beyond the one for two faces that a closed mesh has."""
_BYTES_A_POINT = 450
"""Likewise per point of a cloud."""
_BYTES_A_BARE_POINT = 1500
"""Likewise per point whose normal is estimated from its neighbours."""
SMOOTH_SURFACE_BYTES = 1_500_000_000
"""What the smooth surface of a noisy cloud takes, whatever its size."""
_LARGEST = 1e60
"""Coordinates beyond it have areas and volumes that double precision does not."""
_FAR = 1e-7
"""If nine tenths of all vertices lie within this share of the extent, the rest hides them from any network."""
_LONELY = 0.01
"""Likewise, but worth only a note."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """Refuse a surface before the memory that it needs is taken.

    Attributes:
        memory: Bytes that the process may use; None for no limit.
    """

    memory: int | None = None

    def claim(self, *, faces: int = 0, points: int = 0, bare_points: int = 0, text: int = 0) -> None:
        """Refuse what does not fit; called with counts as soon as a reader knows them.

        Args:
            faces: Triangles so far, or as a header declares them.
            points: Vertices.
            bare_points: Points whose normals are to be estimated.
            text: Bytes of a file that is held as a whole.
        """
        more = max(0, points - faces // 2) * (_BYTES_A_VERTEX if faces else _BYTES_A_POINT)
        needed = faces * BYTES_A_FACE + more + bare_points * _BYTES_A_BARE_POINT + 2 * text
        counts = ((faces, "faces"), (points or bare_points, "points"), (text, "bytes of data"))
        what = next((f"reading {count} {name}" for count, name in counts if count), "reading it")
        check_room(needed, self.memory, what=what, advice="give a coarser shape", process=PROCESS_BYTES)


def check_coordinates(what: str, table: np.ndarray) -> None:
    """Refuse vertices (n, 3) that are not finite, or so far out that their areas and volumes are no numbers."""
    check_finite(what, table)
    size = np.abs(table).max(axis=1, initial=0.0)
    if beyond := int((size > _LARGEST).sum()):
        raise InputError(
            f"{beyond} of {len(table)} {what} are too far out to compute with; the farthest is "
            f"{row_text(table, int(size.argmax()))}; coordinates must be within {_LARGEST:g}"
        )


def check_spread(what: str, table: np.ndarray) -> tuple[str, ...]:
    """Refuse vertices (n, 3), n > 0, of too small an extent, and those of which a few hide all others.

    Returns a note if a few vertices lie so far from the others that little of the box is left for those.
    """
    extent = float(np.ptp(table, axis=0).max())
    if 0 < extent < 1 / _LARGEST:
        raise InputError(f"its extent of {extent:g} is too small to compute with; scale it up")
    distance = np.abs(table - np.median(table, axis=0)).max(axis=1)
    typical, farthest = float(np.quantile(distance, 0.9)), int(distance.argmax())
    if not 0 < typical < _LONELY * extent:
        return ()
    found = f"nine tenths of its {what} lie within {typical:.3g} of their middle, but {row_text(table, farthest)} is"
    if typical < _FAR * extent:
        raise InputError(f"{found} too far away, {distance[farthest]:.3g}, to see both; remove what is far out")
    return (f"{found} {distance[farthest]:.3g} away; if that is a mistake, remove it",)
