"""Cut polygons into triangles that cover them and nothing else."""

from array import array
from dataclasses import replace

import numpy as np

from finer_core.errors import InputError
from finer_core.io.text import counted
from finer_core.shapes import Float, Int, Shaped
from finer_sdf.geometry.raw import (
    NO_COLORS,
    RawShape,
    Room,
    check_coordinates,
    check_indices,
    color_table,
)
from finer_sdf.geometry.shapes import Vertices
from finer_sdf.geometry.textures import NO_TEXTURE, Texture, TextureMap

_MOST_CORNERS = 10_000
"""Of a polygon that a fan does not cover: cutting its ears takes a time of the square of that."""
_FLAT = 1e-12
"""Share of a polygon's area below which a triangle of it counts as none."""


class PolygonTable:
    """Collect vertices and polygons as the lines of a file give them, and refuse what there is no room for.

    Attributes:
        vertices: Three coordinates of each; so `normals` and `colors`, which count where every vertex has one.
        corners: The vertices of all polygons in a row.
        sizes: How many corners each polygon has.
        places: Two coordinates of each place in a texture.
        corner_places: The place of each of `corners`, or -1; empty where there are no textures.
        materials: The number of each polygon's texture; empty where there are none.
    """

    def __init__(self, room: Room) -> None:
        self.vertices, self.normals, self.colors = array("d"), array("d"), array("d")
        self.corners, self.sizes = array("q"), array("q")
        self.places, self.corner_places, self.materials = array("d"), array("q"), array("q")
        self._room = room

    def claim(self) -> None:
        """Refuse what there is so far if it does not fit."""
        self._room.claim(faces=len(self.corners) - 2 * len(self.sizes), points=len(self.vertices) // 3)

    def shape(self, *, notes: tuple[str, ...] = (), textures: tuple[Texture, ...] = ()) -> RawShape:
        """Return what `with_polygons` does, with textures that `materials` number if there are some."""
        self.claim()
        tables = (self.vertices, self.normals, self.colors)
        vertices, normals, colors = (np.frombuffer(table or array("d")).reshape(-1, 3) for table in tables)
        shares = color_table(colors) if len(colors) == len(vertices) else None
        if len(colors) and shares is None:
            few = f"left out its colors: {len(colors)} of {counted(len(vertices), 'vertex', 'vertices')} have some"
            notes = (*notes, NO_COLORS if len(colors) == len(vertices) else few)
        points = RawShape(
            vertices=vertices, normals=normals if len(normals) == len(vertices) else None, colors=shares, notes=notes
        )
        corners, sizes = np.array(self.corners), np.array(self.sizes)
        if not textures:
            return with_polygons(points, corners, sizes)
        places = np.append(np.array(self.places).reshape(-1, 2), [[np.nan, np.nan]], axis=0)  # -1 is the last one
        numbers, places = np.array(self.materials), places[np.array(self.corner_places)]
        return with_textured_polygons(points, corners, sizes, textures=textures, numbers=numbers, places=places)


def with_textured_polygons(
    points: RawShape,
    corners: np.ndarray,
    sizes: np.ndarray,
    *,
    textures: tuple[Texture, ...],
    numbers: Int[np.ndarray, " polygons"],
    places: Float[np.ndarray, "corners 2"],
) -> RawShape:
    """Return what `with_polygons` does, with textures on it.

    Args:
        points: As there; so are corners and sizes.
        corners: The vertices of all polygons in a row.
        sizes: How many of them each polygon has.
        textures: What there is.
        numbers: (p,) the number of each polygon's texture; `NO_TEXTURE` for none.
        places: (c, 2) of each of `corners` in it, from its upper left; not finite for one without.
    """
    check_indices(corners, count=len(points.vertices), sizes=sizes)
    check_coordinates("vertices", points.vertices, corners=corners)
    # Until the polygons are cut, each corner is a vertex by itself, which knows its place.
    cut = with_polygons(replace(points, vertices=points.vertices[corners]), np.arange(len(corners)), sizes)
    assert cut.faces is not None
    of_face, of_corners = np.repeat(numbers, sizes - 2), places[cut.faces]
    has_places = np.array([texture.pixels.shape[:2] != (1, 1) for texture in textures] + [False])
    is_known = np.isfinite(of_corners).all(axis=(1, 2))
    lost = has_places[of_face] & ~is_known
    of_face[lost] = NO_TEXTURE
    if lost.any():
        cut = replace(cut, notes=(*cut.notes, f"{counted(int(lost.sum()), 'face')} of a texture have no place in it"))
    of_corners[~is_known] = 0.0
    texture = TextureMap(textures=textures, of_face=of_face, places=of_corners)
    return replace(cut, vertices=points.vertices, faces=corners[cut.faces], texture=texture)


def with_polygons(points: RawShape, corners: np.ndarray, sizes: np.ndarray) -> RawShape:
    """Return vertices with the triangles of polygons, in their order.

    A polygon is a fan about its first corner where that covers it; else its ears are cut one after the other, in the
    plane of its area vector, so that nothing lies outside of a polygon that is not convex.

    Args:
        points: The vertices.
        corners: (c,) int64, the vertices of all polygons in a row.
        sizes: (p,) int64, how many of them each polygon has.
    """
    if not len(sizes):
        return points
    vertices = points.vertices
    if sizes.min() < 3:
        first = int(np.flatnonzero(sizes < 3)[0])
        raise InputError(f"face number {first} has {counted(int(sizes[first]), 'corner')}; a face needs 3")
    check_indices(corners, count=len(vertices), sizes=sizes)
    check_coordinates("vertices", vertices, corners=corners)
    first_corner = np.cumsum(sizes) - sizes
    first_face = np.cumsum(sizes - 2) - (sizes - 2)
    faces = np.empty((int((sizes - 2).sum()), 3), dtype=np.int64)
    crossed = 0
    for size in np.unique(sizes):
        which = np.flatnonzero(sizes == size)
        polygons = corners[first_corner[which, None] + np.arange(size)]
        cut, doubtful = _fans(vertices, polygons)
        for row in doubtful:
            if size > _MOST_CORNERS:
                raise InputError(
                    f"face number {which[row]} has {size} corners and is not convex; cut it into triangles"
                )
            cut[row], simple = _ears(vertices, polygons[row])
            crossed += not simple
        faces[first_face[which, None] + np.arange(size - 2)] = cut
    note = f"{counted(crossed, 'polygon crosses itself', 'polygons cross themselves')}; cut as a fan"
    return replace(points, faces=faces, notes=(*points.notes, note) if crossed else points.notes)


def _fans(
    vertices: Vertices, polygons: Shaped[np.ndarray, "polygons corners"]
) -> tuple[Shaped[np.ndarray, "polygons triangles 3"], Shaped[np.ndarray, " rows"]]:
    """Return polygons (p, k) as fans (p, k - 2, 3), and the rows whose fan does not cover them.

    Four corners have two fans; the second is taken where only it does.
    """
    size = polygons.shape[1]
    fans = np.stack([np.repeat(polygons[:, :1], size - 2, axis=1), polygons[:, 1:-1], polygons[:, 2:]], axis=2)
    if size == 3:
        return fans, np.empty(0, dtype=np.int64)
    share = _smallest_share(vertices, fans)
    doubtful = np.flatnonzero(share <= _FLAT)
    if size == 4 and len(doubtful):
        a, b, c, d = polygons[doubtful].T
        other = np.stack([np.stack([b, c, d], axis=1), np.stack([b, d, a], axis=1)], axis=1)
        shares = _smallest_share(vertices, other)
        better = shares > share[doubtful]
        fans[doubtful[better]] = other[better]
        doubtful = doubtful[np.maximum(shares, share[doubtful]) < -_FLAT]  # those of no area are left as they are
    return fans, doubtful


def _smallest_share(vertices: np.ndarray, fans: np.ndarray) -> np.ndarray:
    """Return for every fan (p, m, 3) the share of its area that its smallest triangle has; negative if outside."""
    share = np.empty(len(fans))
    piece = max(1, (1 << 18) // fans.shape[1])
    for start in range(0, len(fans), piece):
        corners = vertices[fans[start : start + piece]]
        vectors = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
        whole = vectors.sum(axis=1, keepdims=True)
        square = np.einsum("pij,pij->p", whole, whole)
        smallest = np.einsum("pij,pij->pi", vectors, np.broadcast_to(whole, vectors.shape)).min(axis=1)
        share[start : start + piece] = np.divide(smallest, square, out=np.zeros_like(square), where=square > 0)
    return share


def _ears(vertices: np.ndarray, polygon: np.ndarray) -> tuple[np.ndarray, bool]:
    """Cut the ears off a polygon (k,); return its triangles (k - 2, 3), and whether all of them were ears.

    An ear is a corner that turns the polygon's way and whose triangle holds no other corner (Meisters, "Polygons have
    ears", 1975). Cutting one changes only whether its two neighbors are ears.
    """
    flat = _in_its_plane(vertices[polygon])
    count = len(polygon)
    before, after = np.roll(np.arange(count), 1), np.roll(np.arange(count), -1)
    alive = np.ones(count, dtype=bool)
    turn = _turn(flat[before], flat, flat[after])
    whole = abs(turn).sum()

    def is_ear(i: int) -> bool:
        if turn[i] <= _FLAT * whole:
            return False
        a, b, c = ends = flat[[before[i], i, after[i]]]
        others = flat[alive & (turn <= _FLAT * whole)]  # only corners that turn the other way, or not, can be inside
        inside = (_turn(a, b, others) >= 0) & (_turn(b, c, others) >= 0) & (_turn(c, a, others) >= 0)
        return bool((others[inside, None] == ends).all(axis=2).any(axis=1).all())

    ears = [is_ear(i) for i in range(count)]
    triangles: list[tuple[int, int, int]] = []
    at, since = 0, 0
    while len(triangles) < count - 2 and since <= count:
        if not ears[at]:
            at, since = int(after[at]), since + 1
            continue
        a, c = int(before[at]), int(after[at])
        triangles.append((a, at, c))
        alive[at], since = False, 0
        after[a], before[c] = c, a
        for i in (a, c):
            turn[i] = _turn(*flat[[before[i], i, after[i]]])
            ears[i] = is_ear(i)
        at = int(after[c])  # not its neighbor: cutting round and round gives better triangles than a fan
    # What is left is an edge, or corners on a line, or it crosses itself.
    simple = len(triangles) == count - 2 or not (abs(turn[alive]) > _FLAT * whole).any()
    while len(triangles) < count - 2:
        triangles.append((at, int(after[at]), int(after[after[at]])))
        after[at] = after[after[at]]
    return polygon[np.array(triangles)], simple


def _turn(
    a: Float[np.ndarray, "*points 2"], b: Float[np.ndarray, "*points 2"], c: Float[np.ndarray, "*points 2"]
) -> Float[np.ndarray, "*points"]:
    """Return twice the area of a b c, positive if it runs counter-clockwise; points (..., 2)."""
    along, across = b - a, c - a
    return along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0]


def _in_its_plane(points: Float[np.ndarray, "corners 3"]) -> Float[np.ndarray, "corners 2"]:
    """Return a polygon's points (k, 3) in the plane across its area vector, (k, 2), of a size of about 1."""
    points = points - points.mean(axis=0)
    points = points / (np.abs(points).max() or 1.0)
    area = np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)
    axis = int(np.abs(area).argmax())  # the coordinate plane that it covers most of; no projection is exacter
    first, second = (axis + 1) % 3, (axis + 2) % 3
    return points[:, [first, second] if area[axis] >= 0 else [second, first]]
