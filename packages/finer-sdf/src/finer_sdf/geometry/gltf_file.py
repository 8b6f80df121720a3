"""Read glTF 2.0, .glb or .gltf: the triangles of the scene, or its points, placed as its nodes say."""

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from scipy.spatial.transform import Rotation

from finer_core.errors import InputError
from finer_core.io.glb import srgb_from_linear
from finer_sdf.geometry.raw import RawShape, Room, check_indices, counted, cut_short

_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_INSTANCES = "EXT_mesh_gpu_instancing"
_PARTS = {"translation": [0.0, 0, 0], "rotation": [0.0, 0, 0, 1], "scale": [1.0, 1, 1]}
"""Of what places a node, and what is meant where one is absent."""
_WITHOUT_FORM = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "KHR_xmp")
"""How the names of extensions begin that change no vertex."""
_READ = ("KHR_mesh_quantization", _INSTANCES)
_POINTS, _TRIANGLES, _STRIP, _FAN = 0, 4, 5, 6


def read_gltf(path: Path, room: Room) -> RawShape:
    """Read a .glb or .gltf file; integers of a quantised mesh become what they stand for, instances are placed."""
    file = _File(path, room)
    for name in file.json.get("extensionsRequired", ()):
        if name not in _READ and not str(name).startswith(_WITHOUT_FORM):
            raise InputError(f"it requires the glTF extension {str(name)[:60]}, which is not read; export it without")
    notes = {f"left out {counted(file.left, 'byte')} after its end": None} if file.left else dict[str, None]()
    surfaces, clouds = list[RawShape](), list[RawShape]()
    count, colored = 0, set[bool]()
    for node, place in _placed_nodes(file.json):
        if "mesh" not in node:
            continue
        if "skin" in node:
            notes["it has bones; read as its vertices are stored, without them"] = None
        instances = _instances(file, node)
        for primitive in _item(file.json, "meshes", node["mesh"])["primitives"]:
            if primitive.get("targets"):
                notes["it has morph targets; read without them"] = None
            positions, triangles = _primitive(file, primitive, copies=len(instances))
            given = _colors(file, primitive, len(positions))
            if given is None and "COLOR_0" in primitive["attributes"]:
                notes["left out the colors of a part: they are not three finite numbers a vertex"] = None
            if given is not None:
                colored.add(triangles is None)
            shares = srgb_from_linear(_factor(file, primitive) * (1.0 if given is None else given))
            colors = np.broadcast_to(shares.astype(np.float32), positions.shape)
            normals = _normals(file, primitive, len(positions)) if triangles is None else None
            for matrix in place @ instances:
                placed = positions @ matrix[:3, :3].T + matrix[:3, 3]
                if triangles is None:
                    turned = None if normals is None else normals @ np.linalg.pinv(matrix[:3, :3])
                    clouds.append(RawShape(vertices=placed, normals=turned, colors=colors))
                    continue
                mirrored = np.linalg.det(matrix[:3, :3]) < 0
                faces = (triangles[:, ::-1] if mirrored else triangles) + count
                surfaces.append(RawShape(vertices=placed, faces=faces, colors=colors))
                count += len(placed)
    if len(file.json.get("scenes", ())) > 1:
        notes[f"it has {len(file.json['scenes'])} scenes; read the one it shows"] = None
    parts = surfaces or clouds
    if surfaces and clouds:
        notes["left out its points and lines"] = None
    if not parts:
        return RawShape(vertices=np.empty((0, 3)), notes=tuple(notes))
    whole = {"vertices": np.concatenate([part.vertices for part in parts])}
    if surfaces:
        whole["faces"] = np.concatenate([part.faces for part in surfaces if part.faces is not None])
    elif any(part.normals is not None for part in clouds):  # 0 for a direction that is not known
        known = (np.zeros_like(part.vertices) if part.normals is None else part.normals for part in clouds)
        whole["normals"] = np.concatenate(list(known))
    if (not surfaces) in colored:
        whole["colors"] = np.concatenate([part.colors for part in parts if part.colors is not None])
    return RawShape(**whole, notes=tuple(notes))


def _placed_nodes(data: dict[str, Any]) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Yield every node of the scene with the matrix (4, 4) that places it."""
    nodes = data.get("nodes", [])
    if data.get("scenes"):
        roots = _item(data, "scenes", data.get("scene", 0)).get("nodes", [])
    else:
        children = {child for node in nodes for child in node.get("children", ())}
        roots = [index for index in range(len(nodes)) if index not in children]
    waiting = [(index, np.eye(4)) for index in reversed(roots)]
    seen = set()
    while waiting:
        index, parent = waiting.pop()
        node = _item(data, "nodes", index)
        if index in seen:
            raise InputError(f"its node {index} stands in the scene twice, which a tree of nodes cannot have")
        seen.add(index)
        place = parent @ _matrix(node)
        yield node, place
        waiting += [(child, place) for child in reversed(node.get("children", ()))]


def _item(data: dict[str, Any], kind: str, index: Any) -> dict[str, Any]:
    items: list[dict[str, Any]] = data.get(kind, [])
    if not isinstance(index, int) or not 0 <= index < len(items):
        raise InputError(f"it names number {str(index)[:20]} of {len(items)} {kind}; it may be corrupt")
    return items[index]


def _matrix(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T  # stored by columns
    given = {name: np.array([node[name]], dtype=np.float64) for name in _PARTS if name in node}
    return _moves(given, count=1)[0]


def _moves(given: dict[str, np.ndarray], *, count: int) -> np.ndarray:
    """Return matrices (n, 4, 4) of translations (n, 3), rotations as quaternions x y z w (n, 4), and scales (n, 3)."""
    translation, rotation, scale = (given.get(name, np.tile(usual, (count, 1))) for name, usual in _PARTS.items())
    moves = np.tile(np.eye(4), (count, 1, 1))
    moves[:, :3, :3] = Rotation.from_quat(rotation).as_matrix() * scale[:, None]
    moves[:, :3, 3] = translation
    return moves


def _instances(file: "_File", node: dict[str, Any]) -> np.ndarray:
    """Return where the copies of a node's mesh stand, (n, 4, 4); one in its place without the extension."""
    attributes = node.get("extensions", {}).get(_INSTANCES, {}).get("attributes")
    if attributes is None:
        return np.eye(4)[None]
    given = {name.lower(): file.accessor(index) for name, index in attributes.items() if not name.startswith("_")}
    return _moves(given, count=len(next(iter(given.values()), ())))


def _primitive(file: "_File", primitive: dict[str, Any], *, copies: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the positions (n, 3) and triangles (m, 3) of a primitive; no triangles for points and lines."""
    mode = primitive.get("mode", _TRIANGLES)
    position = primitive["attributes"]["POSITION"]
    stored = _item(file.json, "accessors", position)
    if "bufferView" not in stored and "sparse" not in stored:
        names = ", ".join(primitive.get("extensions", {})) or "no extension"
        raise InputError(f"a part of it has no positions but in {names[:80]}, which is not read; export it without")
    indexed = "indices" in primitive
    corners = file.count(primitive["indices"]) if indexed else file.count(position)
    file.room.claim(faces=copies * corners // (3 if mode == _TRIANGLES else 1), points=copies * file.count(position))
    positions = file.accessor(position)
    if positions.shape[1] != 3:
        raise InputError(f"positions must have 3 coordinates, got {positions.shape[1]}")
    if mode not in (_TRIANGLES, _STRIP, _FAN):
        return (positions if mode == _POINTS else positions[:0]), None
    index = file.accessor(primitive["indices"])[:, 0] if indexed else np.arange(len(positions))
    if not (np.abs(index) < 2**32).all():  # NaN neither
        raise InputError("its triangles name vertices by numbers that are none; it may be corrupt")
    index = index.astype(np.int64)
    if mode == _TRIANGLES and len(index) % 3:
        raise InputError(f"its triangles have {len(index)} corners, which is no multiple of 3; it may be corrupt")
    if mode == _TRIANGLES:
        triangles = index.reshape(-1, 3)
    elif mode == _STRIP:
        triangles = np.stack([index[:-2], index[1:-1], index[2:]], axis=1)
        triangles[1::2] = triangles[1::2, [1, 0, 2]]
    else:
        triangles = np.stack([np.full(max(0, len(index) - 2), index[0]), index[1:-1], index[2:]], axis=1)
    check_indices(triangles, count=len(positions))
    return positions, triangles


def _factor(file: "_File", primitive: dict[str, Any]) -> np.ndarray:
    """Return the linear color (3,) of a primitive's material, which multiplies those of its vertices; else white."""
    index = primitive.get("material")
    material = {} if index is None else _item(file.json, "materials", index)
    color = material.get("pbrMetallicRoughness", {}).get("baseColorFactor", [1.0] * 4)
    return np.clip(np.nan_to_num(np.array(color[:3], dtype=np.float64).reshape(3)), 0, 1)


def _colors(file: "_File", primitive: dict[str, Any], count: int) -> np.ndarray | None:
    """Return the vertex colors (n, 3) of a primitive, linear; None if it has none. Textures are not looked at."""
    index = primitive["attributes"].get("COLOR_0")
    if index is None or file.count(index) != count:
        return None
    linear = file.accessor(index)[:, :3]
    return np.clip(linear, 0, 1) if linear.shape[1] == 3 and np.isfinite(linear).all() else None


def _normals(file: "_File", primitive: dict[str, Any], count: int) -> np.ndarray | None:
    """Return the normals (n, 3) of a primitive; None if it has none."""
    index = primitive["attributes"].get("NORMAL")
    if index is None or file.count(index) != count:
        return None
    normals = file.accessor(index)
    return normals if normals.shape[1] == 3 else None


class _File:
    """Hold the JSON of a file, and give its accessors as arrays.

    Args:
        path: The file; buffers that it names lie beside it.
        room: Refuses what does not fit.
    """

    def __init__(self, path: Path, room: Room) -> None:
        self.room, self._folder = room, path.parent
        room.claim(text=path.stat().st_size // 2)
        content = path.read_bytes()
        self._chunk, text, self.left = b"", content, 0
        if content[:4] == b"glTF":
            text, self._chunk = _chunks(content)
            self.left = len(content) - int.from_bytes(content[8:12], "little")
        data = json.loads(text)
        if not isinstance(data, dict) or not str(data.get("asset", {}).get("version", "")).startswith("2"):
            raise InputError("it is not glTF of version 2; it may be older, or of another format")
        self.json: dict[str, Any] = data
        self._buffers: dict[int, bytes] = {}

    def count(self, index: Any) -> int:
        """Return how many elements an accessor has."""
        return int(_item(self.json, "accessors", index)["count"])

    def accessor(self, index: Any) -> np.ndarray:
        """Return the values of an accessor, (count, width) float64; normalized integers become what they stand for."""
        stored = _item(self.json, "accessors", index)
        count, width = self.count(index), _WIDTHS[stored["type"]]
        self.room.claim(text=4 * count * width)  # half of what the array takes
        kind = np.dtype(_COMPONENTS[stored["componentType"]])
        if "bufferView" in stored:
            values = self._view(stored, kind, count, width).astype(np.float64)
        else:
            values = np.zeros((count, width))
        if "sparse" in stored:
            sparse = stored["sparse"]
            number = int(sparse["count"])
            where = self._view(sparse["indices"], np.dtype(_COMPONENTS[sparse["indices"]["componentType"]]), number, 1)
            values[where[:, 0]] = self._view(sparse["values"], kind, number, width)
        if stored.get("normalized") and kind.kind in "iu":
            values = np.maximum(values / np.iinfo(kind).max, -1.0)
        return values

    def _view(self, stored: dict[str, Any], kind: np.dtype, count: int, width: int) -> np.ndarray:
        """Return what a buffer holds for an accessor, (count, width), without a copy."""
        view = _item(self.json, "bufferViews", stored["bufferView"])
        if "EXT_meshopt_compression" in view.get("extensions", {}):
            raise InputError("it is compressed by EXT_meshopt_compression, which is not read; export it without")
        buffer = self._buffer(view["buffer"])
        start, length = int(view.get("byteOffset", 0)), int(view["byteLength"])
        offset = int(stored.get("byteOffset", 0))
        stride = int(view.get("byteStride", 0)) or width * kind.itemsize
        end = offset + stride * (count - 1) + width * kind.itemsize if count else 0
        if min(start, offset, count) < 0 or stride < width * kind.itemsize or end > length:
            raise InputError("an accessor reaches beyond its part of the buffer; it may be corrupt")
        if start + length > len(buffer):
            raise InputError(f"its buffer holds {len(buffer)} bytes of {start + length}; it was cut short")
        return np.ndarray((count, width), kind, buffer, start + offset, (stride, kind.itemsize))

    def _buffer(self, index: Any) -> bytes:
        if index not in self._buffers:
            stored = _item(self.json, "buffers", index)
            uri, length = stored.get("uri"), int(stored["byteLength"])
            if uri is None:
                self._buffers[index] = self._chunk
            elif uri.startswith("data:"):
                self._buffers[index] = base64.b64decode(uri.split(",", 1)[1])
            else:
                self._buffers[index] = self._neighbor(unquote(uri), length)
        return self._buffers[index]

    def _neighbor(self, name: str, length: int) -> bytes:
        """Read a file that stands beside this one or below its folder; what else a name leads to is the user's own."""
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
            raise InputError(f"its data are in {name[:80]!r}, which is not in its folder; keep the files together")
        path = self._folder / name
        if not path.is_file():
            raise InputError(f"its data are in {name[:80]!r}, which is not there; keep the files together")
        self.room.claim(text=length // 2)
        with path.open("rb") as file:
            return file.read(length)


def _chunks(content: bytes) -> tuple[bytes, bytes]:
    """Return the JSON and the binary chunk of a .glb file."""
    version, length = struct.unpack_from("<II", content, 4)
    if version != 2:
        raise InputError(f"it is binary glTF of version {version}; only version 2 is read")
    if length > len(content):
        raise cut_short(f"{length} bytes", len(content))
    found, at = dict[bytes, bytes](), 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<I4s", content, at)
        found.setdefault(kind, content[at + 8 : at + 8 + size])
        at += 8 + size
    if b"JSON" not in found:
        raise InputError("it holds no JSON; it may be corrupt")
    return found[b"JSON"], found.get(b"BIN\0", b"")
