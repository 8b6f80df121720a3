"""Pictures are opened by their content, and whatever goes wrong names the file in one line."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from finer_core.errors import InputError
from finer_core.io.jpeg import never_half
from finer_core.io.pictures import opened_picture


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
