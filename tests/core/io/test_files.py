"""Atomic writes, strict JSON, digests."""

import hashlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from finer_core import InputError
from finer_core.io import partial_files
from finer_core.io.files import (
    atomic_path,
    check_output_path,
    input_suffix,
    json_text,
    reason_of,
    sha256_of_file,
    small_file,
    without_repetition,
    write_json,
    write_text,
)
from finer_core.io.partial_files import TEMPORARY_PREFIX, remove_abandoned, remove_partial_files, temporary_folder

IS_KNOWN = os.path.exists("/proc/self/ns/pid")
"""Whether the system says which processes a process's number is one of: Linux does."""


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "a.bin"
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"new")
        assert not path.exists()
        assert temporary.parent == tmp_path, "on the same file system"
        assert temporary.name.startswith(TEMPORARY_PREFIX)
        assert temporary.suffix == ".bin"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_an_existing_file_stays_until_the_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(str(path)) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_the_old_file_and_no_litter(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_killed_writer_leaves_the_old_file_and_litter_that_is_recognized(tmp_path):
    path = tmp_path / "sub" / "a.txt"
    path.parent.mkdir()
    path.write_text("old")
    code = (
        "import os, signal, sys\nfrom finer_core.io.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    litter = next(path.parent.glob(f"{TEMPORARY_PREFIX}*"))
    assert len(os.listdir(path.parent)) == 2
    if IS_KNOWN:
        write_text(path.parent / "b.txt", "another")
        assert sorted(os.listdir(path.parent)) == ["a.txt", "b.txt"]
    litter.write_text("half")
    remove_partial_files(tmp_path)
    assert not litter.exists() and path.exists()


@pytest.mark.skipif(not IS_KNOWN, reason="the system does not say which processes a number is of")
def test_what_a_writer_may_be_at_work_on_stays(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with atomic_path(tmp_path / "a.txt") as ours:
        abandoned, alive = (
            ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{process}-")) for process in (ended.pid, 1)
        )
        elsewhere = ours.with_name(f"{TEMPORARY_PREFIX}0-{ended.pid}-x.txt")
        linked, folder = (abandoned.with_name(f"{abandoned.name}-{each}") for each in ("linked", "folder"))
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious" / "thesis.tex").write_text("whole")
        linked.symlink_to(tmp_path / "precious")
        folder.mkdir()
        for path in (abandoned, alive, elsewhere, folder / "half.zarr"):
            path.write_text("half")
        remove_abandoned.cache_clear()
        write_text(tmp_path / "b.txt", "another")
        assert all(path.exists() for path in (ours, alive, elsewhere, tmp_path / "precious" / "thesis.tex"))
        assert not abandoned.exists() and not folder.exists() and not linked.is_symlink()


def test_a_folder_to_work_in_is_gone_afterwards_and_says_whose_it_is(tmp_path):
    with pytest.raises(RuntimeError), temporary_folder(tmp_path / "a.zarr") as folder:
        (folder / "inside").mkdir()
        assert folder.parent == tmp_path and f"-{os.getpid()}-" in folder.name
        raise RuntimeError
    assert not os.listdir(tmp_path)


def test_nothing_is_taken_for_abandoned_where_a_number_may_be_of_other_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(partial_files, "_BOOT", "/nowhere")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with atomic_path(tmp_path / "a.txt") as ours:
        other = ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{ended.pid}-"))
        other.write_text("half")
        remove_abandoned.cache_clear()
        write_text(tmp_path / "b.txt", "another")
        assert other != ours and other.exists()


def test_a_folder_that_many_files_are_written_into_is_looked_through_once(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(partial_files.os, "listdir", lambda folder: (looked.append(folder), [])[1])
    remove_abandoned.cache_clear()
    for number in range(3):
        write_text(tmp_path / f"{number}.txt", "whole")
    assert len(looked) == IS_KNOWN


def test_what_is_being_written_is_not_locked(tmp_path):
    """On a network drive of SMB, a lock keeps its own process from writing by another descriptor."""
    fcntl = pytest.importorskip("fcntl")
    with atomic_path(tmp_path / "a.txt") as temporary, open(temporary) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        temporary.write_text("whole")


def test_other_files_are_not_partial(tmp_path):
    for name in ("a.txt", ".hidden", "finer-partial-1"):
        (tmp_path / name).write_text("keep")
    remove_partial_files(tmp_path)
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_files_get_the_user_s_usual_mode(tmp_path, umask, mode, monkeypatch):
    before = os.umask(umask)
    try:
        with monkeypatch.context() as patched:  # it is the process's: of two threads one may put back the other's 0
            patched.delattr(os, "umask")
            write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_an_error_names_the_file_that_was_meant(tmp_path):
    """Not the temporary one, which nobody has asked for; nor where that one came from."""
    for path, kind in ((tmp_path / "none" / "a.txt", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(kind) as caught:
            write_text(path, "x")
        assert str(caught.value) == f"[Errno {caught.value.errno}] {caught.value.strerror}: '{path}'"


def test_text_is_utf8(tmp_path):
    write_text(tmp_path / "a.txt", "Grün ∂")
    assert (tmp_path / "a.txt").read_bytes() == "Grün ∂".encode()


def test_json_is_strict_and_complete(tmp_path):
    data = {"a": math.nan, "b": [math.inf, 1.5, (2, -math.inf)], 3: {"c": None, "d": True}, "e": 0.1 + 0.2}
    write_json(tmp_path / "a.json", data)
    text = (tmp_path / "a.json").read_text()
    assert text.endswith("}\n")
    expected = {"a": None, "b": [None, 1.5, [2, None]], "3": {"c": None, "d": True}, "e": 0.1 + 0.2}
    assert json.loads(text, parse_constant=pytest.fail) == expected


def test_json_on_one_line():
    text = json_text({"step": 3, "loss": 1e-300, "text": "a\nb\u2028c"}, indent=None)
    assert len(text.splitlines()) == 1
    assert json.loads(text) == {"step": 3, "loss": 1e-300, "text": "a\nb\u2028c"}


@pytest.mark.parametrize("size", [0, 5, (1 << 20) + 7])
def test_sha256(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_full_disk_leaves_what_was_there(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "config.json"
    write_json(path, {"seed": 3})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_json(path, {"text": "x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert json.loads(path.read_text()) == {"seed": 3}
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_name_that_is_not_utf8_is_written_as_escapes(tmp_path):
    write_text(tmp_path / "a.html", "bad\udcff.png é")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "bad\\udcff.png é"
    write_json(tmp_path / "a.json", {"signal": "bad\udcff.png"})
    assert json.loads((tmp_path / "a.json").read_text()) == {"signal": "bad\udcff.png"}


def test_an_output_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    for name, overwrite, reason in (
        ("folder", True, "is a folder"),
        ("file", False, "already exists"),
        ("none/file", True, "the folder .* does not exist"),
        ("file/new", True, "the folder .* does not exist"),
    ):
        with pytest.raises(InputError, match=f"{name}: {reason}"):
            check_output_path(tmp_path / name, overwrite=overwrite)
    for name in ("file", "new"):
        check_output_path(tmp_path / name, overwrite=True)

    def refuse(**where: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("finer_core.io.files.tempfile.mkstemp", refuse)
    with pytest.raises(InputError, match=r"new: cannot be written \(Permission denied\)"):
        check_output_path(tmp_path / "new", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.csv", Path.mkdir, "is a folder; name one file in it"),
        ("a.csv", lambda path: None, r"no such file; check the spelling and the folder .+"),
        ("a.doc", Path.touch, r"unknown format '\.doc'; known are \.csv \.txt"),
        ("a.csv", Path.touch, r"is empty \(0 bytes\); copy or download it again"),
        ("a.CSV", lambda path: path.write_text("1 2", "utf-16"), r".+\.csv \(it is UTF-16 text\); save it as UTF-8"),
        ("a" * 300 + ".csv", lambda path: None, r"cannot be opened \(File name too long\); check .+"),
        pytest.param(
            *("a.csv", getattr(os, "mkfifo", None), "is not a regular file; save the data to a file first"),
            marks=pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files"),
        ),
    ],
)
def test_an_input_that_no_reader_need_see_is_refused(tmp_path, name, make: Callable[[Path], object], message):
    make(tmp_path / name)
    with pytest.raises(InputError) as caught:
        input_suffix(tmp_path / name, known=(".csv", ".txt"))
    assert re.fullmatch(message, str(caught.value)), caught.value


def test_an_input_for_a_reader(tmp_path):
    (tmp_path / "A.CSV").write_text("1")
    assert input_suffix(tmp_path / "A.CSV", known=[".csv"]) == ".csv"


def test_the_reason_of_an_error_is_never_empty_and_names_no_file(tmp_path):
    with pytest.raises(OSError, match="No such file") as caught:
        (tmp_path / "none").open()
    assert reason_of(caught.value) == "No such file or directory"
    assert [reason_of(error) for error in (zlib.error("cut"), EOFError())] == ["cut", "EOFError"]


def test_a_name_twice_among_very_many_is_found_at_once():
    compared = 0

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    pairs = [(Name("n" * 500 + str(place)), place) for place in range(1000)]
    assert without_repetition(pairs) == dict(pairs)
    compared = 0
    with pytest.raises(ValueError, match=r"^'n+' stands there twice$") as refusal:
        without_repetition([*pairs, (Name("n" * 500 + "999"), 0)])
    assert compared < 10_000 and len(str(refusal.value)) < 120


def test_a_small_file_is_read_and_what_has_no_end_is_not(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert small_file(tmp_path / "a", most=3) == b"abc"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, reason in (("a", "more than 2 bytes"), *((each, "not a regular file") for each in ("pipe", "zero", "."))):
        with pytest.raises(InputError, match=reason):
            small_file(tmp_path / name, most=2)
    with pytest.raises(FileNotFoundError):
        small_file(tmp_path / "b", most=9)
