"""Files and folders of a size that a person takes in at once."""

from pathlib import Path

import pytest

from .workspace import PACKAGES

MOST_LINES, MOST_ENTRIES = 300, 20
LARGER_FOLDERS = {
    "finer_core": 31,
    "finer_core/training": 26,
    "finer_image": 22,
    "finer_nerf": 27,
    "finer_sdf": 24,
}
"""Folders with more entries than are wanted, and with how many. A number here may only fall."""
NOT_COUNTED = {"__init__.py", "__main__.py", "__pycache__", "_version.py", "py.typed"}


def long_files(source: Path) -> list[str]:
    """Return the Python files with too many lines."""
    return [path.name for path in sorted(source.rglob("*.py")) if path.read_text("utf-8").count("\n") > MOST_LINES]


def full_folders(source: Path, allowed: dict[str, int] = LARGER_FOLDERS) -> dict[str, int]:
    """Return the folders with more entries than they may have, and with how many."""
    found = {}
    for folder in (source, *(path for path in source.rglob("*") if path.is_dir() and path.name != "__pycache__")):
        count = sum(path.name not in NOT_COUNTED for path in folder.iterdir())
        name = folder.relative_to(source.parent).as_posix()
        if count > allowed.get(name, MOST_ENTRIES):
            found[name] = count
    return found


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_no_file_is_too_long(package):
    assert long_files(package.source) == []


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_no_folder_is_too_full(package):
    assert full_folders(package.source) == {}


def test_a_long_file_and_a_full_folder_are_seen(tmp_path):
    (tmp_path / "top" / "inner").mkdir(parents=True)
    (tmp_path / "top" / "long.py").write_text("\n" * 301)
    (tmp_path / "top" / "short.py").write_text("\n" * 300)
    for number in range(21):
        (tmp_path / "top" / "inner" / f"m{number}.py").touch()
    assert long_files(tmp_path / "top") == ["long.py"]
    assert full_folders(tmp_path / "top") == {"top/inner": 21}
    assert full_folders(tmp_path / "top", {"top/inner": 21}) == {}
