"""Damaged files of every format are read or refused in one line; nothing else leaves the reader."""

import io
import random
import re

import numpy as np
import pytest
import trimesh

from finer_core.errors import InputError
from finer_sdf.shapes.reader import FORMATS, read_shape

from .test_shape_formats import CORNERS, OUTLINE, QUADS, RELATIVE, off, ply, prism

WORDS = [b"-1", b"0", b"1e308", b"nan", b"inf", b"99999999999999999999", b"1e-320", b"\t", b",", b"\0", b"4294967295"]
BYTES = [b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f", b"\0\0\x80\x7f", b"\0\0\xc0\x7f"]


def whole_files() -> dict[str, list[bytes]]:
    box = trimesh.creation.box((3, 2, 1))
    points = np.random.default_rng(0).normal(size=(40, 3))
    text, archive, cloud = io.StringIO(), io.BytesIO(), io.BytesIO()
    np.savetxt(text, np.hstack([points, points]), fmt="%.3f")
    np.savez(archive, vertices=box.vertices, faces=box.faces)
    np.savez(cloud, points=points, normals=points)
    scene = trimesh.exchange.gltf.export_gltf(trimesh.Scene(box), merge_buffers=True, embed_buffers=True)
    return {
        ".ply": [ply(CORNERS, QUADS), ply(*prism(OUTLINE), kind="binary_little_endian"), box.export(file_type="ply")],
        ".obj": [RELATIVE.encode(), box.export(file_type="obj").encode()],
        ".stl": [box.export(file_type="stl"), box.export(file_type="stl_ascii").encode()],
        ".off": [off(*prism(OUTLINE)).encode()],
        ".glb": [box.export(file_type="glb")],
        ".gltf": [scene["model.gltf"]],
        ".xyz": [text.getvalue().encode()],
        ".npz": [archive.getvalue(), cloud.getvalue()],
    }


def damaged(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4])):
        at = chance.randrange(max(1, len(data)))
        piece = slice(at, at + chance.randrange(1, 64))
        kind = chance.randrange(6)
        if kind == 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[piece]
        elif kind == 3:
            data[at:at] = data[piece]
        elif kind == 4:
            data[at : at + 4] = chance.choice(BYTES)
        elif words := [word.span() for word in re.finditer(rb"[-+.\w]+", bytes(data))]:
            start, end = chance.choice(words)
            data[start:end] = chance.choice(WORDS)
    return bytes(data)


FILES = whole_files()


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    for number in range(60):
        chance = random.Random(f"{suffix}{number}")
        path.write_bytes(damaged(chance.choice(FILES[suffix]), chance))
        try:
            read_shape(path, memory=10**9)
        except InputError as error:
            message = str(error)
            assert message.startswith(str(path)) and len(message) <= 300 and "\n" not in message, (number, message)
