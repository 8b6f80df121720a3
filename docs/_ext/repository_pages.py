"""Pages that show a file of the repository, and links that hold both there and here.

A page that consists of `<!-- shows: ../README.md -->` shows that file, a path from the page. In it, as in every other
page, a relative link to a file that a page shows leads to that page, and a link to a folder to the page of its README.
"""

import os
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

SHOWS = re.compile(r"\s*<!-- shows: (\S+) -->\s*")
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


def shown_files(folder: Path) -> dict[Path, Path]:
    """Return which page shows a file, for every page of the documentation that shows one."""
    found = {}
    for page in sorted(folder.rglob("*.md")):
        match = SHOWS.fullmatch(page.read_text("utf-8"))
        if match:
            found[(page.parent / match[1]).resolve()] = page.resolve()
    return found


def show(app: Sphinx, docname: str, content: list[str]) -> None:
    """Put the file that a page shows in its place, and lead links to pages."""
    page = Path(app.env.doc2path(docname)).resolve()
    if page.suffix != ".md":
        return
    pages = shown_files(Path(app.srcdir))
    match = SHOWS.fullmatch(content[0])
    source = (page.parent / match[1]).resolve() if match else page
    if match:
        app.env.note_dependency(str(source))
        content[0] = source.read_text("utf-8")

    def there(link: re.Match) -> str:
        target = (source.parent / link[1]).resolve()
        if target.is_dir():
            target /= "README.md"
        return Path(os.path.relpath(pages.get(target, target), page.parent)).as_posix() + (link[2] or "")

    content[0] = LINK.sub(there, content[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.connect("source-read", show)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
