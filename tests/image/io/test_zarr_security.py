"""A Zarr array whose metadata names code to run, or promises what is not there, is refused before any chunk is read."""

import gzip
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finer_core.errors import InputError
from finer_image.io.opening import open_image
from finer_image.io.reader import load_image, read_image

zarr = pytest.importorskip("zarr", reason="the extra finer-image[zarr] is not installed")
KNOWS_3 = not zarr.__version__.startswith("2.")
ARRAY_2: dict[str, Any] = {
    "zarr_format": 2,
    "shape": [8, 8],
    "chunks": [8, 8],
    "dtype": "|u1",
    "compressor": None,
    "fill_value": 0,
    "order": "C",
    "filters": None,
}
ARRAY_3: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [8, 8],
    "data_type": "uint8",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [8, 8]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "codecs": [{"name": "bytes"}],
    "fill_value": 0,
    "attributes": {},
}


class Payload:
    """Unpickled, this makes a file with the name `ran`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def array_of(folder: Path, fields: dict[str, Any] | str, *, chunk: bytes = bytes(range(64))) -> Path:
    """Write an array with these metadata and one chunk."""
    folder.mkdir(parents=True, exist_ok=True)
    text = fields if isinstance(fields, str) else json.dumps(fields)
    version = 3 if isinstance(fields, dict) and fields["zarr_format"] == 3 else 2
    (folder / (".zarray" if version == 2 else "zarr.json")).write_text(text)
    (folder / ("c/0" if version == 3 else ".")).mkdir(parents=True, exist_ok=True)
    (folder / ("c/0/0" if version == 3 else "0.0")).write_bytes(chunk)
    return folder


def refusal(path: Path) -> str:
    messages = []
    for limit in (None, 10):  # whole, and in parts
        with pytest.raises(InputError) as caught:
            if limit is None:
                read_image(path, memory="100GB")  # so that the array itself is what is refused
            else:
                open_image(path, memory_bytes=limit, cache_bytes=10**6)
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and "\n" not in messages[0] and len(messages[0]) <= 300
    assert path.name in messages[0] and "Error" not in messages[0]
    return messages[0]


PICKLE = {"id": "pickle", "protocol": 5}
ATTACKS_2: dict[str, dict[str, Any]] = {
    "compressor": {"compressor": PICKLE},
    "filter": {"filters": [PICKLE]},
    "second filter": {"filters": [{"id": "delta", "dtype": "|u1"}, PICKLE], "compressor": {"id": "zlib", "level": 1}},
    "objects": {"dtype": "|O", "filters": [PICKLE]},
    "objects in JSON": {"dtype": "|O", "filters": [{"id": "json2"}]},
    "objects through a filter": {"filters": [{"id": "astype", "encode_dtype": "|u1", "decode_dtype": "|O"}]},
    "unknown codec": {"compressor": {"id": "somebodys.codec"}},
    "codec without a name": {"compressor": {"protocol": 5}},
    "codec that is a text": {"compressor": "pickle"},
    "name that is a list": {"compressor": {"id": ["pickle"]}},
    "records": {"dtype": [["a", "|O"], ["b", "|u1"]]},
    "records in a text": {"dtype": "O,u1"},
}


@pytest.mark.parametrize("attack", ATTACKS_2)
@pytest.mark.parametrize("name", ["a.zarr", "a.n5"])  # the library reads other metadata of the second
def test_code_in_format_2(tmp_path, attack, name):
    chunk = pickle.dumps(Payload(tmp_path / "ran"))
    path = array_of(tmp_path / name, {**ARRAY_2, **ATTACKS_2[attack]}, chunk=chunk)
    (path / "attributes.json").write_text(
        json.dumps({"dimensions": [8, 8], "blockSize": [8, 8], "dataType": "uint8", "compression": PICKLE})
    )
    message = refusal(path)
    assert "not allowed" in message or "values; save an array of real numbers" in message
    assert not (tmp_path / "ran").exists()


def nested(depth: int, innermost: Any) -> Any:
    """Put codecs inside a sharding codec, inside another one, and so on."""
    for _ in range(depth):
        innermost = {"name": "sharding_indexed", "configuration": {"chunk_shape": [8, 8], "codecs": [innermost]}}
    return innermost


NAMED = {"name": "numcodecs.pickle", "configuration": {"protocol": 5}}
ATTACKS_3: dict[str, dict[str, Any]] = {
    "codec": {"codecs": [{"name": "bytes"}, NAMED]},
    "codec by its bare name": {"codecs": ["numcodecs.pickle"]},
    "inside a shard": {"codecs": [nested(1, NAMED)]},
    "inside a shard in a shard": {"codecs": [nested(3, NAMED)]},
    "index of a shard": {
        "codecs": [
            {
                "name": "sharding_indexed",
                "configuration": {"chunk_shape": [8, 8], "codecs": [{"name": "bytes"}], "index_codecs": [NAMED]},
            }
        ]
    },
    "objects through a filter": {
        "codecs": [{"name": "numcodecs.astype", "configuration": {"encode_dtype": "|u1", "decode_dtype": "|O"}}]
    },
    "storage transformer": {"storage_transformers": [{"name": "pickle"}]},
    "type that is an extension": {"data_type": {"name": "numpy.object"}},
    "objects": {"data_type": "object"},
}


@pytest.mark.skipif(not KNOWS_3, reason="this zarr knows format 2 only")
@pytest.mark.parametrize("attack", ATTACKS_3)
def test_code_in_format_3(tmp_path, attack):
    chunk = pickle.dumps(Payload(tmp_path / "ran"))
    message = refusal(array_of(tmp_path / "a.zarr", {**ARRAY_3, **ATTACKS_3[attack]}, chunk=chunk))
    assert "allowed" in message or "values; save an array of real numbers" in message
    assert not (tmp_path / "ran").exists()


def test_an_array_of_a_group_is_checked_too(tmp_path):
    array_of(
        tmp_path / "group.zarr" / "level0", {**ARRAY_2, "compressor": PICKLE}, chunk=pickle.dumps(Payload(tmp_path))
    )
    (tmp_path / "group.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    assert "name one of them (level0)" in refusal(tmp_path / "group.zarr")
    assert "not allowed" in refusal(tmp_path / "group.zarr" / "level0")


def test_long_names_and_many_arrays_make_no_long_message(tmp_path):
    refusal(array_of(tmp_path / "a.zarr", {**ARRAY_2, "dtype": "x" * 5000}))
    refusal(array_of(tmp_path / "b.zarr", {**ARRAY_2, "compressor": {"id": "x" * 5000}}))
    for number in range(50):
        array_of(tmp_path / "group.zarr" / f"{number:02}-{'x' * 200}", ARRAY_2)
    (tmp_path / "group.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    assert "is a group of Zarr arrays" in refusal(tmp_path / "group.zarr")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"zarr_format": 2, "shape": ' + "[" * 100_000, "nested too deep"),
        ("{", "cannot be read"),
        ("[]", "no JSON object"),
        (" " * 2_000_000, "more than 1,048,576 bytes"),
        ("{}", "declares the Zarr format None"),
        (json.dumps({**ARRAY_2, "shape": [8, 8.5]}), "has the shape [8, 8.5]"),
        (json.dumps({**ARRAY_2, "shape": [8, True]}), "has the shape [8, True]"),
        (json.dumps({**ARRAY_2, "chunks": [0, 8]}), "has chunks of (0, 8)"),
        (json.dumps({**ARRAY_2, "chunks": [8]}), "has chunks of (8,)"),
        (json.dumps({**ARRAY_2, "filters": {"id": "delta"}}), "no list of filters"),
    ],
)
def test_metadata_that_are_none(tmp_path, text, words):
    assert words in refusal(array_of(tmp_path / "a.zarr", text))


def test_attributes_that_are_nested_too_deep(tmp_path):
    path = array_of(tmp_path / "a.zarr", ARRAY_2)
    (path / ".zattrs").write_text("[" * 100_000)
    assert "its .zattrs is nested too deep" in refusal(path)


@pytest.mark.parametrize("version", [2, 3] if KNOWS_3 else [2])
def test_an_array_that_is_not_there_is_a_bomb(tmp_path, version):
    """10^10 pixels of one chunk of 64 bytes: without the check the walk over them would not end."""
    side = 100_000
    fields = {**ARRAY_2, "shape": [side, side]} if version == 2 else {**ARRAY_3, "shape": [side, side]}
    assert "bomb" in refusal(array_of(tmp_path / "a.zarr", fields))


def test_chunks_that_are_larger_than_the_array_count(tmp_path):
    fields = {**ARRAY_2, "shape": [8, 9], "chunks": [20_000, 20_000]}
    path = array_of(tmp_path / "a.zarr", fields)
    with pytest.raises(InputError, match="--memory"):
        load_image(path, memory_bytes=10**6, working_bytes=10**8)
    with pytest.raises(InputError, match="--memory"):
        open_image(path, memory_bytes=10, cache_bytes=10**8)


@pytest.mark.parametrize("version", [2, 3] if KNOWS_3 else [2])
def test_chunks_that_are_not_stored_are_told(tmp_path, version, caplog):
    fields = {**ARRAY_2, "shape": [8, 24]} if version == 2 else {**ARRAY_3, "shape": [8, 24]}
    image = read_image(array_of(tmp_path / "a.zarr", fields))
    assert image.notes == ("2 of its 3 chunks are not stored and are read as its fill value, 0",)
    assert image.notes[0] in caplog.text and not image.pixels[:, 8:].any()


COMPRESSORS = ({"id": "zlib", "level": 1}, {"id": "lzma"}, {"id": "blosc"}, {"id": "zstd", "level": 1}, None)


@pytest.mark.parametrize("compressor", COMPRESSORS, ids=str)
def test_what_is_allowed_is_read(tmp_path, compressor):
    from numcodecs import get_codec

    pixels = np.random.default_rng(0).integers(0, 1000, (8, 8)).astype("<u2")
    delta = {"id": "delta", "dtype": "<u2", "astype": "<u2"}
    chunk = get_codec(dict(delta)).encode(pixels.ravel())
    chunk = bytes(chunk.tobytes() if compressor is None else get_codec(dict(compressor)).encode(chunk))
    fields = {**ARRAY_2, "dtype": "<u2", "compressor": compressor, "filters": [delta]}
    assert np.array_equal(read_image(array_of(tmp_path / "a.zarr", fields, chunk=chunk)).pixels[:, :, 0], pixels)


@pytest.mark.skipif(not KNOWS_3, reason="this zarr knows format 2 only")
def test_shards_are_read_by_their_chunks(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    array = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=pixels.shape, chunks=(10, 8, 3), shards=(20, 16, 3), dtype=pixels.dtype
    )
    array[...] = pixels
    disk = open_image(tmp_path / "a.zarr", memory_bytes=10, cache_bytes=10**6)
    assert disk.reader.piece == (10, 8) and disk.notes == ()
    assert np.array_equal(disk.read(slice(3, 33), slice(5, 47)), pixels[3:33, 5:47])


BOMB = bytes(30_000_000)


def packed(codec: str) -> tuple[bytes, dict[str, Any]]:
    """Pack a bomb; return it with the codec's metadata."""
    from numcodecs import get_codec

    config = {"id": codec, **({} if codec in ("lzma", "blosc", "lz4") else {"level": 9})}
    return bytes(get_codec(dict(config)).encode(BOMB)), config


@pytest.mark.parametrize("codec", ["zlib", "gzip", "bz2", "lzma", "blosc", "lz4", "zstd"])
def test_a_chunk_that_unpacks_to_more_than_its_pixels_is_a_bomb(tmp_path, codec, monkeypatch):
    """Each is a few kilobytes; what comes out of it is never made."""
    chunk, config = packed(codec)
    monkeypatch.setattr("finer_image.io.windows.zarr._OVERHEAD", 10**6)  # so that the size of the file does not tell
    path = array_of(tmp_path / "a.zarr", {**ARRAY_2, "compressor": config}, chunk=chunk)
    with pytest.raises(InputError, match="is a truncated or corrupt Zarr array at row 0, column 0"):
        read_image(path)
    if KNOWS_3:
        named = {"name": f"numcodecs.{codec}", "configuration": {k: v for k, v in config.items() if k != "id"}}
        fields = {**ARRAY_3, "codecs": [{"name": "bytes"}, named, {"name": "crc32c"}]}
        with pytest.raises(InputError, match="is a truncated or corrupt Zarr array at row 0, column 0"):
            read_image(array_of(tmp_path / "b.zarr", fields, chunk=chunk + bytes(4)))


def test_bombs_in_bombs_and_behind_bombs(tmp_path):
    zlib_codec = {"id": "zlib", "level": 1}
    for fields in (
        {"compressor": zlib_codec, "filters": [zlib_codec]},
        {"filters": [zlib_codec, {"id": "delta", "dtype": "|u1"}]},
    ):
        assert "give one compressor" in refusal(array_of(tmp_path / "a.zarr", {**ARRAY_2, **fields}))
    two = gzip.compress(bytes(64)) + gzip.compress(BOMB)  # two streams, of which the first is right
    path = array_of(tmp_path / "b.zarr", {**ARRAY_2, "compressor": {"id": "gzip", "level": 1}}, chunk=two)
    with pytest.raises(InputError, match="unpacks to more than"):
        read_image(path)


def test_chunks_that_are_no_files_or_far_too_long(tmp_path):
    path = array_of(tmp_path / "a.zarr", ARRAY_2, chunk=bytes(200_000))
    assert "pixels take fewer by far" in refusal(path)
    if hasattr(os, "mkfifo"):
        for name in ("0.0", ".zattrs"):
            path = array_of(tmp_path / f"pipe{name}.zarr", ARRAY_2)
            (path / name).unlink(missing_ok=True)
            os.mkfifo(path / name)  # who reads it waits for ever
            assert "which is no regular file" in refusal(path)


@pytest.mark.skipif(not KNOWS_3, reason="this zarr knows format 2 only")
@pytest.mark.parametrize("last", ["gzip", "zstd", "blosc"])
def test_what_is_allowed_in_format_3_is_read(tmp_path, last):
    pixels = np.random.default_rng(0).integers(0, 1000, (20, 24, 3)).astype("<u2")
    codec = getattr(zarr.codecs, f"{last.capitalize()}Codec")
    options = {
        "compressors": [codec(), zarr.codecs.Crc32cCodec()],
        "chunk_key_encoding": {"name": "v2", "separator": "."},
    }
    for number, more in enumerate((options, {"compressors": [codec()]})):
        path = tmp_path / f"{number}.zarr"
        zarr.create_array(str(path), shape=pixels.shape, chunks=(8, 8, 2), dtype="u2", **more)[...] = pixels
        assert np.array_equal(read_image(path).pixels, pixels)
