"""Read what a folder says of its Zarr array, and let through only what is known to be numbers in known codecs.

A codec is code that the library looks up by a name that stands in the file, and one of them unpickles what the chunks
hold. So the metadata is checked here, by a list of what is allowed, before the library sees the folder at all.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import without_repetition
from finer_core.schema import shown
from finer_image.io.source import file_error

_MARKS = {2: ".zarray", 3: "zarr.json"}
_GROUPS = (".zgroup", "zarr.json")
_MOST_METADATA_BYTES = 1 << 20
_LISTED = 5
"""Arrays of a group that a message names."""

_WIDEST, _CHECKSUMS = 8, 64
"""Times that filters may make values longer, since a byte may become a double, and bytes of what they add."""
_COMPRESSORS = ("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd")
_FILTERS = (
    *("adler32", "astype", "bitround", "crc32", "crc32c", "delta", "fixedscaleoffset", "fletcher32"),
    *("jenkins_lookup3", "packbits", "quantize", "shuffle"),
)
CODECS = {
    2: frozenset((*_COMPRESSORS, *_FILTERS)),
    3: frozenset(
        ("blosc", "bytes", "crc32c", "gzip", "sharding_indexed", "transpose", "zstd")
        + tuple(f"numcodecs.{name}" for name in (*_COMPRESSORS, *_FILTERS))
    ),
}
"""Codecs that may be in an array of either format version; they turn numbers into numbers and run nothing else."""
_TYPES = {
    f"{kind}{bits}": np.dtype(f"{kind}{bits}")
    for kind, sizes in (("int", (8, 16, 32, 64)), ("uint", (8, 16, 32, 64)), ("float", (16, 32, 64)))
    for bits in sizes
} | {"bool": np.dtype(np.bool_)}


@dataclass(frozen=True, kw_only=True)
class ZarrMetadata:
    """Hold what was checked of an array.

    Attributes:
        version: Version of the format, 2 or 3.
        shape: (height, width) or (height, width, channels).
        chunks: Shape of what is decoded at once: a chunk, or a part of it in a sharded array.
        files: Number of chunks, each of which is a file unless it holds nothing but the fill value.
        dtype: Type of a value.
        fill_value: What chunks that are not stored are read as.
        attributes: What a user wrote beside the array.
        dimensions: Names of the axes in lower case, empty without.
        compressor: Name of the codec that packs the chunks, "" for none; None for those inside shards.
        trailer: Bytes of the checksums behind what was packed.
        most_bytes: Bytes that a chunk, unpacked, may have.
        key: How the file of a chunk is named: what stands before and between the numbers.
    """

    version: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    files: int
    dtype: np.dtype
    fill_value: Any
    attributes: Mapping[str, Any]
    dimensions: tuple[str, ...]
    compressor: str | None
    trailer: int
    most_bytes: int
    key: tuple[str, str]

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a decoded chunk, which is whole also where it sticks out of the array."""
        return math.prod(self.chunks) * self.dtype.itemsize


def is_zarr(path: Path) -> bool:
    """Return whether a path is a folder that holds a Zarr array or group."""
    return path.is_dir() and any((path / mark).is_file() for mark in (*_MARKS.values(), *_GROUPS))


def read_metadata(path: Path, *, versions: Sequence[int]) -> ZarrMetadata:
    """Read and check what a folder says of its array.

    Args:
        path: The array's folder.
        versions: Format versions that the installed library reads, the preferred one first.

    Returns:
        The metadata.

    Raises:
        InputError: It holds no array of real numbers of rank 2 or 3, or names a codec that is not in `CODECS`.
    """
    present = [version for version in (*versions, *_MARKS) if (path / _MARKS[version]).is_file()]
    if not present or _is_group(path, present[0]):
        inside = sorted(item.name for item in path.iterdir() if is_zarr(item))
        listed = ", ".join(inside[:_LISTED]) + ", ..." * (len(inside) > _LISTED)
        raise file_error(path, f"is a group of Zarr arrays; name one of them ({listed or 'it has none'})")
    version = present[0]
    if version not in versions:
        raise file_error(path, f"is of Zarr format {version}, which the installed library does not read: update zarr")
    fields = _object(path, _MARKS[version])
    try:
        return _checked_2(path, fields) if version == 2 else _checked_3(fields)
    except InputError as error:
        raise file_error(path, error) from None


def _is_group(path: Path, version: int) -> bool:
    return version == 3 and _object(path, _MARKS[3]).get("node_type") == "group"


def _object(path: Path, name: str) -> dict[str, Any]:
    """Read a JSON object of the array's folder."""
    try:
        with (path / name).open("rb") as handle:
            text = handle.read(_MOST_METADATA_BYTES + 1)
        if len(text) > _MOST_METADATA_BYTES:
            raise ValueError(f"it has more than {_MOST_METADATA_BYTES:,} bytes")
        fields = json.loads(text.decode("utf-8"), object_pairs_hook=without_repetition)
    except RecursionError:
        raise file_error(path, f"is not a Zarr array: its {name} is nested too deep; write it again") from None
    except (OSError, ValueError) as error:
        reason = f"is not a Zarr array: its {name} cannot be read ({error}); write it again"
        raise file_error(path, reason) from error
    if not isinstance(fields, dict):
        raise file_error(path, f"is not a Zarr array: its {name} holds no JSON object; write it again")
    return fields


def _checked_2(path: Path, fields: Mapping[str, Any]) -> ZarrMetadata:
    if fields.get("zarr_format") != 2:
        raise InputError(f"declares the Zarr format {shown(fields.get('zarr_format'))} in .zarray; it has to be 2")
    codecs = _list(fields.get("filters") or [], "filters")
    codecs += [] if fields.get("compressor") is None else [fields["compressor"]]
    names = [_checked_codec(codec, name_at="id", version=2) for codec in codecs]
    chunks = _sizes(fields.get("chunks"), "chunks")
    attributes = _object(path, ".zattrs") if (path / ".zattrs").is_file() else {}
    return _checked(
        version=2,
        names=names,
        shape=_sizes(fields.get("shape"), "shape"),
        chunks=chunks,
        grid_chunks=chunks,
        dtype=_dtype(fields.get("dtype")),
        fill_value=fields.get("fill_value"),
        attributes=attributes,
        dimensions=_names(attributes.get("_ARRAY_DIMENSIONS")),
        key=("", _separator(fields.get("dimension_separator", "."))),
    )


def _checked_3(fields: Mapping[str, Any]) -> ZarrMetadata:
    codecs = _list(fields.get("codecs"), "codecs")
    names = [_checked_codec(codec, name_at="name", version=3) for codec in codecs]
    if fields.get("storage_transformers"):
        raise InputError("names storage transformers, of which none is allowed; write it without")
    grid = fields.get("chunk_grid")
    if not isinstance(grid, dict) or grid.get("name") != "regular" or not isinstance(grid.get("configuration"), dict):
        raise InputError(f"has the chunk grid {shown(grid)}; write it with chunks of one size ('regular')")
    kind = fields.get("data_type")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise InputError(f"holds {shown(kind)} values; save an array of real numbers")
    attributes = fields.get("attributes")
    grid_chunks = chunks = _sizes(grid["configuration"].get("chunk_shape"), "chunk_shape")
    if names and names[0] == "sharding_indexed":
        chunks = _sizes(codecs[0].get("configuration", {}).get("chunk_shape"), "chunk_shape")
    return _checked(
        version=3,
        names=names,
        shape=_sizes(fields.get("shape"), "shape"),
        chunks=chunks,
        grid_chunks=grid_chunks,
        dtype=_TYPES[kind],
        fill_value=fields.get("fill_value"),
        attributes=attributes if isinstance(attributes, dict) else {},
        dimensions=_names(fields.get("dimension_names")),
        key=_key(fields.get("chunk_key_encoding")),
    )


def _key(encoding: Any) -> tuple[str, str]:
    """Return what stands before and between the numbers in the name of a chunk of format 3."""
    name = encoding.get("name") if isinstance(encoding, dict) else encoding
    options = encoding.get("configuration", {}) if isinstance(encoding, dict) else {}
    if name not in ("default", "v2") or not isinstance(options, dict):
        raise InputError(f"encodes the names of its chunks by {shown(encoding)}; write it again")
    separator = _separator(options.get("separator", "/" if name == "default" else "."))
    return (f"c{separator}" if name == "default" else ""), separator


def _separator(text: Any) -> str:
    if text not in (".", "/"):
        raise InputError(f"separates the numbers of its chunks by {shown(text)}; it has to be '.' or '/'")
    return str(text)


def _checked(
    *,
    names: Sequence[str],
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    grid_chunks: tuple[int, ...],
    dtype: np.dtype,
    **rest: Any,
) -> ZarrMetadata:
    if len(shape) not in (2, 3):
        raise InputError(f"has shape {shown(shape)}; give an array of (height, width) or (height, width, channels)")
    if 0 in shape:
        raise InputError(f"has shape {shape}, which holds no pixels")
    for sizes in (chunks, grid_chunks):
        if len(sizes) != len(shape) or 0 in sizes:
            raise InputError(f"has chunks of {shown(sizes)} for the shape {shape}; write it again")
    files = math.prod(math.ceil(size / chunk) for size, chunk in zip(shape, grid_chunks, strict=True))
    packing = [name for name in names if name in _COMPRESSORS]
    sums = len(names) - 1 - names.index(packing[0]) if packing else 0
    if len(packing) > 1 or set(names[len(names) - sums :]) - {"crc32c"}:
        raise InputError(f"names the codecs {', '.join(names)[:60]}; give one compressor, behind the filters")
    widened = _WIDEST if set(names) & set(_FILTERS) else 1
    return ZarrMetadata(
        shape=shape,
        chunks=chunks,
        files=files,
        dtype=dtype,
        compressor=None if "sharding_indexed" in names else (packing or [""])[0],
        trailer=4 * sums,
        most_bytes=widened * math.prod(grid_chunks) * dtype.itemsize + _CHECKSUMS,
        **rest,
    )


def _checked_codec(codec: Any, *, name_at: str, version: int) -> str:
    """Return the name of a codec; refuse one that is not on the list, also inside another, or that makes no numbers."""
    if isinstance(codec, str) and version == 3:
        codec = {name_at: codec}
    name = codec.get(name_at) if isinstance(codec, dict) else None
    if not isinstance(name, str) or name not in CODECS[version]:
        what = shown(name if isinstance(name, str) else codec)
        allowed = "blosc, zstd, gzip" if version == 3 else "blosc, zstd, zlib"
        raise InputError(f"names the codec {what}, which is not allowed; write the array with {allowed} or none")
    options = codec.get("configuration", {}) if version == 3 else codec
    if not isinstance(options, dict):
        raise InputError(f"configures the codec {name} by {shown(options)}; write the array again")
    for option, value in options.items():
        if option in ("codecs", "index_codecs"):
            for inner in _list(value, option):
                _checked_codec(inner, name_at=name_at, version=version)
        elif option in ("dtype", "astype", "encode_dtype", "decode_dtype"):
            _dtype(value)
        elif option not in (name_at, "order", "chunk_shape") and not isinstance(value, str | int | float | None):
            raise InputError(f"configures the codec {name} by {option}={shown(value)}; write the array again")
    return name.removeprefix("numcodecs.")


def _dtype(text: Any) -> np.dtype:
    """Return a type of real numbers; every other one, such as that of Python's objects, is refused."""
    try:
        dtype = np.dtype(text) if isinstance(text, str) and len(text) <= 8 else None
    except (TypeError, ValueError, SyntaxError):  # NumPy parses the text as its own small language
        dtype = None
    if dtype is None or dtype.kind not in "biuf":
        what = dtype or shown(text)
        raise InputError(f"holds {what} values; save an array of real numbers")
    return dtype


def _names(value: Any) -> tuple[str, ...]:
    """Return names of axes, which are no reason to refuse an array."""
    return tuple(str(name).lower() for name in value) if isinstance(value, list) and len(value) < 4 else ()


def _sizes(value: Any, name: str) -> tuple[int, ...]:
    sizes = _list(value, name)
    if not all(type(size) is int and 0 <= size < 2**40 for size in sizes):
        raise InputError(f"has the {name} {shown(value)}; it has to be a list of sizes")
    return tuple(sizes)


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"has no list of {name} in its metadata but {shown(value)}; write it again")
    return value
