"""Pictures are opened by their content, and whatever goes wrong names the file in one line."""

import os

import pytest
from PIL import Image

from finer_core.errors import InputError
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
