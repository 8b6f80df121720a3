"""Downloads against a server that stalls, truncates and lies: what broke off is gone on with, and digests decide."""

import hashlib
import random

import pytest

from finer_core.errors import InputError
from finer_core.io import download
from finer_core.io.download import check_source, fetch, read_record, write_record
from tests.web_server import serving

pytest.importorskip("pooch")
CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MOST = 1 << 20


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "_PIECE", 10_000)
    with serving(monkeypatch) as server:
        server.files["/file"] = CONTENT
        yield server


def fetched(server, part, *, sha256=SHA256, **more):
    digest = fetch(f"{server.url}/file", part, sha256=sha256, most=MOST, **more)
    assert part.read_bytes() == server.files["/file"]
    return digest


def refused(server, part, *, sha256=SHA256) -> str:
    with pytest.raises(InputError) as caught:
        fetch(f"{server.url}/file", part, sha256=sha256, most=MOST)
    assert len(str(caught.value)) <= 300
    return str(caught.value)


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_file_arrives_whole_and_its_progress_is_told(tmp_path, server, sha256):
    seen = []
    digest = fetched(server, tmp_path / "part", sha256=sha256, on_bytes=lambda done, total: seen.append((done, total)))
    assert digest == SHA256
    assert [done for done, _ in seen][:30] == [10_000 * number for number in range(1, 31)] and {
        total for _, total in seen
    } == {300_000}


def test_what_is_cut_off_is_gone_on_with_in_one_call(tmp_path, server):
    server.cuts = [100_000, 60_000, 30_000]
    seen = []
    fetched(server, tmp_path / "part", on_bytes=lambda done, total: seen.append((done, total)))
    assert server.begun_at == [0, 200_000, 240_000, 270_000]
    assert seen[-1] == (300_000, 300_000) and {total for _, total in seen} == {300_000}


def test_a_server_that_stalls_is_asked_again(tmp_path, server, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    server.stalls = [100_000, 0]
    fetched(server, tmp_path / "part")
    assert len(server.begun_at) == 3 and 0 < server.begun_at[-1] <= 100_000


def test_a_server_that_always_stalls_is_given_up_and_what_came_is_kept(tmp_path, server, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    server.stalls = [100_000, *[0] * 10]
    assert "does not answer in time; try again later" in refused(server, tmp_path / "part")
    kept = (tmp_path / "part").read_bytes()
    assert kept and CONTENT.startswith(kept)
    server.stalls = []
    fetched(server, tmp_path / "part")
    assert server.begun_at[-1] == len(kept)


def test_the_next_call_goes_on_after_a_killed_one(tmp_path, server):
    (tmp_path / "part").write_bytes(CONTENT[:123_456])
    fetched(server, tmp_path / "part")
    assert server.begun_at == [123_456]
    fetched(server, tmp_path / "part")  # whole already
    assert len(server.asked) == 1


def test_a_part_of_another_file_costs_a_second_download_and_no_wrong_one(tmp_path, server):
    (tmp_path / "part").write_bytes(b"of an older release" * 100)
    assert fetched(server, tmp_path / "part") == SHA256
    assert server.begun_at == [1900, 0]
    (tmp_path / "part").write_bytes(bytes(400_000))  # longer than the file: nothing is left to send
    assert fetched(server, tmp_path / "part") == SHA256


@pytest.mark.parametrize("ranges", [False, "lie"])
def test_a_server_that_sends_what_was_not_asked_for(tmp_path, server, ranges):
    server.ranges = ranges
    server.cuts = [100_000]
    assert fetched(server, tmp_path / "part") == SHA256
    assert server.begun_at[-1] == 0


def test_a_wrong_file_is_refused_and_both_digests_are_named(tmp_path, server):
    server.files["/file"] = CONTENT[:-1] + b"?"
    message = refused(server, tmp_path / "part")
    assert SHA256 in message and hashlib.sha256(server.files["/file"]).hexdigest() in message
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_promises_less_than_the_file(tmp_path, server):
    server.headers["Content-Length"] = "1000"
    assert SHA256 in refused(server, tmp_path / "part")
    assert list(tmp_path.iterdir()) == []


def test_errors_that_may_pass_are_asked_again_and_others_not(tmp_path, server):
    server.answers = [503, 500, 429]
    fetched(server, tmp_path / "part")
    assert len(server.asked) == 4
    server.files.pop("/file")
    server.asked.clear()
    assert "the server answers 404; try again" in refused(server, tmp_path / "gone")
    assert len(server.asked) == 1
    server.files["/file"], server.answers = CONTENT, [503] * 10
    assert "the server answers 503" in refused(server, tmp_path / "down")
    assert len(server.asked) == 1 + download.ATTEMPTS


def test_without_a_digest_a_broken_download_is_gone_on_with_only_where_the_server_says_that_it_is_the_same(
    tmp_path, server
):
    server.cuts = [100_000]
    assert fetched(server, tmp_path / "part", sha256=None) == SHA256
    assert server.begun_at == [0, 0]
    server.headers["ETag"], server.cuts = '"one"', [100_000]
    server.begun_at.clear()
    assert fetched(server, tmp_path / "other", sha256=None) == SHA256
    assert server.begun_at == [0, 200_000]
    (tmp_path / "old").write_bytes(CONTENT[:1000])  # of a call that was killed
    fetched(server, tmp_path / "old", sha256=None)
    assert server.begun_at[-1] == 0
    server.files.pop("/file")
    (tmp_path / "gone").write_bytes(CONTENT[:1000])
    refused(server, tmp_path / "gone", sha256=None)
    assert not (tmp_path / "gone").exists()


def test_more_than_the_most_is_not_kept(tmp_path, server):
    with pytest.raises(InputError, match="more than 1000 bytes"):
        fetch(f"{server.url}/file", tmp_path / "part", sha256=SHA256, most=1000)
    assert list(tmp_path.iterdir()) == []


def test_the_record_is_added_to_and_a_damaged_one_begun_again(tmp_path):
    write_record(tmp_path, {"a": {"sha256": "1"}})
    write_record(tmp_path, {"b": {"sha256": "2"}})
    assert read_record(tmp_path) == {"a": {"sha256": "1"}, "b": {"sha256": "2"}}
    (tmp_path / download.RECORD).write_text("[")
    assert read_record(tmp_path) == {}


def test_addresses_and_digests_that_are_none():
    check_source("https://a/b", "AB" * 32)
    for url, sha256 in (("ftp://a/b", None), ("http:///b", None), (None, "abc")):
        with pytest.raises(InputError, match="is no"):
            check_source(url, sha256)


def test_a_part_file_is_there_for_the_block_alone(tmp_path, server):
    part = tmp_path / "new" / "a.part"
    with download.fetched(f"{server.url}/file", part, sha256=SHA256, most=MOST, on_bytes=lambda done, total: None):
        assert part.read_bytes() == CONTENT
    assert list(part.parent.iterdir()) == []
    with (
        pytest.raises(OSError, match=r"No space left: .*new"),
        download.fetched(f"{server.url}/file", part, sha256=SHA256, most=MOST, on_bytes=lambda done, total: None),
    ):
        raise OSError(28, "No space left")
    with (
        pytest.raises(InputError, match=r"new: cannot be written \(Not permitted\); choose another folder"),
        download.fetched(f"{server.url}/file", part, sha256=SHA256, most=MOST, on_bytes=lambda done, total: None),
    ):
        raise OSError(1, "Not permitted")
    assert list(part.parent.iterdir()) == []
