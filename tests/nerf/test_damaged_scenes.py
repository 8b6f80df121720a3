"""Scenes with damaged files are read, or refused in one short line; nothing else ever comes out of the reader."""

import random
import re
import time

import numpy as np
import pytest
from PIL import Image

from finer_core.errors import InputError
from finer_nerf.scenes.placing import place_scene
from finer_nerf.scenes.reader import read_scene

from .small_scenes import write_ball, write_transforms
from .test_colmap import binary_model

TRIALS = 60
TOKENS = [
    *[b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"1e300", b"1e-320", b"9" * 400, b"null", b"true", b"[]", b"{}"],
    *[b'""', b'"a"', b"[[1]]", b"\xff", b"\0", b"-", b'"' + b"a" * 3000 + b'"', b'"../../x"', b"\xff" * 8, b"\0" * 8],
    *[b"\0\0\0\0\0\0\xf0\x7f", b"\xff\xff\xff\xff\xff\xff\xff\x7f"],
]


def transforms(folder):
    write_transforms(folder, count=4, mask_path="m.png", test_filenames=["images/1.png"], k1=0.1, aabb_scale=2)
    Image.fromarray(np.full((12, 16), 255, np.uint8)).save(folder / "m.png")
    return [folder / name for name in ("transforms.json", "m.png", "images/1.png")]


def blender(folder):
    return sorted(write_ball(folder, size=8, train=3, test=2).glob("*.json"))


def binary(folder):
    return sorted((binary_model(folder, points=3) / "sparse" / "0").iterdir())


def text(folder):
    place = binary_model(folder) / "sparse" / "0"
    for path in place.iterdir():
        path.unlink()
    (place / "cameras.txt").write_text("# cameras\n1 OPENCV 16 16 20 20 8 8 0.1 0 0 0\n")
    (place / "images.txt").write_text("".join(f"{i + 1} 1 0 0 0 {i} 0 3 1 {i}.png\n1 2 -1\n" for i in range(5)))
    (place / "points3D.txt").write_text("".join(f"{i + 1} 0 0 {i} 1 2 3 0.1 1 0\n" for i in range(5)))
    return sorted(place.iterdir())


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return content that is cut, changed in some bytes, without a piece, or with something odd in it."""
    kind, start = rng.randrange(5), rng.randrange(len(content) + 1)
    if kind == 0:
        return content[:start]
    if kind == 1:
        changed = bytearray(content)
        for _ in range(rng.randint(1, 6)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    if kind == 2:
        return content[:start] + content[start + rng.randint(1, 30) :]
    if kind == 3:
        return content[:start] + rng.choice(TOKENS) + content[start + 8 * rng.randrange(2) :]
    number = rng.choice(list(re.finditer(rb"-?\d+\.?\d*(e-?\d+)?", content)) or [re.match(b"", content)])
    return content[: number.start()] + rng.choice(TOKENS) + content[number.end() :]


@pytest.mark.parametrize("write", [transforms, blender, binary, text])
def test_damaged_scenes(tmp_path, write):
    rng = random.Random(write.__name__)
    folder = tmp_path / "scene"
    paths = write(folder)
    for _ in range(TRIALS):
        path = rng.choice(paths)
        content = path.read_bytes()
        path.write_bytes(damaged(content, rng))
        started = time.process_time()
        try:
            scene = read_scene(str(folder), memory=10**9)
            frame = place_scene(scene).frame
            assert np.isfinite(frame.poses_to_box(scene.train.poses)).all()
            assert all(len(note) <= 300 and note.isprintable() for note in scene.notes)
        except InputError as error:
            assert len(str(error)) <= 300 and "\n" not in str(error)
        assert time.process_time() - started < 10
        path.write_bytes(content)
