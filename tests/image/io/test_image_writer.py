"""What is written is what is read back, and what a format cannot hold is refused by name."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from finer_core.io.partial_files import is_partial
from finer_image.io import writer as image_writer
from finer_image.io.image import DTYPES, Image
from finer_image.io.reader import read_image
from finer_image.io.writer import WRITABLE, check_writable, default_suffix, write_image
from tests.image.image_files import noise, smooth

SIZES = [(1, 1), (1, 9), (9, 1), (2, 3), (17, 33)]
EXACT = [
    *((".png", dtype, channels) for dtype in ("uint8", "uint16") for channels in (1, 2, 3, 4)),
    *((".tif", dtype, channels) for dtype in DTYPES for channels in (1, 2, 3, 4, 5)),
    *((".npy", dtype, channels) for dtype in DTYPES for channels in (1, 2, 3, 4, 5)),
    *((".exr", dtype, channels) for dtype in ("float16", "float32", "uint32") for channels in (1, 2, 3, 4, 5)),
    *((".webp", "uint8", channels) for channels in (3, 4)),
    *((".bmp", "uint8", channels) for channels in (1, 3)),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("suffix", "dtype", "channels"), EXACT)
def test_round_trip_is_exact(tmp_path, suffix, dtype, channels, size):
    image = Image.from_pixels(noise(*size, channels, dtype=dtype))
    path = write_image(tmp_path / f"a{suffix}", image)
    restored = read_image(path)
    assert (restored.mode, restored.dtype, restored.value_range) == (
        image.mode,
        image.dtype,
        image.value_range,
    )
    np.testing.assert_array_equal(restored.pixels, image.pixels)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_jpeg_is_close(tmp_path, suffix, channels, size):
    samples = smooth(*size)[..., :channels]
    restored = read_image(write_image(tmp_path / f"a{suffix}", samples))
    assert restored.pixels.shape == samples.shape
    assert np.abs(restored.pixels.astype(int) - samples).max() <= 8


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("size", SIZES)
def test_hdr_is_close(tmp_path, dtype, size):
    samples = np.abs(noise(*size, 3, dtype=dtype))
    restored = read_image(write_image(tmp_path / "a.hdr", samples))
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored.pixels, samples, atol=float(samples.max()) / 128)


@pytest.mark.parametrize("channels", [1, 2])
def test_webp_stores_gray_as_color(tmp_path, channels):
    samples = noise(9, 7, channels)
    restored = read_image(write_image(tmp_path / "a.webp", samples))
    assert restored.mode == ("RGB" if channels == 1 else "RGBA")
    np.testing.assert_array_equal(restored.pixels[..., :3], samples[..., [0, 0, 0]])
    np.testing.assert_array_equal(restored.pixels[..., -1], samples[..., -1])


def test_exr_keeps_channel_names(tmp_path):
    names = ("R", "G", "B", "A", "depth.Z", "id")
    image = Image.from_pixels(noise(5, 7, 6, dtype="float16"), mode="CHANNELS", channel_names=names)
    restored = read_image(write_image(tmp_path / "a.exr", image))
    assert (restored.channel_names, restored.mode) == (names, "CHANNELS")
    np.testing.assert_array_equal(restored.pixels, image.pixels)


def test_exr_keeps_the_order_of_many_unnamed_channels(tmp_path):
    samples = noise(3, 4, 120, dtype="float32")
    np.testing.assert_array_equal(read_image(write_image(tmp_path / "a.exr", samples)).pixels, samples)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_profile_is_kept(tmp_path, suffix, channels):
    image = Image.from_pixels(noise(9, 7, channels), icc_profile=bytes(range(256)) * 9)
    restored = read_image(write_image(tmp_path / f"a{suffix}", image))
    kept = not (suffix == ".webp" and channels == 1)
    assert restored.icc_profile == (image.icc_profile if kept else None)


def test_profile_in_png_is_valid_for_others(tmp_path):
    image = Image.from_pixels(noise(9, 7, 3, dtype="uint16"), icc_profile=b"profile" * 50)
    with PIL.Image.open(write_image(tmp_path / "a.png", image)) as picture:
        picture.load()
        assert picture.info["icc_profile"] == image.icc_profile


def test_other_readers_agree(tmp_path):
    samples = noise(9, 7, 4)
    for suffix in (".png", ".tif", ".webp"):
        with PIL.Image.open(write_image(tmp_path / f"a{suffix}", samples)) as picture:
            np.testing.assert_array_equal(np.asarray(picture), samples)
    deep = noise(9, 7, 7, dtype="float64")
    np.testing.assert_array_equal(tifffile.imread(write_image(tmp_path / "deep.tif", deep)), deep)


@pytest.mark.parametrize(
    ("dtype", "channels", "suffix"),
    [("uint8", 1, ".png"), ("uint8", 4, ".png"), ("uint16", 2, ".png"), ("uint16", 5, ".tif")]
    + [("float16", 3, ".exr"), ("float32", 2, ".exr"), ("float32", 7, ".tif"), ("float64", 3, ".tif")]
    + [("int16", 1, ".tif"), ("uint8", 6, ".tif"), ("uint32", 1, ".tif")],
)
def test_default_suffix_holds_the_image(tmp_path, dtype, channels, suffix):
    image = Image.from_pixels(noise(5, 7, channels, dtype=dtype))
    assert default_suffix(image) == suffix
    restored = read_image(write_image(tmp_path / f"a{suffix}", image))
    np.testing.assert_array_equal(restored.pixels, image.pixels)


def test_model_metadata_gives_back_the_same_kind_of_file(tmp_path):
    image = Image.from_pixels(noise(5, 7, 3, dtype="uint16"), icc_profile=b"profile" * 9)
    larger = noise(10, 14, 3, dtype="uint16", seed=1)
    restored = Image.from_metadata(image.to_metadata(), pixels=larger)
    written = read_image(write_image(tmp_path / f"a{default_suffix(restored)}", restored))
    assert written.icc_profile == image.icc_profile
    np.testing.assert_array_equal(written.pixels, larger)


# Refusals


def refusal(path: Path, image: Image | np.ndarray) -> str:
    """Write what must be refused; return the message, checked for form."""
    with pytest.raises(ValueError) as caught:
        write_image(path, image)
    assert type(caught.value).__name__ == "InputError"
    message = str(caught.value)
    assert "\n" not in message and path.name in message
    return message


@pytest.mark.parametrize(
    ("suffix", "dtype", "channels", "able"),
    [
        (".jpg", "uint16", 3, ".png"),
        (".jpeg", "uint8", 4, ".png"),
        (".bmp", "uint8", 4, ".webp"),
        (".bmp", "uint8", 2, ".tif"),
        (".webp", "uint16", 3, ".png"),
        (".webp", "uint8", 5, ".npy"),
        (".png", "float32", 3, ".exr"),
        (".png", "int16", 1, ".tif"),
        (".png", "uint8", 5, ".tif"),
        (".exr", "float64", 3, ".tif"),
        (".exr", "uint16", 3, ".png"),
        (".hdr", "float32", 1, ".exr"),
        (".gif", "uint8", 3, ".png"),
        ("", "uint8", 3, ".png"),
    ],
)
def test_what_a_suffix_cannot_hold(tmp_path, suffix, dtype, channels, able):
    image = Image.from_pixels(noise(5, 7, channels, dtype=dtype))
    message = refusal(tmp_path / f"a{suffix}", image)
    assert able in message and dtype in message and image.mode in message
    assert os.listdir(tmp_path) == []
    check_writable(tmp_path / f"a{able}", image)


def test_negative_hdr(tmp_path):
    assert "negative" in refusal(tmp_path / "a.hdr", noise(5, 7, 3, dtype="float32"))


@pytest.mark.parametrize(("suffix", "width"), [(".jpg", 65_501), (".webp", 16_384), (".png", 1_000_001)])
def test_sides_beyond_the_format(tmp_path, suffix, width):
    assert str(width) in refusal(tmp_path / f"a{suffix}", noise(1, width))
    assert read_image(write_image(tmp_path / "a.tif", noise(1, width))).width == width
    write_image(tmp_path / f"a{suffix}", noise(1, width - 1))
    assert read_image(tmp_path / f"a{suffix}").width == width - 1


def test_arrays_that_are_no_image(tmp_path):
    assert "shape (5,)" in refusal(tmp_path / "a.png", noise(5))
    assert "NaN" in refusal(tmp_path / "a.exr", np.full((2, 2), np.nan, np.float32))


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.png", noise(2, 2))
    (tmp_path / "file").write_bytes(b"x")
    refusal(tmp_path / "file" / "a.png", noise(2, 2))
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


@pytest.mark.parametrize("suffix", [suffix for suffix in WRITABLE if suffix != ".zarr"])
def test_full_disk_or_missing_right(tmp_path, suffix, monkeypatch):
    image = np.abs(noise(5, 7, 3, dtype="float32" if suffix in (".exr", ".hdr") else "uint8"))

    def denied(*_: object, **__: object) -> io.BytesIO:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "Permission denied" in refusal(tmp_path / f"a{suffix}", image)
    assert os.listdir(tmp_path) == []


def test_a_disk_without_room_is_a_failure_and_no_wrong_input(tmp_path, monkeypatch):
    def full(temporary: Path, image: Image) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(image_writer._ENCODERS, ".png", full)
    with pytest.raises(OSError, match=r"No space left on device: .*a\.png"):
        write_image(tmp_path / "a.png", noise(5, 7))
    assert os.listdir(tmp_path) == []


def test_folders_are_made_and_files_replaced(tmp_path):
    path = tmp_path / "new" / "folder" / "a.png"
    for seed in (0, 1):
        write_image(path, noise(5, 7, seed=seed))
        np.testing.assert_array_equal(read_image(path).pixels[..., 0], noise(5, 7, seed=seed))
    assert os.listdir(path.parent) == ["a.png"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_interrupted_writing_leaves_the_old_file(tmp_path, monkeypatch, failure):
    path = write_image(tmp_path / "a.png", noise(5, 7))
    before = path.read_bytes()

    def stopped(temporary: Path, image: Image) -> None:
        temporary.write_bytes(b"half")
        raise failure

    monkeypatch.setitem(image_writer._ENCODERS, ".png", stopped)
    with pytest.raises(failure):
        write_image(path, noise(5, 7, seed=1))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.png"]


def test_what_a_killed_writer_leaves_is_known_by_its_name(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setitem(image_writer._ENCODERS, ".png", lambda temporary, image: seen.append(temporary))
    write_image(tmp_path / "a.png", noise(2, 2))
    assert is_partial(seen[0]) and seen[0].parent == tmp_path


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="which processes a number is of is not known")
def test_the_next_writer_clears_what_a_killed_writer_of_a_zarr_left(tmp_path):
    killed = (
        "import os, sys, numpy as np\nfrom finer_image.io import writer\n"
        "def half(path, image): path.mkdir(); (path / 'zarr.json').write_text('{'); os._exit(9)\n"
        "writer._ENCODERS['.zarr'] = half\nwriter.write_image(sys.argv[1], np.zeros((2, 2), np.uint8))"
    )
    for place in ("a.zarr", "b.zarr"):
        subprocess.run([sys.executable, "-c", killed, str(tmp_path / place)], check=False)
        assert len(os.listdir(tmp_path)) == 1, "of the first, the second clears what is left"
    write_image(tmp_path / "a.zarr", noise(5, 7))
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_a_zarr_that_cannot_be_moved_into_another_folder_is_replaced_all_the_same(tmp_path, monkeypatch):
    """One that nobody may write to has a new name in its own folder, and no other."""
    path, image, rename = write_image(tmp_path / "a.zarr", noise(5, 7)), noise(6, 8), os.replace

    def replace(source, target):
        if Path(source).suffix == ".old":
            raise PermissionError(errno.EACCES, "Permission denied", str(source))
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    write_image(path, image)
    np.testing.assert_array_equal(read_image(path).pixels[..., 0], image)


def test_ctrl_c_between_two_renames_leaves_the_old_zarr(tmp_path, monkeypatch):
    path = write_image(tmp_path / "a.zarr", noise(5, 7))
    rename = os.replace

    def interrupted(source, target):
        if target == path and not stopped:
            stopped.append(source)
            raise KeyboardInterrupt
        rename(source, target)

    stopped = []
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_image(path, noise(5, 7, seed=1))
    np.testing.assert_array_equal(read_image(path).pixels[..., 0], noise(5, 7))
    assert stopped and os.listdir(tmp_path) == ["a.zarr"]


def test_long_names(tmp_path):
    path = tmp_path / ("n" * 250 + ".png")
    np.testing.assert_array_equal(read_image(write_image(path, noise(2, 2))).pixels[..., 0], noise(2, 2))
