"""Nothing broken, cut or oversized is read at all, and one line says why."""

import io
import os
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
import tifffile

from finer_core import InputError
from finer_image.io import source as image_source
from finer_image.io.reader import load_image, read_image
from tests.image.image_files import chunk, exr_file, noise, pillow_bytes, png, saved, tiff_bytes

OpenEXR = pytest.importorskip("OpenEXR")


def refusal(path: Path, **options: object) -> str:
    """Read a file that must be refused; return the message, checked for form."""
    with pytest.raises(ValueError) as caught:
        load_image(path, **options)
    assert type(caught.value).__name__ == "InputError"
    message = str(caught.value)
    assert "\n" not in message and path.name in message and len(message) < 500
    return message


def test_missing_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "nothing.png")


def test_folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    assert "is a folder" in refusal(tmp_path / "pictures")


def test_permission(tmp_path, monkeypatch):
    path = saved(tmp_path / "secret.png", png(noise(2, 2, 3), depth=8, color_type=2))

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # chmod does not stop an administrator.
    assert "permission denied" in refusal(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refusal(tmp_path / "pipe.png")


def test_empty_file(tmp_path):
    assert "is empty" in refusal(saved(tmp_path / "empty.png", b""))


@pytest.mark.parametrize("data", [b"hello, this is a text\n", b"\0" * 100, b"P", b"BMW is a car\n", b"P5 of us"])
@pytest.mark.parametrize("suffix", ["png", "tga", "unknown"])
def test_not_an_image(tmp_path, data, suffix):
    refusal(saved(tmp_path / f"notes.{suffix}", data))


def test_line_breaks_in_names_and_reasons_are_flattened(tmp_path):
    with pytest.raises(ValueError, match=r"two lines\.png: no such file") as caught:
        read_image(tmp_path / "two\nlines.png")
    assert "\n" not in str(caught.value)


TRUNCATED = {
    "png": lambda: png(noise(40, 50, 3), depth=8, color_type=2),
    "png16": lambda: png(noise(40, 50, 3, dtype="uint16"), depth=16, color_type=2, interlaced=True),
    "jpeg": lambda: pillow_bytes(noise(40, 50, 3), "JPEG"),
    "progressive": lambda: pillow_bytes(noise(40, 50, 3), "JPEG", progressive=True),
    "webp": lambda: pillow_bytes(noise(40, 50, 3), "WEBP"),
    "webp-lossless": lambda: pillow_bytes(noise(40, 50, 3), "WEBP", lossless=True),
    "gif": lambda: pillow_bytes(noise(40, 50), "GIF"),
    "bmp": lambda: pillow_bytes(noise(40, 50, 3), "BMP"),
    "tga": lambda: pillow_bytes(noise(40, 50, 3), "TGA"),
    "ico": lambda: pillow_bytes(noise(48, 48, 4), "ICO", sizes=[(48, 48)]),
    "qoi": lambda: pillow_bytes(noise(40, 50, 3), "QOI"),
    "jp2": lambda: pillow_bytes(noise(40, 50, 3), "JPEG2000"),
    "jp2-16": lambda: imagecodecs.jpeg2k_encode(noise(40, 50, 3, dtype="uint16"), level=0),
    "avif": lambda: pillow_bytes(noise(40, 50, 3), "AVIF"),
    "pgm": lambda: b"P5 50 40 65535\n" + noise(40, 50, dtype="uint16").tobytes(),
    "pgm-text": lambda: b"P2 50 40 9\n" + b"\n".join([b"7"] * 2000) + b"\n",
    "pbm": lambda: pillow_bytes(noise(40, 50) > 99, "PPM"),
    "pfm": lambda: b"Pf 50 40 -1\n" + noise(40, 50, dtype="float32").tobytes(),
    "hdr": lambda: imagecodecs.rgbe_encode(np.abs(noise(40, 50, 3, dtype="float32"))),
    "tiff": lambda: tiff_bytes(noise(40, 50, 3), photometric="rgb", rowsperstrip=8),
    "tiff-zlib": lambda: tiff_bytes(noise(40, 50, 3), photometric="rgb", compression="zlib", tile=(16, 16)),
    "tiff-lzw": lambda: tiff_bytes(noise(40, 50, 3), photometric="rgb", compression="lzw", rowsperstrip=8),
    "tiff-jpeg": lambda: tiff_bytes(noise(40, 50, 3), photometric="rgb", compression="jpeg", rowsperstrip=8),
    "tiff-pillow": lambda: pillow_bytes(PIL.Image.fromarray(noise(40, 50, 3)), "TIFF", compression="tiff_lzw"),
    "tiff-ycbcr": lambda: pillow_bytes(
        PIL.Image.fromarray(noise(40, 50, 3)).convert("YCbCr"), "TIFF", compression="tiff_lzw"
    ),
}


def cuts(length: int) -> list[int]:
    """Choose lengths at which to cut a file: the start, the last bytes, and a spread between."""
    return sorted({1, 3, 12, 20, 30, 60, *range(100, length, max(1, length // 25)), *range(length - 25, length)})


@pytest.mark.parametrize("kind", TRUNCATED)
def test_truncated_files_are_refused_or_whole(tmp_path, kind):
    data = TRUNCATED[kind]()
    path = saved(tmp_path / f"cut.{kind}", data)
    whole = read_image(path).pixels
    refused = 0
    for length in cuts(len(data)):
        path.write_bytes(data[:length])
        try:
            pixels = read_image(path).pixels
        except ValueError as error:
            assert type(error).__name__ == "InputError" and "\n" not in str(error) and path.name in str(error)
            refused += 1
        else:
            np.testing.assert_array_equal(pixels, whole)  # Only an end mark was cut.
            assert len(data) - length < 30
    assert refused > 25


@pytest.mark.parametrize("compression", ["NO", "ZIP", "ZIPS", "PIZ", "RLE"])
@pytest.mark.parametrize("tiled", [False, True])
def test_truncated_exr(tmp_path, compression, tiled, capfd):
    header = {"compression": getattr(OpenEXR, f"{compression}_COMPRESSION")}
    if tiled:
        header |= {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()}
    planes = {name: noise(70, 90, dtype="float16", seed=ord(name)) for name in "RGB"}
    path = exr_file(tmp_path / "cut.exr", planes, **header)
    data = path.read_bytes()
    for length in cuts(len(data)):
        path.write_bytes(data[:length])
        assert "cut.exr" in refusal(path)
    assert capfd.readouterr() == ("", "")


def test_exr_of_a_stopped_writer(tmp_path):
    path = exr_file(tmp_path / "stopped.exr", {"Y": noise(70, 90, dtype="float16")})
    data = bytearray(path.read_bytes())
    # 70 rows are 5 chunks of 16; the first lies right behind the table of 5 offsets.
    table = next(at for at in range(len(data)) if struct.unpack_from("<Q", data, at)[0] == at + 8 * 5)
    data[table + 16 : table + 40] = bytes(24)
    path.write_bytes(data)
    assert "truncated" in refusal(path)


def test_corrupt_exr(tmp_path, capsys):
    planes = {"Y": np.floor(np.mgrid[:64, :80][0] / 9).astype(np.float32)}
    path = exr_file(tmp_path / "bad.exr", planes, compression=OpenEXR.ZIP_COMPRESSION)
    data = bytearray(path.read_bytes())
    middle = len(data) * 3 // 4
    data[middle : middle + 20] = b"\xff" * 20
    path.write_bytes(data)
    assert "is a corrupt EXR" in refusal(path)
    assert capsys.readouterr().out == ""


def test_corrupt_png_checksum(tmp_path):
    data = bytearray(png(noise(9, 9, 3), depth=8, color_type=2))
    data[data.index(b"IDAT") + 30] ^= 1
    assert "checksum of its IDAT" in refusal(saved(tmp_path / "bad.png", bytes(data)))


@pytest.mark.parametrize("depth", [8, 16])
def test_png_with_missing_rows(tmp_path, depth):
    whole = png(noise(9, 9, 3), depth=depth, color_type=2)
    part = png(noise(5, 9, 3), depth=depth, color_type=2)
    data = whole[:33] + part[33:]
    refusal(saved(tmp_path / "short.png", data))


def test_png_without_pixels(tmp_path):
    data = png(noise(9, 9, 3), depth=8, color_type=2)
    refusal(saved(tmp_path / "none.png", data[:33] + chunk(b"IEND", b"")))


@pytest.mark.parametrize("missing", [0, 10**6])
def test_tiff_with_missing_strips(tmp_path, missing):
    data = bytearray(tiff_bytes(noise(40, 50), compression="zlib", rowsperstrip=8))
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        at = tiff.pages[0].tags["StripByteCounts"].valueoffset
        size = 4 if tiff.pages[0].tags["StripByteCounts"].dtype.name == "LONG" else 2
    data[at + size : at + 2 * size] = min(missing, 2 ** (8 * size) - 1).to_bytes(size, "little")
    message = refusal(saved(tmp_path / "gap.tif", bytes(data)))
    assert "lacks the data of 1 of its 5" in message if missing == 0 else "truncated" in message


def with_values(path: Path, values: list[float]) -> Path:
    """Write a picture that has these values at rows 290, 291, ... and columns 5, 4, ..."""
    samples = noise(300, 70, 3, dtype="float32")
    for number, value in enumerate(values):
        samples[290 + number, 5 - number, 1] = value
    if path.suffix == ".npy":
        np.save(path, samples)
    elif path.suffix == ".tif":
        saved(path, tiff_bytes(samples, photometric="rgb"))
    else:
        exr_file(path, dict(zip("RGB", np.ascontiguousarray(np.moveaxis(samples, -1, 0)), strict=True)))
    return path


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("suffix", ["npy", "tif", "exr"])
def test_infinite_values(tmp_path, suffix, value):
    message = refusal(with_values(tmp_path / f"holes.{suffix}", [value, np.nan, value]))
    assert "2 infinite values" in message and "row 290, column 5, channel 1" in message


@pytest.mark.parametrize("suffix", ["npy", "tif", "exr"])
def test_pixels_that_are_nan_have_no_data(tmp_path, suffix, caplog):
    image = read_image(with_values(tmp_path / f"holes.{suffix}", [np.nan, np.nan]))
    assert image.missing == 2 and np.argwhere(image.missing_in(image.pixels)).tolist() == [[290, 5], [291, 4]]
    assert image.notes == ("2 of its 21,000 pixels hold no data (NaN); they are left out of fit and figures",)
    assert image.notes[0] in caplog.text


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 5)])
def test_wrong_rank(tmp_path, shape):
    np.save(tmp_path / "rank.npy", noise(*shape))
    assert str(shape) in refusal(tmp_path / "rank.npy")


@pytest.mark.parametrize("shape", [(0, 5), (5, 0, 3), (5, 5, 0)])
def test_zero_size(tmp_path, shape):
    np.save(tmp_path / "none.npy", np.zeros(shape))
    assert "no pixels" in refusal(tmp_path / "none.npy")


@pytest.mark.parametrize(
    "samples",
    [np.zeros((3, 4), complex), np.array([["a", "b"]]), np.zeros((3, 4), "M8[s]"), np.zeros((3, 4), "f4,f4")],
)
def test_dtypes_that_are_no_pixels(tmp_path, samples):
    np.save(tmp_path / "odd.npy", samples)
    assert "values" in refusal(tmp_path / "odd.npy")


def test_complex_tiff(tmp_path):
    assert "complex64" in refusal(saved(tmp_path / "wave.tif", tiff_bytes(np.zeros((9, 7), np.complex64))))


def test_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    assert "object" in refusal(tmp_path / "objects.npy")


def test_volume(tmp_path):
    data = tiff_bytes(noise(16, 32, 32), volumetric=True, tile=(16, 16, 16))
    assert "volume" in refusal(saved(tmp_path / "scan.tif", data))


# Size


def declared(kind: str, side: int, scratch: Path) -> bytes:
    """Make a small file that declares side x side pixels."""
    if kind == "png":
        return (
            png(noise(2, 2, 3), depth=8, color_type=2)[:8]
            + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + png(noise(2, 2, 3), depth=8, color_type=2)[33:]
        )
    if kind == "jpg":
        data = bytearray(pillow_bytes(noise(8, 8, 3), "JPEG"))
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, side, side)
    elif kind == "bmp":
        data = bytearray(pillow_bytes(noise(8, 8, 3), "BMP"))
        struct.pack_into("<ii", data, 18, side, side)
    elif kind == "gif":
        data = bytearray(pillow_bytes(noise(8, 8), "GIF"))
        struct.pack_into("<HH", data, 6, side, side)
    elif kind == "tif":
        data = bytearray(tiff_bytes(noise(8, 8, 3), photometric="rgb", bigtiff=False))
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
                tag = tiff.pages[0].tags[name]
                struct.pack_into("<H" if tag.dtype.name == "SHORT" else "<I", data, tag.valueoffset, side)
    elif kind == "exr":
        data = bytearray(exr_file(scratch / "source.exr", {"Y": noise(8, 8, dtype="float32")}).read_bytes())
        struct.pack_into("<4i", data, data.index(b"dataWindow\0box2i\0") + 21, 0, 0, side - 1, side - 1)
    elif kind == "hdr":
        data = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (side, side) + bytes(100)
    elif kind == "pgm":
        data = b"P5 %d %d 255\n" % (side, side) + bytes(100)
    else:
        buffer = io.BytesIO()
        shape = {"shape": (side, side), "fortran_order": False, "descr": "|u1"}
        np.lib.format.write_array_header_1_0(buffer, shape)
        data = buffer.getvalue() + bytes(100)
    return bytes(data)


SIZED = ["png", "jpg", "bmp", "gif", "tif", "exr", "hdr", "pgm", "npy"]


@pytest.mark.parametrize("kind", SIZED)
def test_decompression_bombs(tmp_path, kind):
    path = saved(tmp_path / f"bomb.{kind}", declared(kind, 20_000, tmp_path))
    assert "bomb;" in refusal(path)
    assert "--memory" in refusal(path, memory_bytes=10**8)


@pytest.mark.parametrize("kind", SIZED)
def test_memory_limit_is_checked_before_decoding(tmp_path, kind):
    path = saved(tmp_path / f"large.{kind}", declared(kind, 8_000, tmp_path))
    message = refusal(path, memory_bytes=1_000_000)
    assert "--memory" in message and "8000 x 8000" in message and "1,000,000" in message


BESIDE = {
    # 600 x 400 pixels in three colors, and what decoding takes beside them, a pixel.
    "jpg": (lambda pixels: pillow_bytes(pixels, "JPEG"), 4),
    "webp": (lambda pixels: pillow_bytes(pixels, "WEBP"), 20),
    "jp2": (lambda pixels: pillow_bytes(pixels, "JPEG2000"), 20),
    "bmp": (lambda pixels: pillow_bytes(pixels, "BMP"), 8),
    "ppm": (lambda pixels: b"P6 600 400 255\n" + pixels.tobytes(), 3),
    "pnm": (lambda pixels: b"P3 600 400 255\n" + b" ".join(b"%d" % value for value in pixels.ravel()), 6),
    "hdr": (lambda pixels: imagecodecs.rgbe_encode(pixels.astype(np.float32)), 12),
    "png": (lambda pixels: pillow_bytes(pixels, "PNG"), 3),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_what_decoding_takes_counts(tmp_path, kind):
    make, beside = BESIDE[kind]
    path = saved(tmp_path / f"a.{kind}", make(np.kron(noise(4, 6, 3), np.ones((100, 100, 1), np.uint8))))
    decoded = 600 * 400 * (12 if kind == "hdr" else 3)
    needed = decoded + 600 * 400 * beside
    assert load_image(path, memory_bytes=decoded, working_bytes=needed).pixels.nbytes == decoded
    message = refusal(path, memory_bytes=decoded, working_bytes=needed - 1)
    assert f"needs {needed:,} bytes" in message and f"leaves {needed - 1:,} to decode it" in message


def test_a_picture_inside_a_picture_counts(tmp_path):
    """An icon of 16 x 16 that holds a PNG of 20000 x 20000."""
    data = bytearray(pillow_bytes(noise(16, 16, 4), "ICO", sizes=[(16, 16)]))
    inner = declared("png", 20_000, tmp_path)
    struct.pack_into("<I", data, 14, len(inner))
    assert "ico" in refusal(saved(tmp_path / "a.ico", bytes(data[:22]) + inner))
    assert "corrupt ICO (Image size (400000000 pixels)" in refusal(tmp_path / "a.ico")


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no such file on this system")
def test_a_file_that_cannot_be_read_from_is_refused(tmp_path):
    (tmp_path / "a.png").symlink_to("/proc/self/mem")
    assert "a.png: is a truncated or corrupt image (Input/output error)" in refusal(tmp_path / "a.png")


def test_numbers_in_text_are_read_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr("finer_image.io.formats.plain._TEXT_PIECE", 64)  # words and comments go on in the next piece
    numbers = noise(20, 30)
    text = b"# a comment\n".join(b" ".join(b"%d" % value for value in row) + b"\n" for row in numbers)
    path = saved(tmp_path / "a.pgm", b"P2 30 20 255\n" + text)
    assert np.array_equal(read_image(path).pixels[:, :, 0], numbers)
    assert "holds a word or comment" in refusal(saved(tmp_path / "b.pgm", b"P2 30 20 255\n7 #" + b"x" * 500))


def test_memory_limit_is_exact(tmp_path):
    path = saved(tmp_path / "a.png", png(noise(10, 12, 3, dtype="uint16"), depth=16, color_type=2))
    assert load_image(path, memory_bytes=720).pixels.nbytes == 720
    assert "needs 720 bytes" in refusal(path, memory_bytes=719)


def test_large_genuine_images_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(image_source, "BOMB_PIXELS", 10_000)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        image = read_image(saved(tmp_path / f"large.{kind}", pillow_bytes(noise(200, 300, 3), kind)))
        assert image.pixels.shape == (200, 300, 3)
    flat = saved(tmp_path / "flat.png", pillow_bytes(np.zeros((2000, 3000), np.uint8), "PNG"))
    assert "bomb" in refusal(flat)


def test_pillow_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(PIL.ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    filters, limit = list(warnings.filters), PIL.Image.MAX_IMAGE_PIXELS
    data = pillow_bytes(noise(40, 50, 3), "JPEG")
    read_image(saved(tmp_path / "a.jpg", data))
    assert "truncated" in refusal(saved(tmp_path / "b.jpg", data[: len(data) // 2]))
    # With the end marker behind what is left, the rest would be gray rows.
    assert "truncated" in refusal(saved(tmp_path / "b.jpg", data[: len(data) // 2] + b"\xff\xd9"))
    assert PIL.ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert limit == PIL.Image.MAX_IMAGE_PIXELS and warnings.filters == filters


def test_imaging_libraries_wait_until_they_are_needed():
    code = (
        "import sys, finer_image.io.reader, finer_image.io.writer\n"
        "print({'PIL', 'imagecodecs', 'tifffile', 'OpenEXR'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.strip() == "set()"


def test_a_kind_of_jpeg_that_pillow_has_not_and_a_tiff_without_a_size_are_refused_in_words(tmp_path):
    deep = imagecodecs.jpeg_encode(np.zeros((8, 8), np.uint16), bitspersample=12)
    with pytest.raises(InputError, match=r"corrupt JPEG \(or of a kind that is not read, such as 12-bit"):
        read_image(saved(tmp_path / "a.jpg", deep))
    with pytest.raises(InputError, match="names no size of its picture"):
        read_image(saved(tmp_path / "a.tif", b"II*\0\x08\0\0\0" + bytes(6)))
