"""Read glTF 2.0, .glb or .gltf: the triangles of the scene, or its points, placed as its nodes say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from finer_core.errors import InputError
from finer_core.io.files import reason_of
from finer_core.io.glb import srgb_from_linear
from finer_core.io.text import counted
from finer_sdf.geometry.formats.gltf_buffers import GltfFile, item
from finer_sdf.geometry.formats.gltf_materials import GltfTextures, vertex_colors
from finer_sdf.geometry.formats.gltf_skins import posed
from finer_sdf.geometry.raw import RawShape, Room, check_indices
from finer_sdf.geometry.textures import Texture, TextureMap

_INSTANCES = "EXT_mesh_gpu_instancing"
_PARTS = {"translation": [0.0, 0, 0], "rotation": [0.0, 0, 0, 1], "scale": [1.0, 1, 1]}
"""Of what places a node, and what is meant where one is absent."""
_VISIBILITY = "KHR_node_visibility"
_WITHOUT_FORM = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "KHR_xmp", "KHR_animation_")
"""How the names of extensions begin that change no vertex."""
_READ = ("KHR_mesh_quantization", _INSTANCES, _VISIBILITY)
_POINTS, _TRIANGLES, _STRIP, _FAN = 0, 4, 5, 6


def read_gltf(path: Path, room: Room) -> RawShape:
    """Read a .glb or .gltf file; integers of a quantized mesh become what they stand for, instances are placed.

    It is colored where a part has a texture or colors at its vertices, or where the materials of two differ.
    """
    file = GltfFile(path, room)
    for name in file.json.get("extensionsRequired", ()):
        if name not in _READ and not str(name).startswith(_WITHOUT_FORM):
            raise InputError(f"it requires the glTF extension {str(name)[:60]}, which is not read; export it without")
    notes = {f"left out {counted(file.left, 'byte')} after its end": None} if file.left else dict[str, None]()
    textures = GltfTextures(file)
    surfaces, clouds = list[RawShape](), list[RawShape]()
    colored, materials = {True: False, False: False}, set[tuple[float, ...]]()
    nodes = list(_placed_nodes(file.json))
    places = {index: place for index, _, place, _ in nodes}
    hidden = 0
    for _, node, place, is_visible in nodes:
        if "mesh" not in node:
            continue
        if not is_visible:
            hidden += 1
            continue
        has_bones = "skin" in node
        instances = np.eye(4)[None] if has_bones else place @ _instances(file, node)
        for primitive in item(file.json, "meshes", node["mesh"])["primitives"]:
            if primitive.get("targets"):
                notes["it has morph targets; read without them"] = None
            part, has_colors = _part(file, primitive, textures, copies=len(instances))
            if has_bones:
                part, note = _with_bones(file, node["skin"], primitive, part, places)
                notes[note] = None
            if not has_colors and "COLOR_0" in primitive["attributes"]:
                notes["left out the colors of a part: they are not three finite numbers a vertex"] = None
            is_surface = part.faces is not None
            colored[is_surface] |= has_colors
            if is_surface:
                materials.add(tuple(textures.base_color(primitive)))
            (surfaces if is_surface else clouds).extend(_placed(part, matrix) for matrix in instances)
    parts = surfaces or clouds
    triangles = sum(0 if part.faces is None else len(part.faces) for part in parts)
    room.claim(faces=triangles, points=sum(len(part.vertices) for part in parts))  # each part claimed its own alone
    if hidden:
        notes[f"left out {counted(hidden, 'hidden mesh', 'hidden meshes')}"] = None
    if len(file.json.get("scenes", ())) > 1:
        notes[f"it has {len(file.json['scenes'])} scenes; read the one it shows"] = None
    if surfaces and clouds:
        notes["left out its points and lines"] = None
    notes |= dict.fromkeys(textures.notes)
    is_colored = colored[bool(surfaces)] or bool(textures.textures) or len(materials) > 1
    return _joined(parts, tuple(textures.textures), is_colored=is_colored, notes=tuple(notes))


def _part(file: GltfFile, primitive: dict[str, Any], textures: GltfTextures, *, copies: int) -> tuple[RawShape, bool]:
    """Return a primitive as it is stored, and whether its vertices have colors; white ones if they have none."""
    positions, faces = _primitive(file, primitive, copies=copies)
    given = vertex_colors(file, primitive, len(positions))
    shares = srgb_from_linear(textures.base_color(primitive) * (1.0 if given is None else given))
    colors = np.broadcast_to(shares.astype(np.float32), positions.shape)
    if faces is None:
        normals = _normals(file, primitive, len(positions))
        return RawShape(vertices=positions, normals=normals, colors=colors), given is not None
    number, places = textures.of(primitive, len(positions))
    texture = TextureMap(textures=(), of_face=np.full(len(faces), number), places=places[faces])
    return RawShape(vertices=positions, faces=faces, colors=colors, texture=texture), given is not None


def _with_bones(
    file: GltfFile, skin: Any, primitive: dict[str, Any], part: RawShape, places: Mapping[Any, np.ndarray]
) -> tuple[RawShape, str]:
    """Return a part as its bones pose it in the scene, and a note; as it is stored where that cannot be had."""
    try:
        positions = posed(file, skin, primitive["attributes"], part.vertices, places=places)
    except MemoryError:
        raise
    except Exception as error:  # whatever is wrong with bones, the surface can be read without
        reason = str(error) if isinstance(error, InputError) else reason_of(error)
        return part, f"it has bones that cannot be read ({reason[:100]}); read as its vertices are stored"
    return replace(part, vertices=positions, normals=None), "it has bones; read in the pose that they have in the file"


def _placed(part: RawShape, matrix: np.ndarray) -> RawShape:
    """Return a part where a matrix (4, 4) puts it; where that mirrors it, its faces turn the other way round."""
    placed = part.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    if part.faces is None or part.texture is None:
        turned = None if part.normals is None else part.normals @ np.linalg.pinv(matrix[:3, :3])
        return replace(part, vertices=placed, normals=turned)
    if np.linalg.det(matrix[:3, :3]) >= 0:
        return replace(part, vertices=placed)
    texture = replace(part.texture, places=part.texture.places[:, ::-1])
    return replace(part, vertices=placed, faces=part.faces[:, ::-1], texture=texture)


def _joined(
    parts: Sequence[RawShape], textures: tuple[Texture, ...], *, is_colored: bool, notes: tuple[str, ...]
) -> RawShape:
    """Return all parts, of which all or none have faces, as one."""
    if not parts:
        return RawShape(vertices=np.empty((0, 3)), notes=notes)
    first = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, first, strict=False) if part.faces is not None]
    maps = [part.texture for part in parts if part.texture is not None]
    normals = None
    if not faces and any(part.normals is not None for part in parts):  # 0 for a direction that is not known
        known = (np.zeros_like(part.vertices) if part.normals is None else part.normals for part in parts)
        normals = np.concatenate(list(known))
    texture = None
    if textures:
        of_face, places = (np.concatenate([getattr(one, name) for one in maps]) for name in ("of_face", "places"))
        texture = TextureMap(textures=textures, of_face=of_face, places=places)
    return RawShape(
        vertices=np.concatenate([part.vertices for part in parts]),
        faces=np.concatenate(faces) if faces else None,
        normals=normals,
        colors=np.concatenate([part.colors for part in parts if part.colors is not None]) if is_colored else None,
        texture=texture,
        notes=notes,
    )


def _placed_nodes(data: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any], np.ndarray, bool]]:
    """Yield every node of the scene: its number, itself, the matrix (4, 4) that places it, and whether it is shown."""
    nodes = data.get("nodes", [])
    if data.get("scenes"):
        roots = item(data, "scenes", data.get("scene", 0)).get("nodes", [])
    else:
        children = {child for node in nodes for child in node.get("children", ())}
        roots = [index for index in range(len(nodes)) if index not in children]
    waiting = [(index, np.eye(4), True) for index in reversed(roots)]
    seen = set()
    while waiting:
        index, parent, is_visible = waiting.pop()
        node = item(data, "nodes", index)
        if index in seen:
            raise InputError(f"its node {index} stands in the scene twice, which a tree of nodes cannot have")
        seen.add(index)
        place = parent @ _matrix(node)
        is_visible &= node.get("extensions", {}).get(_VISIBILITY, {}).get("visible", True) is not False
        yield index, node, place, is_visible
        waiting += [(child, place, is_visible) for child in reversed(node.get("children", ()))]


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


def _instances(file: GltfFile, node: dict[str, Any]) -> np.ndarray:
    """Return where the copies of a node's mesh stand, (n, 4, 4); one in its place without the extension."""
    attributes = node.get("extensions", {}).get(_INSTANCES, {}).get("attributes")
    if attributes is None:
        return np.eye(4)[None]
    given = {name.lower(): file.accessor(index) for name, index in attributes.items() if not name.startswith("_")}
    return _moves(given, count=len(next(iter(given.values()), ())))


def _primitive(file: GltfFile, primitive: dict[str, Any], *, copies: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the positions (n, 3) and triangles (m, 3) of a primitive; no triangles for points and lines."""
    mode = primitive.get("mode", _TRIANGLES)
    position = primitive["attributes"]["POSITION"]
    stored = item(file.json, "accessors", position)
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


def _normals(file: GltfFile, primitive: dict[str, Any], count: int) -> np.ndarray | None:
    """Return the normals (n, 3) of a primitive; None if it has none."""
    index = primitive["attributes"].get("NORMAL")
    if index is None or file.count(index) != count:
        return None
    normals = file.accessor(index)
    return normals if normals.shape[1] == 3 else None
