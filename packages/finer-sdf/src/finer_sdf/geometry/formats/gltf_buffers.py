"""The JSON of a glTF file, and the arrays and other content that its buffers hold."""

import base64
import json
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import without_repetition
from finer_sdf.geometry.formats.pictures import neighbor
from finer_sdf.geometry.raw import Room, cut_short

_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def item(data: dict[str, Any], kind: str, index: Any) -> dict[str, Any]:
    """Return an entry of one of the lists of a file's JSON, such as "meshes"; InputError if there is none."""
    items: list[dict[str, Any]] = data.get(kind, [])
    if not isinstance(index, int) or not 0 <= index < len(items):
        raise InputError(f"it names number {str(index)[:20]} of {len(items)} {kind}; it may be corrupt")
    return items[index]


class GltfFile:
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
        data = json.loads(text, object_pairs_hook=without_repetition)
        if not isinstance(data, dict) or not str(data.get("asset", {}).get("version", "")).startswith("2"):
            raise InputError("it is not glTF of version 2; it may be older, or of another format")
        self.json: dict[str, Any] = data
        self._buffers: dict[int, bytes] = {}

    def count(self, index: Any) -> int:
        """Return how many elements an accessor has."""
        return int(item(self.json, "accessors", index)["count"])

    def accessor(self, index: Any, *, is_share: bool = False) -> np.ndarray:
        """Return the values of an accessor, (count, width) float64; normalized integers become what they stand for.

        So do all that are shares of 1, as colors are, though an exporter forgot to say so.
        """
        stored = item(self.json, "accessors", index)
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
            check_places(where, count, what="element")
            values[where[:, 0]] = self._view(sparse["values"], kind, number, width)
        if (stored.get("normalized") or is_share) and kind.kind in "iu":
            values = np.maximum(values / np.iinfo(kind).max, -1.0)
        return values

    def _view(self, stored: dict[str, Any], kind: np.dtype, count: int, width: int) -> np.ndarray:
        """Return what a buffer holds for an accessor, (count, width), without a copy."""
        view = item(self.json, "bufferViews", stored["bufferView"])
        if packed := [name for name in view.get("extensions", {}) if str(name).endswith("_meshopt_compression")]:
            raise InputError(f"it is compressed by {packed[0]!s:.60}, which is not read; export it without")
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
            stored = item(self.json, "buffers", index)
            uri, length = stored.get("uri"), int(stored["byteLength"])
            if uri is None:
                self._buffers[index] = b"" if index else self._chunk
            else:
                self._buffers[index] = self.linked(uri, length)
        return self._buffers[index]

    def linked(self, uri: str, length: int | None = None) -> bytes:
        """Return what is written in a link itself, or the first `length` bytes of the file that it names."""
        if uri.startswith("data:"):
            return _content_of(uri)
        path = neighbor(self._folder, unquote(uri), what="its data are" if length else "it is")
        length = path.stat().st_size if length is None else length
        self.room.claim(text=length // 2)
        with path.open("rb") as file:
            return file.read(length)

    def stretch(self, index: Any) -> bytes:
        """Return the content of a buffer view."""
        view = item(self.json, "bufferViews", index)
        start, length = int(view.get("byteOffset", 0)), int(view["byteLength"])
        found = self._buffer(view["buffer"])[start : start + length]
        if start < 0 or len(found) < length:
            raise InputError(f"its buffer holds {len(found)} bytes of {length}; it was cut short")
        return found


def _content_of(uri: str) -> bytes:
    """Return what a link holds itself, as base64, of web addresses too, or else as text with bytes as %E9."""
    head, _, text = uri.partition(",")
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(text)
    letters = "".join(unquote(text).split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)


def check_places(places: np.ndarray, count: int, *, what: str) -> None:
    """Refuse numbers of elements that are none, or that would count from the end."""
    if (outside := places[~((places >= 0) & (places < count))]).size:
        raise InputError(f"it names {what} {outside[0]} of {count}; it may be corrupt")


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
