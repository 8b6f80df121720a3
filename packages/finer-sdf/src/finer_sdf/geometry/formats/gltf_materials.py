"""The colors of a glTF file's primitives: of their vertices, of their materials, and the textures of these."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import reason_of
from finer_sdf.geometry.formats.gltf_buffers import GltfFile, item
from finer_sdf.geometry.formats.pictures import read_texture
from finer_sdf.geometry.textures import NO_TEXTURE, Texture, Wrap

_WRAPS: dict[int, Wrap] = {10497: "repeat", 33648: "mirror", 33071: "clamp"}
"""By OpenGL's numbers."""
_SOURCES = ("EXT_texture_webp", "EXT_texture_avif")
"""Extensions that name another picture than the usual one, which may be missing."""
_TRANSFORM = "KHR_texture_transform"
_OLDER = "KHR_materials_pbrSpecularGlossiness"


class GltfTextures:
    """Read the textures that primitives name, each once.

    Args:
        file: What they are in.

    Attributes:
        textures: What was read.
        notes: What was left out, and why.
    """

    def __init__(self, file: GltfFile) -> None:
        self._file = file
        self._numbers: dict[Any, int] = {}
        self._pictures: dict[Any, Texture] = {}
        self.textures = list[Texture]()
        self.notes = list[str]()

    def of(self, primitive: dict[str, Any], count: int) -> tuple[int, np.ndarray]:
        """Return the number of a primitive's texture, and where its vertices lie in it, (count, 2).

        `NO_TEXTURE` and zeros if it has none, or one that cannot be read.
        """
        none = NO_TEXTURE, np.zeros((count, 2))
        info = self._color_of(primitive)[0]
        if info is None:
            return none
        try:
            places = self._places(primitive, info, count)
            return self._number(info["index"]), places
        except MemoryError:
            raise
        except Exception as error:  # whatever is wrong with a picture, the surface can be read without
            self.notes.append(f"left out a texture: {_reason_of(error)}")
            return none

    def base_color(self, primitive: dict[str, Any]) -> np.ndarray:
        """Return the linear color (3,) of a primitive's material, which multiplies those of its vertices."""
        return self._color_of(primitive)[1]

    def _color_of(self, primitive: dict[str, Any]) -> tuple[dict[str, Any] | None, np.ndarray]:
        """Return what the material of a primitive says of its texture, None if nothing, and its linear color (3,)."""
        index = primitive.get("material")
        try:
            info, factor = _color_of({} if index is None else item(self._file.json, "materials", index))
            color = np.array((factor or [1.0] * 3)[:3], dtype=np.float64)
            if color.shape != (3,):
                raise InputError(f"its factor {str(factor)[:60]} is not of 3 or 4 numbers")
        except Exception as error:  # whatever is wrong with a material, the surface can be read without
            self.notes.append(f"left out a material: {_reason_of(error)}")
            return None, np.ones(3)
        return info, np.clip(np.nan_to_num(color), 0, 1)

    def _places(self, primitive: dict[str, Any], info: dict[str, Any], count: int) -> np.ndarray:
        change = info.get("extensions", {}).get(_TRANSFORM, {})
        name = f"TEXCOORD_{change.get('texCoord', info.get('texCoord', 0))}"
        index = primitive["attributes"].get(name)
        if index is None or self._file.count(index) != count:
            raise InputError(f"a part of it has no {name} for each of its {count} vertices")
        places = self._file.accessor(index)
        if places.shape[1] != 2 or not np.isfinite(places).all():
            raise InputError(f"{name} are not two finite numbers a vertex")
        scale, offset = (np.array(change.get(key, usual)) for key, usual in (("scale", [1, 1]), ("offset", [0, 0])))
        angle = float(change.get("rotation", 0.0))
        if {scale.shape, offset.shape} != {(2,)} or not np.isfinite([*scale, *offset, angle]).all():
            raise InputError(f"its {_TRANSFORM} has a scale or an offset that is no two numbers")
        u, v = (places * scale).T
        turned = [math.cos(angle) * u + math.sin(angle) * v, math.cos(angle) * v - math.sin(angle) * u]
        return np.stack(turned, axis=1) + offset

    def _number(self, index: Any) -> int:
        if index not in self._numbers:
            stored = item(self._file.json, "textures", index)
            others = [stored.get("extensions", {}).get(name, {}).get("source") for name in _SOURCES]
            sources = [source for source in (stored.get("source"), *others) if source is not None]
            if not sources:
                raise InputError(f"it is of an extension that is not read ({', '.join(stored.get('extensions', {}))})")
            sampler = item(self._file.json, "samplers", stored["sampler"]) if "sampler" in stored else {}
            wrap = _WRAPS[sampler.get("wrapS", 10497)], _WRAPS[sampler.get("wrapT", 10497)]
            image = item(self._file.json, "images", sources[0])
            if sources[0] not in self._pictures:
                content = self._file.linked(image["uri"]) if "uri" in image else self._file.stretch(image["bufferView"])
                self._pictures[sources[0]] = read_texture(content, self._file.room)
            self.textures.append(replace(self._pictures[sources[0]], wrap=wrap))
            self._numbers[index] = len(self.textures) - 1
        return self._numbers[index]


def _color_of(material: dict[str, Any]) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Return what a material says of the texture of its color, and the factor of that; None where it says nothing.

    They are of its base color, or, where that says less, of the diffuse color of the extension that came before it.
    """
    usual = material.get("pbrMetallicRoughness", {})
    older = material.get("extensions", {}).get(_OLDER, {})
    says_less = "diffuseTexture" in older or "baseColorFactor" not in usual
    if "baseColorTexture" not in usual and says_less:
        return older.get("diffuseTexture"), older.get("diffuseFactor")
    return usual.get("baseColorTexture"), usual.get("baseColorFactor")


def _reason_of(error: Exception) -> str:
    return str(error) if isinstance(error, InputError) else f"what it says of it is wrong ({reason_of(error)})"


def vertex_colors(file: GltfFile, primitive: dict[str, Any], count: int) -> np.ndarray | None:
    """Return the vertex colors (n, 3) of a primitive, linear; None if it has none."""
    index = primitive["attributes"].get("COLOR_0")
    if index is None or file.count(index) != count:
        return None
    linear = file.accessor(index, is_share=True)[:, :3]
    return np.clip(linear, 0, 1) if linear.shape[1] == 3 and np.isfinite(linear).all() else None
