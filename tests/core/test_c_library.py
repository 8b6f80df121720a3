"""Small C libraries: built once, kept in the user's cache, and a clear reason where they cannot be."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from finer_core import c_library as module
from finer_core.c_library import CannotBuild, c_library, cache_folder

SOURCE = "int answer(void) { return ANSWER; }\n"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "finer"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "answer.c"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def compiler():
    try:
        return module._compiler()
    except CannotBuild as error:
        pytest.skip(str(error))


def runs_of(monkeypatch) -> list[list[str]]:
    commands = []

    def run(command, **options):
        commands.append(command)
        return subprocess_run(command, **options)

    subprocess_run = subprocess.run
    monkeypatch.setattr(module.subprocess, "run", run)
    return commands


def script(path, text: str) -> str:
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)


@pytest.mark.usefixtures("compiler")
def test_it_is_built_once_and_for_each_definition(source, cache, monkeypatch):
    commands = runs_of(monkeypatch)
    assert [c_library(source, defines={"ANSWER": answer}).answer() for answer in ("42", "42", "7")] == [42, 42, 7]
    assert len(commands) == 2
    assert len(list(cache.iterdir())) == 2


@pytest.mark.usefixtures("compiler")
def test_a_changed_source_or_another_processor_is_built_again(source, monkeypatch):
    commands = runs_of(monkeypatch)
    c_library(source, defines={"ANSWER": "1"})
    source.write_text(SOURCE.replace("ANSWER", "ANSWER + 1"))
    assert c_library(source, defines={"ANSWER": "1"}).answer() == 2
    monkeypatch.setattr(module, "_processor", lambda: "another")
    c_library(source, defines={"ANSWER": "1"})
    assert len(commands) == 3


def test_a_compiler_that_does_not_know_the_processor_is_asked_without(source, compiler, tmp_path, monkeypatch):
    picky = f"""
import subprocess, sys
if any(a.endswith("=native") for a in sys.argv): sys.exit("unknown processor")
sys.exit(subprocess.run([*{list(compiler)!r}, *sys.argv[1:]]).returncode)
"""
    monkeypatch.setenv("CC", script(tmp_path / "picky", picky))
    assert c_library(source, defines={"ANSWER": "3"}).answer() == 3


@pytest.mark.usefixtures("compiler")
def test_what_does_not_compile_says_the_first_complaint_and_leaves_nothing(source, cache):
    source.write_text("int answer(void) { return nowhere; }\n")
    with pytest.raises(CannotBuild, match=r"answer\.c"):
        c_library(source, defines={})
    assert list(cache.iterdir()) == []


def test_without_a_compiler_it_says_so(source, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CannotBuild, match="no C compiler"):
        c_library(source, defines={})


def test_a_compiler_that_is_not_there_is_named(source, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler -m32")
    with pytest.raises(CannotBuild, match="no-such-compiler"):
        c_library(source, defines={})


def test_a_command_that_cannot_be_read_is_refused(source, monkeypatch):
    monkeypatch.setenv("CC", "cc 'unclosed")
    with pytest.raises(CannotBuild, match="quotation"):
        c_library(source, defines={})


def test_complaints_in_any_encoding_are_reported(source, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "CC", script(tmp_path / "foreign", "import os; os.write(2, b'erreur \\xe9'); raise SystemExit(1)")
    )
    with pytest.raises(CannotBuild, match="erreur"):
        c_library(source, defines={})


def test_a_compiler_that_never_ends_is_given_up(source, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", script(tmp_path / "sleepy", "import time; time.sleep(60)"))
    monkeypatch.setattr(module, "_PATIENCE_S", 0.5)
    with pytest.raises(CannotBuild, match=r"more than 0\.5 s"):
        c_library(source, defines={})


@pytest.mark.parametrize("output", ["", "not a library"])
def test_what_cannot_be_loaded_is_refused(source, tmp_path, monkeypatch, output):
    compiler = f"import sys; open(sys.argv[-1], 'w').write({output!r})"
    monkeypatch.setenv("CC", script(tmp_path / "liar", compiler))
    with pytest.raises(CannotBuild):
        c_library(source, defines={})


def test_without_a_home_it_goes_to_a_temporary_folder(tmp_path, monkeypatch):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(in_the_way))
    folder = cache_folder()
    assert folder.is_dir() and in_the_way not in folder.parents
    folder.rmdir()


def fresh(source, cache, mark: str) -> int:
    """Load the library in a process of its own, as a later start does; return its answer."""
    code = (
        "import sys; from pathlib import Path; from finer_core.c_library import c_library\n"
        "print(c_library(Path(sys.argv[1]), defines={'ANSWER': sys.argv[2]}).answer())"
    )
    command = [sys.executable, "-c", code, str(source), mark]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(result.stdout)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("above", ["", "a/b"])
def test_the_cache_is_private_whatever_the_umask(source, cache, tmp_path, monkeypatch, above):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x" / above))
    before = os.umask(0)
    try:
        c_library(source, defines={"ANSWER": "1"})
    finally:
        os.umask(before)
    made = [tmp_path / "x", *(tmp_path / "x").rglob("*")]
    assert len(made) >= 3
    assert not [path for path in made if path.stat().st_mode & 0o077]


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: content[: len(content) // 2], lambda content: content[:-1] + b"\1",
     lambda content: content.replace(b"answer", b"reply\0")],
    ids=["empty", "half", "a byte", "a name"],
)  # fmt: skip
def test_a_damaged_library_is_built_again(source, cache, monkeypatch, damage):
    c_library(source, defines={"ANSWER": "5"})
    (path,) = cache.iterdir()
    good = path.read_bytes()
    assert damage(good) != good
    path.write_bytes(damage(good))
    commands = runs_of(monkeypatch)
    assert c_library(source, defines={"ANSWER": "5"}).answer() == 5
    assert len(commands) == 1
    assert [kept.read_bytes() == good for kept in cache.iterdir()] == [True]


def planted(source, cache, tmp_path):
    """Put another answer under a library's name, correctly signed, as somebody may who can write to the folder."""
    c_library(source, defines={"ANSWER": "6"})
    (path,) = cache.iterdir()
    name, _, _ = path.stem.rpartition("-")
    path.unlink()
    evil = tmp_path / "evil.c"
    evil.write_text("int answer(void) { return 666; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "evil.so", evil], check=True)
    content = (tmp_path / "evil.so").read_bytes()
    target = cache / f"{name}-{module._digest(content)}.so"
    target.write_bytes(content)
    target.chmod(0o600)
    return target


@pytest.mark.usefixtures("compiler")
def test_the_planted_library_works_where_nothing_is_wrong_with_it(source, cache, tmp_path):
    planted(source, cache, tmp_path)
    assert fresh(source, cache, "6") == 666


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("mode", [0o722, 0o720, 0o702])
def test_a_library_that_others_may_write_is_built_again(source, cache, tmp_path, mode):
    planted(source, cache, tmp_path).chmod(mode)
    assert fresh(source, cache, "6") == 6


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_folder_that_others_may_write_is_emptied_and_closed(source, cache, tmp_path, mode):
    planted(source, cache, tmp_path)
    cache.chmod(mode)
    assert fresh(source, cache, "6") == 6
    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("whose", ["folder", "library"])
def test_what_belongs_to_another_user_is_not_loaded(source, cache, tmp_path, whose, monkeypatch):
    library = planted(source, cache, tmp_path)
    foreign = cache if whose == "folder" else library
    there = os.stat(foreign).st_ino

    class Status:
        def __init__(self, status):
            self.status = status

        def __getattr__(self, name):
            return (
                self.status.st_uid + 1
                if name == "st_uid" and self.status.st_ino == there
                else getattr(self.status, name)
            )

    for name in ("stat", "lstat", "fstat"):
        real = getattr(os, name)
        monkeypatch.setattr(module.os, name, lambda path, real=real, **more: Status(real(path, **more)))
    assert c_library(source, defines={"ANSWER": "6"}).answer() == 6
    assert library.exists() == (whose == "folder")


@pytest.mark.usefixtures("compiler")
def test_a_link_is_not_followed(source, cache, tmp_path):
    library = planted(source, cache, tmp_path)
    library.rename(tmp_path / "elsewhere.so")
    library.symlink_to(tmp_path / "elsewhere.so")
    assert fresh(source, cache, "6") == 6


@pytest.mark.usefixtures("compiler")
def test_a_library_that_shrinks_while_it_is_in_use_does_no_harm(source, cache):
    source.write_text("static int table[1 << 16] = {1}; int answer(void) { return table[ANSWER] + ANSWER; }\n")
    code = (
        "import sys; from pathlib import Path; from finer_core.c_library import c_library\n"
        "library = c_library(Path(sys.argv[1]), defines={'ANSWER': '65535'})\n"
        "[path.open('r+b').truncate(0) for path in Path(sys.argv[2]).iterdir()]\n"
        "print(library.answer())"
    )
    result = subprocess.run([sys.executable, "-c", code, source, cache], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "65535\n"), result.stderr


@pytest.mark.usefixtures("compiler")
def test_a_folder_in_a_library_s_place_does_no_harm(source, cache):
    c_library(source, defines={"ANSWER": "8"})
    (path,) = cache.iterdir()
    path.unlink()
    path.mkdir()
    assert fresh(source, cache, "8") == 8


PROBE = """
import json, os, sys
import torch

def has_kernels(is_allowed):
    from finer_core import build_network
    from finer_core.activations import fuse_activations
    if is_allowed:
        fuse_activations(True)
    network = build_network("finer", in_features=2, out_features=1, hidden_features=8, hidden_layers=1)
    network(torch.zeros(4, 2)).sum().backward()
    return network.layers[0].activation.kernel() is not None

for line in sys.stdin:
    is_allowed, variables = json.loads(line)
    child = os.fork()  # which has PyTorch loaded already, and nothing of finer_core
    if not child:
        os.environ.update(variables)
        print(has_kernels(is_allowed), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(os.name == "nt" or shutil.which("cc") is None, reason="no C compiler called cc")
def test_a_library_starts_no_compiler_unless_that_was_allowed(tmp_path):
    calls, compiler, cache = tmp_path / "calls", tmp_path / "compiler", tmp_path / "cache"
    compiler.write_text(f'#!/bin/sh\necho called >> {calls}\nexec cc "$@" -O1\n')  # soon done
    compiler.chmod(0o700)
    plain = {name: value for name, value in os.environ.items() if name != "FINER_KERNELS"}
    environment = {**plain, "XDG_CACHE_HOME": str(cache), "CC": str(compiler)}

    def have_kernels(*processes: tuple[bool, str]) -> list[bool]:
        """Return of processes that allow a compiler or do not, and their FINER_KERNELS, whether they have kernels."""
        answers = []
        for is_allowed, kernels in processes:
            print(
                json.dumps([is_allowed, {"FINER_KERNELS": kernels} if kernels else {}]), file=parent.stdin, flush=True
            )
            answers.append(parent.stdout.readline().strip())
        assert set(answers) <= {"True", "False"}
        return [answer == "True" for answer in answers]

    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", PROBE], env=environment, **streams) as parent:
        assert have_kernels((False, ""), (True, "off")) == [False, False]
        assert not calls.exists() and not cache.exists()
        assert have_kernels((True, "")) == [True]
        built = calls.read_text()
        assert have_kernels((False, ""), (False, "build"), (False, "off")) == [True, True, False]
        assert calls.read_text() == built
