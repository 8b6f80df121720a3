"""Pictures are opened by their content, and whatever goes wrong names the file in one line."""

import contextlib
import io
import os
import re
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from finer_core.errors import InputError
from finer_core.io.jpeg import never_half
from finer_core.io.pictures import has_sign, opened_picture


def refusal(path) -> str:
    with pytest.raises(InputError) as caught, opened_picture(path):
        pass
    return str(caught.value)


def test_what_is_no_picture_is_refused_by_name(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    assert refusal(tmp_path / "a.png").startswith(f"{tmp_path / 'a.png'}: cannot be read as a picture (cannot identify")
    assert refusal(tmp_path / "none.png") == f"{tmp_path / 'none.png'}: no such file"
    assert "no such file" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "p.png")
    assert "no such file" in refusal(tmp_path / "p.png")


def test_checks_in_the_block_name_the_file(tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    with (
        pytest.raises(InputError, match=r"a\.png: cannot be read as a picture \(too odd\)"),
        opened_picture(str(tmp_path / "a.png")) as picture,
    ):
        assert (picture.width, picture.height) == (3, 2)
        raise InputError("too odd")


@pytest.mark.parametrize("kind", ["text", "profile", "text behind"])
def test_a_png_with_long_words_is_read(kind):
    """Pillow takes 1 MiB of packed text for an attack."""
    chunk = {"profile": b"iCCPICC\0\0"}.get(kind, b"zTXtComment\0\0") + zlib.compress(bytes(3 << 20))
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    file = io.BytesIO()
    Image.new("L", (3, 2), 7).save(file, "PNG")
    at = -12 if kind == "text behind" else 33
    before = PngImagePlugin.MAX_TEXT_CHUNK
    with opened_picture(file.getvalue()[:at] + chunk + file.getvalue()[at:]) as picture:
        assert np.array_equal(np.asarray(picture), np.full((2, 3), 7))
    assert before == PngImagePlugin.MAX_TEXT_CHUNK, "which is the program's own"


def jpeg(picture: Image.Image, **how) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", **how)
    return file.getvalue()


WAYS = {
    "usual": {},
    "all colors": {"subsampling": 0, "quality": 95},
    "restarts": {"restart_marker_rows": 1},
    "best codes": {"optimize": True},
}


@pytest.mark.parametrize("kind", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
def test_a_jpeg_that_was_cut_and_closed_is_refused(kind, how, tmp_path):
    values = np.add.outer(np.arange(120), np.arange(90))[..., None] + 40 * np.arange(4)
    picture = Image.fromarray((values % 256).astype(np.uint8), "CMYK").convert(kind)
    data, path = jpeg(picture, exif=b"Exif\0\0" + b"\xff\xd9" * 9, **how), tmp_path / "a.jpg"
    path.write_bytes(data + b"and more")  # of which nothing is read
    with opened_picture(path) as found, Image.open(io.BytesIO(data)) as expected:
        assert found.info.keys() == expected.info.keys() and found.mode == kind
        assert np.array_equal(np.asarray(found), np.asarray(expected))
    begin, end = data.find(b"\xff\xda") + 20, len(data) - 2
    for share in (0.1, 0.5, 0.8):
        path.write_bytes(data[: begin + int(share * (end - begin))].rstrip(b"\xff") + b"\xff\xd9")
        with pytest.raises(InputError, match="truncated"), opened_picture(path) as found:
            found.load()


@pytest.mark.parametrize("kind", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
def test_a_jpeg_of_several_scans_is_refused_without_some_of_them(kind, how, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 4), dtype=np.uint8)
    picture = Image.fromarray(noise, "CMYK").convert(kind)
    data, path = jpeg(picture, progressive=True, **how), tmp_path / "a.jpg"
    for more in (b"", b"\xff", b"and more"):
        path.write_bytes(data + more)
        with opened_picture(path) as found, Image.open(io.BytesIO(data)) as expected:
            assert found.info["progressive"] and np.array_equal(np.asarray(found), np.asarray(expected))
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    for end in (scans[0] + 30, scans[1], (scans[1] + scans[2]) // 2, scans[-1]):
        path.write_bytes(data[:end].rstrip(b"\xff") + b"\xff\xd9")
        with pytest.raises(InputError, match="truncated"), opened_picture(path) as found:
            found.load()


@pytest.mark.parametrize("how", [{}, {"progressive": True}], ids=["one scan", "several"])
def test_a_jpeg_is_read_in_pieces_and_its_data_when_they_are_decoded(how, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
    (tmp_path / "a.jpg").write_bytes(jpeg(Image.fromarray(noise), quality=95, **how))
    read = []

    class Watched(io.FileIO):
        def read(self, size=-1):
            assert 0 <= size <= 1 << 20
            read.append(size)
            return super().read(size)

    with Watched(tmp_path / "a.jpg") as file, Image.open(file) as plain:
        read.clear()
        picture = never_half(plain)
        assert picture.size == (1200, 1200) and sum(read) < 4096
        picture.load()
        assert sum(read) > 1 << 20


@pytest.mark.parametrize(
    ("before", "where"),
    [
        (b"\xff" * 200_000 + b"\0", -2),
        (b"\xff" * 3_000_000, -2),
        (b"\xff" * 200_000, 2),
        (b"\xff\xda\0\x08\1\1\0\0\x3f\0\0" * 40_000, -2),
    ],
    ids=["data", "end", "header", "scans"],
)
def test_a_damaged_jpeg_takes_no_time_beyond_its_size(before, where):
    plain = jpeg(Image.new("L", (8, 8)))
    data, taken = plain[:where] + before + plain[where:], []

    class Counted(io.BytesIO):
        def read(self, size=-1):
            found = super().read(size)
            taken.append(len(found))
            return found

    start = time.process_time()
    with Image.open(Counted(data)) as picture:
        taken.clear()
        with contextlib.suppress(OSError):
            never_half(picture).load()
    assert sum(taken) < 20 * len(data) and len(taken) < 10_000 + 4 * data.count(b"\xff\xda")
    assert time.process_time() - start < 20


@pytest.mark.parametrize("fill", [0, 1, 7, 63, 64, 65, 511, 5000])
def test_a_marker_begins_with_any_number_of_bytes_wherever_pieces_end(fill):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    data = jpeg(noise, progressive=fill % 2 == 0)
    scan = data.index(b"\xff\xda")
    for where in (2, scan, len(data) - 2):
        whole = data[:where] + b"\xff" * fill + data[where:]
        with opened_picture(whole) as found:
            assert np.array_equal(np.asarray(found), np.asarray(Image.open(io.BytesIO(data))))
    cut = data[: scan + 30].rstrip(b"\xff") + b"\xff" * fill + b"\xff\xd9"
    with pytest.raises(InputError, match="truncated"), opened_picture(cut) as found:
        found.load()


@pytest.mark.parametrize("kind", [0xC3, 0xC9, 0xCA])
def test_other_kinds_of_jpeg_are_read_as_they_are(kind):
    data = jpeg(Image.new("RGB", (16, 16)), progressive=kind == 0xCA).replace(b"\xff\xc2", b"\xff\xc0")
    data = data.replace(b"\xff\xc0", bytes([0xFF, kind]))
    with Image.open(io.BytesIO(data)) as plain, Image.open(io.BytesIO(data)) as again:
        try:
            expected = np.array(plain)
        except OSError as error:  # by how libjpeg was built
            with pytest.raises(OSError, match=re.escape(str(error))):
                never_half(again).load()
        else:
            assert np.array_equal(np.array(never_half(again)), expected)


@pytest.mark.parametrize("content", [b"", b"\1", b"\2\1\0", b"\1\7\0\0\x3f\0"], ids=repr)
def test_tables_of_a_scan_that_are_wrong_are_left_to_the_decoder(content):
    data = jpeg(Image.new("L", (64, 64)))
    scan = data.index(b"\xff\xda")
    damaged = data[: scan + 2] + struct.pack(">H", 2 + len(content)) + content + data[scan + 10 :]
    with pytest.raises(InputError, match="broken data stream"), opened_picture(damaged) as found:
        found.load()


def tiff(*, order: str, kind: str, meaning: int, signed: int = 1) -> bytes:
    """Write gray samples 1 to 6 of 2 rows, packed by zlib."""
    values = np.arange(1, 7).astype(np.dtype(order + kind))
    content = zlib.compress(values.tobytes())
    tags = {
        256: 3,
        257: 2,
        258: 8 * values.itemsize,
        259: 8,
        262: meaning,
        273: 8,
        277: 1,
        278: 2,
        279: len(content),
        339: signed,
    }
    start = struct.pack(order + "2sHI", b"MM" if order == ">" else b"II", 42, 8 + len(content)) + content
    entries = [struct.pack(order + "HHIH2x", tag, 3, 1, value) for tag, value in tags.items()]
    return start + struct.pack(order + "H", len(tags)) + b"".join(entries) + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "form"), [("f4", 3), ("i4", 2), ("i2", 2), ("u2", 1)])
def test_packed_samples_of_either_byte_order_are_read(order, kind, form):
    with opened_picture(tiff(order=order, kind=kind, meaning=1, signed=form)) as picture:
        assert np.asarray(picture).tolist() == [[1, 2, 3], [4, 5, 6]]
        assert has_sign(picture) == (form == 2)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_ppm_is_read_from_its_first_value_on(end):
    """The first value looks like a line end."""
    for head, kind in ((b"P6", "u1"), (b"P5", ">u2"), (b"Pf", "<f4")):
        shape = (2, 3, 3) if head == b"P6" else (2, 3)
        values = np.arange(10, 10 + np.prod(shape)).reshape(shape).astype(kind)
        most = {"u1": b"255", ">u2": b"65535", "<f4": b"-1"}[kind]
        rows = values[::-1] if head == b"Pf" else values
        with opened_picture(end.join([head, b"3 2", most, rows.tobytes()])) as picture:
            np.testing.assert_array_equal(np.asarray(picture), values)


def test_deep_samples_that_count_from_white_are_refused():
    """Pillow turns them round in 8 bits, and not in 16."""
    with opened_picture(tiff(order="<", kind="u1", meaning=0)) as picture:
        assert np.asarray(picture).tolist() == [[254, 253, 252], [251, 250, 249]]
    with (
        pytest.raises(InputError, match=r"its content: .*zero stands for white in it"),
        opened_picture(tiff(order="<", kind="u2", meaning=0)),
    ):
        pass
