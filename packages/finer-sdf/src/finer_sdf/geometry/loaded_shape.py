"""A surface as it was read, with what was done to it and its colors."""

from dataclasses import dataclass

import numpy as np

from finer_core.io.glb import linear_from_srgb, srgb_from_linear
from finer_core.shapes import Float, Real
from finer_sdf.geometry.raw import RawShape
from finer_sdf.geometry.shapes import Faces, Mesh, Points, Shape
from finer_sdf.geometry.surface_sampling import sample_surface
from finer_sdf.geometry.textures import TextureMap

_HELD_OUT_EVERY = 20


@dataclass(frozen=True, kw_only=True)
class SurfaceColors:
    """Hold colors at points of a surface, and the triangles between them.

    Attributes:
        points: (n, 3) float64 in the input's coordinates.
        colors: (n, 3) float32 in [0, 1], sRGB.
        faces: (m, 3) int64, over which colors are interpolated; None for a cloud.
        texture: Multiplies the colors, in linear intensities; None for none.
    """

    points: Points
    colors: Real[np.ndarray, "points 3"]
    faces: Faces | None = None
    texture: TextureMap | None = None

    @property
    def nbytes(self) -> int:
        """Return the bytes of all tables and pictures."""
        tables = [self.points, self.colors, self.faces]
        if self.texture is not None:
            tables += [self.texture.of_face, self.texture.places, *(each.pixels for each in self.texture.textures)]
        return sum(table.nbytes for table in tables if table is not None)

    def samples(
        self, count: int, *, seed: int, held_out: bool = False
    ) -> tuple[Float[np.ndarray, "{count} 3"], Float[np.ndarray, "{count} 3"]]:
        """Draw points (count, 3) with their colors, uniform over the area of the triangles, or among the points.

        Args:
            count: How many.
            seed: Of the draw.
            held_out: Of a cloud of 40 points or more, whether every twentieth point is drawn, or the others are: there
                are no colors between them to judge by.
        """
        if self.faces is None:
            rows = np.arange(len(self.points))
            if len(rows) >= 2 * _HELD_OUT_EVERY:
                rows = rows[(rows % _HELD_OUT_EVERY == 0) == held_out]
            rows = np.random.default_rng(seed).choice(rows, size=count)
            return self.points[rows], self.colors[rows]
        drawn = sample_surface(Mesh(vertices=self.points, faces=self.faces), count=count, seed=seed)
        corners = self.colors[self.faces[drawn.faces]]
        colors = np.einsum("nk,nkc->nc", drawn.weights, corners)
        if self.texture is not None:
            linear = linear_from_srgb(colors) * self.texture.linear_colors(drawn.faces, drawn.weights)
            colors = srgb_from_linear(linear)
        return drawn.points, colors.astype(np.float32)


def colors_of(raw: RawShape) -> SurfaceColors | None:
    """Return the colors that a file's tables have; None if it has neither a texture nor colors."""
    if raw.colors is None and raw.texture is None:
        return None
    white = np.ones((len(raw.vertices), 3), dtype=np.float32)
    colors = white if raw.colors is None else raw.colors
    return SurfaceColors(points=raw.vertices, colors=colors, faces=raw.faces, texture=raw.texture)


@dataclass(frozen=True, kw_only=True)
class LoadedShape:
    """Hold a surface as read from its source.

    Attributes:
        shape: The surface.
        name: Where it came from: a file name, or the name of the built-in shape.
        sha256: Digest of the file, or of the content of the built-in shape.
        notes: What was repaired, estimated or reversed on the way, one sentence each, for the user to read.
        colors: Colors of the vertices or points as they were before that; None if there are none.

    Example:
        >>> import trimesh
        >>> from finer_sdf import read_shape
        >>> _ = trimesh.creation.icosphere(radius=3.0).export("ball.ply")
        >>> loaded = read_shape("ball.ply")
        >>> loaded.name, loaded.notes, type(loaded.shape).__name__
        ('ball.ply', (), 'Mesh')
    """

    shape: Shape
    name: str
    sha256: str
    notes: tuple[str, ...] = ()
    colors: SurfaceColors | None = None
