"""Build a self-contained HTML report: figures, tables and images in one file that opens anywhere, offline."""

import base64
import html
import os
from collections.abc import Iterable, Mapping
from typing import Any

from finer_core.io.files import write_text

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0 }
h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid var(--line) }
.note { opacity: .75 } .row { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0; flex: 1 1 300px; min-width: 0 } figcaption { font-size: .85rem; opacity: .8; padding-top: .25rem }
figure img, figure svg { max-width: 100%; height: auto; display: block; border: 1px solid var(--line) }
img.pixels { image-rendering: pixelated; width: 100% }
table { border-collapse: collapse }
td, th { text-align: left; padding: .15rem .8rem .15rem 0;
  border-bottom: 1px solid var(--soft); vertical-align: top }
td.value { font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
details { margin-top: 1rem }
"""


class Report:
    """Collect sections and write them as one page.

    Args:
        title: Heading of the page.
        note: A line under it.
    """

    def __init__(self, title: str, *, note: str = "") -> None:
        self._title, self._note = title, note
        self._parts: list[str] = []

    def heading(self, text: str) -> None:
        """Start a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        """Add a line of text."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def html(self, markup: str) -> None:
        """Add markup as it is. It must be the application's own: whatever comes from an input is escaped first."""
        self._parts.append(markup)

    def table(self, rows: Mapping[str, Any], *, folded: str = "") -> None:
        """Add a two-column table."""
        body = "".join(
            f"<tr><th>{html.escape(str(name))}</th><td class=value>{html.escape(_text(value))}</td></tr>"
            for name, value in rows.items()
        )
        table = f"<table>{body}</table>"
        self._parts.append(f"<details><summary>{html.escape(folded)}</summary>{table}</details>" if folded else table)

    def figures(self, figures: Iterable[tuple[str, str | bytes]], *, pixelated: bool = False) -> None:
        """Add images side by side.

        Args:
            figures: Pairs of caption and image: PNG bytes, or the text of an SVG.
            pixelated: Enlarge without smoothing, for small images.
        """
        items = "".join(
            f"<figure>{_image(content, caption, pixelated)}<figcaption>{html.escape(caption)}</figcaption></figure>"
            for caption, content in figures
        )
        self._parts.append(f"<div class=row>{items}</div>")

    def page(self) -> str:
        """Return the page."""
        note = f"<p class=note>{html.escape(self._note)}</p>" if self._note else ""
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(self._title)}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
            f"<h1>{html.escape(self._title)}</h1>{note}{''.join(self._parts)}</body></html>\n"
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page atomically."""
        write_text(path, self.page())


def _image(content: str | bytes, caption: str, pixelated: bool) -> str:
    kind = "png" if isinstance(content, bytes) else "svg+xml"
    raw = content if isinstance(content, bytes) else content.encode()
    data = base64.b64encode(raw).decode()
    style = ' class="pixels"' if pixelated else ""
    return f'<img{style} alt="{html.escape(caption)}" src="data:image/{kind};base64,{data}">'


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    return str(value)
