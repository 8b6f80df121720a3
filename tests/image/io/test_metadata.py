"""What a file says beside its pixels: which way is up, scales, windows, axes. Right, or told to the user."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from finer_image.io.opening import open_in_parts
from finer_image.io.reader import read_image
from tests.image.image_files import noise, saved, tiff_bytes

PIXELS = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
    ' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)

ADOBE_RGB = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
"""White, red, green and blue, as a PNG has them; all but green are those of sRGB."""


def exif(orientation: int) -> bytes:
    tags = Pillow.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def raw_profile(data: bytes) -> str:
    """Return EXIF in hexadecimal digits, as ImageMagick writes it."""
    lines = [data.hex()[start : start + 72] for start in range(0, 2 * len(data), 72)]
    return "\n".join(["", "exif", f"{len(data):8d}", *lines, ""])


def words(kind: str) -> dict:
    info = PngInfo()
    if kind == "exif":
        return {"exif": exif(6)}
    if kind == "raw profile":
        info.add_text("Raw profile type exif", raw_profile(exif(6)))
    if kind == "packed raw profile":
        info.add_text("Raw profile type exif", raw_profile(exif(6)), zip=True)
    if kind == "xmp":
        info.add_itxt("XML:com.adobe.xmp", XMP)
    if kind == "title":
        info.add_text("Title", "a picture")
    return {"pnginfo": info}


@pytest.mark.parametrize("kind", ["exif", "raw profile", "packed raw profile", "xmp"])
def test_a_png_is_turned_upright_whoever_wrote_its_orientation(tmp_path, kind):
    Pillow.fromarray(PIXELS).save(tmp_path / "a.png", **words(kind))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, np.rot90(PIXELS, -1))


def test_words_behind_the_pixels_count_too(tmp_path):
    data = io.BytesIO()
    Pillow.fromarray(PIXELS).save(data, "PNG")
    body, end = data.getvalue()[:-12], data.getvalue()[-12:]
    chunk = b"eXIf" + exif(6).removeprefix(b"Exif\0\0")
    (tmp_path / "a.png").write_bytes(body + struct.pack(">I", len(chunk) - 4) + chunk + _crc(chunk) + end)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, np.rot90(PIXELS, -1))


@pytest.mark.parametrize("long", ["Comment", "XML:com.adobe.xmp"])
def test_an_orientation_counts_beside_words_of_any_length(tmp_path, long):
    """Pillow takes 1 MiB of packed text, and 64 MiB of text, for an attack."""
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP + " " * (3 << 20), zip=True)
    if long == "Comment":
        for _ in range(2):
            info.add_text("Comment", "x" * (33 << 20))
    Pillow.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=info)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, np.rot90(PIXELS, -1))


@pytest.mark.parametrize("chunk", [b"zTXtRaw profile type exif\0\0broken", b"eXIfMM", b"iTXt", b"tEXtTitle\0a picture"])
def test_words_that_name_no_orientation_change_nothing(tmp_path, chunk):
    data = io.BytesIO()
    Pillow.fromarray(PIXELS).save(data, "PNG")
    body, end = data.getvalue()[:-12], data.getvalue()[-12:]
    (tmp_path / "a.png").write_bytes(body + struct.pack(">I", len(chunk) - 4) + chunk + _crc(chunk) + end)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, PIXELS)


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ({b"gAMA": struct.pack(">I", 100_000)}, "a gamma of 1 (gAMA)"),
        ({b"gAMA": struct.pack(">I", 55_556)}, "a gamma of 0.55556 (gAMA)"),
        ({b"cICP": bytes([9, 16, 0, 1])}, "the color space 9, 16 (cICP)"),
        ({b"gAMA": struct.pack(">I", 45_455)}, None),
        ({b"gAMA": struct.pack(">I", 100_000), b"sRGB": b"\0"}, None),  # which counts before it
        ({b"cICP": bytes([1, 13, 0, 1])}, None),
        ({b"gAMA": b"", b"cICP": b"\1"}, None),
        ({b"gAMA": bytes(4)}, None),  # which means nothing, says the standard
        ({b"cHRM": ADOBE_RGB}, "primaries that are not those of sRGB (cHRM)"),
        (
            {b"gAMA": struct.pack(">I", 55_556), b"cHRM": ADOBE_RGB},
            "a gamma of 0.55556 (gAMA) and primaries that are not those of sRGB (cHRM)",
        ),
        ({b"cHRM": ADOBE_RGB, b"sRGB": b"\0"}, None),
        ({b"cHRM": ADOBE_RGB[:16] + struct.pack(">2I", 30000, 60000) + ADOBE_RGB[24:]}, None),
        ({b"cHRM": bytes(32)}, None),
        ({b"cHRM": ADOBE_RGB[:7]}, None),
    ],
)
def test_colors_of_a_png_that_are_not_srgb_are_told(tmp_path, chunks, said):
    data = io.BytesIO()
    Pillow.fromarray(PIXELS).save(data, "PNG")
    head, rest = data.getvalue()[:33], data.getvalue()[33:]
    more = b"".join(struct.pack(">I", len(body)) + name + body + _crc(name + body) for name, body in chunks.items())
    (tmp_path / "a.png").write_bytes(head + more + rest)
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.notes == (() if said is None else (f"names {said} of its values, which a written image does not",))


def _crc(chunk: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(("green", "is_told"), [((0.3, 0.6), False), ((0.21, 0.71), True)])
def test_primaries_of_an_exr_an_hdr_and_a_tiff_are_told_too(tmp_path, green, is_told):
    openexr = pytest.importorskip("OpenEXR")
    values, white = (0.64, 0.33, *green, 0.15, 0.06), (0.3127, 0.329)
    header = {"compression": openexr.NO_COMPRESSION, "type": openexr.scanlineimage, "chromaticities": (*values, *white)}
    openexr.File(header, {"RGB": np.ones((4, 5, 3), np.float32)}).write(str(tmp_path / "a.exr"))
    named = " ".join(map(str, (*values, *white))).encode()
    head = b"#?RADIANCE\nPRIMARIES= " + named + b"\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 2\n"
    saved(tmp_path / "a.hdr", head + bytes([128, 64, 32, 129] * 2))
    parts = [part for value in values for part in (round(value * 10_000), 10_000)]
    tags = [(318, "2I", 2, [3127, 10_000, 3290, 10_000], True), (319, "2I", 6, parts, True)]
    saved(tmp_path / "a.tif", tiff_bytes(PIXELS, photometric="rgb", extratags=tags))
    for name, place in (("a.exr", "chromaticities"), ("a.hdr", "PRIMARIES"), ("a.tif", "PrimaryChromaticities")):
        (*_, note) = ("", *read_image(tmp_path / name).notes)
        told = f"names primaries that are not those of sRGB ({place}) of its values, which a written image does not"
        assert note == told * is_told


@pytest.mark.parametrize(
    "tags",
    [
        [(319, "s", 0, "abc", True), (318, "s", 0, "zz", True)],
        [(319, "2I", 6, [1, 0] * 6, True), (318, "2I", 2, [1, 0] * 2, True)],
        [(319, "d", 6, [0.5] * 6, True), (318, "d", 2, [0.5] * 2, True)],
        [(318, "2I", 2, [1, 2, 1, 2], True)],
    ],
)
def test_primaries_of_a_tiff_that_are_none_are_passed_over(tmp_path, tags):
    image = read_image(saved(tmp_path / "a.tif", tiff_bytes(PIXELS, photometric="rgb", extratags=tags)))
    assert np.array_equal(image.pixels, PIXELS) and image.notes == ()


def test_primaries_of_gray_pictures_say_nothing(tmp_path):
    data, gray, chunk = io.BytesIO(), PIXELS[..., 0], b"cHRM" + ADOBE_RGB
    Pillow.fromarray(gray).save(data, "PNG")
    png = data.getvalue()[:33] + struct.pack(">I", len(ADOBE_RGB)) + chunk + _crc(chunk) + data.getvalue()[33:]
    tags = [(318, "2I", 2, [3457, 10_000, 3585, 10_000], True), (319, "2I", 6, [1, 2] * 6, True)]
    for path in (
        saved(tmp_path / "a.png", png),
        saved(tmp_path / "a.tif", tiff_bytes(gray, photometric="minisblack", extratags=tags)),
    ):
        assert np.array_equal(read_image(path).pixels[..., 0], gray) and read_image(path).notes == ()


GDAL = """<GDALMetadata>
<Item name="OFFSET" sample="0" role="offset">-1000</Item>
<Item name="SCALE" sample="0" role="scale">{scale}</Item>
<Item name="Band">red</Item>
</GDALMetadata>"""


def test_a_scale_of_a_geotiff_is_told(tmp_path):
    heights = np.arange(600, dtype=np.uint16).reshape(20, 30)
    path = saved(tmp_path / "a.tif", tiff_bytes(heights, extratags=[(42112, "s", 0, GDAL.format(scale=0.1), True)]))
    (note,) = read_image(path).notes
    assert note == "names offset -1000, scale 0.1 for its values, which are fitted and written as they are stored"
    plain = GDAL.format(scale="1.0").replace("-1000", "0")
    path = saved(tmp_path / "b.tif", tiff_bytes(heights, extratags=[(42112, "s", 0, plain, True)]))
    assert read_image(path).notes == ()


def test_a_scale_of_a_zarr_array_is_told_and_a_list_of_one_value_is_that_value(tmp_path):
    zarr = pytest.importorskip("zarr")
    heights = np.arange(600, dtype=np.float32).reshape(20, 30)
    array = zarr.open_array(str(tmp_path / "a.zarr"), mode="w", shape=(20, 30), chunks=(10, 10), dtype="f4")
    array[:] = heights
    array.attrs.update({"scale_factor": 0.1, "add_offset": 0.0, "missing_value": [599.0]})
    image = read_image(tmp_path / "a.zarr")
    assert "names scale 0.1 for its values" in image.notes[0]
    assert (image.nodata, image.missing) == (599, 1)
    array.attrs.update({"missing_value": [599.0, 7.0]})
    with_two = read_image(tmp_path / "a.zarr")
    assert (with_two.nodata, with_two.missing) == (599, 1)
    assert "names 2 values for 'no data'; only the first, 599.0, counts as such" in with_two.notes


@pytest.mark.parametrize(
    ("names", "is_said"),
    [
        *((["y", "x", "band"], False), (["Lat", "Lon", None], False), (["a", "b", "c"], False)),
        *((["band", "y", "x"], True), (["x", "y", "band"], True), (["time", "row", "column"], True)),
    ],
)
def test_axes_of_a_zarr_array_in_another_order_are_told(tmp_path, names, is_said):
    zarr = pytest.importorskip("zarr", minversion="3")
    for version, named in ((3, {"dimension_names": names}), (2, {"attributes": {"_ARRAY_DIMENSIONS": names}})):
        path = str(tmp_path / f"{version}.zarr")
        array = zarr.create_array(path, shape=(5, 6, 7), dtype="u1", zarr_format=version, **named)
        array[:] = noise(5, 6, 7)
        assert any("names its axes" in note for note in read_image(path).notes) == is_said


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("stored", "unsigned", "meant"), [("i1", "true", "u1"), ("i2", "True", "u2"), ("u2", "false", "i2")]
)
def test_integers_of_a_zarr_array_that_stand_for_others(tmp_path, order, stored, unsigned, meant):
    """Those of netCDF, which had none without a sign; their fill value is named as it is stored, or as it is meant."""
    zarr = pytest.importorskip("zarr")
    values = noise(20, 30, dtype=meant)
    values[3, 4] = 200 if meant[0] == "u" else -5
    for name, fill in (("a.zarr", values[3, 4].view(stored)), ("b.zarr", values[3, 4])):
        array = zarr.open_array(str(tmp_path / name), mode="w", shape=(20, 30), chunks=(10, 10), dtype=order + stored)
        array[:] = values.view(stored)
        array.attrs.update({"_Unsigned": unsigned, "_FillValue": int(fill)})
        image = read_image(tmp_path / name)
        np.testing.assert_array_equal(image.pixels[..., 0], values)
        assert (image.dtype, image.nodata) == (np.dtype(meant), values[3, 4])


def test_pixels_of_a_part_of_an_exr_s_display_are_told(tmp_path):
    openexr = pytest.importorskip("OpenEXR")
    header = {"dataWindow": ((4, 2), (15, 9)), "displayWindow": ((0, 0), (31, 23))}
    channels = {"Y": np.ones((8, 12), dtype=np.float32)}
    openexr.File({"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage, **header}, channels).write(
        str(tmp_path / "a.exr")
    )
    image = read_image(tmp_path / "a.exr")
    assert image.notes == ("has pixels of rows 2 to 9, columns 4 to 15 only, of a display of 24x32",)
    assert image.shape == (8, 12, 1)


def test_colors_that_an_exr_has_multiplied_by_alpha_are_told(tmp_path):
    openexr = pytest.importorskip("OpenEXR")
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    for name, alpha in (("opaque", 1.0), ("veil", 0.5)):
        values = dict(zip("RGBA", (0.2, 0.3, 0.4, alpha), strict=True))
        planes = {channel: np.full((8, 12), value, np.float32) for channel, value in values.items()}
        openexr.File(header, planes).write(str(tmp_path / f"{name}.exr"))
    assert read_image(tmp_path / "opaque.exr").notes == ()
    veil = read_image(tmp_path / "veil.exr")
    assert [note.split(",")[0] for note in veil.notes] == ["has colors multiplied by alpha"]
    np.testing.assert_array_equal(veil.pixels[0, 0], np.float32([0.2, 0.3, 0.4, 0.5]))


def test_channels_that_may_come_first_are_told(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 20, 30), dtype=np.float32) + np.arange(30, dtype=np.float32))
    for image in (read_image(tmp_path / "a.npy"), open_in_parts(tmp_path / "a.npy")):
        (note,) = image.notes
        assert note.startswith("is read as 3 rows of 20 pixels with 30 channels; move the axis")
    np.save(tmp_path / "b.npy", np.ones((20, 30, 7), dtype=np.float32))
    assert read_image(tmp_path / "b.npy").notes == ()
