"""A mesh cut into charts of the plane, and a picture that is painted there: more detail than vertices can hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.resources import check_room
from finer_core.schema import check_number
from finer_core.shapes import Float, Int, Real, UInt8

_LEAST, _MOST = 64, 16_384
_PADDING = 3
"""Pixels between charts, so that what is read between pixels is of one chart."""
_BYTES_A_PIXEL = 160
"""Of a texture: points, normals and colors of its pixels, and the search for the nearest painted one."""
_CANDIDATES_AT_ONCE = 1 << 21
_THIN = 1e-12
"""Area, in pixels, below which a triangle covers none."""


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """Hold a mesh that is cut along seams.

    Attributes:
        vertices: (k,) the vertex of the mesh that each vertex of the atlas is; those at seams are there twice.
        faces: (m, 3) int64, of vertices of the atlas, in the mesh's order.
        uv: (k, 2) in [0, 1]: (0, 0) is the first row and column of the texture.
    """

    vertices: Int[np.ndarray, " corners"]
    faces: Int[np.ndarray, "faces 3"]
    uv: Real[np.ndarray, "corners 2"]


def check_texture(size: int | None, *, memory: int, extra: str) -> None:
    """Refuse a size that no texture can have, or any where the library that cuts a mesh is missing.

    Args:
        size: Pixels of the texture's side; None for no texture.
        memory: Bytes to stay within.
        extra: What installs the library, such as "finer-sdf[texture]".

    Raises:
        InputError: If so; with the line that installs the library.
    """
    if size is None:
        return
    check_number(size, what="--texture", is_whole=True)
    if not _LEAST <= size <= _MOST:
        raise InputError(f"--texture must be between {_LEAST} and {_MOST} pixels, got {size}")
    check_room(size**2 * _BYTES_A_PIXEL, memory, what=f"--texture {size}", advice="lower it")
    if find_spec("xatlas") is None:
        raise InputError(f'--texture needs the package xatlas: pip install "{extra}"')


def texture_visuals(uv: Real[np.ndarray, "corners 2"], texture: UInt8[np.ndarray, "size size 3"]) -> Any:
    """Return what a `trimesh.Trimesh` has as its `visual` to show a texture, on a dull material."""
    from PIL import Image
    from trimesh.visual.material import PBRMaterial
    from trimesh.visual.texture import TextureVisuals

    material = PBRMaterial(baseColorTexture=Image.fromarray(texture), metallicFactor=0.0, roughnessFactor=0.8)
    return TextureVisuals(uv=uv * [1, -1] + [0, 1], material=material)  # trimesh's begins below


def unwrap(points: Real[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"], *, size: int) -> Atlas:
    """Cut a mesh into charts and put them beside each other, by xatlas.

    Args:
        points: (n, 3), near the origin: they are rounded to single precision.
        faces: (m, 3).
        size: Pixels of the texture's side, between whose charts there is some room.
    """
    import xatlas

    atlas, packing = xatlas.Atlas(), xatlas.PackOptions()
    packing.resolution, packing.padding, packing.bilinear = size, _PADDING, True
    atlas.add_mesh(points.astype(np.float32), faces.astype(np.uint32))
    atlas.generate(xatlas.ChartOptions(), packing, False)
    vertices, cut, uv = atlas[0]
    return Atlas(vertices=vertices.astype(np.int64), faces=cut.astype(np.int64), uv=uv.astype(np.float64))


def bake(
    look: Callable[[np.ndarray, np.ndarray], np.ndarray],
    points: Real[np.ndarray, "vertices 3"],
    normals: Real[np.ndarray, "vertices 3"],
    atlas: Atlas,
    *,
    size: int,
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Return the texture: each pixel has the color of the point of the surface that lies at its middle.

    Pixels outside all charts have that of the nearest painted one, so that smaller copies of the texture mix in nothing
    else.

    Args:
        look: From points (k, 3) and unit normals (k, 3) to colors (k, 3), uint8.
        points: (n, 3), the mesh's vertices.
        normals: (n, 3) at the vertices.
        atlas: Where they are in the texture.
        size: Pixels of its side.
    """
    from scipy.ndimage import distance_transform_edt

    texture = np.zeros((size * size, 3), dtype=np.uint8)
    is_painted = np.zeros(size * size, dtype=bool)
    corners = atlas.vertices[atlas.faces]
    for pixels, face, weights in _covered(atlas, size=size):
        at, out = (np.einsum("kc,kcd->kd", weights, table[corners[face]]) for table in (points, normals))
        out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
        texture[pixels], is_painted[pixels] = look(at, out), True
    if not is_painted.any():
        raise InputError(f"--texture {size} is too small: no pixel's middle lies on the surface; raise it")
    _, nearest = distance_transform_edt(~is_painted.reshape(size, size), return_indices=True)
    return texture.reshape(size, size, 3)[nearest[0], nearest[1]]


def _covered(
    atlas: Atlas, *, size: int
) -> Iterator[tuple[Int[np.ndarray, " pixels"], Int[np.ndarray, " pixels"], Float[np.ndarray, "pixels 3"]]]:
    """Yield numbers of pixels whose middle is in a triangle, the triangle, and the middle's barycentric coordinates."""
    corners = (atlas.uv * size - 0.5)[atlas.faces]  # in pixels; whole numbers are middles
    low = np.clip(np.ceil(corners.min(axis=1)), 0, size).astype(np.int64)
    high = np.clip(np.floor(corners.max(axis=1)) + 1, 0, size).astype(np.int64)
    extent = np.maximum(high - low, 0)
    counts = extent.prod(axis=1)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    counts[np.abs(area) < _THIN] = 0
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + _CANDIDATES_AT_ONCE, side="right")))
        face = np.repeat(np.arange(start, end), counts[start:end])
        number = np.arange(len(face)) - np.repeat(ends[start:end] - counts[start:end] - before, counts[start:end])
        column = low[face, 0] + number % np.maximum(extent[face, 0], 1)
        row = low[face, 1] + number // np.maximum(extent[face, 0], 1)
        x, y = column - corners[face, 0, 0], row - corners[face, 0, 1]
        u = (x * second[face, 1] - y * second[face, 0]) / area[face]
        v = (y * first[face, 0] - x * first[face, 1]) / area[face]
        weights = np.stack([1 - u - v, u, v], axis=1)
        inside = (weights >= 0).all(axis=1)
        yield (row * size + column)[inside], face[inside], weights[inside]
        start = end
