"""Pictures: what their headers promise, memory, orientation, odd kinds, damage; and the names of what is written."""

import struct
import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import Image

from finer_core.errors import InputError
from finer_core.resources import PROCESS_BYTES
from finer_nerf.app.pictures import file_names
from finer_nerf.scenes.images import read_header, read_picture
from finer_nerf.scenes.reader import measure_scene, read_scene
from tests.nerf.small_scenes import write_transforms

ORIENTATION = 0x0112


def test_headers_are_read_without_decoding(tmp_path):
    Image.new("RGBA", (9, 5)).save(tmp_path / "a.png")
    assert read_header(tmp_path / "a.png") == (5, 9, 4, 1, 1, "")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[:45])
    assert read_header(tmp_path / "cut.png")[:3] == (5, 9, 4)
    with pytest.raises(InputError, match=r"cut\.png: cannot be read as a picture"):
        read_picture(tmp_path / "cut.png")


def test_thumbnails_are_refused_and_the_pictures_of_a_stack_counted(tmp_path):
    small, large = np.zeros((2, 3), np.uint8), np.zeros((20, 30), np.uint8)
    with tifffile.TiffWriter(tmp_path / "raw.tif") as file:
        file.write(small, subfiletype=1)
        file.write(large)
    with pytest.raises(InputError, match=r"raw\.tif: .*first picture is a thumbnail"):
        read_header(tmp_path / "raw.tif")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((4, 6, 5), np.uint8), imagej=True)
    assert read_header(tmp_path / "stack.tif").pages == 4


def test_memory_is_refused_before_a_picture_is_decoded(tmp_path):
    folder = write_transforms(tmp_path / "scene", size=(900, 900), count=4)
    for path in (folder / "images").iterdir():
        path.write_bytes(path.read_bytes()[:60])  # what is decoded would fail otherwise
    with pytest.raises(InputError, match=r"4 pictures.*--memory allows 510 MB.*--downscale"):
        read_scene(str(folder), memory=PROCESS_BYTES + 10_000_000)
    with pytest.raises(InputError, match="cannot be read as a picture"):
        read_scene(str(folder), memory=PROCESS_BYTES + 100_000_000)


def test_reading_takes_a_reduced_scene_and_one_picture(tmp_path):
    folder = write_transforms(tmp_path / "scene", size=(600, 600), count=12)
    tracemalloc.start()
    read_scene(str(folder), downscale=30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    one = 600 * 600 * 3
    assert peak < 4 * one  # twelve were held, and that twice


def test_the_number_and_size_of_views_are_known_from_headers(tmp_path):
    assert measure_scene(str(write_transforms(tmp_path / "scene")), test_every=3) == (4, 12)


def turned(path, size, orientation):
    """Write a picture with an EXIF orientation; its first row is white as stored."""
    values = np.zeros((*size, 3), np.uint8)
    values[0] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(values).save(path, exif=exif)


def test_a_picture_is_turned_where_only_so_it_has_the_size_of_its_camera(tmp_path):
    folder = write_transforms(tmp_path / "scene")
    for path in (folder / "images").iterdir():
        turned(path, (16, 12), 6)
    scene = read_scene(str(folder))
    assert (scene.train.height, scene.train.width) == (12, 16)
    assert bool((scene.train.images[:, :, -1] == 255).all())  # orientation 6: the first row is the right side
    assert any("6 pictures turned" in note or "5 pictures turned" in note for note in scene.notes)


@pytest.mark.parametrize("orientation", [3, 6])
def test_other_orientations_are_said_and_left(tmp_path, orientation):
    folder = write_transforms(tmp_path / "scene")
    for path in (folder / "images").iterdir():
        turned(path, (12, 16), orientation)
    scene = read_scene(str(folder))
    assert bool((scene.train.images[:, 0] == 255).all())
    assert any("6 pictures with an EXIF orientation" in note for note in scene.notes)


@pytest.mark.parametrize(
    ("kind", "channels", "stored", "said"),
    [
        ("rgb", 4, [0], "1 picture with channels that are neither color nor transparency, which are left out"),
        ("minisblack", 2, [0], "1 picture with channels that are neither color nor transparency, which are left out"),
        ("rgb", 5, [2, 0], "1 picture with channels that are neither color nor transparency, which are left out"),
        ("rgb", 4, [], "1 picture with a fourth channel that does not say what it is, taken for transparency"),
        ("rgb", 4, [2], ""),
        ("minisblack", 2, [1], ""),
    ],
)
def test_channels_of_a_tiff_are_what_it_says_or_it_is_said(tmp_path, kind, channels, stored, said):
    folder = write_transforms(tmp_path / "scene", each=lambda i: {"file_path": "images/a.tif"} if i == 0 else {})
    path = folder / "images" / "a.tif"
    pixels = np.full((12, 16, channels), 255, np.uint8)
    pixels[..., channels - 1] = 51
    tifffile.imwrite(path, pixels, photometric=kind, planarconfig="contig", extrasamples=stored or ["unassalpha"])
    if not stored:  # then its tag has another number, which means nothing
        path.write_bytes(path.read_bytes().replace(struct.pack("<HHI", 338, 3, 1), struct.pack("<HHI", 337, 3, 1)))
    scene = read_scene(str(folder))
    assert [note for note in scene.notes if "channel" in note] == [said] * bool(said)
    has_alpha = "left out" not in said or channels == 5
    picture = read_picture(path)
    assert read_header(path).channels == picture.shape[-1] == 3 + has_alpha
    assert not has_alpha or bool((picture[..., 3] == (255 if channels == 5 else 51)).all())


def test_a_file_of_several_pictures_is_said(tmp_path):
    folder = write_transforms(tmp_path / "scene", each=lambda i: {"file_path": "images/a.tif"} if i == 0 else {})
    pages = [Image.fromarray(np.full((12, 16, 3), value, np.uint8)) for value in (10, 20)]
    pages[0].save(folder / "images" / "a.tif", save_all=True, append_images=pages[1:])
    assert any("1 file of several pictures" in note for note in read_scene(str(folder)).notes)


@pytest.mark.parametrize("value", [float("nan"), -1.0, 2.0])
def test_float_pictures_outside_their_range_are_refused(tmp_path, value):
    values = np.full((4, 4), 0.5, np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert int(read_picture(tmp_path / "a.tif")[0, 0, 0]) == 128
    values[1, 1] = value
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif: .*values from"):
        read_picture(tmp_path / "a.tif")


def test_bytes_with_a_sign_are_refused(tmp_path):
    """Pillow would take -1 for 255."""
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), -1, np.int8))
    with pytest.raises(InputError, match=r"a\.tif: .*values with a sign"):
        read_picture(tmp_path / "a.tif")


def test_packed_floats_of_either_byte_order_are_read(tmp_path):
    for order in "<>":
        values = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
        tifffile.imwrite(tmp_path / "a.tif", values, byteorder=order, compression="zlib")
        np.testing.assert_allclose(read_picture(tmp_path / "a.tif")[..., 0], 255 * values, atol=0.5)


def test_pictures_that_start_other_programs_are_not_opened(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(InputError, match=r"a\.png: cannot be read as a picture"):
        read_picture(tmp_path / "a.png")


def test_damaged_pictures_are_named_and_warn_nobody(tmp_path):
    rng = np.random.default_rng(0)
    for suffix in ("png", "jpg", "webp", "tif", "gif", "bmp"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)).save(path)
        content = path.read_bytes()
        for _ in range(40):
            damaged = bytearray(content[: rng.integers(10, len(content) + 1)])
            for place in rng.integers(0, len(damaged), 3):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                header = read_header(path)
                if header.height * header.width < 10**6:
                    read_picture(path)
            except InputError as error:
                assert f"a.{suffix}" in str(error) and len(str(error)) <= 300


def test_names_of_files():
    names = [
        "images/000.png",
        "../a",
        "a/b.png",
        "a_b.jpg",
        "r_0.5",
        "r_0.7",
        "x",
        "x_depth",
        "X.PNG",
        "",
        "..",
        "a" * 999,
    ]
    files = file_names([*names, "\N{HIRAGANA LETTER A}" * 300, "a" * 998 + "b"])
    assert files[:6] == ["images_000", "_a", "a_b", "a_b_2", "r_0.5", "r_0.7"]
    written = [f"{name}{suffix}.png".lower() for name in files for suffix in ("", "_depth")]
    assert len(set(written)) == len(written)
    assert all(len(name.encode()) < 200 and "/" not in name and not name.startswith(".") for name in written)
