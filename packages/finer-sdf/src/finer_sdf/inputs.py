"""The surface that is worked on: a file, the built-in one, or what a program holds in memory."""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from finer_core.casts import as_array, refuse_masked
from finer_core.errors import InputError
from finer_core.io.text import counted
from finer_sdf.config import BUILT_IN
from finer_sdf.geometry import LoadedShape, Mesh, PointCloud, Shape
from finer_sdf.geometry.armillary import builtin_shape
from finer_sdf.geometry.formats.pictures import reason_for, texture_of
from finer_sdf.geometry.loaded_shape import SurfaceColors, colors_of
from finer_sdf.geometry.mesh_distance import MeshDistance
from finer_sdf.geometry.raw import RawShape, Room, color_table, number_table, without_unknown
from finer_sdf.geometry.reader import clean, load_shape
from finer_sdf.geometry.textures import NO_TEXTURE, Texture, TextureMap
from finer_sdf.normalization import Normalization

_KINDS = "a trimesh.Trimesh, a Mesh, a PointCloud, (points, normals), (vertices, faces), an array of points or a path"
_PICTURES = ("baseColorTexture", "image")
"""Attributes of trimesh's materials that hold what colors a surface."""
_WHITE = np.full((1, 1, 3), 255, dtype=np.uint8)


def read_input(name: str | None, *, memory: int | None = None) -> LoadedShape:
    """Read the input surface, or the built-in one.

    Args:
        name: File name; None or the built-in shape's name for that, unless a file has that name.
        memory: Bytes that the process may use; None for no limit.

    Raises:
        InputError: If the file cannot be read as a surface, or not within the memory.
    """
    if name is None or (name == BUILT_IN and not Path(name).exists()):
        return builtin_shape()
    return load_shape(name, memory=memory)


def as_shape(shape: Any, *, memory: int | None = None, what: str = "shape") -> LoadedShape:
    """Take what a program calls a surface, and repair it as `read_shape` does.

    Args:
        shape: A path; what `read_shape` returned; a mesh, which is what has `vertices` and `faces`; points with or
            without normals, (n, 3) each, in a pair, a `PointCloud` or by themselves; or a pair of vertices (n, 3) and
            faces (m, 3), which are integers.
        memory: Bytes that the process may use; None for no limit.
        what: What it is, for messages.

    Returns:
        The surface in its own coordinates.

    Raises:
        InputError: If it is none of these, or no surface that can be computed with.
    """
    if isinstance(shape, LoadedShape):
        return shape
    if isinstance(shape, str | os.PathLike):
        return read_input(os.fspath(shape), memory=memory)
    try:
        raw, room = without_unknown(_tables_of(shape)), Room(memory=memory)
        colored, lacks = _colored(shape, room)
        room.claim(faces=0 if raw.faces is None else len(raw.faces), points=len(raw.vertices))
        found, notes = clean(raw, bare_points=True, room=room)
        colors = None if colored is None else colors_of(colored, found)
    except InputError as error:
        raise InputError(f"the {what}, a {type(shape).__name__}: {error}") from None
    if isinstance(shape, PointCloud) and isinstance(found, PointCloud) and shape.noise:
        extent = float(np.ptp(found.bounds, axis=0).max())
        if not 0 < shape.noise < extent:
            raise InputError(
                f"the {what}: its noise must be a length of 0 to its size of {extent:.3g}, not {shape.noise:g}"
            )
        found = dataclasses.replace(found, noise=shape.noise)
    kind = "mesh" if isinstance(found, Mesh) else "point cloud"
    if getattr(getattr(shape, "visual", None), "kind", None) == "face":  # of a trimesh.Trimesh
        notes = ("left out the colors of its faces", *notes)
    return LoadedShape(
        shape=found, name=kind, sha256=digest_of(found, colors), notes=(*lacks, *raw.notes, *notes), colors=colors
    )


def _colored(shape: Any, room: Room) -> tuple[RawShape | None, tuple[str, ...]]:
    """Return a trimesh.Trimesh that has vertex colors or a texture, and notes of what it lacks."""
    visual: Any = getattr(shape, "visual", None)
    kind = getattr(visual, "kind", None)
    colors = color_table(np.asarray(visual.vertex_colors)[:, :3]) if kind == "vertex" else None
    texture, notes = None, tuple[str, ...]()
    if kind == "texture":
        try:
            texture, notes = _texture_of(shape, visual, room)
        except MemoryError:
            raise
        except Exception as error:  # whatever it is, and whatever a decoder says of a damaged picture
            return None, (f"read without its colors: {reason_for(error)}",)
    if colors is None and texture is None:
        return None, ()
    raw = RawShape(
        vertices=_numbers("vertices", shape.vertices),
        faces=_indices("faces", shape.faces),
        colors=colors,
        texture=texture,
    )
    return raw, notes


def _texture_of(shape: Any, visual: Any, room: Room) -> tuple[TextureMap, tuple[str, ...]]:
    """Return the pictures of a trimesh's materials, whose `uv` count from their lower left corner, and notes.

    InputError where it lacks something, and where all faces show one color: trimesh gives a material without a picture
    one of that.
    """
    faces, uv, materials = _indices("faces", shape.faces), visual.uv, getattr(visual.material, "materials", None)
    numbers = np.zeros(len(faces), dtype=np.int64)
    if materials is not None:
        if np.shape(visual.face_materials) != numbers.shape:
            raise InputError(f"its face_materials must be the number of a material for each of {len(faces)} faces")
        numbers = np.asarray(visual.face_materials).astype(np.int64)
        numbers = np.where((numbers >= 0) & (numbers < len(materials)), numbers, NO_TEXTURE)
    known = numbers != NO_TEXTURE
    used, numbers[known] = np.unique(numbers[known], return_inverse=True)
    textures, notes = list[Texture](), list[str]()
    for each in used:
        try:
            textures.append(_of_material(visual.material if materials is None else materials[each], room))
        except MemoryError:
            raise
        except Exception as error:  # whatever a decoder says of a damaged picture
            if len(used) == 1:
                raise
            notes.append(f"read a material as white: {reason_for(error)}")
            textures.append(Texture(pixels=_WHITE))
    if others := int((~known).sum()):
        notes.append(f"read {counted(others, 'face')} as white, without the number of a material")
    shown = [*textures, Texture(pixels=_WHITE)][: len(used) + bool(others)]
    if not any((each.pixels != each.pixels[0, 0]).any() for each in shown):
        if len({(*each.pixels[0, 0].tolist(), *each.factor) for each in shown}) == 1:
            has_picture = any(each.pixels.shape[:2] != (1, 1) for each in shown)
            raise InputError(f"{'its picture is' if has_picture else 'it has no picture, and is'} of one color")
        flat = TextureMap(textures=tuple(textures), of_face=numbers, places=np.zeros((len(faces), 3, 2)))
        return flat, tuple(notes)
    if uv is None:
        raise InputError("its picture has no texture coordinates; set visual.uv")
    if np.shape(uv) != (len(shape.vertices), 2) or not np.isfinite(uv).all():
        raise InputError("its texture coordinates, visual.uv, must be two finite numbers for each vertex")
    places = np.asarray(uv, dtype=np.float64) * [1, -1] + [0, 1]
    return TextureMap(textures=tuple(textures), of_face=numbers, places=places[faces]), tuple(notes)


def _of_material(material: Any, room: Room) -> Texture:
    """Return what a material of trimesh's shows: its picture, times the factor of a PBR material, or one color."""
    picture = next((found for name in _PICTURES if (found := getattr(material, name, None)) is not None), None)
    if picture is not None:
        return dataclasses.replace(texture_of(picture, room), factor=_factor_of(material))
    diffuse = getattr(material, "diffuse", None)
    pixels = _WHITE if diffuse is None else np.asarray(diffuse, dtype=np.uint8)[:3].reshape(1, 1, 3)
    return Texture(pixels=pixels, factor=_factor_of(material))


def _factor_of(material: Any) -> tuple[float, float, float]:
    """Return the linear factor of a PBR material's color; 1 without one."""
    factor = getattr(material, "baseColorFactor", None)
    if factor is None or np.shape(factor)[:1] not in ((3,), (4,)):
        return (1.0, 1.0, 1.0)
    shares = np.asarray(factor[:3]) / (255 if np.asarray(factor).dtype.kind in "iu" else 1)
    red, green, blue = np.clip(shares, 0, 1).tolist()
    return red, green, blue


def _tables_of(shape: Any) -> RawShape:
    if hasattr(shape, "vertices") and hasattr(shape, "faces"):
        return RawShape(vertices=_numbers("vertices", shape.vertices), faces=_indices("faces", shape.faces))
    if isinstance(shape, PointCloud):
        return RawShape(vertices=_numbers("points", shape.points), normals=_numbers("normals", shape.normals))
    if isinstance(shape, Sequence) and len(shape) == 2:
        first, second = shape[0], _array("second table", shape[1])
        if second.dtype.kind in "iu":
            return RawShape(vertices=_numbers("vertices", first), faces=_indices("faces", second))
        points, normals = _numbers("points", first), _numbers("normals", second)
        if len(points) != len(normals):
            raise InputError(
                f"{len(points)} points and {len(normals)} normals; there must be one a point, and faces are integers"
            )
        return RawShape(vertices=points, normals=normals)
    if isinstance(shape, np.ndarray | Tensor):
        return RawShape(vertices=_numbers("points", shape))
    hint = "; join its parts by .to_mesh()" if hasattr(shape, "to_mesh") else ""
    if not hint and hasattr(shape, "vertices"):  # trimesh has another PointCloud
        hint = "; of its points give .vertices"
    raise InputError(f"is no surface; give {_KINDS}{hint}")


def _array(name: str, table: Any) -> np.ndarray:
    refuse_masked(table, what=f"its {name}")
    try:
        return as_array(table) if isinstance(table, Tensor) else np.asarray(table)
    except (ValueError, TypeError) as error:
        raise InputError(f"its {name} cannot be read as an array ({error})") from None


def _numbers(name: str, table: Any) -> np.ndarray:
    return number_table(name, _array(name, table))


def _indices(name: str, table: Any) -> np.ndarray:
    found = number_table(name, _array(name, table), dtype=np.int64)
    if not len(found):
        raise InputError("it has no faces; give points with normals as a pair, or as a PointCloud")
    return found


def distance_to(reference: Any, normalization: Normalization) -> MeshDistance | None:
    """Return the distances to a reference mesh, in the box; None without one.

    Args:
        reference: Whatever `as_shape` takes, or None.
        normalization: Moves it into the box.

    Raises:
        InputError: If it is no mesh.
    """
    if reference is None:
        return None
    loaded = as_shape(reference, what="reference")
    if not isinstance(loaded.shape, Mesh):
        raise InputError(f"{loaded.name}: a picture of the error needs a mesh as reference, this is a point cloud")
    return MeshDistance(normalization.mesh_to_box(loaded.shape))


def digest_of(shape: Shape, colors: SurfaceColors | None) -> str:
    """Return the SHA-256 of a surface's content, with its colors where it has some."""
    tables: tuple[np.ndarray, ...]
    tables = (shape.vertices, shape.faces) if isinstance(shape, Mesh) else (shape.points, shape.normals)
    what = [f"{table.dtype} {table.shape}" for table in tables]
    if isinstance(shape, PointCloud) and shape.noise:
        what.append(f"noise {shape.noise:.6g}")
    if colors is not None:
        tables += tuple(table for table in (colors.points, colors.colors, colors.faces) if table is not None)
        if (texture := colors.texture) is not None:
            tables += (texture.of_face, texture.places, *(each.pixels for each in texture.textures))
            what += [f"{each.pixels.shape} {each.wrap} {each.factor}" for each in texture.textures]
    digest = hashlib.sha256(" ".join(what).encode())
    for table in tables:
        digest.update(np.ascontiguousarray(table).tobytes())
    return digest.hexdigest()


def facts_of(loaded: LoadedShape) -> dict[str, Any]:
    """Return what a model file and a config say about a surface."""
    shape = loaded.shape
    kind = "mesh" if isinstance(shape, Mesh) else "point cloud"
    return {
        "name": Path(loaded.name).name,
        "kind": kind,
        "elements": len(shape.faces) if isinstance(shape, Mesh) else len(shape.points),
        "bounds": shape.bounds.tolist(),
        "notes": list(loaded.notes),
    }
