"""What may be in the repository: no path of a machine it was written on, no large file, nothing unpinned."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .workspace import PACKAGES, ROOT

# A folder of a machine, unless what stands before the slash makes it part of a longer path or an address.
FOLDER = r"(?:root|work|opt|(?:home|Users|tmp)/[\w.-]+)"
MACHINE_PATH = re.compile(rf"(?:file://|(?<![\w.$}}~:/*-]))/{FOLDER}/[\w.-]")
LARGEST_FILE = 500_000
PIN = re.compile(r"[a-z0-9-]+==[0-9][\w.]*(?:; python_version (?:<|>=) \"3\.\d+\")?")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """List what is tracked, and what would be if everything were added."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout, so git cannot say which files belong to the repository")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def machine_paths(text: str) -> list[str]:
    """Return the lines that hold an absolute path of a machine."""
    return [line.strip() for line in text.splitlines() if MACHINE_PATH.search(line)]


def test_no_path_of_a_machine(files):
    found = []
    for path in files:
        content = path.read_bytes()
        if b"\0" not in content:
            lines = machine_paths(content.decode("utf-8", errors="replace"))
            found += [f"{path.relative_to(ROOT)}: {line[:150]}" for line in lines]
    assert not found


def test_no_large_file_but_golden_vectors(files):
    golden = ROOT / "tests" / "golden"
    large = [path for path in files if path.stat().st_size > LARGEST_FILE and golden not in path.parents]
    assert not large


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-docs.txt"])
def test_constraints_are_pins_and_nothing_else(name):
    lines = (ROOT / name).read_text("utf-8").splitlines()
    assert not [line for line in lines if not line.startswith("#") and not PIN.fullmatch(line)]


def test_every_package_carries_the_license():
    license = (ROOT / "LICENSE").read_bytes()
    assert all((package.folder / "LICENSE").read_bytes() == license for package in PACKAGES)


@pytest.mark.parametrize("parts", [("root", "x"), ("opt", "wheels"), ("tmp", "a", "b"), ("home", "me", "b")])
def test_the_check_of_paths_sees(parts):
    path = "/" + "/".join(parts)
    assert machine_paths(f'a = "{path}"\nb = 1\nfile://{path}') == [f'a = "{path}"', f"file://{path}"]


@pytest.mark.parametrize("text", ["https://example.org/work/a", "src/opt/a", "$HOME/work/a", "/tmp or /root"])
def test_the_check_of_paths_allows(text):
    assert machine_paths(text) == []


def folders_without_a_source(tests: Path, source: Path) -> list[str]:
    """Return the folders of a package's tests that no folder of its source has given the name."""
    folders = (path.relative_to(tests) for path in tests.rglob("*") if (path / "__init__.py").exists())
    return sorted(str(folder) for folder in folders if not (source / folder / "__init__.py").exists())


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_tests_mirror_the_tree(package):
    assert folders_without_a_source(ROOT / "tests" / package.name.removeprefix("finer-"), package.source) == []


def test_a_folder_without_a_source_is_seen(tmp_path):
    for folder in ("tests/io", "tests/odd/inner", "source/io"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "__init__.py").touch()
    assert folders_without_a_source(tmp_path / "tests", tmp_path / "source") == ["odd/inner"]
