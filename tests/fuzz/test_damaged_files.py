"""Damaged files are read or refused in one line: no crash, no other exception, no warning, no hang, no large memory.

FINER_FUZZ_FILES=5000 FINER_FUZZ_SEED=7 pytest tests/fuzz takes half an hour and other files. FINER_FUZZ_COMMANDS=60
runs so many through the programs of every package, as a user does.
"""

import os

import pytest

from .child import program
from .driver import PACKAGES, fuzz, table

pytest.importorskip("resource", reason="this system does not limit the time of a process")
COUNT, SEED = int(os.environ.get("FINER_FUZZ_FILES", "60")), os.environ.get("FINER_FUZZ_SEED", "0")


@pytest.mark.parametrize("package", PACKAGES)
def test_damaged_files(package, tmp_path):
    found = fuzz(package, files=COUNT, seed=SEED, folder=tmp_path)
    assert not any(outcome.faults for outcome in found.values()), table(found)
    assert sum(outcome.refused for outcome in found.values()) > COUNT / 10
    assert sum(outcome.read for outcome in found.values()) > COUNT / 50


@pytest.mark.parametrize("package", PACKAGES)
def test_commands_on_damaged_files(package, tmp_path):
    files = int(os.environ.get("FINER_FUZZ_COMMANDS", "0"))
    if not files:
        pytest.skip("FINER_FUZZ_COMMANDS says how many")
    found = fuzz(package, files=files, seed=SEED, folder=tmp_path, commands=True)
    assert not any(outcome.faults for outcome in found.values()), table(found)


@pytest.mark.parametrize("name", ["finer-image", "finer-sdf", "finer-nerf", "finer-ntk"])
def test_commands_are_found_where_none_is_run(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        program(name)(["--version"])
    assert name in capsys.readouterr().out
