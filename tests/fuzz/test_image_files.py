"""Damaged pictures are read or refused in one line: no other exception, no warning, no hang, no memory over the limit.

FINER_FUZZ_FILES=100000 FINER_FUZZ_SEED=7 pytest tests/fuzz takes an hour and other files.
"""

import os
import random
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from finer_core.errors import InputError
from finer_image.image_opener import open_image
from finer_image.image_reader import read_image
from tests.image.format_samples import FILES
from tests.image.image_files import exr_file, noise, tiff_bytes
from tests.image.large_files import large_file

from .mutations import damaged

resource = pytest.importorskip("resource", reason="this system does not tell the memory that was taken")
COUNT, SEED = int(os.environ.get("FINER_FUZZ_FILES", "400")), int(os.environ.get("FINER_FUZZ_SEED", "0"))
PIXEL_BYTES, WORKING_BYTES = 20_000_000, 60_000_000


def sources(folder: Path) -> dict[str, bytes | Path]:
    """Return files of every format, and folders of Zarr where it is installed."""
    files: dict[str, bytes | Path] = {name: make() for name, make in FILES.items()}
    files["nodata.tif"] = tiff_bytes(noise(20, 28, dtype="float32"), extratags=[(42113, "s", 0, "-9999", True)])
    files["tiles.tif"] = tiff_bytes(noise(40, 48, 3), tile=(16, 16), compression="zlib", planarconfig="contig")
    planes = {name: noise(20, 28, dtype="float16", seed=ord(name)) for name in "RGB"}
    files["a.exr"] = exr_file(folder / "a.exr", planes).read_bytes()
    np.save(folder / "a.npy", noise(20, 28, 3))
    files["a.npy"] = (folder / "a.npy").read_bytes()
    for kind in ("zarr2", "zarr3"):
        (folder / kind).mkdir()
        try:
            files[f"{kind}.zarr"] = large_file(folder / kind, kind, noise(100, 90, 3, dtype="uint16"))
        except pytest.skip.Exception:  # without the library, or without that version of the format
            continue
    return files


def damaged_copy(source: bytes | Path, path: Path, generator: random.Random) -> None:
    if isinstance(source, bytes):
        path.write_bytes(damaged(source, generator))
        return
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(source, path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    metadata = [file for file in files if file.name in (".zarray", "zarr.json", ".zattrs")]
    file = generator.choice(metadata if generator.random() < 0.6 else files)
    file.write_bytes(damaged(file.read_bytes(), generator))


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def test_damaged_pictures(tmp_path, capfd):
    generator = random.Random(SEED)
    files = sources(tmp_path)
    for name, source in files.items():  # loads every library, and shows that the files are good
        path = tmp_path / f"good-{name}"
        damaged_copy(source, path, random.Random(0)) if isinstance(source, Path) else path.write_bytes(source)
        if isinstance(source, bytes):
            read_image(path)
    before, refused = peak(), 0
    for number in range(COUNT):
        name = generator.choice(list(files))
        path = tmp_path / f"bad{Path(name).suffix}"
        damaged_copy(files[name], path, generator)
        limits = {"memory_bytes": PIXEL_BYTES, "working_bytes": WORKING_BYTES}
        started = time.monotonic()
        for memory_bytes in (PIXEL_BYTES, 100):
            try:
                image = open_image(path, cache_bytes=WORKING_BYTES, **{**limits, "memory_bytes": memory_bytes})
                image.read(slice(0, min(4, image.height)))
            except InputError as error:
                refused += 1
                message = str(error)
                assert len(message) <= 300 and "\n" not in message and path.name in message, (number, name, message)
        assert time.monotonic() - started < 10, (number, name)
        assert peak() - before < 2 * WORKING_BYTES, (number, name)
    assert 0 < refused < 2 * COUNT
    assert capfd.readouterr() == ("", "")
