"""Triangle meshes as binary glTF: normals, vertex colors or a texture as the format means them, a material, y up."""

import json
import struct
from typing import Any

import numpy as np

from finer_core.shapes import Real, Shaped, UInt8

UPRIGHT = {
    "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
}
"""Rotations that turn the axis that is up in a mesh's coordinates to y, which is up in every glTF file."""
_FLOAT, _UNSIGNED = 5126, 5125
_ATTRIBUTES, _INDICES = 34962, 34963
_MATERIAL = {
    "name": "surface",
    "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8},
    "doubleSided": True,
}
"""A dull dielectric: without a material glTF means polished metal, which is black where nothing surrounds it."""
_GRAY = [0.6, 0.6, 0.6, 1.0]
"""Of a mesh without vertex colors."""
_SAMPLER = {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}
"""How a texture is read: between its pixels, from smaller copies of it far away, and never across its edges."""


def glb_bytes(
    vertices: Real[np.ndarray, "vertices 3"],
    faces: Shaped[np.ndarray, "faces 3"],
    *,
    normals: Real[np.ndarray, "vertices 3"] | None = None,
    colors: UInt8[np.ndarray, "vertices 3"] | None = None,
    uv: Real[np.ndarray, "vertices 2"] | None = None,
    texture: bytes | None = None,
    offset: Real[np.ndarray, "3"] | None = None,
    up: str = "y",
) -> bytes:
    """Return a binary glTF 2.0 file of one mesh.

    The numbers of the vertices stay those of the mesh; what turns them upright, and moves them, is the matrix of their
    node, in double precision: p_gltf = R (v + offset). Vertex colors are linear in glTF (specification, 3.7.2.1), so
    they are stored as floats: sRGB c becomes c / 12.92 up to 0.04045, ((c + 0.055) / 1.055)^2.4 above (IEC 61966-2-1).

    Args:
        vertices: (n, 3), rounded to single precision.
        faces: (m, 3), indices of vertices, counter-clockwise seen from outside.
        normals: (n, 3) of length 1.
        colors: (n, 3) uint8, sRGB.
        uv: (n, 2), places of the vertices in the texture: (0, 0) is its first row and column, (1, 1) behind its last.
        texture: A PNG file, sRGB; needs `uv`, and has the place of vertex colors, which would be multiplied with it.
        offset: (3,), what was subtracted from the vertices.
        up: Axis that is up in the mesh's coordinates: "x", "y", "z", "-x", "-y" or "-z".

    Raises:
        ValueError: If there is not one normal, color or place a vertex, colors beside a texture, or no such axis.

    Example:
        >>> import numpy as np
        >>> corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
        >>> glb_bytes(corners, np.array([[0, 1, 2]]), up="z")[:4]
        b'glTF'
    """
    check_tables(len(vertices), normals=normals, colors=colors, uv=uv, texture=texture, up=up)
    positions = vertices.astype("<f4")
    file = _Buffers()
    attributes = {"POSITION": file.add(positions, "VEC3", bounds=True)}
    if normals is not None:
        attributes["NORMAL"] = file.add(normals.astype("<f4"), "VEC3")
    if colors is not None:
        rgba = np.ones((len(colors), 4), dtype="<f4")
        rgba[:, :3] = linear_from_srgb(colors / 255)
        attributes["COLOR_0"] = file.add(rgba, "VEC4")
    if uv is not None:
        attributes["TEXCOORD_0"] = file.add(uv.astype("<f4"), "VEC2")
    indices = file.add(faces.astype("<u4").reshape(-1), "SCALAR", target=_INDICES)
    node: dict[str, Any] = {"mesh": 0}
    matrix = _matrix(up, offset)
    if not np.array_equal(matrix, np.eye(4)):
        node["matrix"] = matrix.T.reshape(-1).tolist()  # by columns
    tree: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "finer"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [node],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": indices, "material": 0, "mode": 4}]}],
        "materials": [_material(is_plain=colors is None and texture is None, is_textured=texture is not None)],
    }
    if texture is not None:
        tree |= {"textures": [{"source": 0, "sampler": 0}], "samplers": [_SAMPLER]}
        tree["images"] = [{"bufferView": file.add_file(texture), "mimeType": "image/png"}]
    tree |= {"accessors": file.accessors, "bufferViews": file.views, "buffers": [{"byteLength": len(file.content)}]}
    return _packed(tree, bytes(file.content))


def check_tables(
    count: int,
    *,
    normals: np.ndarray | None,
    colors: np.ndarray | None,
    uv: np.ndarray | None,
    texture: bytes | None,
    up: str,
) -> None:
    """Refuse what does not belong to a mesh of so many vertices; see `glb_bytes`.

    Raises:
        ValueError: If there is not one normal, color or place a vertex, colors beside a texture, or no such axis.
    """
    if up not in UPRIGHT:
        raise ValueError(f"up must be one of {', '.join(UPRIGHT)}, got {up!r}")
    for name, table, columns in (("normals", normals, 3), ("colors", colors, 3), ("uv", uv, 2)):
        if table is not None and table.shape != (count, columns):
            raise ValueError(f"vertex {name} must be {(count, columns)}, got {table.shape}")
    if (texture is None) != (uv is None) or (texture is not None and colors is not None):
        raise ValueError("a texture needs uv, and goes without colors; give texture= and uv=, or colors=, or neither")


def linear_from_srgb(values: np.ndarray) -> np.ndarray:
    """Return linear intensities of sRGB values in [0, 1]; the formula is that of `glb_bytes`."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(values: np.ndarray) -> np.ndarray:
    """Return sRGB values of linear intensities in [0, 1], the inverse of `linear_from_srgb`."""
    return np.where(values <= 0.04045 / 12.92, values * 12.92, 1.055 * np.maximum(values, 0) ** (1 / 2.4) - 0.055)


class _Buffers:
    """Collect arrays in one buffer, each with its view and its accessor; all elements are of four bytes."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, table: np.ndarray, kind: str, *, target: int = _ATTRIBUTES, bounds: bool = False) -> int:
        """Append an array; return the number of its accessor."""
        data = np.ascontiguousarray(table).tobytes()
        self.views.append({"buffer": 0, "byteOffset": len(self.content), "byteLength": len(data), "target": target})
        component = _UNSIGNED if table.dtype.kind == "u" else _FLOAT
        accessor = {"bufferView": len(self.views) - 1, "componentType": component, "count": len(table), "type": kind}
        if bounds:
            accessor |= {"min": table.min(axis=0).tolist(), "max": table.max(axis=0).tolist()}
        self.content += data
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_file(self, data: bytes) -> int:
        """Append a file of another format; return the number of its view."""
        self.views.append({"buffer": 0, "byteOffset": len(self.content), "byteLength": len(data)})
        self.content += data + bytes(-len(data) % 4)
        return len(self.views) - 1


def _matrix(up: str, offset: np.ndarray | None) -> np.ndarray:
    """Return the matrix (4, 4) of the node: first the offset, then the rotation."""
    matrix = np.eye(4)
    matrix[:3, :3] = UPRIGHT[up]
    if offset is not None:
        matrix[:3, 3] = matrix[:3, :3] @ offset
    return matrix + 0.0  # no -0


def _material(*, is_plain: bool, is_textured: bool) -> dict[str, Any]:
    surface: dict[str, Any] = {**_MATERIAL["pbrMetallicRoughness"]}  # type: ignore[dict-item]
    if is_textured:
        surface["baseColorTexture"] = {"index": 0}
    return {**_MATERIAL, "pbrMetallicRoughness": {**surface, "baseColorFactor": _GRAY} if is_plain else surface}


def _packed(tree: dict[str, Any], content: bytes) -> bytes:
    """Return header and two chunks, each of a multiple of four bytes."""
    text = json.dumps(tree, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(content)
    header = struct.pack("<4sII", b"glTF", 2, length)
    return (
        header + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(content), b"BIN\0") + content
    )
