"""Colors of a surface: of the vertices of a mesh or of the points of a cloud, as they came."""

from dataclasses import dataclass

import numpy as np

from finer_core.shapes import Float, Real
from finer_sdf.geometry.shapes import Faces, Mesh, Points
from finer_sdf.geometry.surface_sampling import sample_surface


@dataclass(frozen=True, kw_only=True)
class SurfaceColors:
    """Hold colors at points of a surface, and the triangles between them.

    Attributes:
        points: (n, 3) float64 in the input's coordinates.
        colors: (n, 3) float32 in [0, 1], sRGB.
        faces: (m, 3) int64, over which colors are interpolated; None for a cloud.
    """

    points: Points
    colors: Real[np.ndarray, "points 3"]
    faces: Faces | None = None

    def samples(
        self, count: int, *, seed: int
    ) -> tuple[Float[np.ndarray, "{count} 3"], Float[np.ndarray, "{count} 3"]]:
        """Draw points (count, 3), uniform over the area of the triangles or among the points, with their colors."""
        if self.faces is None:
            rows = np.random.default_rng(seed).integers(0, len(self.points), size=count)
            return self.points[rows], self.colors[rows]
        drawn = sample_surface(Mesh(vertices=self.points, faces=self.faces), count=count, seed=seed)
        corners = self.colors[self.faces[drawn.faces]]
        return drawn.points, np.einsum("nk,nkc->nc", drawn.weights, corners).astype(np.float32)


def color_table(values: np.ndarray) -> np.ndarray | None:
    """Return colors (n, 3) as float32 in [0, 1]: integers as shares of their type's range, floats above 1 of 255.

    None if some are not finite: a surface can be fitted without colors.
    """
    table = values.astype(np.float32)
    if values.dtype.kind in "iu":
        table /= np.iinfo(values.dtype).max
    elif not np.isfinite(table).all():
        return None
    elif table.size and table.max() > 1:
        table /= 255
    return np.clip(table, 0, 1)
