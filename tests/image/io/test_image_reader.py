"""Every kind of still image is read whole, upright and at its true depth."""

import io
import logging
import struct

import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tifffile

from finer_core import InputError
from finer_image.io.reader import read_image
from tests.image.image_files import chunk, exif, exr_file, noise, pillow_bytes, png, saved, smooth, tiff_bytes

OpenEXR = pytest.importorskip("OpenEXR")

# PNG


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("color_type", "depth", "mode"),
    [*((0, d, "L") for d in (1, 2, 4, 8, 16)), (2, 8, "RGB"), (2, 16, "RGB"), (4, 8, "LA"), (4, 16, "LA")]
    + [(6, 8, "RGBA"), (6, 16, "RGBA")],
)
def test_png_of_every_depth(tmp_path, color_type, depth, mode, interlaced):
    samples = noise(13, 11, len(mode), dtype="uint16") >> (16 - depth)
    path = saved(tmp_path / "a.png", png(samples, depth=depth, color_type=color_type, interlaced=interlaced))
    image = read_image(path)
    expected = samples if depth >= 8 else samples * (255 // (2**depth - 1))
    assert image.mode == mode
    assert image.dtype == (np.uint16 if depth == 16 else np.uint8)
    assert image.source_mode == ("1" if depth == 1 else "")
    np.testing.assert_array_equal(image.pixels, expected)


@pytest.mark.parametrize(("color_type", "depth"), [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16)])
def test_png_transparent_color_becomes_alpha(tmp_path, color_type, depth):
    channels = 3 if color_type == 2 else 1
    samples = noise(5, 7, channels, dtype="uint16") >> (16 - depth)
    transparent = chunk(b"tRNS", struct.pack(f">{channels}H", *samples[2, 3]))
    data = png(samples, depth=depth, color_type=color_type, extra=transparent)
    image = read_image(saved(tmp_path / "a.png", data))
    full = 65535 if depth == 16 else 255
    scale = 1 if depth >= 8 else 255 // (2**depth - 1)
    clear = (samples == samples[2, 3]).all(axis=-1)
    assert image.mode == ("RGBA" if channels == 3 else "LA")
    np.testing.assert_array_equal(image.pixels[..., :-1], samples * scale)
    np.testing.assert_array_equal(image.pixels[..., -1], np.where(clear, 0, full))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("transparent", [False, True])
def test_png_palette_becomes_colors(tmp_path, depth, transparent):
    indices = noise(6, 9, 1) >> (8 - depth)
    palette = noise(2**depth, 4, seed=1)
    extra = chunk(b"PLTE", palette[:, :3].tobytes())
    extra += chunk(b"tRNS", palette[:, 3].tobytes()) if transparent else b""
    image = read_image(saved(tmp_path / "a.png", png(indices, depth=depth, color_type=3, extra=extra)))
    assert (image.mode, image.source_mode) == ("RGBA" if transparent else "RGB", "P")
    np.testing.assert_array_equal(image.pixels, palette[indices[..., 0], : 4 if transparent else 3])


def test_png_keeps_profile_and_survives_broken_metadata(tmp_path):
    profile = bytes(range(256)) * 20
    data = pillow_bytes(noise(4, 5, 3), "PNG", icc_profile=profile)
    assert read_image(saved(tmp_path / "a.png", data)).icc_profile == profile
    broken = chunk(b"iCCP", b"x\0\0junk") + chunk(b"eXIf", b"junk") + chunk(b"tEXt", b"a\0b")[:-1] + b"?"
    image = read_image(saved(tmp_path / "b.png", png(noise(4, 5, 3), depth=8, color_type=2, extra=broken)))
    assert image.icc_profile is None
    np.testing.assert_array_equal(image.pixels, noise(4, 5, 3))


# EXIF orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png8", "png16", "jpeg", "webp", "tiff", "avif"])
def test_orientation_is_honored(tmp_path, kind, orientation):
    stored = smooth(6, 10)
    tags = PIL.Image.Exif()
    tags[0x0112] = orientation
    if kind.startswith("png"):
        stored = stored.astype(np.uint16) * 257 if kind == "png16" else stored
        block = chunk(b"eXIf", exif(orientation))
        data = png(stored, depth=int(kind[3:]), color_type=2, extra=block)
    elif kind == "tiff":
        data = tiff_bytes(stored, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    else:
        options = {"lossless": True} if kind == "webp" else {"quality": 100}
        data = pillow_bytes(stored, kind.upper(), exif=tags, **options)
    image = read_image(saved(tmp_path / f"a.{kind}", data))
    if kind == "png16":
        eight_bit = PIL.Image.fromarray((stored // 257).astype(np.uint8))
        eight_bit.getexif()[0x0112] = orientation
        expected = np.asarray(PIL.ImageOps.exif_transpose(eight_bit)).astype(np.uint16) * 257
    else:
        expected = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.pixels.shape[:2] == ((10, 6) if orientation >= 5 else (6, 10))
    assert image.pixels.flags.c_contiguous


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_impossible_orientation_is_upright(tmp_path, orientation):
    data = png(smooth(6, 10), depth=8, color_type=2, extra=chunk(b"eXIf", exif(orientation)))
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", data)).pixels, smooth(6, 10))


# What Pillow reads


@pytest.mark.parametrize("format_name", ["JPEG", "WEBP", "BMP", "JPEG2000", "AVIF", "QOI", "ICO", "TGA"])
def test_eight_bit_color_formats(tmp_path, format_name):
    data = pillow_bytes(smooth(32, 48), format_name, **({"sizes": [(48, 32)]} if format_name == "ICO" else {}))
    image = read_image(saved(tmp_path / "a.tga", data))
    expected = np.asarray(PIL.Image.open(io.BytesIO(data)))
    assert (image.mode, image.dtype, image.value_range) == (
        PIL.Image.open(io.BytesIO(data)).mode,
        np.uint8,
        (0.0, 255.0),
    )
    np.testing.assert_array_equal(image.pixels, expected)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_jpeg_color_spaces_become_rgb(tmp_path, mode, caplog):
    data = pillow_bytes(PIL.Image.fromarray(smooth(32, 48)).convert(mode), "JPEG", quality=95)
    image = read_image(saved(tmp_path / "a.jpg", data))
    assert image.mode == "RGB"
    np.testing.assert_array_equal(image.pixels, np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB")))
    assert ("CMYK" in caplog.text) == (mode == "CMYK")


@pytest.mark.parametrize("mode", ["LAB", "YCbCr", "CMYK", "P", "1", "L", "LA", "RGBA"])
def test_tiff_color_spaces(tmp_path, mode):
    picture = PIL.Image.fromarray(smooth(32, 48))
    picture = PIL.Image.merge("LAB", picture.split()) if mode == "LAB" else picture.convert(mode)
    options = {"compression": "tiff_lzw"} if mode == "YCbCr" else {}  # Pillow before 13 reads no other.
    image = read_image(saved(tmp_path / "a.tif", pillow_bytes(picture, "TIFF", **options)))
    wanted = {"1": "L", "L": "L", "LA": "LA", "RGBA": "RGBA"}.get(mode, "RGB")
    assert image.mode == wanted
    expected = np.asarray(picture.convert(wanted)).reshape(image.pixels.shape)
    # Pillow and this package round CMYK and subsampled YCbCr differently by a step or two.
    tolerance = {"YCbCr": 3, "CMYK": 1}.get(mode, 0)
    np.testing.assert_allclose(image.pixels.astype(int), expected.astype(int), atol=tolerance)


@pytest.mark.parametrize("transparent", [False, True])
def test_gif_first_frame(tmp_path, transparent, caplog):
    frames = [PIL.Image.fromarray(smooth(9, 7) + np.uint8(step)).quantize(16) for step in (0, 90)]
    options = {"transparency": 3} if transparent else {}
    data = pillow_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:], **options)
    image = read_image(saved(tmp_path / "a.gif", data))
    mode = "RGBA" if transparent else "RGB"
    assert image.mode == mode
    np.testing.assert_array_equal(image.pixels, np.asarray(PIL.Image.open(io.BytesIO(data)).convert(mode)))
    assert "only its first picture" in caplog.text


@pytest.mark.parametrize("format_name", ["PPM", "BMP", "PNG", "TIFF"])
def test_one_bit_images_become_black_and_white(tmp_path, format_name):
    bits = noise(5, 11) > 127
    image = read_image(saved(tmp_path / "a", pillow_bytes(bits, format_name)))
    assert (image.mode, image.source_mode, image.dtype) == ("L", "1", np.uint8)
    np.testing.assert_array_equal(image.pixels[..., 0], bits * 255)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_jpeg_2000(tmp_path, channels):
    samples = noise(16, 24, channels, dtype="uint16")
    image = read_image(saved(tmp_path / "a.jp2", imagecodecs.jpeg2k_encode(samples.squeeze(), level=0)))
    np.testing.assert_array_equal(image.pixels, samples)


def with_box(data: bytes, body: bytes) -> bytes:
    """Put a box of XML before the codestream of a JP2 file."""
    start = data.index(b"jp2c") - 4
    return data[:start] + struct.pack(">I4s", 8 + len(body), b"xml ") + body + data[start:]


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_jpeg_2000_behind_long_xml(tmp_path, channels):
    """The coordinates of a map; Pillow would cut its values off at 255."""
    samples = noise(16, 24, channels, dtype="uint16")
    data = with_box(imagecodecs.jpeg2k_encode(samples.squeeze(), level=0, codecformat="jp2"), b" " * 70_000)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.jp2", data)).pixels, samples)


def test_signed_jpeg_2000_keeps_its_sign(tmp_path):
    samples = noise(16, 24, dtype="int8")
    data = imagecodecs.jpeg2k_encode(samples, level=0, codecformat="jp2")
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.jp2", data)).pixels[..., 0], samples)


@pytest.mark.parametrize(
    ("suffix", "bits"), [*(("jp2", bits) for bits in (1, 2, 4, 7)), *(("tif", bits) for bits in (2, 4, 5, 6, 7))]
)
def test_fewer_than_eight_bits_are_stretched(tmp_path, suffix, bits):
    largest = 2**bits - 1
    samples = noise(16, 24) >> (8 - bits)
    path = tmp_path / f"a.{suffix}"
    if suffix == "jp2":
        options = {"level": 0, "codecformat": "jp2", "bitspersample": bits, "reversible": True}
        path.write_bytes(imagecodecs.jpeg2k_encode(samples, **options))
    else:
        tifffile.imwrite(path, samples, bitspersample=bits)
    np.testing.assert_array_equal(read_image(path).pixels[..., 0], np.rint(samples * 255.0 / largest))


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif(tmp_path, bits):
    samples = noise(16, 24, 3, dtype="uint16") >> (16 - bits)
    data = imagecodecs.avif_encode(samples, level=100, bitspersample=bits)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.avif", data)).pixels, samples)


# Netpbm, HDR, EXR, NumPy


@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
@pytest.mark.parametrize("largest", [7, 255, 1023, 65535])
def test_netpbm_depths(tmp_path, kind, largest):
    channels = 3 if kind in ("P3", "P6") else 1
    samples = noise(4, 5, channels, dtype="uint16") % np.uint32(largest + 1)
    header = f"{kind}\n# a comment\n5 4 # another\n{largest}\n".encode()
    if kind in ("P2", "P3"):
        body = b"\n".join(b"%d # noted" % number for number in samples.ravel())
    else:
        body = samples.astype(">u2" if largest > 255 else "u1").tobytes()
    image = read_image(saved(tmp_path / "a.pnm", header + body))
    expected = samples if largest >= 255 else np.floor(samples * (255 / largest) + 0.5)
    assert image.dtype == (np.uint16 if largest > 255 else np.uint8)
    np.testing.assert_array_equal(image.pixels, expected)


@pytest.mark.parametrize(("kind", "channels"), [("Pf", 1), ("PF", 3)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pfm(tmp_path, kind, channels, order):
    samples = noise(4, 5, channels, dtype="float32")
    scale = -1.0 if order == "<" else 1.0
    data = f"{kind}\n5 4\n{scale}\n".encode() + samples[::-1].astype(order + "f4").tobytes()
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.pfm", data)).pixels, samples)


def test_a_scale_of_a_pfm_and_an_exposure_of_an_hdr_are_told(tmp_path):
    samples = noise(4, 5, dtype="float32")
    for scale, said in ((b"-2.50", "scale 2.50"), (b"-1.0", None), (b"-1", None)):
        image = read_image(saved(tmp_path / "a.pfm", b"Pf 5 4 " + scale + b"\n" + samples[::-1].tobytes()))
        assert np.array_equal(image.pixels[..., 0], samples)
        told = f"names {said} for its values, which are fitted and written as they are stored"
        assert image.notes == ((told,) if said else ())
    for lines, said in ((b"EXPOSURE=2.5\nEXPOSURE= .5\n", "exposure .5, exposure 2.5"), (b"EXPOSURE=1.0\n", None)):
        head = b"#?RADIANCE\n" + lines + b"FORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 2\n"
        image = read_image(saved(tmp_path / "a.hdr", head + bytes([128, 64, 32, 129] * 2)))
        assert image.pixels[0].tolist() == [[1, 0.5, 0.25]] * 2
        told = f"names {said} for its values, which are fitted and written as they are stored"
        assert image.notes == ((told,) if said else ())


def test_a_pfm_whose_scale_says_no_order_of_bytes_is_refused(tmp_path):
    for scale in (b"0", b"-0.0", b"1e999", b"E"):
        with pytest.raises(InputError, match=r"has the scale .*, whose sign is to say the order of its bytes"):
            read_image(saved(tmp_path / "a.pfm", b"Pf 5 4 " + scale + b"\n" + bytes(80)))


@pytest.mark.parametrize("rows", ["-", "+"])
@pytest.mark.parametrize("columns", ["-", "+"])
def test_hdr_row_and_column_orders(tmp_path, rows, columns):
    samples = np.abs(noise(7, 9, 3, dtype="float32"))
    scanlines = imagecodecs.rgbe_encode(samples, header=True).partition(b"+X 9\n")[2]
    header = f"#?RADIANCE\n# comment\nEXPOSURE=2\nFORMAT=32-bit_rle_rgbe\n\n{rows}Y 7 {columns}X 9\n".encode()
    image = read_image(saved(tmp_path / "a.hdr", header + scanlines))
    assert (image.mode, image.dtype) == ("RGB", np.float32)
    flipped = image.pixels[:: 1 if rows == "-" else -1, :: 1 if columns == "+" else -1]
    np.testing.assert_allclose(flipped, samples, atol=samples.max() / 128)


def hdr(content: bytes, *, size: tuple[int, int]) -> bytes:
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % size + content


def test_hdr_of_old_runs(tmp_path):
    """A pixel, and how often it is repeated, in more than one byte where it is often, and over ends of lines."""
    one, two = b"\x80\x40\x20\x81", b"\xff\x80\0\x80"
    first, second = [2.0 * mantissa / 256 for mantissa in (128, 64, 32)], [mantissa / 256 for mantissa in (255, 128, 0)]
    content = one + b"\1\1\1\x03" + two + b"\1\1\1\x2b" + b"\1\1\1\1" + bytes(4)
    image = read_image(saved(tmp_path / "a.hdr", hdr(content, size=(61, 5))))
    assert image.pixels.reshape(-1, 3).tolist() == [first] * 4 + [second] * 300 + [[0, 0, 0]]
    assert image.notes == ()
    for wrong in (content[:-4], b"\1\1\1\3" + content, content[:-4] + b"\1\1\1\x09"):
        with pytest.raises(InputError, match=r"a\.hdr: is a truncated or corrupt HDR"):
            read_image(saved(tmp_path / "a.hdr", hdr(wrong, size=(61, 5))))


@pytest.mark.parametrize("kind", ["plain", "old runs", "new runs"])
def test_hdr_with_more_behind_it(tmp_path, kind):
    pixel, line = (
        b"\x80\x40\x20\x81",
        b"\2\2\0\x0a" + b"".join(b"\x8a" + bytes([value]) for value in b"\x80\x40\x20\x81"),
    )
    content = {"plain": pixel * 40, "old runs": pixel + b"\1\1\1\x27", "new runs": line * 4}[kind]
    image = read_image(saved(tmp_path / "a.hdr", hdr(content + b"tail", size=(4, 10))))
    assert image.notes == ("holds 4 bytes behind its picture, which are not used",)
    assert image.pixels.reshape(-1, 3).tolist() == [[1, 0.5, 0.25]] * 40


def test_a_netpbm_header_whose_lines_end_as_in_dos(tmp_path):
    colors, numbers = noise(3, 5, 3), noise(3, 5, dtype="float32")
    image = read_image(saved(tmp_path / "a.ppm", b"P6\r\n5 3\r\n255\r\n" + colors.tobytes()))
    assert np.array_equal(image.pixels, colors) and image.notes == ()
    image = read_image(saved(tmp_path / "a.pfm", b"Pf\r\n5 3\r\n-1\r\n" + numbers[::-1].tobytes()))
    assert np.array_equal(image.pixels[..., 0], numbers) and image.notes == ()
    usual = read_image(saved(tmp_path / "b.pfm", b"Pf\n5 3\n-1\n" + numbers[::-1].tobytes() + b"tail"))
    assert np.array_equal(usual.pixels[..., 0], numbers) and "holds more behind" in usual.notes[0]


@pytest.mark.parametrize(
    ("stored", "mode", "order"),
    [
        ("Y", "L", "Y"),
        ("Z", "L", "Z"),
        ("AY", "LA", "YA"),
        ("BGR", "RGB", "RGB"),
        ("ABGR", "RGBA", "RGBA"),
        ("ABGRZ", "CHANNELS", "RGBAZ"),
        ("XYZ", "CHANNELS", "XYZ"),
        ("ab", "CHANNELS", "ab"),
    ],
)
@pytest.mark.parametrize("dtype", ["float16", "float32", "uint32"])
def test_exr_channels(tmp_path, stored, mode, order, dtype):
    planes = {name: noise(5, 7, dtype=dtype, seed=ord(name)) for name in stored}
    image = read_image(exr_file(tmp_path / "a.exr", planes))
    assert (image.mode, image.channel_names, image.dtype) == (mode, tuple(order), np.dtype(dtype))
    np.testing.assert_array_equal(image.pixels, np.stack([planes[name] for name in order], axis=-1))


def test_exr_layer_names_and_mixed_types(tmp_path):
    planes = {f"diffuse.{name}": noise(5, 7, dtype="float16", seed=ord(name)) for name in "RGB"}
    image = read_image(exr_file(tmp_path / "a.exr", planes))
    assert (image.mode, image.channel_names) == ("RGB", ("diffuse.R", "diffuse.G", "diffuse.B"))
    planes = {"Y": noise(5, 7, dtype="float16"), "id": noise(5, 7, dtype="uint32")}
    image = read_image(exr_file(tmp_path / "b.exr", planes))
    assert (image.dtype, image.channel_names) == (np.float64, ("Y", "id"))
    np.testing.assert_array_equal(image.pixels[..., 1], planes["id"])


@pytest.mark.parametrize("compression", ["NO", "RLE", "ZIPS", "ZIP", "PIZ"])
@pytest.mark.parametrize("tiled", [False, True])
def test_exr_layouts(tmp_path, compression, tiled):
    header = {"compression": getattr(OpenEXR, f"{compression}_COMPRESSION")}
    if tiled:
        header |= {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()}
    planes = {"Y": noise(67, 131, dtype="float32")}
    image = read_image(exr_file(tmp_path / "a.exr", planes, **header))
    np.testing.assert_array_equal(image.pixels[..., 0], planes["Y"])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_npy(tmp_path, dtype, byte_order, order):
    samples = noise(5, 7, 3, dtype=np.dtype(dtype).name)
    np.save(tmp_path / "a.npy", np.asarray(samples.astype(byte_order + dtype), order=order))
    image = read_image(tmp_path / "a.npy")
    assert image.dtype == np.dtype(dtype) and image.dtype.isnative
    np.testing.assert_array_equal(image.pixels, samples)


@pytest.mark.parametrize(
    ("shape", "mode"),
    [((4, 5), "L"), ((4, 5, 1), "L"), ((4, 5, 2), "LA"), ((4, 5, 3), "RGB"), ((4, 5, 4), "RGBA")]
    + [((4, 5, 9), "CHANNELS"), ((1, 1), "L"), ((1, 9, 3), "RGB"), ((9, 1, 3), "RGB")],
)
def test_npy_modes(tmp_path, shape, mode):
    np.save(tmp_path / "a.npy", noise(*shape))
    image = read_image(tmp_path / "a.npy")
    assert image.mode == mode and image.pixels.shape[:2] == shape[:2]
    assert (image.height, image.width, image.channels) == image.pixels.shape


def test_npy_of_bool(tmp_path):
    bits = noise(5, 7) > 127
    np.save(tmp_path / "a.npy", bits)
    image = read_image(tmp_path / "a.npy")
    assert (image.mode, image.source_mode) == ("L", "1")
    np.testing.assert_array_equal(image.pixels[..., 0], bits * 255)


# TIFF


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float16", "float32", "float64"])
def test_tiff_types(tmp_path, dtype, compression, byte_order):
    samples = noise(33, 17, 3, dtype=dtype)
    options = {"photometric": "rgb", "compression": compression, "byteorder": byte_order}
    image = read_image(saved(tmp_path / "a.tif", tiff_bytes(samples, **options)))
    assert image.mode == "RGB" and image.dtype == dtype and image.dtype.isnative
    np.testing.assert_array_equal(image.pixels, samples)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"rowsperstrip": 4}, {"bigtiff": True}])
@pytest.mark.parametrize("channels", [2, 4, 7])
def test_tiff_channels_and_layouts(tmp_path, channels, layout, planar):
    samples = noise(33, 17, channels, dtype="uint16")
    stored = np.moveaxis(samples, -1, 0) if planar == "separate" else samples
    image = read_image(saved(tmp_path / "a.tif", tiff_bytes(stored, planarconfig=planar, **layout)))
    # No alpha is declared, so the fourth band is a band.
    assert image.mode == "CHANNELS"
    np.testing.assert_array_equal(image.pixels, samples)


@pytest.mark.parametrize(("channels", "mode"), [(2, "LA"), (4, "RGBA")])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tiff_alpha(tmp_path, channels, mode, dtype):
    full = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    samples = np.random.default_rng(0).random((9, 7, channels)) * full
    samples[0, :, -1] = 0
    samples = samples.astype(dtype)
    options = {"photometric": "rgb" if channels == 4 else "minisblack", "planarconfig": "contig"}
    straight = tiff_bytes(samples, extrasamples=["unassalpha"], **options)
    image = read_image(saved(tmp_path / "a.tif", straight))
    assert image.mode == mode
    np.testing.assert_array_equal(image.pixels, samples)
    alpha = samples[..., -1:].astype(np.float64) / full
    premultiplied = samples.copy()
    premultiplied[..., :-1] = (samples[..., :-1] * alpha).astype(dtype)
    data = tiff_bytes(premultiplied, extrasamples=["assocalpha"], **options)
    image = read_image(saved(tmp_path / "b.tif", data))
    assert image.mode == mode
    opaque = np.broadcast_to(alpha > 0.5, samples[..., :-1].shape)
    error = np.abs(image.pixels[..., :-1].astype(np.float64) - samples[..., :-1])[opaque]
    assert error.max() <= (3 if full > 1 else 1e-6)
    np.testing.assert_array_equal(image.pixels[..., -1], samples[..., -1])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "bool"])
def test_tiff_white_is_zero(tmp_path, dtype):
    samples = noise(9, 7) > 99 if dtype == "bool" else noise(9, 7, dtype=dtype)
    image = read_image(saved(tmp_path / "a.tif", tiff_bytes(samples, photometric="miniswhite")))
    expected = ~samples * 255 if dtype == "bool" else np.iinfo(dtype).max - samples
    np.testing.assert_array_equal(image.pixels[..., 0], expected)


@pytest.mark.parametrize("bits", [2, 4])
def test_tiff_low_depths_are_stretched(tmp_path, bits):
    samples = noise(9, 8) >> (8 - bits)
    packed = np.packbits((samples[..., None] >> np.arange(bits)[::-1] & 1).reshape(9, -1), axis=1)
    data = bytearray(tiff_bytes(packed))
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tags = tiff.pages[0].tags
    # Few writers offer these depths: declare the packed bytes to be 8 narrow samples a row.
    for name, value in (("ImageWidth", 8), ("BitsPerSample", bits)):
        struct.pack_into("<I" if tags[name].dtype.name == "LONG" else "<H", data, tags[name].valueoffset, value)
    image = read_image(saved(tmp_path / "a.tif", bytes(data)))
    np.testing.assert_array_equal(image.pixels[..., 0], samples * (255 // (2**bits - 1)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_tiff_palette(tmp_path, dtype):
    colors = noise(3, 2 ** (8 * np.dtype(dtype).itemsize), seed=1)
    indices = noise(9, 7, dtype=dtype)
    data = tiff_bytes(indices, photometric="palette", colormap=colors.astype(np.uint16) * 257)
    image = read_image(saved(tmp_path / "a.tif", data))
    assert (image.mode, image.source_mode) == ("RGB", "P")
    np.testing.assert_array_equal(image.pixels, colors.T[indices])


def test_tiff_deep_cmyk(tmp_path):
    inks = noise(9, 7, 4, dtype="uint16")
    image = read_image(saved(tmp_path / "a.tif", tiff_bytes(inks, photometric="separated")))
    light = 65535.0 - inks
    assert (image.mode, image.dtype, image.source_mode) == ("RGB", np.uint16, "CMYK")
    np.testing.assert_array_equal(image.pixels, np.rint(light[..., :3] * light[..., 3:] / 65535))


def test_tiff_cmyk_that_is_no_four_inks_is_kept_and_said_to_be(tmp_path, caplog):
    data = tiff_bytes(noise(9, 7, 5), photometric="separated", extrasamples=["unassalpha"])
    assert read_image(saved(tmp_path / "a.tif", data)).mode == "CHANNELS"
    assert "is CMYK; kept as it is" in caplog.text


def test_tiff_first_page_with_warning(tmp_path, caplog):
    pages = noise(3, 9, 7, dtype="uint16")
    with caplog.at_level(logging.WARNING):
        image = read_image(saved(tmp_path / "stack.tif", tiff_bytes(pages)))
    np.testing.assert_array_equal(image.pixels[..., 0], pages[0])
    assert "stack.tif" in caplog.text and "3 pages" in caplog.text


@pytest.mark.parametrize("format_name", ["JPEG", "TIFF", "WEBP"])
def test_profile_is_kept(tmp_path, format_name):
    data = pillow_bytes(smooth(8, 9), format_name, icc_profile=b"a profile" * 100)
    assert read_image(saved(tmp_path / "a", data)).icc_profile == b"a profile" * 100


# Real files


@pytest.mark.parametrize(
    ("name", "mode", "dtype", "shape"),
    [
        ("jacksboro_dem_u16.png", "L", "uint16", (344, 403, 1)),
        ("logo.png", "RGBA", "uint8", (500, 500, 4)),
        ("albert.exr", "RGBA", "float32", (1024, 1024, 4)),
        ("pngsuite_basn6a16.png", "RGBA", "uint16", (32, 32, 4)),
        ("camera.png", "L", "uint8", (512, 512, 1)),
        ("chelsea.png", "RGB", "uint8", (300, 451, 3)),
    ],
)
def test_real_images(shared_data, name, mode, dtype, shape):
    path = shared_data / "images" / "misc" / name
    if not path.is_file():
        pytest.skip(f"no {name} in {path.parent}")
    image = read_image(path)
    assert (image.mode, image.dtype.name, image.pixels.shape) == (mode, dtype, shape)
    if name.startswith("jacksboro"):
        assert image.value_range == (236.0, 1076.0)
