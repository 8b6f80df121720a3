"""Small C libraries: built once, kept in the user's cache, and a clear reason where they cannot be."""

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
