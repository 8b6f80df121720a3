"""Pictures that color the triangles of a mesh, and where in them each triangle lies."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from finer_core.io.glb import linear_from_srgb
from finer_core.shapes import Bool, Float, Int, Shaped

Wrap = Literal["repeat", "mirror", "clamp"]
NO_TEXTURE = -1
"""Number of the texture of a face that has none."""
_LINEAR = linear_from_srgb(np.arange(256) / 255).astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Texture:
    """Hold a picture.

    Attributes:
        pixels: (h, w, 3) uint8, sRGB; row 0 is on top.
        wrap: How it goes on beyond its left and right sides, and beyond top and bottom.
        factor: Multiplies linear intensities.
    """

    pixels: Shaped[np.ndarray, "height width 3"]
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    factor: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def linear_colors(self, places: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "points 3"]:
        """Return linear intensities at places (n, 2), (0, 0) the upper left corner and (1, 1) the lower right one.

        The four pixels around a place are blended in linear intensities, as glTF 2.0 (section 3.8.3) asks for.
        """
        columns, rows = (
            _neighbors(places[:, axis], size, wrap)
            for axis, size, wrap in zip((0, 1), self.pixels.shape[1::-1], self.wrap, strict=True)
        )
        found = np.zeros((len(places), 3), dtype=np.float32)
        for row, down in rows:
            for column, across in columns:
                found += (down * across)[:, None] * _LINEAR[self.pixels[row, column]]
        return found * np.array(self.factor, dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class TextureMap:
    """Say which texture colors each face of a mesh, and where its corners lie in it.

    Attributes:
        textures: What there is.
        of_face: (m,) number of the texture of each face; `NO_TEXTURE` for none.
        places: (m, 3, 2) of each face's corners, as `Texture.linear_colors` counts; any where there is no texture.
    """

    textures: tuple[Texture, ...]
    of_face: Int[np.ndarray, " faces"]
    places: Float[np.ndarray, "faces 3 2"]

    def of_faces(self, which: Bool[np.ndarray, " faces"]) -> "TextureMap":
        """Return the map of some of the faces, (m,)."""
        return replace(self, of_face=self.of_face[which], places=self.places[which])

    def linear_colors(
        self, faces: Int[np.ndarray, " points"], weights: Float[np.ndarray, "points 3"]
    ) -> Float[np.ndarray, "points 3"]:
        """Return linear intensities at points of faces (n,), by their weights (n, 3); 1 without a texture."""
        found = np.ones((len(faces), 3), dtype=np.float32)
        numbers = self.of_face[faces]
        for number in np.unique(numbers[numbers != NO_TEXTURE]):
            texture, rows = self.textures[number], np.flatnonzero(numbers == number)
            places = np.einsum("nk,nkc->nc", weights[rows], self.places[faces[rows]])
            found[rows] = texture.linear_colors(places)
        return found


def _neighbors(places: np.ndarray, size: int, wrap: Wrap) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the two pixels around places (n,) along an axis, each with its share."""
    # A large number has no digits left for pixels.
    places = np.clip(places, 0, 1) if wrap == "clamp" else places % (2 if wrap == "mirror" else 1)
    at = places * size - 0.5  # centers of pixels are halves
    first = np.floor(at).astype(np.int64)
    share = (at - first).astype(np.float32)
    return [(_wrapped(first, size, wrap), 1 - share), (_wrapped(first + 1, size, wrap), share)]


def _wrapped(index: np.ndarray, size: int, wrap: Wrap) -> np.ndarray:
    if wrap == "clamp":
        return np.clip(index, 0, size - 1)
    if wrap == "repeat":
        return index % size
    index = index % (2 * size)
    return np.minimum(index, 2 * size - 1 - index)
