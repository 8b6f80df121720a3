"""A surface as it was read, with what was done to it and its colors."""

from dataclasses import dataclass

import numpy as np

from finer_core.io.glb import linear_from_srgb, srgb_from_linear
from finer_core.shapes import Bool, Float, Real
from finer_sdf.geometry.raw import RawShape, first_of_equals
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


def colors_of(raw: RawShape, shape: Shape) -> SurfaceColors | None:
    """Return the colors that a file's tables have; None if it has neither a texture nor colors.

    Where a face has a back side, only the one that looks outwards in the repaired shape counts: they may differ.
    """
    if raw.colors is None and raw.texture is None:
        return None
    white = np.ones((len(raw.vertices), 3), dtype=np.float32)
    colors = white if raw.colors is None else raw.colors
    faces, texture = raw.faces, raw.texture
    if faces is not None and isinstance(shape, Mesh) and len(faces) > len(shape.faces):  # some are left out
        counts = _outer_sides(raw.vertices, faces, shape)
        if not counts.all():
            faces, texture = faces[counts], None if texture is None else texture.of_faces(counts)
    return SurfaceColors(points=raw.vertices, colors=colors, faces=faces, texture=texture)


def _outer_sides(vertices: Points, faces: Faces, mesh: Mesh) -> Bool[np.ndarray, " faces"]:
    """Return which faces (m,) are no back side of another one that a mesh has, by the places of their corners."""
    _, place = first_of_equals(np.concatenate([vertices, mesh.vertices]))
    tables = place[faces], place[len(vertices) + mesh.faces]
    _, number = first_of_equals(np.sort(np.concatenate(tables), axis=1))
    senses = [_is_odd(table).astype(np.int64) for table in tables]
    given, kept = np.zeros((2, int(number.max()) + 1, 2), dtype=bool)  # which senses there are, by sets of corners
    given[number[: len(faces)], senses[0]] = kept[number[len(faces) :], senses[1]] = True
    own, back = ((number[: len(faces)], sense) for sense in (senses[0], 1 - senses[0]))
    return kept[own] | ~(kept[back] & given[back])


def _is_odd(faces: Faces) -> Bool[np.ndarray, " faces"]:
    """Return which faces (m,) run through their corners against the order of their numbers."""
    start = faces.argmin(axis=1)
    following = np.take_along_axis(faces, (start[:, None] + [1, 2]) % 3, axis=1)
    return following[:, 0] > following[:, 1]


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
