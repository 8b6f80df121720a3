"""`finer-nerf download`: scenes come out of one checked archive, whole or not at all."""

import io
import json
import zipfile
from pathlib import Path

import pytest

import finer_nerf
from finer_core.errors import InputError
from finer_nerf.app.cli import main
from finer_nerf.scenes import download
from tests.web_server import serving


@pytest.fixture
def server(monkeypatch):
    with serving(monkeypatch) as server:
        yield server


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("scene") / "small"
    finer_nerf.write_scene(finer_nerf.builtin_scene(size=8), folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def archive(*scenes: str, of: dict[str, bytes], more: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name in scenes:
            for place, content in of.items():
                packed.writestr(f"nerf_synthetic/{name}/{place}", content)
        for place, content in {"nerf_synthetic/README.txt": b"licenses", **(more or {})}.items():
            packed.writestr(place, content)
    return buffer.getvalue()


def test_the_command_unpacks_scenes_that_can_be_read_and_keeps_them(tmp_path, server, scene, capsys):
    where = server.offer(archive("lego", "ship", "mic", of=scene))
    command = ["download", "lego", "ship", "--out", str(tmp_path / "new"), "--quiet"]
    command += ["--url", where["url"], "--sha256", where["sha256"].upper()]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert [Path(line).name for line in captured.out.splitlines()] == ["lego", "ship"] and "Blend Swap" in captured.err
    assert len(finer_nerf.read_scene(tmp_path / "new" / "lego").train) == 36
    assert (tmp_path / "new" / "ship" / "README.txt").read_text() == "licenses"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["downloads.json", "lego", "ship"]
    assert main(command) == 0
    assert len(server.asked) == 1
    finer_nerf.download("mic", tmp_path / "new", **where)
    assert set(json.loads((tmp_path / "new" / "downloads.json").read_text())) == {"lego", "ship", "mic"}


def test_what_broke_off_is_gone_on_with(tmp_path, server, scene):
    where = server.offer(archive("lego", of=scene, more={"nerf_synthetic/other": bytes(200_000)}))
    size = len(server.files["/file"])
    server.cuts = [size - 100_000, *[size] * 9]
    with pytest.raises(InputError, match="the connection broke off"):
        finer_nerf.download("lego", tmp_path, **where)
    server.cuts.clear()
    asked = len(server.begun_at)
    finer_nerf.download("lego", tmp_path, **where)
    assert server.begun_at[asked] == 65_536
    assert sorted(path.name for path in tmp_path.iterdir()) == ["downloads.json", "lego"]


def test_another_archive_is_refused(tmp_path, server, scene):
    where = server.offer(archive("lego", of=scene))
    with pytest.raises(InputError, match=download.SHA256):
        finer_nerf.download("lego", tmp_path, url=where["url"])
    assert list(tmp_path.iterdir()) == []


def test_archives_that_hold_no_such_scene(tmp_path, server, scene):
    whole = archive("lego", of=scene)
    contents = {
        "holds no scene ship": (whole, "ship"),
        "holds no scenes that can be unpacked": (whole[: len(whole) // 2], "lego"),
        "can be unpacked": (b"<html>not found</html>", "lego"),
        "holds no scene chair": (archive(of=scene, more={"nerf_synthetic/chair/r_0.png": b"x"}), "chair"),
    }
    for word, (content, name) in contents.items():
        with pytest.raises(InputError, match=word):
            finer_nerf.download(name, tmp_path, **server.offer(content))
        assert list(tmp_path.iterdir()) == []


def test_paths_in_an_archive_lead_nowhere(tmp_path, server, scene):
    hostile = {
        "lego/../../../escaped": b"",
        "/lego/absolute": b"",
        "nerf_synthetic/lego/../../up": b"",
        "__MACOSX/lego/._x": b"",
    }
    finer_nerf.download("lego", tmp_path / "in", **server.offer(archive("lego", of=scene, more=hostile)))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    files = {
        str(path.relative_to(tmp_path / "in" / "lego"))
        for path in (tmp_path / "in" / "lego").rglob("*")
        if path.is_file()
    }
    assert files == {*scene, "README.txt"}


def test_more_than_expected_is_not_unpacked(tmp_path, server, scene, monkeypatch):
    where = server.offer(archive("lego", of=scene, more={"nerf_synthetic/lego/bomb": bytes(3 << 20)}))
    monkeypatch.setattr(download, "MOST_BYTES", 1 << 20)
    with pytest.raises(InputError, match="more than 1048576 bytes"):
        finer_nerf.download("lego", tmp_path, **where)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_user_s_is_never_replaced(tmp_path, server, scene):
    (tmp_path / "lego").mkdir()
    with pytest.raises(InputError, match="already exists"):
        finer_nerf.download(["lego", "ship"], tmp_path, **server.offer(archive("lego", "ship", of=scene)))
    assert server.asked == []


def test_the_archive_has_an_address_and_a_digest():
    assert download.URL.startswith("https://") and len(bytes.fromhex(download.SHA256)) == 32
