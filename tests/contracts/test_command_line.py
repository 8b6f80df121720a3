"""Every command answers --help at once, so it must not load PyTorch to do so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .workspace import SCRIPTS

LONGEST_SECONDS = 1.5


def path_of(script: str) -> str:
    return str(Path(sys.executable).with_name(script))


def seconds_of_help(script: str) -> float:
    """Return the seconds on a processor, which do not count what else a busy machine does."""
    before = os.times()
    subprocess.run([path_of(script), "--help"], check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_quick(script):
    assert any(seconds_of_help(script) < LONGEST_SECONDS for _ in range(3))


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_does_not_load_torch(script):
    command = [sys.executable, "-X", "importtime", path_of(script), "--help"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "argparse" in loaded
    assert "torch" not in loaded
