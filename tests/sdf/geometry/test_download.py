"""Downloads are checked, unpacked and reused; whatever goes wrong is one line, and leaves nothing behind."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trimesh

from finer_core.errors import InputError
from finer_core.io import download as core_download
from finer_core.io.download import RECORD
from finer_sdf.geometry import download as sdf_download
from finer_sdf.geometry.download import ACKNOWLEDGEMENT, SOURCES, download
from finer_sdf.geometry.reader import read_shape
from tests.web_server import Server, serving

PLY = trimesh.creation.icosphere(subdivisions=3).export(file_type="ply")


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    with serving(monkeypatch) as server:
        yield server


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tar(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def offer(server: Server, content: bytes, *, path: str = "/file") -> dict[str, str]:
    """Put a file on the server; return the arguments that ask for it."""
    return server.offer(content, path=path)


def refusal(folder: Path, name: str = "armadillo", **options: object) -> str:
    """Ask for a download that must fail and leave the folder as it was; return the message, checked for form."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as caught:
        download(name, folder=folder, **options)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    return message


def test_a_gzipped_file_is_checked_unpacked_recorded_and_readable(tmp_path, server):
    wanted = offer(server, gzip.compress(PLY, mtime=0))
    seen = []
    folder = tmp_path / "new" / "folder"
    path = download("armadillo", folder=folder, progress=lambda done, total, _: seen.append((done, total)), **wanted)
    assert path == folder / "armadillo.ply" and path.read_bytes() == PLY
    assert len(read_shape(path).shape.faces) == 1280
    size = len(server.files["/file"])
    assert seen and seen[-1] == (size, size) and all(done <= total == size for done, total in seen)
    assert sorted(entry.name for entry in folder.iterdir()) == ["armadillo.ply", RECORD]
    assert json.loads((folder / RECORD).read_text()) == {"armadillo": {**wanted, "file_sha256": digest(PLY)}}


def test_the_member_is_taken_out_of_an_archive_wherever_it_lies(tmp_path, server):
    members = {
        "dragon_recon/README": b"about",
        "dragon_recon/dragon_vrip_res2.ply": b"ply no",
        "x/dragon_vrip.ply": PLY,
    }
    path = download("dragon", folder=tmp_path, **offer(server, tar(**members)))
    assert path.read_bytes() == PLY
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["downloads.json", "dragon.ply"]


def test_paths_in_an_archive_lead_nowhere(tmp_path, server):
    folder = tmp_path / "in" / "side"
    hostile = {"../../escaped.ply": b"ply bad", "/absolute/lucy.ply": PLY}
    assert download("lucy", folder=folder, **offer(server, tar(**hostile))).read_bytes() == PLY
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in folder.parent.iterdir()] == ["side"]


def test_a_link_in_the_place_of_the_member_is_not_followed(tmp_path, server):
    secret = tmp_path / "secret"
    secret.write_bytes(PLY)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("lucy.ply")
        entry.type, entry.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(entry)
    message = refusal(tmp_path / "out", "lucy", **offer(server, buffer.getvalue()))
    assert "holds no lucy.ply" in message


def test_a_mirror_may_hold_the_file_unpacked(tmp_path, server):
    path = download("thai", folder=tmp_path, **offer(server, PLY, path="/a/b.ply"))
    assert path.name == "thai.ply" and path.read_bytes() == PLY


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_a_server_that_calls_gz_a_transfer_encoding_does_not_change_the_digest(tmp_path, server, encoding):
    server.headers["Content-Encoding"] = encoding
    assert download("thai", folder=tmp_path, **offer(server, gzip.compress(PLY, mtime=0))).read_bytes() == PLY


def test_what_is_there_already_is_not_downloaded_again(tmp_path, server):
    wanted = offer(server, gzip.compress(PLY, mtime=0))
    first = download("armadillo", folder=tmp_path, **wanted)
    content, time = first.read_bytes(), first.stat().st_mtime_ns
    wanted["sha256"] = wanted["sha256"].upper()
    assert download("armadillo", folder=tmp_path, **wanted) == first
    assert server.asked == ["/file"] and (first.read_bytes(), first.stat().st_mtime_ns) == (content, time)


def test_several_shapes_share_a_folder(tmp_path, server):
    download("armadillo", folder=tmp_path, **offer(server, gzip.compress(PLY, mtime=0), path="/1"))
    download("thai", folder=tmp_path, **offer(server, PLY, path="/2"))
    assert set(json.loads((tmp_path / RECORD).read_text())) == {"armadillo", "thai"}
    download("armadillo", folder=tmp_path, **offer(server, gzip.compress(PLY, mtime=0), path="/1"))
    assert server.asked == ["/1", "/2"]


def test_a_file_that_this_did_not_write_is_never_replaced(tmp_path, server):
    wanted = offer(server, gzip.compress(PLY, mtime=0))
    (tmp_path / "armadillo.ply").write_bytes(b"mine")
    assert "already exists" in refusal(tmp_path, **wanted)
    (tmp_path / "armadillo.ply").unlink()
    path = download("armadillo", folder=tmp_path, **wanted)
    path.write_bytes(PLY + b"\0")
    assert "already exists" in refusal(tmp_path, **wanted)
    (tmp_path / RECORD).write_text("{broken")
    path.write_bytes(PLY)
    assert "already exists" in refusal(tmp_path, **wanted)
    assert server.asked == ["/file"]


def test_another_digest_is_refused_and_both_are_named(tmp_path, server):
    wanted = offer(server, gzip.compress(PLY, mtime=0))
    found, wanted["sha256"] = wanted["sha256"], "ab" * 32
    message = refusal(tmp_path, **wanted)
    assert message.startswith(wanted["url"]) and found in message and "ab" * 32 in message
    assert list(tmp_path.iterdir()) == []


def test_another_address_is_held_to_the_known_digest(tmp_path, server):
    wanted = offer(server, gzip.compress(PLY, mtime=0))
    message = refusal(tmp_path, url=wanted["url"])
    assert SOURCES["armadillo"].sha256 in message and wanted["sha256"] in message


def test_the_known_address_is_used_by_default(tmp_path, server, monkeypatch):
    wanted = offer(server, gzip.compress(PLY, mtime=0))
    monkeypatch.setitem(SOURCES, "armadillo", sdf_download.Source(member="Armadillo.ply", **wanted))
    assert download("armadillo", folder=tmp_path).read_bytes() == PLY


def test_errors_of_the_server_and_broken_connections(tmp_path, server):
    url = server.url + "/missing"
    assert refusal(tmp_path, url=url).startswith(f"{url}: the server answers 404;")
    wanted = offer(server, gzip.compress(PLY, mtime=0))
    server.cuts = [len(server.files["/file"])] * 9
    assert refusal(tmp_path, **wanted).startswith(f"{wanted['url']}: the connection broke off;")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_broke_off_is_gone_on_with(tmp_path, server, monkeypatch):
    monkeypatch.setattr(core_download, "_PIECE", 1000)
    wanted = offer(server, gzip.compress(PLY, mtime=0))
    size = len(server.files["/file"])
    server.cuts = [size - 5000, *[size] * 9]
    with pytest.raises(InputError, match="broke off"):
        download("armadillo", folder=tmp_path, **wanted)
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [
        (f"armadillo-{wanted['sha256'][:8]}.part", 5000)
    ]
    server.cuts.clear()
    assert download("armadillo", folder=tmp_path, **wanted).read_bytes() == PLY
    assert server.begun_at[-1] == 5000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["armadillo.ply", RECORD]


def test_a_server_that_is_gone(tmp_path, server):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        url = f"http://127.0.0.1:{closed.server_address[1]}/x"
    assert refusal(tmp_path, url=url).startswith(f"{url}: the server cannot be reached;")


@pytest.mark.parametrize(
    "content",
    [
        b"<html>not found</html>" * 50,
        gzip.compress(b"<html>not found</html>" * 50),
        gzip.compress(PLY, mtime=0)[:-200],
        gzip.compress(PLY, mtime=0)[:40] + bytes(400),
        tar(**{"lucy.ply": PLY})[:-400],
        b"",
    ],
    ids=["page", "packed page", "cut gzip", "damaged gzip", "cut archive", "empty"],
)
def test_files_that_hold_no_shape(tmp_path, server, content):
    message = refusal(tmp_path, "lucy", **offer(server, content))
    assert message.startswith(f"{server.url}/file: ") and "holds no" in message
    assert list(tmp_path.iterdir()) == []


def test_more_than_expected_is_neither_downloaded_nor_unpacked(tmp_path, server, monkeypatch):
    monkeypatch.setattr(sdf_download, "MOST_BYTES", 2000)
    assert "more than 2000 bytes" in refusal(tmp_path, **offer(server, PLY))
    assert len(gzip.compress(b"ply" + bytes(9000))) < 2000
    assert "more than 2000 bytes" in refusal(tmp_path, **offer(server, gzip.compress(b"ply" + bytes(9000))))
    assert list(tmp_path.iterdir()) == []


def test_arguments_that_mean_nothing(tmp_path):
    message = refusal(tmp_path, "teapot")
    assert "'teapot'" in message and "armadillo, bunny, dragon, lucy, thai" in message
    assert "'ftp://a/b'" in refusal(tmp_path, url="ftp://a/b")
    assert "'http:///b'" in refusal(tmp_path, url="http:///b")
    assert "64 hexadecimal digits" in refusal(tmp_path, sha256="abc")


def test_a_folder_that_cannot_be_written(tmp_path, server):
    (tmp_path / "file").write_bytes(b"")
    message = refusal(tmp_path / "file", **offer(server, PLY))
    assert "cannot be written" in message


def test_an_interrupted_download_is_gone_on_with(tmp_path, server):
    def interrupt(done: int, total: int, figures: dict) -> None:
        raise KeyboardInterrupt

    wanted = offer(server, gzip.compress(PLY, mtime=0))
    with pytest.raises(KeyboardInterrupt):
        download("armadillo", folder=tmp_path, progress=interrupt, **wanted)
    (part,) = tmp_path.iterdir()
    assert part.suffix == ".part" and server.files["/file"].startswith(part.read_bytes())
    assert download("armadillo", folder=tmp_path, **wanted).read_bytes() == PLY


def test_every_source_is_stanford_over_https_with_a_digest():
    assert set(SOURCES) == {"armadillo", "bunny", "dragon", "lucy", "thai"}
    for source in SOURCES.values():
        assert source.url.startswith("https://graphics.stanford.edu/") and source.member.endswith(".ply")
        assert len(bytes.fromhex(source.sha256)) == 32 and source.sha256 == source.sha256.lower()
    assert len({source.sha256 for source in SOURCES.values()}) == 5
    assert "Stanford Computer Graphics Laboratory" in ACKNOWLEDGEMENT
