"""Each row of the feature table says yes, partly or no, and what shows it exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs/features.md").read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| feature", "| ---"))
]


def test_all_features_are_there():
    assert len(ROWS) == 50


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_shows_it_exists(row):
    _, here, shown_by = row
    assert re.match(r"(yes|partly|no)\b", here)
    assert shown_by or here.startswith("no")
    for path in re.findall(r"`((?:tests|docs|\.ci)/[^`]+)`", shown_by):
        assert (ROOT / path).is_file(), path
