"""Reports: one page that needs nothing else, and in which every text is only text."""

import base64
import os
import re
from html.parser import HTMLParser

import pytest

from finer_core.io.report import Report

NASTY = "<script>alert('x')</script> & \"quotes\" 'single'"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text>Grün</text></svg>'


class Page(HTMLParser):
    """Collect what a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def values(self, name: str) -> list[str | None]:
        return [value for key, value in self.attributes if key == name]


@pytest.fixture
def page(tmp_path):
    """Write a report of everything, with nasty texts everywhere, and read it as a browser does."""
    report = Report(NASTY, note=NASTY)
    report.heading(NASTY)
    report.paragraph(NASTY)
    report.table({NASTY: NASTY, "psnr": 31.23456789, "steps": 5000, "of": {"a": 0.5, "b": "x"}})
    report.table({"hidden": 1}, folded=NASTY)
    report.figures([(NASTY, PNG), ("curve", SVG)])
    report.figures([("small", PNG)], pixelated=True)
    report.write(tmp_path / "report.html")
    assert os.listdir(tmp_path) == ["report.html"]
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_it_is_a_complete_page(page):
    assert page.open == []
    assert page.tags[:3] == ["html", "head", "meta"]
    assert page.values("charset") == ["utf-8"]


def test_texts_are_only_text(page):
    assert "script" not in page.tags
    assert page.texts.count(NASTY) == 9, "title, heading, note, section, paragraph, name, value, summary, caption"


def test_nothing_is_loaded_from_elsewhere(page):
    assert len(page.values("src")) == 3
    assert all(source.startswith("data:image/") for source in page.values("src"))
    assert not {"link", "script", "iframe", "object"} & set(page.tags)
    assert not page.values("href")
    assert not any(re.search(r"url\(|@import|https?:", text) for text in page.texts)


def test_images_come_back(page):
    contents = [source.partition(",") for source in page.values("src")]
    assert [head for head, _, _ in contents] == [
        "data:image/png;base64",
        "data:image/svg+xml;base64",
        "data:image/png;base64",
    ]
    assert [base64.b64decode(data) for _, _, data in contents] == [PNG, SVG.encode(), PNG]
    assert page.values("alt") == [NASTY, "curve", "small"]
    assert page.values("class").count("pixels") == 1


def test_tables(page):
    for text in ("psnr", "31.2346", "steps", "5000", "a 0.5, b x"):
        assert text in page.texts
    assert page.tags.count("table") == 2
    assert page.tags.count("details") == 1


def test_markup_stays_as_it_is_and_in_its_place(tmp_path):
    report = Report("title")
    report.paragraph("before")
    report.html('<div class="view"><b>1 < 2</b></div>')
    report.paragraph("after")
    report.write(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert '<p>before</p><div class="view"><b>1 < 2</b></div><p>after</p>' in text


def test_an_empty_report(tmp_path):
    Report("title").write(tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text())
    assert page.texts.count("title") == 2
    assert "note" not in page.values("class")


def test_it_replaces_an_older_report(tmp_path):
    (tmp_path / "r.html").write_text("old")
    Report("title").write(str(tmp_path / "r.html"))
    assert "old" not in (tmp_path / "r.html").read_text()
