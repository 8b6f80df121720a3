"""Images that stay on disk: what is read of them is what the file holds, for every format, layout and type."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from finer_core.errors import InputError
from finer_image.io.image import Image
from finer_image.io.input_digest import sha256_of_input
from finer_image.io.lazy_image import DiskImage
from finer_image.io.opening import open_image, open_in_parts
from finer_image.io.reader import read_image
from finer_image.io.windows.reader import BlockReader
from tests.image.image_files import noise, saved, tiff_bytes
from tests.image.large_files import WRITERS, large_file

SHAPE = (123, 171, 3)


def assert_same_image(disk: DiskImage, whole: Image) -> None:
    """Assert that every part of the image, and all that is known about it, is equal."""
    assert disk.to_metadata() == whole.to_metadata()
    assert np.array_equal(disk.read(slice(None)), whole.pixels)
    random = np.random.default_rng(1)
    for _ in range(25):
        y0, y1 = np.sort(random.choice(whole.height + 1, 2, replace=False))
        x0, x1 = np.sort(random.choice(whole.width + 1, 2, replace=False))
        part = disk.read(slice(y0, y1), slice(x0, x1))
        assert part.dtype == whole.dtype
        assert np.array_equal(part, whole.pixels[y0:y1, x0:x1])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_window_of_every_layout(tmp_path, kind, dtype):
    pixels = noise(*SHAPE, dtype=dtype)
    disk = open_in_parts(large_file(tmp_path, kind, pixels))
    assert_same_image(disk, Image.from_pixels(pixels))
    assert disk.nbytes == pixels.nbytes


@pytest.mark.parametrize("kind", ["npy", "npy-fortran", "tiff", "tiff-tiles", "zarr3"])
def test_gray(tmp_path, kind):
    pixels = noise(90, 70, dtype="uint16")
    assert_same_image(open_in_parts(large_file(tmp_path, kind, pixels)), Image.from_pixels(pixels))


def test_booleans(tmp_path):
    np.save(tmp_path / "mask.npy", noise(40, 50) > 99)
    assert_same_image(open_in_parts(tmp_path / "mask.npy"), read_image(tmp_path / "mask.npy"))


SAMPLES = {
    "bilevel": lambda: tiff_bytes(noise(40, 50) > 99, compression="packbits"),
    "white is zero": lambda: tiff_bytes(noise(40, 50), photometric="miniswhite"),
    "palette": lambda: tiff_bytes(noise(40, 50), photometric="palette", colormap=noise(3, 256, dtype="uint16")),
    "inks": lambda: tiff_bytes(noise(40, 50, 4), photometric="separated", compression="zlib"),
    "premultiplied": lambda: tiff_bytes(noise(40, 50, 4), photometric="rgb", extrasamples=["assocalpha"]),
    "straight": lambda: tiff_bytes(noise(40, 50, 4), photometric="rgb", extrasamples=["unassalpha"]),
    "bands": lambda: tiff_bytes(noise(40, 50, 6), planarconfig="contig", tile=(16, 16), compression="lzma"),
    "jpeg": lambda: tiff_bytes(noise(96, 80, 3), photometric="rgb", compression="jpeg", tile=(32, 32)),
    "profile": lambda: tiff_bytes(noise(40, 50, 3), photometric="rgb", iccprofile=b"a profile"),
    "differences": lambda: tiff_bytes(noise(40, 50), compression="zlib", predictor=True, rowsperstrip=3),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_become_pixels_as_in_memory(tmp_path, name):
    path = saved(tmp_path / "samples.tif", SAMPLES[name]())
    assert_same_image(open_in_parts(path), read_image(path))


def test_blocks_are_decoded_once_on_a_walk_over_rows(tmp_path, monkeypatch):
    path = large_file(tmp_path, "tiff-tiles", noise(256, 300, 3))
    disk = open_in_parts(path)
    loaded = []
    load = type(disk.reader).load
    monkeypatch.setattr(type(disk.reader), "load", lambda self, *at: loaded.append(at) or load(self, *at))
    for top in range(0, 246):
        disk.read(slice(top, top + 11))  # bands that overlap
    assert isinstance(disk.reader, BlockReader)
    every = [(row, column) for row in range(4) for column in range(10)]
    assert [(0, 0), *sorted(loaded)] == every  # the first was decoded to see what the file holds
    assert len(disk.reader._kept) <= 20 and disk.reader.cache_bytes == 20 * 64 * 32 * 3


def test_small_images_are_held_in_memory_and_large_ones_are_not(tmp_path):
    pixels = noise(40, 50, 3)
    for kind in ("npy", "tiff-tiles", "zarr3"):
        (tmp_path / kind).mkdir()
        path = large_file(tmp_path / kind, kind, pixels)
        small = open_image(path, memory_bytes=6000, cache_bytes=10**6)
        assert isinstance(small, Image) and np.array_equal(small.pixels, pixels)
        assert isinstance(open_image(path, memory_bytes=5999, cache_bytes=10**6), DiskImage)


def refusal(path: Path, *, memory_bytes: int = 1000, cache_bytes: int = 10**6) -> str:
    with pytest.raises(InputError) as caught:
        open_image(path, memory_bytes=memory_bytes, cache_bytes=cache_bytes).read(slice(None))
    message = str(caught.value)
    assert "\n" not in message and path.name in message
    return message


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if "zarr" not in kind])
def test_cut_files(tmp_path, kind):
    path = large_file(tmp_path, kind, noise(*SHAPE))
    data = path.read_bytes()
    for length in (len(data) // 2, len(data) - 40):
        path.write_bytes(data[:length])
        assert "truncated" in refusal(path)


def test_a_file_that_is_cut_while_it_is_read(tmp_path):
    path = large_file(tmp_path, "npy", noise(*SHAPE))
    disk = open_in_parts(path)
    os.truncate(path, 5000)
    with pytest.raises(InputError, match=r"large\.npy: ends at byte 5000"):
        disk.read(slice(None))


def test_a_corrupt_tile(tmp_path):
    path = large_file(tmp_path, "tiff-tiles", noise(*SHAPE))
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].dataoffsets[5]
    data = bytearray(path.read_bytes())
    data[place : place + 100] = bytes(100)
    path.write_bytes(data)
    assert "corrupt TIFF at row 0, column 160" in refusal(path)


@pytest.mark.parametrize("kind", ["zarr2", "zarr3"])
def test_a_cut_chunk(tmp_path, kind):
    path = large_file(tmp_path, kind, noise(*SHAPE))
    chunk = max((file for file in path.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    chunk.write_bytes(chunk.read_bytes()[:50])
    assert "truncated or corrupt Zarr array at row" in refusal(path)


@pytest.mark.parametrize("kind", ["npy", "zarr3"])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5)])
def test_wrong_rank(tmp_path, kind, shape):
    if kind == "npy":
        np.save(tmp_path / "rank.npy", noise(*shape))
        assert str(shape) in refusal(tmp_path / "rank.npy", memory_bytes=1)
        return
    zarr = pytest.importorskip("zarr", reason="the extra finer-image[zarr] is not installed")
    zarr.open_array(str(tmp_path / "rank.zarr"), mode="w", shape=shape, chunks=shape, dtype="u1")
    assert str(shape) in refusal(tmp_path / "rank.zarr")


def test_folders_of_zarr_that_are_no_image(tmp_path):
    zarr = pytest.importorskip("zarr", reason="the extra finer-image[zarr] is not installed")
    zarr.open_group(str(tmp_path / "group.zarr"), mode="w")
    zarr.open_array(str(tmp_path / "group.zarr" / "level0"), mode="w", shape=(4, 4), chunks=(4, 4), dtype="u1")
    assert "name one of them (level0)" in refusal(tmp_path / "group.zarr")
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / "zarr.json").write_text("{")
    assert "zarr.json cannot be read" in refusal(tmp_path / "broken.zarr")
    (tmp_path / "broken.zarr" / "zarr.json").write_text('{"zarr_format": 3, "shape": [4, 4], "shape": [8, 8]}')
    assert "zarr.json cannot be read ('shape' stands there twice)" in refusal(tmp_path / "broken.zarr")
    zarr.open_array(str(tmp_path / "complex.zarr"), mode="w", shape=(4, 4), chunks=(4, 4), dtype="c8")
    assert "complex64" in refusal(tmp_path / "complex.zarr")


def test_zarr_without_its_library(tmp_path, monkeypatch):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / ".zarray").write_text("{}")
    monkeypatch.setitem(sys.modules, "zarr", None)
    assert "pip install 'finer-image[zarr]'" in refusal(tmp_path / "a.zarr")


@pytest.mark.parametrize("kind", ["npy", "tiff", "tiff-strips", "zarr3"])
def test_values_that_are_not_finite(tmp_path, kind, monkeypatch):
    pixels = noise(*SHAPE, dtype="float32")
    pixels[100, 5, 1] = np.nan
    pixels[101, 5, 1] = np.inf
    pixels[102, 0, 0] = -np.inf
    monkeypatch.setattr("finer_image.io.value_range._BLOCK_NUMBERS", 5000)  # several blocks
    message = refusal(large_file(tmp_path, kind, pixels))
    assert "2 infinite values, the first at row 101, column 5, channel 1 (inf)" in message


def test_what_cannot_be_read_in_parts_is_told_what_can(tmp_path):
    from tests.image.image_files import png

    path = saved(tmp_path / "large.png", png(noise(40, 50, 3), depth=8, color_type=2))
    message = refusal(path)
    for word in ("--memory", "6,000 bytes", ".npy", "TIFF", "Zarr"):
        assert word in message
    with pytest.raises(InputError, match=r"cannot be read in parts; give a \.npy, TIFF or Zarr"):
        open_in_parts(path)


def test_large_pieces_and_turned_pictures_are_refused(tmp_path):
    path = saved(tmp_path / "one.tif", tiff_bytes(noise(200, 100), compression="zlib", rowsperstrip=200))
    assert "pieces of 200x100 pixels" in refusal(path, cache_bytes=39_999)
    assert isinstance(open_image(path, memory_bytes=0, cache_bytes=40_000), DiskImage)
    turned = tiff_bytes(noise(40, 50), extratags=[(274, "H", 1, 6, True)])
    assert "orientation 6" in refusal(saved(tmp_path / "turned.tif", turned))


def test_several_pages_are_told_once(tmp_path, caplog):
    path = saved(tmp_path / "pages.tif", tiff_bytes(noise(2, 40, 50)))
    for memory_bytes in (10**6, 1000):
        caplog.clear()
        image = open_image(path, memory_bytes=memory_bytes, cache_bytes=10**6)
        assert image.shape == (40, 50, 1)
        assert [record.getMessage() for record in caplog.records] == [f"{path}: has 2 pages; only the first is used"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux lists the files that a process holds open")
def test_no_file_is_left_open(tmp_path):
    path = large_file(tmp_path, "npy", noise(*SHAPE))
    for _ in range(5):
        open_in_parts(path).read(slice(3))
    assert str(path) not in files_held_open()


def files_held_open():
    """List what this process holds open, whatever other tests left for the garbage collector."""
    return [os.path.realpath(entry.path) for entry in os.scandir("/proc/self/fd")]


def test_the_digest_of_a_folder_is_that_of_sha256sum(tmp_path):
    for name in ("b/0", "a", "B", "b.txt", "ü"):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_text(name)
    listing = subprocess.run(
        "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum",
        shell=True,
        cwd=tmp_path / "x",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert sha256_of_input(tmp_path / "x") == listing.split()[0]
    (tmp_path / "x" / "a").write_text("other")
    assert sha256_of_input(tmp_path / "x") != listing.split()[0]
    assert sha256_of_input(tmp_path / "x" / "B") == hashlib.sha256(b"B").hexdigest()


def test_the_reader_without_positioned_reads(tmp_path, monkeypatch):
    pixels = noise(*SHAPE, dtype="uint16")
    disk = open_in_parts(large_file(tmp_path, "npy", pixels))
    monkeypatch.delattr(os, "preadv", raising=False)  # as on Windows
    assert np.array_equal(disk.read(slice(5, 90), slice(7, 50)), pixels[5:90, 7:50])
