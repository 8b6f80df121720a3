"""`finer-image download`: files are checked, what is there is kept, and what is unknown holds from its first time."""

import hashlib
import json
from pathlib import Path

import pytest

import finer_image
from finer_core.errors import InputError
from finer_image.app.cli import main
from finer_image.io import download
from finer_image.published_tables import IMAGES
from tests import refusals
from tests.web_server import serving

CONTENT = {name: f"picture {name}".encode() * 1000 for name in IMAGES}


@pytest.fixture
def server(monkeypatch):
    known = {name: hashlib.sha256(CONTENT[name]).hexdigest() for name in IMAGES[:8]}
    monkeypatch.setattr(download, "DIGESTS", known)
    with serving(monkeypatch) as server:
        server.files |= {f"/set/{name}.png": content for name, content in CONTENT.items()}
        yield server


def test_the_command_fetches_the_set_and_keeps_what_is_there(tmp_path, server, capsys):
    command = ["download", "div2k", "--out", str(tmp_path / "new"), "--url", f"{server.url}/set/", "--quiet"]
    assert main(command) == 0
    captured = capsys.readouterr()
    paths = [Path(line) for line in captured.out.splitlines()]
    assert {path.stem: path.read_bytes() for path in paths} == CONTENT and "DIV2K" in captured.err
    record = json.loads((tmp_path / "new" / "downloads.json").read_text())
    assert record["15"] == {
        "url": f"{server.url}/set/15.png",
        "sha256": hashlib.sha256(CONTENT["15"]).hexdigest(),
    }
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        *(f"{n}.png" for n in IMAGES),
        "downloads.json",
    ]
    assert main(command) == 0
    assert len(server.asked) == 16


def test_a_download_that_fails_keeps_what_is_finished_and_goes_on(tmp_path, server):
    gone = server.files.pop("/set/05.png")
    with pytest.raises(InputError, match=r"05\.png: the server answers 404"):
        finer_image.download("div2k", tmp_path, url=f"{server.url}/set")
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == list(IMAGES[:5])
    server.files["/set/05.png"] = gone
    seen = []
    finer_image.download(
        "div2k", tmp_path, url=f"{server.url}/set", progress=lambda done, total, _: seen.append((done, total))
    )
    assert seen[-1] == (16, 16) and server.asked.count("/set/04.png") == 1


@pytest.mark.parametrize("name", ["03", "12"])
def test_another_file_is_refused_whether_its_digest_is_known_or_was_recorded(tmp_path, server, name):
    finer_image.download("div2k", tmp_path, url=f"{server.url}/set")
    (tmp_path / f"{name}.png").unlink()
    server.files[f"/set/{name}.png"] = b"another"
    with pytest.raises(InputError, match="not the expected"):
        finer_image.download("div2k", tmp_path, url=f"{server.url}/set")
    assert not (tmp_path / f"{name}.png").exists()


@pytest.mark.parametrize("name", ["03", "12"])
def test_a_file_of_the_user_s_is_never_replaced(tmp_path, server, name):
    (tmp_path / f"{name}.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="already exists"):
        finer_image.download("div2k", tmp_path, url=f"{server.url}/set")
    assert (tmp_path / f"{name}.png").read_bytes() == b"mine"


def test_known_digests_are_those_of_the_files_at_hand(shared_data):
    for name, digest in download.DIGESTS.items():
        assert hashlib.sha256((shared_data / "images" / "div2k" / f"{name}.png").read_bytes()).hexdigest() == digest


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["kodak"], "kodak"), (["div2k", "--sha256", "ab" * 32], "--sha256"), (["div2k", "--url", "x"], "'x'")],
)
def test_wrong_input_is_one_line(tmp_path, capsys, arguments, word):
    refusals.assert_refused(main, ["download", *arguments, "--out", str(tmp_path / "out")], capsys, word)
