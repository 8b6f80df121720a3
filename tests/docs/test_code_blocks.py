"""The Python that the documentation shows runs: block after block of a page, in one namespace and an empty folder."""

import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from finer_core.methods import METHODS
from tests.plain_figures import draw_small

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("README.md"), *ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"(?P<mark>^<!-- not run: (?P<reason>\S[^\n]*) -->\n+)?^```python\n(?P<code>.*?)^```$", re.M | re.S)


def blocks_of(text: str) -> list[tuple[int, str]]:
    """Return line and code of every block of a page that is to run: those without `<!-- not run: reason -->` above."""
    found = [match for match in BLOCK.finditer(text) if not match["mark"]]
    return [(text.count("\n", 0, match.start("code")), match["code"]) for match in found]


BLOCKS = {page: blocks_of(page.read_text("utf-8")) for page in PAGES}


def run(page: Path, blocks: list[tuple[int, str]]) -> dict[str, Any]:
    """Run blocks one after the other; return the names that they made."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for line, code in blocks:
        exec(compile("\n" * line + code, str(page), "exec"), names)  # a traceback names the page's own line
    return names


@pytest.mark.usefixtures("coarse_overlap")
@pytest.mark.parametrize("page", [page for page in PAGES if BLOCKS[page]], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw_small(monkeypatch)
    with patch.dict(METHODS):  # a page may add its own
        run(page, BLOCKS[page])


def test_the_pages_that_have_blocks_are_seen():
    names = {str(page.relative_to(ROOT)) for page in PAGES if BLOCKS[page]}
    assert {"README.md", "packages/finer-core/README.md", "docs/index.md", "docs/add_an_activation.md"} <= names


def test_a_block_that_fails_is_told_with_its_line():
    first, unmarked = "# A page\n\n```python\na = 1\n```\n\n", "```python\nassert a == 2\n```\n"
    text = first + "<!-- not run: needs a scan -->\n```python\na = 2\n```\n\n" + unmarked
    blocks = blocks_of(text)
    assert [line for line, _ in blocks] == [3, 12]
    with pytest.raises(AssertionError) as error:
        run(Path("page.md"), blocks)
    assert error.traceback[-1].lineno == 12  # counted from 0


def test_a_mark_needs_a_reason():
    assert len(blocks_of("<!-- not run:  -->\n```python\npass\n```\n")) == 1
