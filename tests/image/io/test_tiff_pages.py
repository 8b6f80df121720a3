"""Of a file that holds several pictures the right one is read, or it is refused by name, or the user is told."""

import io
import struct
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from finer_core.errors import InputError
from finer_image.io.opening import open_image
from finer_image.io.reader import read_image
from tests.image.image_files import noise, pillow_bytes, saved, tiff_bytes

SMALL, LARGE = noise(6, 8, 3), noise(20, 28, 3, seed=1)


def tiff(path: Path, *pages: tuple[np.ndarray, dict[str, object]], inside: list | None = None) -> Path:
    """Write pages one after another, those of `inside` into the first."""
    with tifffile.TiffWriter(path) as writer:
        for number, (pixels, options) in enumerate(pages):
            subs = len(inside or ()) if number == 0 else 0
            kind = "rgb" if pixels.ndim == 3 else "minisblack"
            writer.write(pixels, **{"photometric": kind, "metadata": None, "subifds": subs, **options})
            for sub, sub_options in (inside or []) if number == 0 else []:
                kind = "rgb" if sub.ndim == 3 else "minisblack"
                writer.write(sub, **{"photometric": kind, "metadata": None, **sub_options})
    return path


def whole_and_in_parts(path: Path):
    """Read an image both ways, which must agree in all that is said."""
    whole = read_image(path)
    disk = open_image(path, memory_bytes=1, cache_bytes=10**6)
    assert np.array_equal(disk.read(slice(None)), whole.pixels) and disk.notes == whole.notes
    return whole


@pytest.mark.parametrize("tag", [{"subfiletype": 1}, {"extratags": [(255, "H", 1, 2, True)]}])
def test_a_thumbnail_gives_way_to_the_picture_inside_it(tmp_path, tag, caplog):
    image = whole_and_in_parts(tiff(tmp_path / "a.dng", (SMALL, tag), inside=[(LARGE, {})]))
    assert np.array_equal(image.pixels, LARGE)
    assert image.notes == ("its first picture, of 8 x 6 pixels, is a thumbnail; the one of 28 x 20 is used",)
    assert image.notes[0] in caplog.text


def test_a_thumbnail_gives_way_to_the_picture_after_it(tmp_path):
    image = whole_and_in_parts(tiff(tmp_path / "a.tif", (SMALL, {"subfiletype": 1}), (LARGE, {})))
    assert np.array_equal(image.pixels, LARGE) and "thumbnail" in image.notes[0]


@pytest.mark.parametrize("first", [{"subfiletype": 1}, {}])
def test_raw_data_behind_a_preview_are_refused(tmp_path, first):
    """As in DNG, NEF and ARW."""
    mosaic = (noise(40, 60, dtype="uint16"), {"photometric": 32803})
    path = tiff(tmp_path / "a.nef", (SMALL, first), inside=[(LARGE, {"subfiletype": 1}), mosaic])
    with pytest.raises(InputError, match=r"a\.nef: is a raw camera mosaic"):
        read_image(path)


def test_a_pyramid_is_its_largest_picture(tmp_path):
    pages = [(LARGE, {}), (LARGE[::2, ::2], {"subfiletype": 1}), (LARGE[::4, ::4], {"subfiletype": 1})]
    inside = [(LARGE[::2, ::2], {"subfiletype": 1}), (LARGE[::4, ::4], {"subfiletype": 1})]
    for path in (tiff(tmp_path / "cog.tif", *pages), tiff(tmp_path / "ome.tif", pages[0], inside=inside)):
        image = whole_and_in_parts(path)
        assert np.array_equal(image.pixels, LARGE) and image.notes == ()
    image = whole_and_in_parts(tiff(tmp_path / "upside_down.tif", *reversed(pages)))
    assert np.array_equal(image.pixels, LARGE) and "thumbnail" in image.notes[0]


def test_a_larger_picture_inside_an_ordinary_one_is_told(tmp_path):
    image = whole_and_in_parts(tiff(tmp_path / "a.tif", (SMALL, {}), inside=[(LARGE, {})]))
    assert np.array_equal(image.pixels, SMALL)
    assert "larger picture inside a page (SubIFD), of 28 x 20 pixels" in image.notes[0]


def test_masks_are_told(tmp_path):
    mask = (noise(20, 28) > 99, {"subfiletype": 4})
    image = whole_and_in_parts(tiff(tmp_path / "a.tif", (LARGE, {}), mask))
    assert np.array_equal(image.pixels, LARGE) and image.notes == ("holds a transparency mask, which is not used",)


def stack_of(kind: str, path: Path, planes: np.ndarray) -> None:
    """Write a stack all of which, but for OME's and the pages, stands behind one page."""
    if kind == "imagej":
        tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "ZYX"})
    elif kind == "imagej, too large for pages":  # as ImageJ writes stacks above 4 GB
        text = f"ImageJ=1.11a\nimages={len(planes)}\nslices={len(planes)}\n"
        saved(path, tiff_bytes(planes[0], description=text) + planes[1:].tobytes())
    elif kind == "tifffile":
        tifffile.imwrite(path, planes, truncate=True, photometric="minisblack")
    elif kind == "metamorph":
        count = len(planes)
        tags = [(33629, "2I", count, (1, 1) * count, True)]
        saved(path, tiff_bytes(planes[0], extratags=tags) + planes[1:].tobytes())
    else:
        tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata={"axes": "ZYX"})


@pytest.mark.parametrize("kind", ["imagej", "imagej, too large for pages", "tifffile", "metamorph", "ome"])
def test_a_stack_is_told(tmp_path, kind, caplog):
    planes = noise(4, 20, 28, dtype="uint16")
    path = tmp_path / "stack.ome.tif" if kind == "ome" else tmp_path / "stack.tif"
    stack_of(kind, path, planes)
    image = whole_and_in_parts(path)
    assert np.array_equal(image.pixels[:, :, 0], planes[0])
    assert (len(image.notes) == 1 and "4 pages" in image.notes[0]) or "4 planes" in image.notes[0]
    assert "only the first" in caplog.text


def test_a_file_of_an_ome_set_is_told(tmp_path):
    text = '<OME><Image ID="0"><Pixels SizeX="28" SizeY="20" SizeZ="3" SizeC="2" SizeT="1" Type="uint8"/></Image></OME>'
    image = whole_and_in_parts(saved(tmp_path / "a.ome.tif", tiff_bytes(LARGE[..., 0], description=text)))
    assert image.notes == ("is a stack of 6 planes; only the first is used",)


@pytest.mark.parametrize("text", ['{"shape": [', '{"shape": 7}', '{"shape": ["a"]}', "ImageJ=1\nimages=x", "<OME"])
def test_a_broken_description_is_no_reason_to_refuse(tmp_path, text):
    image = whole_and_in_parts(saved(tmp_path / "a.tif", tiff_bytes(LARGE[..., 0], description=text)))
    assert image.notes == () and np.array_equal(image.pixels[..., 0], LARGE[..., 0])


RAW = {
    "canon.cr2": b"II*\0\x10\0\0\0CR\2\0",
    "canon.cr3": b"\0\0\0\x18ftypcrx \0\0\0\1",
    "fuji.raf": b"FUJIFILMCCD-RAW 0201",
    "olympus.orf": b"IIRO\x08\0\0\0",
    "panasonic.rw2": b"IIU\0\x18\0\0\0",
    "phone.heic": b"\0\0\0\x24ftypheic\0\0\0\0",
    "new.jxl": b"\xff\x0a\xfa\x7f",
}


@pytest.mark.parametrize("name", RAW)
def test_pictures_that_are_not_read_are_refused_by_name(tmp_path, name):
    with pytest.raises(InputError, match=rf"{name}: is .*save it as TIFF or PNG first"):
        read_image(saved(tmp_path / name, RAW[name] + bytes(100)))


MORE = {
    "two.ppm": lambda: b"P6 28 20 255\n" + LARGE.tobytes() + b"P6 28 20 255\n" + LARGE.tobytes(),
    "two.pbm": lambda: 2 * (b"P4 28 20\n" + bytes(80)),
    "two.npy": lambda: npy(LARGE) + npy(LARGE),
    "moves.gif": lambda: moving("GIF"),
    "moves.webp": lambda: moving("WEBP", lossless=True),
    "moves.png": lambda: moving("PNG"),
    "moves beside it.png": lambda: moving("PNG", default_image=True),
}


def npy(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, pixels)
    return buffer.getvalue()


def moving(format_name: str, **options: object) -> bytes:
    other = PIL.Image.fromarray(LARGE[::-1].copy())
    return pillow_bytes(LARGE, format_name, save_all=True, append_images=[other], **options)


@pytest.mark.parametrize("name", MORE)
def test_more_pictures_behind_the_first_are_told(tmp_path, name):
    image = read_image(saved(tmp_path / name, MORE[name]()))
    assert image.shape[:2] == (20, 28) and any("first" in note for note in image.notes)


def test_one_picture_is_read_without_a_word(tmp_path):
    one = {
        "a.ppm": b"P6 28 20 255\n" + LARGE.tobytes() + b"\n",
        "a.npy": npy(LARGE),
        "a.pbm": b"P4 28 20\n" + bytes(80),
    }
    for name, data in one.items():
        assert read_image(saved(tmp_path / name, data)).notes == ()


def psd(*, merged: bool) -> bytes:
    """Write a PSD of 4 x 3 gray pixels, which says whether its picture was merged from the layers."""
    version = struct.pack(">I?", 1, merged) + bytes(12)
    resource = b"8BIM" + struct.pack(">H2xI", 1057, len(version)) + version + bytes(len(version) % 2)
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 3, 4, 8, 1)
    return head + bytes(4) + struct.pack(">I", len(resource)) + resource + bytes(4) + bytes(2) + bytes(range(12))


def test_layers_without_a_picture_are_refused(tmp_path):
    assert read_image(saved(tmp_path / "a.psd", psd(merged=True))).pixels.ravel().tolist() == list(range(12))
    with pytest.raises(InputError, match="maximum compatibility"):
        read_image(saved(tmp_path / "b.psd", psd(merged=False)))


def test_other_channels_of_a_psd_are_told_of_and_its_bits_are_black(tmp_path):
    def psd(channels: int, bits: int, mode: int, content: bytes):
        head = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, 2, 8, bits, mode) + bytes(14)
        return read_image(saved(tmp_path / "a.psd", head + content))

    planes = noise(5, 2, 8)
    gray = psd(2, 8, 1, planes[:2].tobytes())
    assert np.array_equal(gray.pixels[..., 0], planes[0])
    assert gray.notes == ("has 2 channels, of which the last 1 are not used",)
    assert psd(5, 8, 3, planes.tobytes()).notes == ("has 5 channels, of which the last 2 are not used",)
    assert psd(4, 8, 3, planes[:4].tobytes()).notes == psd(3, 8, 3, planes[:3].tobytes()).notes == ()
    bits = psd(1, 1, 0, b"\xf0\x01")
    assert bits.pixels[..., 0].tolist() == [[0] * 4 + [255] * 4, [255] * 7 + [0]] and bits.notes == ()


def test_a_psd_of_a_kind_that_is_not_read_says_which(tmp_path):
    for kind, bits, mode, reason in (
        (1, 16, 3, "16 bits a value"),
        (1, 32, 1, "32 bits a value"),
        (2, 8, 3, "is a PSB"),
        (1, 8, 5, "colors of kind 5"),
    ):
        data = b"8BPS" + struct.pack(">H6xHIIHH", kind, 3, 2, 8, bits, mode) + bytes(14 + 192)
        with pytest.raises(InputError, match=rf"a\.psd: .*{reason}.*; save it as TIFF"):
            read_image(saved(tmp_path / "a.psd", data))


def test_a_bmp_of_runs_that_leave_pixels_out_says_so(tmp_path):
    def bmp(runs: bytes):
        colors = b"".join(bytes([value, value, value, 0]) for value in range(256))
        head = b"BM" + struct.pack("<IHHI", 1078 + len(runs), 0, 0, 1078)
        head += struct.pack("<IiiHHIIiiII", 40, 4, 2, 1, 8, 1, len(runs), 0, 0, 256, 0)
        return read_image(saved(tmp_path / "a.bmp", head + colors + runs))

    whole = bmp(b"\4\7\0\0" + b"\1\5\0\2\2\0\1\6\0\0" + b"\0\1")  # a jump of two pixels in the upper line
    assert whole.pixels[..., 0].tolist() == [[5, 0, 0, 6], [7, 7, 7, 7]]
    for runs in (b"\4\7\0\0\0\1", b"\4\7\0\0"):  # an early end, and none
        with pytest.raises(InputError, match=r"a\.bmp: is a BMP of runs \(RLE\) that leave pixels out, or are cut"):
            bmp(runs)


def bare_tiff(path: Path, samples: bytes, size: tuple[int, int], tags: dict[int, list[int]]) -> Path:
    """Write a page of one strip with no more than these tags, all of them 16-bit numbers, beside its size and place."""
    rows, columns = size
    tags = {256: [columns], 257: [rows], 259: [1], 273: [8], 278: [rows], 279: [len(samples)], **tags}
    entries, more, at = b"", b"", 8 + len(samples)
    end = at + 2 + 12 * len(tags) + 4
    for code, values in sorted(tags.items()):
        content = struct.pack(f"<{len(values)}H", *values)
        place = content.ljust(4, b"\0") if len(values) < 3 else struct.pack("<I", end + len(more))
        entries += struct.pack("<HHI", code, 3, len(values)) + place
        more += content if len(values) > 2 else b""
    start = b"II*\0" + struct.pack("<I", at) + samples
    return saved(path, start + struct.pack("<H", len(tags)) + entries + bytes(4) + more)


@pytest.mark.parametrize("meaning", [9, 10, 32844, 32845, 12345])
def test_colors_of_an_unknown_kind_are_refused(tmp_path, meaning):
    """They would look like RGB."""
    tags = {258: [8, 8, 8], 262: [meaning], 277: [3]}
    path = bare_tiff(tmp_path / "a.tif", SMALL.tobytes(), SMALL.shape[:2], tags)
    with pytest.raises(InputError, match=f"a\\.tif: stores colors as photometric interpretation {meaning}"):
        read_image(path)


def test_values_whose_meaning_is_not_said_count_from_black(tmp_path):
    tags = {258: [8], 277: [1]}
    image = whole_and_in_parts(bare_tiff(tmp_path / "a.tif", SMALL[..., 0].tobytes(), SMALL.shape[:2], tags))
    assert np.array_equal(image.pixels[..., 0], SMALL[..., 0]) and "zero is taken for black" in image.notes[0]
    bits = bare_tiff(tmp_path / "fax.tif", b"\xf0", (1, 8), {258: [1], 277: [1]})
    assert whole_and_in_parts(bits).pixels[0, :, 0].tolist() == [0] * 4 + [255] * 4


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_values_that_count_from_white_and_have_no_end_are_told_of(tmp_path, dtype):
    pixels = noise(6, 8, dtype="uint16").astype(dtype)
    image = whole_and_in_parts(tiff(tmp_path / "a.tif", (pixels, {"photometric": "miniswhite"})))
    assert np.array_equal(image.pixels[..., 0], pixels) and "dark and light are swapped" in image.notes[0]


def test_a_palette_of_two_colors(tmp_path):
    tags = {258: [1], 262: [3], 277: [1], 320: [65535, 0, 0, 32768, 257, 514]}
    image = whole_and_in_parts(bare_tiff(tmp_path / "a.tif", b"\xa0", (1, 4), tags))
    assert image.pixels.tolist() == [[[0, 128, 2], [255, 0, 1]] * 2]


def test_a_palette_beside_other_samples_is_refused(tmp_path):
    tags = {258: [8, 8], 262: [3], 277: [2], 320: [*range(768)], 338: [2]}
    path = bare_tiff(tmp_path / "a.tif", noise(4, 6, 2).tobytes(), (4, 6), tags)
    with pytest.raises(InputError, match="has a palette and other samples"):
        read_image(path)


def test_inks_other_than_those_of_cmyk_are_no_colors(tmp_path):
    inks = noise(6, 8, 4)
    options = {"photometric": "separated", "extratags": [(332, "H", 1, 2, True)]}
    image = whole_and_in_parts(tiff(tmp_path / "a.tif", (inks, options)))
    assert (
        image.mode == "CHANNELS" and np.array_equal(image.pixels, inks) and "other than those of CMYK" in image.notes[0]
    )
